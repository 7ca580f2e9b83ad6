"""The embedded chain: the program in Agave's own runtime (LiteSVM), inside this process, on disk.

A transaction is executed at once, and acknowledged when the group it fell into is on disk (`store`). While a group is
being written the next one gathers, so the cost of a sync is shared by all that arrive meanwhile. Reads never show
what is not on disk yet. Blockhashes, slots, duplicates, fees, sizes and logs are bounded as on a cluster.

One process owns a home; others use the JSON-RPC port (`rpc_server`).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from assay.chain.base import (
    MAX_AGE,
    Blockhash,
    ChainClock,
    Cursor,
    Event,
    Landed,
    Memcmp,
    OpenedChain,
    Receipt,
    Simulation,
    check_size,
    compile_transaction,
    open_landed,
    parse_signature,
    parse_transaction,
)
from assay.chain.builder import unit_limit
from assay.chain.events import decode_events
from assay.chain.failures import failure
from assay.chain.journal import Journal
from assay.chain.keys import ensure_key
from assay.chain.messages import Loaded
from assay.chain.program import Program
from assay.chain.runtime import Runtime
from assay.chain.store import Record, Store
from assay.errors import BadRequest, ChainUnavailable, ConfigError, TransactionFailed

PAGE = 100
"""Transactions of an account's history that are read at a time."""


class EmbeddedChain(OpenedChain):
    """The chain of one home. `async with EmbeddedChain(home) as chain: …`, or `await chain.open()` and `close()`.

    `operator`: key file of the program's upgrade authority; `slot_ms`: length of a slot; `now`: wall time in seconds;
    keys are in ``home/keys``, data in ``home/chain``.
    """

    pace = 0.0

    def __init__(
        self,
        home: Path,
        *,
        program: Program | None = None,
        operator: Path | None = None,
        slot_ms: float = 400,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not 1 <= slot_ms <= 60_000:
            raise ConfigError("must be from 1 to 60000 milliseconds", field="slot_ms")
        self.home = home
        super().__init__(program)
        self.slot_ms = slot_ms
        self._operator = operator
        self._now = now
        self._opened = False
        self._airdrops = 0

    # -- life ---------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Restores the chain, or begins it. Raises `ChainUnavailable` while another process owns the home."""
        if self._opened:
            return
        keys = self.home / "keys"
        self.operator = ensure_key(self._operator or keys / "operator.json")
        self.faucet = ensure_key(keys / "faucet.json")
        self.store = Store(self.home / "chain")
        try:
            self.runtime = Runtime(
                self.store,
                program=self.program,
                operator=self.operator.pubkey(),
                faucet=self.faucet.pubkey(),
                slot_seconds=self.slot_ms / 1000,
                now=self._now,
            )
        except BaseException:
            self.store.close()
            raise
        self._slots = self.runtime.slots
        self.journal = Journal(self.store, self.runtime)
        self._opened = True

    async def close(self) -> None:
        """Writes what is pending and lets go of the home."""
        if not self._opened:
            return
        self._opened = False
        await self.journal.close()
        self.store.close()

    def _check_open(self) -> None:
        if not self._opened:
            raise ChainUnavailable("the chain is closed")
        self.journal.check_open()

    async def advance_clock(self, seconds: float) -> None:
        """Puts the wall clock forward, for good: waiting periods pass at once. Slots go on as they were."""
        if seconds < 0:
            raise BadRequest("the clock cannot go back", field="seconds", hint="0 or more")
        self._slots.offset += seconds
        await self.journal.note({"offset": repr(self._slots.offset).encode()})

    # -- transactions -------------------------------------------------------------------------------------------------

    async def send(
        self,
        instructions: Sequence[Instruction],
        *,
        payer: Keypair,
        signers: Sequence[Keypair] = (),
        lookup_tables: Sequence[AddressLookupTableAccount] = (),
    ) -> Receipt:
        """See `Chain.send`."""
        while True:
            self._check_open()
            self._slots.tick()
            transaction = compile_transaction(
                instructions,
                payer=payer,
                signers=signers,
                lookup_tables=lookup_tables,
                blockhash=self._slots.blockhash(),
            )
            if not self.runtime.seen(bytes(transaction.signatures[0])):
                break
            # two alike under one blockhash would be one transaction: the next slot's makes them two
            await asyncio.sleep(self.slot_ms / 1000)
        return self._receipt(await self.submit(transaction, check_size(bytes(transaction))))

    async def send_raw(self, raw: bytes) -> Receipt:
        """See `Chain.send_raw`."""
        transaction = parse_transaction(raw)
        known = await self.journal.record(bytes(transaction.signatures[0]))
        return self._receipt(known if known is not None else await self.submit(transaction, raw))

    async def submit(self, transaction: VersionedTransaction, raw: bytes) -> Record:
        """Executes a transaction and waits until it is on disk, whether it succeeded or failed.

        Raises what kept it from being executed at all (`BlockhashExpired`, `TransactionFailed`).
        """
        self._check_open()
        return await self.journal.add(self.runtime.execute(transaction, raw))

    async def simulate(
        self,
        instructions: Sequence[Instruction],
        *,
        payer: Pubkey,
        lookup_tables: Sequence[AddressLookupTableAccount] = (),
    ) -> Simulation:
        """See `Chain.simulate`."""
        self._check_open()
        self._slots.tick()
        message = MessageV0.try_compile(payer, list(instructions), list(lookup_tables), self._slots.blockhash())
        error, logs, units = self.runtime.simulate_unsigned(message)
        raised = None if error is None else failure(error, program=self.program, logs=logs)
        if raised is not None and not isinstance(raised, TransactionFailed):
            raise raised
        return Simulation(raised, tuple(logs), units)

    # -- receipts and events ------------------------------------------------------------------------------------------

    async def receipt(self, signature: str) -> Receipt | None:
        """See `Chain.receipt`."""
        found = await self.journal.record(bytes(parse_signature(signature)))
        return None if found is None else self._receipt(found)

    def _receipt(self, record: Record) -> Receipt:
        signature = str(Signature.from_bytes(record.signature))
        logs = record.meta.logs()
        if record.error is not None:
            raise failure(json.loads(record.error), program=self.program, logs=logs, signature=signature)
        meta = record.meta
        return Receipt(
            signature=signature,
            slot=record.slot,
            block_time=record.block_time,
            compute_units=meta.compute_units_consumed(),
            fee=meta.fee(),
            logs=tuple(logs),
            program=self.program,
        )

    async def landed(self, signature: str) -> Landed | None:
        """See `Chain.landed`."""
        found = await self.journal.record(bytes(parse_signature(signature)))
        return None if found is None else self._landed(found)

    def _landed(self, record: Record) -> Landed:
        receipt = self._receipt(record)
        loaded = Loaded.parse(record.loaded)
        made = VersionedTransaction.from_bytes(record.raw)
        return open_landed(receipt, made, loaded=[*loaded.writable, *loaded.readonly])

    async def history(self, address: Pubkey) -> AsyncIterator[Landed]:
        """See `Chain.history`."""
        before = None
        while records := await self.journal.mentioning(bytes(address), before=before, until=None, limit=PAGE):
            for record in records:
                if record.error is None:
                    yield self._landed(record)
            before = records[-1].seq

    async def events(self, *, after: Cursor | None = None, follow: bool = True) -> AsyncIterator[Event]:
        """See `Chain.events`."""
        self._check_open()
        seq, skip = 0, -1
        if after is not None:
            found = await self.journal.record(bytes(Signature.from_string(after.signature)))
            if found is None:
                raise ChainUnavailable(
                    f"the chain does not know transaction {after.signature} of the cursor",
                    hint="start from the beginning",
                )
            seq, skip = found.seq - 1, after.index
        while True:
            news = self.journal.news_flag()
            batch = await self.journal.records(seq)
            for record in batch:
                seq = record.seq
                first, skip = skip + 1, -1
                if record.error is not None:
                    continue
                found_events = decode_events(self.program.codec, record.meta.logs(), program=self.program.id)
                for index, (name, data) in enumerate(found_events[first:], first):
                    signature = str(Signature.from_bytes(record.signature))
                    yield Event(name, data, record.slot, signature, index, record.block_time)
            if not batch:
                if not follow:
                    return
                if seq >= self.journal.transaction_count:
                    await news.wait()
                if not self._opened:
                    return

    # -- reading ------------------------------------------------------------------------------------------------------

    async def account(self, address: Pubkey) -> Account | None:
        """See `Chain.account`."""
        return (await self.accounts([address]))[0]

    async def accounts(self, addresses: Sequence[Pubkey]) -> list[Account | None]:
        """See `Chain.accounts`."""
        self._check_open()
        await self.journal.settled(addresses)
        self.runtime.sync()
        return [self.runtime.account(address) for address in addresses]

    async def program_accounts(
        self, program_id: Pubkey | None = None, *, memcmp: Sequence[Memcmp] = (), size: int | None = None
    ) -> list[tuple[Pubkey, Account]]:
        """See `Chain.program_accounts`."""
        self._check_open()
        await self.journal.all_settled()
        found = []
        for address, account in self.runtime.svm.get_program_accounts(program_id or self.program.id):
            data = account.data
            if account.lamports == 0 or (size is not None and len(data) != size):
                continue
            if all(data[m.offset : m.offset + len(m.data)] == m.data for m in memcmp):
                found.append((address, account))
        return found

    async def latest_blockhash(self) -> Blockhash:
        """See `Chain.latest_blockhash`."""
        self._check_open()
        self._slots.tick()
        return Blockhash(self._slots.blockhash(), self._slots.slot + MAX_AGE)

    def blockhash_valid(self, blockhash: Hash) -> bool:
        """Whether a transaction that names it would be taken."""
        self._slots.tick()
        return self._slots.age(blockhash) is not None

    async def slot(self) -> int:
        """See `Chain.slot`."""
        self._check_open()
        self._slots.tick()
        return self._slots.slot

    async def table_slot(self) -> int:
        """See `Chain.table_slot`: a table's addition can be used from the next slot on."""
        return await self.slot() - 1

    async def clock(self) -> ChainClock:
        """See `Chain.clock`."""
        return ChainClock(await self.slot(), self._slots.wall())

    async def airdrop(self, address: Pubkey, lamports: int) -> str:
        """See `Chain.airdrop`."""
        if not 0 < lamports < 1 << 63:
            raise BadRequest("must be a positive number of lamports", field="lamports")
        move = transfer(TransferParams(from_pubkey=self.faucet.pubkey(), to_pubkey=address, lamports=lamports))
        # two alike within a slot would have one signature: a number in a budget instruction tells them apart
        self._airdrops += 1
        price = unit_limit(100_000 + self._airdrops % 1_000_000)
        return (await self.send([price, move], payer=self.faucet)).signature

    async def minimum_rent(self, size: int) -> int:
        """See `Chain.minimum_rent`."""
        self._check_open()
        return self.runtime.svm.minimum_balance_for_rent_exemption(size)

    async def genesis_hash(self) -> Hash:
        """See `Chain.genesis_hash`."""
        self._check_open()
        return self.runtime.genesis_hash
