//! Token and Token-2022: what a mint and a token account are, and the calls that move tokens.
//!
//! Calls go out unchecked for borrows, since a settlement makes dozens: no reference into a token account's data is
//! held across them.

use anchor_lang::prelude::*;
use anchor_lang::{address, AnchorAccount};
use pinocchio::cpi::{invoke_signed_unchecked, CpiAccount, Seed, Signer as CpiSigner};
use pinocchio::instruction::{InstructionAccount, InstructionView};

use crate::constants::MARKET_SEED;
use crate::error::AssayError;
use crate::state::{Market, MintEntry};

pub const TOKEN: Address = address!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
pub const TOKEN_2022: Address = address!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");

const MINT_LEN: usize = 82;
const ACCOUNT_LEN: usize = 165;
/// First extension's header, after the base and the account type byte.
const EXTENSIONS: usize = 166;
const TYPE_MINT: u8 = 1;
const TYPE_ACCOUNT: u8 = 2;
const STATE_INITIALIZED: u8 = 1;

fn word(data: &[u8], at: usize) -> usize {
    u16::from_le_bytes([data[at], data[at + 1]]) as usize
}

/// Calls `visit(type, value)` for each extension; an error when the list is cut off.
fn each_extension(data: &[u8], mut visit: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
    let mut at = EXTENSIONS;
    while at + 4 <= data.len() {
        let (kind, len) = (word(data, at), word(data, at + 2));
        if kind == 0 {
            break;
        }
        let value = data.get(at + 4..at + 4 + len).ok_or(AssayError::NotAMint)?;
        visit(kind, value)?;
        at += 4 + len;
    }
    Ok(())
}

/// Decimals of a mint that no one can drain, tax, freeze by default, hook or hide: what a market may allow.
pub fn check_mint(mint: &AccountView, token_program: &Address) -> Result<u8> {
    require!(*token_program == TOKEN || *token_program == TOKEN_2022, AssayError::NotAMint);
    require!(mint.owned_by(token_program), AssayError::NotAMint);
    // SAFETY: no mutable reference to a foreign program's account exists here.
    let data = unsafe { mint.borrow_unchecked() };
    let plain = data.len() == MINT_LEN;
    let extended = *token_program == TOKEN_2022 && data.len() > EXTENSIONS && data[ACCOUNT_LEN] == TYPE_MINT;
    require!((plain || extended) && data[45] == 1, AssayError::NotAMint);
    if extended {
        each_extension(data, |kind, _| refusal(kind).map_or(Ok(()), |error| Err(error.into())))?;
    }
    Ok(data[44])
}

/// Why a mint with this extension is refused; `None` for harmless ones: metadata and group pointers and their contents.
fn refusal(kind: usize) -> Option<AssayError> {
    match kind {
        18..=23 => None,
        1 => Some(AssayError::MintHasTransferFee),
        4 | 16 | 24 => Some(AssayError::MintConfidential),
        6 => Some(AssayError::MintDefaultFrozen),
        9 => Some(AssayError::MintNonTransferable),
        12 => Some(AssayError::MintHasPermanentDelegate),
        14 => Some(AssayError::MintHasTransferHook),
        26 => Some(AssayError::MintPausable),
        _ => Some(AssayError::MintExtensionUnknown),
    }
}

/// Whether a transfer of this mint to `account` will go through. Whatever is not known to be harmless counts as no, since
/// a failed call would take the whole batch with it.
pub fn can_receive(account: &AccountView, entry: &MintEntry) -> bool {
    account.is_writable() && is_open(account, entry)
}

/// `can_receive` for an account that this transaction may not write.
pub fn is_open(account: &AccountView, entry: &MintEntry) -> bool {
    if !account.owned_by(&entry.token_program) {
        return false;
    }
    // SAFETY: as above.
    let data = unsafe { account.borrow_unchecked() };
    if data.len() < ACCOUNT_LEN || data[..32] != *entry.mint.as_array() || data[108] != STATE_INITIALIZED {
        return false;
    }
    if data.len() == ACCOUNT_LEN {
        return true;
    }
    if data.len() <= EXTENSIONS || data[ACCOUNT_LEN] != TYPE_ACCOUNT {
        return false;
    }
    // 7 immutable owner, 11 CPI guard (guards the owner's own transfers), 8 memo required: only when off.
    each_extension(data, |kind, value| match (kind, value) {
        (7 | 11, _) | (8, [0, ..]) => Ok(()),
        _ => Err(AssayError::CannotReceive.into()),
    })
    .is_ok()
}

/// The wallet that may spend from a token account.
pub fn authority(account: &AccountView) -> Address {
    // SAFETY: as above; callers have checked the length with `can_receive`.
    let data = unsafe { account.borrow_unchecked() };
    let mut owner = [0; 32];
    owner.copy_from_slice(&data[32..64]);
    Address::new_from_array(owner)
}

/// Tokens in an account that `can_receive` or a vault's address has vouched for.
pub fn balance(account: &AccountView) -> u64 {
    // SAFETY: as above.
    let data = unsafe { account.borrow_unchecked() };
    let mut amount = [0; 8];
    amount.copy_from_slice(&data[64..72]);
    u64::from_le_bytes(amount)
}

/// Creates a vault at its address: a token account of `mint` whose authority is the market. Tokens sent ahead to the
/// address do no harm.
pub struct Vault<'a> {
    pub payer: &'a AccountView,
    pub vault: &'a AccountView,
    pub mint: &'a AccountView,
    pub market: &'a Address,
    pub token_program: &'a Address,
}

impl Vault<'_> {
    pub fn create(&self, seeds: &[&[u8]]) -> Result<()> {
        let space = ACCOUNT_LEN;
        anchor_lang::create_account_signed(self.payer, self.vault, space, self.token_program, seeds)?;
        let mut data = [18u8; 33]; // InitializeAccount3
        data[1..].copy_from_slice(self.market.as_array());
        let accounts =
            [InstructionAccount::writable(self.vault.address()), InstructionAccount::readonly(self.mint.address())];
        let call = InstructionView { program_id: self.token_program, accounts: &accounts, data: &data };
        let views = [CpiAccount::from(self.vault), CpiAccount::from(self.mint)];
        // SAFETY: nothing holds references into these accounts.
        unsafe { invoke_signed_unchecked(&call, &views, &[]) };
        Ok(())
    }
}

/// Who moves tokens: a wallet that signed, or the market for its vaults.
pub struct Mover<'a> {
    pub authority: &'a AccountView,
    /// The market's bump when it is the authority.
    pub market_bump: Option<u8>,
    pub mint: &'a AccountView,
    pub token_program: &'a Address,
    pub decimals: u8,
}

impl Mover<'_> {
    /// TransferChecked. A failure ends the transaction.
    #[inline(always)]
    pub fn transfer(&self, from: &AccountView, to: &AccountView, amount: u64) {
        let mut data = [12u8; 10];
        data[1..9].copy_from_slice(&amount.to_le_bytes());
        data[9] = self.decimals;
        let accounts = [
            InstructionAccount::writable(from.address()),
            InstructionAccount::readonly(self.mint.address()),
            InstructionAccount::writable(to.address()),
            InstructionAccount::readonly_signer(self.authority.address()),
        ];
        let views = [
            CpiAccount::from(from),
            CpiAccount::from(self.mint),
            CpiAccount::from(to),
            CpiAccount::from(self.authority),
        ];
        self.call(&InstructionView { program_id: self.token_program, accounts: &accounts, data: &data }, &views);
    }

    /// BurnChecked.
    pub fn burn(&self, from: &AccountView, amount: u64) {
        let mut data = [15u8; 10];
        data[1..9].copy_from_slice(&amount.to_le_bytes());
        data[9] = self.decimals;
        let accounts = [
            InstructionAccount::writable(from.address()),
            InstructionAccount::writable(self.mint.address()),
            InstructionAccount::readonly_signer(self.authority.address()),
        ];
        let views = [CpiAccount::from(from), CpiAccount::from(self.mint), CpiAccount::from(self.authority)];
        self.call(&InstructionView { program_id: self.token_program, accounts: &accounts, data: &data }, &views);
    }

    /// CloseAccount: an empty vault's rent goes to `to`.
    pub fn close(&self, account: &AccountView, to: &AccountView) {
        let accounts = [
            InstructionAccount::writable(account.address()),
            InstructionAccount::writable(to.address()),
            InstructionAccount::readonly_signer(self.authority.address()),
        ];
        let views = [CpiAccount::from(account), CpiAccount::from(to), CpiAccount::from(self.authority)];
        self.call(&InstructionView { program_id: self.token_program, accounts: &accounts, data: &[9] }, &views);
    }

    #[inline(always)]
    fn call(&self, instruction: &InstructionView, views: &[CpiAccount]) {
        let bump = [self.market_bump.unwrap_or(0)];
        let seeds = [Seed::from(MARKET_SEED), Seed::from(&bump)];
        let signer = [CpiSigner::from(&seeds)];
        let signers: &[CpiSigner] = if self.market_bump.is_some() { &signer } else { &[] };
        // SAFETY: see the module.
        unsafe { invoke_signed_unchecked(instruction, views, signers) };
    }
}

/// The market moves tokens out of its vaults.
pub fn market_mover<'a>(market: &'a Account<Market>, mint: &'a AccountView, entry: &'a MintEntry) -> Mover<'a> {
    Mover {
        authority: market.account(),
        market_bump: Some(market.bump),
        mint,
        token_program: &entry.token_program,
        decimals: entry.decimals,
    }
}

/// A wallet that signed moves its own tokens.
pub fn wallet_mover<'a>(wallet: &'a AccountView, mint: &'a AccountView, entry: &'a MintEntry) -> Mover<'a> {
    Mover { authority: wallet, market_bump: None, mint, token_program: &entry.token_program, decimals: entry.decimals }
}
