use anchor_lang::prelude::*;
use anchor_lang::IdlType;
use bytemuck::{Pod, Zeroable};

use super::Params;
use crate::error::AssayError;

/// A mint that requests may pay in.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, IdlType)]
pub struct MintEntry {
    pub mint: Address,
    pub token_program: Address,
    pub decimals: u8,
    pub enabled: u8,
    pub owed_bump: u8,
    pub fees_bump: u8,
    pub reserved: [u8; 4],
}

/// The market: who may set its parameters, the mints it takes, its clock. Authority of every vault.
#[account]
pub struct Market {
    pub authority: Address,
    /// Zero when nobody is proposed.
    pub pending_authority: Address,
    pub mints: [MintEntry; 4],
    pub params: Params,
    /// Wall time of the pause that is on, else 0.
    pub paused_at: i64,
    /// Seconds of all pauses that are over.
    pub paused_total: i64,
    pub mint_count: u8,
    pub paused: u8,
    pub bump: u8,
    pub stake_bump: u8,
    pub reserved: [u8; 124],
}

/// Wall and market time of one instruction.
#[derive(Clone, Copy)]
pub struct Now {
    /// The cluster's unix timestamp, seconds.
    pub wall: i64,
    /// Wall time without the market's pauses, seconds.
    pub market: i64,
    pub slot: u64,
}

impl Market {
    pub fn now(&self) -> Result<Now> {
        let clock = Clock::get()?;
        let wall = clock.unix_timestamp;
        let upto = if self.paused == 1 { self.paused_at } else { wall };
        Ok(Now { wall, market: upto - self.paused_total, slot: clock.slot })
    }

    pub fn require_authority(&self, signer: &Address) -> Result<()> {
        require!(self.authority == *signer, AssayError::NotAuthority);
        Ok(())
    }

    pub fn require_running(&self) -> Result<()> {
        require!(self.paused == 0, AssayError::Paused);
        Ok(())
    }

    /// Index of `mint` among the allowed mints, enabled or not.
    pub fn mint_index(&self, mint: &Address) -> Result<usize> {
        let known = &self.mints[..self.mint_count as usize];
        known.iter().position(|entry| entry.mint == *mint).ok_or(AssayError::WrongMint.into())
    }

    pub fn pause(&mut self, wall: i64) -> Result<()> {
        self.require_running()?;
        self.paused = 1;
        self.paused_at = wall;
        self.invariant()
    }

    pub fn unpause(&mut self, wall: i64) -> Result<()> {
        require!(self.paused == 1, AssayError::NotPaused);
        // A cluster's clock may step back a little; market time must not jump ahead for it.
        self.paused_total += (wall - self.paused_at).max(0);
        self.paused = 0;
        self.paused_at = 0;
        self.invariant()
    }

    pub fn invariant(&self) -> Result<()> {
        self.params.validate()?;
        let good = self.mint_count >= 1
            && self.mint_count as usize <= self.mints.len()
            && self.paused <= 1
            && (self.paused == 1 || self.paused_at == 0)
            && self.paused_total >= 0;
        require!(good, AssayError::InvariantBroken);
        Ok(())
    }
}
