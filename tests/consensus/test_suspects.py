"""Who is paid as one: found with fewer answers than flags need, and no honest worker with them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from assay.consensus import Answers
from assay.consensus.blocks import Block, bound, find_blocks
from assay.consensus.collusion import detect
from assay.consensus.suspects import suspect
from assay.simulate.crowd import make_crowd
from assay.simulate.families import made_up


def suspected(answers: Answers) -> np.ndarray:
    return suspect(answers, detect(answers)).group_of >= 0


def test_camouflage_is_suspected_after_sixteen_answers_each_and_flagged_later() -> None:
    crowd = make_crowd({"camouflage": 0.3}, seed=0)
    answers = crowd.answers.take(crowd.answers.task < 233)
    assert not detect(answers).flagged.any()
    found = suspected(answers)
    assert found[crowd.colluder].mean() >= 0.8
    assert found[~crowd.attacker].mean() <= 0.02


def test_copycats_are_suspected_before_they_can_be_flagged() -> None:
    crowd = make_crowd({"copycat": 0.3}, seed=0)
    answers = crowd.answers.take(crowd.answers.task < 290)
    assert not detect(answers).flagged.any()
    found = suspected(answers)
    assert found[crowd.colluder].mean() >= 0.8
    assert found[~crowd.attacker].mean() <= 0.05


def test_good_workers_beside_careless_ones_are_not_suspected() -> None:
    for case in made_up(3, only="few_who_look"):
        assert not suspected(case.answers).any(), case.name


@pytest.mark.parametrize(("overlap", "tasks"), [(3, 400), (7, 233)])
def test_honest_workers_are_not_suspected(overlap: int, tasks: int) -> None:
    for seed in range(2):
        assert not suspected(make_crowd({}, seed=seed, overlap=overlap, n_tasks=tasks).answers).any()


def test_who_is_flagged_is_suspected() -> None:
    crowd = make_crowd({"shared_coin": 0.2}, seed=1, n_tasks=600, n_workers=40)
    found = detect(crowd.answers)
    assert found.as_one.max() >= 0
    groups = suspect(crowd.answers, found)
    assert (groups.group_of[found.as_one >= 0] >= 0).all()
    members = [code for group in groups.groups for code in group.workers]
    assert len(members) == len(set(members)), "nobody is in two groups"


def test_noisy_copies_that_are_flagged_are_paid_as_one() -> None:
    crowd = make_crowd({}, seed=0)
    answers, draw = crowd.answers, np.random.default_rng(0)
    mine = answers.worker < 30
    bot = np.where(draw.random(answers.n_tasks) < 0.7, crowd.truth, 1 - crowd.truth)
    noisy = draw.random(mine.sum()) < 0.05
    label = answers.label.copy()
    label[mine] = np.where(noisy, 1 - bot[answers.task[mine]], bot[answers.task[mine]])
    given = Answers(answers.task, answers.worker, label, answers.n_tasks, answers.n_workers, 2, answers.gold)
    assert detect(given).flagged[:30].all()
    assert len(set(suspect(given, detect(given)).group_of[:30].tolist())) == 1


def test_a_group_has_to_pass_both_bounds_and_a_member_its_own() -> None:
    members = np.arange(20) < 4
    own = np.where(members, 8.0, 0.0)
    own[0] = 3.0
    far = bound(20, 4, 1e-2)
    assert far == pytest.approx(math.log(20 * math.comb(20, 4) * 100))
    sure = Block(members, far + 1, own, 10.0, 0.95, 60)
    group = sure.group(1e-2, math.log(50))
    assert group is not None
    assert group.workers == (1, 2, 3)
    assert sure.group(1e-3, math.log(50)) is None, "by a stricter level it is none"
    assert Block(members, far - 1, own, 10.0, 0.95, 60).group(1e-2, 0.0) is None
    assert Block(members, far + 1, own, 1.0, 0.95, 60).group(1e-2, 0.0) is None, "no likelier than good workers"


def test_few_workers_or_one_class_hold_no_blocks() -> None:
    crowd = make_crowd({}, seed=0, n_tasks=50, n_workers=3, overlap=3)
    assert find_blocks(crowd.answers, (), alpha=1e-2) == []
    alike = Answers(np.zeros(5, np.int32), np.arange(5), np.zeros(5, np.int32), 1, 5, 1)
    assert find_blocks(alike, (), alpha=1e-2) == []
