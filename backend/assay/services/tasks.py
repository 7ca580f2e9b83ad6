"""Tasks: handed out at random under a lease, each to as many labelers as it wants answers, never twice to a wallet."""

from __future__ import annotations

import asyncio
import random
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import asyncpg

from assay.errors import Conflict, FieldError, Forbidden, Gone, NotFound, TooManyRequests, Unavailable
from assay.services.requests import RequestInfo

if TYPE_CHECKING:
    from assay.services.market import Market

MAX_CLAIM = 100
MAX_HELD = 500  # leases of one wallet: hoarding would keep others from working
SHUFFLE_MAX = 2**31 - 1
OPEN_SECONDS = 0.5  # how long the list of open requests is believed
RETRIES = 5


@dataclass(frozen=True, slots=True)
class Lease:
    """A task in a labeler's hands until `expires_at`."""

    task: bytes
    request: bytes
    index: int
    item: str
    media_type: str
    expires_at: datetime


class Tasks:
    """Claims, skips, leases."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._locks: weakref.WeakValueDictionary[bytes, asyncio.Lock] = weakref.WeakValueDictionary()
        self._open: tuple[float, list[bytes]] = (0.0, [])

    async def claim(
        self, wallet: bytes, *, limit: int = 1, request: bytes | None = None, tasks: Sequence[bytes] | None = None
    ) -> list[Lease]:
        """Hands up to `limit` tasks to `wallet`, at random; of `request`, or of any open one that it may work on.

        `tasks` names them, where the request's specification allows that. An empty list: there is nothing to do now.
        Raises `NotFound`, `Gone` (the request has ended), `Forbidden` (no labeler, too little stake, buyer of the
        request, too low a tier), `TooManyRequests` (too many leases held).
        """
        if not 1 <= limit <= MAX_CLAIM:
            raise FieldError("limit", f"is {limit}", hint=f"1 to {MAX_CLAIM}")
        labeler = await self._market.participants.labeler(wallet)
        if tasks is not None and request is None:
            raise FieldError("request", "is missing", hint="the request whose tasks are named")
        if request is not None:
            terms = await self._market.requests.info(request)
            self._check(terms, wallet, tier=labeler.tier(terms.kind))
            if tasks is not None and terms.assignment != "open":
                raise Forbidden(
                    "the tasks of this request are handed out at random", field="tasks", hint="leave tasks out"
                )
            candidates = [terms]
        else:
            candidates = await self._candidates(wallet, labeler)
        lock = self._locks.setdefault(wallet, asyncio.Lock())
        async with lock:  # two claims of one wallet at once would see each other's tasks as free
            held = await self._db.value("leases_count", wallet) if limit > 1 else 0
            if held >= MAX_HELD:
                raise TooManyRequests(
                    f"this wallet holds {held} tasks already", hint="submit or skip some", retry_after=1
                )
            found: list[Lease] = []
            for terms in candidates:
                found += await self._claim(wallet, terms, min(limit - len(found), MAX_HELD - held), tasks)
                if len(found) >= limit:
                    break
        return found

    def _check(self, terms: RequestInfo, wallet: bytes, *, tier: int) -> None:
        if terms.state == "draft":
            raise Conflict("the request is not posted yet")
        if terms.state != "open":
            raise Gone(f"the request is {terms.state}: it hands out nothing more")
        if terms.buyer == wallet:
            raise Forbidden("a buyer cannot work on its own request", field="request")
        if tier < terms.min_tier:
            raise Forbidden(
                f"the request asks for tier {terms.min_tier}, this wallet has {tier}", hint="docs/economics.md: tiers"
            )

    async def _candidates(self, wallet: bytes, labeler: Any) -> list[RequestInfo]:
        until, addresses = self._open
        if time.monotonic() > until:
            addresses = [row["address"] for row in await self._db.fetch("requests_with_room")]
            self._open = (time.monotonic() + OPEN_SECONDS, addresses)
        terms = [await self._market.requests.info(address) for address in addresses]
        fitting = [
            one
            for one in terms
            if one.state == "open" and one.buyer != wallet and labeler.tier(one.kind) >= one.min_tier
        ]
        random.shuffle(fitting)
        return fitting

    def opened(self) -> None:
        """A request opened: the list of open ones is read anew."""
        self._open = (0.0, [])

    async def _claim(self, wallet: bytes, terms: RequestInfo, limit: int, tasks: Sequence[bytes] | None) -> list[Lease]:
        if limit <= 0:
            return []
        common = (terms.address, wallet)
        if tasks is not None:
            rows = await self._attempt("tasks_claim_named", *common, limit, terms.lease_seconds, list(tasks))
        else:
            start = random.randint(0, SHUFFLE_MAX)
            rows = await self._attempt("tasks_claim", *common, limit, terms.lease_seconds, start, SHUFFLE_MAX)
            if len(rows) < limit and start > 0:
                rest = limit - len(rows)
                rows += await self._attempt("tasks_claim", *common, rest, terms.lease_seconds, 0, start - 1)
        return [
            Lease(row["id"], terms.address, row["index"], row["item"], row["media_type"], row["expires_at"])
            for row in rows
        ]

    async def _attempt(self, name: str, *arguments: object) -> list[Any]:
        for _ in range(RETRIES):
            try:
                return await self._db.fetch(name, *arguments)
            except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
                continue  # another process claimed for the same wallet at the same moment
        raise Unavailable("the tasks are contended", retry_after=0.1)

    async def skip(self, wallet: bytes, tasks: Sequence[bytes]) -> int:
        """Gives tasks back, never to be offered to `wallet` again; how many it held."""
        for _ in range(RETRIES):
            try:
                rows = await self._db.fetch("tasks_skip", list(tasks), wallet)
                return len(rows)
            except asyncpg.DeadlockDetectedError:
                continue
        raise Unavailable("the tasks are contended", retry_after=0.1)

    async def held(self, wallet: bytes, *, limit: int = MAX_HELD) -> list[Lease]:
        """Leases of `wallet` that are still good."""
        return [
            Lease(row["task"], row["request"], row["index"], row["item"], row["media_type"], row["expires_at"])
            for row in await self._db.fetch("leases_of", wallet, limit)
        ]

    async def listed(self, request: bytes, *, start: int = 0, limit: int = 1000) -> list[Any]:
        """Tasks of a request in order of their index. Raises `NotFound`."""
        await self._market.requests.info(request)
        return await self._db.fetch("tasks_of", request, start, limit)

    async def sweep(self) -> int:
        """Puts tasks whose lease has ended back into the queue; how many."""
        for _ in range(RETRIES):
            try:
                return int(await self._db.value("leases_sweep"))
            except asyncpg.DeadlockDetectedError:
                continue
        return 0


__all__ = ["Lease", "NotFound", "Tasks"]
