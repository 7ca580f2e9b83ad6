//! The buyer stops a request: no new work, and a grace period to settle what is in hand.

use anchor_lang::prelude::*;

use crate::error::AssayError;
use crate::events::RequestClosing;
use crate::state::{Market, Request};

#[derive(Accounts)]
pub struct CancelRequest {
    #[account(address = request.buyer @ AssayError::WrongBuyer)]
    pub buyer: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut)]
    pub request: Account<Request>,
}

pub fn handler(ctx: &mut Context<CancelRequest>) -> Result<()> {
    let now = ctx.accounts.market.now()?;
    let request = &mut ctx.accounts.request;
    request.begin_closing(&now)?;
    emit!(RequestClosing { request: *request.address(), expired: 0, grace_until: request.grace_until });
    Ok(())
}
