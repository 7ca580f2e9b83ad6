"""Consensus of comparisons: Bradley-Terry scores with a reliability for each worker.

Worker w prefers item a to b with probability ``η_w σ(s_a - s_b) + (1 - η_w) / 2``: with η it looks, else it tosses a
coin. That is the model of Chen, Bennett, Collins-Thompson and Horvitz, *Pairwise Ranking Aggregation in a Crowdsourced
Setting*, WSDM 2013, with reliabilities from 0 to 1 (a worker who lies consistently counts for nothing instead of
against). Scores by the minorise-maximise steps of Hunter, *MM Algorithms for Generalized Bradley-Terry Models*, Annals
of Statistics 32 (2004), a virtual opponent keeping every score finite; reliabilities by EM. Both steps are slow,
most of all in the level of all scores, which only the virtual opponent holds; so they are extrapolated (SQUAREM, scheme
S3: Varadhan and Roland, Scandinavian Journal of Statistics 35, 2008), where that does not lower the likelihood.

Tasks are groups of items compared only with each other; workers are one over all tasks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .answers import Ints, InvalidAnswers, _codes
from .numeric import normal_cdf

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

    `worker_skill`: float64[n_workers], the reliability η; of the classical model the share that goes with the scores.
    """

    scores: Doubles
    error: Doubles
    worker_skill: Doubles
    iterations: int
    converged: bool

    def preference(self, a: int, b: int) -> float:
        """The probability that item a beats item b in one more comparison by somebody who looks."""
        return float(_sigmoid(np.array([self.scores[a] - self.scores[b]]))[0])

    def better(self, a: int, b: int) -> float:
        """The probability that item a is better than item b: that its true score is higher."""
        return float(higher(self.scores[a] - self.scores[b], self.error[a], self.error[b]))

    def ranking(self) -> Ints:
        """All items, best first; ties: lowest code first."""
        return np.argsort(-np.round(self.scores, 9), kind="stable").astype(np.int32)


class BradleyTerry:
    """`noise=False` believes every worker alike (the classical model); `noise=True` learns a reliability for each."""

    def __init__(self, *, noise: bool = True, iterations: int = 500, tolerance: float = 1e-5) -> None:
        self.noise, self.iterations, self.tolerance = noise, iterations, tolerance
        self.name = "bradley_terry_noise" if noise else "bradley_terry"

    scores_: Doubles
    skill_: Doubles
    iterations_: int = 0
    converged_: bool = True

    def fit(self, answers: Comparisons) -> BradleyTerry:
        """Scores by MM and reliabilities by EM, in turns, until a step moves nothing by `tolerance` (in log odds)."""
        at = np.concatenate([np.zeros(answers.n_items), np.full(answers.n_workers, _log_odds(0.9))])
        self.iterations_, self.converged_, longest = 0, False, 4.0
        while not self.converged_ and self.iterations_ < self.iterations:
            self.iterations_ += 2
            first = self._step(answers, at)
            second = self._step(answers, first)
            step, turn = first - at, second - 2 * first + at
            moved = float(np.abs(second - first).max(initial=0.0))
            self.converged_ = moved < self.tolerance
            length = float(np.sqrt((step @ step) / max(float(turn @ turn), 1e-300)))
            if self.converged_ or length <= 1:
                at = second
                continue
            leap = min(length, longest)
            further = at + 2 * leap * step + leap**2 * turn
            at, longest = (
                (further, longest * 4 if leap == longest else longest)
                if self._likelihood(answers, further) >= self._likelihood(answers, second)
                else (second, max(longest / 2, 2.0))
            )
        self.scores_ = at[: answers.n_items]
        self.skill_ = _sigmoid(at[answers.n_items :])
        if not self.noise:
            self.skill_ = self._agreement(answers)
        return self

    def _step(self, answers: Comparisons, at: Doubles) -> Doubles:
        """One E and one M step from scores and log odds of the reliabilities."""
        scores, odds = at[: answers.n_items], at[answers.n_items :]
        if not self.noise:
            return np.concatenate([np.log(_mm_step(answers, np.exp(scores), answers.weight)), odds])
        looked = self._looked(answers, scores, _sigmoid(odds))
        # A Beta(4, 1.5) prior: honest until shown otherwise.
        heard = np.bincount(answers.worker, weights=answers.weight, minlength=answers.n_workers)
        honest = np.bincount(answers.worker, weights=looked * answers.weight, minlength=answers.n_workers)
        odds = np.log((honest + 3.0) / (heard - honest + 0.5))
        return np.concatenate([np.log(_mm_step(answers, np.exp(scores), looked * answers.weight)), odds])

    def _likelihood(self, answers: Comparisons, at: Doubles) -> float:
        """The logarithm of what `fit` climbs: comparisons, gold pairs, and the priors of scores and reliabilities."""
        scores, skill = at[: answers.n_items], _sigmoid(at[answers.n_items :])
        p = _sigmoid(scores[answers.winner] - scores[answers.loser])
        if self.noise:
            p = skill[answers.worker] * p + (1 - skill[answers.worker]) / 2
        total = float(answers.weight @ np.log(np.maximum(p, 1e-300)))
        total -= float(np.logaddexp(0, scores[answers.gold[:, 1]] - scores[answers.gold[:, 0]]).sum())
        total -= _PRIOR * float((np.logaddexp(0, scores) + np.logaddexp(0, -scores)).sum())
        if self.noise:
            total += float((3.0 * np.log(skill) + 0.5 * np.log(np.maximum(1 - skill, 1e-300))).sum())
        return total if np.isfinite(total) else -np.inf

    def predict(self, answers: Comparisons) -> Scores:
        """The learned scores and their errors."""
        looked = self._looked(answers, self.scores_, self.skill_) if self.noise else np.ones(answers.worker.size)
        rows = np.concatenate([looked * answers.weight, np.ones(len(answers.gold))])
        first = np.concatenate([answers.winner, answers.gold[:, 0]])
        second = np.concatenate([answers.loser, answers.gold[:, 1]])
        p = _sigmoid(self.scores_[first] - self.scores_[second])
        about = rows * p * (1 - p)
        information = np.bincount(first, about, answers.n_items) + np.bincount(second, about, answers.n_items)
        own = _sigmoid(self.scores_)
        error = 1 / np.sqrt(information + 2 * _PRIOR * own * (1 - own))
        return Scores(self.scores_, error, self.skill_, self.iterations_, self.converged_)

    @staticmethod
    def _looked(answers: Comparisons, scores: Doubles, skill: Doubles) -> Doubles:
        """E step: the probability that each row was looked at rather than tossed."""
        p = _sigmoid(scores[answers.winner] - scores[answers.loser])
        mine = skill[answers.worker]
        return np.asarray(mine * p / (mine * p + (1 - mine) / 2), np.float64)

    def _agreement(self, answers: Comparisons) -> Doubles:
        """What the classical model, which believes all alike, can say of each: the share of its comparisons that go
        with the scores, from 3 in 4 on."""
        heard = np.bincount(answers.worker, weights=answers.weight, minlength=answers.n_workers)
        gap = self.scores_[answers.winner] - self.scores_[answers.loser]
        with_scores = answers.weight * np.where(np.abs(gap) < 1e-9, 0.5, gap > 0)
        right = np.bincount(answers.worker, weights=with_scores, minlength=answers.n_workers)
        return np.asarray((right + 1.5) / (heard + 2), np.float64)


def higher(gap: ArrayLike, error: ArrayLike, other: ArrayLike) -> Doubles:
    """The probability that a difference of scores with these standard errors is really above 0, by the normal
    approximation."""
    spread = np.sqrt(np.square(np.asarray(error, np.float64)) + np.square(np.asarray(other, np.float64)))
    return normal_cdf(np.asarray(gap, np.float64) / spread)


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


def _log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


def _sigmoid(x: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -700, 700))), np.float64)
