//! New parameters, within bounds. Requests in flight keep the terms they were posted under.

use anchor_lang::prelude::*;

use crate::events::ParamsUpdated;
use crate::state::{Market, Params};

#[derive(Accounts)]
pub struct UpdateParams {
    pub authority: Signer,
    #[account(mut, seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
}

pub fn handler(ctx: &mut Context<UpdateParams>, params: Params) -> Result<()> {
    let market = &mut ctx.accounts.market;
    market.require_authority(ctx.accounts.authority.address())?;
    params.validate()?;
    market.params = params;
    market.invariant()?;
    emit!(ParamsUpdated { params });
    Ok(())
}
