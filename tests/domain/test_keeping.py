"""When a request waits for somebody to call: the moments before and after each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from assay.domain.keeping import REST, market_time, request_due

GRACE, WINDOW = 300, 1000


def request(**changes: Any) -> Any:
    """An open one, worked on and posted at time 0; locked 100, of which 40 are paid and 5 are fees."""
    params = SimpleNamespace(grace=GRACE, unstake_window=WINDOW)
    one = SimpleNamespace(
        state=0, deadline=5000, records=10, records_done=4, panel_at=0, grace_until=0, locked=100, paid_labelers=30,
        paid_validators=10, fees=5, fees_collected=0, refunded=0, bonds=0, next_batch=3, last_settled_at=0,
        reserves=[], terms=SimpleNamespace(params=params),
    )  # fmt: skip
    vars(one).update(changes)
    return one


def act(one: Any, *, now: int, wall: int | None = None) -> str | None:
    found = request_due(one, now=now, wall=now if wall is None else wall)
    return None if found is None else found[0]


@pytest.mark.parametrize(
    ("changes", "now", "due"),
    [
        ({}, 4999, None),
        ({}, 5000, "expire_request"),
        ({"records_done": 10}, GRACE - 1, None),
        ({"records_done": 10}, GRACE, "close_request"),
        ({"records_done": 10}, 5000, "expire_request"),
        ({"state": 1, "grace_until": 600}, 599, None),
        ({"state": 1, "grace_until": 600}, 600, "close_request"),
        ({"state": 2}, 1, "close_request"),
        ({"state": 2, "refunded": 55}, 1, "collect_fees"),
        ({"state": 2, "refunded": 55, "fees_collected": 5}, WINDOW - 1, None),
        ({"state": 2, "refunded": 55, "fees_collected": 5}, WINDOW, "reap_request"),
        ({"state": 2, "refunded": 55, "fees_collected": 5, "next_batch": 0}, 1, "reap_request"),
        ({"state": 2, "refunded": 45, "bonds": 10, "fees_collected": 5}, 9999, None),
    ],
)
def test_what_is_due(changes: dict[str, Any], now: int, due: str | None) -> None:
    assert act(request(**changes), now=now) == due


def test_reserves_are_free_when_they_end() -> None:
    reserves = [SimpleNamespace(until=50, amount=10)]
    one = request(state=2, refunded=45, fees_collected=5, reserves=reserves)
    assert act(one, now=49) is None
    assert act(one, now=50) == "close_request"


def test_a_request_that_is_done_rests_a_while_whatever_its_grace() -> None:
    one = request(records_done=10, panel_at=100)
    one.terms.params.grace = 0
    assert act(one, now=100 + REST - 1) is None
    assert act(one, now=100 + REST) == "close_request"


def test_evidence_is_kept_by_wall_time() -> None:
    """A pause stops the market's clock and not that of exits."""
    one = request(state=2, refunded=55, fees_collected=5, last_settled_at=500)
    assert act(one, now=10, wall=500 + WINDOW - 1) is None
    assert act(one, now=10, wall=500 + WINDOW) == "reap_request"


def test_market_time_stands_still_in_a_pause() -> None:
    running = SimpleNamespace(paused=0, paused_at=0, paused_total=30)
    assert market_time(running, 100) == 70
    assert market_time(SimpleNamespace(paused=1, paused_at=90, paused_total=30), 100) == 60
