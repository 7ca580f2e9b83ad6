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
"""The chance that any worker who does not belong to a group seems to."""

MOST = 12
"""Members at which growing ends: larger groups show in the leading eigenvector."""


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
    """Groups that pass their bound, each with its log-likelihood ratio: grown from the strongest pairs by whoever adds
    most, as long as that pays for the groups there are one larger.
    """
    workers = alive.size
    score = _sums(found.pair, found.llr, found.i.size)
    use = alive[found.i] & alive[found.j]
    i, j, score = found.i[use], found.j[use], score[use]
    for seed in np.argsort(-score, kind="stable")[:SEEDS]:
        if score[seed] <= 0:
            return
        inside = np.zeros(workers, np.bool_)
        inside[[i[seed], j[seed]]] = True
        for members in range(2, min(MOST, workers)):  # nobody is left to add to all
            to_i, to_j = inside[j] & ~inside[i], inside[i] & ~inside[j]
            gain = _sums(i[to_i], score[to_i], workers) + _sums(j[to_j], score[to_j], workers)
            best = int(np.argmax(gain))
            if gain[best] <= math.log((workers - members) / (members + 1)):
                break
            inside[best] = True
        _prune(inside, i, j, score)
        if inside.sum() < 2:
            continue
        total = group_ratio(found, inside)
        if total >= bound(workers, int(inside.sum()), alpha):
            yield inside, total


def _prune(inside: NDArray[np.bool_], i: NDArray[np.int64], j: NDArray[np.int64], score: NDArray[np.float64]) -> None:
    """Take out, one by one, whoever is not shown to belong: ln LR with the others below ln(J / `OWN`)."""
    while inside.any():
        among = inside[i] & inside[j]
        own = _sums(i[among], score[among], inside.size) + _sums(j[among], score[among], inside.size)
        own[~inside] = np.inf
        worst = int(np.argmin(own))
        if own[worst] >= math.log(inside.size / OWN):
            return
        inside[worst] = False


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
