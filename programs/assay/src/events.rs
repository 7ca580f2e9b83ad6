//! What the program says of each change, for indexers and auditors. Amounts are base units; `at` is market time.

use alloc::vec::Vec;

use anchor_lang::prelude::*;
use anchor_lang::{AnchorSerialize, IdlType};

use crate::state::{Params, Terms};

#[event]
pub struct MarketInitialized {
    pub authority: Address,
    pub mint: Address,
    pub params: Params,
}

#[event]
pub struct ParamsUpdated {
    pub params: Params,
}

#[event]
pub struct MintAllowed {
    pub mint: Address,
    pub token_program: Address,
    pub mint_index: u8,
    pub decimals: u8,
}

#[event]
pub struct MintDisabled {
    pub mint: Address,
    pub mint_index: u8,
}

#[event]
pub struct Paused {
    /// Wall time.
    pub at: i64,
}

#[event]
pub struct Unpaused {
    /// Wall time.
    pub at: i64,
    pub paused_total: i64,
}

#[event]
pub struct AuthorityProposed {
    pub authority: Address,
    pub pending: Address,
}

#[event]
pub struct AuthorityAccepted {
    pub old: Address,
    pub authority: Address,
}

#[event]
pub struct Registered {
    pub wallet: Address,
    pub participant: Address,
    pub role: u8,
}

#[event]
pub struct PayoutSet {
    pub participant: Address,
    pub mint_index: u8,
    pub payout: Address,
}

#[event]
pub struct Staked {
    pub participant: Address,
    pub amount: u64,
    pub stake: u64,
}

#[event]
pub struct UnstakeRequested {
    pub participant: Address,
    pub amount: u64,
    pub stake: u64,
    pub unstaking: u64,
    /// Wall time.
    pub unstake_at: i64,
}

#[event]
pub struct UnstakeCancelled {
    pub participant: Address,
    pub amount: u64,
    pub stake: u64,
}

#[event]
pub struct StakeWithdrawn {
    pub participant: Address,
    pub amount: u64,
    pub destination: Address,
}

#[event]
pub struct RequestPosted {
    pub request: Address,
    pub buyer: Address,
    pub id: u64,
    pub domain: [u8; 32],
    pub spec_hash: [u8; 32],
    pub terms: Terms,
    pub mint_index: u8,
    pub mode: u8,
    pub kind: u8,
    pub min_tier: u8,
    pub overlap: u16,
    pub records: u32,
    pub price: u64,
    pub validation_fee: u64,
    pub deadline: i64,
    pub locked: u64,
    pub at: i64,
}

#[event]
pub struct RequestToppedUp {
    pub request: Address,
    pub funder: Address,
    pub amount: u64,
    pub locked: u64,
}

#[event]
pub struct PanelSeeded {
    pub request: Address,
    pub seed_slot: u64,
}

#[event]
pub struct PanelDrawn {
    pub request: Address,
    pub round: u32,
    /// First batch of this panel.
    pub from: u64,
    /// The hash of the seed's slot, from which anybody can make `seed` again.
    pub slot_hash: [u8; 32],
    pub seed: [u8; 32],
    pub panel: Vec<Address>,
    pub at: i64,
}

/// What one payee of a batch got, in the order of the accounts.
#[derive(AnchorSerialize, IdlType)]
pub struct Payment {
    pub amount: u64,
    /// 1 when it could not be delivered and is owed.
    pub owed: u8,
}

#[event]
pub struct BatchSettled {
    pub request: Address,
    pub batch: u64,
    pub panel_round: u32,
    pub root: [u8; 32],
    pub digest: [u8; 32],
    pub log_head: [u8; 32],
    pub records: u16,
    pub judged: u16,
    pub answers: u16,
    pub votes: u32,
    pub paid_labelers: u64,
    pub paid_validators: u64,
    pub fee: u64,
    /// Held for the rejections of this batch.
    pub reserved: u64,
    pub records_done: u32,
    pub payments: Vec<Payment>,
    pub at: i64,
}

#[event]
pub struct OwedClaimed {
    pub participant: Address,
    pub mint_index: u8,
    pub amount: u64,
    pub destination: Address,
}

#[event]
pub struct FeesCollected {
    pub request: Address,
    pub amount: u64,
}

#[event]
pub struct FeesWithdrawn {
    pub mint_index: u8,
    pub amount: u64,
    pub destination: Address,
}

#[event]
pub struct RequestClosing {
    pub request: Address,
    /// 1 when its deadline ended it, 0 when its buyer did.
    pub expired: u8,
    pub grace_until: i64,
}

#[event]
pub struct RequestClosed {
    pub request: Address,
    pub refund: u64,
    /// 1 when the refund could not be delivered and is owed.
    pub owed: u8,
    pub refunded: u64,
    /// Still held for disputes; a later call sweeps it.
    pub held: u64,
    pub at: i64,
}

#[event]
pub struct RequestReaped {
    pub request: Address,
    pub buyer: Address,
    /// Tokens that strangers had sent to the vault; owed to the buyer.
    pub surplus: u64,
}

/// Why somebody was slashed.
pub const OUTLIER: u8 = 1;
pub const EQUIVOCATION: u8 = 2;

#[event]
pub struct Slashed {
    pub participant: Address,
    pub wallet: Address,
    /// 1 outlier, 2 equivocation.
    pub reason: u8,
    pub judgements: u32,
    pub strikes: u32,
    pub amount: u64,
    /// To harmed buyers.
    pub repaid: u64,
    pub burned: u64,
    /// To the fee vault.
    pub recycled: u64,
}

#[event]
pub struct HarmRepaid {
    /// The buyer's Participant.
    pub buyer: Address,
    /// The slashed Participant.
    pub from: Address,
    pub amount: u64,
}

#[event]
pub struct DisputeOpened {
    pub dispute: Address,
    pub request: Address,
    pub labeler: Address,
    pub answer_id: [u8; 32],
    pub batch: u64,
    pub bond: u64,
    pub held: u64,
}

#[event]
pub struct DisputePanelDrawn {
    pub dispute: Address,
    pub round: u32,
    pub count: u8,
    pub panel: [Address; 9],
}

#[event]
pub struct DisputeVoted {
    pub dispute: Address,
    pub round: u32,
    /// A bit for each seat.
    pub upheld: u16,
    pub dismissed: u16,
}

#[event]
pub struct DisputeEnded {
    pub dispute: Address,
    pub request: Address,
    /// 1 upheld, 2 dismissed, 3 lapsed.
    pub outcome: u8,
    pub paid: u64,
    /// Back to what the buyer can have.
    pub released: u64,
    pub bond_returned: u64,
    pub bond_burned: u64,
    pub bond_recycled: u64,
}

#[event]
pub struct VotesCorrected {
    pub dispute: Address,
    pub votes: u8,
}
