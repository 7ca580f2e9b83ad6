"""What is due about a dispute, at every stage of it; tests/validation has the program's own opinion."""

from __future__ import annotations

from typing import Any

import pytest

from assay.domain.dispute import DISMISSED, LAPSED, OPEN, UPHELD, Act, Dispute

PANEL = tuple(bytes([seat]) * 32 for seat in range(1, 6))


def dispute(**changes: Any) -> Dispute:
    """Opened at 1,000; a panel of five has 60 seconds, and four decide."""
    fields: dict[str, Any] = {
        "request": bytes(32), "labeler": bytes(32), "answer": bytes(32), "evidence": bytes(32), "batch": 0,
        "settled_at": 900, "state": OPEN, "panel": (), "round": 0, "panel_at": 0, "seed_slot": 0, "upheld": 0,
        "dismissed": 0, "corrected": False, "opened_at": 1_000, "closable_at": 2_000, "quorum_bps": 6_666,
        "timeout": 60, "mode": 1,
    }  # fmt: skip
    return Dispute(**fields | changes)


def in_office(**changes: Any) -> Dispute:
    return dispute(**{"panel": PANEL, "round": 1, "panel_at": 1_010} | changes)


@pytest.mark.parametrize(
    ("one", "now", "act"),
    [
        (dispute(), 1_000, Act.DRAW),
        (dispute(), 1_239, Act.DRAW),
        (dispute(), 1_240, Act.EXPIRE),  # four timeouts, and nobody drew
        (in_office(), 1_069, Act.VOTES),
        (in_office(), 1_070, Act.DRAW),  # it had its time
        (in_office(round=3), 1_070, Act.EXPIRE),
        (in_office(round=3, panel_at=1_200), 1_239, Act.VOTES),
        (in_office(round=3, panel_at=1_200), 1_240, Act.EXPIRE),  # whatever the panel had
        (in_office(upheld=0b00111, dismissed=0b11000), 1_069, Act.VOTES),
        (in_office(upheld=0b01111), 1_011, Act.RESOLVE),
        (in_office(dismissed=0b01111), 9_999, Act.RESOLVE),  # decided is decided, however late
        (in_office(state=UPHELD, upheld=0b01111), 1_100, Act.CORRECT),
        (in_office(state=UPHELD, upheld=0b01111, mode=0), 1_100, Act.REST),
        (in_office(state=UPHELD, corrected=True), 1_999, Act.REST),
        (in_office(state=UPHELD, corrected=True), 2_000, Act.CLOSE),
        (in_office(state=DISMISSED), 1_100, Act.REST),
        (in_office(state=LAPSED), 2_000, Act.CLOSE),
    ],
)
def test_what_is_due(one: Dispute, now: int, act: Act) -> None:
    assert one.due(now) is act


def test_seats_and_votes() -> None:
    one = in_office(upheld=0b00101, dismissed=0b10000)
    assert one.seats(voted=True) == (PANEL[0], PANEL[2], PANEL[4])
    assert one.seats(voted=False) == (PANEL[1], PANEL[3])
    assert [one.vote_of(seat) for seat in PANEL] == [UPHELD, None, UPHELD, None, DISMISSED]
    assert one.vote_of(bytes(32)) is None
    assert one.quorum == 4
