//! Assay: escrow, stake, settlement and reputation of a marketplace for AI training data.
//!
//! `docs/protocol.md` says what is signed and hashed; `docs/program.md` lists accounts, instructions and errors.
#![cfg_attr(target_os = "solana", no_std)]

extern crate alloc;

use anchor_lang::prelude::*;

pub mod constants;
pub mod error;
pub mod events;
pub mod instructions;
pub mod math;
pub mod state;
pub mod token;

use instructions::*;
use state::Params;

declare_id!("3Yo91yiiAfgVUDci9sBTVoeMmqXedmQXmzRFuEgFiT3z");

#[program]
pub mod assay {
    use super::*;

    /// Creates the market with its first mint, in which stakes and bonds are held.
    pub fn initialize_market(ctx: &mut Context<InitializeMarket>, params: Params) -> Result<()> {
        instructions::initialize_market::handler(ctx, params)
    }

    /// Registers a wallet in a role, for good. Anyone may pay the rent.
    pub fn register(ctx: &mut Context<Register>, role: u8) -> Result<()> {
        instructions::register::handler(ctx, role)
    }
}
