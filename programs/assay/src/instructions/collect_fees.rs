//! Moves a request's market fees to the fee vault; anyone may.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::FeesCollected;
use crate::state::{Market, Request};
use crate::token::market_mover;

#[derive(Accounts)]
pub struct CollectFees {
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut)]
    pub request: Account<Request>,
    #[account(mut, seeds = [b"vault", request.address().as_ref()], bump = request.vault_bump)]
    pub vault: UncheckedAccount,
    #[account(mut, seeds = [b"fees", mint.address().as_ref()],
        bump = market.mints[request.mint_index as usize].fees_bump)]
    pub fee_vault: UncheckedAccount,
    #[account(address = market.mints[request.mint_index as usize].mint @ AssayError::WrongMint)]
    pub mint: UncheckedAccount,
    #[account(address = market.mints[request.mint_index as usize].token_program @ AssayError::WrongMint)]
    pub token_program: UncheckedAccount,
}

pub fn handler(ctx: &mut Context<CollectFees>) -> Result<()> {
    let accounts = &mut ctx.accounts;
    let request = &mut accounts.request;
    let amount = request.fees - request.fees_collected;
    require!(amount > 0, AssayError::NoFees);
    request.fees_collected = request.fees;
    request.invariant()?;
    let entry = &accounts.market.mints[request.mint_index as usize];
    market_mover(&accounts.market, accounts.mint.account(), entry).transfer(
        accounts.vault.account(),
        accounts.fee_vault.account(),
        amount,
    );
    emit!(FeesCollected { request: *accounts.request.address(), amount });
    Ok(())
}
