//! A dispute's panel, drawn like a request's in two calls: the first fixes the slot whose hash is the seed, the second
//! draws. A panel that had its time and did not decide is replaced, and its silent seats get a strike.

use anchor_lang::prelude::*;

use crate::drawing::Drawing;
use crate::error::AssayError;
use crate::events::DisputePanelDrawn;
use crate::math::hashv;
use crate::seats::{each_seat, Seats};
use crate::slots::{hash_at, SlotHash};
use crate::state::{Dispute, Market, Request, ValidatorSet, DISPUTE_ROUNDS, MAX_DISPUTE_PANEL};

const SEED_TAG: &[u8; 16] = b"assay-dpanel-v1\0";
/// Seats beyond the request's panel.
const LARGER: usize = 2;

#[derive(Accounts)]
pub struct DrawDisputePanel {
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut)]
    pub dispute: Account<Dispute>,
    #[account(address = dispute.request)]
    pub request: Account<Request>,
    #[account(seeds = [b"validators"], bump = validators.bump)]
    pub validators: Account<ValidatorSet>,
}

fn validate(ctx: &Context<DrawDisputePanel>) -> Result<()> {
    let accounts = &ctx.accounts;
    let (dispute, params) = (&accounts.dispute, &accounts.request.terms.params);
    dispute.require_open()?;
    let now = accounts.market.now()?;
    let vacant = dispute.panel_count == 0 || dispute.timed_out(&now, params.dispute_round(), params.quorum_bps);
    require!(vacant, AssayError::DisputeInOffice);
    let over = dispute.panel_round >= DISPUTE_ROUNDS || now.market >= dispute.lapses_at(params.dispute_round());
    require!(!over, AssayError::NoMoreRounds);
    Ok(())
}

pub fn handler(ctx: &mut Context<DrawDisputePanel>) -> Result<()> {
    validate(ctx)?;
    let seats = ctx.remaining_accounts()?;
    let accounts = &mut ctx.accounts;
    let now = accounts.market.now()?;
    let request = &accounts.request;
    let dispute = &mut accounts.dispute;
    let seeded = if dispute.seed_slot == 0 { SlotHash::Gone } else { hash_at(dispute.seed_slot)? };
    let hash = match seeded {
        SlotHash::Pending => return Err(AssayError::SeedNotReady.into()),
        SlotHash::Found(hash) => hash,
        SlotHash::Gone => {
            dispute.seed_slot = now.slot + 1;
            return dispute.invariant();
        }
    };

    let round = dispute.panel_round + 1;
    let seed =
        hashv(&[SEED_TAG, &request.domain, dispute.address().as_ref(), &round.to_le_bytes(), &hash]);
    let size = (request.terms.params.panel_size as usize + LARGER).min(MAX_DISPUTE_PANEL);
    let mut panel = [Address::new_from_array([0; 32]); MAX_DISPUTE_PANEL];
    let count = Drawing {
        seed,
        members: accounts.validators.members(),
        min_stake: request.terms.params.min_validator_stake,
        before_slot: dispute.seed_slot,
        excluded: &request.buyer,
        avoided: &request.panel[..request.panel_count as usize],
    }
    .fill(&mut panel[..size]);
    if count == 0 {
        // Nobody was eligible: a later slot lets in those who have joined since.
        dispute.seed_slot = now.slot + 1;
        return dispute.invariant();
    }
    if dispute.panel_count > 0 {
        let silent = Seats { wallets: &dispute.panel, chosen: dispute.silent(), accounts: &seats };
        each_seat(&silent, |_, person| person.strike())?;
    }
    dispute.panel = panel;
    dispute.panel_count = count as u8;
    dispute.panel_round = round;
    dispute.panel_at = now.market;
    dispute.seed_slot = 0;
    dispute.upheld = 0;
    dispute.dismissed = 0;
    dispute.invariant()?;
    emit!(DisputePanelDrawn { dispute: *dispute.address(), round, count: count as u8, panel });
    Ok(())
}
