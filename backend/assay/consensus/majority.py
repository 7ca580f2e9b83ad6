"""Majority vote, plain or weighted by reputation."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .answers import Answers, Choice, choice_from_posterior
from .numeric import first_at_least, largest


def count_votes(answers: Answers, weights: NDArray[Any] | None = None) -> NDArray[Any]:
    """float64[n_tasks, n_classes] (int64 without weights): the answers, or the sum of their float[n] weights, for
    each class."""
    shape = (answers.n_tasks, answers.n_classes)
    cell = answers.task * np.int64(answers.n_classes) + answers.label
    return np.bincount(cell, weights=weights, minlength=shape[0] * shape[1]).reshape(shape)


def common_accuracy(votes: NDArray[Any]) -> float:
    """The accuracy p that all workers would need for their observed agreement.

    Two independent workers of accuracy p on k classes agree with probability q = p² + (1 − p)² / (k − 1); solved for
    p ≥ 1/k.
    `votes`: whole counts [n_tasks, n_classes]. One pseudo-pair that agrees by chance and one that agrees keep it
    inside (1/k, 1).
    """
    k = votes.shape[1]
    if k < 2:
        return 1.0
    size = sum((votes[:, c] for c in range(1, k)), start=votes[:, 0]).astype(np.float64)
    flat = votes.reshape(-1).astype(np.float64)
    total = float(size.sum())
    q = (float(flat @ flat) - total + 1 + 1 / k) / (float(size @ size) - total + 2)
    spread = max(0.0, k * q - 1) / (k - 1)  # ((k p − 1) / (k − 1))², the same equation solved
    floor = 0.95 / k + 0.05  # votes must never count for nothing, however little they agree
    return float(min(max((1 + (k - 1) * math.sqrt(spread)) / k, floor), 1 - 1e-6))


def share_of_agreement(answers: Answers, labels: NDArray[Any]) -> NDArray[np.float64]:
    """float64[n_workers]: the smoothed share of a worker's answers that equal `labels` (−1: not judged)."""
    truth = labels.take(answers.task)
    # One whole count by (worker, outcome): several times faster than weighted counts.
    outcome = answers.worker * np.int64(3)
    outcome += answers.label == truth
    if labels.min(initial=0) < 0:
        outcome[truth < 0] += 2
    counts = np.bincount(outcome, minlength=3 * answers.n_workers).reshape(-1, 3)
    right = counts[:, 1]
    total = counts[:, 0] + right
    overall = (right.sum() + 1) / (total.sum() + 2)
    return np.asarray((right + 2 * overall) / (total + 2), np.float64)


def vote_posterior(votes: NDArray[Any], accuracy: float) -> NDArray[np.float32]:
    """Posterior of each class when every vote is right with probability `accuracy`, errors spread evenly, no class
    likelier beforehand."""
    k = votes.shape[1]
    odds = np.log(accuracy * max(k - 1, 1) / max(1 - accuracy, 1e-9))
    score = votes.astype(np.float32)
    score *= np.float32(odds)
    score -= largest(score)[:, None]
    np.exp(score, out=score)
    score /= (score @ np.ones(k, np.float32))[:, None]
    return score


class Majority:
    """The class with most answers; ties go to the lowest code.

    The confidence is that of the one-parameter model in which every worker is right with the same probability,
    estimated from how often answers to one task agree (`common_accuracy`), so 2 : 1 among random clickers says
    little and 3 : 0 among good workers a lot.
    """

    name = "majority"
    accuracy_: float
    worker_skill_: NDArray[np.float64]

    def fit(self, answers: Answers) -> Self:
        """Learn the common accuracy and each worker's agreement with the majority."""
        votes = count_votes(answers)
        self.accuracy_ = common_accuracy(votes)
        self._counted = (answers, votes)
        labels = first_at_least(votes, largest(votes))
        known = answers.gold >= 0
        labels[known] = answers.gold[known]
        self.worker_skill_ = share_of_agreement(answers, labels)
        return self

    def predict(self, answers: Answers) -> Choice:
        """The majority of these answers, by the learned accuracy."""
        votes = self._counted[1] if answers is self._counted[0] else count_votes(answers)
        posterior = vote_posterior(votes, self.accuracy_)
        return choice_from_posterior(answers, posterior, self.worker_skill_, method=self.name)
