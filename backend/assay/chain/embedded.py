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
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

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
    Memcmp,
    Receipt,
    Simulation,
    check_size,
    compile_transaction,
    parse_transaction,
)
from assay.chain.builder import unit_limit
from assay.chain.events import decode_events
from assay.chain.failures import failure
from assay.chain.keys import ensure_key
from assay.chain.messages import touched
from assay.chain.program import Program, load_program
from assay.chain.runtime import Runtime
from assay.chain.store import Record, Store
from assay.errors import BadRequest, ChainUnavailable, ConfigError, TransactionFailed

RECENT = 4096
"""Newest transactions that are kept in memory for streams and receipts."""


class EmbeddedChain:
    """The chain of one home. `async with EmbeddedChain(home) as chain: …`, or `await chain.open()` and `close()`.

    `slot_ms`: length of a slot; `now`: wall time in seconds; keys are in ``home/keys``, data in ``home/chain``.
    """

    def __init__(
        self,
        home: Path,
        *,
        program: Program | None = None,
        slot_ms: float = 400,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not 1 <= slot_ms <= 60_000:
            raise ConfigError("must be from 1 to 60000 milliseconds", field="slot_ms")
        self.home = home
        self.program = program or load_program()
        self.slot_ms = slot_ms
        self._now = now
        self._opened = False
        self._broken: BaseException | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- life ---------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Restores the chain, or begins it. Raises `ChainUnavailable` while another process owns the home."""
        if self._opened:
            return
        keys = self.home / "keys"
        self.operator = ensure_key(keys / "operator.json")
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
        self._durable_seq = self.runtime.seq
        self._opened = True
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="chain-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="chain-reader")
        self._pending: list[tuple[Record, asyncio.Future[Record]]] = []
        self._in_flight: dict[Pubkey, None] = {}
        self._wake = asyncio.Event()
        self._indexing = asyncio.Lock()
        self._news = asyncio.Event()
        self._flushed = asyncio.Event()
        self._recent: deque[Record] = deque(maxlen=RECENT)
        self._recent_by_signature: dict[bytes, Record] = {}
        self._committer = asyncio.create_task(self._commit_groups(), name="chain-committer")

    async def close(self) -> None:
        """Writes what is pending and lets go of the home."""
        if not self._opened:
            return
        self._opened = False
        self._wake.set()
        await self._committer
        self._news.set()
        self._writer.shutdown()
        self._reader.shutdown()
        if self._broken is None:
            self.runtime.finish()
        self.store.close()

    async def advance_clock(self, seconds: float) -> None:
        """Puts the wall clock forward, for good: waiting periods pass at once. Slots go on as they were."""
        if seconds < 0:
            raise BadRequest("the clock cannot go back", field="seconds", hint="0 or more")
        self._slots.offset += seconds
        await self._write(self.store.put, {"offset": repr(self._slots.offset).encode()})

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
        known = await self.record(bytes(transaction.signatures[0]))
        return self._receipt(known if known is not None else await self.submit(transaction, raw))

    async def submit(self, transaction: VersionedTransaction, raw: bytes) -> Record:
        """Executes a transaction and waits until it is on disk, whether it succeeded or failed.

        Raises what kept it from being executed at all (`BlockhashExpired`, `TransactionFailed`).
        """
        self._check_open()
        record = self.runtime.execute(transaction, raw)
        future: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._pending.append((record, future))
        self._wake.set()
        return await asyncio.shield(future)

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

    async def _commit_groups(self) -> None:
        """Writes what has been executed, group after group, and then lets its senders know."""
        while self._opened or self._pending:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                group, self._pending = self._pending, []
                self._in_flight, rows, closed = self.runtime.take_changed()
                records = [record for record, _ in group]
                values = {"wall": str(records[-1].block_time).encode()}
                try:
                    await self._write(self.store.commit, records, rows, closed, values)
                except Exception as error:  # memory is ahead of the disk now: only a restart makes them equal again
                    self._broken = error
                    self._give_up(group)
                    return
                self._in_flight = {}
                self._durable_seq = records[-1].seq
                for record in records:
                    if len(self._recent) == RECENT:
                        del self._recent_by_signature[self._recent[0].signature]
                    self._recent.append(record)
                    self._recent_by_signature[record.signature] = record
                for record, future in group:
                    if not future.done():
                        future.set_result(record)
                self._announce()

    def _give_up(self, group: list[tuple[Record, asyncio.Future[Record]]]) -> None:
        for _, future in [*group, *self._pending]:
            if not future.done():
                future.set_exception(self._unavailable())
                future.exception()  # its sender may be gone
        self._pending = []
        self._announce()

    def _announce(self) -> None:
        for name in ("_news", "_flushed"):
            getattr(self, name).set()
            setattr(self, name, asyncio.Event())

    async def _write(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work, *args)

    async def _read(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._reader, work, *args)

    def _unavailable(self) -> ChainUnavailable:
        if self._broken is not None:
            return ChainUnavailable(
                f"the chain could not write to its home: {self._broken}", hint="free the disk, restart"
            )
        return ChainUnavailable("the chain is closed")

    def _check_open(self) -> None:
        if not self._opened or self._broken is not None:
            raise self._unavailable()

    # -- receipts and events ------------------------------------------------------------------------------------------

    async def record(self, signature: bytes) -> Record | None:
        """The transaction of this signature, once it is on disk."""
        self._check_open()
        while any(record.signature == signature for record, _ in self._pending):
            await self._wait_flushed()
        found = self._recent_by_signature.get(signature)
        if found is None:
            if self.runtime.seen(signature) and self._in_flight:
                await self._wait_flushed()
            found = self._recent_by_signature.get(signature) or await self._read(self.store.by_signature, signature)
        return found

    async def receipt(self, signature: str) -> Receipt | None:
        """See `Chain.receipt`."""
        try:
            wanted = bytes(Signature.from_string(signature))
        except ValueError:
            raise BadRequest("is no signature in base 58", field="signature") from None
        found = await self.record(wanted)
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

    async def records(self, after: int, *, limit: int = 500) -> list[Record]:
        """Records behind number `after`, in order; empty if there is none yet."""
        self._check_open()
        if after >= self._durable_seq:
            return []
        if self._recent and self._recent[0].seq <= after + 1:
            start = after + 1 - self._recent[0].seq
            return [self._recent[i] for i in range(start, min(start + limit, len(self._recent)))]
        found: list[Record] = await self._read(lambda: self.store.after(after, limit=limit))
        return [record for record in found if record.seq <= self._durable_seq]

    def news_flag(self) -> asyncio.Event:
        """Set as soon as something more has been written, or the chain is closed. Take it before reading `records`."""
        return self._news

    @property
    def transaction_count(self) -> int:
        """Number of the last transaction on disk."""
        return self._durable_seq

    async def place(self, signature: bytes) -> int | None:
        """Number of the transaction of this signature."""
        found = await self.record(signature)
        return None if found is None else found.seq

    async def mentioning(self, address: bytes, *, before: int | None, until: int | None, limit: int) -> list[Record]:
        """Transactions that name `address`, newest first, with `until` < number < `before`."""
        async with self._indexing:
            done = int(await self._write(self.store.get, "indexed") or b"0")
            while batch := await self.records(done):
                done = batch[-1].seq
                named = [(r.seq, [bytes(key) for key in touched(r)[0]]) for r in batch]
                await self._write(lambda n=named, d=done: self.store.index_mentions(n, upto=d))
        return await self._read(lambda: self.store.mentioning(address, before=before, until=until, limit=limit))  # type: ignore[no-any-return]

    async def events(self, *, after: Cursor | None = None, follow: bool = True) -> AsyncIterator[Event]:
        """See `Chain.events`."""
        self._check_open()
        seq, skip = 0, -1
        if after is not None:
            found = await self.record(bytes(Signature.from_string(after.signature)))
            if found is None:
                raise ChainUnavailable(
                    f"the chain does not know transaction {after.signature} of the cursor",
                    hint="start from the beginning",
                )
            seq, skip = found.seq - 1, after.index
        while True:
            news = self._news
            batch = await self.records(seq)
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
                if seq >= self._durable_seq:
                    await news.wait()
                if not self._opened:
                    return

    # -- reading ------------------------------------------------------------------------------------------------------

    async def _wait_flushed(self) -> None:
        self._check_open()
        await self._flushed.wait()
        if self._broken is not None:
            raise self._unavailable()

    async def _settled(self, addresses: Sequence[Pubkey]) -> None:
        """Waits until what transactions have done to these accounts is on disk."""
        self._check_open()
        while any(a in self.runtime.changed or a in self._in_flight for a in addresses):
            await self._wait_flushed()

    async def account(self, address: Pubkey) -> Account | None:
        """See `Chain.account`."""
        return (await self.accounts([address]))[0]

    async def accounts(self, addresses: Sequence[Pubkey]) -> list[Account | None]:
        """See `Chain.accounts`."""
        await self._settled(addresses)
        self.runtime.sync()
        return [self.runtime.account(address) for address in addresses]

    async def program_accounts(
        self, program_id: Pubkey | None = None, *, memcmp: Sequence[Memcmp] = (), size: int | None = None
    ) -> list[tuple[Pubkey, Account]]:
        """See `Chain.program_accounts`."""
        self._check_open()
        while self.runtime.changed or self._in_flight:
            await self._wait_flushed()
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

    async def clock(self) -> ChainClock:
        """See `Chain.clock`."""
        return ChainClock(await self.slot(), self._slots.wall())

    async def airdrop(self, address: Pubkey, lamports: int) -> str:
        """See `Chain.airdrop`."""
        if not 0 < lamports < 1 << 63:
            raise BadRequest("must be a positive number of lamports", field="lamports")
        move = transfer(TransferParams(from_pubkey=self.faucet.pubkey(), to_pubkey=address, lamports=lamports))
        # two alike within a slot would have one signature: a number in a budget instruction tells them apart
        self._airdrops = getattr(self, "_airdrops", 0) + 1
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
