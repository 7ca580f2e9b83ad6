use anchor_lang::prelude::*;
use anchor_lang::IdlType;
use bytemuck::{Pod, Zeroable};

use crate::constants::MAX_VALIDATORS;
use crate::error::AssayError;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, IdlType)]
pub struct ValidatorEntry {
    pub wallet: Address,
    pub stake: u64,
    /// Slot of the entry's last change: only older entries take part in a drawing.
    pub since_slot: u64,
}

/// Validators whose active stake is at least the market's minimum.
#[account]
pub struct ValidatorSet {
    pub entries: [ValidatorEntry; 128],
    pub count: u32,
    pub bump: u8,
    pub reserved: [u8; 11],
}

impl ValidatorSet {
    pub fn members(&self) -> &[ValidatorEntry] {
        &self.entries[..self.count as usize]
    }

    /// Puts a wallet's stake where it belongs: in, changed or out. In a full set the smallest stake makes room for a
    /// larger one. Returns whether the wallet is in the set now.
    pub fn update(&mut self, wallet: &Address, stake: u64, minimum: u64, slot: u64) -> Result<bool> {
        let place = self.members().iter().position(|entry| entry.wallet == *wallet);
        let entry = ValidatorEntry { wallet: *wallet, stake, since_slot: slot };
        let inside = match (place, stake >= minimum) {
            (Some(at), true) => {
                self.entries[at] = entry;
                true
            }
            (Some(at), false) => {
                let last = self.count as usize - 1;
                self.entries[at] = self.entries[last];
                self.entries[last] = ValidatorEntry::zeroed();
                self.count -= 1;
                false
            }
            (None, true) if (self.count as usize) < MAX_VALIDATORS => {
                self.entries[self.count as usize] = entry;
                self.count += 1;
                true
            }
            (None, true) => self.displace(entry),
            (None, false) => false,
        };
        self.invariant()?;
        Ok(inside)
    }

    fn displace(&mut self, entry: ValidatorEntry) -> bool {
        let mut least = 0;
        for at in 1..MAX_VALIDATORS {
            if self.entries[at].stake < self.entries[least].stake {
                least = at;
            }
        }
        let larger = self.entries[least].stake < entry.stake;
        if larger {
            self.entries[least] = entry;
        }
        larger
    }

    pub fn invariant(&self) -> Result<()> {
        require!(self.count as usize <= MAX_VALIDATORS, AssayError::InvariantBroken);
        Ok(())
    }
}
