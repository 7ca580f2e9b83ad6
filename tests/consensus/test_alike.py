"""Noisy copies are told from honest workers who share a reading."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from assay.consensus import Answers, resolve
from assay.consensus.alike import log_ratio
from assay.consensus.collusion import detect
from assay.simulate import families
from assay.simulate.crowd import make_crowd


def bots(seed: int, *, many: int, of: int, accuracy: float, noise: float) -> tuple[Answers, NDArray[np.int32]]:
    """A crowd in which workers 0 to many · of − 1 repeat `many` bots, each wallet with noise of its own; its truth."""
    crowd = make_crowd({}, seed=seed)
    draw = np.random.default_rng(seed)
    answers, truth = crowd.answers, crowd.truth
    wrong = draw.random((truth.size, many)) >= accuracy
    mine = np.flatnonzero(answers.worker < many * of)
    task = answers.task[mine]
    said = truth[task] ^ wrong[task, answers.worker[mine] // of] ^ (draw.random(mine.size) < noise)
    label = answers.label.copy()
    label[mine] = said
    return Answers(answers.task, answers.worker, label, truth.size, answers.n_workers, 2, answers.gold), truth


@pytest.mark.parametrize(("accuracy", "noise"), [(0.5, 0.1), (0.7, 0.05), (0.7, 0.1), (0.8, 0.05)])
def test_sybils_with_noise_of_their_own_are_flagged_and_count_once(accuracy: float, noise: float) -> None:
    answers, truth = bots(2, many=1, of=30, accuracy=accuracy, noise=noise)
    found = detect(answers)
    assert found.flagged[:30].mean() >= 0.95
    assert found.flagged[30:].mean() <= 0.02
    assert [group.excess < 0.8 for group in found.groups] == [True]
    unknown = answers.gold < 0
    assert (resolve("auto", answers).labels == truth)[unknown].mean() >= 0.92


@pytest.mark.parametrize("seed", [0, 1])
def test_bots_that_are_often_right_are_told_apart(seed: int) -> None:
    """They agree with each other as well, so three of them look like one group at first."""
    answers, _ = bots(seed, many=3, of=10, accuracy=0.7, noise=0.0)
    groups = {group.workers for group in detect(answers).groups if group.as_one}
    assert groups == {tuple(range(low, low + 10)) for low in (0, 10, 20)}


@pytest.mark.parametrize("seed", [6, 10, 11])
def test_honest_workers_who_share_a_reading_are_seen_but_not_flagged(seed: int) -> None:
    answers, _ = families.two_readings(np.random.default_rng([seed, 9]))
    found = detect(answers)
    assert found.groups
    assert not found.flagged.any()


def test_where_too_few_meet_nothing_is_said() -> None:
    answers = Answers([0, 1, 2], [0, 1, 2], [0, 1, 0], 3, 3, 2)
    members = np.array([True, True, False])
    ratio, copies = log_ratio(answers, members, ~members, 0.75)
    assert ratio == 0.0
    assert (copies == members).all()


def test_whom_the_search_took_along_is_no_copy() -> None:
    """Two honest workers among thirty copies do not hide them, and are told from them."""
    answers, _ = bots(2, many=1, of=30, accuracy=0.7, noise=0.05)
    workers = np.arange(answers.n_workers)
    ratio, copies = log_ratio(answers, workers < 32, workers >= 32, 0.5)
    assert ratio > 7
    assert copies[:30].mean() >= 0.95
    assert not copies[30:].any()
