"""Crowds that consensus must not fail on: families of made-up ones, and parts of real ones.

Each family is a way in which real crowds differ from a model's crowd. A draw fixes its sizes too, so ten draws are ten
data sets rather than one seen ten times. Pure: the same name and seed give the same crowd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.consensus import Answers

Labels = NDArray[Any]
Draw = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """`answers`, perhaps with gold; `truth`: int[n_tasks], -1 unknown, -2 a class that nobody named."""

    family: str
    name: str
    answers: Answers
    truth: Labels


def _assign(draw: Draw, tasks: int, workers: int, overlap: float, *, tail: float = 0.0) -> tuple[Labels, Labels]:
    """Each task to about `overlap` different workers; with a tail, worker j is as busy as (j + 1)^-tail."""
    busy = (np.arange(workers) + 1.0) ** -tail
    size = np.clip(draw.poisson(overlap - 1, tasks) + 1, 1, workers)
    # The first so many of a weighted order without replacement (exponential races, Efraimidis and Spirakis 2006).
    order = np.argsort(draw.exponential(size=(tasks, workers)) / busy, axis=1)
    return np.repeat(np.arange(tasks), size), np.concatenate(
        [row[:many] for row, many in zip(order, size, strict=True)]
    )


def _other(draw: Draw, truth: Labels, classes: int) -> Labels:
    return np.asarray((truth + draw.integers(1, classes, truth.size)) % classes)


def _one_coin(draw: Draw, truth: Labels, skill: NDArray[Any], classes: int) -> Labels:
    return np.where(draw.random(truth.size) < skill, truth, _other(draw, truth, classes))


def _make(draw: Draw, *, tasks: int, workers: int, overlap: float, classes: int, prior: Any = None, tail: float = 0.0,
          label: Callable[[Labels, Labels, Labels], Labels]) -> tuple[Answers, Labels]:  # fmt: skip
    truth = draw.choice(classes, tasks, p=prior)
    task, worker = _assign(draw, tasks, workers, overlap, tail=tail)
    return Answers(task, worker, label(task, worker, truth), tasks, workers, classes), truth


def few_answers(draw: Draw) -> tuple[Answers, Labels]:
    """Workers of two to five answers each: too few for a matrix, nearly too few for an accuracy."""
    tasks, classes, overlap = int(draw.integers(100, 500)), int(draw.integers(2, 6)), draw.uniform(3, 7)
    workers = int(tasks * overlap / draw.uniform(2, 5))
    skill = draw.beta(6, 2, workers)
    return _make(draw, tasks=tasks, workers=workers, overlap=overlap, classes=classes,
                 label=lambda t, w, truth: _one_coin(draw, truth[t], skill[w], classes))  # fmt: skip


def skewed(draw: Draw) -> tuple[Answers, Labels]:
    """One class holds 75 to 97 % of the tasks."""
    classes = int(draw.integers(2, 5))
    top = draw.uniform(0.75, 0.97)
    prior = np.append(draw.dirichlet(np.full(classes - 1, 2.0)) * (1 - top), top)
    skill = draw.beta(8, 2, 80)
    return _make(draw, tasks=600, workers=80, overlap=draw.uniform(3, 8), classes=classes, prior=prior,
                 label=lambda t, w, truth: _one_coin(draw, truth[t], skill[w], classes))  # fmt: skip


def many_classes(draw: Draw) -> tuple[Answers, Labels]:
    """Ten to forty classes, unevenly frequent."""
    classes = int(draw.integers(10, 41))
    prior = draw.dirichlet(np.full(classes, 1.0))
    skill = draw.beta(5, 3, 60)
    return _make(draw, tasks=500, workers=60, overlap=draw.uniform(3, 6), classes=classes, prior=prior,
                 label=lambda t, w, truth: _one_coin(draw, truth[t], skill[w], classes))  # fmt: skip


def matrices(draw: Draw) -> tuple[Answers, Labels]:
    """Each worker has a confusion matrix of its own: the crowd that Dawid and Skene had in mind."""
    classes = int(draw.integers(2, 5))
    rows = np.stack([draw.dirichlet(np.eye(classes)[k] * 3 + 0.7, 60) for k in range(classes)], axis=1)
    edges = rows.cumsum(axis=2)

    def label(t: Labels, w: Labels, truth: Labels) -> Labels:
        found = (edges[w, truth[t]] < draw.random(t.size)[:, None]).sum(axis=1)
        return np.asarray(np.minimum(found, classes - 1))

    return _make(draw, tasks=600, workers=60, overlap=draw.uniform(3, 8), classes=classes, label=label)


def shared_bias(draw: Draw) -> tuple[Answers, Labels]:
    """Two classes of which everybody misses one more often (a rare match, a faint finding)."""
    miss, false = draw.beta(3, 4, 90), draw.beta(1.5, 15, 90)
    rare = draw.uniform(0.1, 0.4)

    def label(t: Labels, w: Labels, truth: Labels) -> Labels:
        yes = draw.random(t.size) < np.where(truth[t] == 1, 1 - miss[w], false[w])
        return yes.astype(np.int64)

    return _make(draw, tasks=1000, workers=90, overlap=draw.uniform(3, 9), classes=2, prior=[1 - rare, rare],
                 label=label)  # fmt: skip


def hard_tasks(draw: Draw) -> tuple[Answers, Labels]:
    """Tasks differ: P(right) = σ(skill − difficulty) (Whitehill et al., NIPS 2009), below chance on some."""
    classes = int(draw.integers(2, 5))
    skill, hard = draw.normal(1.5, 0.8, 80), draw.normal(0, draw.uniform(1, 2), 700)

    def label(t: Labels, w: Labels, truth: Labels) -> Labels:
        return _one_coin(draw, truth[t], 1 / (1 + np.exp(hard[t] - skill[w])), classes)

    return _make(draw, tasks=700, workers=80, overlap=draw.uniform(3, 8), classes=classes, label=label)


def twins(draw: Draw) -> tuple[Answers, Labels]:
    """Every task has a wrong class that is likelier than the others, and on some tasks as likely as the right one."""
    classes = int(draw.integers(3, 7))
    lure = draw.beta(1, draw.uniform(2, 6), 700)
    skill = draw.beta(8, 2, 80)
    twin = draw.integers(1, classes, 700)

    def label(t: Labels, w: Labels, truth: Labels) -> Labels:
        lured = draw.random(t.size) < lure[t]
        return np.where(lured, (truth[t] + twin[t]) % classes, _one_coin(draw, truth[t], skill[w], classes))

    return _make(draw, tasks=700, workers=80, overlap=draw.uniform(3, 8), classes=classes, label=label)


def two_readings(draw: Draw) -> tuple[Answers, Labels]:
    """A part of the workers judges by another, correlated criterion: honest, and wrong together."""
    classes = int(draw.integers(2, 4))
    other = draw.random(80) < draw.uniform(0.1, 0.35)
    skill, near = draw.beta(9, 2, 80), draw.uniform(0.5, 0.8)
    moved = _other(draw, np.zeros(800, np.int64), classes) * (draw.random(800) > near)

    def label(t: Labels, w: Labels, truth: Labels) -> Labels:
        meant = np.where(other[w], (truth[t] + moved[t]) % classes, truth[t])
        return _one_coin(draw, meant, skill[w], classes)

    return _make(draw, tasks=800, workers=80, overlap=draw.uniform(3, 9), classes=classes, label=label)


def spammers(draw: Draw) -> tuple[Answers, Labels]:
    """20 to 45 % answer always the same or by lot."""
    classes = int(draw.integers(2, 5))
    bad, always = draw.random(80) < draw.uniform(0.2, 0.45), draw.random(80) < 0.5
    skill, own = draw.beta(8, 2, 80), draw.integers(0, classes, 80)

    def label(t: Labels, w: Labels, truth: Labels) -> Labels:
        spam = np.where(always[w], own[w], draw.integers(0, classes, t.size))
        return np.where(bad[w], spam, _one_coin(draw, truth[t], skill[w], classes))

    return _make(draw, tasks=700, workers=80, overlap=draw.uniform(3, 8), classes=classes, label=label)


def few_who_look(draw: Draw) -> tuple[Answers, Labels]:
    """Good workers, hardly more of them than of those who answer by lot, and few of either."""
    workers, classes = int(draw.integers(8, 41)), int(draw.integers(2, 4))
    bad = np.arange(workers) < round(workers * draw.uniform(0.3, 0.5))
    skill = np.where(bad, 1 / classes, draw.beta(19, 1, workers))
    return _make(draw, tasks=int(draw.integers(100, 300)), workers=workers, overlap=draw.uniform(3, 6), classes=classes,
                 label=lambda t, w, truth: _one_coin(draw, truth[t], skill[w], classes))  # fmt: skip


def ordinal(draw: Draw) -> tuple[Answers, Labels]:
    """Grades: errors fall on neighbours, workers are mild or strict."""
    classes, tasks = int(draw.integers(4, 7)), 700
    prior = draw.dirichlet(np.full(classes, 4.0))
    mild, noise = draw.normal(0, 0.4, 80), draw.uniform(0.4, 1.0, 80)

    def label(t: Labels, w: Labels, truth: Labels) -> Labels:
        seen = truth[t] + mild[w] + noise[w] * draw.normal(size=t.size)
        return np.clip(np.rint(seen), 0, classes - 1).astype(np.int64)

    return _make(draw, tasks=tasks, workers=80, overlap=draw.uniform(3, 8), classes=classes, prior=prior, label=label)


def small(draw: Draw) -> tuple[Answers, Labels]:
    """Twenty to eighty tasks, five to fifteen workers."""
    classes, workers = int(draw.integers(2, 5)), int(draw.integers(5, 16))
    skill = draw.beta(6, 2, workers)
    return _make(draw, tasks=int(draw.integers(20, 81)), workers=workers, overlap=draw.uniform(3, 5), classes=classes,
                 label=lambda t, w, truth: _one_coin(draw, truth[t], skill[w], classes))  # fmt: skip


def few_busy(draw: Draw) -> tuple[Answers, Labels]:
    """A few workers give most of the answers; who they are is luck."""
    classes = int(draw.integers(2, 5))
    skill = draw.beta(4, 2, 150)
    return _make(draw, tasks=800, workers=150, overlap=draw.uniform(3, 6), classes=classes, tail=1.2,
                 label=lambda t, w, truth: _one_coin(draw, truth[t], skill[w], classes))  # fmt: skip


FAMILIES = (few_answers, skewed, many_classes, matrices, shared_bias, hard_tasks, twins, two_readings, spammers,
            few_who_look, ordinal, small, few_busy)  # fmt: skip


def made_up(draws: int, *, only: str | None = None) -> Iterator[Case]:
    """Every family (or only that of one name) `draws` times; every other draw has 5 % gold."""
    for family in (one for one in FAMILIES if only in (None, one.__name__)):
        for number in range(draws):
            draw = np.random.default_rng([number, *family.__name__.encode()])
            answers, truth = family(draw)
            if number % 2:
                answers = with_gold(draw, answers, truth, 0.05)
            yield Case(family.__name__, f"{family.__name__} {number}", answers, truth)


def with_gold(draw: Draw, answers: Answers, truth: Labels, share: float) -> Answers:
    """Make so many of the known labels gold."""
    gold = np.where((draw.random(truth.size) < share) & (truth >= 0), truth, -1)
    return answers.with_gold(gold)


PARTS = ("whole", "tasks", "workers", "answers", "three a task", "gold 5 %", "gold 20 %")


def parts(name: str, answers: Answers, truth: Labels, draws: int, *, most: int = 20_000) -> Iterator[Case]:
    """A real crowd whole, and parts of it: of its tasks, workers and answers, three answers a task, and with gold.

    Of large sets as many tasks as hold about `most` answers, those with a truth first, so that no set takes all the
    time.
    """
    for kind in PARTS:
        for number in range(1 if kind == "whole" else draws):
            draw = np.random.default_rng([number, *kind.encode(), *name.encode()])
            keep = np.ones(len(answers), np.bool_)
            if kind != "whole" and len(answers) > most:
                late = draw.random(answers.n_tasks) + (truth == -1)
                keep = (np.argsort(np.argsort(late)) < answers.n_tasks * most / len(answers))[answers.task]
            if kind == "tasks":
                keep &= (draw.random(answers.n_tasks) < draw.uniform(0.2, 0.8))[answers.task]
            elif kind == "workers":
                keep &= (draw.random(answers.n_workers) < draw.uniform(0.3, 0.8))[answers.worker]
            elif kind == "answers":
                keep &= draw.random(len(answers)) < draw.uniform(0.3, 0.8)
            elif kind == "three a task":
                keep &= turn(answers, draw.permutation(len(answers))) < 3
            part, known = compact(answers.take(keep), truth)
            if kind.startswith("gold"):
                part = with_gold(draw, part, known, 0.05 if kind == "gold 5 %" else 0.2)
            if (known != -1).sum() >= 20:
                yield Case(f"{name} (real)", f"{name} {kind} {number}", part, known)


def turn(answers: Answers, order: NDArray[Any]) -> NDArray[np.int64]:
    """int64[n]: the how-manieth answer of its task each row is, taken in this order."""
    rows = order[np.argsort(answers.task[order], kind="stable")]
    size = np.bincount(answers.task, minlength=answers.n_tasks)
    found = np.empty(len(answers), np.int64)
    found[rows] = np.arange(len(answers)) - (np.cumsum(size) - size)[answers.task[rows]]
    return found


def compact(answers: Answers, truth: Labels) -> tuple[Answers, Labels]:
    """Without the tasks and workers that gave or got no answer, as if the file had never held them."""
    tasks, task = np.unique(answers.task, return_inverse=True)
    workers, worker = np.unique(answers.worker, return_inverse=True)
    left = Answers(
        task.astype(np.int32),
        worker.astype(np.int32),
        answers.label,
        tasks.size,
        workers.size,
        answers.n_classes,
        answers.gold[tasks],
    )
    return left, truth[tasks]
