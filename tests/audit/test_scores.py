"""What somebody's judgements came to at a time: allowing for clocks that differ, and for a market that stood still."""

from __future__ import annotations

from assay.domain.reputation import DAY, HALF_LIFE, score
from assay.domain.tally import Role, Tally
from assay.services.audit.scores import EARLY, LATE, Scores

A, REQUEST, START = b"a" * 32, b"r" * 32, 1000 * DAY


def tally(good: int, bad: int) -> list[Tally]:
    return [Tally(A, Role.LABELER, good, bad, 0, 0, 0)]


def test_what_a_market_may_not_have_counted_yet_is_allowed_for() -> None:
    scores = Scores()
    assert scores.best(A, kind=0, at=START) == score(0, 0)
    scores.settled(REQUEST, 0, tally(40, 0), kind=0, at=START)
    scores.settled(REQUEST, 1, tally(0, 20), kind=0, at=START + 2 * LATE)
    assert scores.best(A, kind=0, at=START - EARLY - 1) == score(0, 0)
    assert scores.best(A, kind=0, at=START - EARLY) == score(40, 0), "its clock may be behind the chain's"
    assert scores.best(A, kind=0, at=START + 3 * LATE - 1) == score(40, 0)
    assert scores.best(A, kind=0, at=START + 3 * LATE) == score(40, 20), "by then it was counted"
    assert scores.best(A, kind=1, at=START + 3 * LATE) == score(0, 0)
    scores.upheld(REQUEST, 1, A, kind=0)
    assert scores.best(A, kind=0, at=START + 3 * LATE) == score(41, 19)
    assert scores.best(A, kind=0, at=START + HALF_LIFE + 2 * LATE) == score(20, 10), "41 and 19, halved"


def test_a_pause_makes_nobody_older() -> None:
    scores = Scores()
    scores.settled(REQUEST, 0, tally(40, 0), kind=0, at=START)
    scores.paused(START + DAY)
    during, after = START + DAY + HALF_LIFE, START + DAY + 2 * HALF_LIFE
    assert scores.best(A, kind=0, at=during) == score(39, 0)
    scores.settled(REQUEST, 1, tally(0, 20), kind=0, at=START + DAY)
    assert scores.best(A, kind=0, at=during) == score(39, 0), "settled in the pause, nobody knows when"
    scores.unpaused(after, total=2 * HALF_LIFE)
    assert scores.best(A, kind=0, at=during) == score(39, 0)
    assert scores.best(A, kind=0, at=after + LATE) == score(39, 20)
    assert scores.best(A, kind=0, at=after + LATE + HALF_LIFE) == score(19, 10)
