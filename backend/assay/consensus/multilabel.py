"""Consensus of several labels a task: each label is a yes/no question, workers are one over all of them.

Rows say which labels a worker named on a task. What it did not name it denied. Methods: `majority` (more than half
name it), `one_coin` (a worker's chance to be right is one number for all labels, and no label is likelier to apply than
not: with shares of its own, errors that all go one way would end with none that applies) and `dawid_skene` (a worker
has a sensitivity, how often it names what is there, and a specificity, how often it keeps quiet about what is not;
Dawid and Skene 1979 with two classes). Sharing a worker's skill over the labels is what makes rare labels work: of each
alone there are too few answers. How often a label occurs is learned for each label.
Rates of workers and of labels are shrunk to
the common one, by the strength that makes the counts likeliest.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .answers import Codes, Ints, InvalidAnswers, _codes
from .majority import common_accuracy, vote_posterior
from .numeric import beta_strength

Doubles = NDArray[np.float64]
MULTILABEL_METHODS = ("majority", "one_coin", "dawid_skene")


@dataclass(frozen=True, slots=True, eq=False)
class MultiAnswers:
    """One row an answer: `task`, `worker` int32[n], `named` bool[n, n_labels].

    `gold`: int8[n_tasks, n_labels], 1 known to apply, 0 known not to, -1 unknown. An answer that names nothing is an
    answer: "none of them".
    """

    task: Ints
    worker: Ints
    named: NDArray[np.bool_]
    n_tasks: int
    n_workers: int
    gold: NDArray[np.int8] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "task", _codes("task", self.task, low=0, high=self.n_tasks))
        put(self, "worker", _codes("worker", self.worker, low=0, high=self.n_workers))
        put(self, "named", np.asarray(self.named, dtype=np.bool_))
        if self.named.ndim != 2 or self.named.shape[0] != self.task.size or self.worker.size != self.task.size:
            raise InvalidAnswers(f"named must have a row an answer ({self.task.size}), got shape {self.named.shape}")
        shape = (self.n_tasks, self.named.shape[1])
        put(self, "gold", np.full(shape, -1, np.int8) if self.gold is None else np.asarray(self.gold, np.int8))
        if self.gold.shape != shape or not np.isin(self.gold, (-1, 0, 1)).all():
            raise InvalidAnswers(f"gold must be -1, 0 or 1 in shape {shape}, got shape {self.gold.shape}")

    @property
    def n_labels(self) -> int:
        return int(self.named.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class MultiLabels:
    """What applies to each task.

    `applies`: bool[n_tasks, n_labels], `probability` of it, `confidence`: float64[n_tasks], the probability that all
    labels of the task are right at once (0 without answers or gold). `worker_skill`: the mean of sensitivity and
    specificity. A probability of exactly one half does not apply.
    """

    applies: NDArray[np.bool_]
    probability: Doubles
    confidence: Doubles
    worker_skill: Doubles
    sensitivity: Doubles
    specificity: Doubles
    answered: Ints
    method: str
    iterations: int = 1
    converged: bool = True


def encode_multilabel(
    rows: Sequence[tuple[Hashable, Hashable, Iterable[Hashable]]],
    *,
    classes: Sequence[Hashable],
    gold: Mapping[Hashable, Iterable[Hashable]] | None = None,
) -> tuple[MultiAnswers, Codes]:
    """Codes for rows of (task, worker, named labels). Raises InvalidAnswers for a label outside of `classes`."""
    tasks = {value: code for code, value in enumerate(dict.fromkeys(row[0] for row in rows))}
    workers = {value: code for code, value in enumerate(dict.fromkeys(row[1] for row in rows))}
    place = {value: code for code, value in enumerate(classes)}

    def code(label: Hashable) -> int:
        if label not in place:
            raise InvalidAnswers(f"label {label!r} is not one of the classes {list(classes)!r}")
        return place[label]

    named = np.zeros((len(rows), len(place)), np.bool_)
    for i, (_, _, labels) in enumerate(rows):
        named[i, [code(label) for label in labels]] = True
    known = np.full((len(tasks), len(place)), -1, np.int8)
    for task, labels in (gold or {}).items():
        if task in tasks:
            known[tasks[task]] = 0
            known[tasks[task], [code(label) for label in labels]] = 1
    task_codes = np.fromiter((tasks[row[0]] for row in rows), np.int32, len(rows))
    worker_codes = np.fromiter((workers[row[1]] for row in rows), np.int32, len(rows))
    answers = MultiAnswers(task_codes, worker_codes, named, len(tasks), len(workers), known)
    return answers, Codes(tuple(tasks), tuple(workers), tuple(place))


class MultiLabel:
    """EM over labels (E) and workers (M), or the plain majority.

    It starts from what each worker's fellows say, never from its own vote: who has no fellows is not right therefore.
    The majority's confidence takes all workers to be right with one probability, that their agreement shows.
    """

    def __init__(self, method: str = "dawid_skene", *, iterations: int = 50) -> None:
        self.name = method.replace("-", "_")
        if self.name not in MULTILABEL_METHODS:
            raise InvalidAnswers(f"method must be one of {', '.join(MULTILABEL_METHODS)}, got {method!r}")
        self.iterations = iterations

    sensitivity_: Doubles
    specificity_: Doubles
    prevalence_: Doubles
    accuracy_: float
    iterations_: int = 1
    converged_: bool = True

    def fit(self, answers: MultiAnswers) -> MultiLabel:
        """Learn the workers and how often each label occurs."""
        probability = _fix_gold(answers, _share(answers))
        self.accuracy_ = common_accuracy(_votes(answers))
        self._m_step(answers, probability, *_by_fellows(answers))
        if self.name == "majority" or not answers.task.size:
            return self
        self.converged_ = False
        for step in range(1, self.iterations + 1):
            self.iterations_ = step
            before, probability = probability, self._e_step(answers)
            self._m_step(answers, probability)
            if float(np.abs(probability - before).max(initial=0.0)) < 1e-4:
                self.converged_ = True
                break
        return self

    def predict(self, answers: MultiAnswers) -> MultiLabels:
        """What applies, by the learned workers."""
        probability = _fix_gold(answers, _share(answers)) if self.name == "majority" else self._e_step(answers)
        answered = np.bincount(answers.task, minlength=answers.n_tasks).astype(np.int32)
        known = (answers.gold >= 0).all(axis=1) if answers.n_labels else np.zeros(answers.n_tasks, np.bool_)
        applies = probability > 0.5 + 1e-9
        sure = probability
        if self.name == "majority":
            voted = vote_posterior(_votes(answers), self.accuracy_)[:, 1].reshape(probability.shape)
            sure = _fix_gold(answers, voted.astype(np.float64))
        confidence = np.maximum(sure, 1 - sure).prod(axis=1)
        nothing = (answered == 0) & ~known
        applies[nothing & ~(answers.gold == 1).any(axis=1)] = False
        confidence[nothing] = 0.0
        skill = (self.sensitivity_ + self.specificity_) / 2
        return MultiLabels(
            applies,
            probability,
            confidence,
            skill,
            self.sensitivity_,
            self.specificity_,
            answered,
            self.name,
            self.iterations_,
            self.converged_,
        )

    def _e_step(self, answers: MultiAnswers) -> Doubles:
        """Log odds of each label: its prevalence and what each worker's yes or no says."""
        yes = np.log(self.sensitivity_ / (1 - self.specificity_))
        no = np.log((1 - self.sensitivity_) / self.specificity_)
        score = np.tile(np.log(self.prevalence_ / (1 - self.prevalence_)), (answers.n_tasks, 1))
        denied = np.bincount(answers.task, weights=no[answers.worker], minlength=answers.n_tasks)
        step = (yes - no)[answers.worker]
        for label in range(answers.n_labels):
            rows = answers.named[:, label]
            score[:, label] += denied + np.bincount(answers.task[rows], weights=step[rows], minlength=answers.n_tasks)
        return _fix_gold(answers, 1 / (1 + np.exp(-np.clip(score, -700, 700))))

    def _m_step(
        self,
        answers: MultiAnswers,
        probability: Doubles,
        there: Doubles | None = None,
        judged: NDArray[np.bool_] | None = None,
    ) -> None:
        """Rates of the workers beside what is `there` for each answer (default: its task's `probability`), where it can
        be `judged` (default: everywhere)."""
        workers = answers.n_workers
        there = probability[answers.task] if there is None else there
        known = np.ones(there.shape) if judged is None else judged.astype(np.float64)
        there, absence = there * known, (1 - there) * known
        hit, present, quiet, absent = (
            np.bincount(answers.worker, weights=of.sum(axis=1), minlength=workers).astype(np.float64)
            for of in (there * answers.named, there, absence * ~answers.named, absence)
        )
        if self.name == "one_coin":
            hit, present = hit + quiet, present + absent
            quiet, absent = hit, present
        self.sensitivity_, self.specificity_ = _rate(hit, present), _rate(quiet, absent)
        if self.name == "one_coin":
            self.prevalence_ = np.full(answers.n_labels, 0.5)
            return
        seen = np.bincount(answers.task, minlength=answers.n_tasks) > 0
        seen |= (answers.gold >= 0).any(axis=1)
        applies, tasks = probability[seen].sum(axis=0), float(seen.sum())
        common = (float(applies.sum()) + 0.5) / (tasks * answers.n_labels + 1)
        strength = beta_strength(applies, np.full(applies.size, tasks), min(max(common, 0.01), 0.99))
        self.prevalence_ = np.clip((applies + strength * common) / (tasks + strength), 1e-6, 1 - 1e-6)


def resolve_multilabel(method: str, answers: MultiAnswers) -> MultiLabels:
    """What applies to each task by the method of this name. Raises InvalidAnswers for an unknown one."""
    return MultiLabel(method).fit(answers).predict(answers)


def _share(answers: MultiAnswers) -> Doubles:
    """The share of a task's workers who named each label; 0 without answers."""
    size = np.maximum(np.bincount(answers.task, minlength=answers.n_tasks), 1)
    columns = [np.bincount(answers.task, weights=column, minlength=answers.n_tasks) for column in answers.named.T]
    shape = (answers.n_tasks, answers.n_labels)
    return np.asarray(np.stack(columns, axis=1) / size[:, None] if columns else np.zeros(shape), np.float64)


def _fix_gold(answers: MultiAnswers, probability: Doubles) -> Doubles:
    return np.where(answers.gold >= 0, answers.gold, probability).astype(np.float64)


def _votes(answers: MultiAnswers) -> Ints:
    """int[n_tasks · n_labels, 2]: how many denied and how many named each label of each task."""
    size = np.bincount(answers.task, minlength=answers.n_tasks)
    named = np.rint(_share(answers) * size[:, None]).astype(np.int64)
    return np.stack([size[:, None] - named, named], axis=2).reshape(-1, 2)


def _by_fellows(answers: MultiAnswers) -> tuple[Doubles, NDArray[np.bool_]]:
    """For each answer the share of its task's other answers that name each label (or the gold), and where there are
    any."""
    size = np.bincount(answers.task, minlength=answers.n_tasks)[answers.task][:, None]
    gold = answers.gold[answers.task]
    others = (_share(answers)[answers.task] * size - answers.named) / np.maximum(size - 1, 1)
    return np.where(gold >= 0, gold, np.clip(others, 0, 1)).astype(np.float64), (size > 1) | (gold >= 0)


def _rate(right: Doubles, of: Doubles) -> Doubles:
    """Shrunk to the crowd's rate, by 4 to 16 answers, whichever is likeliest, and kept off 0 and 1. A crowd that shows
    nothing is taken to be right in 85 %, as by the vote of single choice."""
    common = (float(right.sum()) + 1.7) / (float(of.sum()) + 2.0)
    strength = min(max(beta_strength(right, of, min(max(common, 0.01), 0.99)), 4.0), 16.0)
    return np.asarray(np.clip((right + strength * common) / (of + strength), 1e-3, 1 - 1e-3), np.float64)
