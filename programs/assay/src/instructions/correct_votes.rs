//! After a dispute was upheld: the revealed votes, which the rejection's evidence commits to, show who voted wrong. Their
//! votes become strikes, and those who had voted right lose theirs. Anyone may show them.

use anchor_lang::prelude::*;
use anchor_lang::{AnchorDeserialize, AnchorSerialize, IdlType};

use crate::error::AssayError;
use crate::events::VotesCorrected;
use crate::math::hashv;
use crate::seats::{each_seat, Seats};
use crate::state::{Dispute, Request, DISPUTE_UPHELD, REVIEW};

const ACCEPT: u8 = 1;
/// Voter, vote and salt.
const VOTE: usize = 65;
/// More votes than any panel has seats.
const MAX_VOTES: usize = 16;

/// A revealed vote, as the evidence hashes it.
#[derive(Clone, Copy, AnchorDeserialize, AnchorSerialize, IdlType)]
pub struct Vote {
    pub voter: Address,
    /// 0 reject, 1 accept.
    pub vote: u8,
    pub salt: [u8; 32],
}

#[derive(Accounts)]
pub struct CorrectVotes {
    #[account(mut)]
    pub dispute: Account<Dispute>,
    #[account(address = dispute.request)]
    pub request: Account<Request>,
}

fn validate(ctx: &Context<CorrectVotes>, votes: &[Vote]) -> Result<()> {
    let (dispute, request) = (&ctx.accounts.dispute, &ctx.accounts.request);
    let due = dispute.state == DISPUTE_UPHELD && dispute.corrected == 0 && request.mode == REVIEW;
    require!(due, AssayError::NothingToCorrect);
    require!(!votes.is_empty() && votes.len() <= MAX_VOTES, AssayError::WrongEvidence);
    let mut bytes = [0u8; VOTE * MAX_VOTES];
    for (vote, place) in votes.iter().zip(bytes.chunks_exact_mut(VOTE)) {
        place[..32].copy_from_slice(vote.voter.as_ref());
        place[32] = vote.vote;
        place[33..].copy_from_slice(&vote.salt);
    }
    let sorted = votes.windows(2).all(|pair| pair[0].voter.as_ref() < pair[1].voter.as_ref());
    let same = hashv(&[&bytes[..VOTE * votes.len()]]) == dispute.evidence;
    require!(sorted && same, AssayError::WrongEvidence);
    Ok(())
}

pub fn handler(ctx: &mut Context<CorrectVotes>, votes: &[Vote]) -> Result<()> {
    validate(ctx, votes)?;
    let given = ctx.remaining_accounts()?;
    let accounts = &mut ctx.accounts;
    let kind = accounts.request.kind as usize;
    let mut voters = [Address::new_from_array([0; 32]); MAX_VOTES];
    for (place, vote) in voters.iter_mut().zip(votes) {
        *place = vote.voter;
    }
    let all = Seats { wallets: &voters[..votes.len()], chosen: ((1u32 << votes.len()) - 1) as u16, accounts: &given };
    each_seat(&all, |seat, person| person.correct(kind, votes[seat].vote == ACCEPT))?;
    accounts.dispute.corrected = 1;
    accounts.dispute.invariant()?;
    emit!(VotesCorrected { dispute: *accounts.dispute.address(), votes: votes.len() as u8 });
    Ok(())
}
