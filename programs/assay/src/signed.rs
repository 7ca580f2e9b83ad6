//! Signatures that the Ed25519 program has verified in the instruction right before this one.

use anchor_lang::prelude::*;
use anchor_lang::address;

use crate::error::AssayError;

pub const ED25519: Address = address!("Ed25519SigVerify111111111111111111111111111");
/// Count and padding, then 14 bytes of offsets a signature: the layout of Agave's `Ed25519SignatureOffsets`.
const HEADER: usize = 2;
const OFFSETS: usize = 14;
/// "In this very instruction": only then are the bytes read here the bytes that were verified.
const THIS: u16 = u16::MAX;

/// Calls `visit(key, message)` for each signature of the instruction before this one, and returns how many there are.
pub fn each_signature(
    instructions: &SysvarInstructions,
    mut visit: impl FnMut(&Address, &[u8]) -> Result<()>,
) -> Result<usize> {
    let previous = instructions.get_instruction_relative(-1).map_err(|_| AssayError::NoSignatures)?;
    require!(*previous.get_program_id() == ED25519, AssayError::NoSignatures);
    let data = previous.get_instruction_data();
    let count = *data.first().ok_or(AssayError::BadSignatureLayout)? as usize;
    require!(count > 0, AssayError::NoSignatures);
    for index in 0..count {
        let at = HEADER + index * OFFSETS;
        let offsets = data.get(at..at + OFFSETS).ok_or(AssayError::BadSignatureLayout)?;
        let word = |place: usize| u16::from_le_bytes([offsets[place], offsets[place + 1]]);
        let within = word(2) == THIS && word(6) == THIS && word(12) == THIS;
        require!(within, AssayError::BadSignatureLayout);
        let (key_at, from, size) = (word(4) as usize, word(8) as usize, word(10) as usize);
        let key = data.get(key_at..key_at + 32).ok_or(AssayError::BadSignatureLayout)?;
        let message = data.get(from..from + size).ok_or(AssayError::BadSignatureLayout)?;
        let mut bytes = [0u8; 32];
        bytes.copy_from_slice(key);
        visit(&Address::new_from_array(bytes), message)?;
    }
    Ok(count)
}
