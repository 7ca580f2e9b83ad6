//! Starts an exit: from now on this stake counts for nothing, but can still be slashed until it has left.

use anchor_lang::prelude::*;

use crate::error::AssayError;
use crate::events::UnstakeRequested;
use crate::state::{Market, Participant, ValidatorSet, VALIDATOR};

#[derive(Accounts)]
pub struct RequestUnstake {
    pub wallet: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut, seeds = [b"participant", wallet.address().as_ref()], bump = participant.bump)]
    pub participant: Account<Participant>,
    #[account(mut, seeds = [b"validators"], bump = validators.bump)]
    pub validators: Account<ValidatorSet>,
}

pub fn handler(ctx: &mut Context<RequestUnstake>, amount: u64) -> Result<()> {
    let accounts = &mut ctx.accounts;
    let now = accounts.market.now()?;
    let minimum = accounts.participant.minimum(&accounts.market.params);
    let participant = &mut accounts.participant;
    participant.begin_unstake(amount, now.wall, accounts.market.params.unstake_window)?;
    require!(participant.stake == 0 || participant.stake >= minimum, AssayError::BelowMinimumStake);
    if participant.role == VALIDATOR {
        accounts.validators.update(accounts.wallet.address(), participant.stake, minimum, now.slot)?;
    }
    emit!(UnstakeRequested {
        participant: *participant.address(),
        amount,
        stake: participant.stake,
        unstaking: participant.unstaking,
        unstake_at: participant.unstake_at,
    });
    Ok(())
}
