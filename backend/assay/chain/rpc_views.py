"""How the JSON-RPC shows accounts and transactions (https://solana.com/docs/rpc)."""

from __future__ import annotations

import base64
import json
from array import array
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from assay.chain import tokens
from assay.chain.messages import Loaded, writable_keys
from assay.chain.store import Record
from assay.errors import AccountMalformed

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BASE58_LIMIT = 128
"""Bytes of account data that base 58 is given for (MAX_BASE58_BYTES)."""
MAX_RENT_EPOCH = (1 << 64) - 1


class RpcFault(Exception):
    """A JSON-RPC error: code, message and data."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


def invalid(message: str) -> RpcFault:
    """Parameters that cannot be used (-32602)."""
    return RpcFault(-32602, message)


def b58encode(data: bytes) -> str:
    """Base 58 in Bitcoin's alphabet."""
    number, text = int.from_bytes(data), ""
    while number:
        number, rest = divmod(number, 58)
        text = ALPHABET[rest] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def b58decode(text: str) -> bytes:
    """The inverse; ValueError for a letter that is none."""
    number = 0
    for letter in text:
        number = number * 58 + ALPHABET.index(letter)
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)


def token_amount(amount: int, decimals: int) -> dict[str, Any]:
    """A UiTokenAmount. `uiAmount` is a float for display only."""
    text = (
        f"{amount // 10**decimals}.{amount % 10**decimals:0{decimals}d}".rstrip("0").rstrip(".") if decimals else None
    )
    shown = text if text is not None else str(amount)
    return {"amount": str(amount), "decimals": decimals, "uiAmount": float(shown), "uiAmountString": shown}


def _parsed(account: Account, decimals: dict[Pubkey, int]) -> dict[str, Any] | None:
    """Token accounts and mints in words; None for anything else. `decimals` by mint."""
    if account.owner not in tokens.PROGRAMS:
        return None
    program = "spl-token" if account.owner == tokens.TOKEN else "spl-token-2022"
    try:
        held = tokens.decode_token_account(account.data)
        if held.mint not in decimals:
            return None
        info: dict[str, Any] = {
            "isNative": held.native,
            "mint": str(held.mint),
            "owner": str(held.owner),
            "state": ("uninitialized", "initialized", "frozen")[min(held.state, 2)],
            "tokenAmount": token_amount(held.amount, decimals[held.mint]),
        }
        kind = "account"
    except AccountMalformed:
        try:
            mint = tokens.decode_mint(account.data)
        except AccountMalformed:
            return None
        info = {
            "decimals": mint.decimals,
            "freezeAuthority": None if mint.freeze_authority is None else str(mint.freeze_authority),
            "isInitialized": mint.initialized,
            "mintAuthority": None if mint.authority is None else str(mint.authority),
            "supply": str(mint.supply),
        }
        kind = "mint"
    return {"program": program, "parsed": {"info": info, "type": kind}, "space": len(account.data)}


def show_account(
    account: Account, *, encoding: str, piece: tuple[int, int] | None, decimals: dict[Pubkey, int]
) -> dict[str, Any]:
    """An account in the encoding asked for. `piece`: (offset, length) of the data to show."""
    shown: Any = _parsed(account, decimals) if encoding == "jsonParsed" else None
    if shown is None:
        data = account.data if piece is None else account.data[piece[0] : piece[0] + piece[1]]
        if encoding in ("base58", "binary"):
            if len(data) > BASE58_LIMIT:
                raise RpcFault(
                    -32600,
                    f"Encoded binary (base 58) data should be less than {BASE58_LIMIT} bytes, "
                    "please use Base64 encoding.",
                )
            text = b58encode(data)
            shown = text if encoding == "binary" else [text, "base58"]
        else:
            shown = [base64.b64encode(data).decode(), "base64"]
    return {
        "data": shown,
        "executable": account.executable,
        "lamports": account.lamports,
        "owner": str(account.owner),
        "rentEpoch": MAX_RENT_EPOCH,
        "space": len(account.data),
    }


def signature_text(record: Record) -> str:
    """The record's signature in base 58."""
    return str(Signature.from_bytes(record.signature))


def error_of(record: Record) -> Any:
    """The record's error in JSON-RPC form, or None."""
    return None if record.error is None else json.loads(record.error)


def status_of(error: Any) -> dict[str, Any]:
    """The `status` that older clients read."""
    return {"Ok": None} if error is None else {"Err": error}


def _instruction(program: int, accounts: bytes, data: bytes, height: int | None) -> dict[str, Any]:
    return {
        "programIdIndex": program,
        "accounts": list(accounts),
        "data": b58encode(bytes(data)),
        "stackHeight": height,
    }


def _message(transaction: VersionedTransaction, loaded: Loaded, *, parsed: bool) -> dict[str, Any]:
    message = transaction.message
    header = message.header
    keys = [*message.account_keys, *loaded.writable, *loaded.readonly]
    shown: dict[str, Any] = {"recentBlockhash": str(message.recent_blockhash)}
    if parsed:
        writable = set(writable_keys(message, loaded))
        own = len(message.account_keys)
        shown["accountKeys"] = [
            {
                "pubkey": str(key),
                "signer": index < header.num_required_signatures,
                "source": "transaction" if index < own else "lookupTable",
                "writable": key in writable,
            }
            for index, key in enumerate(keys)
        ]
        shown["instructions"] = [
            {
                "programId": str(keys[ix.program_id_index]),
                "accounts": [str(keys[account]) for account in ix.accounts],
                "data": b58encode(bytes(ix.data)),
                "stackHeight": 1,
            }
            for ix in message.instructions
        ]
    else:
        shown["accountKeys"] = [str(key) for key in message.account_keys]
        shown["header"] = {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        }
        shown["instructions"] = [
            _instruction(ix.program_id_index, ix.accounts, ix.data, 1) for ix in message.instructions
        ]
    lookups = getattr(message, "address_table_lookups", None)
    if lookups is not None:
        shown["addressTableLookups"] = [
            {
                "accountKey": str(lookup.account_key),
                "writableIndexes": list(lookup.writable_indexes),
                "readonlyIndexes": list(lookup.readonly_indexes),
            }
            for lookup in lookups
        ]
    return shown


def version_of(transaction: VersionedTransaction) -> int | str:
    """0 for a v0 message, else "legacy"."""
    return 0 if hasattr(transaction.message, "address_table_lookups") else "legacy"


def show_transaction(record: Record, *, encoding: str, with_version: bool) -> dict[str, Any]:
    """A transaction with its meta data. `encoding`: json, jsonParsed (accounts in words), base64 or base58."""
    transaction = VersionedTransaction.from_bytes(record.raw)
    loaded = Loaded.parse(record.loaded)
    error = error_of(record)
    balances = array("Q")
    balances.frombytes(record.balances)
    half = len(balances) // 2
    inner = [
        {
            "index": index,
            "instructions": [
                _instruction(
                    entry.instruction().program_id_index,
                    entry.instruction().accounts,
                    entry.instruction().data,
                    entry.stack_height(),
                )
                for entry in group
            ],
        }
        for index, group in enumerate(record.meta.inner_instructions())
        if group
    ]
    meta: dict[str, Any] = {
        "err": error,
        "status": status_of(error),
        "fee": record.meta.fee(),
        "computeUnitsConsumed": record.meta.compute_units_consumed(),
        "preBalances": list(balances[:half]),
        "postBalances": list(balances[half:]),
        "innerInstructions": [] if encoding == "jsonParsed" else inner,
        "logMessages": record.meta.logs(),
        "preTokenBalances": [],
        "postTokenBalances": [],
        "rewards": [],
        "loadedAddresses": {
            "writable": [str(key) for key in loaded.writable],
            "readonly": [str(key) for key in loaded.readonly],
        },
    }
    if encoding == "base64":
        shown: Any = [base64.b64encode(record.raw).decode(), "base64"]
    elif encoding in ("base58", "binary"):
        shown = b58encode(record.raw) if encoding == "binary" else [b58encode(record.raw), "base58"]
    else:
        shown = {
            "signatures": [str(signature) for signature in transaction.signatures],
            "message": _message(transaction, loaded, parsed=encoding == "jsonParsed"),
        }
    answer = {"slot": record.slot, "blockTime": record.block_time, "transaction": shown, "meta": meta}
    if with_version:
        answer["version"] = version_of(transaction)
    return answer
