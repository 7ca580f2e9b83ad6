"""Consensus of segmentation masks: pixel votes, plain or weighted by what each worker's masks are worth (STAPLE).

STAPLE: Warfield, Zou and Wells, *Simultaneous Truth and Performance Level Estimation*, IEEE TMI 23 (2004): a worker
has a sensitivity (foreground that it marks) and a specificity (background that it leaves), learned by EM with the
hidden true mask. Two changes: workers are one over all tasks, and of the background that nobody
marked only as many pixels count as somebody did mark (`_near`): of it everybody is right, which would make all workers
look alike.

Workers who are wrong alike (all draw too large) are a truth of their own to any such model: only gold tells them apart.

With R masks a task has at most 2^R different columns of votes, so each EM step costs the number of columns, not of
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .answers import Ints, InvalidAnswers, _codes

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
MASK_METHODS = ("majority", "staple")
MAX_RATERS = 62


@dataclass(frozen=True, slots=True, eq=False)
class MaskAnswers:
    """One row an answer: `task`, `worker` int32[n], `mask` n arrays bool[height, width], of one shape within a task.

    `gold`: an array or None for each task. Raises InvalidAnswers for shapes that differ within a task, or over 62
    answers to one.
    """

    task: Ints
    worker: Ints
    mask: Sequence[Mask]
    n_tasks: int
    n_workers: int
    gold: Sequence[Mask | None] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "task", _codes("task", self.task, low=0, high=self.n_tasks))
        put(self, "worker", _codes("worker", self.worker, low=0, high=self.n_workers))
        put(self, "mask", tuple(np.asarray(one, np.bool_) for one in self.mask))
        gold = (None,) * self.n_tasks if self.gold is None else self.gold
        put(self, "gold", tuple(None if one is None else np.asarray(one, np.bool_) for one in gold))
        if not self.task.size == self.worker.size == len(self.mask):
            sizes = f"{self.task.size}, {self.worker.size}, {len(self.mask)}"
            raise InvalidAnswers(f"task, worker and mask must be equally long, got {sizes}")
        if len(self.gold) != self.n_tasks:
            raise InvalidAnswers(f"gold must have one entry a task ({self.n_tasks}), got {len(self.gold)}")
        shapes: dict[int, tuple[int, ...]] = {t: one.shape for t, one in enumerate(self.gold) if one is not None}
        for task, one in zip(self.task.tolist(), self.mask, strict=True):
            if one.ndim != 2 or shapes.setdefault(task, one.shape) != one.shape:
                raise InvalidAnswers(f"mask must have the shape of its task {shapes.get(task)}, got {one.shape}")
        if self.task.size and int(np.bincount(self.task).max()) > MAX_RATERS:
            raise InvalidAnswers(f"task must have at most {MAX_RATERS} answers each")


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """`masks`: bool[height, width] of each task, None without answers or gold; a pixel at exactly one half is
    background.

    `probability`: of each pixel's being foreground. `confidence`: the expected overlap (IoU) of the mask with the
    truth by these probabilities. `worker_skill`: (sensitivity + specificity) / 2 where anybody marked anything.
    """

    masks: tuple[Mask | None, ...]
    probability: tuple[NDArray[np.float32] | None, ...]
    confidence: Doubles
    worker_skill: Doubles
    sensitivity: Doubles
    specificity: Doubles
    answered: Ints
    method: str
    iterations: int = 1
    converged: bool = True


@dataclass(slots=True)
class _Columns:
    """The different columns of votes of one task: `votes` bool[k, r] of raters `workers`, `count` pixels each, `of`
    pixel → column.
    """

    workers: Ints
    votes: Mask
    count: Doubles
    of: NDArray[Any]
    shape: tuple[int, int]
    known: Doubles | None  # gold: foreground share of each column


class MaskConsensus:
    """`fit` learns sensitivities and specificities, `predict` votes by them."""

    def __init__(self, method: str = "staple", *, iterations: int = 100, prior: float = 2.0) -> None:
        if method not in MASK_METHODS:
            raise InvalidAnswers(f"method must be one of {', '.join(MASK_METHODS)}, got {method!r}")
        self.name, self.iterations, self.prior = method, iterations, prior

    sensitivity_: Doubles
    specificity_: Doubles
    share_: float = 0.1
    iterations_: int = 1
    converged_: bool = True

    def fit(self, answers: MaskAnswers) -> MaskConsensus:
        """EM over the columns of all tasks, from gold or else the pixel majority on."""
        there = [one for one in map(partial(_columns, answers), _by_task(answers)) if one is not None]
        self._share(there)
        # A lone mask is its own consensus: that says nothing of who drew it.
        there = [one for one in there if one.workers.size > 1 or one.known is not None]
        if self.name == "majority":
            self._start(answers, there)
            return self
        # Gold alone starts the iteration where there is any: the majority may be of those who overdraw.
        self._start(answers, [one for one in there if one.known is not None] or there)
        self.converged_ = False
        for step in range(1, self.iterations + 1):
            self.iterations_ = step
            before = np.concatenate([self.sensitivity_, self.specificity_])
            self._m_step(answers, [(one, self._e_step(one)) for one in there])
            after = np.concatenate([self.sensitivity_, self.specificity_])
            if float(np.abs(after - before).max(initial=0.0)) < 1e-6:
                self.converged_ = True
                break
        return self

    def _share(self, columns: list[_Columns]) -> None:
        """How much of all pictures is marked, on the mean."""
        shares = [float(one.votes.mean(axis=1) @ one.count / one.count.sum()) for one in columns]
        self.share_ = (sum(shares) + 0.1) / (len(shares) + 1)

    def _start(self, answers: MaskAnswers, columns: list[_Columns]) -> None:
        """Workers as they look beside the shares of votes."""
        self.sensitivity_ = np.full(answers.n_workers, 0.9)
        self.specificity_ = np.full(answers.n_workers, 0.9)
        self._m_step(answers, [(one, _known(one, one.votes.mean(axis=1))) for one in columns])

    def predict(self, answers: MaskAnswers) -> Masks:
        """The mask of each task."""
        masks: list[Mask | None] = []
        probabilities: list[NDArray[np.float32] | None] = []
        confidence = np.zeros(answers.n_tasks)
        for task, rows in enumerate(_by_task(answers)):
            known, column = answers.gold[task], _columns(answers, rows)
            if known is not None:
                pixels = known.astype(np.float64)
            elif column is None:
                masks.append(None)
                probabilities.append(None)
                continue
            else:
                chance = column.votes.mean(axis=1) if self.name == "majority" else self._e_step(column)
                pixels = chance[column.of].reshape(column.shape)
            chosen = pixels > 0.5 + 1e-9
            masks.append(chosen)
            probabilities.append(pixels.astype(np.float32))
            # E|M ∩ T| / E|M ∪ T|: the ratio of expectations, close to the expected ratio for many pixels; one pixel
            # more on both sides makes it defined for empty masks.
            union = float(chosen.sum() + pixels[~chosen].sum())
            confidence[task] = (float(pixels[chosen].sum()) + 1.0) / (union + 1.0)
        answered = np.bincount(answers.task, minlength=answers.n_tasks).astype(np.int32)
        return Masks(
            tuple(masks),
            tuple(probabilities),
            confidence,
            (self.sensitivity_ + self.specificity_) / 2,
            self.sensitivity_,
            self.specificity_,
            answered,
            self.name,
            self.iterations_,
            self.converged_,
        )

    def _odds(self, one: _Columns) -> tuple[Doubles, Doubles]:
        """Log probability of each column's votes with its pixel in the foreground, and in the background."""
        p, q = self.sensitivity_[one.workers], self.specificity_[one.workers]
        near = _near(one)
        # Ten witnesses of the crowd's own share: where nobody marked anything there is no other.
        size = float((one.count * near).sum())
        share = (float((one.votes.mean(axis=1) * one.count * near).sum()) + 10 * self.share_) / (size + 10)
        fore = np.log(share) + one.votes @ np.log(p) + ~one.votes @ np.log(1 - p)
        back = np.log(1 - share) + one.votes @ np.log(1 - q) + ~one.votes @ np.log(q)
        return np.asarray(fore, np.float64), np.asarray(back, np.float64)

    def _e_step(self, one: _Columns) -> Doubles:
        """Posterior of each column; the prior is the share of marks among the pixels that count."""
        fore, back = self._odds(one)
        return _known(one, 1 / (1 + np.exp(-np.clip(fore - back, -700, 700))))

    def _m_step(self, answers: MaskAnswers, columns: list[tuple[_Columns, Doubles]]) -> None:
        workers = answers.n_workers
        hit, fore, quiet, back = (np.zeros(workers) for _ in range(4))
        for one, chance in columns:
            size = _witnesses(one)
            inside, outside = chance * size, (1 - chance) * size
            np.add.at(hit, one.workers, inside @ one.votes)
            np.add.at(fore, one.workers, inside.sum())
            np.add.at(quiet, one.workers, outside @ ~one.votes)
            np.add.at(back, one.workers, outside.sum())
        for name, right, of in (("sensitivity_", hit, fore), ("specificity_", quiet, back)):
            common = (right.sum() + 9) / (of.sum() + 10)
            rate = (right + 10 * self.prior * common) / (of + 10 * self.prior)
            setattr(self, name, np.clip(rate, 1e-3, 1 - 1e-3))


def resolve_masks(method: str, answers: MaskAnswers) -> Masks:
    """The mask of each task by the method of this name. Raises InvalidAnswers for an unknown one."""
    return MaskConsensus(method).fit(answers).predict(answers)


def from_runs(runs: ArrayLike, *, height: int, width: int) -> Mask:
    """A mask from row-major run lengths, background first. Raises InvalidAnswers unless they add up to height ·
    width.
    """
    lengths = np.asarray(runs, np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or int(lengths.sum()) != height * width:
        raise InvalidAnswers(f"runs must be lengths that add up to {height * width}, got {int(lengths.sum())}")
    return np.repeat(np.arange(lengths.size) % 2 == 1, lengths).reshape(height, width)


def to_runs(mask: Mask) -> list[int]:
    """Row-major run lengths of a mask, background first (0 if it starts with foreground)."""
    flat = mask.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union of two masks; 1 if both are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def _by_task(answers: MaskAnswers) -> list[Ints]:
    """The rows of each task, by worker."""
    order = np.lexsort((answers.worker, answers.task)).astype(np.int32)
    return np.split(order, np.cumsum(np.bincount(answers.task, minlength=answers.n_tasks))[:-1])


def _columns(answers: MaskAnswers, rows: Ints) -> _Columns | None:
    if not rows.size:
        return None
    shape = answers.mask[int(rows[0])].shape
    code = np.zeros(shape[0] * shape[1], np.int64)
    for bit, row in enumerate(rows):
        code |= answers.mask[int(row)].ravel().astype(np.int64) << bit
    values, of, count = np.unique(code, return_inverse=True, return_counts=True)
    votes = (values[:, None] >> np.arange(rows.size) & 1).astype(np.bool_)
    of = of.astype(np.min_scalar_type(values.size))  # one for each pixel: the most memory of all
    gold = answers.gold[int(answers.task[rows[0]])]
    known = None if gold is None else np.bincount(of, weights=gold.ravel(), minlength=values.size) / count
    return _Columns(answers.worker[rows], votes, count.astype(np.float64), of, (shape[0], shape[1]), known)


def _near(one: _Columns) -> Doubles:
    """How much each column counts: all where somebody marked, and of the empty background as many pixels as were ever
    marked.
    """
    empty = ~one.votes.any(axis=1)
    marked = float(one.count[~empty].sum())
    background = float(one.count[empty].sum())
    return np.where(empty, min(1.0, marked / background if background else 1.0), 1.0)


def _witnesses(one: _Columns) -> Doubles:
    """Weights of a task's columns, 100 in all: a large picture's pixels are no more witnesses than a small one's."""
    size = one.count * _near(one)
    return np.asarray(size / max(float(size.sum()), 1.0) * 100.0, np.float64)


def _known(one: _Columns, chance: Doubles) -> Doubles:
    return chance if one.known is None else one.known
