"""Wawa: a vote weighted by agreement with the vote."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from .answers import Answers, Choice, choice_from_posterior
from .majority import count_votes
from .numeric import first_at_least, largest
from .one_coin import weighted_scores


class Wawa:
    """Worker agreement with aggregate: a majority vote, then a vote weighted by each worker's share of agreement with
    it.

    One pass, no model: Appen's *Wawa*. The confidence is the weighted share of the vote for the label.
    """

    name = "wawa"
    worker_skill_: NDArray[np.float64]

    def fit(self, answers: Answers) -> Self:
        """Learn each worker's agreement with the majority (with the gold, where there is some)."""
        votes = count_votes(answers)
        labels = first_at_least(votes, largest(votes))
        known = answers.gold >= 0
        labels[known] = answers.gold[known]
        outcome = answers.worker * np.int64(2)
        outcome += answers.label == labels.take(answers.task)
        counts = np.bincount(outcome, minlength=2 * answers.n_workers).reshape(-1, 2)
        given = counts.sum(axis=1)
        crowd = counts[:, 1].sum() / max(int(given.sum()), 1)  # whoever has answered nothing yet counts as the crowd
        self.worker_skill_ = np.where(given > 0, counts[:, 1] / np.maximum(given, 1), crowd)
        return self

    def predict(self, answers: Answers) -> Choice:
        """The vote weighted by the learned agreement."""
        shares = weighted_scores(answers, self.worker_skill_, None)
        total = shares.sum(axis=0)
        none = total <= 0
        shares[:, none] = 1
        shares /= np.where(none, answers.n_classes, total)
        return choice_from_posterior(answers, shares.T, self.worker_skill_, method=self.name)
