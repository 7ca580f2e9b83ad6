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
    wrong = {"helped": 0.0, "alone": 0.0}
    for seed in range(6):
        answers, truth = crowd(seed, spam=0.7)
        gold = np.full(truth.shape, -1)
        gold[:100] = truth[:100]
        given = MultiAnswers(answers.task, answers.worker, answers.named, 400, 30, gold)
        helped = resolve_multilabel("dawid_skene", given)
        np.testing.assert_array_equal(helped.applies[:100], truth[:100])
        assert (helped.confidence[:100] == 1).all()
        wrong["helped"] += np.mean(helped.applies[100:] != truth[100:])
        wrong["alone"] += np.mean(resolve_multilabel("dawid_skene", answers).applies[100:] != truth[100:])
    assert wrong["helped"] < wrong["alone"]


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


@pytest.mark.parametrize(("method", "off"), [("majority", 0.15), ("one_coin", 0.12), ("dawid_skene", 0.05)])
def test_confidence_of_every_method_is_near_the_share_of_right_sets(method, off):
    answers, truth = crowd(4, tasks=1500, spam=0.2)
    result = resolve_multilabel(method, answers)
    assert np.mean((result.applies == truth).all(axis=1)) == pytest.approx(result.confidence.mean(), abs=off)


@pytest.mark.parametrize("method", MULTILABEL_METHODS)
def test_who_has_no_fellows_is_not_right_therefore(method):
    rng = np.random.default_rng(0)
    lone = MultiAnswers(range(60), [0] * 60, rng.random((60, 6)) < 0.3, 60, 1)
    assert resolve_multilabel(method, lone).confidence.max() < 0.8


def test_silent_workers_do_not_empty_the_sets():
    answers, truth = crowd(5, spam=0)
    named = answers.named & (answers.worker >= 8)[:, None]
    found = resolve_multilabel("one_coin", MultiAnswers(answers.task, answers.worker, named, 400, 30)).applies
    assert found[truth].mean() > 0.4
    found = resolve_multilabel("dawid_skene", MultiAnswers(answers.task, answers.worker, named, 400, 30)).applies
    assert found[truth].mean() > 0.8


def test_a_small_crowd_is_shrunk_to_what_it_has_in_common():
    """On the mean of twenty crowds of six workers and fifteen tasks, near the vote instead of far under it."""
    right = {"majority": 0.0, "dawid_skene": 0.0}
    for seed in range(20):
        answers, truth = crowd(seed, tasks=15, workers=6, overlap=3, spam=0)
        for method in right:
            found = resolve_multilabel(method, answers).applies
            right[method] += float((found == truth).all(axis=1).mean()) / 20
    assert right["dawid_skene"] > right["majority"] - 0.05
