"""Consensus of key points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.consensus import InvalidAnswers
from assay.consensus.keypoints import KEYPOINT_METHODS, PointAnswers, geometric_median, resolve_keypoints


def mark(seed, *, tasks=80, workers=12, overlap=5, points=4, careless=0.35):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 500, (tasks, points, 2))
    truth[rng.random((tasks, points)) < 0.2] = np.nan
    task = np.repeat(np.arange(tasks), overlap)
    worker = np.concatenate([rng.choice(workers, overlap, replace=False) for _ in range(tasks)])
    bad = worker < workers * careless
    place = truth[task] + rng.normal(0, 1, (task.size, points, 2)) * np.where(bad, 60.0, 4.0)[:, None, None]
    flip = rng.random((task.size, points)) < np.where(bad, 0.3, 0.03)[:, None]
    hidden = np.isnan(place[..., 0])
    place[flip & ~hidden] = np.nan
    place[flip & hidden] = rng.uniform(0, 500, (int((flip & hidden).sum()), 2))
    return PointAnswers(task, worker, place, tasks, workers), truth


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_robust_beats_median_beats_mean(seed):
    answers, truth = mark(seed)
    gap = {}
    for method in KEYPOINT_METHODS:
        result = resolve_keypoints(method, answers)
        gap[method] = np.nanmean(np.sqrt(((result.point - truth) ** 2).sum(axis=2)))
    assert gap["robust"] < gap["geometric_median"] < gap["mean"]
    assert gap["robust"] < 0.3 * gap["mean"]
    result = resolve_keypoints("robust", answers)
    assert np.mean(result.visible == ~np.isnan(truth[..., 0])) > 0.98
    assert result.worker_spread[:4].min() > result.worker_spread[5:].max()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=1, max_size=7))
def test_geometric_median_has_the_least_distance(places):
    given = np.array(places, float)
    found = geometric_median(np.zeros(len(given), np.int32), given, 1)[0]

    def cost(point):
        return np.sqrt(((given - point) ** 2).sum(axis=1)).sum()

    around = [found + step for step in np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]) * 0.5]
    assert cost(found) <= min(cost(one) for one in [*around, *given]) + 0.05 * (1 + cost(found)) * 0.1


@pytest.mark.parametrize("method", KEYPOINT_METHODS)
def test_order_missing_and_unseen(method):
    nan = [np.nan, np.nan]
    point = np.array([[[1, 1], nan], [[3, 1], nan], [[2, 1], [9, 9]]], float)
    result = resolve_keypoints(method, PointAnswers([0, 0, 0], [0, 1, 2], point, 2, 3))
    turned = resolve_keypoints(method, PointAnswers([0, 0, 0], [2, 1, 0], point[::-1], 2, 3))
    np.testing.assert_allclose(turned.point, result.point)
    np.testing.assert_allclose(result.point[0, 0], [2, 1], atol=1e-3)
    assert result.visible[0].tolist() == [True, False], "one of three sees the second"
    assert np.isnan(result.point[0, 1]).all()
    assert np.isnan(result.point[1]).all()
    assert result.confidence[1] == 0


def test_gold_is_kept():
    answers, truth = mark(4)
    known = np.arange(80) < 20
    result = resolve_keypoints(
        "robust", PointAnswers(answers.task, answers.worker, answers.point, 80, 12, truth, known)
    )
    np.testing.assert_array_equal(result.point[:20], truth[:20])
    assert np.nanmax(result.error[:20]) == 0


@pytest.mark.parametrize(
    ("point", "field"),
    [(np.zeros((1, 2)), "point"), (np.array([[[1, np.nan]]]), "point"), (np.array([[[1, np.inf]]]), "point")],
)
def test_bad_input_names_the_field(point, field):
    with pytest.raises(InvalidAnswers, match=rf"^{field}"):
        PointAnswers([0], [0], point, 1, 1)


@pytest.mark.parametrize("method", KEYPOINT_METHODS)
@pytest.mark.parametrize("overlap", [2, 5])
def test_standard_errors_cover_what_they_say(method, overlap):
    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 300, (150, 3, 2))
    task = np.repeat(np.arange(150), overlap)
    worker = np.concatenate([rng.choice(12, overlap, replace=False) for _ in range(150)])
    found = resolve_keypoints(
        method, PointAnswers(task, worker, truth[task] + rng.normal(0, 4, (task.size, 3, 2)), 150, 12)
    )
    assert np.mean(np.abs(found.point - truth) < 1.96 * found.error[..., None]) > 0.85


@pytest.mark.parametrize("method", KEYPOINT_METHODS)
def test_a_lone_place_is_not_exact(method):
    place = np.random.default_rng(0).uniform(0, 300, (20, 2, 2))
    lone = resolve_keypoints(method, PointAnswers(range(20), [0] * 20, place, 20, 1))
    np.testing.assert_allclose(lone.point, place)
    assert lone.error.min() > 20
