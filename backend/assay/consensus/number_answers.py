"""Numbers as answers: the arrays a method takes and returns, and the decimal strings they come from.

The market carries numbers as decimal strings: `encode_numbers` reads them, `Numbers.decimals` writes them.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answers import Codes, Ints, InvalidAnswers, _codes

Doubles = NDArray[np.float64]

LARGEST = 1e100


@dataclass(frozen=True, slots=True, eq=False)
class NumberAnswers:
    """Numbers as parallel arrays, one row an answer: `task`, `worker` int32[n], `value` float64[n], finite.

    `gold`: float64[n_tasks], the known value of a task or NaN; may be left out. Missing answers are simply not
    there; repeated rows of
    one task and worker count as answers of their own. Raises InvalidAnswers on anything else.
    """

    task: Ints
    worker: Ints
    value: Doubles
    n_tasks: int
    n_workers: int
    gold: Doubles = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "task", _codes("task", self.task, low=0, high=self.n_tasks))
        put(self, "worker", _codes("worker", self.worker, low=0, high=self.n_workers))
        put(self, "value", np.ascontiguousarray(self.value, dtype=np.float64))
        put(self, "gold", np.full(self.n_tasks, np.nan) if self.gold is None else np.asarray(self.gold, np.float64))
        if not self.task.size == self.worker.size == self.value.size:
            raise InvalidAnswers(
                "task, worker and value must be equally long, "
                f"got {self.task.size}, {self.worker.size}, {self.value.size}"
            )
        if not np.isfinite(self.value).all():
            raise InvalidAnswers("value must be finite")
        if self.gold.shape != (self.n_tasks,) or np.isinf(self.gold).any():
            raise InvalidAnswers(f"gold must have one finite or NaN entry for each of {self.n_tasks} tasks")
        for name, values in (("value", self.value), ("gold", np.nan_to_num(self.gold))):
            if np.abs(values).max(initial=0.0) > LARGEST:
                raise InvalidAnswers(f"{name} must lie between -{LARGEST:g} and {LARGEST:g}: squares are taken of it")

    def __len__(self) -> int:
        return int(self.task.size)

    def take(self, rows: NDArray[Any]) -> NumberAnswers:
        """The same tasks and workers with only these rows (a mask or indices)."""
        task, worker, value = self.task[rows], self.worker[rows], self.value[rows]
        return NumberAnswers(task, worker, value, self.n_tasks, self.n_workers, self.gold)


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """What a method concludes about tasks whose answer is a number.

    `values`: float64[n_tasks], NaN for a task without answers or gold. `error`: their standard errors (0 for gold).
    `confidence`: the probability that the truth lies within `tolerance` of `values` by the normal model (0 without
    answers, 1 for gold).
    `worker_bias` and `worker_spread`: float64[n_workers], what a worker adds on average, and its standard deviation
    about that.
    `answered`: answers per task.
    """

    values: Doubles
    error: Doubles
    confidence: Doubles
    tolerance: float
    worker_bias: Doubles
    worker_spread: Doubles
    answered: Ints
    method: str
    iterations: int = 1
    converged: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)

    def decimals(self, places: int) -> list[str | None]:
        """The values as decimal strings with `places` digits after the point; None where there is none."""
        step = Decimal(1).scaleb(-places)
        return [None if math.isnan(v) else str(Decimal(repr(float(v))).quantize(step)) for v in self.values]


def encode_numbers(
    rows: Sequence[tuple[Hashable, Hashable, str]], *, gold: Mapping[Any, str] | None = None
) -> tuple[NumberAnswers, Codes]:
    """Codes for rows of (task, worker, decimal string); tasks and workers in order of their first row. Raises
    InvalidAnswers.
    """
    tasks = {value: code for code, value in enumerate(dict.fromkeys(row[0] for row in rows))}
    workers = {value: code for code, value in enumerate(dict.fromkeys(row[1] for row in rows))}
    known = np.full(len(tasks), np.nan)
    for task, text in (gold or {}).items():
        if task in tasks:
            known[tasks[task]] = _number(text)
    answers = NumberAnswers(
        np.fromiter((tasks[row[0]] for row in rows), np.int32, len(rows)),
        np.fromiter((workers[row[1]] for row in rows), np.int32, len(rows)),
        np.fromiter((_number(row[2]) for row in rows), np.float64, len(rows)),
        len(tasks),
        len(workers),
        known,
    )
    return answers, Codes(tuple(tasks), tuple(workers), ())


def agreeing(answers: NumberAnswers, result: Numbers, tolerance: float) -> NDArray[np.bool_]:
    """bool[n]: which answers lie within `tolerance` of their task's value (False where it has none)."""
    if not tolerance >= 0:
        raise InvalidAnswers(f"tolerance must be at least 0, got {tolerance}")
    gap = np.abs(answers.value - result.values[answers.task])
    return np.asarray(gap <= tolerance * (1 + 1e-12), dtype=np.bool_)


def weighted_median(task: Ints, value: Doubles, weight: Doubles, n_tasks: int) -> Doubles:
    """float64[n_tasks]: the value at which half of a task's weight is reached (the mean of two when exactly half);
    NaN without answers.
    """
    result = np.full(n_tasks, np.nan)
    if not task.size:
        return result
    order = np.lexsort((value, task))
    tasks, values, weights = task[order], value[order], weight[order]
    size = np.bincount(tasks, minlength=n_tasks)
    last = np.cumsum(size)
    running = np.cumsum(weights)
    before = np.concatenate([[0.0], running])[last - size]
    half = (running - before[tasks]) / (np.concatenate([[0.0], running])[last] - before)[tasks]
    reached = half >= 0.5 - 1e-12
    passed = half > 0.5 + 1e-12
    at = np.flatnonzero(reached)
    low = np.unique(tasks[at], return_index=True)
    result[low[0]] = values[at[low[1]]]
    at = np.flatnonzero(passed)
    high = np.unique(tasks[at], return_index=True)
    result[high[0]] = (result[high[0]] + values[at[high[1]]]) / 2
    return result


def ranks_within(task: Ints, key: NDArray[Any]) -> Ints:
    """int32[n]: the place of each row among the rows of its task, in order of `key`."""
    order = np.lexsort((key, task))
    size = np.bincount(task)
    rank = np.empty(task.size, np.int32)
    rank[order] = np.arange(task.size) - np.repeat(np.cumsum(size) - size, size)
    return rank


def _number(text: str) -> float:
    try:
        value = Decimal(text)
    except (InvalidOperation, TypeError, ValueError):
        raise InvalidAnswers(f"value must be a decimal string such as '12.5', got {text!r}") from None
    if not value.is_finite():
        raise InvalidAnswers(f"value must be finite, got {text!r}")
    return float(value)
