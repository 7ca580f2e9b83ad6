//! Stops new work and the market's clock; never exits, claims, refunds or the settlement of work done.

use anchor_lang::prelude::*;

use crate::events::Paused;
use crate::state::Market;

#[derive(Accounts)]
pub struct Pause {
    pub authority: Signer,
    #[account(mut, seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
}

pub fn handler(ctx: &mut Context<Pause>) -> Result<()> {
    let market = &mut ctx.accounts.market;
    market.require_authority(ctx.accounts.authority.address())?;
    let wall = market.now()?.wall;
    market.pause(wall)?;
    emit!(Paused { at: wall });
    Ok(())
}
