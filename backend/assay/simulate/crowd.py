"""Crowds of honest workers and attackers, as answers with a known truth. Pure: the same arguments give the same crowd.

Random assignment: every task goes to `overlap` workers drawn at random, as the market does. Attackers see which tasks
they get, never which of them are gold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.consensus.answers import Answers, Ints, InvalidAnswers

HONEST = "honest"
STRATEGIES = ("lazy", "random", "shared_coin", "sybil", "shared_wrong", "camouflage", "copycat")
"""What an attacker may do; see `_attack`."""

COLLUDING = frozenset({"shared_coin", "sybil", "shared_wrong", "camouflage", "copycat"})
"""The strategies in which workers act as one; lazy and random ones act alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """`answers` (with its gold), `truth`: int32[n_tasks], `skill`: float64[n_workers] of honest accuracy (NaN for
    attackers), `strategy`: the strategy of each worker, `target`: bool[n_tasks], the tasks that camouflaged attackers
    spoil.
    """

    answers: Answers
    truth: Ints
    skill: NDArray[np.float64]
    strategy: tuple[str, ...]
    target: NDArray[np.bool_]

    @property
    def attacker(self) -> NDArray[np.bool_]:
        """bool[n_workers]: who is not honest."""
        return np.array([name != HONEST for name in self.strategy], np.bool_)

    @property
    def colluder(self) -> NDArray[np.bool_]:
        """bool[n_workers]: who acts as one with others."""
        return np.array([name in COLLUDING for name in self.strategy], np.bool_)


def make_crowd(
    mix: Mapping[str, float],
    *,
    seed: int,
    n_tasks: int = 2000,
    n_workers: int = 100,
    n_classes: int = 2,
    overlap: int = 7,
    skill: tuple[float, float] = (8.0, 2.0),
    gold: float = 0.05,
    targets: float = 0.2,
) -> Crowd:
    """A crowd in which each strategy of `mix` has its share of the workers and the rest are honest.

    `skill`: the Beta distribution of an honest worker's accuracy; its errors fall on the other classes alike. `gold`:
    share of tasks whose answer is known. `targets`: share of tasks that camouflage spoils. Raises InvalidAnswers where
    a number makes no sense.
    """
    unknown = set(mix) - set(STRATEGIES) - {HONEST}
    if unknown:
        raise InvalidAnswers(f"mix names unknown strategies {sorted(unknown)}; known are {', '.join(STRATEGIES)}")
    shares = {name: share for name, share in mix.items() if name != HONEST}
    if any(not 0 <= share <= 1 for share in shares.values()) or sum(shares.values()) > 1 + 1e-9:
        raise InvalidAnswers("mix must hold shares from 0 to 1 that add up to at most 1")
    rest = 1 - sum(shares.values())
    if abs(mix.get(HONEST, rest) - rest) > 1e-6:
        raise InvalidAnswers(f"mix must leave {HONEST} the rest, {rest:g}, got {mix[HONEST]:g}")
    if not 1 <= overlap <= n_workers:
        raise InvalidAnswers(f"overlap must be from 1 to n_workers ({n_workers}), got {overlap}")
    if n_classes < 2:
        raise InvalidAnswers(f"n_classes must be at least 2, got {n_classes}")
    if not (0 <= gold <= 1 and 0 <= targets <= 1):
        raise InvalidAnswers("gold and targets must be shares from 0 to 1")
    draw = np.random.default_rng([seed, n_tasks, n_workers, n_classes, overlap])
    truth = draw.integers(n_classes, size=n_tasks).astype(np.int32)
    strategy = np.full(n_workers, HONEST, dtype=object)
    order = draw.permutation(n_workers)
    taken = 0
    for name in sorted(shares):
        count = min(round(shares[name] * n_workers), n_workers - taken)
        strategy[order[taken : taken + count]] = name
        taken += count
    accuracy = draw.beta(*skill, size=n_workers)
    task = np.repeat(np.arange(n_tasks, dtype=np.int32), overlap)
    worker = np.argsort(draw.random((n_tasks, n_workers)), axis=1)[:, :overlap].astype(np.int32).ravel()
    right = draw.random(task.size) < accuracy[worker]
    label = np.where(right, truth[task], _other(truth[task], n_classes, draw)).astype(np.int32)
    target = draw.random(n_tasks) < targets
    for name in sorted(shares):
        rows = np.flatnonzero((strategy == name)[worker])
        label[rows] = _attack(
            name,
            rows,
            task=task,
            worker=worker,
            label=label,
            truth=truth,
            target=target,
            n_classes=n_classes,
            draw=draw,
        )
    known = np.full(n_tasks, -1, np.int32)
    chosen = draw.permutation(n_tasks)[: round(gold * n_tasks)]
    known[chosen] = truth[chosen]
    answers = Answers(task, worker, label, n_tasks, n_workers, n_classes, known)
    honest = np.where(strategy == HONEST, accuracy, np.nan)
    return Crowd(answers, truth, honest, tuple(str(name) for name in strategy), target)


def _other(labels: NDArray[np.int32], n_classes: int, draw: np.random.Generator) -> NDArray[np.int32]:
    """A class other than each of `labels`, at random."""
    return ((labels + draw.integers(1, n_classes, size=labels.size)) % n_classes).astype(np.int32)


def _attack(
    name: str,
    rows: NDArray[np.intp],
    *,
    task: NDArray[np.int32],
    worker: NDArray[np.int32],
    label: NDArray[np.int32],
    truth: Ints,
    target: NDArray[np.bool_],
    n_classes: int,
    draw: np.random.Generator,
) -> NDArray[np.int32]:
    """The labels that attackers of one strategy give in `rows`.

    lazy: always class 1 ("accept"). random: any class. shared_coin: one random class per task for all of them. sybil:
    one bot's answer, right as often as a weak worker (60 % of the way from chance to certainty halved: see below),
    repeated by every wallet with 2 % noise. shared_wrong: one wrong class per task. camouflage: right, but on the
    target tasks all the same wrong class. copycat: the answer of the first honest worker of the task (their own
    honest-looking guess where there is none).
    """
    here = task[rows]
    n_tasks = truth.size
    wrong = _other(truth, n_classes, draw)
    if name == "lazy":
        return np.full(rows.size, 1, np.int32)
    if name == "random":
        return draw.integers(n_classes, size=rows.size).astype(np.int32)
    if name == "shared_coin":
        return draw.integers(n_classes, size=n_tasks).astype(np.int32)[here]
    if name == "sybil":
        bot = np.where(draw.random(n_tasks) < BOT_ACCURACY, truth, wrong)
        noisy = draw.random(rows.size) < 0.02
        return np.where(noisy, draw.integers(n_classes, size=rows.size), bot[here]).astype(np.int32)
    if name == "shared_wrong":
        return wrong[here]
    if name == "camouflage":
        return np.where(target, wrong, truth)[here]
    if name == "copycat":
        copied = np.full(n_tasks, -1, np.int32)
        mine = np.zeros(task.size, np.bool_)
        mine[rows] = True
        others = np.flatnonzero(~mine)[::-1]
        copied[task[others]] = label[others]  # later writes win, so the first other worker of a task remains
        alone = draw.integers(n_classes, size=n_tasks)
        return np.where(copied < 0, alone, copied)[here].astype(np.int32)
    raise InvalidAnswers(f"strategy must be one of {', '.join(STRATEGIES)}, got {name!r}")


BOT_ACCURACY = 0.6
"""How often the bot behind Sybil wallets is right: enough to look alive, too little to help."""
