//! Tokens at stake: a labeler's or validator's licence to work. Only the wallet itself can add to it, so that no stranger's
//! dust changes when it last changed.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::constants::MAX_AMOUNT;
use crate::error::AssayError;
use crate::events::Staked;
use crate::state::{Market, Participant, ValidatorSet, BUYER, VALIDATOR};
use crate::token::wallet_mover;

#[derive(Accounts)]
pub struct Stake {
    pub wallet: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut, seeds = [b"participant", wallet.address().as_ref()], bump = participant.bump)]
    pub participant: Account<Participant>,
    #[account(mut, seeds = [b"validators"], bump = validators.bump)]
    pub validators: Account<ValidatorSet>,
    #[account(address = market.mints[0].mint @ AssayError::WrongMint)]
    pub mint: UncheckedAccount,
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(mut, seeds = [b"stake"], bump = market.stake_bump)]
    pub stake_vault: UncheckedAccount,
    #[account(address = market.mints[0].token_program @ AssayError::WrongMint)]
    pub token_program: UncheckedAccount,
}

fn validate(ctx: &Context<Stake>, amount: u64) -> Result<()> {
    require!(amount > 0 && amount < MAX_AMOUNT, AssayError::BadAmount);
    require!(ctx.accounts.participant.role != BUYER, AssayError::WrongRole);
    Ok(())
}

pub fn handler(ctx: &mut Context<Stake>, amount: u64) -> Result<()> {
    validate(ctx, amount)?;
    let accounts = &mut ctx.accounts;
    let now = accounts.market.now()?;
    let minimum = accounts.participant.minimum(&accounts.market.params);
    accounts.participant.add_stake(amount)?;
    let stake = accounts.participant.stake;
    require!(stake >= minimum, AssayError::BelowMinimumStake);
    if accounts.participant.role == VALIDATOR {
        let inside = accounts.validators.update(accounts.wallet.address(), stake, minimum, now.slot)?;
        require!(inside, AssayError::ValidatorSetFull);
    }
    wallet_mover(accounts.wallet.account(), accounts.mint.account(), &accounts.market.mints[0]).transfer(
        accounts.source.account(),
        accounts.stake_vault.account(),
        amount,
    );
    emit!(Staked { participant: *accounts.participant.address(), amount, stake });
    Ok(())
}
