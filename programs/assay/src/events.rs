//! What the program says of each change, for indexers and auditors.

use anchor_lang::prelude::*;

use crate::state::Params;

#[event]
pub struct MarketInitialized {
    pub authority: Address,
    pub mint: Address,
    pub params: Params,
}

#[event]
pub struct Registered {
    pub wallet: Address,
    pub participant: Address,
    pub role: u8,
}
