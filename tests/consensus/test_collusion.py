from __future__ import annotations

import numpy as np
import pytest

from assay.consensus import Answers, resolve
from assay.consensus.collusion import detect
from assay.consensus.excess import answer_pairs
from assay.consensus.groups import evidence_weights
from assay.simulate.crowd import COLLUDING, make_crowd

from .real_answers import CHOICE, load


@pytest.mark.parametrize("gold", [0.05, 0.0])
@pytest.mark.parametrize("strategy", sorted(COLLUDING))
def test_colluders_are_found_and_no_honest_worker_is(strategy: str, gold: float) -> None:
    crowd = make_crowd({strategy: 0.3}, seed=11, gold=gold)
    found = detect(crowd.answers)
    assert found.flagged[crowd.colluder].mean() >= 0.95
    assert found.flagged[~crowd.attacker].mean() <= 0.02


@pytest.mark.parametrize("overlap", [3, 7])
@pytest.mark.parametrize("skill", [(8, 2), (4, 2), (30, 2)])
def test_honest_crowds_show_no_groups(overlap: int, skill: tuple[float, float]) -> None:
    for seed in range(5):
        crowd = make_crowd({}, seed=seed, overlap=overlap, skill=skill, n_tasks=1000)
        found = detect(crowd.answers)
        assert not (found.flagged & ~found.hostile).any()
        assert (crowd.skill[found.hostile] < 0.5).all()
        assert not [group for group in found.groups if group.excess >= 0.8]


def test_two_rings_are_told_apart() -> None:
    crowd = make_crowd({"sybil": 0.15, "camouflage": 0.15}, seed=0)
    groups = [set(group.workers) for group in detect(crowd.answers).groups]
    rings = [{j for j, name in enumerate(crowd.strategy) if name == ring} for ring in ("sybil", "camouflage")]
    for ring in rings:
        assert any(len(group & ring) >= 0.9 * len(ring) and len(group - ring) <= 1 for group in groups)


def test_copies_count_once() -> None:
    crowd = make_crowd({"sybil": 0.3}, seed=0)
    found = detect(crowd.answers)
    weights = evidence_weights(crowd.answers, found.groups)
    sybil = np.array([name == "sybil" for name in crowd.strategy])[crowd.answers.worker]
    assert weights[~sybil].min() == 1
    total = np.bincount(crowd.answers.task, weights=weights * sybil)
    assert total.max() <= 1.2


def test_a_group_explains_itself() -> None:
    (group,) = detect(make_crowd({"shared_coin": 0.3}, seed=0).answers).groups
    assert f"{len(group.workers)} workers" in group.explain()
    assert group.z > group.bound


@pytest.mark.parametrize("name", CHOICE)
def test_few_real_workers_are_flagged(name: str) -> None:
    answers, _ = load(name)
    assert detect(answers).flagged.mean() <= 0.02


def test_pairs_are_each_two_answers_of_a_task_and_bounded() -> None:
    answers = make_crowd({}, seed=0, n_tasks=40, n_workers=20, overlap=4).answers
    first, second = answer_pairs(answers)
    assert first.size == 40 * 6
    assert (answers.task[first] == answers.task[second]).all()
    assert (answers.worker[first] < answers.worker[second]).all()
    assert answer_pairs(answers, most=60)[0].size <= 60


@pytest.mark.parametrize(
    ("good", "careless", "overlap", "tasks", "seed"),
    [(6, 4, 3, 100, 3), (6, 4, 5, 100, 5), (15, 10, 5, 300, 1), (30, 20, 5, 300, 0)],
)
def test_good_workers_beside_careless_ones_are_no_group(
    good: int, careless: int, overlap: int, tasks: int, seed: int
) -> None:
    """Who looks agrees with others who look far more than with a vote that the careless make: that is no collusion."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, tasks)
    rows = [(task, worker) for task in range(tasks) for worker in draw.choice(good + careless, overlap, replace=False)]
    task, worker = (np.array(column, np.int32) for column in zip(*rows, strict=True))
    looked = (worker < good) & (draw.random(task.size) < 0.9)
    label = np.where(looked, truth[task], draw.integers(0, 2, task.size)).astype(np.int32)
    answers = Answers(task, worker, label, tasks, good + careless, 2)
    assert not detect(answers).flagged[:good].any()
    right = [(resolve(method, answers).labels == truth).mean() for method in ("majority", "auto")]
    assert right[1] > right[0]
