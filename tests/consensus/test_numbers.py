"""Consensus of numbers: definitions, edges, and what each method is for."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.consensus.answers import InvalidAnswers
from assay.consensus.numbers import (
    NUMBER_METHODS,
    NumberAnswers,
    agreeing,
    encode_numbers,
    resolve_numbers,
    weighted_median,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def crowd(seed, *, spread=0.0, bias=0.0, spam=0.0, tail=False, tasks=400, workers=40, overlap=5):
    rng = np.random.default_rng(seed)
    truth = rng.normal(50, 20, tasks)
    task = np.repeat(np.arange(tasks), overlap)
    worker = np.concatenate([rng.choice(workers, overlap, replace=False) for _ in range(tasks)])
    scale = np.exp(rng.normal(1.5, spread, workers))
    noise = rng.standard_t(2, task.size) if tail else rng.normal(size=task.size)
    value = truth[task] + rng.normal(0, bias, workers)[worker] + noise * scale[worker]
    careless = worker < workers * spam
    value[careless] = rng.uniform(0, 100, int(careless.sum()))
    return NumberAnswers(task, worker, value, tasks, workers), truth


def error(method, answers, truth):
    return float(np.abs(resolve_numbers(method, answers).values - truth).mean())


ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(-50, 50)), min_size=1, max_size=20)


@given(rows=ROWS)
def test_mean_and_median_are_their_definitions(rows):
    answers = NumberAnswers(*(np.array(c) for c in zip(*rows, strict=True)), 5, 4)
    mean, median = resolve_numbers("mean", answers).values, resolve_numbers("median", answers).values
    for task in range(5):
        values = [v for t, _, v in rows if t == task]
        assert mean[task] == pytest.approx(np.mean(values) if values else np.nan, nan_ok=True)
        assert median[task] == pytest.approx(np.median(values) if values else np.nan, nan_ok=True)


@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("method", sorted(NUMBER_METHODS))
@given(rows=ROWS)
def test_order_shift_and_missing(rows, method):
    """Order of answers does not matter, a shift of all answers shifts the result, a task without answers has no
    value.
    """
    columns = [np.array(c) for c in zip(*rows, strict=True)]
    result = resolve_numbers(method, NumberAnswers(*columns, 6, 4))
    turned = resolve_numbers(method, NumberAnswers(*(c[::-1] for c in columns), 6, 4))
    moved = resolve_numbers(method, NumberAnswers(columns[0], columns[1], columns[2] + 1000.0, 6, 4))
    np.testing.assert_allclose(turned.values, result.values, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(moved.values, result.values + 1000, rtol=1e-4, atol=1e-2)
    assert np.isnan(result.values[5])
    assert result.confidence[5] == 0
    assert ((result.confidence >= 0) & (result.confidence <= 1)).all()


def test_weighted_median_breaks_the_tie_in_the_middle():
    task = np.array([0, 0, 0, 1, 1])
    value = np.array([1.0, 2.0, 10.0, 3.0, 5.0])
    weight = np.array([1.0, 1.0, 3.0, 1.0, 1.0])
    np.testing.assert_allclose(weighted_median(task, value, weight, 3), [10.0, 4.0, np.nan])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_method_is_best_at_what_it_is_for(seed):
    answers, truth = crowd(seed, spread=0.8, spam=0.25)
    assert error("precision", answers, truth) < 0.7 * error("mean", answers, truth)
    answers, truth = crowd(seed, bias=6)
    assert error("precision_bias", answers, truth) < 0.85 * error("precision", answers, truth)
    answers, truth = crowd(seed, spread=0.8, tail=True)
    assert error("robust", answers, truth) < 0.8 * error("precision", answers, truth)


@pytest.mark.parametrize("case", [{}, {"spread": 0.8}, {"bias": 6}, {"tail": True}, {"spam": 0.25, "bias": 6}], ids=str)
def test_auto_is_near_the_best(case):
    answers, truth = crowd(7, **case)
    best = min(error(name, answers, truth) for name in NUMBER_METHODS if name != "auto")
    assert error("auto", answers, truth) <= 1.15 * best


def test_gold_is_kept_and_calibrates_a_common_bias():
    """A crowd that all reads 10 too high can only be corrected by gold."""
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 20, 200)
    task, worker = np.repeat(np.arange(200), 5), np.tile(np.arange(5), 200)
    value = truth[task] + 10 + rng.normal(0, 1, 1000)
    gold = np.where(np.arange(200) < 40, truth, np.nan)
    result = resolve_numbers("precision_bias", NumberAnswers(task, worker, value, 200, 5, gold))
    np.testing.assert_array_equal(result.values[:40], truth[:40])
    assert (result.confidence[:40] == 1).all()
    assert np.abs(result.values[40:] - truth[40:]).mean() < 2
    chosen = resolve_numbers("auto", NumberAnswers(task, worker, value, 200, 5, gold)).details["chosen"]
    assert chosen == "precision_bias"


def test_confidence_is_calibrated():
    answers, truth = crowd(5, spread=0.6, tasks=2000)
    result = resolve_numbers("precision", answers)
    share = np.mean(np.abs(result.values - truth) <= result.tolerance)
    assert share == pytest.approx(result.confidence.mean(), abs=0.03)
    assert np.mean(np.abs(result.values - truth) <= 1.96 * result.error) == pytest.approx(0.95, abs=0.03)


def test_decimal_strings_in_and_out():
    answers, codes = encode_numbers([("a", "x", "1.25"), ("a", "y", "1.75"), ("b", "x", "-3")], gold={"b": "-3.5"})
    result = resolve_numbers("mean", answers)
    assert codes.tasks == ("a", "b")
    assert result.decimals(2) == ["1.50", "-3.50"]
    np.testing.assert_array_equal(agreeing(answers, result, 0.25), [True, True, False])


@pytest.mark.parametrize("text", ["", "1,5", "NaN", "Infinity", "ten"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(InvalidAnswers, match=r"^value"):
        encode_numbers([("a", "x", text)])


def test_unknown_method_names_the_known():
    with pytest.raises(InvalidAnswers, match="precision"):
        resolve_numbers("magic", NumberAnswers([0], [0], [1.0], 1, 1))


def test_emotion_ratings_of_a_real_crowd():
    folder = DATA / "n_emotion"
    if not folder.exists():
        pytest.skip("../shared/data/n_emotion is absent")
    with (folder / "labels.csv").open() as file:
        rows = [(row["task"], row["worker"], row["label"]) for row in csv.DictReader(file)]
    with (folder / "truth.csv").open() as file:
        truth = {row["task"]: float(row["label"]) for row in csv.DictReader(file)}
    answers, codes = encode_numbers(rows)
    known = np.array([truth[str(task)] for task in codes.tasks])
    assert error("mean", answers, known) == pytest.approx(12.02, abs=0.005)
    assert error("auto", answers, known) <= 12.05


def covered(seed, name, *, overlap, workers=30, tasks=300, bias=0.0, tails=False):
    """The share of truths within 1.96 standard errors, and the mean confidence beside the share within tolerance."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 10, tasks)
    task = np.repeat(np.arange(tasks), overlap)
    worker = np.concatenate([rng.choice(workers, overlap, replace=False) for _ in range(tasks)])
    error = rng.standard_t(3, task.size) if tails else rng.normal(size=task.size)
    value = truth[task] + 2 * error + rng.normal(0, bias, workers)[worker]
    result = resolve_numbers(name, NumberAnswers(task, worker, value, tasks, workers))
    off = np.abs(result.values - truth)
    return np.mean(off <= 1.96 * result.error), result.confidence.mean() - np.mean(off <= result.tolerance)


@pytest.mark.parametrize(
    ("name", "crowd"),
    [
        ("mean", {"overlap": 2}),
        ("mean", {"overlap": 5}),
        ("median", {"overlap": 3}),
        ("precision", {"overlap": 3}),
        ("robust", {"overlap": 5, "tails": True}),
        ("precision_bias", {"overlap": 5, "bias": 6.0}),
    ],
)
def test_standard_errors_cover_what_they_say(name, crowd):
    """Few answers leave few degrees of freedom, t errors tell less than their weights, and of a crowd's biases nobody
    knows the mean."""
    covers, over = np.mean([covered(seed, name, **crowd) for seed in range(8)], axis=0)
    assert covers > 0.88
    assert abs(over) < 0.1


@pytest.mark.parametrize("name", sorted(NUMBER_METHODS))
def test_answers_that_nobody_checks_are_not_exact(name):
    """One answer a task shows no spread about the truth: it may be as far off as answers are from each other."""
    value = np.random.default_rng(0).normal(0, 10, 50)
    lone = resolve_numbers(name, NumberAnswers(range(50), [0] * 50, value, 50, 1))
    np.testing.assert_allclose(lone.values, value)
    assert lone.error.min() > 3
    assert resolve_numbers(name, NumberAnswers([0], [0], [7.0], 1, 1)).values[0] == 7
