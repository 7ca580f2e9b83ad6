"""Dawid-Skene for workers who do not err independently."""

from __future__ import annotations

from typing import Self

from .answers import Answers, Choice
from .collusion import Collusion, detect
from .groups import evidence_weights
from .latent import LatentClass


class Correlated:
    """Copies count once, and tasks of one kind may mislead everybody alike.

    Two causes of correlation are told apart. Workers who agree beyond the truth form groups (`collusion.detect`),
    whose answers to one task count together as one. And each class has subtypes of tasks (`LatentClass`), within which
    workers err together because the tasks are hard.
    """

    name = "correlated"

    def __init__(self, *, subtypes: int = 3) -> None:
        self.subtypes = subtypes

    def fit(self, answers: Answers) -> Self:
        """Find groups, then fit with their answers discounted."""
        self.collusion_: Collusion = detect(answers)
        weights = evidence_weights(answers, self.collusion_.groups)
        self.model_ = LatentClass(subtypes=self.subtypes, weights=weights, name=self.name).fit(answers)
        return self

    def predict(self, answers: Answers) -> Choice:
        """Judge these answers with what was learned."""
        self.model_.weights = evidence_weights(answers, self.collusion_.groups)
        result = self.model_.predict(answers)
        return Choice(
            result.labels,
            result.posterior,
            result.confidence,
            result.worker_skill,
            result.answered,
            self.collusion_.flagged,
            self.name,
            result.iterations,
            result.converged,
            {"groups": [group.workers for group in self.collusion_.groups]},
        )
