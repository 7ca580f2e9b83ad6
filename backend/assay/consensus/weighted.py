"""Weighted majority: votes by reputation, no voter counting much more than another."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .answers import Answers, Choice, InvalidAnswers, choice_from_posterior
from .majority import common_accuracy, count_votes, share_of_agreement, vote_posterior


class WeightedMajority:
    """Majority with a weight per worker, such as its reputation, and a cap on any one voter's influence.

    `weights`: float[n_workers] ≥ 0. Within a task a weight counts at most `cap` times the median weight of that
    task's voters, so no single reputation, however high, outvotes two ordinary voters. Without any weight above zero
    a task's votes count equally. Ties: lowest code.
    """

    name = "weighted"
    accuracy_: float
    worker_skill_: NDArray[np.float64]

    def __init__(self, weights: ArrayLike | None = None, *, cap: float = 1.9) -> None:
        if not cap >= 1:
            raise InvalidAnswers(f"cap must be at least 1, got {cap}")
        self.weights = None if weights is None else np.asarray(weights, np.float64)
        self.cap = cap
        if self.weights is not None and not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            raise InvalidAnswers("weights must be finite and not negative")

    def fit(self, answers: Answers) -> Self:
        """Learn the common accuracy (for confidences) and each worker's agreement with the weighted majority."""
        self.accuracy_ = common_accuracy(count_votes(answers))
        labels = np.argmax(self._votes(answers), axis=1).astype(np.int32)
        known = answers.gold >= 0
        labels[known] = answers.gold[known]
        self.worker_skill_ = share_of_agreement(answers, labels)
        return self

    def predict(self, answers: Answers) -> Choice:
        """The weighted majority of these answers."""
        posterior = vote_posterior(self._votes(answers), self.accuracy_)
        return choice_from_posterior(answers, posterior, self.worker_skill_, method=self.name)

    def _votes(self, answers: Answers) -> NDArray[Any]:
        """Capped weights by class, scaled so that a task's weights add up to its number of answers."""
        if self.weights is None or not len(answers):
            return count_votes(answers)
        if self.weights.shape != (answers.n_workers,):
            raise InvalidAnswers(
                f"weights must have one entry a worker ({answers.n_workers}), got {self.weights.shape}"
            )
        weight = self.weights[answers.worker]
        order = np.lexsort((weight, answers.task))
        size = np.bincount(answers.task, minlength=answers.n_tasks)
        start = np.cumsum(size) - size
        ranked = weight[order]
        lower = ranked[np.minimum(start + np.maximum(size - 1, 0) // 2, ranked.size - 1)]
        capped = np.minimum(weight, self.cap * lower[answers.task])
        total = np.bincount(answers.task, weights=capped, minlength=answers.n_tasks)
        none = total <= 0
        capped = np.where(none[answers.task], 1.0, capped)
        total = np.where(none, size, total)
        return count_votes(answers, capped * (size / np.maximum(total, 1e-300))[answers.task])
