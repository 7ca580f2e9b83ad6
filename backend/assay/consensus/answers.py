"""Integer-coded answers of a crowd, and what a method makes of them.

Every method of single choice takes :class:`Answers` and returns :class:`Choice`. Both hold plain numpy arrays, so
that a million answers cost a few arrays and no objects.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .numeric import first_at_least, largest

Ints = NDArray[np.int32]
Floats = NDArray[np.floating[Any]]


class InvalidAnswers(ValueError):
    """The answers cannot be used: the message names the field and what would be right."""


def _codes(name: str, values: ArrayLike, *, low: int, high: int) -> Ints:
    array = np.asarray(values)
    if array.ndim != 1:
        raise InvalidAnswers(f"{name} must be one-dimensional, got {array.ndim} dimensions")
    if array.size and array.dtype.kind not in "iu":
        raise InvalidAnswers(f"{name} must hold integers, got {array.dtype}")
    if array.size and (int(array.min()) < low or int(array.max()) >= high):
        raise InvalidAnswers(f"{name} must lie in {low}..{high - 1}, got {array.min()}..{array.max()}")
    return np.ascontiguousarray(array, dtype=np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Answers as three parallel arrays of codes, one row an answer.

    `task`, `worker`, `label`: int32[n]. `gold`: int32[n_tasks], the known answer of a task or -1; may be left out.
    Codes lie in 0..n_tasks-1, 0..n_workers-1, 0..n_classes-1. Order of rows changes no more than the
    last bits of sums.

    **Repeated rows** of one task and worker are answers of their own, each counting in full; `without_repeats` keeps
    one of them, where a worker must not have two voices. **Missing answers** are simply not there. A task without
    any answer or gold gets label -1.

    Raises InvalidAnswers on anything else.
    """

    task: Ints
    worker: Ints
    label: Ints
    n_tasks: int
    n_workers: int
    n_classes: int
    gold: Ints = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        for name in ("n_tasks", "n_workers", "n_classes"):
            size = getattr(self, name)
            if not isinstance(size, int | np.integer) or isinstance(size, bool) or not 0 <= size <= 2**31 - 1:
                raise InvalidAnswers(f"{name} must be an integer from 0 to 2^31 - 1, got {size!r}")
        if self.n_classes < 1:
            raise InvalidAnswers(f"n_classes must be at least 1, got {self.n_classes}")
        put = object.__setattr__
        put(self, "task", _codes("task", self.task, low=0, high=self.n_tasks))
        put(self, "worker", _codes("worker", self.worker, low=0, high=self.n_workers))
        put(self, "label", _codes("label", self.label, low=0, high=self.n_classes))
        if not self.task.size == self.worker.size == self.label.size:
            raise InvalidAnswers(
                f"task, worker and label must be equally long, "
                f"got {self.task.size}, {self.worker.size}, {self.label.size}"
            )
        gold = np.full(self.n_tasks, -1, np.int32) if self.gold is None else self.gold
        put(self, "gold", _codes("gold", gold, low=-1, high=self.n_classes))
        if self.gold.size != self.n_tasks:
            raise InvalidAnswers(f"gold must have one entry a task ({self.n_tasks}), got {self.gold.size}")

    def __len__(self) -> int:
        return int(self.task.size)

    @property
    def has_gold(self) -> bool:
        """Whether any task's answer is known beforehand."""
        return bool((self.gold >= 0).any())

    def take(self, rows: NDArray[Any]) -> Answers:
        """The same tasks and workers with only these rows (a mask or indices)."""
        return Answers(
            self.task[rows],
            self.worker[rows],
            self.label[rows],
            self.n_tasks,
            self.n_workers,
            self.n_classes,
            self.gold,
        )

    def with_gold(self, gold: ArrayLike | None) -> Answers:
        """The same answers with this gold (int[n_tasks], -1 unknown), or with none."""
        known: Any = gold
        return Answers(self.task, self.worker, self.label, self.n_tasks, self.n_workers, self.n_classes, known)

    def without_repeats(self) -> Answers:
        """Keep the last row of each (task, worker); the rows stay in their order."""
        key = self.task.astype(np.int64) * max(self.n_workers, 1) + self.worker
        last = key.size - 1 - np.unique(key[::-1], return_index=True)[1]
        return self if last.size == key.size else self.take(np.sort(last))


@dataclass(frozen=True, slots=True)
class Codes:
    """What each code stands for: the values themselves, by code."""

    tasks: tuple[Hashable, ...]
    workers: tuple[Hashable, ...]
    classes: tuple[Hashable, ...]


def encode(
    rows: Sequence[tuple[Hashable, Hashable, Hashable]],
    *,
    classes: Sequence[Hashable] | None = None,
    gold: Mapping[Any, Hashable] | None = None,
) -> tuple[Answers, Codes]:
    """Integer codes for rows of (task, worker, label).

    Tasks and workers are coded in order of their first row, classes in the order given (a tie goes to the first of
    them) or else sorted.
    `gold` maps tasks to their known labels; tasks that nobody answered are ignored. Raises InvalidAnswers for a
    label outside of `classes`.
    """
    tasks = {value: code for code, value in enumerate(dict.fromkeys(row[0] for row in rows))}
    workers = {value: code for code, value in enumerate(dict.fromkeys(row[1] for row in rows))}
    known = {task: label for task, label in (gold or {}).items() if task in tasks}
    if classes is None:
        seen = set(row[2] for row in rows) | set(known.values())
        classes = sorted(seen, key=lambda value: (isinstance(value, str), value))
    codes = {value: code for code, value in enumerate(classes)}
    for label in (*(row[2] for row in rows), *known.values()):
        if label not in codes:
            raise InvalidAnswers(f"label {label!r} is not one of the classes {list(classes)!r}")
    truth = np.full(len(tasks), -1, np.int32)
    for task, label in known.items():
        truth[tasks[task]] = codes[label]
    answers = Answers(
        np.fromiter((tasks[row[0]] for row in rows), np.int32, len(rows)),
        np.fromiter((workers[row[1]] for row in rows), np.int32, len(rows)),
        np.fromiter((codes[row[2]] for row in rows), np.int32, len(rows)),
        len(tasks),
        len(workers),
        max(len(codes), 1),
        truth,
    )
    return answers, Codes(tuple(tasks), tuple(workers), tuple(codes))


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What a method concludes about single-choice tasks.

    `labels`: int32[n_tasks], the most probable class (ties: the lowest code), -1 for a task without answers or gold.
    `posterior`: float32[n_tasks, n_classes], rows sum to 1. `confidence`: float32[n_tasks], the probability that
    `labels` is right (0 where it is -1).
    `worker_skill`: float32[n_workers], the expected share of right answers. `answered`: int32[n_tasks], answers per
    task.
    `flagged`: bool[n_workers], workers whose answers were set aside as copies of each other (always false for
    methods that do not look).
    `method`: its name; for `auto` the name of what it chose stands in `details["chosen"]`. `iterations` and
    `converged` as named.
    """

    labels: Ints
    posterior: NDArray[np.float32]
    confidence: NDArray[np.float32]
    worker_skill: NDArray[np.float32]
    answered: Ints
    flagged: NDArray[np.bool_]
    method: str
    iterations: int = 1
    converged: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)


def choice_from_posterior(
    answers: Answers,
    posterior: NDArray[Any],
    worker_skill: NDArray[Any],
    *,
    method: str,
    flagged: NDArray[np.bool_] | None = None,
    iterations: int = 1,
    converged: bool = True,
    details: Mapping[str, Any] | None = None,
) -> Choice:
    """A Choice from float[n_tasks, n_classes]: gold is certain, ties go to the lowest code, tasks without answers
    get -1."""
    probability = np.array(posterior, dtype=np.float32, order="C")
    fix_gold(answers, probability)
    answered = np.bincount(answers.task, minlength=answers.n_tasks).astype(np.int32)
    best = largest(probability)
    labels = choice_labels(probability)
    nothing = (answered == 0) & (answers.gold < 0)
    labels[nothing] = -1
    confidence = np.where(nothing, np.float32(0), best).astype(np.float32)
    return Choice(
        labels,
        probability,
        confidence,
        np.asarray(worker_skill, np.float32),
        answered,
        np.zeros(answers.n_workers, np.bool_) if flagged is None else flagged,
        method,
        iterations,
        converged,
        details or {},
    )


def choice_labels(posterior: NDArray[Any]) -> Ints:
    """int32[n_tasks]: the most probable class; ties go to the lowest code.

    Equal votes must tie whatever the rounding of their sums, so values within a relative 1e-6 of the best count as
    equal.
    """
    return first_at_least(posterior, largest(posterior) * np.float32(1 - 1e-6))


def fix_gold(answers: Answers, posterior: NDArray[Any]) -> None:
    """Set the rows of gold tasks to certainty, in place."""
    known = np.flatnonzero(answers.gold >= 0)
    posterior[known] = 0
    posterior[known, answers.gold[known]] = 1
