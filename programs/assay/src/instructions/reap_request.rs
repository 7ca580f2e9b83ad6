//! Removes a request that is swept, once it is no longer needed as evidence; the rent goes back to its buyer.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::RequestReaped;
use crate::state::{Market, Now, Participant, Request, CLOSED};
use crate::token::{balance, market_mover};

#[derive(Accounts)]
pub struct ReapRequest {
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut, address = request.buyer @ AssayError::WrongBuyer)]
    pub buyer: UncheckedAccount,
    #[account(mut, close = buyer)]
    pub request: Account<Request>,
    #[account(mut, seeds = [b"participant", request.buyer.as_ref()], bump = participant.bump)]
    pub participant: Account<Participant>,
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
    require!(request.state == CLOSED && request.held()? == 0, AssayError::NotSwept);
    let evidence_until = request.last_settled_at + request.terms.params.unstake_window;
    require!(request.next_batch == 0 || now.wall >= evidence_until, AssayError::StillEvidence);
    Ok(())
}

pub fn handler(ctx: &mut Context<ReapRequest>) -> Result<()> {
    let accounts = &mut ctx.accounts;
    let now = accounts.market.now()?;
    validate(&accounts.request, &now)?;
    let index = accounts.request.mint_index as usize;
    let entry = &accounts.market.mints[index];
    let vault = accounts.vault.account();
    // Tokens that strangers have sent: a vault must be empty to close.
    let surplus = balance(vault);
    let mover = market_mover(&accounts.market, accounts.mint.account(), entry);
    if surplus > 0 {
        mover.transfer(vault, accounts.owed_vault.account(), surplus);
        accounts.participant.owe(index, surplus)?;
    }
    accounts.participant.invariant()?;
    mover.close(vault, accounts.buyer.account());
    emit!(RequestReaped { request: *accounts.request.address(), buyer: accounts.request.buyer, surplus });
    Ok(())
}
