"""What everybody's judgements came to at any time: who might be handed the tasks of a request that asks for a score."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from assay.domain.reputation import DAY, current, score
from assay.domain.tally import Tally

LATE = 600
"""Seconds after a settlement for which a market may not have counted it yet."""
NEVER = 2**62
EARLY = 60
"""Seconds that the clock of the hand-out log may be behind the chain's."""


class _Change(NamedTuple):
    """`since`, `by`: wall time before which, and by which at the latest, the chain had it. While the market is paused
    its settlements all have one time.
    """

    since: int
    by: int
    day: int
    good: int
    bad: int


class Scores:
    """Grows with the replay. Times are in seconds; those of hand-outs wall time, those of settlements market time."""

    def __init__(self) -> None:
        self._clock: list[tuple[int, int | None, int]] = [(0, None, 0)]  # since when (wall), market time if it stands
        self._batches: dict[tuple[bytes, int], int] = {}
        self._changes: dict[tuple[bytes, int], list[_Change]] = {}
        self._standing: list[tuple[list[_Change], int]] = []
        self.until = 0
        """Wall time of the last settlement: what is later may rest on what was not read."""

    def paused(self, at: int) -> None:
        """The market is paused from wall time `at` on."""
        self._clock.append((at, at - self._clock[-1][2], self._clock[-1][2]))

    def unpaused(self, at: int, *, total: int) -> None:
        """It goes on at wall time `at`, after pauses of `total` seconds in all."""
        self._clock.append((at, None, total))
        for changes, place in self._standing:
            changes[place] = changes[place]._replace(by=at)
        self._standing.clear()

    def settled(self, request: bytes, batch: int, tallies: Iterable[Tally], *, kind: int, at: int) -> None:
        """A batch was settled at market time `at`."""
        self.until = max(self.until, at + self._clock[-1][2])
        self._batches[request, batch] = at
        for one in tallies:
            self._add(one.wallet, kind, at // DAY, one.good, one.bad)

    def upheld(self, request: bytes, batch: int, labeler: bytes, *, kind: int) -> None:
        """A rejection of that batch was turned over, since the last settlement or later: which of it does not matter,
        since it only ever raises the score.
        """
        self._add(labeler, kind, self._batches[request, batch] // DAY, 1, -1)

    def _add(self, wallet: bytes, kind: int, day: int, good: int, bad: int) -> None:
        changes = self._changes.setdefault((wallet, kind), [])
        stands = self._clock[-1][1] is not None
        if stands:
            self._standing.append((changes, len(changes)))
        changes.append(_Change(self.until, NEVER if stands else self.until, day, good, bad))

    def best(self, wallet: bytes, *, kind: int, at: int) -> int:
        """The highest score that the wallet can be said to have had at wall time `at`."""
        changes = self._changes.get((wallet, kind), [])
        first = bisect_right(changes, at - LATE, key=lambda one: one.by)
        last = bisect_right(changes, at + EARLY, key=lambda one: one.since)
        days = {self._market(moment) // DAY for moment in (at - LATE, at + EARLY)}
        return max(
            score(*current(((one.day, one.good, one.bad) for one in changes[:count]), today=day))
            for count in range(first, last + 1)
            for day in days
        )

    def _market(self, wall: int) -> int:
        """Market time at a wall time."""
        _, stands, total = self._clock[max(bisect_right(self._clock, wall, key=lambda one: one[0]) - 1, 0)]
        return wall - total if stands is None else stands
