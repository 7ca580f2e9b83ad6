"""The worked numbers of docs/reputation.md are the code's."""

from __future__ import annotations

import re
from pathlib import Path

from assay.domain import reputation, weights
from assay.domain.reputation import DAY, HALF_LIFE, aged, current, faded, score, tier

TEXT = (Path(__file__).parents[2] / "docs" / "reputation.md").read_text()


def table(head: str, *, part: bool = False) -> list[list[str]]:
    """The cells below a table's head."""
    rows = TEXT[TEXT.index(f"| {head}" + (" " if part else " |")) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def shown(bps: int) -> str:
    return f"{bps / 10_000:.4f}"


def test_scores_and_tiers() -> None:
    rows = table("good | bad | score | tier")
    assert len(rows) == 8
    for good, bad, said, rank in rows:
        assert (said, rank) == (shown(score(int(good), int(bad))), str(tier(int(good), int(bad))))


def test_answers_that_a_tier_needs() -> None:
    for rank, _, _, needed in table("tier | at least | lower bound | answers needed with 0, 5, 10, 25 rejections"):
        for answers, rejections in zip(map(int, needed.split(", ")), (0, 5, 10, 25), strict=True):
            assert tier(answers - rejections, rejections) >= int(rank) > tier(answers - 1 - rejections, rejections)


def test_fading_of_a_record() -> None:
    rows = table("record | today | 90 days later | 180 | 360 | 720")
    assert len(rows) == 4
    for record, *scores in rows:
        good, bad = map(int, re.findall(r"\d+", record))
        for said, days in zip(scores, (0, 90, 180, 360, 720), strict=True):
            assert said == shown(score(*aged([(0, good, bad)], now=days * DAY)))
            assert said == shown(score(*current([(7, good, bad)], today=7 + days)))


def test_three_days_looked_at_later() -> None:
    *rows, total = table("day | good | bad | age in days | counts | good left | bad left")
    days = [(int(row[0]), int(row[1]), int(row[2])) for row in rows]
    for (day, good, bad), (*_, age, counts, good_left, bad_left) in zip(days, rows, strict=True):
        part = faded(int(age) * DAY)
        assert (int(age), counts) == (400 - day, f"{part / 1_000_000:.6f}")
        assert (good_left, bad_left) == (f"{part * good / 1e6:.2f}", f"{part * bad / 1e6:.2f}")
    lifetime = sum(row[1] for row in days), sum(row[2] for row in days)
    left = current(days, today=400)
    assert [int(cell) for cell in (*total[1:3], *total[5:])] == [*lifetime, *left]
    line = f"By lifetime counters the score is {shown(score(*lifetime))}, by what still counts {shown(score(*left))}."
    assert line in TEXT


def test_sentences() -> None:
    assert f"after {reputation.MEMORY_DAYS:,} days nothing is left" in TEXT
    assert faded(reputation.MEMORY_DAYS * DAY) == 0 < faded((reputation.MEMORY_DAYS - HALF_LIFE // DAY) * DAY)
    assert f"(1 to {score(reputation.MEMORY, 0)}, the highest there is)" in TEXT
    assert f"That takes {reputation.needed(8500)} right answers in a row from new" in TEXT
    head, row = TEXT[TEXT.index("| good, bad |") :].splitlines()[0], table("good, bad", part=True)[0]
    for pair, said in zip(re.findall(r"(\d+), (\d+)", head), row[1:], strict=True):
        assert said == f"{weights.weight((int(pair[0]), int(pair[1]))):.4f}"
