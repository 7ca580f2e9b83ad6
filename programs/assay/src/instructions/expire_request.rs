//! Past its deadline anyone may end a request, so that a buyer who has gone holds nobody up.

use anchor_lang::prelude::*;

use crate::error::AssayError;
use crate::events::RequestClosing;
use crate::state::{Market, Request};

#[derive(Accounts)]
pub struct ExpireRequest {
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut)]
    pub request: Account<Request>,
}

pub fn handler(ctx: &mut Context<ExpireRequest>) -> Result<()> {
    let now = ctx.accounts.market.now()?;
    let request = &mut ctx.accounts.request;
    require!(now.market >= request.deadline, AssayError::NotExpired);
    request.begin_closing(&now)?;
    emit!(RequestClosing { request: *request.address(), expired: 1, grace_until: request.grace_until });
    Ok(())
}
