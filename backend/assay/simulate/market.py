"""One crowd through the market: verdicts, standings, pay and strikes, batch after batch, as the market does it.

Answers arrive task by task. Consensus and standings are learned from exactly the first 32, 40, 50, … tasks, as the
market's models and register are, and used where it uses them (`domain.standing.point_in_use`): tasks are judged and
paid by what was learned before them, so nobody's pay hangs on what is not yet known.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from assay.consensus import Answers, fitted, resolve
from assay.consensus.collusion import Collusion, detect
from assay.consensus.suspects import suspect
from assay.domain.incentives import Evidence, Standings, evidence, may_be_accepted, split_units, standings
from assay.domain.standing import METHOD, point_in_use
from assay.domain.strikes import is_outlier
from assay.domain.tally import UNITS

BATCH = 20
"""Tasks settled together: after each batch anybody may call for a slash."""


@dataclass(frozen=True, slots=True, eq=False)
class Earned:
    """Of each worker: `units`, fees earned as a voter, in records' fees; `accepted`, answers accepted as a labeler;
    `agreed`, answers that agree with the label, which is what a market without a pay rule pays for."""

    units: NDArray[np.float64]
    accepted: NDArray[np.int64]
    agreed: NDArray[np.int64]

    @classmethod
    def nothing(cls, workers: int) -> Earned:
        return cls(np.zeros(workers), np.zeros(workers, np.int64), np.zeros(workers, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """What a crowd's answers came to.

    `labels`: int[n_tasks] as settled; `final`: as all answers together give them. `answers`: int[n_workers], how many
    each gave. `slashes`: convictions of each. `paid`: as it went, from the first answer of a crowd that nobody knew.
    `known`: what the same answers would earn at the standings of the end, when the record is there.
    """

    labels: NDArray[np.int64]
    final: NDArray[np.int64]
    answers: NDArray[np.int64]
    slashes: NDArray[np.int64]
    paid: Earned
    known: Earned
    flagged: NDArray[np.bool_]
    standing: Standings
    collusion: Collusion


def settle(answers: Answers, *, method: str, error_rate: int, seed: int = 0) -> Ledger:
    """Run all answers through the market. Tasks are settled in the order of their codes."""
    workers = answers.n_workers
    order, bounds = _by_task(answers)
    labels = np.full(answers.n_tasks, -1, np.int64)
    paid, at_the_end = Earned.nothing(workers), Earned.nothing(workers)
    slashes, carried = np.zeros(workers, np.int64), np.zeros((2, workers), np.int64)
    standing = standings(answers.take(order[:0]), np.full(workers, 1.0 / answers.n_classes))
    for start, end, point in _stretches(answers.n_tasks):
        known = answers.take(order[: bounds[point]])
        now = answers.take(order[bounds[start] : bounds[end]])
        if point:
            judged = fitted(method, known, seed=seed).predict(now)
            standing = _standing(known, detect(known))
        else:
            judged = resolve(method, now, seed=seed)
        labels[start:end] = judged.labels[start:end]
        for task in range(start, end):
            _pay(answers, order[bounds[task] : bounds[task + 1]], int(labels[task]), standing, seed, paid)
        for first in range(start, end, BATCH):
            batch = answers.take(order[bounds[first] : bounds[min(first + BATCH, end)]])
            _strike(evidence(batch, labels), carried, slashes, error_rate)
    final = resolve(method, answers, seed=seed).labels.astype(np.int64)
    collusion = detect(answers)
    standing = _standing(answers, collusion)
    for task in range(answers.n_tasks):
        _pay(answers, order[bounds[task] : bounds[task + 1]], int(labels[task]), standing, seed, at_the_end)
    count = np.bincount(answers.worker, minlength=workers)
    return Ledger(labels, final, count, slashes, paid, at_the_end, collusion.flagged, standing, collusion)


def _by_task(answers: Answers) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows in order of tasks, and where each task's rows start and end in them."""
    order = np.argsort(answers.task, kind="stable")
    return order, np.searchsorted(answers.task[order], np.arange(answers.n_tasks + 1))


def _standing(known: Answers, collusion: Collusion) -> Standings:
    """As `standing.Register` learns it."""
    return standings(known, resolve(METHOD, known).worker_skill, suspect(known, collusion).group_of)


def _stretches(tasks: int) -> list[tuple[int, int, int]]:
    """First and last + 1 task of each stretch that is judged and paid by what is learned from the same first tasks, and
    how many these are.
    """
    starts = [0, *(task for task in range(1, tasks) if point_in_use(task) != point_in_use(task - 1))]
    return [(one, end, point_in_use(one)) for one, end in zip(starts, [*starts[1:], tasks], strict=True) if one < end]


def _pay(answers: Answers, rows: NDArray[np.intp], label: int, standing: Standings, seed: int, to: Earned) -> None:
    """Pay one task's voters by units and its labelers by acceptance."""
    if not rows.size:
        return
    voters = answers.worker[rows].tolist()
    agreed = (answers.label[rows] == label).tolist()
    for voter, share in zip(voters, split_units([int(standing.weight[v]) for v in voters], agreed), strict=True):
        to.units[voter] += share / UNITS
    for voter, ok in zip(voters, agreed, strict=True):
        to.agreed[voter] += ok
        to.accepted[voter] += ok and may_be_accepted(standing, voter, _lot(seed, int(answers.task[rows[0]]), voter))


def _lot(seed: int, task: int, worker: int) -> int:
    """An answer's lot, as the market takes it from the answer's id."""
    return int.from_bytes(sha256(f"lot {seed} {task} {worker}".encode()).digest()[:8], "little")


def _strike(found: Evidence, carried: NDArray[np.int64], slashes: NDArray[np.int64], error_rate: int) -> None:
    """Count strikes since the last slash, and slash whoever they convict, as `slash_outlier` would."""
    carried += np.stack([found.strikes, found.judgements])
    for worker in range(slashes.size):
        if is_outlier(int(carried[0, worker]), int(carried[1, worker]), error_rate=error_rate):
            slashes[worker] += 1
            carried[:, worker] = 0
