"""Consensus of comparisons: Bradley-Terry scores with a reliability for each worker.

Worker w prefers item a to b with probability ``η_w σ(s_a - s_b) + (1 - η_w) / 2``: with η it looks, else it tosses a
coin. That is the model of Chen, Bennett, Collins-Thompson and Horvitz, *Pairwise Ranking Aggregation in a Crowdsourced
Setting*, WSDM 2013, with reliabilities from 0 to 1 (a worker who lies consistently counts for nothing instead of
against). Scores by the minorise-maximise steps of Hunter, *MM Algorithms for Generalized Bradley-Terry Models*, Annals
of Statistics 32 (2004), a virtual opponent keeping every score finite; reliabilities by EM.

Tasks are groups of items compared only with each other; workers are one over all tasks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .answers import Ints, InvalidAnswers, _codes

Doubles = NDArray[np.float64]

# Each item has half a win and half a loss against a virtual opponent of score 0: the least prior that keeps scores
# finite.
_PRIOR = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """One row a comparison: `worker`, `winner`, `loser` int32[n], items coded 0..n_items-1.

    `weight`: float64[n], how much a row counts (all 1 when left out). `gold`: int32[m, 2], pairs (better, worse) known
    beforehand. A tie is two rows of weight one half, one either way.
    """

    worker: Ints
    winner: Ints
    loser: Ints
    n_workers: int
    n_items: int
    weight: Doubles = field(default=None)  # type: ignore[arg-type]
    gold: NDArray[np.int32] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "worker", _codes("worker", self.worker, low=0, high=self.n_workers))
        put(self, "winner", _codes("winner", self.winner, low=0, high=self.n_items))
        put(self, "loser", _codes("loser", self.loser, low=0, high=self.n_items))
        if not self.worker.size == self.winner.size == self.loser.size:
            sizes = f"{self.worker.size}, {self.winner.size}, {self.loser.size}"
            raise InvalidAnswers(f"worker, winner and loser must be equally long, got {sizes}")
        if (self.winner == self.loser).any():
            raise InvalidAnswers("loser must differ from winner: nothing is compared with itself")
        weight = np.ones(self.worker.size) if self.weight is None else np.asarray(self.weight, np.float64)
        put(self, "weight", weight)
        if self.weight.shape != self.worker.shape or not (np.isfinite(weight) & (weight >= 0)).all():
            raise InvalidAnswers("weight must be finite, not negative, and have one entry a comparison")
        gold = np.zeros((0, 2), np.int32) if self.gold is None else np.asarray(self.gold, np.int32).reshape(-1, 2)
        put(self, "gold", gold)
        if gold.size and (int(gold.min()) < 0 or int(gold.max()) >= self.n_items):
            raise InvalidAnswers(f"gold must lie in 0..{self.n_items - 1}, got {gold.min()}..{gold.max()}")


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """`scores`: float64[n_items], log odds against an average opponent (0 for an item never compared); `error`: their
    standard errors from the observed information.

    `worker_skill`: float64[n_workers], the reliability η.
    """

    scores: Doubles
    error: Doubles
    worker_skill: Doubles
    iterations: int
    converged: bool

    def preference(self, a: int, b: int) -> float:
        """The probability that item a beats item b."""
        return float(_sigmoid(np.array([self.scores[a] - self.scores[b]]))[0])

    def ranking(self) -> Ints:
        """All items, best first; ties: lowest code first."""
        return np.argsort(-np.round(self.scores, 9), kind="stable").astype(np.int32)


class BradleyTerry:
    """`noise=False` believes every worker alike (the classical model); `noise=True` learns a reliability for each."""

    def __init__(self, *, noise: bool = True, iterations: int = 500, tolerance: float = 1e-7) -> None:
        self.noise, self.iterations, self.tolerance = noise, iterations, tolerance
        self.name = "bradley_terry_noise" if noise else "bradley_terry"

    scores_: Doubles
    skill_: Doubles
    iterations_: int = 0
    converged_: bool = True

    def fit(self, answers: Comparisons) -> BradleyTerry:
        """Scores by MM, reliabilities by EM, in turns."""
        strength = np.ones(answers.n_items)
        self.skill_ = np.full(answers.n_workers, 0.9 if self.noise else 1.0)
        self.converged_, looked = False, np.ones(answers.worker.size)
        for step in range(1, self.iterations + 1):
            self.iterations_ = step
            if self.noise:
                looked = self._looked(answers, strength)
                self._m_step(answers, looked)
            before, strength = strength, _mm_step(answers, strength, looked * answers.weight)
            if float(np.abs(np.log(strength / before)).max(initial=0.0)) < self.tolerance:
                self.converged_ = True
                break
        self.scores_ = np.log(strength)
        return self

    def predict(self, answers: Comparisons) -> Scores:
        """The learned scores and their errors."""
        looked = self._looked(answers, np.exp(self.scores_)) if self.noise else np.ones(answers.worker.size)
        rows = np.concatenate([looked * answers.weight, np.ones(len(answers.gold))])
        first = np.concatenate([answers.winner, answers.gold[:, 0]])
        second = np.concatenate([answers.loser, answers.gold[:, 1]])
        p = _sigmoid(self.scores_[first] - self.scores_[second])
        about = rows * p * (1 - p)
        information = np.bincount(first, about, answers.n_items) + np.bincount(second, about, answers.n_items)
        own = _sigmoid(self.scores_)
        error = 1 / np.sqrt(information + 2 * _PRIOR * own * (1 - own))
        return Scores(self.scores_, error, self.skill_, self.iterations_, self.converged_)

    def _looked(self, answers: Comparisons, strength: Doubles) -> Doubles:
        """E step: the probability that each row was looked at rather than tossed."""
        p = strength[answers.winner] / (strength[answers.winner] + strength[answers.loser])
        skill = self.skill_[answers.worker]
        return np.asarray(skill * p / (skill * p + (1 - skill) / 2), np.float64)

    def _m_step(self, answers: Comparisons, looked: Doubles) -> None:
        """Reliabilities, with a Beta(4, 1) prior: honest until shown otherwise."""
        heard = np.bincount(answers.worker, weights=answers.weight, minlength=answers.n_workers)
        honest = np.bincount(answers.worker, weights=looked * answers.weight, minlength=answers.n_workers)
        self.skill_ = np.clip((honest + 3.0) / (heard + 3.5), 1e-3, 1 - 1e-3)


def resolve_pairwise(answers: Comparisons, *, noise: bool = True) -> Scores:
    """Scores of all items from comparisons."""
    return BradleyTerry(noise=noise).fit(answers).predict(answers)


def _mm_step(answers: Comparisons, strength: Doubles, weight: Doubles) -> Doubles:
    """One step of Hunter (2004, eq. 3) on weighted comparisons, gold pairs and the virtual opponent of strength 1."""
    winner = np.concatenate([answers.winner, answers.gold[:, 0]])
    loser = np.concatenate([answers.loser, answers.gold[:, 1]])
    rows = np.concatenate([weight, np.ones(len(answers.gold))])
    wins = np.bincount(winner, weights=rows, minlength=answers.n_items) + _PRIOR
    share = rows / (strength[winner] + strength[loser])
    games = np.bincount(winner, share, answers.n_items) + np.bincount(loser, share, answers.n_items)
    return np.asarray(wins / (games + 2 * _PRIOR / (strength + 1.0)), np.float64)


def _sigmoid(x: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -700, 700))), np.float64)
