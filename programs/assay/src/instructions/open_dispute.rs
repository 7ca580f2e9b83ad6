//! A labeler objects to the rejection of its answer: it proves the rejection against the request's log and puts a bond
//! down. What the answer would earn was reserved by its batch, and is held from now until the dispute ends.
#![allow(unused_variables)] // the derive binds the instruction's arguments where they are not needed, too

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::DisputeOpened;
use crate::math::{hash_node, hashv};
use crate::state::{Dispute, Market, Participant, Request, LABELER};
use crate::token::wallet_mover;

/// A batch has at most 2^20 entries.
const MAX_TREE: usize = 20;
const ANSWER: u8 = 0x01;
const REJECTED: u8 = 0;

#[derive(Accounts)]
#[instruction(answer_id: [u8; 32])]
pub struct OpenDispute {
    #[account(mut)]
    pub wallet: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(seeds = [b"participant", wallet.address().as_ref()], bump = participant.bump)]
    pub participant: Account<Participant>,
    #[account(mut)]
    pub request: Account<Request>,
    #[account(init, payer = wallet, seeds = [b"dispute", request.address().as_ref(), answer_id.as_ref()], bump)]
    pub dispute: Account<Dispute>,
    /// The labeler's, of the market's first mint.
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(mut, seeds = [b"stake"], bump = market.stake_bump)]
    pub stake_vault: UncheckedAccount,
    pub mint: UncheckedAccount,
    pub token_program: UncheckedAccount,
    pub system_program: Program<System>,
}

/// The rejected answer's entry, as the batch's tree has it, and its way to the request's log.
pub struct Rejection<'a> {
    pub answer_id: [u8; 32],
    pub task_id: [u8; 32],
    pub confidence: u16,
    pub evidence: [u8; 32],
    pub batch: u64,
    pub index: u32,
    pub settled_at: i64,
    pub digest: [u8; 32],
    pub proof: &'a [[u8; 32]],
    pub log_proof: &'a [[u8; 32]],
}

/// The root that `leaf`, number `index`, has with these siblings, from the leaf up.
fn climb(leaf: [u8; 32], index: u64, siblings: &[[u8; 32]]) -> [u8; 32] {
    let mut node = leaf;
    for (height, sibling) in siblings.iter().enumerate() {
        node = if (index >> height) & 1 == 1 { hash_node(sibling, &node) } else { hash_node(&node, sibling) };
    }
    node
}

impl Rejection<'_> {
    /// Whether the entry, as a rejection of `labeler`, stands in the log whose peaks the request keeps.
    #[inline(never)]
    pub fn proven(&self, labeler: &Address, request: &Request) -> bool {
        if self.proof.len() > MAX_TREE || self.index >> self.proof.len() != 0 || self.batch >= request.next_batch {
            return false;
        }
        let entry = hashv(&[
            &[0x00, ANSWER],
            &self.answer_id,
            &self.task_id,
            labeler.as_ref(),
            &[REJECTED],
            &self.confidence.to_le_bytes(),
            &self.evidence,
        ]);
        let root = climb(entry, self.index as u64, self.proof);
        let leaf = hashv(&[
            &[0x02],
            &self.batch.to_le_bytes(),
            &root,
            &self.settled_at.to_le_bytes(),
            &self.digest,
        ]);
        // The peaks stand for the batches from the first on, the largest power of two first.
        let mut before = 0u64;
        for height in (0..request.peaks.len()).rev() {
            if (request.next_batch >> height) & 1 == 0 {
                continue;
            }
            let size = 1u64 << height;
            if self.batch < before + size {
                let place = self.batch - before;
                return self.log_proof.len() == height && climb(leaf, place, self.log_proof) == request.peaks[height];
            }
            before += size;
        }
        false
    }
}

fn validate(ctx: &Context<OpenDispute>, rejection: &Rejection) -> Result<()> {
    let accounts = &ctx.accounts;
    let (market, request) = (&accounts.market, &accounts.request);
    require!(accounts.participant.role == LABELER, AssayError::WrongRole);
    require!(*accounts.mint.address() == market.mints[0].mint, AssayError::WrongMint);
    require!(*accounts.token_program.address() == market.mints[0].token_program, AssayError::WrongMint);
    let window = request.terms.params.dispute_window;
    require!(window > 0, AssayError::NoDisputes);
    let now = market.now()?.market;
    let late = rejection.settled_at > now || rejection.settled_at + window <= now;
    require!(!late, AssayError::DisputeWindowOver);
    require!(rejection.proven(accounts.wallet.address(), request), AssayError::WrongProof);
    Ok(())
}

pub fn handler(ctx: &mut Context<OpenDispute>, rejection: Rejection) -> Result<()> {
    validate(ctx, &rejection)?;
    let bump = ctx.bumps.dispute;
    let accounts = &mut ctx.accounts;
    let now = accounts.market.now()?.market;
    let params = accounts.request.terms.params;
    let held = accounts.request.hold_for_dispute(rejection.settled_at)?;
    let bond = params.dispute_bond;
    if bond > 0 {
        let entry = accounts.market.mints[0];
        wallet_mover(accounts.wallet.account(), accounts.mint.account(), &entry).transfer(
            accounts.source.account(),
            accounts.stake_vault.account(),
            bond,
        );
    }
    let request = *accounts.request.address();
    let dispute = &mut accounts.dispute;
    dispute.request = request;
    dispute.labeler = *accounts.participant.address();
    dispute.answer_id = rejection.answer_id;
    dispute.evidence = rejection.evidence;
    dispute.batch = rejection.batch;
    dispute.bond = bond;
    dispute.held = held;
    dispute.settled_at = rejection.settled_at;
    dispute.opened_at = now;
    dispute.closable_at = dispute.lapses_at(params.dispute_round()) + params.dispute_window;
    dispute.bump = bump;
    dispute.invariant()?;
    emit!(DisputeOpened {
        dispute: *dispute.address(),
        request,
        labeler: dispute.labeler,
        answer_id: rejection.answer_id,
        batch: rejection.batch,
        bond,
        held,
    });
    Ok(())
}
