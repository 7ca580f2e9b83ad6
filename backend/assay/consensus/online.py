"""Consensus that follows every vote: task and worker are updated at once, and a periodic refit keeps it true."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Self

import numpy as np

from .answers import Answers, InvalidAnswers
from .dawid_skene import DawidSkene

Event = tuple[str, int, int, int]
"""("vote", task, worker, label), ("gold", task, -1, label) or ("refit", -1, -1, -1)."""


class Online:
    """Dawid-Skene, one vote at a time.

    A vote changes the posterior of its task, by the matrices of that task's voters as they stand, and then the expected
    counts of those voters by what the posterior moved (incremental EM: Neal and Hinton, *A View of the EM Algorithm
    that Justifies Incremental, Sparse, and other Variants*, 1998). That is O(voters of the task · classes): some tens
    of microseconds. `refit` runs the whole fit over all votes and takes its posteriors; it is due whenever the votes
    have grown by `growth` since the last one, so refits cost a constant share of the work.

    The state is a function of the sequence of events alone (`events`), so a replay gives the same numbers to the bit.
    """

    def __init__(self, n_classes: int, *, strength: float = 4.0, accuracy: float = 0.7, growth: float = 1.25) -> None:
        if n_classes < 1:
            raise InvalidAnswers(f"n_classes must be at least 1, got {n_classes}")
        if growth <= 1:
            raise InvalidAnswers(f"growth must be above 1, got {growth}")
        self.n_classes, self.strength, self.accuracy, self.growth = n_classes, strength, accuracy, growth
        self.events: list[Event] = []
        self.votes = 0
        self._refitted_at = 0
        self._voters: dict[int, list[tuple[int, int]]] = {}
        self._posterior: dict[int, list[float]] = {}
        self._gold: dict[int, int] = {}
        self._counts: dict[int, list[list[float]]] = {}
        self._log_prior = [-math.log(n_classes)] * n_classes

    @classmethod
    def replay(
        cls,
        events: Iterable[Event],
        *,
        n_classes: int,
        strength: float = 4.0,
        accuracy: float = 0.7,
        growth: float = 1.25,
    ) -> Self:
        """The state after these events, of an engine that was made with the same arguments."""
        state = cls(n_classes, strength=strength, accuracy=accuracy, growth=growth)
        for what, task, worker, label in events:
            if what == "vote":
                state.add(task, worker, label)
            elif what == "gold":
                state.set_gold(task, label)
            elif what == "refit":
                state.refit()
            else:
                raise InvalidAnswers(f"event must be vote, gold or refit, got {what!r}")
        return state

    def add(self, task: int, worker: int, label: int) -> list[float]:
        """Take a vote; returns the task's new posterior. Raises InvalidAnswers for a label out of range or a second
        vote of one worker on a task."""
        self._check(task, label)
        if worker < 0:
            raise InvalidAnswers(f"worker must not be negative, got {worker}")
        voters = self._voters.setdefault(task, [])
        if any(worker == other for other, _ in voters):
            raise InvalidAnswers(f"worker {worker} has voted on task {task}: one vote each")
        self.events.append(("vote", task, worker, label))
        self.votes += 1
        before = self._posterior.get(task)
        counts = self._counts.setdefault(worker, [[0.0] * self.n_classes for _ in range(self.n_classes)])
        after = self._judge(task, [*voters, (worker, label)])
        if before is not None:
            self._move(voters, before, after)
        for k, share in enumerate(after):
            counts[k][label] += share
        voters.append((worker, label))
        self._posterior[task] = after
        return list(after)

    def set_gold(self, task: int, label: int) -> None:
        """The answer of a task became known."""
        self._check(task, label)
        self.events.append(("gold", task, -1, label))
        self._gold[task] = label
        voters = self._voters.setdefault(task, [])
        before = self._posterior.get(task)
        after = self._judge(task, voters)
        if before is not None:
            self._move(voters, before, after)
        self._posterior[task] = after

    def posterior(self, task: int) -> list[float]:
        """P(class) of a task; the prior for one without votes."""
        return list(self._posterior.get(task) or [math.exp(value) for value in self._log_prior])

    def label(self, task: int) -> int:
        """The most probable class (ties: the lowest), −1 for a task without votes or gold."""
        posterior = self._posterior.get(task)
        return -1 if posterior is None else max(range(self.n_classes), key=lambda k: (posterior[k], -k))

    def skill(self, worker: int) -> float:
        """The expected share of right answers, shrunk towards `accuracy`."""
        counts = self._counts.get(worker)
        if counts is None:
            return self.accuracy
        right = sum(counts[k][k] for k in range(self.n_classes))
        total = sum(map(sum, counts))
        return (right + 4 * self.accuracy) / (total + 4)

    def spread(self, worker: int) -> float:
        """How unsure `skill` is: the standard deviation of the Beta distribution whose mean it is."""
        total = sum(map(sum, self._counts.get(worker, []))) + 4
        skill = self.skill(worker)
        return math.sqrt(skill * (1 - skill) / (total + 1))

    @property
    def refit_due(self) -> bool:
        """Whether the votes have grown enough since the last refit."""
        return self.votes >= 32 and self.votes >= self.growth * self._refitted_at

    def answers(self) -> Answers:
        """All votes so far."""
        rows = [(task, worker, label) for task, voters in sorted(self._voters.items()) for worker, label in voters]
        table = np.array(rows, np.int32).reshape(-1, 3)
        tasks = max(max(self._voters, default=-1), max(self._gold, default=-1)) + 1
        gold = np.full(tasks, -1, np.int32)
        for task, label in self._gold.items():
            gold[task] = label
        workers = max(self._counts, default=-1) + 1
        return Answers(table[:, 0], table[:, 1], table[:, 2], tasks, workers, self.n_classes, gold)

    def refit(self) -> None:
        """Fit everything anew and go on from there."""
        self.events.append(("refit", -1, -1, -1))
        self._refitted_at = self.votes
        if not self.votes:
            return
        model = DawidSkene(strength=self.strength).fit(self.answers())
        posterior = model.posterior_.astype(np.float64)
        self._log_prior = [float(value) for value in model.log_prior_]
        for counts in self._counts.values():
            for row in counts:
                row[:] = [0.0] * self.n_classes
        for task, voters in sorted(self._voters.items()):
            if not voters and task not in self._gold:
                continue
            fitted = [float(value) for value in posterior[:, task]]
            self._posterior[task] = fitted
            for worker, label in voters:
                counts = self._counts[worker]
                for k, share in enumerate(fitted):
                    counts[k][label] += share

    def _check(self, task: int, label: int) -> None:
        if task < 0:
            raise InvalidAnswers(f"task must not be negative, got {task}")
        if not 0 <= label < self.n_classes:
            raise InvalidAnswers(f"label must lie in 0..{self.n_classes - 1}, got {label}")

    def _judge(self, task: int, voters: list[tuple[int, int]]) -> list[float]:
        known = self._gold.get(task)
        if known is not None:
            return [1.0 if k == known else 0.0 for k in range(self.n_classes)]
        scores = list(self._log_prior)
        others = max(self.n_classes - 1, 1)
        for worker, label in voters:
            counts = self._counts[worker]
            skill = min(self.skill(worker), 0.99)
            for k in range(self.n_classes):
                base = skill if k == label else (1 - skill) / others
                row = counts[k]
                scores[k] += math.log((row[label] + self.strength * base) / (sum(row) + self.strength))
        top = max(scores)
        weights = [math.exp(score - top) for score in scores]
        total = sum(weights)
        return [weight / total for weight in weights]

    def _move(self, voters: list[tuple[int, int]], before: list[float], after: list[float]) -> None:
        """What the posterior moved, the voters' counts move. Never below zero by rounding."""
        for worker, label in voters:
            counts = self._counts[worker]
            for k in range(self.n_classes):
                counts[k][label] = max(counts[k][label] + after[k] - before[k], 0.0)
