"""The latent-class engine: Dawid-Skene with a prior, optionally with subtypes of tasks within each class.

Everything is state-major and float32, answers are sorted by task once, and each step is a gather and a segment sum, so
a million answers cost some tens of megabytes and some tens of milliseconds per iteration.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from .answers import Answers, Choice, choice_from_posterior
from .majority import common_accuracy
from .numeric import beta_strength, crowd_accuracy, normalise

ClassPrior = Literal["estimated", "uniform"]

MOST_CELLS = 8_000_000
"""Cells of all workers' matrices that are kept at most."""
FEW_CELLS = 500_000
"""So many always are."""
CELLS_AN_ANSWER = 40
"""Beyond these, what a row knows is its prior, which is a one-coin worker's."""


def matrices_fit(answers: Answers) -> bool:
    """Whether a matrix for each worker is affordable, and worth it: their n_workers · n_classes² cells."""
    cells = answers.n_workers * answers.n_classes**2
    return cells <= FEW_CELLS or cells <= min(MOST_CELLS, CELLS_AN_ANSWER * len(answers))


class Layout:
    """Answers sorted by task: `task`, `cell` = worker · classes + label, `weight` (or None), and where each task's
    answers start.
    """

    def __init__(self, answers: Answers, weights: NDArray[Any] | None = None) -> None:
        task = answers.task
        ordered = bool((task[1:] >= task[:-1]).all())
        order = slice(None) if ordered else np.argsort(task, kind="stable")
        self.task = task[order]
        self.cell = answers.worker[order] * np.int32(answers.n_classes)
        self.cell += answers.label[order]
        self.weight = None if weights is None else np.asarray(weights, np.float32)[order]
        size = np.bincount(task, minlength=answers.n_tasks)
        self.present = np.flatnonzero(size)
        self.start = (np.cumsum(size) - size)[self.present]

    def by_task(self, values: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Add float32[cells] over each task's answers onto `out`, float32[n_tasks]."""
        if self.present.size:
            picked = values.take(self.cell)
            if self.weight is not None:
                picked *= self.weight
            out[self.present] += np.add.reduceat(picked, self.start)

    def by_cell(self, values: NDArray[np.float32], cells: int) -> NDArray[np.float64]:
        """Sum float32[n_tasks] over the answers of each cell, float64[cells]."""
        return np.bincount(self.cell, weights=values.take(self.task), minlength=cells).astype(np.float64, copy=False)


class LatentClass:
    """Maximum a posteriori fit of a latent-class model of answers by expectation maximisation.

    A task has a class k with probability π_k and within it a subtype m with probability τ_km; worker j answers l with
    probability V_jkm,l:

        P(answers of task t, k, m) = π_k τ_km ∏_n V[worker n, k, m, label n] ^ weight n

    With one subtype this is Dawid and Skene (1979). Subtypes (Li, Rubinstein and Cohn, *Exploiting Worker Correlation
    for Label Aggregation in Crowdsourcing*, ICML 2019) let workers err together on the tasks of one kind, for example
    the hard ones. They start as strata of the vote margin, so nothing is random.

    **Shrinkage.** Row k of worker j's matrix has a Dirichlet prior of `strength` answers around a one-coin worker
    whose accuracy is the worker's own, itself shrunk towards the crowd's by a Beta prior of maximum marginal
    likelihood. So a worker with few answers is judged as one-coin or as the crowd. With subtypes the matrix of a
    subtype is shrunk likewise towards the worker's matrix of the class.

    `weights`: float[n] in 0..1, how much each answer counts as evidence for its task (1 / k for one of k copies).
    `class_prior`: estimated π, or uniform, which cannot drift towards a frequent class.
    Gold tasks keep their class throughout, and where there is gold the start is a vote weighted by each worker's
    record on it.
    """

    posterior_: NDArray[np.float32]  # [classes · subtypes, n_tasks]
    log_emission_: NDArray[np.float32]  # [classes · subtypes, n_workers · n_classes]
    log_prior_: NDArray[np.float32]  # [classes · subtypes]
    worker_skill_: NDArray[np.float64]
    iterations_: int
    converged_: bool

    def __init__(
        self,
        *,
        subtypes: int = 1,
        strength: float = 4.0,
        class_prior: ClassPrior = "estimated",
        tolerance: float = 1e-4,
        max_iterations: int = 200,
        weights: NDArray[Any] | None = None,
        start: NDArray[Any] | None = None,
        name: str = "dawid_skene",
    ) -> None:
        self.subtypes, self.strength, self.class_prior = subtypes, strength, class_prior
        self.tolerance, self.max_iterations = tolerance, max_iterations
        self.weights, self.start, self.name = weights, start, name

    def fit(self, answers: Answers) -> Self:
        """Learn priors and worker matrices from these answers."""
        layout = Layout(answers, self.weights)
        rows = telling(answers)
        learned = layout
        if rows is not None:
            learned = Layout(answers.take(rows), None if self.weights is None else np.asarray(self.weights)[rows])
        self._shape = (answers.n_classes, self.subtypes, answers.n_workers)
        first = (
            start_posterior(answers, layout) if self.start is None else np.ascontiguousarray(self.start.T, np.float32)
        )
        states = self._stratify(first)
        self._hold_gold(answers, states)
        self.converged_ = False
        for step in range(1, self.max_iterations + 1):
            self._m_step(learned, states)
            before = states
            states = self._e_step(answers, layout)
            before -= states
            # The mean over tasks of the total variation: one task that keeps moving must not hold up a million.
            moved = float(np.abs(before, out=before).sum(dtype=np.float64)) / (2 * max(answers.n_tasks, 1))
            self.iterations_ = step
            if moved < self.tolerance:
                self.converged_ = True
                break
        self.posterior_ = states
        self._seen = (answers, self.weights)
        return self

    def predict(self, answers: Answers) -> Choice:
        """Judge these answers (of the same workers) with what was learned."""
        if answers is self._seen[0] and self.weights is self._seen[1]:
            states = self.posterior_
        else:
            fits = self.weights is not None and len(self.weights) == len(answers)
            states = self._e_step(answers, Layout(answers, self.weights if fits else None))
        classes, subtypes, _ = self._shape
        posterior = states.reshape(classes, subtypes, answers.n_tasks).sum(axis=1).T
        return choice_from_posterior(
            answers,
            posterior,
            self.worker_skill_,
            method=self.name,
            iterations=self.iterations_,
            converged=self.converged_,
        )

    def predictive(self, answers: Answers) -> NDArray[np.float64]:
        """float64[n]: the probability of each of these (held-out) answers given the fitted posterior of its task."""
        classes = self._shape[0]
        cell = answers.worker * np.int32(classes) + answers.label
        total = np.zeros(len(answers))
        for state, logs in enumerate(self.log_emission_):
            total += self.posterior_[state].take(answers.task) * np.exp(logs.take(cell))
        return total

    def confusion(self) -> NDArray[np.float32]:
        """float32[n_workers, n_classes, n_classes]: P(answer l | true class k) of each worker, averaged over
        subtypes.
        """
        classes, subtypes, workers = self._shape
        share = np.exp(self.log_prior_.reshape(classes, subtypes))
        share /= share.sum(axis=1, keepdims=True)
        emission = np.exp(self.log_emission_).reshape(classes, subtypes, workers, classes)
        return np.ascontiguousarray(np.einsum("km,kmjl->jkl", share, emission))

    def _stratify(self, first: NDArray[np.float32]) -> NDArray[np.float32]:
        """Spread each class over its subtypes by the rank of the task's vote margin, softly."""
        if self.subtypes == 1:
            return first.copy()
        size = first.shape[1]
        rank = np.empty(size)
        rank[np.argsort(first.max(axis=0), kind="stable")] = np.arange(size) / max(size, 1)
        centre = (np.arange(self.subtypes) + 0.5) / self.subtypes
        near = np.exp(-1.5 * self.subtypes * np.abs(rank - centre[:, None]))
        near /= near.sum(axis=0)
        spread = first[:, None, :] * near[None].astype(np.float32)
        return np.ascontiguousarray(spread.reshape(first.shape[0] * self.subtypes, size))

    def _m_step(self, layout: Layout, states: NDArray[np.float32]) -> None:
        classes, subtypes, workers = self._shape
        cells = workers * classes
        counts = np.stack([layout.by_cell(row, cells) for row in states]).reshape(classes, subtypes, workers, classes)
        of_class = counts.sum(axis=1)
        right = np.einsum("kjk->j", of_class)
        total = of_class.sum(axis=(0, 2))
        mean = believed(right, total, classes)
        held = beta_strength(right, total, mean)
        skill = np.clip((right + held * mean) / (total + held), 0.02, 0.99)
        self.worker_skill_ = skill
        base = np.empty((classes, workers, classes))
        base[:] = ((1 - skill) / max(classes - 1, 1))[None, :, None]
        for k in range(classes):
            base[k, :, k] = skill if classes > 1 else 1.0
        emission = of_class + self.strength * base
        emission /= emission.sum(axis=2, keepdims=True)
        full = emission[:, None]
        if subtypes > 1:
            full = counts + self.strength * full
            full /= full.sum(axis=3, keepdims=True)
        self.log_emission_ = np.log(full).reshape(classes * subtypes, cells).astype(np.float32)
        share = states.sum(axis=1, dtype=np.float64).reshape(classes, subtypes)
        prior = share.sum(axis=1) + 1 if self.class_prior == "estimated" and total.any() else np.ones(classes)
        within = (share + 1) / (share + 1).sum(axis=1, keepdims=True)
        self.log_prior_ = np.log(within * (prior / prior.sum())[:, None]).reshape(-1).astype(np.float32)

    def _e_step(self, answers: Answers, layout: Layout) -> NDArray[np.float32]:
        states = np.empty((self.log_prior_.size, answers.n_tasks), np.float32)
        for state, logs in enumerate(self.log_emission_):
            states[state] = self.log_prior_[state]
            layout.by_task(logs, states[state])
        known = np.flatnonzero(answers.gold >= 0)
        if known.size:
            blocks = states.reshape(answers.n_classes, self.subtypes, answers.n_tasks)
            for k in range(answers.n_classes):
                blocks[k][:, known[answers.gold[known] != k]] = -np.inf
        normalise(states)
        return states

    def _hold_gold(self, answers: Answers, states: NDArray[np.float32]) -> None:
        """Set gold tasks of the start to their class, spread evenly over its subtypes."""
        known = np.flatnonzero(answers.gold >= 0)
        if known.size:
            blocks = states.reshape(answers.n_classes, self.subtypes, answers.n_tasks)
            blocks[:, :, known] = 0
            for m in range(blocks.shape[1]):
                blocks[answers.gold[known], m, known] = 1 / blocks.shape[1]


def telling(answers: Answers) -> NDArray[np.bool_] | None:
    """bool[n]: the answers that workers are known by, which do not stand alone on their task or are to gold; None: all.

    What a lone answer says of its worker is what was believed already; learned from, it drives a fit to where every
    task is of one class, or every worker right.
    """
    told = (np.bincount(answers.task, minlength=answers.n_tasks) > 1) | (answers.gold >= 0)
    rows: NDArray[np.bool_] = told[answers.task]
    return None if rows.all() else rows


def believed(right: NDArray[Any], total: NDArray[Any], classes: int) -> float:
    """The crowd's accuracy by the expected right answers of each worker's; where there are none, as the vote has it."""
    if total.any():
        return crowd_accuracy(float(right.sum()), float(total.sum()), classes)
    return min(common_accuracy(np.zeros((0, classes))), 0.98)


def gold_skill(answers: Answers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right answers to gold tasks and answers to gold tasks, float64[n_workers] each."""
    truth = answers.gold[answers.task]
    right = np.bincount(answers.worker, weights=answers.label == truth, minlength=answers.n_workers)
    total = np.bincount(answers.worker, weights=truth >= 0, minlength=answers.n_workers)
    return right.astype(np.float64, copy=False), total.astype(np.float64, copy=False)


def start_posterior(answers: Answers, layout: Layout) -> NDArray[np.float32]:
    """float32[n_classes, n_tasks]: shares of the vote, or with gold the posterior by each worker's shrunk record on
    it.
    """
    classes, cells = answers.n_classes, answers.n_workers * answers.n_classes
    shares = np.zeros((classes, answers.n_tasks), np.float32)
    indicator = np.zeros((answers.n_workers, classes), np.float32)
    right, total = gold_skill(answers) if answers.has_gold else (np.zeros(0), np.zeros(0))
    if total.sum() >= 1 and classes > 1:
        mean = min(max(float((right.sum() + 2) / (total.sum() + 3)), 1 / classes), 0.98)
        skill = (right + 4 * mean) / (total + 4)
        odds = np.log(skill * (classes - 1) / (1 - skill)).astype(np.float32)
    else:
        odds = None
    for k in range(classes):
        indicator[:] = 0
        indicator[:, k] = 1 if odds is None else odds
        layout.by_task(indicator.reshape(cells), shares[k])
    if odds is not None:
        normalise(shares)
        return shares
    none = shares.sum(axis=0) <= 0
    shares[:, none] = 1
    shares /= shares.sum(axis=0)
    return shares
