//! Anyone may have a participant slashed whose strikes are more than chance explains. The rule holds at every look
//! (`strikes.rs`), so the caller gains nothing by choosing the moment.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::OUTLIER;
use crate::math::bps;
use crate::slashing::{check_vaults, Slash};
use crate::state::{Market, Participant, ValidatorSet};
use crate::strikes::is_outlier;

#[derive(Accounts)]
pub struct SlashOutlier {
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut, seeds = [b"participant", participant.wallet.as_ref()], bump = participant.bump)]
    pub participant: Account<Participant>,
    #[account(mut, seeds = [b"validators"], bump = validators.bump)]
    pub validators: Account<ValidatorSet>,
    #[account(mut, seeds = [b"stake"], bump = market.stake_bump)]
    pub stake_vault: UncheckedAccount,
    #[account(mut, seeds = [b"owed", mint.address().as_ref()], bump = market.mints[0].owed_bump)]
    pub owed_vault: UncheckedAccount,
    #[account(mut, seeds = [b"fees", mint.address().as_ref()], bump = market.mints[0].fees_bump)]
    pub fee_vault: UncheckedAccount,
    #[account(mut)]
    pub mint: UncheckedAccount,
    pub token_program: UncheckedAccount,
}

fn validate(ctx: &Context<SlashOutlier>) -> Result<()> {
    let accounts = &ctx.accounts;
    check_vaults(&accounts.market, accounts.mint.account(), accounts.token_program.account())?;
    let person = &accounts.participant;
    let outlier = is_outlier(person.strikes, person.judgements, accounts.market.params.error_rate);
    require!(outlier, AssayError::NotAnOutlier);
    Ok(())
}

pub fn handler(ctx: &mut Context<SlashOutlier>) -> Result<()> {
    validate(ctx)?;
    let harmed = ctx.remaining_accounts()?;
    let accounts = &mut ctx.accounts;
    // ρ of the stake that one seat stands for, so that splitting a stake over wallets does not make mistakes cheaper.
    let params = &accounts.market.params;
    let amount = bps(accounts.participant.minimum(params), params.slash_bps as u64)?;
    Slash {
        market: &accounts.market,
        participant: &mut accounts.participant,
        validators: &mut accounts.validators,
        stake_vault: accounts.stake_vault.account(),
        owed_vault: accounts.owed_vault.account(),
        fee_vault: accounts.fee_vault.account(),
        mint: accounts.mint.account(),
        harmed: &harmed,
    }
    .run(amount, OUTLIER)
}
