//! Lets the market's clock go on from where the pause stopped it.

use anchor_lang::prelude::*;

use crate::events::Unpaused;
use crate::state::Market;

#[derive(Accounts)]
pub struct Unpause {
    pub authority: Signer,
    #[account(mut, seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
}

pub fn handler(ctx: &mut Context<Unpause>) -> Result<()> {
    let market = &mut ctx.accounts.market;
    market.require_authority(ctx.accounts.authority.address())?;
    let wall = market.now()?.wall;
    market.unpause(wall)?;
    emit!(Unpaused { at: wall, paused_total: market.paused_total });
    Ok(())
}
