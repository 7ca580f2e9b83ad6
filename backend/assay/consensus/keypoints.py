"""Consensus of key points: whether each point is visible, and where it is.

Visibility is a yes/no question a point, by `MultiLabel` with one skill a worker. Places: `mean`; `geometric_median`
(Weiszfeld 1937), which half of hostile points cannot move far; `robust`: EM with errors of a two-dimensional Student t
and a spread for each worker over all tasks and points (Lange, Little and Taylor 1989), so steady hands weigh more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .answers import Ints, InvalidAnswers, _codes
from .multilabel import MultiAnswers, MultiLabel

Doubles = NDArray[np.float64]
KEYPOINT_METHODS = ("mean", "geometric_median", "robust")
_DOF = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class PointAnswers:
    """One row an answer: `task`, `worker` int32[n], `point` float64[n, p, 2], NaN where the worker says that the point
    is not visible.

    `gold`: float64[n_tasks, p, 2] where `gold_known` bool[n_tasks], NaN again for not visible.
    """

    task: Ints
    worker: Ints
    point: Doubles
    n_tasks: int
    n_workers: int
    gold: Doubles = field(default=None)  # type: ignore[arg-type]
    gold_known: NDArray[np.bool_] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "task", _codes("task", self.task, low=0, high=self.n_tasks))
        put(self, "worker", _codes("worker", self.worker, low=0, high=self.n_workers))
        put(self, "point", np.asarray(self.point, np.float64))
        if self.point.ndim != 3 or self.point.shape[2] != 2 or self.point.shape[0] != self.task.size:
            raise InvalidAnswers(f"point must have shape ({self.task.size}, points, 2), got {self.point.shape}")
        if self.worker.size != self.task.size:
            raise InvalidAnswers(f"task and worker must be equally long, got {self.task.size}, {self.worker.size}")
        shape = (self.n_tasks, self.point.shape[1], 2)
        put(self, "gold", np.full(shape, np.nan) if self.gold is None else np.asarray(self.gold, np.float64))
        known = np.zeros(self.n_tasks) if self.gold_known is None else self.gold_known
        put(self, "gold_known", np.asarray(known, np.bool_))
        if self.gold.shape != shape or self.gold_known.shape != (self.n_tasks,):
            raise InvalidAnswers(f"gold must have shape {shape} and gold_known ({self.n_tasks},)")
        for name in ("point", "gold"):
            array = getattr(self, name)
            if np.isinf(array).any() or (np.isnan(array[..., 0]) != np.isnan(array[..., 1])).any():
                raise InvalidAnswers(f"{name} must have two finite coordinates, or NaN for both")


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """`point`: float64[n_tasks, p, 2], NaN for not visible (or a task without answers). `visible`: bool[n_tasks, p],
    its probability in `visibility`.

    `error`: the standard error of each place (0 for gold). `confidence`: float64[n_tasks], that the visibilities are
    right. `worker_spread`: standard deviation of a worker's places, in pixels along one axis.
    """

    point: Doubles
    visible: NDArray[np.bool_]
    visibility: Doubles
    error: Doubles
    confidence: Doubles
    worker_spread: Doubles
    worker_skill: Doubles
    answered: Ints
    method: str


class PointConsensus:
    """`fit` learns the workers, `predict` places the points."""

    def __init__(self, method: str = "robust", *, iterations: int = 50) -> None:
        if method not in KEYPOINT_METHODS:
            raise InvalidAnswers(f"method must be one of {', '.join(KEYPOINT_METHODS)}, got {method!r}")
        self.name, self.iterations = method, iterations

    variance_: Doubles
    visibility_: MultiLabel

    def fit(self, answers: PointAnswers) -> PointConsensus:
        """Visibilities and spreads."""
        self.visibility_ = MultiLabel().fit(_visible(answers))
        cell, worker, place, gold = _flat(answers)
        centre = self._start(cell, place, gold)
        free = _free(cell, gold)
        self.variance_ = self._spread(answers, worker, place - centre[cell], np.ones(cell.size), free, place)
        for _ in range(self.iterations if self.name == "robust" else 0):
            before = centre
            weight = _t_weight(place - centre[cell], self.variance_[worker])
            centre = _fix(_mean(cell, place, weight, len(gold)), gold)
            gap = place - centre[cell]
            tail = _t_weight(gap, self.variance_[worker]) * self.variance_[worker]
            self.variance_ = self._spread(answers, worker, gap, tail, free, place)
            if float(np.nanmax(np.abs(centre - before), initial=0.0)) < 1e-6:
                break
        return self

    def predict(self, answers: PointAnswers) -> Points:
        """Places of all visible points."""
        seen = self.visibility_.predict(_visible(answers))
        cell, worker, place, gold = _flat(answers)
        centre = self._start(cell, place, gold)
        weight = 1 / self.variance_[worker]
        for _ in range(self.iterations if self.name == "robust" else 0):
            weight = _t_weight(place - centre[cell], self.variance_[worker])
            centre = _fix(_mean(cell, place, weight, len(gold)), gold)
        if self.name != "robust":
            size = np.bincount(cell, minlength=len(gold))
            variance = np.bincount(cell, self.variance_[worker], len(gold)) / np.maximum(size, 1) ** 2
        else:
            # Of t errors a place tells (ν + 2) / (ν + 4) of what its mean weight says (Lange, Little and Taylor 1989).
            variance = (_DOF + 4) / (_DOF + 2) / np.maximum(np.bincount(cell, weight, len(gold)), 1e-300)
        shape = (answers.n_tasks, answers.point.shape[1])
        point, error = centre.reshape(*shape, 2).copy(), np.sqrt(variance).reshape(shape)
        visible = seen.applies & ~np.isnan(point[..., 0])
        point[~visible], error[~visible] = np.nan, np.nan
        error[answers.gold_known[:, None] & visible] = 0.0
        return Points(
            point,
            visible,
            seen.probability,
            error,
            seen.confidence,
            np.sqrt(self.variance_),
            seen.worker_skill,
            seen.answered,
            self.name,
        )

    def _start(self, cell: Ints, place: Doubles, gold: Doubles) -> Doubles:
        if self.name == "mean":
            return _fix(_mean(cell, place, np.ones(cell.size), len(gold)), gold)
        return _fix(geometric_median(cell, place, len(gold)), gold)

    def _spread(
        self, answers: PointAnswers, worker: Ints, gap: Doubles, tail: Doubles, free: Doubles, place: Doubles
    ) -> Doubles:
        """Variance along one axis of each worker, shrunk to the crowd's; where no place has another to differ from, it
        may be as far off as places are from each other."""
        squared = tail * (gap**2).mean(axis=1)
        size = np.bincount(worker, free, answers.n_workers)
        total = np.bincount(worker, squared, answers.n_workers)
        told = float(free.sum())
        common = float(squared.sum()) / told if told > 0.5 else float(place.var(axis=0).mean()) if place.size else 0.0
        return np.asarray((total + 10 * max(common, 1e-12)) / (size + 10), np.float64)


def resolve_keypoints(method: str, answers: PointAnswers) -> Points:
    """The points of all tasks by the method of this name. Raises InvalidAnswers for an unknown one."""
    return PointConsensus(method).fit(answers).predict(answers)


def geometric_median(cell: Ints, place: Doubles, cells: int, *, iterations: int = 100) -> Doubles:
    """float64[cells, 2]: the point of least summed distance to each cell's places [n, 2]; NaN for an empty cell.

    Weiszfeld's iteration, distances held off 0 by a millionth of the spread; two places: their middle.
    """
    centre = _mean(cell, place, np.ones(cell.size), cells)
    if not cell.size:
        return centre
    floor = 1e-6 * max(float(np.abs(place - centre[cell]).max()), 1e-12)
    for _ in range(iterations):
        away = np.maximum(np.sqrt(((place - centre[cell]) ** 2).sum(axis=1)), floor)
        moved = _mean(cell, place, 1 / away, cells)
        step = float(np.nanmax(np.abs(moved - centre), initial=0.0))
        centre = moved
        if step < floor:
            break
    return centre


def _free(cell: Ints, gold: Doubles) -> Doubles:
    """How much of each place is free to differ from its cell's estimate: of n places n − 1, and all n from gold."""
    many = np.bincount(cell, minlength=len(gold))[cell]
    return np.where(np.isnan(gold[cell, 0]), 1 - 1 / np.maximum(many, 1), 1.0)


def _t_weight(gap: Doubles, variance: Doubles) -> Doubles:
    """Weights of a two-dimensional Student t: (ν + 2) / (ν s² + d²)."""
    return np.asarray((_DOF + 2) / (_DOF * variance + (gap**2).sum(axis=1)), np.float64)


def _mean(cell: Ints, place: Doubles, weight: Doubles, cells: int) -> Doubles:
    total = np.bincount(cell, weight, cells)
    sums = np.stack([np.bincount(cell, weight * place[:, k], cells) for k in range(2)], axis=1)
    return np.where(total[:, None] > 0, sums / np.where(total > 0, total, 1.0)[:, None], np.nan)


def _fix(centre: Doubles, gold: Doubles) -> Doubles:
    return np.where(np.isnan(gold), centre, gold)


def _flat(answers: PointAnswers) -> tuple[Ints, Ints, Doubles, Doubles]:
    """Visible places as rows: their cell (task · points + point), worker and coordinates; and gold by cell."""
    points = answers.point.shape[1]
    row, which = np.nonzero(~np.isnan(answers.point[..., 0]))
    cell = (answers.task[row].astype(np.int64) * points + which).astype(np.int32)
    gold = np.where(answers.gold_known[:, None, None], answers.gold, np.nan).reshape(-1, 2)
    return cell, answers.worker[row], answers.point[row, which], gold


def _visible(answers: PointAnswers) -> MultiAnswers:
    known = np.where(answers.gold_known[:, None], ~np.isnan(answers.gold[..., 0]), -1)
    named = ~np.isnan(answers.point[..., 0])
    return MultiAnswers(answers.task, answers.worker, named, answers.n_tasks, answers.n_workers, known.astype(np.int8))
