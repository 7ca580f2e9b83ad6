//! Ends an exit: pays out what has waited its window and vouches for no contestable judgement any more.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::StakeWithdrawn;
use crate::state::{Market, Participant};
use crate::token::{self, market_mover};

#[derive(Accounts)]
pub struct WithdrawStake {
    pub wallet: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut, seeds = [b"participant", wallet.address().as_ref()], bump = participant.bump)]
    pub participant: Account<Participant>,
    #[account(address = market.mints[0].mint @ AssayError::WrongMint)]
    pub mint: UncheckedAccount,
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(mut, seeds = [b"stake"], bump = market.stake_bump)]
    pub stake_vault: UncheckedAccount,
    #[account(address = market.mints[0].token_program @ AssayError::WrongMint)]
    pub token_program: UncheckedAccount,
}

pub fn handler(ctx: &mut Context<WithdrawStake>) -> Result<()> {
    let accounts = &mut ctx.accounts;
    let now = accounts.market.now()?;
    let entry = &accounts.market.mints[0];
    let destination = accounts.destination.account();
    require!(token::can_receive(destination, entry), AssayError::CannotReceive);
    let amount = accounts.participant.finish_unstake(now.wall)?;
    let vault = accounts.stake_vault.account();
    market_mover(&accounts.market, accounts.mint.account(), entry).transfer(vault, destination, amount);
    emit!(StakeWithdrawn {
        participant: *accounts.participant.address(),
        amount,
        destination: *destination.address(),
    });
    Ok(())
}
