"""Small numerical tools that numpy lacks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Prior strengths, in answers, among which the likeliest is taken."""


def normal_cdf(x: NDArray[Any]) -> NDArray[np.float64]:
    """The standard normal distribution function."""
    return np.asarray(0.5 + 0.5 * np.frompyfunc(math.erf, 1, 1)(np.asarray(x) / math.sqrt(2)), np.float64)


def log_gamma(x: NDArray[Any]) -> NDArray[np.float64]:
    """ln Γ(x) for x > 0, to 1e-12: Stirling's series at x + 8, brought back by the recurrence (Abramowitz and Stegun
    6.1.41).
    """
    x = np.asarray(x, np.float64)
    product = x.copy()
    for step in range(1, 8):
        product *= x + step
    y = x + 8
    inverse = 1 / (y * y)
    series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / y
    return np.asarray((y - 0.5) * np.log(y) - y + 0.9189385332046727 + series - np.log(product), np.float64)


def beta_strength(right: NDArray[Any], total: NDArray[Any], mean: float) -> float:
    """The strength g among STRENGTHS for which `right` of `total` trials a worker are likeliest under Beta(g·mean,
    g·(1 − mean)).

    The marginal likelihood of the Beta-binomial, summed over workers: empirical Bayes for the spread of skills.
    """
    wrong = np.maximum(total - right, 0)

    def evidence(g: float) -> float:
        a, b = g * mean, g * (1 - mean)
        some = log_gamma(right + a) + log_gamma(wrong + b) - log_gamma(total + g)
        none = log_gamma(np.array([a, b, g]))
        return float(some.sum()) + right.size * float(none[2] - none[0] - none[1])

    return max(STRENGTHS, key=evidence)


def crowd_accuracy(right: float, total: float, classes: int) -> float:
    """The share of right answers, smoothed and kept above chance: a crowd that is wrong on the whole and one that is
    right look alike without gold, so the methods assume the second."""
    floor = 0.95 / max(classes, 2) + 0.05
    return min(max((right + 1) / (total + 2), floor), 0.98)


def normalise(scores: NDArray[np.float32]) -> None:
    """Turn log scores [states, items] into probabilities over the states, in place."""
    scores -= scores.max(axis=0, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0, keepdims=True)


def largest(rows: NDArray[Any]) -> NDArray[Any]:
    """The maximum of each row of [items, classes]: by columns, several times faster than numpy's where classes are
    few.
    """
    best = np.zeros(rows.shape[0], rows.dtype) if rows.shape[1] == 0 else rows[:, 0].copy()
    for k in range(1, rows.shape[1]):
        np.maximum(best, rows[:, k], out=best)
    return best


def first_at_least(rows: NDArray[Any], bound: NDArray[Any]) -> NDArray[np.int32]:
    """int32[items]: the lowest class whose entry reaches the row's bound."""
    labels = np.zeros(rows.shape[0], np.int32)
    for k in range(rows.shape[1] - 1, -1, -1):
        np.copyto(labels, np.int32(k), where=rows[:, k] >= bound)
    return labels
