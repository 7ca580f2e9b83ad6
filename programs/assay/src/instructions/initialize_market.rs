//! Only the program's deployer, or a key fixed at its build, may call this: else the first stranger would own the market.

use anchor_lang::prelude::*;
use anchor_lang::{address, AnchorAccount};
use bytemuck::Zeroable;

use crate::constants::*;
use crate::error::AssayError;
use crate::events::MarketInitialized;
use crate::state::{Market, MintEntry, Params, ValidatorSet};
use crate::token::{check_mint, Vault};

const LOADER: Address = address!("BPFLoaderUpgradeab1e11111111111111111111111");
/// ProgramData: tag (u32), slot (u64), Option of the upgrade authority (u8, key).
const PROGRAM_DATA_TAG: [u8; 4] = [3, 0, 0, 0];
const PROGRAM_DATA_LEN: usize = 45;
/// Base58 key that may initialize too, when the builder sets it.
const INITIALIZER: Option<&str> = option_env!("ASSAY_INITIALIZER");

#[derive(Accounts)]
pub struct InitializeMarket {
    #[account(mut)]
    pub authority: Signer,
    /// The upgradeable loader's record of this program.
    pub program_data: UncheckedAccount,
    #[account(init, payer = authority, seeds = [b"market"], bump)]
    pub market: Account<Market>,
    #[account(init, payer = authority, seeds = [b"validators"], bump)]
    pub validators: Account<ValidatorSet>,
    pub mint: UncheckedAccount,
    #[account(mut, seeds = [b"stake"], bump)]
    pub stake_vault: UncheckedAccount,
    #[account(mut, seeds = [b"owed", mint.address().as_ref()], bump)]
    pub owed_vault: UncheckedAccount,
    #[account(mut, seeds = [b"fees", mint.address().as_ref()], bump)]
    pub fee_vault: UncheckedAccount,
    pub token_program: UncheckedAccount,
    pub system_program: Program<System>,
}

/// The signer is the upgrade authority, or the key fixed at the build; or anyone on a private cluster that has the
/// program in its genesis (slot 0, upgrade authority of 32 zero bytes, whom nobody can sign for).
fn validate(ctx: &Context<InitializeMarket>) -> Result<()> {
    let accounts = &ctx.accounts;
    let signer = accounts.authority.address();
    if INITIALIZER.is_some_and(|key| is_key(key, signer)) {
        return Ok(());
    }
    let program_data = accounts.program_data.account();
    let (expected, _) = find_program_address(&[ctx.program_id.as_ref()], &LOADER);
    require!(*program_data.address() == expected, AssayError::NotInitializer);
    require!(program_data.owned_by(&LOADER), AssayError::NotInitializer);
    // SAFETY: the loader's account; nothing holds a mutable reference.
    let data = unsafe { program_data.borrow_unchecked() };
    require!(data.len() >= PROGRAM_DATA_LEN && data[..4] == PROGRAM_DATA_TAG, AssayError::NotInitializer);
    require!(data[12] == 1, AssayError::NotInitializer);
    let genesis = data[4..12] == [0; 8] && data[13..45] == [0; 32];
    require!(genesis || data[13..45] == *signer.as_array(), AssayError::NotInitializer);
    Ok(())
}

/// Whether `text` is the base58 form of `key`, compared by decoding.
fn is_key(text: &str, key: &Address) -> bool {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes = [0u8; 32];
    for letter in text.bytes() {
        let Some(digit) = ALPHABET.iter().position(|known| *known == letter) else { return false };
        let mut carry = digit as u32;
        for byte in bytes.iter_mut().rev() {
            carry += *byte as u32 * 58;
            *byte = carry as u8;
            carry >>= 8;
        }
    }
    bytes == *key.as_array()
}

pub fn handler(ctx: &mut Context<InitializeMarket>, params: Params) -> Result<()> {
    validate(ctx)?;
    params.validate()?;
    let bumps = &ctx.bumps;
    let accounts = &mut ctx.accounts;
    let decimals = check_mint(accounts.mint.account(), accounts.token_program.address())?;
    let mint = *accounts.mint.address();
    let market_address = *accounts.market.address();
    let create = |vault: &UncheckedAccount, seeds: &[&[u8]]| {
        Vault {
            payer: accounts.authority.account(),
            vault: vault.account(),
            mint: accounts.mint.account(),
            market: &market_address,
            token_program: accounts.token_program.address(),
        }
        .create(seeds)
    };
    create(&accounts.stake_vault, &[STAKE_SEED, &[bumps.stake_vault]])?;
    create(&accounts.owed_vault, &[OWED_SEED, mint.as_ref(), &[bumps.owed_vault]])?;
    create(&accounts.fee_vault, &[FEES_SEED, mint.as_ref(), &[bumps.fee_vault]])?;

    accounts.validators.bump = bumps.validators;
    let market = &mut accounts.market;
    market.authority = *accounts.authority.address();
    market.params = params;
    market.mints[0] = MintEntry {
        mint,
        token_program: *accounts.token_program.address(),
        decimals,
        enabled: 1,
        owed_bump: bumps.owed_vault,
        fees_bump: bumps.fee_vault,
        ..MintEntry::zeroed()
    };
    market.mint_count = 1;
    market.bump = bumps.market;
    market.stake_bump = bumps.stake_vault;
    market.invariant()?;
    emit!(MarketInitialized { authority: market.authority, mint, params });
    Ok(())
}
