//! Where a participant is paid in one mint: a token account of its own wallet.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::PayoutSet;
use crate::state::{Market, Participant};
use crate::token;

#[derive(Accounts)]
pub struct SetPayout {
    pub wallet: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut, seeds = [b"participant", wallet.address().as_ref()], bump = participant.bump)]
    pub participant: Account<Participant>,
    pub mint: UncheckedAccount,
    pub payout: UncheckedAccount,
}

pub fn handler(ctx: &mut Context<SetPayout>) -> Result<()> {
    let accounts = &mut ctx.accounts;
    let index = accounts.market.mint_index(accounts.mint.address())?;
    let payout = accounts.payout.account();
    require!(token::is_open(payout, &accounts.market.mints[index]), AssayError::WrongTokenAccount);
    // Bound to the worker; and so it can never be one of the program's own vaults.
    require!(token::authority(payout) == *accounts.wallet.address(), AssayError::PayoutNotOwned);
    let participant = &mut accounts.participant;
    participant.payout[index] = *payout.address();
    participant.invariant()?;
    emit!(PayoutSet {
        participant: *participant.address(),
        mint_index: index as u8,
        payout: participant.payout[index],
    });
    Ok(())
}
