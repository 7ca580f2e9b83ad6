"""Small groups of copies, by likelihood: too few pairs for a normal bound, yet none that honest workers would show.

For one pair of answers a, b to a task of class k, copies give one answer but for a share ε of noise, others two:

    LR = ε + (1 − ε) 1[a = b] Σ_k P(k) S[k, a] / Σ_k P(k) V_i[k, a] V_j[k, b],    S = (V_i + V_j) / 2

Under independence its expectation is 1 whatever the matrices (an e-value: Grünwald, de Heide and Koolen, *Safe
Testing*, JRSS B 2024), so by Markov's inequality the product over a group's answers exceeds C(J, m) / α for any of the
groups of m among J workers with a chance of α at most. Two who are wrong alike count far more than two who are right
alike, which no count of agreements sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NOISE = 0.05
"""Answers that copies are taken to give on their own."""

SEEDS = 12
"""Pairs, the strongest first, from which a group is grown."""

OWN = 0.2
"""How many workers who do not belong to a group are expected to seem to."""

LEVEL = 0.6
"""A member's likelihood ratio with the others is at least this share of the group's median: whom copies follow agrees
with them too, but less."""

MOST = 64
"""Members at which growing ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Per answer pair: its `pair` (index into `i`, `j`, the workers), `task` and log-likelihood ratio `llr`."""

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    pair: NDArray[np.intp]
    task: NDArray[np.int32]
    llr: NDArray[np.float64]
    n_tasks: int


def log_ratio(
    agree: NDArray[np.bool_], ratio: NDArray[np.float64], expected: NDArray[np.float64], common: float
) -> NDArray[np.float64]:
    """ln LR of each pair of answers.

    `ratio`: the fraction above, of pairs that agree. `expected`: the chance to agree. `common`: the excess that all
    pairs of this crowd share, which raises that chance to e + common · (1 − e) without anybody copying.
    """
    raised = expected / (expected + common * (1 - expected))
    return np.log(NOISE + (1 - NOISE) * np.where(agree, ratio * raised, 0.0))


def bound(workers: int, members: int, alpha: float) -> float:
    """What the log-likelihood ratio of a group must reach: ln C(J, m) + ln 1/α."""
    ways = math.lgamma(workers + 1) - math.lgamma(members + 1) - math.lgamma(workers - members + 1)
    return ways + math.log(1 / alpha)


def candidates(found: Evidence, alive: NDArray[np.bool_], alpha: float) -> Iterator[tuple[NDArray[np.bool_], float]]:
    """Groups that pass their bound, each with its log-likelihood ratio.

    One is the best prefix of the leading eigenvector of the pairs' ratios: many members of whom no two have shared much
    yet. The others grow from the strongest pairs: few members who have. More than half of the workers are the crowd.
    """
    edges = _edges(found, alive)
    for inside in (edges.leading(), *edges.grown()):
        edges.settle(inside)
        if 2 <= inside.sum() <= alive.size / 2 and (total := group_ratio(found, inside)) >= bound(
            alive.size, int(inside.sum()), alpha
        ):
            yield inside, total


def grown(found: Evidence, alive: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """Groups that grow from the strongest pairs, whether they pass or not."""
    return _edges(found, alive).grown()


def _edges(found: Evidence, alive: NDArray[np.bool_]) -> _Edges:
    score = _sums(found.pair, found.llr, found.i.size)
    use = alive[found.i] & alive[found.j]
    return _Edges(found.i[use], found.j[use], score[use], alive.size)


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Pairs of workers with their log-likelihood ratios."""

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    score: NDArray[np.float64]
    workers: int

    def leading(self) -> NDArray[np.bool_]:
        """The prefix of the leading eigenvector's order that pays best for the number of such groups."""
        inside = np.zeros(self.workers, np.bool_)
        i, j, score = self.i, self.j, self.score
        # Pairs that do not copy are all negative alike; that is no direction to look in.
        score = score - (score.mean() if score.size else 0.0)
        vector = _sums(i, np.maximum(score, 0), self.workers) + _sums(j, np.maximum(score, 0), self.workers)
        shift = 2 * math.sqrt(float((score**2).sum()) / max(self.workers, 1))
        for _ in range(40):
            vector /= max(float(np.linalg.norm(vector)), 1e-300)
            product = _sums(i, score * vector[j], self.workers) + _sums(j, score * vector[i], self.workers)
            vector = product + shift * vector
        rank = np.empty(self.workers, np.int64)
        order = np.argsort(-vector if vector.sum() >= 0 else vector, kind="stable")
        rank[order] = np.arange(self.workers)
        total = np.cumsum(_sums(np.maximum(rank[i], rank[j]), self.score, self.workers))
        price = np.cumsum(np.log((self.workers - np.arange(self.workers)) / (np.arange(self.workers) + 1.0)))
        inside[order[: int(np.argmax(total - price)) + 1]] = True
        return inside

    def grown(self) -> Iterator[NDArray[np.bool_]]:
        """From each of the strongest pairs, by whoever adds most, as long as that pays for the groups there are one
        larger."""
        for seed in np.argsort(-self.score, kind="stable")[:SEEDS]:
            if self.score[seed] <= 0:
                return
            inside = np.zeros(self.workers, np.bool_)
            inside[[self.i[seed], self.j[seed]]] = True
            for members in range(2, min(MOST, self.workers)):  # nobody is left to add to all
                gain = np.where(inside, 0.0, self.own(inside))
                best = int(np.argmax(gain))
                if gain[best] <= max(math.log((self.workers - members) / (members + 1)), 0.0):
                    break
                inside[best] = True
            yield inside

    def settle(self, inside: NDArray[np.bool_]) -> None:
        """Take out, one by one, whoever is not shown to belong: ln LR with the others below ln(J / `OWN`), or `LEVEL`;
        in place.
        """
        while inside.any():
            own = np.where(inside, self.own(inside), np.inf)
            worst = int(np.argmin(own))
            if own[worst] >= max(math.log(self.workers / OWN), LEVEL * float(np.median(own[inside]))):
                return
            inside[worst] = False

    def own(self, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
        """float64[n_workers]: the log-likelihood ratio of each worker with the members."""
        to_i, to_j = inside[self.j], inside[self.i]
        one, two = (
            _sums(self.i[to_i], self.score[to_i], self.workers),
            _sums(self.j[to_j], self.score[to_j], self.workers),
        )
        return one + two


def _sums(code: NDArray[np.integer[Any]], values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.bincount(code, weights=values, minlength=size).astype(np.float64)


def group_ratio(found: Evidence, inside: NDArray[np.bool_]) -> float:
    """The log-likelihood ratio of a group.

    r members on one task have r (r − 1) / 2 pairs of which r − 1 are free to agree or not, so each counts 2 / r.
    """
    rows = np.flatnonzero((inside[found.i] & inside[found.j])[found.pair])
    pairs = np.bincount(found.task[rows], minlength=found.n_tasks)[found.task[rows]]
    present = (1 + np.sqrt(1 + 8 * pairs)) / 2
    return float((found.llr[rows] * 2 / present).sum())
