"""What every method of single choice must do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.consensus import METHODS, Answers, encode, resolve
from assay.consensus.latent import LatentClass
from assay.consensus.numeric import log_gamma
from assay.simulate.crowd import make_crowd

ALL = sorted(METHODS)


@st.composite
def crowds(draw: st.DrawFn) -> Answers:
    n, tasks, workers, classes = (draw(st.integers(1, top)) for top in (40, 8, 6, 4))
    codes = [st.lists(st.integers(0, top - 1), min_size=n, max_size=n) for top in (tasks, workers, classes)]
    task, worker, label = (np.array(draw(one)) for one in codes)
    gold = np.array(draw(st.lists(st.integers(-1, classes - 1), min_size=tasks, max_size=tasks)))
    return Answers(task, worker, label, tasks, workers, classes, gold)


@pytest.mark.parametrize("method", ALL)
@given(answers=crowds())
@settings(max_examples=10, deadline=None)
def test_any_answers_give_probabilities_and_keep_gold(method: str, answers: Answers) -> None:
    result = resolve(method, answers)
    assert result.labels.shape == result.confidence.shape == (answers.n_tasks,)
    np.testing.assert_allclose(result.posterior.sum(axis=1), 1, rtol=1e-4)
    assert np.isfinite(result.posterior).all()
    assert np.isfinite(result.worker_skill).all()
    known = answers.gold >= 0
    np.testing.assert_array_equal(result.labels[known], answers.gold[known])
    nothing = (result.answered == 0) & ~known
    assert (result.labels[nothing] == -1).all()
    assert (result.labels[~nothing] >= 0).all()


@pytest.mark.parametrize("method", ALL)
def test_no_answers_at_all(method: str) -> None:
    empty = np.empty(0, np.int32)
    result = resolve(method, Answers(empty, empty, empty, 2, 3, 2, np.array([-1, 1])))
    assert result.labels.tolist() == [-1, 1]
    assert resolve(method, Answers(empty, empty, empty, 0, 0, 1)).labels.size == 0


@pytest.mark.parametrize("method", ALL)
def test_order_of_rows_and_names_of_workers_do_not_matter(method: str) -> None:
    answers = make_crowd({}, seed=3, n_tasks=150, n_workers=20, overlap=5).answers
    order = np.random.default_rng(0).permutation(len(answers))
    first, again = resolve(method, answers), resolve(method, answers)
    np.testing.assert_array_equal(first.posterior, again.posterior)
    shuffled = resolve(method, answers.take(order))
    np.testing.assert_allclose(first.posterior, shuffled.posterior, atol=2e-3)
    if method != "auto":  # its folds hold out answers by their codes
        rename = np.random.default_rng(1).permutation(answers.n_workers)
        renamed = Answers(answers.task, rename[answers.worker], answers.label, 150, 20, 2, answers.gold)
        np.testing.assert_allclose(first.posterior, resolve(method, renamed).posterior, atol=2e-3)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("classes", [2, 4])
def test_one_answer_each_is_the_label_and_no_surer_than_a_vote(method: str, classes: int) -> None:
    answers = make_crowd({}, seed=1, n_tasks=200, n_workers=40, overlap=1, n_classes=classes, gold=0.0).answers
    result = resolve(method, answers)
    np.testing.assert_array_equal(result.labels[answers.task], answers.label)
    if method != "wawa":  # a share of the vote, which is whole
        assert result.confidence.max() <= 0.9


@pytest.mark.parametrize("method", ["one_coin", "dawid_skene", "auto"])
def test_tasks_with_one_answer_do_not_lead_the_others_astray(method: str) -> None:
    right: list[float] = []
    for seed in range(3):
        crowd = make_crowd({}, seed=seed, n_tasks=500, n_workers=40, overlap=2, gold=0.0)
        first = np.zeros(len(crowd.answers), np.bool_)
        first[np.unique(crowd.answers.task, return_index=True)[1]] = True
        some = crowd.answers.take(first | (crowd.answers.task < 150))
        vote = resolve("majority", some).labels == crowd.truth
        right.append(float((resolve(method, some).labels == crowd.truth).mean() - vote.mean()))
    assert np.mean(right) >= -0.005


@pytest.mark.parametrize("method", [name for name in ALL if name != "weighted"])
def test_skills_of_good_and_bad_workers_are_told_apart(method: str) -> None:
    crowd = make_crowd({}, seed=5, n_tasks=600, n_workers=30, overlap=7, skill=(3, 2))
    result = resolve(method, crowd.answers)
    assert np.corrcoef(result.worker_skill, crowd.skill)[0, 1] > 0.85
    assert np.mean(result.labels == crowd.truth) >= np.mean(resolve("majority", crowd.answers).labels == crowd.truth)


def test_dawid_skene_reads_a_worker_who_inverts_and_one_who_always_accepts() -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(2, size=400)
    rows = []
    for task, right in enumerate(truth):
        for worker in range(4):
            rows.append((task, worker, int(right if draw.random() < 0.85 else 1 - right)))
        rows.append((task, 4, int(1 - right)))
        rows.append((task, 5, 1))
    answers, _ = encode(rows)
    model = LatentClass().fit(answers)
    confusion = model.confusion()
    assert confusion[4, 0, 1] > 0.95
    assert confusion[4, 1, 0] > 0.95
    assert confusion[5, :, 1].min() > 0.95
    assert np.mean(model.predict(answers).labels == truth) > 0.99


def test_shrinkage_keeps_a_worker_of_one_answer_near_the_crowd() -> None:
    answers, _ = encode([(t, w, t % 2) for t in range(20) for w in range(4)] + [(0, 9, 1)])
    skill = resolve("dawid_skene", answers).worker_skill
    assert 0.3 < skill[4] < skill[0]


def test_log_gamma_is_that_of_the_standard_library() -> None:
    from math import lgamma

    values = np.array([1e-3, 0.2, 0.5, 1, 2, 3.7, 10, 100.5, 1e4, 1e6])
    np.testing.assert_allclose(log_gamma(values), [lgamma(x) for x in values], rtol=1e-10, atol=1e-10)


def test_predict_judges_new_answers_of_known_workers() -> None:
    crowd = make_crowd({"lazy": 0.4}, seed=1, n_tasks=600, n_workers=30)
    early = crowd.answers.task < 300
    for method in ("majority", "wawa", "one_coin", "dawid_skene", "correlated"):
        fitted = METHODS[method](0, None).fit(crowd.answers.take(early))
        result = fitted.predict(crowd.answers.take(~early))
        late = np.arange(600) >= 300
        share = np.mean(result.labels[late] == crowd.truth[late])
        assert share > (0.85 if method in ("dawid_skene", "correlated") else 0.4), method
