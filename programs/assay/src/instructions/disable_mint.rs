//! No new request in this mint. What was posted, staked or owed in it goes on.

use anchor_lang::prelude::*;

use crate::events::MintDisabled;
use crate::state::Market;

#[derive(Accounts)]
pub struct DisableMint {
    pub authority: Signer,
    #[account(mut, seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    pub mint: UncheckedAccount,
}

pub fn handler(ctx: &mut Context<DisableMint>) -> Result<()> {
    let market = &mut ctx.accounts.market;
    market.require_authority(ctx.accounts.authority.address())?;
    let mint = *ctx.accounts.mint.address();
    let index = market.mint_index(&mint)?;
    market.mints[index].enabled = 0;
    market.invariant()?;
    emit!(MintDisabled { mint, mint_index: index as u8 });
    Ok(())
}
