"""What a group of workers who answer as one is, and what its answers still count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .answers import Answers

FLAG_EXCESS = 0.8
"""From here on a group is held to act as one: correlated honest crowds were seen to reach 0.77, copies that answer 5 %
by lot have 0.9. Below it has to be shown (`alike`).
"""
COPY_EXCESS = 0.9
"""From here on members are plain copies."""


@dataclass(frozen=True, slots=True)
class Group:
    """Workers who answer as one.

    `workers`: their codes, sorted. `excess`: the share of chances to disagree that they did not take although
    independence would have, in 0..1 (1: copies of each other). `z`: the excess in standard errors. `bound`: what z had
    to exceed, for a chance of `alpha` over all groups of this size. `answers`: answer pairs that it rests on. `alike`:
    its members are shown to be noisy copies of one answer rather than honest workers who share a reading (`alike`).
    """

    workers: tuple[int, ...]
    excess: float
    z: float
    bound: float
    answers: int
    alike: bool = False

    @property
    def as_one(self) -> bool:
        """Whether the group is held to act as one."""
        return self.alike or self.excess >= FLAG_EXCESS

    def explain(self) -> str:
        """One sentence for the people concerned."""
        return (
            f"{len(self.workers)} workers gave {self.answers} pairs of answers to the same tasks and agreed "
            f"{self.z:.1f} standard errors more often than independent workers of their accuracy would "
            f"({self.excess:.0%} of the room there was); {self.bound:.1f} is the bound that chance does not pass."
        )


def members_of(groups: Sequence[Group], workers: int) -> NDArray[np.bool_]:
    """bool[workers]: who is in one of these groups."""
    inside = np.zeros(workers, np.bool_)
    for group in groups:
        inside[list(group.workers)] = True
    return inside


def evidence_weights(answers: Answers, groups: Sequence[Group], *, every: bool = False) -> NDArray[np.float32]:
    """float32[n]: what each answer counts as evidence, so that copies count once.

    An answer that m members of one group gave to its task counts 1 / (1 + excess · (m − 1)); groups that are not held
    to act as one are left alone, unless `every` group counts. Plain copies (excess ≥ COPY_EXCESS) may also repeat an
    honest answer that is counted already, so they are set aside (0) where two others answered.
    """
    weights = np.ones(len(answers), np.float32)
    for group in groups:
        if not (every or group.as_one):
            continue
        mine = members_of([group], answers.n_workers)[answers.worker]
        here = answers.task[mine]
        many = np.bincount(here, minlength=answers.n_tasks)[here]
        counted = 1 / (1 + group.excess * (many - 1))
        if group.excess >= COPY_EXCESS:
            others = np.bincount(answers.task[~mine], minlength=answers.n_tasks)[here]
            counted = np.where(others >= 2, 0.0, counted)
        weights[mine] = counted
    return weights
