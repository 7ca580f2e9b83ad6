"""How far answers agree beyond chance: Krippendorff's alpha, Fleiss' and Cohen's kappa.

All functions take answers in long form (``task``, ``worker``, ``label`` of one length) and use memory linear in
their number.
A missing answer is a label below 0 (integer codes) or NaN (numbers) and counts for nothing.

1 is perfect agreement, 0 what chance gives, below 0 systematic disagreement. A coefficient is NaN where it is
undefined: no
task has two answers. It is 1.0 where all answers are one and the same value, since then nothing disagrees.

Sources: Krippendorff, *Computing Krippendorff's Alpha-Reliability* (2011); Fleiss, *Measuring nominal scale
agreement among
many raters*, Psychological Bulletin 76 (1971); Cohen, *A coefficient of agreement for nominal scales*, EPM 20
(1960), and
*Weighted kappa*, Psychological Bulletin 70 (1968).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .answers import InvalidAnswers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Level = Literal["nominal", "ordinal", "interval"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")

# A table of tasks × classes is counted directly while it has at most this many cells per answer: memory stays linear.
_DENSE_CELLS_PER_ANSWER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Agreement of a crowd, with its parts.

    ``value``: the coefficient. ``observed`` and ``expected``: mean disagreement δ² within tasks, and between any two
    answers.
    ``pairable``: answers on tasks with at least two. ``by_task`` (n_tasks) and ``by_worker`` (n_workers): ``1 -
    observed /
    expected`` of one task's pairs, or of the pairs one worker is part of; NaN where there is no pair.
    """

    value: float
    observed: float
    expected: float
    pairable: int
    by_task: Floats
    by_worker: Floats


def krippendorff_alpha(
    task: ArrayLike,
    worker: ArrayLike,
    label: ArrayLike,
    *,
    level: Level = "nominal",
    n_tasks: int | None = None,
    n_workers: int | None = None,
) -> Agreement:
    """Krippendorff's α of answers on a ``nominal``, ``ordinal`` (codes in their order) or ``interval`` scale.

    ``1 - D_o / D_e``. The ordinal difference of two values is the difference of their mid-ranks, so ordinal α is
    interval α of
    ranks; and the squared differences within a task follow from its sum and its sum of squares. So no pair is ever
    listed.

    Raises InvalidAnswers for arrays of different length, negative codes of tasks or workers, or an unknown level.
    """
    if level not in LEVELS:
        raise InvalidAnswers(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
    tasks, workers, values = _columns(task, worker, label)
    task_count = _count(tasks, n_tasks, "n_tasks")
    worker_count = _count(workers, n_workers, "n_workers")
    keep = np.isfinite(values) & ((values >= 0) | (level == "interval" and np.asarray(label).dtype.kind == "f"))
    if not keep.all():
        tasks, workers, values = tasks[keep], workers[keep], values[keep]
    size = np.bincount(tasks, minlength=task_count)
    if tasks.size and int(size.min()) < 2:
        paired = size[tasks] > 1
        tasks, workers, values = tasks[paired], workers[paired], values[paired]
        size = np.bincount(tasks, minlength=task_count)
    total = tasks.size
    if total == 0:
        blank = np.full(task_count, np.nan), np.full(worker_count, np.nan)
        return Agreement(
            value=np.nan, observed=np.nan, expected=np.nan, pairable=0, by_task=blank[0], by_worker=blank[1]
        )
    if level == "nominal":
        per_task, per_answer, expected = _nominal(tasks, values, size)
    else:
        per_task, per_answer, expected = _interval(tasks, _mid_ranks(values) if level == "ordinal" else values, size)
    others = np.maximum(size - 1, 1)
    observed = float((per_task / others).sum() / total)
    worker_pairs = np.bincount(workers, minlength=worker_count)
    with np.errstate(invalid="ignore", divide="ignore"):
        task_mean = per_task / (size * others)
        worker_mean = np.bincount(workers, weights=per_answer / others[tasks], minlength=worker_count) / worker_pairs
        if expected == 0.0:
            by_task, by_worker, value = 1.0 - 0.0 * task_mean, 1.0 - 0.0 * worker_mean, 1.0
        else:
            by_task, by_worker, value = (
                1.0 - task_mean / expected,
                1.0 - worker_mean / expected,
                1.0 - observed / expected,
            )
    by_task[size < 2] = np.nan
    return Agreement(
        value=float(value), observed=observed, expected=expected, pairable=total, by_task=by_task, by_worker=by_worker
    )


def fleiss_kappa(task: ArrayLike, label: ArrayLike, *, n_classes: int | None = None) -> float:
    """Fleiss' κ (1971, eq. 7) of nominal answers.

    Tasks may have different numbers of answers: each task's agreement counts alike, those with fewer than two not at
    all.
    """
    tasks, _, values = _columns(task, task, label)
    keep = values >= 0
    tasks, codes = tasks[keep], values[keep].astype(np.int64)
    size = np.bincount(tasks)
    paired = size[tasks] > 1
    tasks, codes = tasks[paired], codes[paired]
    if tasks.size == 0:
        return float("nan")
    if n_classes is not None and int(codes.max()) >= n_classes:
        raise InvalidAnswers(f"label must lie below n_classes ({n_classes}), got {int(codes.max())}")
    size = np.bincount(tasks).astype(np.float64)
    squares = _sum_of_squared_counts(tasks, codes, size.size)
    rated = size > 1
    within = float(((squares[rated] - size[rated]) / (size[rated] * (size[rated] - 1))).mean())
    share = np.bincount(codes) / codes.size
    chance = float((share**2).sum())
    return 1.0 if chance == 1.0 else (within - chance) / (1.0 - chance)


def cohen_kappa(first: ArrayLike, second: ArrayLike, *, weights: Literal["linear", "quadratic"] | None = None) -> float:
    """Cohen's κ of two raters' codes for the same items, in the same order; with ``weights`` the weighted κ of 1968.

    Items that either left out (code below 0) are dropped. NaN when none is left.
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != 1:
        raise InvalidAnswers(f"second must be one-dimensional and as long as first {a.shape}, got {b.shape}")
    both = (a >= 0) & (b >= 0)
    a, b = a[both].astype(np.int64), b[both].astype(np.int64)
    if a.size == 0:
        return float("nan")
    if weights is None:
        classes = int(max(a.max(), b.max())) + 1
        chance = float(np.bincount(a, minlength=classes) @ np.bincount(b, minlength=classes)) / a.size**2
        observed, expected = float((a != b).mean()), 1.0 - chance
    elif weights == "quadratic":
        observed = float(((a - b) ** 2).mean())
        expected = float(a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    elif weights == "linear":
        classes = int(max(a.max(), b.max())) + 1
        below_a = np.cumsum(np.bincount(a, minlength=classes)) / a.size
        below_b = np.cumsum(np.bincount(b, minlength=classes)) / a.size
        # E|X - Y| = Σ F(1 - G) + G(1 - F) over the steps between neighbouring codes.
        observed = float(np.abs(a - b).mean())
        expected = float((below_a * (1 - below_b) + below_b * (1 - below_a)).sum())
    else:
        raise InvalidAnswers(f"weights must be None, linear or quadratic, got {weights!r}")
    return 1.0 if expected <= 0.0 else 1.0 - observed / expected


def cohen_kappa_by_worker(
    task: ArrayLike, worker: ArrayLike, label: ArrayLike, *, reference: ArrayLike, n_workers: int | None = None
) -> Floats:
    """Each worker's Cohen κ with ``reference`` (n_tasks: the consensus or the truth, below 0 where unknown); NaN
    without answers.
    """
    tasks, workers, values = _columns(task, worker, label)
    known = np.asarray(reference).astype(np.int64)
    if tasks.size and int(tasks.max()) >= known.size:
        raise InvalidAnswers(f"reference must have an entry a task, got {known.size} for task code {int(tasks.max())}")
    count = _count(workers, n_workers, "n_workers")
    keep = (values >= 0) & (known[tasks] >= 0)
    codes, workers, target = values[keep].astype(np.int64), workers[keep], known[tasks[keep]]
    size = np.bincount(workers, minlength=count).astype(np.float64)
    same = np.bincount(workers, weights=codes == target, minlength=count)
    classes = int(max(codes.max(), target.max())) + 1 if codes.size else 1
    chance = np.zeros(count)
    for code in range(classes):  # one pass a class: no workers × classes table
        chance += np.bincount(workers, weights=codes == code, minlength=count) * np.bincount(
            workers, weights=target == code, minlength=count
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        chance /= size**2
        kappa = (same / size - chance) / (1.0 - chance)
    kappa[(chance == 1.0) & (size > 0)] = 1.0
    return np.asarray(kappa, dtype=np.float64)


def _nominal(tasks: Ints, values: Floats, size: Ints) -> tuple[Floats, Floats, float]:
    """Disagreeing ordered pairs of each task, of each answer, and the chance that two answers differ."""
    codes = values.astype(np.int64)
    if (codes != values).any() or int(codes.max()) > 8 * codes.size + 1024:  # not truncated, and no table by value
        codes = np.unique(values, return_inverse=True)[1].astype(np.int64)
    same = _same_value(tasks, codes, size.size).astype(np.float64)
    squares = np.bincount(tasks, weights=same, minlength=size.size)
    total = codes.size
    marginal = np.bincount(codes).astype(np.float64)
    expected = float((total**2 - (marginal**2).sum()) / (total * (total - 1)))
    return size.astype(np.float64) ** 2 - squares, size[tasks] - same, expected


def _interval(tasks: Ints, values: Floats, size: Ints) -> tuple[Floats, Floats, float]:
    """Σ (x - y)² over each task's ordered pairs, over each answer's partners, and the mean over any two answers."""
    if values.max() == values.min():
        return np.zeros(size.size), np.zeros(values.size), 0.0
    centred = values - values.mean()
    scale = float(np.abs(centred).max())
    x = centred / scale  # sums of squares of ranks would otherwise lose digits
    total = x.size
    sums = np.bincount(tasks, weights=x, minlength=size.size)
    squares = np.bincount(tasks, weights=x * x, minlength=size.size)
    per_task = np.maximum(2.0 * (size * squares - sums**2), 0.0)
    per_answer = np.maximum(size[tasks] * x * x - 2.0 * x * sums[tasks] + squares[tasks], 0.0)
    expected = 2.0 * (total * float(x @ x) - float(x.sum()) ** 2) / (total * (total - 1))
    unit = np.float64(scale) ** 2
    return per_task * unit, per_answer * unit, expected * unit


def _mid_ranks(values: Floats) -> Floats:
    """Each value's mid-rank among all: for the ordinal difference (Krippendorff 2011, section 1.C)."""
    low, high = int(values.min()), int(values.max())
    if high - low > 4 * values.size or (values != np.floor(values)).any():
        _, inverse = np.unique(values, return_inverse=True)
        codes = inverse.astype(np.int64)
    else:
        codes = values.astype(np.int64) - low
    counts = np.bincount(codes)
    return np.asarray((np.cumsum(counts) - counts / 2.0)[codes], dtype=np.float64)


def _same_value(tasks: Ints, codes: Ints, n_tasks: int) -> Ints:
    """For each answer, how many answers of its task have its value (itself among them)."""
    classes = int(codes.max()) + 1
    if n_tasks * classes <= _DENSE_CELLS_PER_ANSWER * tasks.size + 1024:
        cell = tasks * classes + codes
        return np.asarray(np.bincount(cell)[cell], dtype=np.int64)
    if classes > 2**62 // max(n_tasks, 1):  # few of such codes are in use
        _, codes = np.unique(codes, return_inverse=True)
        return _same_value(tasks, codes, n_tasks)
    # Cells without a table of their own: hashed to a few rows an answer, only those that collide are sorted.
    cell = tasks * classes + codes
    bits = max(int(2 * tasks.size).bit_length(), 4)
    place = (cell.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(64 - bits)).astype(np.int64)
    shared = np.flatnonzero(np.bincount(place, minlength=1 << bits)[place] > 1)
    same = np.ones(tasks.size, dtype=np.int64)
    some = cell[shared]
    order = np.argsort(some)
    group = np.cumsum(np.diff(some[order], prepend=-1) != 0) - 1
    same[shared[order]] = np.bincount(group)[group]
    return same


def _sum_of_squared_counts(tasks: Ints, codes: Ints, n_tasks: int) -> Floats:
    same = _same_value(tasks, codes, n_tasks).astype(np.float64)
    return np.asarray(np.bincount(tasks, weights=same, minlength=n_tasks), dtype=np.float64)


def _columns(task: ArrayLike, worker: ArrayLike, label: ArrayLike) -> tuple[Ints, Ints, Floats]:
    tasks, workers = np.asarray(task), np.asarray(worker)
    values: NDArray[Any] = np.asarray(label)
    for name, column in (("task", tasks), ("worker", workers)):
        if column.size and column.dtype.kind not in "iu":
            raise InvalidAnswers(f"{name} must hold integers, got {column.dtype}")
        if column.size and int(column.min()) < 0:
            raise InvalidAnswers(f"{name} must not be below 0, got {int(column.min())}")
    if not tasks.shape == workers.shape == values.shape or tasks.ndim != 1:
        raise InvalidAnswers(f"label must be one-dimensional and as long as task {tasks.shape}, got {values.shape}")
    return tasks.astype(np.int64, copy=False), workers.astype(np.int64, copy=False), values.astype(np.float64)


def _count(codes: Ints, given: int | None, name: str) -> int:
    needed = int(codes.max()) + 1 if codes.size else 0
    if given is not None and given < needed:
        raise InvalidAnswers(f"{name} must be above the highest code ({needed - 1}), got {given}")
    return needed if given is None else given
