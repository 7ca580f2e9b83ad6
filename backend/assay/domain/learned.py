"""What a consensus method of single choice has learned of a request's labelers, told to each of them alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.consensus import encode, resolve
from assay.consensus.collusion import Collusion, detect

COPIES_ONCE = ("auto", "correlated")
"""Methods for which the answers of a group that answers as one count together."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Skills and suspicions by wallet; arrays by `place`. `collusion`: None where the method looks for no groups."""

    method: str
    place: Mapping[bytes, int]
    answers: NDArray[np.int64]
    skill: NDArray[np.float64]
    collusion: Collusion | None

    @classmethod
    def learn(
        cls, method: str, rows: Sequence[tuple[int, bytes, Any]], *, classes: Sequence[Any], gold: Mapping[int, Any]
    ) -> Learned:
        """From a request's answers (task index, labeler, value), sorted, and its known values by task index."""
        answers, codes = encode(rows, classes=classes, gold=gold)
        return cls(
            method,
            {wallet: place for place, wallet in enumerate(codes.workers) if isinstance(wallet, bytes)},
            np.bincount(answers.worker, minlength=answers.n_workers),
            np.asarray(resolve(method, answers, seed=0).worker_skill, np.float64),
            detect(answers) if method in COPIES_ONCE else None,
        )

    def group_size(self, wallet: bytes) -> int:
        """Members of the group that this labeler is suspected to belong to; 1: of none."""
        at = self.place.get(wallet)
        if at is None or self.collusion is None or self.collusion.as_one[at] < 0:
            return 1
        return len(self.collusion.groups[int(self.collusion.as_one[at])].workers)

    def explain(self, wallet: bytes) -> str:
        """What the method makes of this labeler's answers, in words."""
        at = self.place.get(wallet)
        if at is None:
            return "None of your answers is settled in this request yet."
        text = (
            f"From {int(self.answers[at])} answers of yours, and all others of this request, the method "
            f"{self.method} takes you to be right in {100 * float(self.skill[at]):.1f} % of cases, and your answers "
            "count by that."
        )
        if self.collusion is None:
            return text
        if self.collusion.as_one[at] >= 0:
            group = self.collusion.groups[int(self.collusion.as_one[at])]
            return text + (
                f" {group.explain()} You are one of them: their answers to one task count together as one. Suspicion "
                "is no strike: an answer that agrees with the label is accepted."
            )
        if self.collusion.hostile[at]:
            text += " You are wrong more often than chance (one-sided, p < 0.001 over all labelers of the request)."
        return text + " You are in no group whose answers count once for the labels."
