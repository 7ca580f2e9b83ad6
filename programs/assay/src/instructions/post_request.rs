//! A buyer's order: locks the whole budget in the request's own vault and copies the market's terms of this moment.

#![allow(unused_variables)] // the derive hands `id` to steps that do not need it

use anchor_lang::prelude::*;
use anchor_lang::{AnchorAccount, AnchorDeserialize, AnchorSerialize, IdlType};

use crate::constants::*;
use crate::error::AssayError;
use crate::events::RequestPosted;
use crate::math::{bps, hashv, mul};
use crate::slots::newest_hash;
use crate::state::{Market, Participant, Request, Terms, AGREEMENT, BUYER, REVIEW};
use crate::token::{wallet_mover, Vault};

#[derive(Clone, Copy, AnchorDeserialize, AnchorSerialize, IdlType)]
pub struct PostRequestArgs {
    pub spec_hash: [u8; 32],
    /// Base units to lock.
    pub amount: u64,
    pub price: u64,
    pub validation_fee: u64,
    /// Market time.
    pub deadline: i64,
    pub records: u32,
    pub overlap: u16,
    pub premium_bps: [u16; 4],
    pub mode: u8,
    pub kind: u8,
    pub min_tier: u8,
}

#[derive(Accounts)]
#[instruction(id: u64)]
pub struct PostRequest {
    #[account(mut)]
    pub buyer: Signer,
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(seeds = [b"participant", buyer.address().as_ref()], bump = participant.bump)]
    pub participant: Account<Participant>,
    #[account(init, payer = buyer, seeds = [b"request", buyer.address().as_ref(), &id.to_le_bytes()], bump)]
    pub request: Account<Request>,
    pub mint: UncheckedAccount,
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(mut, seeds = [b"vault", request.address().as_ref()], bump)]
    pub vault: UncheckedAccount,
    pub token_program: UncheckedAccount,
    pub system_program: Program<System>,
}

/// The least a request may lock: one record with all its answers at the top premium.
fn record_cost(args: &PostRequestArgs, fee_bps: u16) -> Result<u64> {
    let top = BPS + args.premium_bps[TIERS - 1] as u64;
    let labelers = mul(bps(args.price, top)?, args.overlap as u64)?;
    let fee = bps(labelers, fee_bps as u64)?;
    labelers.checked_add(fee).and_then(|sum| sum.checked_add(args.validation_fee)).ok_or(AssayError::Overflow.into())
}

fn validate(ctx: &Context<PostRequest>, args: &PostRequestArgs) -> Result<usize> {
    let accounts = &ctx.accounts;
    let market = &accounts.market;
    market.require_running()?;
    require!(accounts.participant.role == BUYER, AssayError::WrongRole);
    let index = market.mint_index(accounts.mint.address())?;
    require!(market.mints[index].enabled == 1, AssayError::MintDisabled);
    require!(market.mints[index].token_program == *accounts.token_program.address(), AssayError::WrongMint);
    require!(args.mode == AGREEMENT || args.mode == REVIEW, AssayError::UnknownMode);
    require!((args.kind as usize) < KINDS, AssayError::UnknownKind);
    require!((args.min_tier as usize) < TIERS, AssayError::BadTier);
    let rising = args.premium_bps.windows(2).all(|pair| pair[0] <= pair[1]);
    require!(rising && args.premium_bps[TIERS - 1] <= MAX_PREMIUM_BPS, AssayError::BadTier);
    let most = if args.mode == REVIEW { 1 } else { MAX_OVERLAP };
    require!(args.overlap >= 1 && args.overlap <= most, AssayError::BadOverlap);
    require!(args.records >= 1, AssayError::NoRecords);
    require!(args.price > 0 && args.price < MAX_AMOUNT && args.validation_fee < MAX_AMOUNT, AssayError::BadPrice);
    require!(args.amount > 0 && args.amount < MAX_AMOUNT, AssayError::BadAmount);
    let now = market.now()?.market;
    require!(args.deadline > now && args.deadline <= now + MAX_WINDOW, AssayError::BadDeadline);
    require!(args.amount >= record_cost(args, market.params.fee_bps)?, AssayError::BudgetTooSmall);
    Ok(index)
}

pub fn handler(ctx: &mut Context<PostRequest>, id: u64, args: PostRequestArgs) -> Result<()> {
    let index = validate(ctx, &args)?;
    let program = *ctx.program_id;
    let bumps = &ctx.bumps;
    let accounts = &mut ctx.accounts;
    let entry = &accounts.market.mints[index];
    let address = *accounts.request.address();
    let now = accounts.market.now()?;
    let hash = newest_hash()?;

    let request = &mut accounts.request;
    request.buyer = *accounts.buyer.address();
    request.spec_hash = args.spec_hash;
    request.domain = hashv(&[b"assay-domain-v1\0", program.as_ref(), address.as_ref(), &hash]);
    request.terms = Terms { params: accounts.market.params, premium_bps: args.premium_bps };
    request.id = id;
    request.price = args.price;
    request.validation_fee = args.validation_fee;
    request.deadline = args.deadline;
    request.posted_at = now.market;
    request.locked = args.amount;
    request.records = args.records;
    request.overlap = args.overlap;
    request.mint_index = index as u8;
    request.mode = args.mode;
    request.kind = args.kind;
    request.min_tier = args.min_tier;
    request.bump = bumps.request;
    request.vault_bump = bumps.vault;
    request.invariant()?;
    emit!(RequestPosted {
        request: address,
        buyer: request.buyer,
        id,
        domain: request.domain,
        spec_hash: request.spec_hash,
        terms: request.terms,
        mint_index: request.mint_index,
        mode: request.mode,
        kind: request.kind,
        min_tier: request.min_tier,
        overlap: request.overlap,
        records: request.records,
        price: request.price,
        validation_fee: request.validation_fee,
        deadline: request.deadline,
        locked: request.locked,
        at: now.market,
    });

    Vault {
        payer: accounts.buyer.account(),
        vault: accounts.vault.account(),
        mint: accounts.mint.account(),
        market: accounts.market.address(),
        token_program: &entry.token_program,
    }
    .create(&[VAULT_SEED, address.as_ref(), &[bumps.vault]])?;
    wallet_mover(accounts.buyer.account(), accounts.mint.account(), entry).transfer(
        accounts.source.account(),
        accounts.vault.account(),
        args.amount,
    );
    Ok(())
}
