"""What an open request's labels will be, as far as its answers so far show: for its buyer, and for nobody else.

A labeler or validator who saw it could copy it. Nothing is decided or paid by it: that takes a whole fit over the log,
which validators repeat. It is made when the buyer asks, from the answers since the last time, a moment at a time and
off the event loop. It is a function of the request's gold and of its answers in their order alone, so a market that
starts anew comes to the same numbers.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from assay.consensus.online import Online
from assay.domain.messages import b58
from assay.domain.verdict import value_of
from assay.errors import Conflict

if TYPE_CHECKING:
    from assay.services.market import Market
    from assay.services.requests import RequestInfo

ANSWERS = 100_000
"""Answers of a request that are taken at most, the first ones."""
KEPT, REQUESTS = 200_000, 64
"""Answers of all requests, and requests, that are kept at most; what was asked for longest ago goes first."""
CLASSES = 64
CELLS = 1_000_000
"""Numbers kept of a request's labelers at most (classes² each): answers of more labelers are not taken."""
READ, TURN = 5_000, 0.2
"""Answers that one asking reads at most, and seconds that it takes them in. The rest waits for the next."""
REST = 4.0
"""An estimate is believed for this many times as long as it took."""

FULL = 10_000
Row = tuple[int, bytes, int]
"""Task index, labeler, class."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A task that is not settled: the label that its answers (or its gold) speak for, and how probably it is right."""

    index: int
    label: str
    confidence: int


@dataclass(frozen=True, slots=True)
class Skill:
    """A labeler: its answers, the share of right ones that is expected of it, and two standard deviations around."""

    wallet: bytes
    answers: int
    skill: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Shares in basis points. `answers`: how many were taken, in the order in which they came; `complete`: False where
    there are more, to be taken at the next asking or, in a request that is too large, never; `expected_right`: of the
    labels in `tasks`, None where there are none.
    """

    answers: int
    complete: bool
    expected_right: int | None
    tasks: tuple[Guess, ...]  # by index
    skills: tuple[Skill, ...]  # most answers first

    def page(self, start: int, limit: int) -> tuple[Sequence[Guess], int | None]:
        """Of the tasks those from index `start` on, `limit` at most, and the index that the next page starts with."""
        place = bisect_left(self.tasks, start, key=lambda one: one.index)
        rest = self.tasks[place : place + limit + 1]
        return rest[:limit], rest[limit].index if len(rest) > limit else None


@dataclass(slots=True)
class _Live:
    """A request's engine, the answers that were read and not taken yet, and where in the table reading goes on."""

    model: Online
    code: Mapping[str, int]
    gold: Mapping[int, int]
    read_until: tuple[datetime, bytes] = (datetime.fromtimestamp(0, UTC), b"\0" * 32)
    read: int = 0
    more: bool = False
    pending: deque[Row] = field(default_factory=deque)
    labelers: dict[bytes, int] = field(default_factory=dict)
    given: list[int] = field(default_factory=list)
    full: bool = False
    believed: float = 0.0
    shown: Estimate | None = None

    def take(self, seconds: float) -> None:
        """Takes pending answers in, for so long at most."""
        end = time.monotonic() + seconds
        while self.pending and time.monotonic() < end:
            index, labeler, label = self.pending[0]
            worker = self.labelers.setdefault(labeler, len(self.labelers))
            if worker == len(self.given):
                if (worker + 1) * self.model.n_classes**2 > CELLS:
                    del self.labelers[labeler]
                    self.full = self.more = True
                    self.pending.clear()
                    return
                self.given.append(0)
            self.pending.popleft()
            if index in self.gold and self.model.label(index) < 0:
                self.model.set_gold(index, self.gold[index])
            self.model.add(index, worker, label)
            self.given[worker] += 1
            if self.model.refit_due:
                self.model.refit()

    def estimate(self, unsettled: Sequence[int]) -> Estimate:
        """Of these tasks."""
        names = list(self.code)
        found = [
            Guess(index, names[label], round(FULL * self.model.posterior(index)[label]))
            for index in unsettled
            if (label := self.model.label(index)) >= 0
        ]
        skills = [self._skill(wallet, worker) for wallet, worker in self.labelers.items()]
        skills.sort(key=lambda one: (-one.answers, b58(one.wallet)))
        return Estimate(
            self.model.votes,
            not self.pending and not self.more,
            round(sum(one.confidence for one in found) / len(found)) if found else None,
            tuple(found),
            tuple(skills),
        )

    def _skill(self, wallet: bytes, worker: int) -> Skill:
        skill, spread = self.model.skill(worker), self.model.spread(worker)
        low, high = max(skill - 2 * spread, 0.0), min(skill + 2 * spread, 1.0)
        return Skill(wallet, self.given[worker], round(FULL * skill), round(FULL * low), round(FULL * high))


class Estimates:
    """Estimates. One request at a time, so that many who ask cannot take the machine."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._turn = asyncio.Lock()
        self._live: OrderedDict[bytes, _Live] = OrderedDict()

    async def of(self, request: bytes) -> Estimate:
        """The estimate as of now, or of a moment ago. Raises `NotFound`, and `Conflict` where there is none to make.

        Whoever calls has made sure that it is the request's buyer who asks.
        """
        info = await self._market.requests.info(request)
        await self._check(info)
        async with self._turn:
            live = self._live.get(request)
            if live is not None and live.shown is not None and time.monotonic() < live.believed:
                return live.shown
            try:
                begun = time.monotonic()
                if live is None:
                    live = self._live[request] = await self._begin(request)
                self._live.move_to_end(request)
                shown = await self._look(request, live)
                live.believed = time.monotonic() + REST * (time.monotonic() - begun)
            except BaseException:
                self._live.pop(request, None)  # a thread may still be at it
                raise
            await self._evict()
            return shown

    async def _check(self, info: RequestInfo) -> None:
        if info.state == "closed":
            self._live.pop(info.address, None)
            raise Conflict("the request has ended", field="address", hint="its labels are in its data set")
        spec = await self._market.requests.spec(info.address)
        if spec.mode != "agreement" or spec.kind != "choice" or len(spec.schema["classes"]) > CLASSES:
            raise Conflict(
                "there is no live estimate for this request",
                field="address",
                hint=f"agreement on single choice, of {CLASSES} classes at most",
            )

    async def _begin(self, request: bytes) -> _Live:
        spec = await self._market.requests.spec(request)
        code = {name: number for number, name in enumerate(spec.schema["classes"])}
        gold = await self._db.value("estimate_gold", request)
        return _Live(Online(len(code)), code, {one["index"]: code[value_of(one["label"])] for one in gold or ()})

    async def _look(self, request: bytes, live: _Live) -> Estimate:
        if not live.pending and not live.full:
            # Only answers older than any transaction that may still commit one: so none is ever found before those
            # that were taken, and their order is the table's.
            until = await self._db.value("estimate_until")
            most = min(READ, ANSWERS - live.read)
            rows = await self._db.fetch("estimate_answers", request, *live.read_until, until, most)
            live.more = len(rows) == most
            live.full = live.read + len(rows) == ANSWERS
            if rows:
                live.read_until = rows[-1]["submitted_at"], rows[-1]["id"]
                live.read += len(rows)
                live.pending.extend((row["index"], row["labeler"], live.code[row["value"]]) for row in rows)
        unsettled = [row["index"] for row in await self._db.fetch("estimate_tasks", request)]
        live.shown = await asyncio.to_thread(_work, live, unsettled)
        return live.shown

    async def _evict(self) -> None:
        """Requests that have ended go, and those asked for longest ago where too much is kept."""
        for request in list(self._live):
            if (await self._market.requests.info(request)).state == "closed":
                self._live.pop(request, None)
        while len(self._live) > REQUESTS or (
            len(self._live) > 1 and sum(one.read for one in self._live.values()) > KEPT
        ):
            self._live.popitem(last=False)


def _work(live: _Live, unsettled: Sequence[int]) -> Estimate:
    live.take(TURN)
    return live.estimate(unsettled)


__all__ = ["Estimate", "Estimates", "Guess", "Skill"]
