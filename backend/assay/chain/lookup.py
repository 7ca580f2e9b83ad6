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
PATIENCE = 90
"""Seconds that an extension is waited for; a cluster finalizes a slot in about 13."""
PAUSE, LONGEST_PAUSE = 0.01, 0.4
"""Seconds between looks at whether it can be used."""


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
    """Appends addresses; when they can be used, `Chain.table_slot` says."""
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
    if extended > await chain.table_slot():
        return AddressLookupTableAccount(address, table.addresses[:start])
    return table


async def retire_table(chain: Chain, address: Pubkey, *, authority: Keypair) -> bool:
    """One step towards a table's end, whose rent goes back to `authority`; whether it is gone.

    First it is deactivated; once nobody can name it any more (513 slots later) it is closed. To be called again later
    while it gives False.
    """
    account = await chain.account(address)
    if account is None:
        return True
    me = authority.pubkey()
    try:
        decode_table(address, account)
    except AccountMalformed:
        step = close_table(address, me, me)
        if (await chain.simulate([step], payer=me)).error is not None:
            return False
        await chain.send([step], payer=authority)
        return True
    await chain.send([deactivate_table(address, me)], payer=authority)
    return False


class LookupTables:
    """The tables of one authority. Addresses are only ever added; calls may overlap.

    `extend` appends and returns when that has landed; what can be used by then is in `usable`; `cover` waits for it.
    `known` may name tables from an earlier run.
    """

    def __init__(self, chain: Chain, authority: Keypair, *, known: Iterable[Pubkey] = ()) -> None:
        self._chain = chain
        self._authority = authority
        self._lock = asyncio.Lock()
        self._known = list(known)
        self._tables: dict[Pubkey, list[Pubkey]] = {}
        self._where: dict[Pubkey, Pubkey] = {}
        self._ready: dict[Pubkey, int] = {}
        """How many addresses of a table can be used."""
        self._pending: list[tuple[int, Pubkey, int]] = []
        """(slot, table, addresses that it has since then), in the order in which they landed."""

    @property
    def addresses(self) -> list[Pubkey]:
        """The tables' own addresses, to be kept for a later run."""
        return [*self._tables, *self._known]

    @property
    def held(self) -> set[Pubkey]:
        """All addresses in the tables."""
        return set(self._where)

    @property
    def pending(self) -> bool:
        """Whether something landed that could not be used when `usable` last looked."""
        return bool(self._pending or self._known)

    async def extend(self, addresses: Iterable[Pubkey]) -> None:
        """Has `addresses` in a table: those that are in none are appended, to new tables where the others are full."""
        async with self._lock:
            await self._adopt()
            missing = [address for address in dict.fromkeys(addresses) if address not in self._where]
            if missing:
                await self._add(missing)

    async def usable(self) -> list[AddressLookupTableAccount]:
        """The tables with the addresses that a transaction can use now. Asks the chain only while some are pending."""
        async with self._lock:
            await self._adopt()
            if self._pending:
                slot = await self._chain.table_slot()
                while self._pending and self._pending[0][0] <= slot:
                    _, table, count = self._pending.pop(0)
                    self._ready[table] = count
            return [
                AddressLookupTableAccount(table, self._tables[table][:count]) for table, count in self._ready.items()
            ]

    async def cover(self, addresses: Iterable[Pubkey]) -> list[AddressLookupTableAccount]:
        """Tables that hold all of `addresses`, made or extended where needed, and usable when this returns.

        Raises `ChainUnavailable` if the chain makes no progress for a long time.
        """
        in_order = list(dict.fromkeys(addresses))
        wanted = set(in_order)
        await self.extend(in_order)
        try:
            async with asyncio.timeout(PATIENCE):
                pause = PAUSE
                while True:
                    tables = await self.usable()
                    held = {address for table in tables for address in table.addresses}
                    if wanted <= held:
                        return [table for table in tables if wanted.intersection(table.addresses)]
                    await asyncio.sleep(pause)
                    pause = min(1.5 * pause, LONGEST_PAUSE)
        except TimeoutError:
            raise ChainUnavailable(f"a lookup table could not be used for {PATIENCE} s", retry_after=1) from None

    async def doubt(self) -> None:
        """Has all tables read from the chain again."""
        async with self._lock:
            for table in list(self._tables):
                self._doubt(table)

    async def _adopt(self) -> None:
        """Reads the tables of an earlier run, or those of which it is not sure what they hold."""
        while self._known:
            address = self._known[-1]
            account = await self._chain.account(address)
            if account is not None:
                with contextlib.suppress(AccountMalformed):  # deactivated since: others take its place
                    table, extended, start = decode_table(address, account)
                    self._ready[address] = start
                    self._note(address, table.addresses, slot=extended)
            self._known.pop()

    def _note(self, table: Pubkey, addresses: Sequence[Pubkey], *, slot: int) -> None:
        held = self._tables.setdefault(table, [])
        for address in addresses:
            held.append(address)
            self._where.setdefault(address, table)
        self._pending.append((slot, table, len(held)))

    async def _add(self, missing: Sequence[Pubkey]) -> None:
        me = self._authority.pubkey()
        rest = list(missing)
        while rest:
            table = next((table for table, held in self._tables.items() if len(held) < CAPACITY), None)
            if table is None:
                table = await self._create()
                self._tables[table] = []
            size = min(CAPACITY - len(self._tables[table]), PER_TRANSACTION)
            part, rest = rest[:size], rest[size:]
            try:
                landed = await self._chain.send([extend_table(table, me, me, part)], payer=self._authority)
            except BaseException:
                # It may have landed all the same: a place counted wrong would name other accounts.
                self._doubt(table)
                raise
            self._note(table, part, slot=landed.slot)

    def _doubt(self, table: Pubkey) -> None:
        """Forgets what `table` holds, to be read from the chain again."""
        self._tables.pop(table, None)
        self._ready.pop(table, None)
        self._pending = [one for one in self._pending if one[1] != table]
        self._where = {address: held for address, held in self._where.items() if held != table}
        self._known.append(table)

    async def _create(self) -> Pubkey:
        """A new table. Its slot must have a hash: the newest that surely has one is the one before."""
        me = self._authority.pubkey()
        slot = await self._chain.slot()
        if slot < 1:
            raise ChainUnavailable("the chain has made no slot yet", retry_after=1)
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
