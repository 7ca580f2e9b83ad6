//! Second half of a hand-over: the new authority shows that it can sign.

use anchor_lang::prelude::*;

use crate::error::AssayError;
use crate::events::AuthorityAccepted;
use crate::state::Market;

#[derive(Accounts)]
pub struct AcceptAuthority {
    pub pending: Signer,
    #[account(mut, seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
}

pub fn handler(ctx: &mut Context<AcceptAuthority>) -> Result<()> {
    let market = &mut ctx.accounts.market;
    let signer = *ctx.accounts.pending.address();
    require!(market.pending_authority == signer, AssayError::NotPendingAuthority);
    let old = market.authority;
    market.authority = signer;
    market.pending_authority = Address::default();
    market.invariant()?;
    emit!(AuthorityAccepted { old, authority: signer });
    Ok(())
}
