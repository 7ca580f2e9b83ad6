"""Judgements fade: what they count, and where a score goes that nothing is added to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.domain.reputation import (
    DAY,
    HALF_LIFE,
    MEMORY,
    MEMORY_DAYS,
    aged,
    current,
    explain_current,
    faded,
    needed,
    score,
)


def test_halves_every_half_life():
    assert [faded(age * HALF_LIFE // 2) for age in (0, 1, 2, 3, 4)] == [1_000_000, 750_000, 500_000, 375_000, 250_000]
    assert faded(100 * HALF_LIFE) == 0
    with pytest.raises(ValueError, match="age"):
        faded(-1)


@given(st.integers(0, 20 * HALF_LIFE), st.integers(0, HALF_LIFE))
def test_never_rises_with_age(age, later):
    assert faded(age + later) <= faded(age)


def test_old_merit_fades_to_the_newcomers_score():
    record = [(0, 200, 10)]
    scores = [score(*aged(record, now=k * HALF_LIFE)) for k in range(12)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == score(200, 10)
    assert scores[-1] <= score(0, 0)
    assert score(*aged([], now=5)) == score(0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 50), st.integers(0, 50)), max_size=10),
    st.integers(10**8, 2 * 10**8),
)
def test_one_more_good_judgement_never_hurts_nor_a_bad_one_helps(record, now):
    good, bad = aged(record, now=now)
    assert score(*aged([*record, (now, 1, 0)], now=now)) >= score(good, bad)
    assert score(*aged([*record, (now, 0, 1)], now=now)) <= score(good, bad)
    assert good <= sum(row[1] for row in record)
    assert bad <= sum(row[2] for row in record)


def test_days_of_one_record_fade_together_and_stand_still_within_a_day():
    record = [(10, 30, 2), (100, 8, 1)]
    assert current(record, today=100) == aged([(10 * DAY, 30, 2), (100 * DAY, 8, 1)], now=100 * DAY) == (23, 2)
    assert current(record, today=10) == (38, 3), "a day that has not come counts as today"
    assert current([(0, 10_000, 10_000)], today=MEMORY_DAYS) == (0, 0)
    assert current([(0, 10_000_000, 1)], today=19 * 90) == (10, 1)
    assert "23 good and 2 bad still count today" in explain_current(23, 2)
    assert f"{score(23, 2) / 100:.2f} %" in explain_current(23, 2)


@given(st.integers(1, 9940))
def test_the_fewest_right_answers_for_a_score(least):
    found = needed(least)
    assert score(found, 0) >= least
    assert found == 0 or score(found - 1, 0) < least


def test_no_score_is_higher_than_that_of_a_full_memory():
    assert needed(score(MEMORY, 0)) <= MEMORY
    with pytest.raises(ValueError, match="no score is above 9940"):
        needed(9941)
