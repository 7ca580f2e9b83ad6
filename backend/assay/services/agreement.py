"""How far a request's raters agree, for its buyer: computed from decided records only, off the event loop, at most once
for each state of the request.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from assay.domain.messages import b58
from assay.domain.reliability import VOTE, Reliability, Row, measure, parts

if TYPE_CHECKING:
    from assay.services.market import Market

CHUNK = 2000
"""Tasks that are read at a time."""
RATINGS = 2_000_000
"""Ratings that are compared at most: of a larger request the first tasks, and `complete` says so."""
REQUESTS = 32
"""Requests whose agreement is kept."""


@dataclass(frozen=True, slots=True)
class RaterShare:
    """A rater: how many of its ratings agree with what was decided, beside its coefficients (`reliability.Rater`)."""

    wallet: bytes
    ratings: int
    agreed: int
    agreement: float | None
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Rated:
    """One thing rated: a record, or (review) an answer to one."""

    index: int
    answer: bytes | None
    ratings: int
    agreement: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """A request's agreement over what is decided. `raters`: labelers or validators; most ratings first."""

    raters: str
    complete: bool
    measured: Reliability
    shares: tuple[RaterShare, ...]
    rated: tuple[Rated, ...]

    def by_index(self) -> dict[int, int | None]:
        """Of each record, in basis points as its confidence is: a data set's lines hold no floating point. Of a record
        with several answers (review) the last one's, which is the accepted one.
        """
        return {one.index: None if one.agreement is None else round(10_000 * one.agreement) for one in self.rated}

    def summary(self) -> dict[str, Any]:
        """The figures over all, for a file's metadata."""
        measured = self.measured
        return {
            "raters": self.raters,
            "level": measured.level,
            "ratings": measured.ratings,
            "rated": len(self.rated),
            "complete": self.complete,
            "krippendorff_alpha": measured.alpha,
            "fleiss_kappa": measured.kappa,
            "observed_agreement": measured.observed,
        }


class Agreements:
    """Measures agreement. One request at a time, so that many who ask cannot take the machine."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._turn = asyncio.Lock()
        self._known: OrderedDict[bytes, tuple[tuple[int, int], Agreement]] = OrderedDict()

    async def of(self, request: bytes) -> Agreement:
        """The agreement of what is decided so far. Raises `NotFound`."""
        spec = await self._market.requests.spec(request)
        async with self._turn:
            row = await self._db.row("agreement_state", request)
            assert row is not None
            state = (row["tasks"], row["judged"])
            known = self._known.get(request)
            if known is not None and known[0] == state:
                self._known.move_to_end(request)
                return known[1]
            review = spec.mode == "review"
            most = RATINGS // (1 if review else parts(spec.kind, spec.schema))
            rows, complete = await self._read(request, "agreement_votes" if review else "agreement_answers", most)
            found = await asyncio.to_thread(_measure, spec.kind, spec.schema, rows, review=review, complete=complete)
            self._known[request] = (state, found)
            self._known.move_to_end(request)
            while len(self._known) > REQUESTS:
                self._known.popitem(last=False)
            return found

    async def _read(self, request: bytes, query: str, most: int) -> tuple[list[Any], bool]:
        """Ratings in order of their task, a chunk of tasks at a time; whether these are all."""
        last = await self._db.value("agreement_last", request)
        rows: list[Any] = []
        for start in range(0, (-1 if last is None else last) + 1, CHUNK):
            rows += await self._db.fetch(query, request, start, start + CHUNK)
            if len(rows) > most:
                end = rows[most]["index"]  # no task with a part of its ratings
                return [row for row in rows if row["index"] < end], False
        return rows, True


def _measure(kind: str, schema: Any, rows: list[Any], *, review: bool, complete: bool) -> Agreement:
    ratings: list[Row] = []
    labels: dict[Any, Any] = {}
    agreed: Counter[bytes] = Counter()
    sizes: Counter[Any] = Counter()
    for row in rows:
        key = (row["index"], row["answer"] if review else None)
        value = int(row["vote"]) if review else msgspec.json.decode(row["value"])
        ratings.append((key, row["rater"], value))
        if key not in labels:
            labels[key] = int(row["verdict"]) if review else msgspec.json.decode(row["label"])
        sizes[key] += 1
        agreed[row["rater"]] += row["vote"] == row["verdict"] if review else bool(row["verdict"])
    measured = measure(VOTE if review else kind, schema, ratings, labels)
    shares = [
        RaterShare(wallet, one.ratings, agreed[wallet], one.agreement, one.kappa)
        for wallet, one in measured.by_rater.items()
    ]
    shares.sort(key=lambda one: (-one.ratings, b58(one.wallet)))
    rated = [Rated(index, answer, size, measured.by_task[index, answer]) for (index, answer), size in sizes.items()]
    return Agreement("validators" if review else "labelers", complete, measured, tuple(shares), tuple(rated))
