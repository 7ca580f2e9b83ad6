//! The end of a dispute: as its panel's quorum decided, or, when no panel decided in its time, as if it had not been.
//! What anyone is due is credited to `owed`, so an account that cannot receive holds nothing up. Nobody who decides a
//! dispute earns by either outcome: a lost bond goes the way of slashed stake.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::DisputeEnded;
use crate::math::{bps, tier};
use crate::seats::{each_seat, Seats};
use crate::slashing::BURN;
use crate::state::{
    Dispute, Market, Participant, Request, DISPUTE_DISMISSED, DISPUTE_LAPSED, DISPUTE_ROUNDS, DISPUTE_UPHELD,
};
use crate::token::market_mover;

/// The accounts of the bond's mint may be those of the pay's: they are vaults at fixed addresses and two mints.
#[derive(Accounts)]
pub struct EndDispute {
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut)]
    pub dispute: Account<Dispute>,
    #[account(mut, address = dispute.request)]
    pub request: Account<Request>,
    #[account(mut, address = dispute.labeler)]
    pub labeler: Account<Participant>,
    #[account(mut, seeds = [b"vault", request.address().as_ref()], bump = request.vault_bump)]
    pub vault: UncheckedAccount,
    pub mint: UncheckedAccount,
    pub token_program: UncheckedAccount,
    #[account(mut, unsafe(dup), seeds = [b"owed", mint.address().as_ref()], bump = market.mints[request.mint_index as usize].owed_bump)]
    pub owed_vault: UncheckedAccount,
    #[account(mut, seeds = [b"stake"], bump = market.stake_bump)]
    pub stake_vault: UncheckedAccount,
    #[account(mut, unsafe(dup))]
    pub bond_mint: UncheckedAccount,
    pub bond_token_program: UncheckedAccount,
    #[account(mut, unsafe(dup), seeds = [b"owed", bond_mint.address().as_ref()], bump = market.mints[0].owed_bump)]
    pub bond_owed_vault: UncheckedAccount,
    #[account(mut, seeds = [b"fees", bond_mint.address().as_ref()], bump = market.mints[0].fees_bump)]
    pub bond_fee_vault: UncheckedAccount,
}

fn check_mints(accounts: &EndDispute) -> Result<()> {
    let pay = &accounts.market.mints[accounts.request.mint_index as usize];
    let bond = &accounts.market.mints[0];
    let right = *accounts.mint.address() == pay.mint
        && *accounts.token_program.address() == pay.token_program
        && *accounts.bond_mint.address() == bond.mint
        && *accounts.bond_token_program.address() == bond.token_program;
    require!(right, AssayError::WrongMint);
    Ok(())
}

/// Any outcome: frees what was held, moves the bond, and, when the dispute was upheld, pays the answer.
fn end(accounts: &mut EndDispute, outcome: u8) -> Result<()> {
    let (bond, held) = (accounts.dispute.bond, accounts.dispute.held);
    accounts.dispute.end(outcome)?;
    let request = &mut accounts.request;
    request.bonds = request.bonds.checked_sub(held).ok_or(AssayError::InvariantBroken)?;
    let labeler = &mut accounts.labeler;
    let mut paid = 0;
    if outcome == DISPUTE_UPHELD {
        let premium = request.terms.premium_bps[tier(labeler.accepted, labeler.rejected) as usize];
        paid = (request.price + bps(request.price, premium as u64)?).min(held);
        request.accept_after_all(paid)?;
        labeler.accept_after_all(request.kind)?;
        labeler.owe(request.mint_index as usize, paid)?;
        let entry = accounts.market.mints[request.mint_index as usize];
        if paid > 0 {
            market_mover(&accounts.market, accounts.mint.account(), &entry).transfer(
                accounts.vault.account(),
                accounts.owed_vault.account(),
                paid,
            );
        }
    }
    let lost = outcome == DISPUTE_DISMISSED;
    if lost {
        labeler.disputes_lost = labeler.disputes_lost.saturating_add(1);
    }
    request.invariant()?;
    if bond > 0 {
        let entry = accounts.market.mints[0];
        let mover = market_mover(&accounts.market, accounts.bond_mint.account(), &entry);
        let stakes = accounts.stake_vault.account();
        if !lost {
            labeler.owe(0, bond)?;
            mover.transfer(stakes, accounts.bond_owed_vault.account(), bond);
        } else if request.terms.params.slash_policy == BURN {
            mover.burn(stakes, bond);
        } else {
            mover.transfer(stakes, accounts.bond_fee_vault.account(), bond);
        }
    }
    labeler.invariant()?;
    let burned = lost && request.terms.params.slash_policy == BURN;
    emit!(DisputeEnded {
        dispute: *accounts.dispute.address(),
        request: accounts.dispute.request,
        outcome,
        paid,
        released: held - paid,
        bond_returned: if lost { 0 } else { bond },
        bond_burned: if burned { bond } else { 0 },
        bond_recycled: if lost && !burned { bond } else { 0 },
    });
    Ok(())
}

pub mod resolve_dispute {
    use super::*;

    pub fn handler(ctx: &mut Context<EndDispute>) -> Result<()> {
        check_mints(&ctx.accounts)?;
        let given = ctx.remaining_accounts()?;
        let accounts = &mut ctx.accounts;
        let dispute = &accounts.dispute;
        dispute.require_open()?;
        let outcome = dispute.decision(accounts.request.terms.params.quorum_bps).ok_or(AssayError::NotDecided)?;
        let right = if outcome == DISPUTE_UPHELD { dispute.upheld } else { dispute.dismissed };
        let kind = accounts.request.kind as usize;
        let voters =
            Seats { wallets: &dispute.panel, chosen: dispute.upheld | dispute.dismissed, accounts: &given };
        each_seat(&voters, |seat, person| person.judge(kind, (right >> seat) & 1 == 1))?;
        end(accounts, outcome)
    }
}

pub mod expire_dispute {
    use super::*;

    pub fn handler(ctx: &mut Context<EndDispute>) -> Result<()> {
        check_mints(&ctx.accounts)?;
        let given = ctx.remaining_accounts()?;
        let accounts = &mut ctx.accounts;
        let (dispute, params) = (&accounts.dispute, &accounts.request.terms.params);
        dispute.require_open()?;
        require!(dispute.decision(params.quorum_bps).is_none(), AssayError::DisputeInOffice);
        let now = accounts.market.now()?;
        let last = dispute.panel_round >= DISPUTE_ROUNDS
            && dispute.timed_out(&now, params.dispute_round(), params.quorum_bps);
        require!(last || now.market >= dispute.lapses_at(params.dispute_round()), AssayError::DisputeInOffice);
        let silent = Seats {
            wallets: &dispute.panel,
            // A panel that was drawn late and did not have its time is not to blame.
            chosen: if dispute.timed_out(&now, params.dispute_round(), params.quorum_bps) { dispute.silent() } else { 0 },
            accounts: &given,
        };
        each_seat(&silent, |_, person| person.strike())?;
        end(accounts, DISPUTE_LAPSED)
    }
}
