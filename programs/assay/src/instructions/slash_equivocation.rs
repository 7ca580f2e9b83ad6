//! A validator who signed two batches with one number, or two outcomes of one dispute's round, is slashed by whoever
//! shows both signatures, in one Ed25519 instruction right before this one.
#![allow(unused_variables)] // the derive binds the instruction's arguments where they are not needed, too

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::EQUIVOCATION;
use crate::math::{bps, hashv};
use crate::signed::each_signature;
use crate::slashing::{check_vaults, Slash};
use crate::state::{Market, Offence, Participant, ValidatorSet, VALIDATOR};

/// tag ‖ domain ‖ batch ‖ round, then the digest.
const BATCH_TAG: &[u8; 16] = b"assay-batch-v1\0\0";
const BATCH_PREFIX: usize = 60;
const BATCH_LEN: usize = 92;
/// tag ‖ domain ‖ dispute ‖ round, then the outcome.
const DISPUTE_TAG: &[u8; 16] = b"assay-dispute-v1";
const DISPUTE_PREFIX: usize = 84;
const DISPUTE_LEN: usize = 85;

#[derive(Accounts)]
#[instruction(key: [u8; 32])]
pub struct SlashEquivocation {
    #[account(mut)]
    pub payer: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut, seeds = [b"participant", participant.wallet.as_ref()], bump = participant.bump)]
    pub participant: Account<Participant>,
    #[account(init, payer = payer, seeds = [b"offence", participant.address().as_ref(), key.as_ref()], bump)]
    pub offence: Account<Offence>,
    #[account(mut, seeds = [b"validators"], bump = validators.bump)]
    pub validators: Account<ValidatorSet>,
    #[account(mut, seeds = [b"stake"], bump = market.stake_bump)]
    pub stake_vault: UncheckedAccount,
    #[account(mut, seeds = [b"owed", mint.address().as_ref()], bump = market.mints[0].owed_bump)]
    pub owed_vault: UncheckedAccount,
    #[account(mut, seeds = [b"fees", mint.address().as_ref()], bump = market.mints[0].fees_bump)]
    pub fee_vault: UncheckedAccount,
    #[account(mut)]
    pub mint: UncheckedAccount,
    pub token_program: UncheckedAccount,
    pub instructions: Sysvar<SysvarInstructions>,
    pub system_program: Program<System>,
}

/// How many bytes of a message say what it decides; the rest is the decision.
fn prefix_of(message: &[u8]) -> Option<usize> {
    match message.len() {
        BATCH_LEN if message.starts_with(BATCH_TAG) => Some(BATCH_PREFIX),
        DISPUTE_LEN if message.starts_with(DISPUTE_TAG) => Some(DISPUTE_PREFIX),
        _ => None,
    }
}

fn validate(ctx: &Context<SlashEquivocation>, key: [u8; 32]) -> Result<()> {
    let accounts = &ctx.accounts;
    check_vaults(&accounts.market, accounts.mint.account(), accounts.token_program.account())?;
    require!(accounts.participant.role == VALIDATOR, AssayError::WrongRole);
    let mut first = [0u8; BATCH_LEN];
    let mut length = 0;
    let mut seen = 0;
    each_signature(&accounts.instructions, |signer, message| {
        require!(*signer == accounts.participant.wallet, AssayError::NotEquivocation);
        let prefix = prefix_of(message).ok_or(AssayError::NotEquivocation)?;
        seen += 1;
        if seen == 1 {
            length = message.len();
            first[..length].copy_from_slice(message);
            require!(hashv(&[&message[..prefix]]) == key, AssayError::NotEquivocation);
            return Ok(());
        }
        let same_place = message.len() == length && message[..prefix] == first[..prefix];
        let other_decision = message[prefix..] != first[prefix..length];
        require!(seen == 2 && same_place && other_decision, AssayError::NotEquivocation);
        Ok(())
    })?;
    require!(seen == 2, AssayError::NotEquivocation);
    Ok(())
}

pub fn handler(ctx: &mut Context<SlashEquivocation>, key: [u8; 32]) -> Result<()> {
    validate(ctx, key)?;
    let harmed = ctx.remaining_accounts()?;
    let bump = ctx.bumps.offence;
    let accounts = &mut ctx.accounts;
    accounts.offence.participant = *accounts.participant.address();
    accounts.offence.key = key;
    accounts.offence.slashed_at = Clock::get()?.unix_timestamp;
    accounts.offence.bump = bump;
    let person = &accounts.participant;
    let all = person.stake.checked_add(person.unstaking).ok_or(AssayError::Overflow)?;
    let amount = bps(all, accounts.market.params.equivocation_bps as u64)?;
    Slash {
        market: &accounts.market,
        participant: &mut accounts.participant,
        validators: &mut accounts.validators,
        stake_vault: accounts.stake_vault.account(),
        owed_vault: accounts.owed_vault.account(),
        fee_vault: accounts.fee_vault.account(),
        mint: accounts.mint.account(),
        harmed: &harmed,
    }
    .run(amount, EQUIVOCATION)
}
