"""SPL Token and Token-2022 as the market uses them: two account layouts and five instructions.

Layouts and instruction numbers: https://docs.rs/spl-token-interface (state::Mint, state::Account, TokenInstruction).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import CreateAccountParams, create_account

from assay.chain.addresses import find
from assay.errors import AccountMalformed

TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ASSOCIATED = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
PROGRAMS = (TOKEN, TOKEN_2022)

MINT_SIZE = 82
ACCOUNT_SIZE = 165
_MINT = struct.Struct("<I32sQBBI32s")
_ACCOUNT = struct.Struct("<32s32sQI32sBIQQI32s")


@dataclass(frozen=True, slots=True)
class Mint:
    """A token's mint."""

    authority: Pubkey | None
    supply: int
    decimals: int
    initialized: bool
    freeze_authority: Pubkey | None


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """A token account. `state`: 0 uninitialized, 1 initialized, 2 frozen."""

    mint: Pubkey
    owner: Pubkey
    amount: int
    state: int
    delegate: Pubkey | None
    native: bool
    close_authority: Pubkey | None


def _option(tag: int, raw: bytes) -> Pubkey | None:
    return Pubkey.from_bytes(raw) if tag else None


def decode_mint(data: bytes) -> Mint:
    """A mint from its bytes. Raises `AccountMalformed`."""
    if len(data) < MINT_SIZE or (len(data) > MINT_SIZE and (len(data) <= ACCOUNT_SIZE or data[ACCOUNT_SIZE] != 1)):
        raise AccountMalformed("the account is no mint")
    tag, authority, supply, decimals, initialized, freeze_tag, freeze = _MINT.unpack_from(data)
    return Mint(_option(tag, authority), supply, decimals, bool(initialized), _option(freeze_tag, freeze))


def decode_token_account(data: bytes) -> TokenAccount:
    """A token account from its bytes. Raises `AccountMalformed`."""
    if len(data) < ACCOUNT_SIZE or (len(data) > ACCOUNT_SIZE and data[ACCOUNT_SIZE] != 2):
        raise AccountMalformed("the account is no token account")
    mint, owner, amount, dtag, delegate, state, native, _, _, ctag, close = _ACCOUNT.unpack_from(data)
    return TokenAccount(
        Pubkey.from_bytes(mint),
        Pubkey.from_bytes(owner),
        amount,
        state,
        _option(dtag, delegate),
        bool(native),
        _option(ctag, close),
    )


def held(account: Account | None) -> int:
    """Base units in a token account; 0 where there is none, or only SOL that somebody sent to its address ahead."""
    return 0 if account is None or not account.data else decode_token_account(bytes(account.data)).amount


def associated_address(owner: Pubkey, mint: Pubkey, *, token_program: Pubkey = TOKEN) -> Pubkey:
    """The owner's associated token account (ATA) of a mint."""
    return find(ASSOCIATED, bytes(owner), bytes(token_program), bytes(mint))[0]


def create_associated(payer: Pubkey, owner: Pubkey, mint: Pubkey, *, token_program: Pubkey = TOKEN) -> Instruction:
    """Makes the owner's ATA; does nothing if it is there (CreateIdempotent)."""
    return Instruction(
        ASSOCIATED,
        b"\x01",
        [
            AccountMeta(payer, True, True),
            AccountMeta(associated_address(owner, mint, token_program=token_program), False, True),
            AccountMeta(owner, False, False),
            AccountMeta(mint, False, False),
            AccountMeta(SYSTEM, False, False),
            AccountMeta(token_program, False, False),
        ],
    )


def create_mint(
    payer: Pubkey,
    mint: Pubkey,
    *,
    authority: Pubkey,
    decimals: int,
    rent: int,
    freeze_authority: Pubkey | None = None,
    token_program: Pubkey = TOKEN,
) -> list[Instruction]:
    """Makes a mint without extensions (system create, InitializeMint2). `mint` and `payer` sign."""
    made = create_account(
        CreateAccountParams(from_pubkey=payer, to_pubkey=mint, lamports=rent, space=MINT_SIZE, owner=token_program)
    )
    freeze = b"\x00" if freeze_authority is None else b"\x01" + bytes(freeze_authority)
    data = bytes([20, decimals]) + bytes(authority) + freeze
    return [made, Instruction(token_program, data, [AccountMeta(mint, False, True)])]


def mint_to(
    mint: Pubkey, account: Pubkey, *, authority: Pubkey, amount: int, token_program: Pubkey = TOKEN
) -> Instruction:
    """Makes `amount` base units of new tokens in `account`."""
    metas = [AccountMeta(mint, False, True), AccountMeta(account, False, True), AccountMeta(authority, True, False)]
    return Instruction(token_program, struct.pack("<BQ", 7, amount), metas)


def transfer_checked(
    source: Pubkey,
    target: Pubkey,
    *,
    mint: Pubkey,
    owner: Pubkey,
    amount: int,
    decimals: int,
    token_program: Pubkey = TOKEN,
) -> Instruction:
    """Moves tokens."""
    metas = [
        AccountMeta(source, False, True),
        AccountMeta(mint, False, False),
        AccountMeta(target, False, True),
        AccountMeta(owner, True, False),
    ]
    return Instruction(token_program, struct.pack("<BQB", 12, amount, decimals), metas)
