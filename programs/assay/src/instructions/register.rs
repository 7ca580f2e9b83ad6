//! A wallet takes a role, once. Another role needs another wallet, so nobody judges their own work or request.

use anchor_lang::prelude::*;

use crate::error::AssayError;
use crate::events::Registered;
use crate::state::{Market, Participant, BUYER, VALIDATOR};

#[derive(Accounts)]
pub struct Register {
    // Mostly the wallet itself; neither carries data that an alias could change twice.
    #[account(mut, unsafe(dup))]
    pub payer: Signer,
    pub wallet: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(init, payer = payer, seeds = [b"participant", wallet.address().as_ref()], bump)]
    pub participant: Account<Participant>,
    pub system_program: Program<System>,
}

fn validate(ctx: &Context<Register>, role: u8) -> Result<()> {
    require!((BUYER..=VALIDATOR).contains(&role), AssayError::UnknownRole);
    // Work and stake that a paused market could not use; buyers' accounts also receive refunds.
    require!(role == BUYER || ctx.accounts.market.paused == 0, AssayError::Paused);
    Ok(())
}

pub fn handler(ctx: &mut Context<Register>, role: u8) -> Result<()> {
    validate(ctx, role)?;
    let now = ctx.accounts.market.now()?;
    let participant = &mut ctx.accounts.participant;
    participant.wallet = *ctx.accounts.wallet.address();
    participant.role = role;
    participant.joined_at = now.wall;
    participant.bump = ctx.bumps.participant;
    participant.invariant()?;
    emit!(Registered { wallet: participant.wallet, participant: *participant.address(), role });
    Ok(())
}
