"""Tasks: handed out by public randomness under a lease, each to as many as it wants answers, one voice an owner.

The database hands out (`hand_out` in the migrations): walk, leases and the line of the hand-out log are one statement.
"""

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

from assay.domain import reputation
from assay.domain.messages import b58
from assay.errors import Conflict, FieldError, Forbidden, Gone, NotFound, SkipLimit, TooManyRequests, Unavailable
from assay.services.judgements import kind_name
from assay.services.requests import RequestInfo

if TYPE_CHECKING:
    from assay.services.market import Market

MAX_CLAIM = 100
MAX_HELD = 500  # leases of one wallet: hoarding would keep others from working
CLAIMING = 2  # claims of one request at the database at once: it orders them, and who waits there holds a connection
OPEN_SECONDS = 0.5  # how long the list of open requests is believed
RETRIES = 5


@dataclass(frozen=True, slots=True)
class Lease:
    """A task in a labeler's hands until `expires_at`.

    Where assignment is random: it is of the wallet's `n`-th hand-out in walk `walk`, which is line `line` of the log;
    `head` is that line's sha256. Else these are None.
    """

    task: bytes
    request: bytes
    index: int
    item: str
    media_type: str
    expires_at: datetime
    walk: int | None
    n: int | None
    line: int | None
    head: bytes | None


def _allowance(free: int, share: int, advice: str) -> str:
    return f"{free}, and {share} % of its answers, lapsed leases included; {advice}"


def _lease(row: Any, request: bytes) -> Lease:
    return Lease(
        row["id"], request, row["index"], row["item"], row["media_type"], row["expires_at"], row["walk"], row["n"],
        row["line"], row["head"],
    )  # fmt: skip


class Tasks:
    """Claims, skips, leases."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._claiming: weakref.WeakValueDictionary[bytes, asyncio.Semaphore] = weakref.WeakValueDictionary()
        self._open: tuple[float, list[bytes]] = (0.0, [])

    async def claim(
        self, wallet: bytes, *, limit: int = 1, request: bytes | None = None, tasks: Sequence[bytes] | None = None
    ) -> list[Lease]:
        """Hands up to `limit` tasks to `wallet`, by lot; of `request`, or of any open one that it may work on.

        `tasks` names them, where the request's specification allows that. An empty list: there is nothing to do now.
        Raises `NotFound`, `Gone` (the request has ended), `Forbidden` (no labeler, too little stake, buyer of the
        request, too low a tier or score), `TooManyRequests` (too many leases held), `SkipLimit` (too many given back).
        """
        if not 1 <= limit <= MAX_CLAIM:
            raise FieldError("limit", f"is {limit}", hint=f"1 to {MAX_CLAIM}")
        labeler = await self._market.participants.labeler(wallet)
        if tasks is not None and request is None:
            raise FieldError("request", "is missing", hint="the request whose tasks are named")
        if request is not None:
            terms = await self._market.requests.info(request)
            self._check(terms, wallet, tier=labeler.tier(terms.kind))
            await self._check_score(terms, wallet)
            if tasks is not None and terms.assignment != "open":
                raise Forbidden(
                    "the tasks of this request are handed out at random", field="tasks", hint="leave tasks out"
                )
            candidates = [terms]
        else:
            candidates = await self._candidates(wallet, labeler)
        found: list[Lease] = []
        refused: TooManyRequests | None = None
        for terms in candidates:
            try:
                found += await self._claim(wallet, terms, limit - len(found), tasks)
            except (TooManyRequests, Gone) as error:  # other requests may have work
                if request is not None:
                    raise
                refused = error if isinstance(error, TooManyRequests) else refused
            if len(found) >= limit:
                break
        if not found and refused is not None:
            raise refused
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

    async def _check_score(self, terms: RequestInfo, wallet: bytes) -> None:
        """By what still counts today of the wallet's judgements in the request's kind of task."""
        if terms.min_score and (score := await self._market.judgements.score(wallet, terms.kind)) < terms.min_score:
            raise Forbidden(
                f"the request asks for a score of {terms.min_score / 100:.2f} % in {kind_name(terms.kind)}, this "
                f"wallet has {score / 100:.2f} % by what still counts of its judgements",
                field="request",
                hint=f"{reputation.needed(terms.min_score)} right answers in a row from new; GET /v1/me/standing says "
                "what counts",
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
        fitting = [
            one
            for one in fitting
            if not one.min_score or await self._market.judgements.score(wallet, one.kind) >= one.min_score
        ]
        random.shuffle(fitting)
        return fitting

    def opened(self) -> None:
        """There is room where there was none, as in a request that opened: the list of those with room is read anew."""
        self._open = (0.0, [])

    async def _claim(self, wallet: bytes, terms: RequestInfo, limit: int, tasks: Sequence[bytes] | None) -> list[Lease]:
        limit = await self._market.funding.take(terms, limit)
        if limit == 0:
            return []
        found: list[Lease] = []
        try:
            found = await self._hand_out(wallet, terms, limit, tasks)
        finally:
            self._market.funding.taken(terms, limit, handed=len(found))
        return found

    async def _hand_out(
        self, wallet: bytes, terms: RequestInfo, limit: int, tasks: Sequence[bytes] | None
    ) -> list[Lease]:
        async with self._claiming.setdefault(terms.address, asyncio.Semaphore(CLAIMING)):
            rows = await self._attempt(
                "tasks_claim", terms.address, wallet, b58(wallet), limit, float(terms.lease_seconds), MAX_HELD,
                None if tasks is None else list(tasks),
            )  # fmt: skip
        if not rows or rows[0]["outcome"] == "task":
            return [_lease(row, terms.address) for row in rows]
        match rows[0]["outcome"]:
            case "held":
                raise TooManyRequests(
                    f"this wallet holds {MAX_HELD} tasks already", hint="submit or skip some", retry_after=1
                )
            case "skips":
                raise SkipLimit(
                    "with the tasks in hand, this wallet could give back more than it may",
                    field="request",
                    hint=_allowance(rows[0]["index"], rows[0]["n"], "answer those in hand first"),
                )
            case "ended":
                raise Gone("the request has ended: it hands out nothing more")
        raise Unavailable("the request's hand-outs are not logged yet", retry_after=1)

    async def _attempt(self, name: str, *arguments: object) -> list[Any]:
        for _ in range(RETRIES):
            try:
                return await self._db.fetch(name, *arguments)
            except asyncpg.DeadlockDetectedError:
                continue
        raise Unavailable("the tasks are contended", retry_after=0.1)

    async def skip(self, wallet: bytes, tasks: Sequence[bytes]) -> int:
        """Gives tasks back, never to be offered to `wallet` again; how many it held.

        Raises `SkipLimit` where that would be more of a request than it may give back: none of that request's are then.
        """
        skipped, limit = 0, None
        for row in await self._db.fetch("requests_of_leases", list(tasks), wallet):
            (done,) = await self._attempt("tasks_skip", row["request"], wallet, list(tasks))
            skipped += done["skipped"]
            self.opened()
            if done["outcome"] == "limit":
                limit = SkipLimit(
                    f"this wallet may give back {done['left_']} more tasks of request {b58(row['request'])}",
                    field="tasks",
                    hint=_allowance(done["free_"], done["share_"], "answer some first"),
                )
        if limit is not None:
            raise limit
        return skipped

    async def held(self, wallet: bytes, *, limit: int = MAX_HELD) -> list[Lease]:
        """Leases of `wallet` that are still good."""
        return [_lease(row, row["request"]) for row in await self._db.fetch("leases_of", wallet, limit)]

    async def listed(self, request: bytes, *, start: int = 0, limit: int = 1000) -> list[Any]:
        """Tasks of a request in order of their index. Raises `NotFound`."""
        await self._market.requests.info(request)
        return await self._db.fetch("tasks_of", request, start, limit)

    async def sweep(self) -> int:
        """Puts tasks whose lease has ended back into the queue; how many."""
        for _ in range(RETRIES):
            try:
                count = int(await self._db.value("leases_sweep"))
            except asyncpg.DeadlockDetectedError:
                continue
            if count:
                self.opened()
            return count
        return 0


__all__ = ["Lease", "NotFound", "Tasks"]
