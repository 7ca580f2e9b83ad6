"""The embedded chain's journal: executed transactions go to disk in groups, and come back from it.

What `add` is given is acknowledged when its group is on disk; while one group is being written the next one gathers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from solders.pubkey import Pubkey

from assay.chain.messages import touched
from assay.chain.runtime import Runtime
from assay.chain.store import Record, Store
from assay.errors import ChainUnavailable

RECENT = 4096
"""Newest transactions that are kept in memory for streams and receipts."""


class Journal:
    """Writes what `runtime` has executed into `store`, and reads it again. Made in a running event loop."""

    def __init__(self, store: Store, runtime: Runtime) -> None:
        self._store = store
        self._runtime = runtime
        self._opened = True
        self._broken: BaseException | None = None
        self._durable_seq = runtime.seq
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="chain-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="chain-reader")
        self._pending: list[tuple[Record, asyncio.Future[Record]]] = []
        self._in_flight: dict[Pubkey, None] = {}
        self._wake = asyncio.Event()
        self._indexing = asyncio.Lock()
        self._news = asyncio.Event()
        self._recent: deque[Record] = deque(maxlen=RECENT)
        self._recent_by_signature: dict[bytes, Record] = {}
        self._committer = asyncio.create_task(self._commit_groups(), name="chain-committer")

    async def close(self) -> None:
        """Writes what is pending and wakes all who wait."""
        self._opened = False
        self._wake.set()
        await self._committer
        self._news.set()
        self._writer.shutdown()
        self._reader.shutdown()
        if self._broken is None:
            self._runtime.finish()

    def check_open(self) -> None:
        """Raises `ChainUnavailable` once it is closed, or could not write."""
        if not self._opened or self._broken is not None:
            raise self._unavailable()

    async def add(self, record: Record) -> Record:
        """Gives `record` back when it is on disk. Cancelling the wait takes nothing back."""
        future: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._pending.append((record, future))
        self._wake.set()
        return await asyncio.shield(future)

    async def note(self, values: dict[str, bytes]) -> None:
        """Keeps values of the chain's own."""
        await self._write(self._store.put, values)

    def _unavailable(self) -> ChainUnavailable:
        if self._broken is not None:
            return ChainUnavailable(
                f"the chain could not write to its home: {self._broken}", hint="free the disk, restart"
            )
        return ChainUnavailable("the chain is closed")

    async def _commit_groups(self) -> None:
        """Writes what has been executed, group after group, and then lets its senders know."""
        while self._opened or self._pending:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                group, self._pending = self._pending, []
                self._in_flight, rows, closed = self._runtime.take_changed()
                records = [record for record, _ in group]
                values = {"wall": str(records[-1].block_time).encode()}
                try:
                    await self._write(self._store.commit, records, rows, closed, values)
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
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _write(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work, *args)

    async def _read(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._reader, work, *args)

    async def record(self, signature: bytes) -> Record | None:
        """The transaction of this signature, once it is on disk."""
        self.check_open()
        found = self._recent_by_signature.get(signature)
        while found is None and self._unwritten and self._runtime.seen(signature):
            await self._written()
            found = self._recent_by_signature.get(signature)
        return found or await self._read(self._store.by_signature, signature)

    @property
    def _unwritten(self) -> bool:
        return self._durable_seq < self._runtime.seq

    async def records(self, after: int, *, limit: int = 500) -> list[Record]:
        """Records behind number `after`, in order; empty if there is none yet."""
        self.check_open()
        if after >= self._durable_seq:
            return []
        if self._recent and self._recent[0].seq <= after + 1:
            start = after + 1 - self._recent[0].seq
            return [self._recent[i] for i in range(start, min(start + limit, len(self._recent)))]
        found: list[Record] = await self._read(lambda: self._store.after(after, limit=limit))
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
            done = int(await self._write(self._store.get, "indexed") or b"0")
            while batch := await self.records(done):
                done = batch[-1].seq
                named = [(r.seq, [bytes(key) for key in touched(r)[0]]) for r in batch]
                await self._write(lambda n=named, d=done: self._store.index_mentions(n, upto=d))
        return await self._read(lambda: self._store.mentioning(address, before=before, until=until, limit=limit))  # type: ignore[no-any-return]

    async def _written(self) -> None:
        self.check_open()
        await self._news.wait()
        if self._broken is not None:
            raise self._unavailable()

    async def settled(self, addresses: Sequence[Pubkey]) -> None:
        """Waits until what transactions have done to these accounts is on disk."""
        self.check_open()
        while any(a in self._runtime.changed or a in self._in_flight for a in addresses):
            await self._written()

    async def all_settled(self) -> None:
        """Waits until everything that transactions have done is on disk."""
        self.check_open()
        while self._runtime.changed or self._in_flight:
            await self._written()
