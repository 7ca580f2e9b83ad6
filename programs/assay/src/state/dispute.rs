use anchor_lang::prelude::*;

use super::Now;
use crate::constants::BPS;
use crate::error::AssayError;
use crate::math::div_ceil;

pub const DISPUTE_OPEN: u8 = 0;
/// The answer should have been accepted: its labeler was paid.
pub const DISPUTE_UPHELD: u8 = 1;
/// The rejection stands: the bond was lost.
pub const DISPUTE_DISMISSED: u8 = 2;
/// No panel decided in time: the bond went back, nobody was paid.
pub const DISPUTE_LAPSED: u8 = 3;

/// Panels that may fail to decide before a dispute lapses.
pub const DISPUTE_ROUNDS: u32 = 3;
/// Seats of a dispute's panel: two more than any request's.
pub const MAX_DISPUTE_PANEL: usize = 9;

/// A labeler's objection to one rejection. It stays after its end, so that no answer is disputed twice.
#[account]
pub struct Dispute {
    pub request: Address,
    /// The labeler's Participant.
    pub labeler: Address,
    pub answer_id: [u8; 32],
    /// Of the answer's entry: in review mode the hash of the votes that rejected it.
    pub evidence: [u8; 32],
    /// Wallets drawn for this dispute alone.
    pub panel: [Address; 9],
    pub batch: u64,
    /// In the stake vault, base units of `mints[0]`.
    pub bond: u64,
    /// Of the request's escrow, held in its `bonds` until the dispute ends.
    pub held: u64,
    /// Market time of the batch that rejected the answer.
    pub settled_at: i64,
    /// Market time.
    pub opened_at: i64,
    /// Market time from which the account may go: its answer cannot be disputed any more.
    pub closable_at: i64,
    /// Market time.
    pub panel_at: i64,
    /// Slot whose hash draws the next panel; 0 when none is fixed.
    pub seed_slot: u64,
    pub panel_round: u32,
    /// Seats whose signature for `upheld` was shown in this round, a bit each.
    pub upheld: u16,
    /// Seats whose signature for `dismissed` was shown.
    pub dismissed: u16,
    pub state: u8,
    pub panel_count: u8,
    /// 1 when the votes behind the rejection have been set right.
    pub corrected: u8,
    pub bump: u8,
    pub reserved: [u8; 76],
}

impl Dispute {
    pub fn quorum(&self, quorum_bps: u16) -> u32 {
        div_ceil(self.panel_count as u32 * quorum_bps as u32, BPS as u32)
    }

    pub fn require_open(&self) -> Result<()> {
        require!(self.state == DISPUTE_OPEN, AssayError::DisputeOver);
        Ok(())
    }

    /// What a quorum of the panel in office says, if it says anything.
    pub fn decision(&self, quorum_bps: u16) -> Option<u8> {
        if self.panel_count == 0 {
            return None;
        }
        let quorum = self.quorum(quorum_bps);
        if self.upheld.count_ones() >= quorum {
            Some(DISPUTE_UPHELD)
        } else if self.dismissed.count_ones() >= quorum {
            Some(DISPUTE_DISMISSED)
        } else {
            None
        }
    }

    /// Whether the panel in office has had its time and did not decide.
    pub fn timed_out(&self, now: &Now, timeout: i64, quorum_bps: u16) -> bool {
        self.panel_count > 0 && now.market >= self.panel_at + timeout && self.decision(quorum_bps).is_none()
    }

    /// Seats of which no signature was shown.
    pub fn silent(&self) -> u16 {
        let seats = ((1u32 << self.panel_count) - 1) as u16;
        seats & !(self.upheld | self.dismissed)
    }

    /// When the dispute lapses whatever happens: every round had its time, and one timeout more for the drawings.
    pub fn lapses_at(&self, timeout: i64) -> i64 {
        self.opened_at + timeout * (DISPUTE_ROUNDS as i64 + 1)
    }

    pub fn end(&mut self, state: u8) -> Result<()> {
        self.require_open()?;
        self.state = state;
        self.held = 0;
        self.bond = 0;
        self.invariant()
    }

    pub fn invariant(&self) -> Result<()> {
        let seats = if self.panel_count == 0 { 0 } else { ((1u32 << self.panel_count) - 1) as u16 };
        let good = self.state <= DISPUTE_LAPSED
            && self.panel_count as usize <= MAX_DISPUTE_PANEL
            && self.panel_round <= DISPUTE_ROUNDS
            && self.upheld & self.dismissed == 0
            && (self.upheld | self.dismissed) & !seats == 0
            && (self.state == DISPUTE_OPEN || (self.held == 0 && self.bond == 0));
        require!(good, AssayError::InvariantBroken);
        Ok(())
    }
}
