"""Several labels a task."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.consensus import InvalidAnswers
from assay.consensus.multilabel import MULTILABEL_METHODS, MultiAnswers, encode_multilabel, resolve_multilabel


def crowd(seed, *, tasks=400, workers=30, labels=6, overlap=5, spam=0.4, rate=0.2, symmetric=False):
    rng = np.random.default_rng(seed)
    truth = rng.random((tasks, labels)) < rate
    task = np.repeat(np.arange(tasks), overlap)
    worker = np.concatenate([rng.choice(workers, overlap, replace=False) for _ in range(tasks)])
    sensitivity, specificity = rng.uniform(0.6, 0.95, workers), rng.uniform(0.8, 0.99, workers)
    if symmetric:
        specificity = sensitivity
    careless = np.arange(workers) < workers * spam
    sensitivity[careless] = 1 - specificity[careless]  # names by lot
    chance = np.where(truth[task], sensitivity[worker][:, None], 1 - specificity[worker][:, None])
    return MultiAnswers(task, worker, rng.random(chance.shape) < chance, tasks, workers), truth


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shared_skill_beats_majority(seed):
    answers, truth = crowd(seed)
    wrong = {name: np.mean(resolve_multilabel(name, answers).applies != truth) for name in MULTILABEL_METHODS}
    assert wrong["dawid_skene"] < 0.7 * wrong["majority"]
    answers, truth = crowd(seed, symmetric=True, rate=0.5)
    wrong = {name: np.mean(resolve_multilabel(name, answers).applies != truth) for name in MULTILABEL_METHODS}
    assert wrong["one_coin"] < 0.7 * wrong["majority"]


def test_confidence_is_calibrated():
    answers, truth = crowd(4, tasks=1500, spam=0.2)
    result = resolve_multilabel("dawid_skene", answers)
    assert np.mean((result.applies == truth).all(axis=1)) == pytest.approx(result.confidence.mean(), abs=0.03)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 7)), max_size=15),
    method=st.sampled_from(MULTILABEL_METHODS),
)
def test_order_ties_and_missing(rows, method):
    named = np.array([[bits >> i & 1 for i in range(3)] for _, _, bits in rows], bool).reshape(len(rows), 3)
    task, worker = (np.array([row[i] for row in rows], np.int64) for i in (0, 1))
    result = resolve_multilabel(method, MultiAnswers(task, worker, named, 5, 3))
    turned = resolve_multilabel(method, MultiAnswers(task[::-1], worker[::-1], named[::-1], 5, 3))
    np.testing.assert_allclose(turned.probability, result.probability, atol=1e-6)
    assert result.confidence[4] == 0
    assert not result.applies[4].any()
    if method == "majority":
        for code in range(4):
            mine = named[task == code]
            if len(mine):
                np.testing.assert_array_equal(result.applies[code], 2 * mine.sum(axis=0) > len(mine))


def test_gold_is_kept_and_helps():
    answers, truth = crowd(6, spam=0.7)
    gold = np.full(truth.shape, -1)
    gold[:100] = truth[:100]
    helped = resolve_multilabel("dawid_skene", MultiAnswers(answers.task, answers.worker, answers.named, 400, 30, gold))
    np.testing.assert_array_equal(helped.applies[:100], truth[:100])
    assert (helped.confidence[:100] == 1).all()
    alone = resolve_multilabel("dawid_skene", answers)
    assert np.mean(helped.applies[100:] != truth[100:]) <= np.mean(alone.applies[100:] != truth[100:])


def test_names_in_and_out():
    rows = [("a", "x", ["cat", "dog"]), ("a", "y", ["cat"]), ("a", "z", [])]
    answers, codes = encode_multilabel(rows, classes=["cat", "dog"], gold={"a": ["dog"], "unanswered": ["cat"]})
    assert codes.classes == ("cat", "dog")
    assert resolve_multilabel("majority", answers).applies.tolist() == [[False, True]]
    with pytest.raises(InvalidAnswers, match="bird"):
        encode_multilabel([("a", "x", ["bird"])], classes=["cat"])
    with pytest.raises(InvalidAnswers, match="named"):
        MultiAnswers([0], [0], np.zeros((2, 2)), 1, 1)
    with pytest.raises(InvalidAnswers, match="method"):
        resolve_multilabel("magic", answers)
