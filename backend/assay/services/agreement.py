"""How far a request's raters agree, for its buyer: from decided records only, off the event loop, and seldom anew.

A request may have a million answers and change all the time. So it is read in chunks, kept as codes of a few bytes a
rating, and measured anew at most for a twentieth of the time.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from assay.domain.messages import b58
from assay.domain.reliability import VOTE, Ratings, Reliability, measure, parts, shown

if TYPE_CHECKING:
    from assay.services.market import Market

CHUNK = 2000
"""Tasks that are read at a time."""
RATINGS = 1_000_000
"""Ratings that are compared at most: of a larger request the first tasks, and `complete` says so."""
REQUESTS = 16
"""Requests whose agreement is kept."""
REST = 19.0
"""A measurement is believed for this many times as long as it took, whatever was decided meanwhile."""

Thing = tuple[int, bytes | None]
"""A record by its index, or (review) an answer to it by its id."""


@dataclass(frozen=True, slots=True)
class Rater:
    """A rater: how many of its ratings agree with what was decided, and its coefficients (`Reliability`)."""

    wallet: bytes
    ratings: int
    agreed: int
    agreement: float | None
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Rated:
    """One thing rated."""

    index: int
    answer: bytes | None
    ratings: int
    agreement: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """A request's agreement over what is decided. `who`: labelers or validators; `complete`: False where only the first
    records were compared.
    """

    who: str
    complete: bool
    measured: Reliability
    raters: tuple[Rater, ...]  # most ratings first
    things: tuple[Thing, ...]
    sizes: NDArray[np.int64]

    def rated(self, start: int, end: int) -> Iterator[Rated]:
        """Of the things rated those from place `start` to before `end`, in order of index."""
        for place in range(min(start, len(self.things)), min(end, len(self.things))):
            index, answer = self.things[place]
            yield Rated(index, answer, int(self.sizes[place]), shown(self.measured.by_thing[place]))

    def by_index(self) -> dict[int, int | None]:
        """Of each record, in basis points as its confidence is: a data set's lines hold no floating point. Of a record
        with several answers (review) the last one's, which is the accepted one.
        """
        found = zip(self.things, map(shown, self.measured.by_thing), strict=True)
        return {index: None if value is None else round(10_000 * value) for (index, _), value in found}

    def summary(self) -> dict[str, Any]:
        """The figures over all, for a file's metadata."""
        measured = self.measured
        return {
            "raters": self.who,
            "level": measured.level,
            "ratings": measured.ratings,
            "rated": len(self.things),
            "complete": self.complete,
            "krippendorff_alpha": measured.alpha,
            "fleiss_kappa": measured.kappa,
            "observed_agreement": measured.observed,
        }


@dataclass(frozen=True, slots=True)
class _Known:
    state: tuple[int, int]
    believed: float
    found: Agreement


class Agreements:
    """Measures agreement. One request at a time, so that many who ask cannot take the machine."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._turn = asyncio.Lock()
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def of(self, request: bytes, *, fresh: bool = False) -> Agreement:
        """The agreement of what is decided so far, or was a moment ago unless `fresh`. Raises `NotFound`."""
        spec = await self._market.requests.spec(request)
        async with self._turn:
            known = self._known.get(request)
            if known is not None and not fresh and time.monotonic() < known.believed:
                return known.found
            row = await self._db.row("agreement_state", request)
            assert row is not None
            state = (row["tasks"], row["judged"])
            if known is None or known.state != state:
                begun = time.monotonic()
                found = await self._measure(request, spec.kind, spec.schema, review=spec.mode == "review")
                known = _Known(state, time.monotonic() + REST * (time.monotonic() - begun), found)
            self._known[request] = known
            self._known.move_to_end(request)
            while len(self._known) > REQUESTS:
                self._known.popitem(last=False)
            return known.found

    async def _measure(self, request: bytes, kind: str, schema: Any, *, review: bool) -> Agreement:
        most = RATINGS if review else RATINGS // parts(kind, schema)
        taken = _Taken(Ratings((lambda raw: raw) if review else msgspec.json.decode), review=review, most=most)
        last = await self._db.value("agreement_last", request)
        query = "agreement_votes" if review else "agreement_answers"
        for start in range(0, (-1 if last is None else last) + 1, CHUNK):
            rows = await self._db.fetch(query, request, start, start + CHUNK)
            if not await asyncio.to_thread(taken.take, rows):
                break
        return await asyncio.to_thread(taken.measure, VOTE if review else kind, schema)


class _Taken:
    """Ratings as they are read: whole tasks, in order of their index."""

    def __init__(self, ratings: Ratings, *, review: bool, most: int) -> None:
        self._ratings = ratings
        self._review = review
        self._most = most
        self._agreed: dict[bytes, int] = {}
        self._complete = True

    def take(self, rows: list[Any]) -> bool:
        """Takes them in; False where there are too many, and the last tasks are left out."""
        room = self._most - len(self._ratings)
        end = rows[room]["index"] if len(rows) > room else None
        self._complete = end is None
        for row in rows:
            if row["index"] == end:
                break
            rater = row["rater"]
            if self._review:
                thing, value, label = (row["index"], row["answer"]), int(row["vote"]), int(row["verdict"])
                good = value == label
            else:
                thing, value, label, good = (row["index"], None), row["value"], row["label"], row["verdict"]
            self._ratings.add(thing, rater, value, label=label)
            self._agreed[rater] = self._agreed.get(rater, 0) + bool(good)
        return self._complete

    def measure(self, kind: str, schema: Any) -> Agreement:
        found = measure(kind, schema, self._ratings)
        things, raters, _ = self._ratings.columns()
        counts = np.bincount(raters, minlength=len(self._ratings.raters))
        people = [
            Rater(wallet, int(counts[place]), self._agreed[wallet], shown(found.by_rater[place]),
                  shown(found.rater_kappa[place]))
            for wallet, place in self._ratings.raters.items()
        ]  # fmt: skip
        people.sort(key=lambda one: (-one.ratings, b58(one.wallet)))
        return Agreement(
            "validators" if self._review else "labelers",
            self._complete,
            found,
            tuple(people),
            cast(tuple[Thing, ...], tuple(self._ratings.things)),
            np.bincount(things, minlength=len(self._ratings.things)),
        )
