"""One-coin: one accuracy per worker, errors spread evenly over the other classes."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .answers import Answers, Choice, choice_from_posterior
from .latent import Layout, believed, start_posterior, telling
from .numeric import beta_strength, normalise


def weighted_scores(answers: Answers, per_worker: NDArray[Any], per_answer: NDArray[Any] | None) -> NDArray[np.float32]:
    """float32[n_classes, n_tasks]: the sum of the weights of the answers for each class."""
    weight = np.asarray(per_worker, np.float32).take(answers.worker)
    if per_answer is not None:
        weight *= np.asarray(per_answer, np.float32)
    cell = answers.label * np.int64(answers.n_tasks)
    cell += answers.task
    sums = np.bincount(cell, weights=weight, minlength=answers.n_classes * answers.n_tasks)
    return sums.reshape(answers.n_classes, answers.n_tasks).astype(np.float32)


class OneCoin:
    """Worker j is right with probability p_j; a wrong answer is any other class alike; every class is as likely
    beforehand.

    The log-odds that a vote adds is ln(p_j (K − 1) / (1 − p_j)). p_j has a Beta prior whose mean is the crowd's
    accuracy and whose strength has the highest marginal likelihood. Fitted by expectation maximisation (Zhang, Chen,
    Zhou and Jordan, *Spectral Methods Meet EM*, JMLR 2016, section 2, with a prior).
    """

    name = "one_coin"
    worker_skill_: NDArray[np.float64]

    def __init__(
        self, *, tolerance: float = 1e-4, max_iterations: int = 100, weights: NDArray[Any] | None = None
    ) -> None:
        self.tolerance, self.max_iterations, self.weights = tolerance, max_iterations, weights

    def fit(self, answers: Answers) -> Self:
        """Learn each worker's accuracy."""
        states = start_posterior(answers, Layout(answers, self.weights))
        rows = telling(answers)
        worker = answers.worker if rows is None else answers.worker[rows]
        total = np.bincount(worker, minlength=answers.n_workers)
        cell = answers.label.astype(np.int64) * answers.n_tasks + answers.task
        cell = cell if rows is None else cell[rows]
        self.converged_, self.iterations_ = False, 0
        self._hold(answers, states)
        while not self.converged_ and self.iterations_ < self.max_iterations:
            right = np.bincount(worker, weights=states.reshape(-1).take(cell), minlength=answers.n_workers)
            mean = believed(right, total, answers.n_classes)
            held = beta_strength(right, total, mean)
            self.worker_skill_ = np.clip((right + held * mean) / (total + held), 0.01, 0.99)
            before, states = states, self._judge(answers, self.weights)
            self.iterations_ += 1
            moved = float(np.abs(before - states).sum(dtype=np.float64)) / (2 * max(answers.n_tasks, 1))
            self.converged_ = moved < self.tolerance
        return self

    def predict(self, answers: Answers) -> Choice:
        """Judge these answers with the learned accuracies."""
        weights = self.weights if self.weights is not None and len(self.weights) == len(answers) else None
        return choice_from_posterior(
            answers,
            self._judge(answers, weights).T,
            self.worker_skill_,
            method=self.name,
            iterations=self.iterations_,
            converged=self.converged_,
        )

    def _judge(self, answers: Answers, weights: NDArray[Any] | None) -> NDArray[np.float32]:
        odds = np.log(self.worker_skill_ * max(answers.n_classes - 1, 1) / (1 - self.worker_skill_))
        states = weighted_scores(answers, odds, weights)
        normalise(states)
        self._hold(answers, states)
        return states

    @staticmethod
    def _hold(answers: Answers, states: NDArray[np.float32]) -> None:
        known = np.flatnonzero(answers.gold >= 0)
        states[:, known] = 0
        states[answers.gold[known], known] = 1
