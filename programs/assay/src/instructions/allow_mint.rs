//! A mint that requests may pay in, with its owed and fee vaults. A disabled one is enabled again.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;
use bytemuck::Zeroable;

use crate::constants::*;
use crate::error::AssayError;
use crate::events::MintAllowed;
use crate::state::{Market, MintEntry};
use crate::token::{check_mint, Vault};

#[derive(Accounts)]
pub struct AllowMint {
    #[account(mut)]
    pub authority: Signer,
    #[account(mut, seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    pub mint: UncheckedAccount,
    #[account(mut, seeds = [b"owed", mint.address().as_ref()], bump)]
    pub owed_vault: UncheckedAccount,
    #[account(mut, seeds = [b"fees", mint.address().as_ref()], bump)]
    pub fee_vault: UncheckedAccount,
    pub token_program: UncheckedAccount,
    pub system_program: Program<System>,
}

pub fn handler(ctx: &mut Context<AllowMint>) -> Result<()> {
    let bumps = &ctx.bumps;
    let accounts = &mut ctx.accounts;
    accounts.market.require_authority(accounts.authority.address())?;
    let mint = *accounts.mint.address();
    let decimals = check_mint(accounts.mint.account(), accounts.token_program.address())?;

    if let Ok(index) = accounts.market.mint_index(&mint) {
        accounts.market.mints[index].enabled = 1;
        return done(&accounts.market, index);
    }
    let index = accounts.market.mint_count as usize;
    require!(index < MAX_MINTS, AssayError::TooManyMints);
    let create = |vault: &UncheckedAccount, seeds: &[&[u8]]| {
        Vault {
            payer: accounts.authority.account(),
            vault: vault.account(),
            mint: accounts.mint.account(),
            market: accounts.market.address(),
            token_program: accounts.token_program.address(),
        }
        .create(seeds)
    };
    create(&accounts.owed_vault, &[OWED_SEED, mint.as_ref(), &[bumps.owed_vault]])?;
    create(&accounts.fee_vault, &[FEES_SEED, mint.as_ref(), &[bumps.fee_vault]])?;
    let market = &mut accounts.market;
    market.mints[index] = MintEntry {
        mint,
        token_program: *accounts.token_program.address(),
        decimals,
        enabled: 1,
        owed_bump: bumps.owed_vault,
        fees_bump: bumps.fee_vault,
        ..MintEntry::zeroed()
    };
    market.mint_count += 1;
    market.invariant()?;
    done(market, index)
}

fn done(market: &Market, index: usize) -> Result<()> {
    let entry = &market.mints[index];
    emit!(MintAllowed {
        mint: entry.mint,
        token_program: entry.token_program,
        mint_index: index as u8,
        decimals: entry.decimals,
    });
    Ok(())
}
