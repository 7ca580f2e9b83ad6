"""Pay by information: what earns, what does not, and that it never hangs on whom one knows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.consensus import Answers, InvalidAnswers
from assay.domain.incentives import (
    FULL,
    TRUST,
    evidence,
    explain,
    looks,
    may_be_accepted,
    split_units,
    standings,
    vote_weights,
)
from assay.domain.tally import UNITS


def crowd(seed, *, attack=None, classes=2, skewed=False, tasks=1000, workers=40, overlap=5, gold=0):
    """Workers of accuracy 0.6 to 0.95; those below a quarter follow `attack(rng, truth, task, worker)`."""
    rng = np.random.default_rng(seed)
    chance = np.full(classes, 1 / classes) if not skewed else np.array([0.85] + [0.15 / (classes - 1)] * (classes - 1))
    truth = rng.choice(classes, tasks, p=chance)
    task = np.repeat(np.arange(tasks), overlap)
    worker = np.concatenate([rng.choice(workers, overlap, replace=False) for _ in range(tasks)])
    skill = rng.uniform(0.6, 0.95, workers)
    wrong = (truth[task] + rng.integers(1, classes, task.size)) % classes if classes > 1 else truth[task]
    label = np.where(rng.random(task.size) < skill[worker], truth[task], wrong)
    bad = worker < workers // 4
    if attack is not None:
        label[bad] = attack(rng, truth, task)[bad]
    known = np.full(tasks, -1)
    known[:gold] = truth[:gold]
    answers = Answers(task, worker, label, tasks, workers, classes, known)
    right = np.bincount(worker, answers.label == truth[task], minlength=workers)
    right /= np.maximum(np.bincount(worker, minlength=workers), 1)
    return answers, truth, right


BLIND = {
    "lazy": lambda rng, truth, task: np.zeros(task.size, int),
    "random": lambda rng, truth, task: rng.integers(0, truth.max() + 1, task.size),
    "usually the frequent class": lambda rng, truth, task: (rng.random(task.size) > 0.8).astype(int),
    "shared coin": lambda rng, truth, task: rng.integers(0, 2, truth.size)[task],
}


@pytest.mark.parametrize("name", BLIND)
@pytest.mark.parametrize(("classes", "skewed"), [(2, False), (2, True), (4, False), (4, True)])
def test_answering_without_looking_shows_nothing(name, classes, skewed):
    found, weight = [], []
    for seed in range(4):
        answers, _, skill = crowd(seed, attack=BLIND[name], classes=classes, skewed=skewed)
        group = np.where(np.arange(40) < 10, 0, -1) if name == "shared coin" else None
        standing = standings(answers, skill, group)
        found += list(standing.information[:10] / standing.error[:10])
        weight.append(standing.weight[:10].mean() / standing.weight[10:].mean())
    assert abs(np.mean(found)) < 4 / np.sqrt(len(found)), "its expectation is 0, in units of its standard error"
    assert np.std(found) < 1.5
    assert np.mean(weight) < 0.15


@pytest.mark.parametrize("deviation", [*BLIND, "lie", "half hearted"])
def test_truth_is_the_best_reply(deviation):
    """One voter alone changes its ways; everybody else stays."""
    for seed in range(3):
        answers, truth, skill = crowd(seed)
        rng = np.random.default_rng(seed)
        label = answers.label.copy()
        mine = answers.worker == 7
        if deviation == "lie":
            label[mine] = 1 - label[mine]
        elif deviation == "half hearted":
            blind = mine & (rng.random(mine.size) < 0.5)
            label[blind] = rng.integers(0, 2, int(blind.sum()))
        else:
            label[mine] = BLIND[deviation](rng, truth, answers.task)[mine]
        changed = Answers(answers.task, answers.worker, label, 1000, 40, 2)
        assert standings(changed, skill).weight[7] < standings(answers, skill).weight[7]


def test_more_skill_earns_more():
    answers, _, skill = crowd(1, tasks=4000)
    standing = standings(answers, skill)
    assert np.corrcoef(skill, standing.weight)[0, 1] > 0.95
    assert standing.weight.max() <= FULL
    assert standing.weight.min() >= 0


def test_a_group_never_judges_itself_and_is_paid_as_one():
    def copy(rng, truth, task):
        return np.where(rng.random(truth.size) < 0.75, truth, 1 - truth)[task]

    answers, _, skill = crowd(2, attack=copy)
    group = np.where(np.arange(40) < 10, 3, -1)
    alone, together = standings(answers, skill), standings(answers, skill, group)
    assert (together.information[:10] < alone.information[:10]).all(), (
        "copies confirm each other only while unsuspected"
    )
    assert together.weight[:10].sum() < 1.2 * together.weight[10:].mean(), "ten wallets, one voter's pay"
    assert "paid as one voter" in explain(together, 0)
    assert "no strike" in explain(together, 0)
    passed = sum(may_be_accepted(together, 0, lot) for lot in range(1000))
    assert passed in (0, 100)


def test_to_refuse_right_answers_takes_proof():
    answers, _, skill = crowd(5, attack=BLIND["random"], tasks=2000)
    standing = standings(answers, skill)
    assert sum(looks(standing, worker) for worker in range(10)) <= 3
    assert sum(looks(standing, worker) for worker in range(10, 40)) >= 29
    few = standings(crowd(5, tasks=60)[0], skill)
    assert sum(looks(few, worker) for worker in range(40)) >= 34, "seven answers prove little"
    refused = next(worker for worker in range(10) if not looks(standing, worker))
    assert "without looking" in explain(standing, refused)
    assert not may_be_accepted(standing, refused)


def test_gold_is_a_peer_where_there_is_no_other():
    answers, _, skill = crowd(3, workers=1, overlap=1, gold=500)
    standing = standings(answers, skill)
    assert standing.answers[0] == 500
    assert standing.weight[0] > 100
    assert standings(answers.with_gold(None), skill).weight[0] <= TRUST


def test_newcomers_are_trusted_a_little_and_alike_tasks_tell_nothing():
    answers, _, skill = crowd(4)
    none = Answers([], [], [], 5, 3, 2)
    assert standings(none, np.full(3, 0.7)).weight.tolist() == [TRUST] * 3
    same = Answers(answers.task, answers.worker, np.zeros(len(answers), int), 1000, 40, 2)
    standing = standings(same, skill)
    assert not standing.informative
    assert set(standing.weight.tolist()) == {TRUST}
    assert "too alike" in explain(standing, 0)


@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 2)), max_size=30),
    skill=st.lists(st.floats(0, 1), min_size=5, max_size=5),
    group=st.lists(st.integers(-1, 2), min_size=5, max_size=5),
    gold=st.lists(st.integers(-1, 2), min_size=6, max_size=6),
)
def test_bounded_whatever_the_answers(rows, skill, group, gold):
    columns = [np.array([row[i] for row in rows], dtype=np.int64) for i in range(3)]
    answers = Answers(*columns, 6, 5, 3, np.array(gold))
    standing = standings(answers, np.array(skill), np.array(group))
    assert standing.weight.dtype.kind == "i"
    assert ((standing.weight >= 0) & (standing.weight <= FULL)).all()
    assert np.isfinite(standing.information).all()
    for worker in range(5):
        assert explain(standing, worker)
    turned = Answers(*(column[::-1] for column in columns), 6, 5, 3, np.array(gold))
    np.testing.assert_allclose(standings(turned, np.array(skill), np.array(group)).weight, standing.weight, atol=1)


@given(st.lists(st.tuples(st.integers(0, FULL), st.booleans()), min_size=1, max_size=12))
def test_units_are_all_shared_and_follow_weights(voters):
    weights, agreed = [list(column) for column in zip(*voters, strict=True)]
    units = split_units(weights, agreed)
    assert sum(units) == UNITS
    assert min(units) >= 0
    if any(agreed):
        assert all(unit == 0 for unit, ok in zip(units, agreed, strict=True) if not ok)
        total = sum(w for w, ok in voters if ok)
        if total:
            assert all(abs(u - UNITS * w / total) < 1 for u, (w, ok) in zip(units, voters, strict=True) if ok)
    else:
        assert all(abs(u - v) <= 1 for u in units for v in units) or sum(weights)


@pytest.mark.parametrize(("weights", "agreed"), [([], []), ([1], [True, False]), ([-1], [True])])
def test_bad_splits_are_refused(weights, agreed):
    with pytest.raises(ValueError, match=r"agreed|weights"):
        split_units(weights, agreed)


def test_wrong_lengths_name_the_field():
    answers, _, skill = crowd(0, tasks=10)
    with pytest.raises(InvalidAnswers, match="worker_skill"):
        standings(answers, skill[:-1])
    with pytest.raises(InvalidAnswers, match="group"):
        standings(answers, skill, np.zeros(3, int))


def test_evidence_counts_a_gold_failure_once():
    answers = Answers([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1, 0, 1, 1, 0], 3, 2, 2, [1, -1, -1])
    found = evidence(answers, np.array([0, 1, -1]))
    assert found.judgements.tolist() == [2, 2], "task 2 has no verdict"
    assert found.strikes.tolist() == [0, 1], "gold overrules the verdict"
    assert found.gold_passed.tolist() == [1, 0]
    assert found.gold_failed.tolist() == [0, 1]


def test_no_reputation_outvotes_two_newcomers():
    np.testing.assert_allclose(vote_weights(np.array([0, 5000, 10_000, 20_000])), [1, 1.5, 2, 2])
