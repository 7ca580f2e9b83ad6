"""Lookup tables, extended in the background as people join and work, so that no settlement waits for one.

Two sets. The *pool* is the market's: what every settlement names, and the validators and labelers, added when they
register, as long as it has room. A request's *own* tables take whoever is not in the pool. On a cluster an addition can
be used only once it is finalized (`Chain.table_slot`), some 13 seconds later; a market's regulars never wait for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import structlog
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain.lookup import CAPACITY, LookupTables, retire_table
from assay.domain import messages
from assay.errors import AssayError

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)

GATHER = 0.2
"""Seconds in which addresses gather before a table is extended."""
LOOK, LONGEST_LOOK = 0.05, 0.5
"""Seconds between looks at whether an addition can be used by now; they grow."""
AGAIN = 2.0
POOL = 4 * CAPACITY
"""Addresses in the pool at most: each further table that a settlement names takes 34 bytes of its transaction."""
RETIRE = 20
"""Tables of ended requests that are looked at in one go."""
POOL_CURSOR = "lookup_pool"

Keep = Callable[[list[Pubkey]], Awaitable[None]]


class _Growing:
    """Tables that take what they are asked to in the background. `keep` writes their addresses down."""

    def __init__(self, tables: LookupTables, keep: Keep) -> None:
        self._tables = tables
        self._keep = keep
        self._wanted: dict[Pubkey, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._kept: list[Pubkey] = tables.addresses
        self.held: set[Pubkey] = set()
        """What has been asked for; it is in a table, or will be."""
        self.active: list[AddressLookupTableAccount] = []

    @property
    def busy(self) -> bool:
        """Whether something that was asked for cannot be used yet."""
        return self._task is not None and not self._task.done()

    def want(self, addresses: Iterable[Pubkey]) -> None:
        """Have `addresses` put into the tables soon."""
        new = [address for address in addresses if address not in self.held]
        self.held.update(new)
        self._wanted.update(dict.fromkeys(new))
        if (new or self._tables.pending) and not self.busy:
            self._task = asyncio.create_task(self._grow(), name="lookup-table")

    async def _grow(self) -> None:
        await asyncio.sleep(GATHER)
        pause = LOOK
        while self._wanted or self._tables.pending:
            try:
                if self._wanted:
                    pause = LOOK
                    batch = list(self._wanted)
                    await self._tables.extend(batch)
                    for address in batch:
                        del self._wanted[address]
                    await self._note()
                self.active = await self._tables.usable()
            except AssayError as error:
                log.warning("lookup table not extended", code=error.code, error=str(error))
                await asyncio.sleep(AGAIN)
                continue
            if self._tables.pending and not self._wanted:
                await asyncio.sleep(pause)
                pause = min(1.3 * pause, LONGEST_LOOK)

    async def recheck(self) -> None:
        """Have what the tables hold read from the chain again: another process may have extended them."""
        await self._tables.doubt()
        self.want(())

    async def _note(self) -> None:
        addresses = self._tables.addresses
        if addresses != self._kept:
            await self._keep(addresses)
            self._kept = addresses

    def close(self) -> None:
        """Ends what is in the background."""
        if self._task is not None:
            self._task.cancel()


class Tables:
    """`join` and `want` never wait for the chain's progress; `active` gives what can be used now."""

    def __init__(self, market: Market, operator: Keypair) -> None:
        self._market = market
        self._operator = operator
        self._pool: _Growing | None = None
        self._requests: dict[bytes, _Growing] = {}

    def reach(self, address: Pubkey) -> bool:
        """Whether a settlement can name `address` through a table now."""
        growing = [one for one in (self._pool, *self._requests.values()) if one is not None]
        return any(address in table.addresses for one in growing for table in one.active)

    async def join(self, addresses: Iterable[Pubkey]) -> None:
        """Have `addresses` put into the pool, as long as it has room."""
        pool = await self._pooled()
        new = [address for address in dict.fromkeys(addresses) if address not in pool.held]
        pool.want(new[: max(POOL - len(pool.held), 0)])

    async def strangers(self, addresses: Iterable[Pubkey]) -> list[Pubkey]:
        """Those that are not in the pool."""
        pool = await self._pooled()
        return [address for address in addresses if address not in pool.held]

    async def want(self, request: bytes, addresses: Iterable[Pubkey]) -> None:
        """Have `addresses` put into the request's own tables."""
        (await self._own(request)).want(addresses)

    async def active(self, request: bytes) -> list[AddressLookupTableAccount]:
        """The tables that can be used now."""
        return [*(await self._pooled()).active, *(await self._own(request)).active]

    async def recheck(self, request: bytes) -> None:
        """A settlement of `request` failed: make sure of what the tables hold."""
        for one in (await self._pooled(), await self._own(request)):
            await one.recheck()

    def forget(self, request: bytes) -> None:
        """The request has ended."""
        found = self._requests.pop(request, None)
        if found is not None:
            found.close()

    async def retire(self) -> None:
        """A step towards the end of the tables of requests that have ended: their rent comes back."""
        for row in await self._market.db.fetch("lookup_tables_ended", RETIRE):
            address = Pubkey(row["address"])
            if await retire_table(self._market.chain, address, authority=self._operator):
                await self._market.db.execute("lookup_table_gone", row["address"])

    async def close(self) -> None:
        """Ends what is in the background."""
        for request in list(self._requests):
            self.forget(request)
        if self._pool is not None:
            self._pool.close()

    async def _pooled(self) -> _Growing:
        if self._pool is None:
            known = await self._market.db.value("cursor_get", POOL_CURSOR) or []

            async def keep(addresses: list[Pubkey]) -> None:
                value = [messages.b58(bytes(address)) for address in addresses]
                await self._market.db.execute("cursor_set", POOL_CURSOR, value)

            made = await self._begin([Pubkey.from_string(address) for address in known], keep)
            if self._pool is None:
                self._pool = made
        return self._pool

    async def _own(self, request: bytes) -> _Growing:
        found = self._requests.get(request)
        if found is None:
            rows = await self._market.db.fetch("lookup_tables_of", request)

            async def keep(addresses: list[Pubkey]) -> None:
                await self._market.db.many("lookup_table_keep", [(bytes(address), request) for address in addresses])

            made = await self._begin([Pubkey(row["address"]) for row in rows], keep)
            found = self._requests.setdefault(request, made)
        return found

    async def _begin(self, known: list[Pubkey], keep: Keep) -> _Growing:
        tables = LookupTables(self._market.chain, self._operator, known=known)
        growing = _Growing(tables, keep)
        if known:
            growing.active = await tables.usable()
            growing.held.update(tables.held)
            growing.want(())
        return growing
