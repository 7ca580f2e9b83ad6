use anchor_lang::prelude::*;

/// An equivocation that has been slashed: it stands at an address made of participant and message, so that the same
/// pair of signatures is worth nothing a second time.
#[account]
pub struct Offence {
    pub participant: Address,
    /// sha256 of what the two messages have in common.
    pub key: [u8; 32],
    /// Wall time.
    pub slashed_at: i64,
    pub bump: u8,
    pub reserved: [u8; 7],
}
