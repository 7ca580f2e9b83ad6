from __future__ import annotations

import numpy as np
import pytest

from assay.consensus import Answers, InvalidAnswers, encode, resolve
from assay.consensus.weighted import WeightedMajority


def test_majority_takes_the_class_with_most_answers() -> None:
    answers, codes = encode([("t1", "ann", "cat"), ("t1", "bob", "dog"), ("t1", "cid", "cat"), ("t2", "ann", "dog")])
    result = resolve("majority", answers)
    assert [codes.classes[label] for label in result.labels] == ["cat", "dog"]
    assert result.answered.tolist() == [3, 1]
    np.testing.assert_allclose(result.posterior.sum(axis=1), 1, rtol=1e-6)


def test_ties_go_to_the_lowest_code_and_missing_tasks_to_none() -> None:
    answers = Answers(np.array([0, 0]), np.array([0, 1]), np.array([2, 1]), 2, 2, 3)
    result = resolve("majority", answers)
    assert result.labels.tolist() == [1, -1]
    assert result.confidence[1] == 0


def test_gold_overrules_every_vote() -> None:
    answers, _ = encode([(0, 0, 1), (0, 1, 1), (0, 2, 1)], classes=[0, 1], gold={0: 0})
    result = resolve("majority", answers)
    assert result.labels.tolist() == [0]
    assert result.confidence[0] == 1
    assert (result.worker_skill < 0.5).all()


def test_weights_decide_and_are_capped() -> None:
    answers, _ = encode([(0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 1, 1), (1, 2, 1)])
    result = WeightedMajority([100.0, 1.0, 1.0]).fit(answers).predict(answers)
    assert result.labels[1] == 1, "one reputation must not outvote two ordinary voters"
    answers, _ = encode([(0, 0, 1), (0, 1, 0)])
    assert resolve("weighted", answers, weights=[2.0, 1.0]).labels.tolist() == [1]
    assert resolve("weighted", answers, weights=[0.0, 0.0]).labels.tolist() == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": [0, 5]}, "task must lie in"),
        ({"label": [0, -1]}, "label must lie in"),
        ({"worker": [0]}, "equally long"),
        ({"label": [0.0, 1.0]}, "label must hold integers"),
        ({"gold": [0]}, "gold must have one entry a task"),
        ({"n_classes": 0}, "n_classes must be at least 1"),
    ],
)
def test_bad_answers_are_refused_by_field(change: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "task": [0, 1],
        "worker": [0, 1],
        "label": [0, 1],
        "n_tasks": 2,
        "n_workers": 2,
        "n_classes": 2,
    }
    with pytest.raises(InvalidAnswers, match=message):
        Answers(**{**good, **change})  # type: ignore[arg-type]


def test_unknown_method_and_weights_are_refused() -> None:
    answers, _ = encode([(0, 0, 0)])
    with pytest.raises(InvalidAnswers, match="method must be one of"):
        resolve("best", answers)
    with pytest.raises(InvalidAnswers, match="one entry a worker"):
        resolve("weighted", answers, weights=[1.0, 1.0])


def test_repeated_rows_count_each_and_can_be_reduced_to_the_last() -> None:
    answers, _ = encode([(0, 0, 1), (0, 1, 0), (0, 0, 1), (0, 0, 0)])
    assert len(answers.without_repeats()) == 2
    assert answers.without_repeats().label.tolist() == [0, 0]
