"""Every state that a labeler's counters were in on chain, by kind of task: what a batch of weighted votes may name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from assay.domain.work import Counters


class State(NamedTuple):
    """Counters from an event on (its number in the chain's order) until the next state."""

    event: int
    good: int
    bad: int


class Records:
    """Grows with the replay: one state for each settlement or dispute that changed a wallet's counters of a kind."""

    def __init__(self) -> None:
        self._states: dict[tuple[bytes, int], list[State]] = {}

    def add(self, wallet: bytes, *, kind: int, good: int, bad: int, event: int) -> None:
        """What event number `event` adds to the counters (a dispute that is upheld turns one over)."""
        states = self._states.setdefault((wallet, kind), [State(0, 0, 0)])
        last = states[-1]
        states.append(State(event, last.good + good, last.bad + bad))

    def now(self, wallet: bytes, *, kind: int) -> Counters:
        """Good and bad judgements so far."""
        states = self._states.get((wallet, kind))
        return states[-1][1:] if states else (0, 0)

    def since(self, wallet: bytes, *, kind: int, event: int) -> Iterator[Counters]:
        """The states from event number `event` on, newest first: that which it found or made, and all after it."""
        for state in reversed(self._states.get((wallet, kind), [State(0, 0, 0)])):
            yield state[1:]
            if state.event <= event:
                return
