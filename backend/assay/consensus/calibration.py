"""Is a confidence of 90 % right nine times in ten? Measured against a truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answers import Choice


def expected_calibration_error(result: Choice, truth: NDArray[Any], *, bins: int = 15) -> float:
    """Mean |confidence − share right| over bins of confidence, weighted by their tasks, in 0..1 (Naeini, Cooper and
    Hauskrecht, AAAI 2015).

    `truth`: int[n_tasks], −1 where unknown. Raises ValueError where no task has a truth.
    """
    judged = _judged(result, truth)
    confidence = result.confidence[judged].astype(np.float64)
    right = (result.labels[judged] == truth[judged]).astype(np.float64)
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gap).sum() / confidence.size)


def brier(result: Choice, truth: NDArray[Any]) -> float:
    """Mean squared distance of the posterior from the truth, summed over classes: 0 to 2 (Brier 1950, eq. 2)."""
    judged = _judged(result, truth)
    posterior = result.posterior[judged].astype(np.float64)
    known = truth[judged]
    inside = (known >= 0) & (known < posterior.shape[1])
    of_truth = np.where(inside, posterior[np.arange(known.size), np.where(inside, known, 0)], 0.0)
    return float(np.mean(np.square(posterior).sum(axis=1) - 2 * of_truth + 1))


def _judged(result: Choice, truth: NDArray[Any]) -> NDArray[np.intp]:
    judged = np.flatnonzero((truth != -1) & (result.labels >= 0))
    if not judged.size:
        raise ValueError("truth must be known for at least one answered task")
    return judged
