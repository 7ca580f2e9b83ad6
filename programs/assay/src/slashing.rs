//! Where slashed tokens go: to the buyers whom the strikes harmed, each at most its loss, and the rest by the market's
//! policy. Stake on its way out is taken first, then active stake, so both count once and nothing underflows.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::{HarmRepaid, Slashed};
use crate::math::mul_div;
use crate::state::{Harm, Market, Participant, ValidatorSet, BUYER, VALIDATOR};
use crate::token::market_mover;

/// Stake burned, or recycled to the fee vault.
pub const BURN: u8 = 0;

pub struct Slash<'a> {
    pub market: &'a Account<Market>,
    pub participant: &'a mut Account<Participant>,
    pub validators: &'a mut Account<ValidatorSet>,
    pub stake_vault: &'a AccountView,
    pub owed_vault: &'a AccountView,
    pub fee_vault: &'a AccountView,
    pub mint: &'a AccountView,
    /// Participants of the buyers in `participant.harms`, in their order.
    pub harmed: &'a [AccountView],
}

impl Slash<'_> {
    /// Takes `amount` (at most all) and starts the participant's counters anew.
    pub fn run(&mut self, amount: u64, reason: u8) -> Result<()> {
        let person = &mut **self.participant;
        let amount = amount.min(person.stake.saturating_add(person.unstaking));
        require!(amount > 0, AssayError::NothingToSlash);
        let harms = person.harms;
        let (judgements, strikes) = (person.judgements, person.strikes);
        person.slash(amount)?;
        let (wallet, role, stake) = (person.wallet, person.role, person.stake);
        if role == VALIDATOR {
            let minimum = self.market.params.min_validator_stake;
            self.validators.update(&wallet, stake, minimum, Clock::get()?.slot)?;
        }

        let entry = self.market.mints[0];
        let mover = market_mover(self.market, self.mint, &entry);
        let repaid = self.repay(&harms, amount)?;
        if repaid > 0 {
            mover.transfer(self.stake_vault, self.owed_vault, repaid);
        }
        let rest = amount - repaid;
        let burn = self.market.params.slash_policy == BURN;
        if rest > 0 && burn {
            mover.burn(self.stake_vault, rest);
        } else if rest > 0 {
            mover.transfer(self.stake_vault, self.fee_vault, rest);
        }
        emit!(Slashed {
            participant: *self.participant.address(),
            wallet,
            reason,
            judgements,
            strikes,
            amount,
            repaid,
            burned: if burn { rest } else { 0 },
            recycled: if burn { 0 } else { rest },
        });
        Ok(())
    }

    /// Credits each harmed buyer with its share of `amount`, by loss; what it owes in all is returned.
    fn repay(&self, harms: &[Harm], amount: u64) -> Result<u64> {
        let mut losses: u64 = 0;
        let mut count = 0;
        for harm in harms {
            if harm.loss > 0 {
                losses = losses.saturating_add(harm.loss);
                count += 1;
            }
        }
        require!(self.harmed.len() == count, AssayError::WrongHarmed);
        // Losses are scaled to 32 bits for the division; the divisor rounds up, so no share is too large.
        let mut shift = 0;
        while losses >> shift > u32::MAX as u64 - 1 {
            shift += 1;
        }
        let divisor = (losses >> shift) + ((losses >> shift) << shift != losses) as u64;
        let mut repaid = 0;
        let mut next = 0;
        for harm in harms {
            if harm.loss == 0 {
                continue;
            }
            let view = self.harmed[next];
            next += 1;
            require!(*view.address() == harm.buyer, AssayError::WrongHarmed);
            // SAFETY: another account than every declared one (the derive refuses duplicates of those), and harms name
            // each buyer once.
            let mut buyer = unsafe { Account::<Participant>::load_mut(view) }?;
            require!(buyer.role == BUYER, AssayError::WrongHarmed);
            let share = if losses <= amount { harm.loss } else { mul_div(amount, harm.loss >> shift, divisor)? };
            if share > 0 {
                buyer.owe(0, share)?;
                repaid += share;
                emit!(HarmRepaid { buyer: harm.buyer, from: *self.participant.address(), amount: share });
            }
        }
        Ok(repaid)
    }
}

/// The accounts that both slashes share are the market's own and of its first mint.
pub fn check_vaults(market: &Market, mint: &AccountView, token_program: &AccountView) -> Result<()> {
    require!(*mint.address() == market.mints[0].mint, AssayError::WrongMint);
    require!(*token_program.address() == market.mints[0].token_program, AssayError::WrongMint);
    Ok(())
}
