use anchor_lang::prelude::*;
use anchor_lang::IdlType;
use bytemuck::{Pod, Zeroable};

use super::{Now, Terms};
use crate::constants::*;
use crate::error::AssayError;
use crate::math::{bps, div_ceil, hash_node};

pub const AGREEMENT: u8 = 0;
pub const REVIEW: u8 = 1;

pub const OPEN: u8 = 0;
pub const CLOSING: u8 = 1;
pub const CLOSED: u8 = 2;

/// Money held back for rejections that can be disputed until `until` (market time).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, IdlType)]
pub struct Reserve {
    pub until: i64,
    pub amount: u64,
}

/// A buyer's order: its terms, its escrow's books, its log and its panel.
#[account]
pub struct Request {
    /// The buyer's wallet.
    pub buyer: Address,
    /// sha256 of the canonical specification.
    pub spec_hash: [u8; 32],
    /// Names this request on this cluster in every signed message.
    pub domain: [u8; 32],
    pub log_head: [u8; 32],
    /// Merkle mountain range over the log: `peaks[h]` stands for 2^h batches when bit h of `next_batch` is set.
    pub peaks: [[u8; 32]; 32],
    /// Wallets.
    pub panel: [Address; 7],
    pub terms: Terms,
    pub id: u64,
    /// For an accepted answer, before premium; base units.
    pub price: u64,
    /// For a record's validation, in all; base units.
    pub validation_fee: u64,
    /// Market time, like all times here.
    pub deadline: i64,
    pub posted_at: i64,
    /// Until when work in hand may be settled; 0 while open.
    pub grace_until: i64,
    /// Wall time of the last batch: unstaking runs on it, and the evidence must outlive that.
    pub last_settled_at: i64,
    pub locked: u64,
    pub paid_labelers: u64,
    pub paid_validators: u64,
    pub fees: u64,
    pub fees_collected: u64,
    pub refunded: u64,
    /// Held for open disputes.
    pub bonds: u64,
    pub reserves: [Reserve; 5],
    pub answers_accepted: u64,
    pub answers_rejected: u64,
    pub next_batch: u64,
    /// First batch of the panel in office.
    pub panel_from: u64,
    /// Market time of the panel's drawing, or of its last batch.
    pub panel_at: i64,
    /// Slot whose hash draws the next panel; 0 when none is fixed.
    pub seed_slot: u64,
    /// Records wanted.
    pub records: u32,
    pub records_done: u32,
    pub panel_round: u32,
    pub overlap: u16,
    pub mint_index: u8,
    pub mode: u8,
    pub kind: u8,
    pub min_tier: u8,
    pub state: u8,
    pub panel_count: u8,
    pub bump: u8,
    pub vault_bump: u8,
    pub reserved: [u8; 130],
}

impl Request {
    /// Signatures that settle a batch.
    pub fn quorum(&self) -> u32 {
        let seats = self.panel_count as u32;
        div_ceil(seats * self.terms.params.quorum_bps as u32, BPS as u32)
    }

    /// The highest premium any tier gets.
    pub fn top_premium(&self) -> u16 {
        let mut top = 0;
        for premium in self.terms.premium_bps {
            top = top.max(premium);
        }
        top
    }

    pub fn reserved_total(&self) -> u64 {
        let mut total: u64 = 0;
        for reserve in &self.reserves {
            total = total.saturating_add(reserve.amount);
        }
        total
    }

    /// Frees what no dispute can reach any more.
    pub fn release_reserves(&mut self, now: i64) {
        for reserve in &mut self.reserves {
            if reserve.until <= now {
                *reserve = Reserve { until: 0, amount: 0 };
            }
        }
    }

    /// Holds `amount` at least one dispute window. Ends are rounded up to quarters of the window, so five buckets do.
    pub fn reserve(&mut self, amount: u64, now: i64) -> Result<()> {
        let window = self.terms.params.dispute_window;
        if amount == 0 || window == 0 {
            return Ok(());
        }
        // Unsigned, since the virtual machine has no signed division; times are never negative.
        let quarter = (window as u64).div_ceil(4);
        let end = (now + window) as u64;
        let until = (end + (quarter - end % quarter) % quarter) as i64;
        let same = self.reserves.iter().position(|reserve| reserve.amount > 0 && reserve.until == until);
        let place = same.or(self.reserves.iter().position(|reserve| reserve.amount == 0));
        let place = &mut self.reserves[place.ok_or(AssayError::InvariantBroken)?];
        place.until = until;
        place.amount = place.amount.checked_add(amount).ok_or(AssayError::Overflow)?;
        Ok(())
    }

    /// Moves one rejected answer's reserve, of a batch settled at `settled_at`, to what is held for open disputes. It is
    /// taken from the reserve that ends first and still covers the batch, so that later ones keep theirs.
    pub fn hold_for_dispute(&mut self, settled_at: i64) -> Result<u64> {
        let amount = self.price.checked_add(bps(self.price, self.top_premium() as u64)?).ok_or(AssayError::Overflow)?;
        let end = settled_at + self.terms.params.dispute_window;
        let reserve = self
            .reserves
            .iter_mut()
            .filter(|reserve| reserve.until >= end && reserve.amount >= amount)
            .min_by_key(|reserve| reserve.until)
            .ok_or(AssayError::InvariantBroken)?;
        reserve.amount -= amount;
        self.bonds = self.bonds.checked_add(amount).ok_or(AssayError::Overflow)?;
        self.invariant()?;
        Ok(amount)
    }

    /// Pays one answer whose rejection a dispute has overturned.
    pub fn accept_after_all(&mut self, paid: u64) -> Result<()> {
        self.paid_labelers = self.paid_labelers.checked_add(paid).ok_or(AssayError::Overflow)?;
        self.answers_rejected = self.answers_rejected.saturating_sub(1);
        self.answers_accepted = self.answers_accepted.saturating_add(1);
        // In agreement mode the task has its record already; a request that is full gets one more than it asked for.
        if self.mode == REVIEW && self.records_done < self.records {
            self.records_done += 1;
        }
        self.invariant()
    }

    /// What has left the escrow or is spoken for.
    pub fn committed(&self) -> Option<u64> {
        self.paid_labelers
            .checked_add(self.paid_validators)?
            .checked_add(self.fees)?
            .checked_add(self.refunded)?
            .checked_add(self.bonds)?
            .checked_add(self.reserved_total())
    }

    /// What the buyer could have back now.
    pub fn free(&self) -> Result<u64> {
        let committed = self.committed().ok_or(AssayError::Overflow)?;
        self.locked.checked_sub(committed).ok_or(AssayError::EscrowTooSmall.into())
    }

    /// What the vault must hold.
    pub fn held(&self) -> Result<u64> {
        let gone = self.paid_labelers + self.paid_validators + self.fees_collected + self.refunded;
        self.locked.checked_sub(gone).ok_or(AssayError::InvariantBroken.into())
    }

    pub fn settling(&self, now: &Now) -> bool {
        match self.state {
            OPEN => true,
            CLOSING => now.market < self.grace_until,
            _ => false,
        }
    }

    /// Open → closing: no new work; what is in hand may be settled for the grace period.
    pub fn begin_closing(&mut self, now: &Now) -> Result<()> {
        require!(self.state == OPEN, AssayError::NotOpen);
        self.state = CLOSING;
        self.grace_until = now.market + self.terms.params.grace;
        self.invariant()
    }

    /// Appends a leaf to the log's mountain range. `next_batch` still counts the leaves before it.
    pub fn append(&mut self, leaf: [u8; 32]) {
        let mut node = leaf;
        let mut height = 0;
        while height < MAX_PEAKS - 1 && (self.next_batch >> height) & 1 == 1 {
            node = hash_node(&self.peaks[height], &node);
            self.peaks[height] = [0; 32];
            height += 1;
        }
        self.peaks[height] = node;
    }

    pub fn invariant(&self) -> Result<()> {
        self.free()?;
        let good = self.fees_collected <= self.fees
            && self.records_done <= self.records
            && self.state <= CLOSED
            && (self.state == OPEN || self.grace_until > 0)
            && self.panel_count as usize <= MAX_PANEL;
        require!(good, AssayError::InvariantBroken);
        Ok(())
    }
}
