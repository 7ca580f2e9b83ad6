"""Address lookup tables: a settlement names two accounts a participant, 64 bytes in a plain transaction and two in one
that uses a table.

Instruction layouts: https://docs.rs/solana-address-lookup-table-interface (ProgramInstruction, bincode).
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Iterable, Sequence

from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM

from assay.chain.base import Chain
from assay.errors import AccountMalformed, AccountMissing, ChainError, ChainUnavailable

PROGRAM = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
META = 56
CAPACITY = 256
"""Addresses in a table at most."""
PER_TRANSACTION = 28
"""Addresses that one extension carries beside a signature, three keys and a blockhash within a packet."""
STILL_ACTIVE = (1 << 64) - 1
PATIENCE = 30
"""Seconds that a next slot is waited for."""


def table_address(authority: Pubkey, slot: int) -> tuple[Pubkey, int]:
    """A table's address and bump: seeds are its authority and a recent slot."""
    return Pubkey.find_program_address([bytes(authority), struct.pack("<Q", slot)], PROGRAM)


def create_table(authority: Pubkey, payer: Pubkey, slot: int) -> tuple[Instruction, Pubkey]:
    """Instruction that makes a table, and its address. `slot` must be in the SlotHashes sysvar."""
    address, bump = table_address(authority, slot)
    metas = [
        AccountMeta(address, False, True),
        AccountMeta(authority, False, False),
        AccountMeta(payer, True, True),
        AccountMeta(SYSTEM, False, False),
    ]
    return Instruction(PROGRAM, struct.pack("<IQB", 0, slot, bump), metas), address


def extend_table(table: Pubkey, authority: Pubkey, payer: Pubkey, addresses: Sequence[Pubkey]) -> Instruction:
    """Appends addresses; they can be used from the next slot on."""
    data = struct.pack("<IQ", 2, len(addresses)) + b"".join(bytes(address) for address in addresses)
    metas = [
        AccountMeta(table, False, True),
        AccountMeta(authority, True, False),
        AccountMeta(payer, True, True),
        AccountMeta(SYSTEM, False, False),
    ]
    return Instruction(PROGRAM, data, metas)


def deactivate_table(table: Pubkey, authority: Pubkey) -> Instruction:
    """Begins a table's end; after 513 slots it can be closed."""
    metas = [AccountMeta(table, False, True), AccountMeta(authority, True, False)]
    return Instruction(PROGRAM, struct.pack("<I", 3), metas)


def close_table(table: Pubkey, authority: Pubkey, recipient: Pubkey) -> Instruction:
    """Ends a deactivated table; its rent goes to `recipient`."""
    metas = [
        AccountMeta(table, False, True),
        AccountMeta(authority, True, False),
        AccountMeta(recipient, False, True),
    ]
    return Instruction(PROGRAM, struct.pack("<I", 4), metas)


def decode_table(address: Pubkey, account: Account) -> tuple[AddressLookupTableAccount, int, int]:
    """(table, slot of its last extension, its first index from then). Raises `AccountMalformed`."""
    data = account.data
    if account.owner != PROGRAM or len(data) < META or data[:4] != b"\x01\0\0\0":
        raise AccountMalformed(f"{address} is no address lookup table")
    ended, extended, start = struct.unpack_from("<QQB", data, 4)
    if ended != STILL_ACTIVE:
        raise AccountMalformed(f"the lookup table {address} has been deactivated", hint="make another")
    keys = [Pubkey.from_bytes(data[at : at + 32]) for at in range(META, len(data) - 31, 32)]
    return AddressLookupTableAccount(address, keys), extended, start


async def fetch_table(chain: Chain, address: Pubkey) -> AddressLookupTableAccount:
    """The table with the addresses that can be used now. Raises `AccountMissing`, `AccountMalformed`."""
    account = await chain.account(address)
    if account is None:
        raise AccountMissing(f"there is no lookup table {address}")
    table, extended, start = decode_table(address, account)
    if extended >= await chain.slot():
        return AddressLookupTableAccount(address, table.addresses[:start])
    return table


class LookupTables:
    """The tables of one authority: `await tables.cover(addresses)` gives tables that hold all of them.

    Addresses are only ever added; calls may overlap. `known` may name tables from an earlier run.
    """

    def __init__(self, chain: Chain, authority: Keypair, *, known: Iterable[Pubkey] = ()) -> None:
        self._chain = chain
        self._authority = authority
        self._lock = asyncio.Lock()
        self._known = list(known)
        self._tables: dict[Pubkey, list[Pubkey]] = {}
        self._where: dict[Pubkey, Pubkey] = {}

    @property
    def addresses(self) -> list[Pubkey]:
        """The tables' own addresses, to be kept for a later run."""
        return list(self._tables)

    async def cover(self, addresses: Iterable[Pubkey]) -> list[AddressLookupTableAccount]:
        """Tables that hold all of `addresses`, made or extended where needed, and active when this returns.

        Raises `ChainUnavailable` if the chain makes no slot for a long time.
        """
        wanted = list(dict.fromkeys(addresses))
        async with self._lock:
            await self._adopt()
            missing = [address for address in wanted if address not in self._where]
            if missing:
                await self._add(missing)
        used = dict.fromkeys(self._where[address] for address in wanted)
        return [AddressLookupTableAccount(table, self._tables[table]) for table in used]

    async def _adopt(self) -> None:
        while self._known:
            address = self._known[-1]
            account = await self._chain.account(address)
            if account is not None:
                with contextlib.suppress(AccountMalformed):  # deactivated since: others take its place
                    table, extended, _ = decode_table(address, account)
                    if extended >= await self._chain.slot():
                        await self._next_slot()
                    self._note(address, table.addresses)
            self._known.pop()

    def _note(self, table: Pubkey, addresses: Sequence[Pubkey]) -> None:
        held = self._tables.setdefault(table, [])
        for address in addresses:
            held.append(address)
            self._where.setdefault(address, table)

    async def _add(self, missing: Sequence[Pubkey]) -> None:
        me = self._authority.pubkey()
        rest = list(missing)
        added: list[tuple[Pubkey, list[Pubkey]]] = []
        room = {table: CAPACITY - len(held) for table, held in self._tables.items() if len(held) < CAPACITY}
        while rest:
            if not room:
                room[await self._create()] = CAPACITY
            table, free = next(iter(room.items()))
            part, rest = rest[: min(free, PER_TRANSACTION)], rest[min(free, PER_TRANSACTION) :]
            await self._chain.send([extend_table(table, me, me, part)], payer=self._authority)
            added.append((table, part))
            room[table] -= len(part)
            if not room[table]:
                del room[table]
        await self._next_slot()
        for table, part in added:
            self._note(table, part)

    async def _create(self) -> Pubkey:
        """A new table. Its slot must have a hash: the newest that surely has one is the one before."""
        me = self._authority.pubkey()
        slot = await self._chain.slot()
        if slot < 1:
            await self._next_slot()
            slot = await self._chain.slot()
        refusal: ChainError | None = None
        for back in range(1, min(slot, 100) + 1):
            instruction, address = create_table(me, me, slot - back)
            if await self._chain.account(address) is not None:
                continue  # made in the same slot before
            simulated = await self._chain.simulate([instruction], payer=me)
            if simulated.error is None:
                await self._chain.send([instruction], payer=self._authority)
                return address
            refusal = simulated.error
            if back > 8:
                break
        raise refusal or ChainUnavailable("no recent slot can name a new lookup table", retry_after=1)

    async def _next_slot(self) -> None:
        start = await self._chain.slot()
        try:
            async with asyncio.timeout(PATIENCE):
                while await self._chain.slot() <= start:  # noqa: ASYNC110  polled: not every chain can tell
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise ChainUnavailable(f"the chain made no slot in {PATIENCE} s") from None
