"""Which accounts a message names, and which of them it may write."""

from __future__ import annotations

from typing import Any, NamedTuple

from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from assay.chain.store import Record

TABLE_META = 56
"""Bytes before the addresses of a lookup table account (LOOKUP_TABLE_META_SIZE)."""


class Loaded(NamedTuple):
    """Addresses that a v0 message takes from lookup tables."""

    writable: tuple[Pubkey, ...]
    readonly: tuple[Pubkey, ...]

    def raw(self) -> bytes:
        """As stored: count of writable ones (1 byte), then all addresses; empty if there are none."""
        if not self.writable and not self.readonly:
            return b""
        return bytes([len(self.writable)]) + b"".join(bytes(key) for key in (*self.writable, *self.readonly))

    @classmethod
    def parse(cls, raw: bytes) -> Loaded:
        """The inverse of `raw`."""
        keys = [Pubkey.from_bytes(raw[at : at + 32]) for at in range(1, len(raw), 32)]
        count = raw[0] if raw else 0
        return cls(tuple(keys[:count]), tuple(keys[count:]))


def resolve(svm: LiteSVM, message: MessageV0) -> Loaded:
    """The addresses that the message's lookups stand for; those that a table does not have are left out."""
    writable: list[Pubkey] = []
    readonly: list[Pubkey] = []
    for lookup in message.address_table_lookups:
        account = svm.get_account(lookup.account_key)
        data = account.data if account is not None else b""
        for indexes, into in ((lookup.writable_indexes, writable), (lookup.readonly_indexes, readonly)):
            for index in indexes:
                raw = data[TABLE_META + 32 * index : TABLE_META + 32 * index + 32]
                if len(raw) == 32:
                    into.append(Pubkey.from_bytes(raw))
    return Loaded(tuple(writable), tuple(readonly))


def writable_keys(message: Any, loaded: Loaded) -> list[Pubkey]:
    """Accounts that the message may write: by its header, and those loaded as writable."""
    keys = message.account_keys
    header = message.header
    signers = header.num_required_signatures
    first = keys[: signers - header.num_readonly_signed_accounts]
    second = keys[signers : len(keys) - header.num_readonly_unsigned_accounts]
    return [*first, *second, *loaded.writable]


def touched(record: Record) -> tuple[list[Pubkey], list[Pubkey]]:
    """(all accounts that a stored transaction names, those it may write)."""
    message = VersionedTransaction.from_bytes(record.raw).message
    loaded = Loaded.parse(record.loaded)
    return [*message.account_keys, *loaded.writable, *loaded.readonly], writable_keys(message, loaded)
