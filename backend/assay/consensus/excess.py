"""Excess: what pairs of workers agree beyond what independence gives, and the blocks of workers who share it.

One pair of workers shares few tasks and proves nothing; a block of m workers has m (m − 1) / 2 pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import copies
from .answers import Answers
from .groups import FLAG_EXCESS, Group, members_of
from .numeric import normalise

BLOCK_CELLS = 8_000_000
"""Cells of matrices that are compared at a time, which bounds memory."""

LEVEL = 0.75
"""A member's excess is at least this share of the members' median: whom copies follow agrees with them too, but less.
"""

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Excess:
    """Per pair of workers i < j: common answers `n`, agreements beyond expectation `d`, its variance, and the room for
    agreement n − expected. Per pair of answers: its `pair` of workers, whether they `agree`, how likely that was
    (`expected`), and `ratio`, how much likelier of copies (`copies`).
    """

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    n: NDArray[np.float64]
    d: NDArray[np.float64]
    variance: NDArray[np.float64]
    room: NDArray[np.float64]
    pair: NDArray[np.intp]
    agree: NDArray[np.bool_]
    expected: NDArray[np.float64]
    ratio: NDArray[np.float64]


def answer_pairs(answers: Answers, *, most: int = 1_000_000) -> Pairs:
    """Row indices of every two answers to one task by two workers, the lower worker first.

    Beyond `most` pairs every s-th task only (in order of code), so that time and memory stay bounded.
    """
    size = np.bincount(answers.task, minlength=answers.n_tasks).astype(np.int64)
    total = int((size * (size - 1) // 2).sum())
    step = -(-total // most)
    order = np.argsort(answers.task, kind="stable")
    start = np.cumsum(size) - size
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for many in np.unique(size[size > 1]):
        tasks = np.flatnonzero(size == many)[:: max(step, 1)]
        a, b = np.triu_indices(int(many), 1)
        base = start[tasks][:, None]
        left.append(order[(base + a).ravel()])
        right.append(order[(base + b).ravel()])
    first, second = np.concatenate(left), np.concatenate(right)
    swap = answers.worker[first] > answers.worker[second]
    first, second = np.where(swap, second, first), np.where(swap, first, second)
    different = answers.worker[first] != answers.worker[second]
    return first[different], second[different]


def pair_excess(
    answers: Answers, pairs: Pairs, emission: NDArray[Any], prior: NDArray[Any], weights: NDArray[Any]
) -> Excess:
    """Agreement of each pair of workers beyond what independence gives.

    `emission`: [n_workers, n_classes, n_classes], P(label | class); `prior`: [n_classes]; `weights`: [n] of each
    answer. The class of a task is judged without the two answers in question, so that no pair vouches for itself.
    """
    classes = answers.n_classes
    logs = np.log(emission)[answers.worker, :, answers.label].astype(np.float32) * weights[:, None].astype(np.float32)
    scores = np.empty((classes, answers.n_tasks), np.float32)
    for k in range(classes):
        scores[k] = np.bincount(answers.task, weights=logs[:, k], minlength=answers.n_tasks) + np.log(prior[k])
    known = np.flatnonzero(answers.gold >= 0)
    key = answers.worker[pairs[0]].astype(np.int64) * answers.n_workers + answers.worker[pairs[1]]
    unique, inverse = np.unique(key, return_inverse=True)
    i, j = unique // max(answers.n_workers, 1), unique % max(answers.n_workers, 1)
    total = np.bincount(inverse, minlength=unique.size).astype(np.float64)
    agree = answers.label[pairs[0]] == answers.label[pairs[1]]
    expected, ratio = np.empty((2, pairs[0].size))
    order = np.argsort(inverse, kind="stable")
    end = np.concatenate([[0], np.cumsum(total)]).astype(np.int64)
    block, lines = (max(1, min(500_000, BLOCK_CELLS // cells)) for cells in (classes**2, classes))
    for low in range(0, unique.size, block):
        high = min(low + block, unique.size)
        alike = (emission[i[low:high]] * emission[j[low:high]]).sum(axis=2)
        for begin in range(int(end[low]), int(end[high]), lines):
            rows = order[begin : min(begin + lines, int(end[high]))]
            a, b = pairs[0][rows], pairs[1][rows]
            task, label = answers.task[a], answers.label[a]
            rest = scores[:, task] - logs[a].T - logs[b].T
            normalise(rest)
            if known.size:
                gold = answers.gold[task]
                rest[:, gold >= 0] = 0
                rest[gold[gold >= 0], np.flatnonzero(gold >= 0)] = 1
            expected[rows] = (rest.T * alike[inverse[rows] - low]).sum(axis=1)
            first, second = emission[answers.worker[a], :, label], emission[answers.worker[b], :, label]
            ratio[rows] = (rest.T * (first + second)).sum(axis=1) / (2 * (rest.T * first * second).sum(axis=1))
    mean = np.bincount(inverse, weights=expected, minlength=unique.size).astype(np.float64)
    seen = np.bincount(inverse, weights=agree, minlength=unique.size).astype(np.float64)
    variance = np.bincount(inverse, weights=expected * (1 - expected), minlength=unique.size).astype(np.float64)
    return Excess(
        i,
        j,
        total,
        seen - mean,
        variance + 1e-9,
        total - mean + 1e-9,
        inverse,
        agree,
        expected,
        ratio,
    )


def less_baseline(excess: Excess, held: NDArray[np.bool_]) -> tuple[Excess, float]:
    """Subtract the excess that pairs outside of known groups have in common: tasks that are hard for everybody make
    all agree.
    """
    free = ~held
    common = float(excess.d[free].sum() / max(excess.room[free].sum(), 1e-9)) if free.any() else 0.0
    common = min(max(common, 0.0), 0.3)
    return replace(excess, d=excess.d - common * excess.room, room=excess.room * (1 - common)), common


def _members(excess: Excess, inside: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each worker's excess with the group `inside`: in standard errors and as a share of the room."""
    size = inside.size
    towards_i, towards_j = inside[excess.j], inside[excess.i]

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        one = np.bincount(excess.i[towards_i], weights=values[towards_i], minlength=size).astype(np.float64)
        return one + np.bincount(excess.j[towards_j], weights=values[towards_j], minlength=size)

    d, variance, room = total(excess.d), total(excess.variance), total(excess.room)
    return d / np.sqrt(variance + 1e-9), d / np.maximum(room + 2.0, 1e-9)


def leading(excess: Excess, alive: NDArray[np.bool_], workers: int) -> NDArray[np.float64]:
    """The leading eigenvector of the matrix of z-scores among `alive` workers, by shifted power iteration."""
    use = alive[excess.i] & alive[excess.j]
    i, j = excess.i[use], excess.j[use]
    z = excess.d[use] / np.sqrt(excess.variance[use] + 0.25)
    degree = np.bincount(i, minlength=workers) + np.bincount(j, minlength=workers)
    shift = 2 * math.sqrt(max(float(degree.max(initial=0)), 1.0))
    strength = np.bincount(i, weights=np.maximum(z, 0), minlength=workers) + np.bincount(
        j, weights=np.maximum(z, 0), minlength=workers
    )
    vector = strength + 1e-6 * alive
    for _ in range(60):
        vector /= max(float(np.linalg.norm(vector)), 1e-300)
        product = np.bincount(i, weights=z * vector[j], minlength=workers) + np.bincount(
            j, weights=z * vector[i], minlength=workers
        )
        vector = product + shift * vector
    return vector if vector.sum() >= 0 else -vector


def best_prefix(excess: Excess, alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The prefix of the leading eigenvector's order whose excess stands out most."""
    workers = alive.size
    order = np.argsort(-leading(excess, alive, workers), kind="stable")
    rank = np.empty(workers, np.int64)
    rank[order] = np.arange(workers)
    use = alive[excess.i] & alive[excess.j]
    later = np.maximum(rank[excess.i[use]], rank[excess.j[use]])
    d = np.cumsum(np.bincount(later, weights=excess.d[use], minlength=workers))
    variance = np.cumsum(np.bincount(later, weights=excess.variance[use], minlength=workers))
    inside = np.zeros(workers, np.bool_)
    inside[order[: int(np.argmax(d / np.sqrt(variance + 1.0))) + 1]] = True
    return inside


def find_groups(
    excess: Excess,
    workers: int,
    *,
    evidence: copies.Evidence | None = None,
    alpha: float = 1e-3,
    least_excess: float = 0.2,
    most: int = 20,
) -> list[Group]:
    """Blocks of workers with excess agreement among themselves.

    A candidate is the best prefix of the leading eigenvector's order, refined until every member agrees with the rest
    beyond its own bound. It stands when z ≥ √(2 ln(J C(J, m) / α)): the union bound over all groups of any m among J
    workers, so that a crowd without groups shows one with probability α at most. Found groups are taken out and the
    search goes on; where it ends, `evidence` shows groups of copies that are too small for it.
    """
    alive = np.ones(workers, np.bool_)
    groups: list[Group] = []
    own = _own_bound(workers)
    while len(groups) < most and excess.i.size:
        inside = best_prefix(excess, alive)
        use = alive[excess.i] & alive[excess.j]
        # A pair that stands by itself is a candidate of its own: one strong pair moves no eigenvector of a large crowd.
        pair_z = np.where(use, excess.d / np.sqrt(excess.variance + 1.0), -np.inf)
        top = int(np.argmax(pair_z))
        candidates = [inside]
        if pair_z[top] > 0:
            two = np.zeros(workers, np.bool_)
            two[[excess.i[top], excess.j[top]]] = True
            candidates.append(two)
        found = [
            group
            for group in (_refine(excess, c & alive, alive, own, alpha, least_excess) for c in candidates)
            if group
        ]
        # Two groups that agree with each other a little look like one: its leading part may stand out more.
        for group in found:
            part = _refine(excess, _leading_part(excess, group, workers), alive, own, alpha, least_excess)
            if part and set(part.workers) < set(group.workers):
                found.append(part)
        if not found and evidence is not None:
            found = [
                group
                for inside, ratio in copies.candidates(evidence, alive, alpha)
                if (group := _small_group(excess, inside, ratio, alpha)).excess >= FLAG_EXCESS
            ]
        if not found:
            break
        best = max(found, key=lambda group: group.z - group.bound)
        groups.append(best)
        alive[list(best.workers)] = False
    return groups


def _leading_part(excess: Excess, group: Group, workers: int) -> NDArray[np.bool_]:
    """The members who have most excess among themselves over what all of the group have."""
    return best_prefix(replace(excess, d=excess.d - group.excess * excess.room), members_of([group], workers))


def _refine(
    excess: Excess, inside: NDArray[np.bool_], alive: NDArray[np.bool_], own: float, alpha: float, least_excess: float
) -> Group | None:
    """Move workers in and out until the group is stable, then test it."""
    for _ in range(20):
        z, share = _members(excess, inside)
        level = max(float(np.median(share[inside])) if inside.any() else 0.0, 0.0)
        change = alive & (z > own) & (share > max(LEVEL * level, least_excess))
        if (change == inside).all():
            break
        inside = change
        if inside.sum() < 2:
            return None
    bound = math.sqrt(2 * copies.bound(inside.size, int(inside.sum()), alpha / inside.size))
    group = group_of_members(excess, inside, bound)
    return None if group.z < bound or group.excess < least_excess else group


def group_of_members(excess: Excess, inside: NDArray[np.bool_], bound: float) -> Group:
    among = inside[excess.i] & inside[excess.j]
    d, variance = float(excess.d[among].sum()), float(excess.variance[among].sum())
    share = d / (float(excess.room[among].sum()) + 2.0)
    workers = tuple(int(code) for code in np.flatnonzero(inside))
    return Group(workers, min(share, 1.0), d / math.sqrt(variance + 1.0), bound, int(excess.n[among].sum()))


def _own_bound(workers: int) -> float:
    """Standard errors by which a worker must agree with a group: of all workers 0.02 do by chance."""
    return math.sqrt(2 * math.log(max(workers, 2) / 0.02))


def reached(excess: Excess, group: Group, taken: NDArray[np.bool_]) -> tuple[Group, float]:
    """The group with everybody who agrees with it beyond chance, however weakly, and is in no group (`taken`); and the
    least excess that shows so, as a share of the members'.
    """
    inside = members_of([group], taken.size)
    z, share = _members(excess, inside)
    own = _own_bound(taken.size)
    wide = inside | ((z > own) & ~taken)
    least = own * float(np.median(share[inside] / np.maximum(z[inside], 1e-9))) / max(group.excess, 1e-9)
    return group_of_members(excess, wide, group.bound), min(least, LEVEL)


def _small_group(excess: Excess, inside: NDArray[np.bool_], ratio: float, alpha: float) -> Group:
    """A group by its likelihood ratio; √(2 ln LR) are the standard errors of a normal variable as unlikely."""
    least = copies.bound(inside.size, int(inside.sum()), alpha)
    return replace(group_of_members(excess, inside, math.sqrt(2 * least)), z=math.sqrt(2 * ratio))
