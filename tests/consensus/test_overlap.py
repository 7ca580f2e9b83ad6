from __future__ import annotations

import numpy as np
import pytest

from assay.consensus import resolve
from assay.consensus.overlap import expected_gain, fixed_overlap, grow_overlap, wants_more
from assay.simulate.crowd import make_crowd

from .real_answers import load


def test_gain_is_highest_where_it_is_open_and_none_where_all_is_clear() -> None:
    gain = expected_gain(np.array([[0.5, 0.5], [0.8, 0.2], [0.999, 0.001]]), 0.8)
    assert gain[0] > gain[1] > gain[2]
    assert gain[2] == pytest.approx(0)
    # Worked by hand: from even odds two answers of 80 % agree and are right with 0.64, or differ and leave even odds.
    assert gain[0] == pytest.approx(0.64 + 0.16 - 0.5)


def test_more_is_wanted_only_where_it_pays() -> None:
    crowd = make_crowd({}, seed=0, overlap=3)
    result = resolve("dawid_skene", crowd.answers)
    open_tasks = wants_more(result, accuracy=0.8, price=1, value=50)
    assert result.confidence[open_tasks].mean() < result.confidence[~open_tasks].mean()
    assert not wants_more(result, accuracy=0.8, price=1, value=1).any()
    assert wants_more(result, accuracy=0.8, price=1, value=1, least=4).all()
    assert not wants_more(result, accuracy=0.8, price=0, value=1, most=3).any()


@pytest.mark.parametrize("name", ["dog", "rte", "d_possent", "web"])
def test_growing_overlap_beats_fixed_by_a_point_at_equal_cost(name: str) -> None:
    answers, truth = load(name)
    judged = truth != -1
    gains = []
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(answers))
        fixed = fixed_overlap(answers, order, per_task=4)
        grown, used = grow_overlap(answers, order, per_task=4)
        assert used <= 4 * answers.n_tasks
        gains.append(np.mean(grown.labels[judged] == truth[judged]) - np.mean(fixed.labels[judged] == truth[judged]))
    assert np.mean(gains) >= 0.01
