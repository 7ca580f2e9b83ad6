//! Draws a request's panel in two calls, open to anyone: the first fixes a slot that is yet to come, the second draws by
//! that slot's hash. Nobody can choose a seed that suits them, and a panel that does not sign is replaced.

use anchor_lang::prelude::*;

use crate::constants::MAX_PANEL;
use crate::drawing::Drawing;
use crate::error::AssayError;
use crate::events::{PanelDrawn, PanelSeeded};
use crate::math::hashv;
use crate::slots::{hash_at, SlotHash};
use crate::state::{Market, Now, Request, ValidatorEntry, ValidatorSet};

#[derive(Accounts)]
pub struct DrawPanel {
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(seeds = [b"validators"], bump = validators.bump)]
    pub validators: Account<ValidatorSet>,
    #[account(mut)]
    pub request: Account<Request>,
}

/// A panel is due when there is none, when its term is over, or when it has let the timeout pass without a batch.
fn due(request: &Request, now: &Now) -> bool {
    let terms = &request.terms.params;
    request.panel_count == 0
        || request.next_batch >= request.panel_from + terms.panel_term as u64
        || now.market >= request.panel_at + terms.panel_timeout
}

pub fn handler(ctx: &mut Context<DrawPanel>) -> Result<()> {
    let now = ctx.accounts.market.now()?;
    let address = *ctx.accounts.request.address();
    let request = &mut ctx.accounts.request;
    require!(request.settling(&now), AssayError::NotSettling);
    if request.seed_slot == 0 {
        require!(due(request, &now), AssayError::PanelInOffice);
        let seats = request.terms.params.panel_size as usize;
        let mut others = ctx.accounts.validators.members().iter().filter(|member| member.wallet != request.buyer);
        require!(others.nth(seats - 1).is_some(), AssayError::NotEnoughValidators);
        return fix_seed(request, &address, &now);
    }
    let hash = match hash_at(request.seed_slot)? {
        SlotHash::Pending => return Err(AssayError::SeedNotReady.into()),
        SlotHash::Gone => return fix_seed(request, &address, &now),
        SlotHash::Found(hash) => hash,
    };
    let round = request.panel_round + 1;
    let seed = hashv(&[b"assay-panel-v1\0\0", &request.domain, &round.to_le_bytes(), &hash]);
    let mut panel = [Address::default(); MAX_PANEL];
    let seats = request.terms.params.panel_size as usize;
    let drawing = drawing(request, ctx.accounts.validators.members(), seed, request.seed_slot);
    if drawing.fill(&mut panel[..seats]) < seats {
        // Some have left since the slot was fixed: a later one lets in those who have joined.
        return fix_seed(request, &address, &now);
    }
    request.panel = panel;
    request.panel_count = seats as u8;
    request.panel_round = round;
    request.panel_from = request.next_batch;
    request.panel_at = now.market;
    request.seed_slot = 0;
    request.invariant()?;
    emit!(PanelDrawn {
        request: address,
        round,
        from: request.panel_from,
        slot_hash: hash,
        seed,
        panel: panel[..seats].to_vec(),
        at: now.market,
    });
    Ok(())
}

fn fix_seed(request: &mut Request, address: &Address, now: &Now) -> Result<()> {
    request.seed_slot = now.slot + 1;
    request.invariant()?;
    emit!(PanelSeeded { request: *address, seed_slot: request.seed_slot });
    Ok(())
}

fn drawing<'a>(request: &'a Request, members: &'a [ValidatorEntry], seed: [u8; 32], before_slot: u64) -> Drawing<'a> {
    Drawing {
        seed,
        members,
        min_stake: request.terms.params.min_validator_stake,
        before_slot,
        excluded: &request.buyer,
        avoided: &[],
    }
}
