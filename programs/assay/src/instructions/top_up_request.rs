//! More escrow for an open request, from anyone; what is not earned goes back to its buyer.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::constants::MAX_AMOUNT;
use crate::error::AssayError;
use crate::events::RequestToppedUp;
use crate::state::{Market, Request, OPEN};
use crate::token::wallet_mover;

#[derive(Accounts)]
pub struct TopUpRequest {
    pub funder: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut)]
    pub request: Account<Request>,
    #[account(address = market.mints[request.mint_index as usize].mint @ AssayError::WrongMint)]
    pub mint: UncheckedAccount,
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(mut, seeds = [b"vault", request.address().as_ref()], bump = request.vault_bump)]
    pub vault: UncheckedAccount,
    #[account(address = market.mints[request.mint_index as usize].token_program @ AssayError::WrongMint)]
    pub token_program: UncheckedAccount,
}

fn validate(ctx: &Context<TopUpRequest>, amount: u64) -> Result<()> {
    ctx.accounts.market.require_running()?;
    require!(ctx.accounts.request.state == OPEN, AssayError::NotOpen);
    require!(amount > 0 && amount < MAX_AMOUNT - ctx.accounts.request.locked, AssayError::BadAmount);
    Ok(())
}

pub fn handler(ctx: &mut Context<TopUpRequest>, amount: u64) -> Result<()> {
    validate(ctx, amount)?;
    let accounts = &mut ctx.accounts;
    let entry = &accounts.market.mints[accounts.request.mint_index as usize];
    accounts.request.locked += amount;
    accounts.request.invariant()?;
    wallet_mover(accounts.funder.account(), accounts.mint.account(), entry).transfer(
        accounts.source.account(),
        accounts.vault.account(),
        amount,
    );
    emit!(RequestToppedUp {
        request: *accounts.request.address(),
        funder: *accounts.funder.address(),
        amount,
        locked: accounts.request.locked,
    });
    Ok(())
}
