//! First half of a hand-over: names who may accept. The zero address takes a proposal back.

use anchor_lang::prelude::*;

use crate::events::AuthorityProposed;
use crate::state::Market;

#[derive(Accounts)]
pub struct ProposeAuthority {
    pub authority: Signer,
    #[account(mut, seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
}

pub fn handler(ctx: &mut Context<ProposeAuthority>, pending: Address) -> Result<()> {
    let market = &mut ctx.accounts.market;
    market.require_authority(ctx.accounts.authority.address())?;
    market.pending_authority = pending;
    market.invariant()?;
    emit!(AuthorityProposed { authority: market.authority, pending });
    Ok(())
}
