//! Takes an exit back: all of the leaving stake is active again.

use anchor_lang::prelude::*;

use crate::error::AssayError;
use crate::events::UnstakeCancelled;
use crate::state::{Market, Participant, ValidatorSet, VALIDATOR};

#[derive(Accounts)]
pub struct CancelUnstake {
    pub wallet: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut, seeds = [b"participant", wallet.address().as_ref()], bump = participant.bump)]
    pub participant: Account<Participant>,
    #[account(mut, seeds = [b"validators"], bump = validators.bump)]
    pub validators: Account<ValidatorSet>,
}

pub fn handler(ctx: &mut Context<CancelUnstake>) -> Result<()> {
    let accounts = &mut ctx.accounts;
    let now = accounts.market.now()?;
    let minimum = accounts.participant.minimum(&accounts.market.params);
    let participant = &mut accounts.participant;
    let amount = participant.cancel_unstake()?;
    require!(participant.stake >= minimum, AssayError::BelowMinimumStake);
    if participant.role == VALIDATOR {
        let inside = accounts.validators.update(accounts.wallet.address(), participant.stake, minimum, now.slot)?;
        require!(inside, AssayError::ValidatorSetFull);
    }
    emit!(UnstakeCancelled { participant: *participant.address(), amount, stake: participant.stake });
    Ok(())
}
