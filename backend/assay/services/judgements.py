"""Judgements by day, as the chain's events give them, and the scores of what still counts.

A score by lifetime counters is the chain's own; that it fades takes the times of settlements, which are in its events
alone. Each event is counted in the transaction that writes it down, so once; what a dispute changes is entered on the
day of the batch that it is about.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from assay.db.pool import Session
from assay.domain import reputation, weights
from assay.domain.messages import unb58
from assay.domain.reputation import DAY, MEMORY_DAYS
from assay.domain.schema import KINDS
from assay.domain.work import Counters
from assay.errors import AssayError
from assay.services.participants import Participant

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)

CURSOR = "judgements"
EVENTS = ("BatchSettled", "DisputeEnded", "VotesCorrected")
UPHELD, DISMISSED = 1, 2
BELIEVED = 2.0
"""Seconds that a score is believed where work is handed out, and the market's day."""
CACHE = 100_000


@dataclass(frozen=True, slots=True)
class KindScore:
    """Judgements in one kind of task by the counters on chain, their score in basis points, and what a weighted vote
    counts by it. `current_…`: of those judgements what still counts today, and its score.
    """

    kind: str
    good: int
    bad: int
    score: int
    weight: float
    text: str
    current_good: int
    current_bad: int
    current_score: int
    current_text: str


@dataclass(frozen=True, slots=True)
class _Dispute:
    """A dispute by its events: the answer, and what the members of its last panel voted (`UPHELD`, `DISMISSED`)."""

    answer: bytes
    votes: list[tuple[bytes, int]]

    @classmethod
    def of(cls, rows: Sequence[Any]) -> _Dispute | None:
        """None where it was opened before anybody took events down."""
        events: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            events.setdefault(row["name"], []).append(row["data"])
        if "DisputeOpened" not in events:
            return None
        none: dict[str, Any] = {"round": 0, "panel": ()}
        panel = max(events.get("DisputePanelDrawn", ()), key=lambda one: int(one["round"]), default=none)
        shown = [one for one in events.get("DisputeVoted", ()) if one["round"] == panel["round"]]
        votes = [
            (unb58(wallet), vote)
            for seat, wallet in enumerate(panel["panel"])
            for vote, name in ((UPHELD, "upheld"), (DISMISSED, "dismissed"))
            if any(one[name] >> seat & 1 for one in shown)
        ]
        return cls(bytes.fromhex(events["DisputeOpened"][0]["answer_id"]), votes)


class Judgements:
    """Counts events, and says what a wallet's judgements come to."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._day: tuple[float, int] = (0.0, 0)
        self._scores: dict[tuple[bytes, int], tuple[float, int]] = {}

    # -- events -------------------------------------------------------------------------------------------------------

    async def take(self, tx: Session, name: str, data: dict[str, Any]) -> None:
        """Counts what an event (its data as JSON, as the table has it) says of anybody; to be called once for each.

        One that cannot be counted is logged and passed over: whoever can post it must not stop all others.
        """
        try:
            async with tx.connection.transaction():
                await self._count(tx, name, data)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, AssayError, KeyError, ValueError):
            log.exception("judgements not counted", event=name, data=data)

    async def _count(self, tx: Session, name: str, data: dict[str, Any]) -> None:
        if name == "BatchSettled":
            await tx.execute("judged_batch", unb58(data["request"]), data["batch"], data["at"])
        elif name in EVENTS:
            dispute = _Dispute.of(await tx.fetch("dispute_events", data["dispute"]))
            if dispute is None:
                return
            if name == "VotesCorrected":
                await tx.execute("judged_corrected", dispute.answer)
                return
            if data["outcome"] == UPHELD:
                await tx.execute("judged_upheld", dispute.answer)
            if data["outcome"] in (UPHELD, DISMISSED) and dispute.votes:
                right = [int(vote == data["outcome"]) for _, vote in dispute.votes]
                wallets, wrong = [wallet for wallet, _ in dispute.votes], [1 - one for one in right]
                await tx.execute("judged_dispute", dispute.answer, wallets, right, wrong)

    async def begin(self) -> None:
        """Counts the events that were written down before there was a table to count them in. Once."""
        if await self._db.value("cursor_get", CURSOR) is None:
            await self.recount()

    async def recount(self) -> None:
        """Counts all events that are written down anew; until that is done, scores go by the old counts."""
        async with self._db.transaction() as tx:
            await tx.execute("judgements_clear")
            for row in await tx.fetch("judgement_events", list(EVENTS)):
                await self.take(tx, row["name"], row["data"])
            await tx.execute("cursor_set", CURSOR, {})

    # -- scores -------------------------------------------------------------------------------------------------------

    async def today(self) -> int:
        """The day of market time: a pause of the market makes nobody older."""
        until, day = self._day
        if time.monotonic() > until:
            day = await self._market.terms.now() // DAY
            self._day = (time.monotonic() + BELIEVED, day)
        return day

    async def current(self, wallet: bytes) -> dict[int, Counters]:
        """What still counts today of a wallet's judgements, by the number of the kind."""
        today = await self.today()
        by_kind: dict[int, list[tuple[int, int, int]]] = {}
        for row in await self._db.fetch("judgements_of", wallet, today - MEMORY_DAYS):
            by_kind.setdefault(row["kind"], []).append((row["day"], row["good"], row["bad"]))
        return {kind: reputation.current(days, today=today) for kind, days in by_kind.items()}

    async def score(self, wallet: bytes, kind: int) -> int:
        """The score of what still counts in a kind of task, or did a moment ago; basis points."""
        known = self._scores.get((wallet, kind))
        if known is not None and known[0] > time.monotonic():
            return known[1]
        today = await self.today()
        rows = await self._db.fetch("judgements_in", wallet, today - MEMORY_DAYS, kind)
        found = reputation.score(*reputation.current([(r["day"], r["good"], r["bad"]) for r in rows], today=today))
        if len(self._scores) >= CACHE:
            self._scores.clear()
        self._scores[wallet, kind] = (time.monotonic() + BELIEVED, found)
        return found

    async def scores(self, one: Participant) -> list[KindScore]:
        """Of the kinds in which there was a judgement, by the chain's counters and by what still counts of them."""
        current = await self.current(one.wallet)
        return [
            _score(kind, counters, current.get(kind, (0, 0)))
            for kind, counters in enumerate(one.kinds)
            if any(counters)
        ]


def kind_name(number: int) -> str:
    """The names of the kinds that share a number."""
    return " or ".join(name for name, one in KINDS.items() if one == number)


def _score(kind: int, counters: Counters, current: Counters) -> KindScore:
    return KindScore(
        kind_name(kind), *counters, reputation.score(*counters), weights.weight(counters),
        reputation.explain(*counters), *current, reputation.score(*current), reputation.explain_current(*current),
    )  # fmt: skip
