"""Consensus of rankings: each task's items in the order that its workers' rankings support.

`borda`: mean place (de Borda 1781). `bradley_terry`: a ranking is read as all its pairs, and the scores of `pairwise`
with a reliability for each worker order them, so careless rankers count less; workers are one over all tasks. Pairs of
one ranking are no independent witnesses, so each counts ``2 / (m - 1)``: a ranking of m items weighs as much as m
comparisons.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .answers import Codes, Ints, InvalidAnswers, _codes
from .majority import common_accuracy, vote_posterior
from .pairwise import BradleyTerry, Comparisons, higher

Doubles = NDArray[np.float64]
RANKING_METHODS = ("borda", "bradley_terry")


@dataclass(frozen=True, slots=True, eq=False)
class RankingAnswers:
    """One row an answer: `task`, `worker` int32[n]; `order` int32[n, m], the m items of the task, best first.

    `gold`: int32[n_tasks, m] with the known order, or -1 throughout. Every task ranks items of its own; item 2 of one
    task is not that of another.
    """

    task: Ints
    worker: Ints
    order: Ints
    n_tasks: int
    n_workers: int
    gold: Ints = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "task", _codes("task", self.task, low=0, high=self.n_tasks))
        put(self, "worker", _codes("worker", self.worker, low=0, high=self.n_workers))
        put(self, "order", np.asarray(self.order, np.int32))
        if self.order.ndim != 2 or self.order.shape[0] != self.task.size or self.worker.size != self.task.size:
            raise InvalidAnswers(f"order must have a row an answer ({self.task.size}), got shape {self.order.shape}")
        items = self.order.shape[1]
        shape = (self.n_tasks, items)
        put(self, "gold", np.full(shape, -1, np.int32) if self.gold is None else np.asarray(self.gold, np.int32))
        if self.gold.shape != shape:
            raise InvalidAnswers(f"gold must have shape {shape}, got {self.gold.shape}")
        known = self.gold[(self.gold >= 0).any(axis=1)]
        for name, rows in (("order", self.order), ("gold", known)):
            if rows.size and not (np.sort(rows, axis=1) == np.arange(items)).all():
                raise InvalidAnswers(f"{name} must hold each of 0..{items - 1} once a row")


@dataclass(frozen=True, slots=True, eq=False)
class Rankings:
    """`order`: int32[n_tasks, m], best first (-1 without answers or gold). `confidence`: the mean probability that a
    pair is in the right order.

    `scores`: float64[n_tasks, m] by item. `worker_skill`: reliability (bradley_terry) or mean (Kendall's τ + 1) / 2
    with the consensus (borda).
    """

    order: Ints
    confidence: Doubles
    scores: Doubles
    worker_skill: Doubles
    answered: Ints
    method: str
    converged: bool = True


def encode_rankings(
    rows: Sequence[tuple[Hashable, Hashable, Sequence[Hashable]]],
    *,
    items: Sequence[Hashable],
    gold: Mapping[Hashable, Sequence[Hashable]] | None = None,
) -> tuple[RankingAnswers, Codes]:
    """Codes for rows of (task, worker, items best first). Raises InvalidAnswers for what is no order of `items`."""
    tasks = {value: code for code, value in enumerate(dict.fromkeys(row[0] for row in rows))}
    workers = {value: code for code, value in enumerate(dict.fromkeys(row[1] for row in rows))}
    place = {value: code for code, value in enumerate(items)}

    def codes(order: Sequence[Hashable]) -> list[int]:
        if len(order) != len(place) or set(order) != set(place):
            raise InvalidAnswers(f"order must hold each of {list(items)!r} once, got {list(order)!r}")
        return [place[item] for item in order]

    order = np.array([codes(row[2]) for row in rows], np.int32).reshape(len(rows), len(place))
    known = np.full((len(tasks), len(place)), -1, np.int32)
    for task, best_first in (gold or {}).items():
        if task in tasks:
            known[tasks[task]] = codes(best_first)
    task_codes = np.fromiter((tasks[row[0]] for row in rows), np.int32, len(rows))
    worker_codes = np.fromiter((workers[row[1]] for row in rows), np.int32, len(rows))
    answers = RankingAnswers(task_codes, worker_codes, order, len(tasks), len(workers), known)
    return answers, Codes(tuple(tasks), tuple(workers), tuple(place))


class Ranking:
    """Orders of all tasks by `method`."""

    def __init__(self, method: str = "bradley_terry") -> None:
        self.name = method.replace("-", "_")
        if self.name not in RANKING_METHODS:
            raise InvalidAnswers(f"method must be one of {', '.join(RANKING_METHODS)}, got {method!r}")

    scores_: Doubles
    error_: Doubles
    worker_skill_: Doubles
    converged_: bool = True

    def fit(self, answers: RankingAnswers) -> Ranking:
        """Learn the scores of all items and the workers."""
        items = answers.order.shape[1]
        if self.name == "borda" or items < 2:
            self.scores_ = _mean_place(answers)
            self.worker_skill_ = _mean_agreement(answers, _by_score(self.scores_))
            return self
        comparisons = _pairs(answers)
        fitted = BradleyTerry().fit(comparisons)
        self.scores_ = fitted.scores_.reshape(answers.n_tasks, items)
        self.error_ = fitted.predict(comparisons).error.reshape(answers.n_tasks, items)
        self.worker_skill_ = fitted.skill_
        self.converged_ = fitted.converged_
        return self

    def predict(self, answers: RankingAnswers) -> Rankings:
        """The order of each task by the learned scores; ties: the item coded lowest first."""
        order = _by_score(self.scores_)
        known = (answers.gold >= 0).all(axis=1) if answers.gold.shape[1] else np.zeros(answers.n_tasks, np.bool_)
        order[known] = answers.gold[known]
        answered = np.bincount(answers.task, minlength=answers.n_tasks).astype(np.int32)
        nothing = (answered == 0) & ~known
        order[nothing] = -1
        confidence = np.where(known, 1.0, self._confidence(answers, order))
        confidence[nothing] = 0.0
        return Rankings(order, confidence, self.scores_, self.worker_skill_, answered, self.name, self.converged_)

    def _confidence(self, answers: RankingAnswers, order: Ints) -> Doubles:
        """Mean over a task's pairs of the probability that they are in the right order: by the scores and their
        errors, or (borda) by how many put it so, all workers being right with the one probability that their agreement
        shows."""
        items = self.scores_.shape[1]
        if items < 2:
            return np.ones(answers.n_tasks)
        i, j = np.triu_indices(items, 1)
        if self.name == "bradley_terry":
            gap = np.abs(self.scores_[:, i] - self.scores_[:, j])
            return np.asarray(higher(gap, self.error_[:, i], self.error_[:, j]).mean(axis=1), np.float64)
        place, found = np.argsort(answers.order, axis=1), np.argsort(np.maximum(order, 0), axis=1)
        first = place[:, i] < place[:, j]
        votes = np.zeros((answers.n_tasks, i.size, 2), np.int64)
        np.add.at(votes[..., 0], answers.task, first)
        np.add.at(votes[..., 1], answers.task, ~first)
        flat = votes.reshape(-1, 2)
        ahead = vote_posterior(flat, common_accuracy(flat))[:, 0].reshape(answers.n_tasks, -1)
        return np.asarray(np.where(found[:, i] < found[:, j], ahead, 1 - ahead).mean(axis=1), np.float64)


def resolve_rankings(method: str, answers: RankingAnswers) -> Rankings:
    """The order of each task by the method of this name. Raises InvalidAnswers for an unknown one."""
    return Ranking(method).fit(answers).predict(answers)


def kendall_tau(a: NDArray[np.int32], b: NDArray[np.int32]) -> Doubles:
    """float64[n]: Kendall's τ between each row of two arrays of orders [n, m]: 1 equal, -1 reversed."""
    items = a.shape[1]
    if items < 2:
        return np.ones(a.shape[0])
    first, second = np.argsort(a, axis=1), np.argsort(b, axis=1)
    i, j = np.triu_indices(items, 1)
    same = np.sign(first[:, i] - first[:, j]) * np.sign(second[:, i] - second[:, j])
    return np.asarray(same.mean(axis=1), np.float64)


def _by_score(scores: Doubles) -> Ints:
    return np.argsort(-np.round(scores, 9), axis=1, kind="stable").astype(np.int32)


def _mean_place(answers: RankingAnswers) -> Doubles:
    """Minus the mean place of each item, gold in its own order."""
    items = answers.order.shape[1]
    places = np.argsort(answers.order, axis=1)
    total = (
        np.stack([np.bincount(answers.task, places[:, item], answers.n_tasks) for item in range(items)], axis=1)
        if items
        else np.zeros((answers.n_tasks, 0))
    )
    size = np.maximum(np.bincount(answers.task, minlength=answers.n_tasks), 1)
    score = -total / size[:, None]
    known = (answers.gold >= 0).all(axis=1) & (items > 0)
    score[known] = -np.argsort(answers.gold[known], axis=1)
    return np.asarray(score, np.float64)


def _mean_agreement(answers: RankingAnswers, order: Ints) -> Doubles:
    tau = kendall_tau(answers.order, order[answers.task])
    size = np.bincount(answers.worker, minlength=answers.n_workers)
    total = np.bincount(answers.worker, weights=(tau + 1) / 2, minlength=answers.n_workers)
    return np.asarray((total + 1.5) / (size + 2), np.float64)


def _pairs(answers: RankingAnswers) -> Comparisons:
    items = answers.order.shape[1]
    i, j = np.triu_indices(items, 1)
    base = answers.task.astype(np.int64)[:, None] * items
    known = np.flatnonzero((answers.gold >= 0).all(axis=1))
    gold_base = known[:, None] * items
    gold = np.stack(
        [(gold_base + answers.gold[known][:, i]).ravel(), (gold_base + answers.gold[known][:, j]).ravel()], axis=1
    )
    # Gold counts tenfold: it is known, but a finite weight keeps the scores of one task comparable with others.
    return Comparisons(
        np.repeat(answers.worker, i.size),
        (base + answers.order[:, i]).ravel(),
        (base + answers.order[:, j]).ravel(),
        answers.n_workers,
        answers.n_tasks * items,
        np.full(answers.task.size * i.size, 2 / max(items - 1, 1)),
        np.repeat(gold, 10, axis=0),
    )
