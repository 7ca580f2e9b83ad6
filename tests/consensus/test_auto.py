from __future__ import annotations

import numpy as np
import pytest

from assay.consensus import resolve
from assay.consensus.auto import LEAST_GAIN, voices
from assay.consensus.calibration import brier, expected_calibration_error
from assay.simulate.crowd import STRATEGIES, make_crowd
from assay.simulate.families import FAMILIES, made_up
from assay.simulate.robust import measure, summary

from .real_answers import CHOICE, load


@pytest.mark.parametrize("name", CHOICE)
def test_auto_is_nowhere_more_than_a_point_under_majority_on_real_answers(name: str) -> None:
    answers, truth = load(name)
    judged = truth != -1
    majority = np.sum(resolve("majority", answers).labels[judged] == truth[judged])
    found = np.sum(resolve("auto", answers).labels[judged] == truth[judged])
    assert found >= majority - 0.01 * judged.sum() - 1e-6


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_auto_stands_thirty_percent_attackers_and_gold_helps_at_forty(strategy: str) -> None:
    for share, least, seeds in ((0.3, 0.92, (0, 1)), (0.4, 0.80, (3,))):
        for seed in seeds:
            crowd = make_crowd({strategy: share}, seed=seed)
            result = resolve("auto", crowd.answers)
            assert np.mean(result.labels == crowd.truth) >= least
            assert result.flagged[~crowd.attacker].mean() <= 0.02
            if crowd.colluder.any():
                assert result.flagged[crowd.colluder].mean() >= 0.95


def test_gold_weighs_the_experts() -> None:
    crowd = make_crowd({"lazy": 0.4}, seed=0)
    weights = resolve("auto", crowd.answers).details["weights"]
    assert weights["majority"] < 0.01
    assert sum(weights.values()) == pytest.approx(1)
    without = resolve("auto", crowd.answers.with_gold(None)).details["weights"]
    assert 1 / 6 <= without["majority"] < 0.2, "a hundred answers each: workers are known well"


def test_who_is_known_little_is_not_judged_by_a_matrix() -> None:
    crowd = make_crowd({}, seed=0, n_tasks=200, n_workers=400, overlap=5, n_classes=4)
    found = voices(crowd.answers)
    assert sum(found.values()) == pytest.approx(1)
    assert found["structure"] < 0.1
    assert found["majority"] > 0.4
    assert voices(crowd.answers.take(np.arange(0)))["majority"] == pytest.approx(1)


def test_the_vote_stands_where_little_is_expected_of_overruling_it() -> None:
    crowd = make_crowd({}, seed=1, n_tasks=150, n_workers=300, overlap=5, skill=(6, 2), gold=0.0)
    result = resolve("auto", crowd.answers)
    assert result.details["expected_gain"] < LEAST_GAIN
    assert result.details["chosen"] == "majority"
    np.testing.assert_array_equal(result.labels, resolve("majority", crowd.answers).labels)


@pytest.mark.parametrize("family", [family.__name__ for family in FAMILIES])
def test_auto_is_not_surely_under_majority_on_crowds_of_other_kinds(family: str) -> None:
    row = summary([measure(case) for case in made_up(4, only=family)])[0]
    assert row["surely"] == 0
    assert row["mean"] > -1


def test_a_seed_fixes_the_result() -> None:
    answers = make_crowd({"random": 0.2}, seed=0, n_tasks=300, n_workers=30).answers
    one, two = resolve("auto", answers, seed=7), resolve("auto", answers, seed=7)
    np.testing.assert_array_equal(one.posterior, two.posterior)
    assert one.details == two.details


def test_confidences_are_calibrated_on_a_crowd_of_the_model() -> None:
    crowd = make_crowd({}, seed=2, overlap=3, skill=(4, 2))
    result = resolve("auto", crowd.answers)
    assert expected_calibration_error(result, crowd.truth) < 0.04
    assert brier(result, crowd.truth) < brier(resolve("wawa", crowd.answers), crowd.truth)


def test_calibration_of_certain_and_right_answers_is_perfect() -> None:
    crowd = make_crowd({}, seed=2, n_tasks=50, gold=1.0)
    result = resolve("dawid_skene", crowd.answers)
    assert expected_calibration_error(result, crowd.truth) == 0
    assert brier(result, crowd.truth) == pytest.approx(0)
    with pytest.raises(ValueError, match="truth must be known"):
        brier(result, np.full(50, -1))
