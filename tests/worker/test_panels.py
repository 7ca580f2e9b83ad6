"""Earlier panels are looked for in the request's own transactions, newest first, and no further than is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from evidence import DOMAIN, make_spec, on_chain
from solders.pubkey import Pubkey

from assay_validator.panels import Panels
from assay_validator.state import State

REQUEST = replace(on_chain(make_spec("review")), panel_round=5)
MEMBERS = {round: tuple(bytes([10 * round + seat]) * 32 for seat in range(3)) for round in range(1, 5)}


class Record:
    """A chain's record of transactions, as `Chain.history` gives it; `read` counts those that were asked for."""

    def __init__(self, rounds: list[int]) -> None:
        drawn = [self.event("PanelDrawn", REQUEST.address, round) for round in rounds]
        stray = [self.event("PanelDrawn", bytes(32), 4), self.event("BatchSettled", REQUEST.address, 4)]
        self.transactions = [stray, *([one] for one in drawn)]
        self.read = 0

    @staticmethod
    def event(name: str, request: bytes, round: int) -> Any:
        members = [Pubkey(member) for member in MEMBERS[round]]
        return SimpleNamespace(name=name, data=SimpleNamespace(request=Pubkey(request), round=round, panel=members))

    async def history(self, address: Pubkey) -> AsyncIterator[Any]:
        assert bytes(address) == REQUEST.address
        for events in self.transactions:
            self.read += 1
            yield SimpleNamespace(receipt=SimpleNamespace(events=events))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(tmp_path / "state.sqlite")
    yield opened
    opened.close()


def known(state: State) -> list[int]:
    return [round for round in MEMBERS if state.panel(DOMAIN, round=round) == MEMBERS[round]]


async def test_the_search_ends_with_what_was_looked_for(state: State) -> None:
    record = Record([4, 3, 2, 1])
    panels = Panels(record, state)  # type: ignore[arg-type]
    await panels.learn(REQUEST, enough=lambda found: MEMBERS[3] in found)
    assert (known(state), record.read) == ([3, 4], 3)
    await panels.learn(REQUEST, enough=lambda found: False)  # wallets that were never a panel
    assert (known(state), record.read) == ([1, 2, 3, 4], 8)
    await panels.learn(REQUEST, enough=lambda found: False)
    assert record.read == 8, "all are known: nothing is left to look for"


async def test_a_record_that_was_cut_is_searched_once(state: State) -> None:
    record = Record([4, 3])
    panels = Panels(record, state)  # type: ignore[arg-type]
    for _ in range(3):
        await panels.learn(REQUEST, enough=lambda found: False)
    assert (known(state), record.read) == ([3, 4], 3)
