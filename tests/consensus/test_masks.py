"""Consensus of segmentation masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.consensus import InvalidAnswers
from assay.consensus.masks import MASK_METHODS, MaskAnswers, from_runs, iou, resolve_masks, to_runs


def paint(seed, *, tasks=20, workers=8, overlap=5, careless=0.5, size=48):
    """Discs; careful workers err at the edge, careless ones draw beside them, each its own way."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    truth, task, worker, mask = [], [], [], []
    for one in range(tasks):
        cx, cy, radius = rng.uniform(15, 33), rng.uniform(15, 33), rng.uniform(6, 10)
        truth.append((x - cx) ** 2 + (y - cy) ** 2 < radius**2)
        for who in rng.choice(workers, overlap, replace=False):
            dx, dy, r = rng.normal(0, 0.7, 3)
            if who < workers * careless:
                dx, dy, r = rng.normal(0, 6, 3)
            task.append(one)
            worker.append(int(who))
            mask.append((x - cx - dx) ** 2 + (y - cy - dy) ** 2 < max(radius + r, 2) ** 2)
    return MaskAnswers(np.array(task), np.array(worker), mask, tasks, workers), truth


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_staple_beats_majority_where_many_draw_beside(seed):
    answers, truth = paint(seed, careless=0.5)
    overlap = {
        name: np.mean([iou(a, b) for a, b in zip(resolve_masks(name, answers).masks, truth, strict=True)])
        for name in MASK_METHODS
    }
    assert overlap["staple"] > 0.8
    assert overlap["staple"] > overlap["majority"] + 0.03
    result = resolve_masks("staple", answers)
    assert result.worker_skill[:4].max() < result.worker_skill[4:].min()
    assert result.converged


@pytest.mark.parametrize("method", MASK_METHODS)
def test_agreement_ties_missing_and_order(method):
    on, off = np.ones((2, 3), bool), np.zeros((2, 3), bool)
    answers = MaskAnswers([0, 0, 1, 1, 3], [0, 1, 0, 1, 0], [on, on, off, off, on], 5, 2)
    result = resolve_masks(method, answers)
    assert result.masks[0].all()
    assert not result.masks[1].any()
    assert result.masks[2] is None
    assert result.confidence[2] == 0
    assert result.confidence[1] == pytest.approx(1, abs=0.2)
    turned = resolve_masks(method, MaskAnswers([3, 1, 1, 0, 0], [0, 1, 0, 1, 0], [on, off, off, on, on], 5, 2))
    np.testing.assert_array_equal(turned.confidence, result.confidence)
    tied = resolve_masks("majority", MaskAnswers([0, 0], [0, 1], [on, off], 1, 2))
    assert not tied.masks[0].any(), "one half is background"


def test_gold_is_kept_and_tells_who_draws_well():
    answers, truth = paint(5, careless=0.7)
    gold = [truth[i] if i < 8 else None for i in range(20)]
    helped = resolve_masks("staple", MaskAnswers(answers.task, answers.worker, answers.mask, 20, 8, gold))
    alone = resolve_masks("staple", answers)
    np.testing.assert_array_equal(helped.masks[0], truth[0])
    assert helped.confidence[0] == 1

    def quality(result):
        return np.mean([iou(result.masks[i], truth[i]) for i in range(8, 20)])

    assert quality(helped) > quality(alone)
    assert quality(helped) > quality(resolve_masks("majority", answers)), (
        "six of eight draw beside; gold shows whom to believe"
    )


@given(st.lists(st.booleans(), min_size=6, max_size=6))
def test_runs_there_and_back(pixels):
    mask = np.array(pixels).reshape(2, 3)
    runs = to_runs(mask)
    assert sum(runs) == 6
    np.testing.assert_array_equal(from_runs(runs, height=2, width=3), mask)


def test_bad_input_names_the_field():
    with pytest.raises(InvalidAnswers, match="runs"):
        from_runs([1, 2], height=2, width=2)
    with pytest.raises(InvalidAnswers, match="mask"):
        MaskAnswers([0, 0], [0, 1], [np.zeros((2, 2)), np.zeros((3, 2))], 1, 2)
    with pytest.raises(InvalidAnswers, match="method"):
        resolve_masks("magic", MaskAnswers([], [], [], 0, 0))


def test_a_picture_that_all_leave_empty_is_surely_empty_and_a_lone_mask_is_not():
    disc = np.hypot(*(np.mgrid[:40, :40] - 20)) < 10
    nothing = np.zeros_like(disc)
    masks = [disc] * 3 + [nothing] * 3 + [disc]
    answers = MaskAnswers([0, 0, 0, 1, 1, 1, 2], [0, 1, 2, 0, 1, 2, 3], masks, 3, 4)
    found = resolve_masks("staple", answers)
    assert not found.masks[1].any()
    assert found.confidence[1] > 0.8
    assert found.confidence[0] > found.confidence[2]
    assert found.worker_skill[3] < found.worker_skill[0]
