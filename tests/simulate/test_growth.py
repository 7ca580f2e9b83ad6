"""The market's rule on real answers: more where they help, by its own code."""

from __future__ import annotations

import numpy as np
import pytest
from tests.consensus.real_answers import load

from assay.simulate.growth import compare, settle, specification


@pytest.mark.parametrize(("name", "method", "target"), [("dog", "majority", 7500), ("rte", "dawid_skene", 9000)])
def test_growing_beats_fixed_at_equal_cost(name: str, method: str, target: int) -> None:
    answers, truth = load(name)
    found = compare(answers, truth, method=method, overlap=3, more=(9, target), seeds=1)
    assert 3 < found.answers_per_task < 5
    assert found.growing > found.fixed + 0.01


def test_nothing_is_asked_for_that_is_not_there() -> None:
    answers, _ = load("web")
    order = np.random.default_rng(0).permutation(len(answers))
    size = np.bincount(answers.task, minlength=answers.n_tasks)
    for most, target in ((4, 1), (64, 10_000)):
        asked = specification(answers, method="majority", overlap=3, more=(most, target))
        labels, used = settle(asked, answers, order)
        assert ((labels >= 0) == (size > 0)).all()
        assert used >= np.minimum(size, 3).sum()
        if target == 1:
            assert used == np.minimum(size, 3).sum()
