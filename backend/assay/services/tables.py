"""Lookup tables of requests, extended in the background as labelers answer, so that no settlement waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain.lookup import LookupTables
from assay.errors import AssayError

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)

GATHER = 0.2
"""Seconds in which addresses gather before a table is extended."""


class _Request:
    """The tables of one request."""

    def __init__(self, tables: LookupTables) -> None:
        self.tables = tables
        self.wanted: dict[Pubkey, None] = {}
        self.active: dict[Pubkey, AddressLookupTableAccount] = {}
        self.held: set[Pubkey] = set()
        self.task: asyncio.Task[None] | None = None


class Tables:
    """`want` never waits; `active` gives what can be used now."""

    def __init__(self, market: Market, operator: Keypair) -> None:
        self._market = market
        self._operator = operator
        self._requests: dict[bytes, _Request] = {}

    async def _get(self, request: bytes) -> _Request:
        found = self._requests.get(request)
        if found is None:
            rows = await self._market.db.fetch("lookup_tables_of", request)
            known = [Pubkey(row["address"]) for row in rows]
            found = _Request(LookupTables(self._market.chain, self._operator, known=known))
            found = self._requests.setdefault(request, found)
        return found

    async def want(self, request: bytes, addresses: Iterable[Pubkey]) -> None:
        """Have `addresses` put into the request's tables soon."""
        one = await self._get(request)
        new = [address for address in addresses if address not in one.held]
        if not new:
            return
        one.wanted.update(dict.fromkeys(new))
        if one.task is None or one.task.done():
            one.task = asyncio.create_task(self._extend(request, one), name="lookup-table")

    async def _extend(self, request: bytes, one: _Request) -> None:
        await asyncio.sleep(GATHER)
        while one.wanted:
            batch = list(one.wanted)
            try:
                tables = await one.tables.cover([*one.held, *batch])
                await self._market.db.many(
                    "lookup_table_keep", [(bytes(address), request) for address in one.tables.addresses]
                )
            except AssayError as error:
                log.warning("lookup table not extended", error=str(error))
                await asyncio.sleep(2)
                continue
            for table in tables:
                one.active[table.key] = table
            one.held.update(batch)
            for address in batch:
                one.wanted.pop(address, None)

    async def active(self, request: bytes) -> list[AddressLookupTableAccount]:
        """The tables that can be used now."""
        return list((await self._get(request)).active.values())

    def forget(self, request: bytes) -> None:
        """The request has ended."""
        found = self._requests.pop(request, None)
        if found is not None and found.task is not None:
            found.task.cancel()

    async def close(self) -> None:
        """Ends what is in the background."""
        for request in list(self._requests):
            self.forget(request)
