use anchor_lang::prelude::*;
use anchor_lang::IdlType;
use bytemuck::{Pod, Zeroable};

use super::Params;
use crate::error::AssayError;

pub const BUYER: u8 = 1;
pub const LABELER: u8 = 2;
pub const VALIDATOR: u8 = 3;

/// What a strike since the last slash put at risk, and for whom.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, IdlType)]
pub struct Harm {
    /// The buyer's Participant; zero when the place is free.
    pub buyer: Address,
    /// Base units of `mints[0]`.
    pub loss: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, IdlType)]
pub struct KindCount {
    pub good: u32,
    pub bad: u32,
}

/// One wallet in one role: stake, earnings that could not be delivered, reputation.
#[account]
pub struct Participant {
    pub wallet: Address,
    /// Token account for each of the market's mints; zero when unset.
    pub payout: [Address; 4],
    /// Earned and not delivered, by mint; the tokens lie in the mint's owed vault.
    pub owed: [u64; 4],
    /// Active stake, base units of `mints[0]`.
    pub stake: u64,
    /// Stake on its way out: it can be slashed, and counts for nothing else.
    pub unstaking: u64,
    /// Wall time from which `unstaking` may leave.
    pub unstake_at: i64,
    /// Wall time at which it may leave even when bonded: the request's time + 2 windows.
    pub unstake_cap: i64,
    /// Wall time until which settled judgements can still be contested.
    pub bonded_until: i64,
    pub joined_at: i64,
    pub slashed_total: u64,
    pub harms: [Harm; 4],
    pub accepted: u32,
    pub rejected: u32,
    pub agreed: u32,
    pub disagreed: u32,
    pub gold_passed: u32,
    pub gold_failed: u32,
    pub disputes_won: u32,
    pub disputes_lost: u32,
    /// Judgements by kind of task.
    pub kinds: [KindCount; 8],
    /// Since the last slash.
    pub judgements: u32,
    /// Since the last slash.
    pub strikes: u32,
    pub slashes: u32,
    pub role: u8,
    pub bump: u8,
    pub reserved: [u8; 130],
}

impl Participant {
    /// The stake below which this role may not work: 0 for buyers.
    pub fn minimum(&self, params: &Params) -> u64 {
        match self.role {
            LABELER => params.min_labeler_stake,
            VALIDATOR => params.min_validator_stake,
            _ => 0,
        }
    }

    pub fn add_stake(&mut self, amount: u64) -> Result<()> {
        self.stake = self.stake.checked_add(amount).ok_or(AssayError::Overflow)?;
        self.invariant()
    }

    /// Moves `amount` from active to leaving stake. A second request joins the first, and the window starts anew for both.
    pub fn begin_unstake(&mut self, amount: u64, wall: i64, window: i64) -> Result<()> {
        require!(amount > 0, AssayError::BadAmount);
        self.stake = self.stake.checked_sub(amount).ok_or(AssayError::InsufficientStake)?;
        self.unstaking = self.unstaking.checked_add(amount).ok_or(AssayError::Overflow)?;
        self.unstake_at = wall + window;
        self.unstake_cap = wall + 2 * window;
        self.invariant()
    }

    /// Everything that is leaving becomes active again.
    pub fn cancel_unstake(&mut self) -> Result<u64> {
        let amount = self.unstaking;
        require!(amount > 0, AssayError::NothingUnstaking);
        self.stake = self.stake.checked_add(amount).ok_or(AssayError::Overflow)?;
        self.clear_unstaking();
        self.invariant()?;
        Ok(amount)
    }

    /// Takes out what was leaving: after the window, and after the last pending judgement or the cap.
    pub fn finish_unstake(&mut self, wall: i64) -> Result<u64> {
        let amount = self.unstaking;
        require!(amount > 0, AssayError::NothingUnstaking);
        require!(wall >= self.unstake_at, AssayError::StillUnstaking);
        require!(wall >= self.bonded_until || wall >= self.unstake_cap, AssayError::StillBonded);
        self.clear_unstaking();
        self.invariant()?;
        Ok(amount)
    }

    fn clear_unstaking(&mut self) {
        self.unstaking = 0;
        self.unstake_at = 0;
        self.unstake_cap = 0;
    }

    /// One more judgement that went against this participant.
    pub fn strike(&mut self) -> Result<()> {
        self.judgements = self.judgements.saturating_add(1);
        self.strikes = self.strikes.saturating_add(1);
        self.invariant()
    }

    /// A validator's vote on a dispute, beside what its panel decided.
    pub fn judge(&mut self, kind: usize, right: bool) -> Result<()> {
        let count = &mut self.kinds[kind];
        if right {
            self.agreed = self.agreed.saturating_add(1);
            count.good = count.good.saturating_add(1);
            self.judgements = self.judgements.saturating_add(1);
            return self.invariant();
        }
        self.disagreed = self.disagreed.saturating_add(1);
        count.bad = count.bad.saturating_add(1);
        self.strike()
    }

    /// A vote that was counted one way turns out to have been `right`, or not, after all.
    pub fn correct(&mut self, kind: usize, right: bool) -> Result<()> {
        let count = &mut self.kinds[kind];
        if right {
            self.disagreed = self.disagreed.saturating_sub(1);
            self.agreed = self.agreed.saturating_add(1);
            count.bad = count.bad.saturating_sub(1);
            count.good = count.good.saturating_add(1);
            self.strikes = self.strikes.saturating_sub(1);
        } else {
            self.agreed = self.agreed.saturating_sub(1);
            self.disagreed = self.disagreed.saturating_add(1);
            count.good = count.good.saturating_sub(1);
            count.bad = count.bad.saturating_add(1);
            self.strikes = self.strikes.saturating_add(1);
            // A slash in between has taken the judgement out of the count.
            self.judgements = self.judgements.max(self.strikes);
        }
        self.invariant()
    }

    /// A labeler's rejected answer is accepted: its dispute was upheld.
    pub fn accept_after_all(&mut self, kind: u8) -> Result<()> {
        let count = &mut self.kinds[kind as usize];
        self.rejected = self.rejected.saturating_sub(1);
        self.accepted = self.accepted.saturating_add(1);
        count.bad = count.bad.saturating_sub(1);
        count.good = count.good.saturating_add(1);
        self.strikes = self.strikes.saturating_sub(1);
        self.disputes_won = self.disputes_won.saturating_add(1);
        self.invariant()
    }

    /// Takes a slash of at most all stake, first from what is leaving, and starts the counters anew.
    pub fn slash(&mut self, amount: u64) -> Result<()> {
        let leaving = amount.min(self.unstaking);
        self.unstaking -= leaving;
        if self.unstaking == 0 {
            self.clear_unstaking();
        }
        self.stake = self.stake.checked_sub(amount - leaving).ok_or(AssayError::InsufficientStake)?;
        self.slashed_total = self.slashed_total.checked_add(amount).ok_or(AssayError::Overflow)?;
        self.slashes = self.slashes.saturating_add(1);
        self.judgements = 0;
        self.strikes = 0;
        self.harms = [Harm { buyer: Address::new_from_array([0; 32]), loss: 0 }; 4];
        self.invariant()
    }

    pub fn owe(&mut self, mint_index: usize, amount: u64) -> Result<()> {
        self.owed[mint_index] = self.owed[mint_index].checked_add(amount).ok_or(AssayError::Overflow)?;
        Ok(())
    }

    /// Remembers what `bad` strikes put at risk. Four buyers are kept; a larger loss takes the place of the smallest.
    pub fn harm(&mut self, buyer: &Address, loss: u64) {
        if loss == 0 {
            return;
        }
        if let Some(known) = self.harms.iter_mut().find(|harm| harm.buyer == *buyer) {
            known.loss = known.loss.saturating_add(loss);
            return;
        }
        let mut least = 0;
        for index in 1..self.harms.len() {
            if self.harms[index].loss < self.harms[least].loss {
                least = index;
            }
        }
        if self.harms[least].loss < loss {
            self.harms[least] = Harm { buyer: *buyer, loss };
        }
    }

    pub fn invariant(&self) -> Result<()> {
        let good = (BUYER..=VALIDATOR).contains(&self.role)
            && self.stake.checked_add(self.unstaking).is_some()
            && (self.unstaking > 0 || self.unstake_at == 0)
            && self.unstake_at <= self.unstake_cap
            && self.strikes <= self.judgements;
        require!(good, AssayError::InvariantBroken);
        Ok(())
    }
}
