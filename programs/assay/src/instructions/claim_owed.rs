//! What a participant has earned and could not be sent: to any account of its choice that can receive it.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::OwedClaimed;
use crate::state::{Market, Participant};
use crate::token::{self, market_mover};

#[derive(Accounts)]
pub struct ClaimOwed {
    pub wallet: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut, seeds = [b"participant", wallet.address().as_ref()], bump = participant.bump)]
    pub participant: Account<Participant>,
    pub mint: UncheckedAccount,
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(mut, seeds = [b"owed", mint.address().as_ref()], bump)]
    pub owed_vault: UncheckedAccount,
    pub token_program: UncheckedAccount,
}

pub fn handler(ctx: &mut Context<ClaimOwed>) -> Result<()> {
    let accounts = &mut ctx.accounts;
    let index = accounts.market.mint_index(accounts.mint.address())?;
    let entry = &accounts.market.mints[index];
    require!(entry.token_program == *accounts.token_program.address(), AssayError::WrongMint);
    let amount = accounts.participant.owed[index];
    require!(amount > 0, AssayError::NothingOwed);
    let destination = accounts.destination.account();
    require!(token::can_receive(destination, entry), AssayError::CannotReceive);
    accounts.participant.owed[index] = 0;
    accounts.participant.invariant()?;
    let vault = accounts.owed_vault.account();
    market_mover(&accounts.market, accounts.mint.account(), entry).transfer(vault, destination, amount);
    emit!(OwedClaimed {
        participant: *accounts.participant.address(),
        mint_index: index as u8,
        amount,
        destination: *destination.address(),
    });
    Ok(())
}
