use anchor_lang::prelude::*;
use anchor_lang::{AnchorDeserialize, AnchorSerialize, IdlType};
use bytemuck::{Pod, Zeroable};

use crate::constants::*;
use crate::error::AssayError;

/// What the market's authority may set, within bounds. A request copies them at its posting.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, AnchorDeserialize, AnchorSerialize, IdlType)]
pub struct Params {
    /// Base units of `mints[0]`.
    pub min_labeler_stake: u64,
    /// Base units of `mints[0]`; also what one unit of weight in a panel's drawing costs.
    pub min_validator_stake: u64,
    /// Base units of `mints[0]`.
    pub dispute_bond: u64,
    /// Seconds of wall time.
    pub unstake_window: i64,
    /// Seconds of market time a rejection can be disputed; 0 switches disputes off.
    pub dispute_window: i64,
    /// Seconds of market time that work in hand may still be settled after a cancel or expiry.
    pub grace: i64,
    /// Seconds of market time without a batch after which anyone may redraw a panel.
    pub panel_timeout: i64,
    /// Batches a panel serves.
    pub panel_term: u32,
    /// Of what labelers are paid.
    pub fee_bps: u16,
    pub quorum_bps: u16,
    pub slash_bps: u16,
    pub equivocation_bps: u16,
    pub panel_size: u8,
    /// Index of the honest error rate that `slash_outlier` tests against.
    pub error_rate: u8,
    /// 0: burn what is left of a slash; 1: to the fee vault.
    pub slash_policy: u8,
    /// Zero.
    pub reserved: [u8; 9],
}

impl Params {
    /// Seconds of market time that a dispute's panel has: people may have to look again, so never less than an eighth of
    /// the dispute window.
    pub fn dispute_round(&self) -> i64 {
        self.panel_timeout.max((self.dispute_window as u64 >> 3) as i64)
    }

    pub fn validate(&self) -> Result<()> {
        let window = |seconds: i64, least: i64| seconds >= least && seconds <= MAX_WINDOW;
        let good = self.min_labeler_stake < MAX_AMOUNT
            // A free seat would let one person be the whole panel.
            && self.min_validator_stake >= 1
            && self.min_validator_stake < MAX_AMOUNT
            && self.dispute_bond < MAX_AMOUNT
            // Stake must outlive the disputes over the work it vouches for.
            && window(self.unstake_window, 1)
            && window(self.dispute_window, 0)
            && self.dispute_window <= self.unstake_window
            && window(self.grace, 0)
            && window(self.panel_timeout, 1)
            && self.panel_term >= 1
            && self.fee_bps <= MAX_FEE_BPS
            && (MIN_QUORUM_BPS as u64..=BPS).contains(&(self.quorum_bps as u64))
            && self.slash_bps <= MAX_SLASH_BPS
            && self.equivocation_bps as u64 <= BPS
            && (1..=MAX_PANEL).contains(&(self.panel_size as usize))
            && self.error_rate < ERROR_RATES
            && self.slash_policy <= 1
            && self.reserved == [0; 9];
        require!(good, AssayError::ParameterOutOfBounds);
        Ok(())
    }
}

/// A request's own copy of the market's parameters, and its premiums by reputation tier.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, AnchorSerialize, IdlType)]
pub struct Terms {
    pub params: Params,
    pub premium_bps: [u16; 4],
}
