//! The SlotHashes sysvar, read by the entry: it is 20 KB, and a panel's drawing needs 40 bytes of it.

use anchor_lang::prelude::*;

use crate::error::AssayError;

const HEADER: usize = 8;
const ENTRY: usize = 40;
/// SysvarS1otHashes111111111111111111111111111
const SLOT_HASHES: Address = anchor_lang::address!("SysvarS1otHashes111111111111111111111111111");

/// What the sysvar says of a slot chosen in advance.
pub enum SlotHash {
    /// Neither it nor a later slot has a hash yet.
    Pending,
    /// The hash of the slot, or of the first later one when it was skipped.
    Found([u8; 32]),
    /// So long ago that it may have been pushed out.
    Gone,
}

fn read(buffer: &mut [u8], offset: usize) -> Result<()> {
    // SAFETY: the buffer is as long as the call is told; it fails past the sysvar's end.
    let bytes = buffer.len();
    unsafe { pinocchio::sysvars::get_sysvar_unchecked(buffer.as_mut_ptr(), &SLOT_HASHES, offset, bytes) }
}

fn count() -> Result<usize> {
    let mut header = [0u8; HEADER];
    read(&mut header, 0)?;
    let count = u64::from_le_bytes(header) as usize;
    require!(count > 0, AssayError::NoSlotHash);
    Ok(count)
}

/// Slot and hash of entry `index`, newest first.
fn entry(index: usize) -> Result<(u64, [u8; 32])> {
    let mut bytes = [0u8; ENTRY];
    // The count is at most 512; a checked product of 64-bit words is what the back end cannot make.
    read(&mut bytes, HEADER + index.wrapping_mul(ENTRY))?;
    let (mut slot, mut hash) = ([0u8; 8], [0u8; 32]);
    slot.copy_from_slice(&bytes[..8]);
    hash.copy_from_slice(&bytes[8..]);
    Ok((u64::from_le_bytes(slot), hash))
}

/// Hash of the newest finished slot.
pub fn newest_hash() -> Result<[u8; 32]> {
    count()?;
    Ok(entry(0)?.1)
}

/// Finds the oldest entry at or after `slot` by halving.
pub fn hash_at(slot: u64) -> Result<SlotHash> {
    let count = count()?;
    if entry(0)?.0 < slot {
        return Ok(SlotHash::Pending);
    }
    // Entries [0, after) are at or after `slot`; all from `before` on are older.
    let (mut after, mut before) = (1, count);
    while after < before {
        let middle = (after + before) / 2;
        if entry(middle)?.0 >= slot {
            after = middle + 1;
        } else {
            before = middle;
        }
    }
    let (found, hash) = entry(after - 1)?;
    // At the very end of a full list an older entry at or after `slot` may have been pushed out.
    if after == count && found != slot {
        return Ok(SlotHash::Gone);
    }
    Ok(SlotHash::Found(hash))
}
