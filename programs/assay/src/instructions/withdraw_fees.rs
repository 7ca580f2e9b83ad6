//! The authority takes what the market has earned. The fee vault holds nobody else's money.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::FeesWithdrawn;
use crate::state::Market;
use crate::token::{self, market_mover};

#[derive(Accounts)]
pub struct WithdrawFees {
    pub authority: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    pub mint: UncheckedAccount,
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(mut, seeds = [b"fees", mint.address().as_ref()], bump)]
    pub fee_vault: UncheckedAccount,
    pub token_program: UncheckedAccount,
}

pub fn handler(ctx: &mut Context<WithdrawFees>, amount: u64) -> Result<()> {
    let accounts = &ctx.accounts;
    accounts.market.require_authority(accounts.authority.address())?;
    let index = accounts.market.mint_index(accounts.mint.address())?;
    let entry = &accounts.market.mints[index];
    require!(entry.token_program == *accounts.token_program.address(), AssayError::WrongMint);
    let vault = accounts.fee_vault.account();
    require!(amount > 0 && amount <= token::balance(vault), AssayError::NoFees);
    let destination = accounts.destination.account();
    require!(token::can_receive(destination, entry), AssayError::CannotReceive);
    market_mover(&accounts.market, accounts.mint.account(), entry).transfer(vault, destination, amount);
    emit!(FeesWithdrawn { mint_index: index as u8, amount, destination: *destination.address() });
    Ok(())
}
