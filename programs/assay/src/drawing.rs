//! Weighted drawing of a panel without replacement, from a seed that nobody knew when the set was fixed.

use anchor_lang::prelude::*;

use crate::math::{hashv, panel_key};
use crate::state::ValidatorEntry;

/// Larger than any key (2^50): who carries it is seated only when too few others are there.
const LAST: u64 = 1 << 60;

pub struct Drawing<'a> {
    pub seed: [u8; 32],
    pub members: &'a [ValidatorEntry],
    pub min_stake: u64,
    /// Entries changed in this slot or later take no part.
    pub before_slot: u64,
    /// Who may not sit at all.
    pub excluded: &'a Address,
    /// Who sits only when there are too few others.
    pub avoided: &'a [Address],
}

impl Drawing<'_> {
    /// Fills `seats` with the wallets of the lowest keys, lowest first (ties: lower wallet), and returns how many there are.
    #[inline(never)]
    pub fn fill(&self, seats: &mut [Address]) -> usize {
        let mut keys = [0u64; 16];
        let size = seats.len().min(keys.len());
        let mut count = 0;
        for member in self.members {
            if member.since_slot >= self.before_slot || member.wallet == *self.excluded {
                continue;
            }
            let hash = hashv(&[&self.seed, member.wallet.as_ref()]);
            let mut first = [0u8; 8];
            first.copy_from_slice(&hash[..8]);
            let mut key = panel_key(u64::from_le_bytes(first), member.stake, self.min_stake);
            if self.avoided.contains(&member.wallet) {
                key += LAST;
            }
            let mut place = count;
            while place > 0 && (key, member.wallet.as_ref()) < (keys[place - 1], seats[place - 1].as_ref()) {
                place -= 1;
            }
            if place == size {
                continue;
            }
            let last = if count < size { count } else { size - 1 };
            let mut at = last;
            while at > place {
                keys[at] = keys[at - 1];
                seats[at] = seats[at - 1];
                at -= 1;
            }
            keys[place] = key;
            seats[place] = member.wallet;
            count = last + 1;
        }
        count
    }
}
