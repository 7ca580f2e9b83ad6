//! The rent of a dispute that has ended goes back to its labeler, once its answer cannot be disputed again.

use anchor_lang::prelude::*;

use crate::error::AssayError;
use crate::state::{Dispute, Market, Participant, DISPUTE_OPEN};

#[derive(Accounts)]
pub struct CloseDispute {
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut, close = wallet)]
    pub dispute: Account<Dispute>,
    #[account(address = dispute.labeler)]
    pub labeler: Account<Participant>,
    #[account(mut, address = labeler.wallet)]
    pub wallet: UncheckedAccount,
}

pub fn handler(ctx: &mut Context<CloseDispute>) -> Result<()> {
    let dispute = &ctx.accounts.dispute;
    let due = dispute.state != DISPUTE_OPEN && ctx.accounts.market.now()?.market >= dispute.closable_at;
    require!(due, AssayError::DisputeKept);
    Ok(())
}
