//! Ends a request that is done, or whose grace is over, and gives its buyer back what nobody can claim any more. Called
//! again, it sweeps what disputes no longer hold. Anyone may call it.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::RequestClosed;
use crate::state::{Market, Now, Participant, Request, CLOSED, CLOSING};
use crate::token::{can_receive, market_mover};

#[derive(Accounts)]
pub struct CloseRequest {
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut)]
    pub request: Account<Request>,
    #[account(mut, seeds = [b"participant", request.buyer.as_ref()], bump = participant.bump)]
    pub participant: Account<Participant>,
    /// The buyer's payout account; any account while none is set.
    #[account(mut)]
    pub payout: UncheckedAccount,
    #[account(mut, seeds = [b"vault", request.address().as_ref()], bump = request.vault_bump)]
    pub vault: UncheckedAccount,
    #[account(mut, seeds = [b"owed", mint.address().as_ref()],
        bump = market.mints[request.mint_index as usize].owed_bump)]
    pub owed_vault: UncheckedAccount,
    #[account(address = market.mints[request.mint_index as usize].mint @ AssayError::WrongMint)]
    pub mint: UncheckedAccount,
    #[account(address = market.mints[request.mint_index as usize].token_program @ AssayError::WrongMint)]
    pub token_program: UncheckedAccount,
}

fn validate(request: &Request, now: &Now) -> Result<()> {
    let done = request.records_done == request.records;
    let over = request.state == CLOSING && now.market >= request.grace_until;
    require!(done || over || request.state == CLOSED, AssayError::StillOpen);
    Ok(())
}

pub fn handler(ctx: &mut Context<CloseRequest>) -> Result<()> {
    let accounts = &mut ctx.accounts;
    let now = accounts.market.now()?;
    let request = &mut accounts.request;
    validate(request, &now)?;
    request.release_reserves(now.market);
    let refund = request.free()?;
    if request.state != CLOSED {
        request.state = CLOSED;
        request.grace_until = now.market;
    }
    request.refunded += refund;
    request.invariant()?;
    let index = request.mint_index as usize;
    let held = request.bonds + request.reserved_total();

    let entry = &accounts.market.mints[index];
    let payout = accounts.payout.account();
    let set = accounts.participant.payout[index];
    let unset = set == Address::default();
    require!(unset || set == *payout.address(), AssayError::WrongPayout);
    let deliver = !unset && can_receive(payout, entry);
    if refund > 0 {
        let to = if deliver { payout } else { accounts.owed_vault.account() };
        let mover = market_mover(&accounts.market, accounts.mint.account(), entry);
        mover.transfer(accounts.vault.account(), to, refund);
        if !deliver {
            accounts.participant.owe(index, refund)?;
        }
    }
    accounts.participant.invariant()?;
    emit!(RequestClosed {
        request: *accounts.request.address(),
        refund,
        owed: (refund > 0 && !deliver) as u8,
        refunded: accounts.request.refunded,
        held,
        at: now.market,
    });
    Ok(())
}
