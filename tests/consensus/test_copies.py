from __future__ import annotations

import math

import numpy as np
import pytest

from assay.consensus.collusion import detect
from assay.consensus.copies import Evidence, bound, candidates, group_ratio, log_ratio
from assay.simulate.crowd import COLLUDING, STRATEGIES, make_crowd


def test_the_ratio_of_independent_answers_is_one_on_average() -> None:
    """Whatever the matrices: summed over all pairs of labels, weighted by their chance under independence."""
    draw = np.random.default_rng(0)
    for classes in (2, 3, 5):
        prior = draw.dirichlet(np.ones(classes))
        one, two = draw.dirichlet(np.ones(classes), (2, classes))
        total = 0.0
        both = prior @ (one * two).sum(axis=1)
        for common in (0.0, 0.2):
            total = 0.0
            for a in range(classes):
                for b in range(classes):
                    chance = float(prior @ (one[:, a] * two[:, b]))
                    raised = both + common * (1 - both)
                    chance *= raised / both if a == b else (1 - raised) / (1 - both)
                    ratio = float(prior @ (one[:, a] + two[:, a])) / (2 * float(prior @ (one[:, a] * two[:, a])))
                    found = log_ratio(np.array([a == b]), np.array([ratio]), np.array([both]), common)
                    total += chance * math.exp(found[0])
            assert total == pytest.approx(1)


def test_a_group_counts_each_answer_that_was_free_once() -> None:
    """Three members on one task: three pairs, two answers that could have differed."""
    i, j = np.array([0, 0, 1]), np.array([1, 2, 2])
    found = Evidence(i, j, np.array([0, 1, 2, 0]), np.array([0, 0, 0, 1], np.int32), np.ones(4), 2)
    assert group_ratio(found, np.ones(3, np.bool_)) == pytest.approx(2 + 1)
    assert group_ratio(found, np.array([True, True, False])) == pytest.approx(2)


def test_the_bound_is_that_of_all_groups() -> None:
    assert bound(100, 4, 1e-3) == pytest.approx(math.log(math.comb(100, 4) * 1000))


def test_who_does_not_belong_is_not_taken_along() -> None:
    i, j = np.array([0, 0, 1, 0]), np.array([1, 2, 2, 3])
    llr = np.array([20.0, 20.0, 20.0, 3.0])
    found = Evidence(i, j, np.arange(4), np.arange(4, dtype=np.int32), llr, 4)
    (first, *_) = candidates(found, np.ones(10, np.bool_), 1e-3)
    assert np.flatnonzero(first[0]).tolist() == [0, 1, 2]
    assert not list(candidates(found, np.zeros(10, np.bool_), 1e-3)), "nobody is left"


@pytest.mark.parametrize("strategy", ["shared_coin", "shared_wrong", "sybil"])
def test_four_of_a_hundred_are_found(strategy: str) -> None:
    flagged, honest = [], []
    for seed in range(3):
        crowd = make_crowd({strategy: 0.04}, seed=seed)
        found = detect(crowd.answers)
        flagged.append(found.flagged[crowd.colluder].mean())
        honest.append(found.flagged[~crowd.attacker].mean())
    assert np.mean(flagged) >= 0.9
    assert max(honest) <= 0.02


def test_most_of_five_small_groups_at_once_are_found_and_no_honest_worker() -> None:
    mix = {strategy: 0.3 / len(STRATEGIES) for strategy in STRATEGIES}
    assert len(COLLUDING) == 5
    for seed in range(3):
        crowd = make_crowd(mix, seed=seed)
        found = detect(crowd.answers)
        assert found.flagged[crowd.colluder].mean() >= 0.6
        assert not found.flagged[~crowd.attacker].any()


def test_groups_show_after_some_dozens_of_answers_each() -> None:
    """512 tasks are 36 answers a worker, two common ones a pair."""
    for strategy, seed in (("camouflage", 0), ("copycat", 1), ("sybil", 2)):
        crowd = make_crowd({strategy: 0.3}, seed=seed)
        found = detect(crowd.answers.take(crowd.answers.task < 512))
        assert found.flagged[crowd.colluder].mean() >= 0.8
        assert found.flagged[~crowd.attacker].mean() <= 0.02
