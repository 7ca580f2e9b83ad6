"""Consensus of numbers: mean, median, precision-weighted, robust to heavy tails, and a choice between them.

The model behind the weighted methods: worker j answers task i with ``x = z_i + b_j + e``, the error e of scale
``s_j``, normal or
(robust) Student's t. z is the truth, b a worker's bias, s its spread. Fitted by EM; see Dawid and Skene's idea
carried over to numbers in
Raykar et al., *Learning From Crowds*, JMLR 11 (2010), section 5, and for t errors Lange, Little and Taylor, *Robust
Statistical Modeling
Using the t Distribution*, JASA 84 (1989).

The arrays and the decimal strings they come from are in `number_answers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

import numpy as np

from .answers import Ints, InvalidAnswers
from .number_answers import Doubles, NumberAnswers, Numbers, agreeing, encode_numbers, ranks_within, weighted_median

__all__ = [
    "NUMBER_METHODS",
    "AutoNumbers",
    "Mean",
    "Median",
    "NumberAnswers",
    "NumberMethod",
    "Numbers",
    "Precision",
    "agreeing",
    "encode_numbers",
    "resolve_numbers",
    "weighted_median",
]


class NumberMethod(Protocol):
    """`fit` learns the workers, `predict` judges answers of the same workers by what was learned."""

    name: str

    def fit(self, answers: NumberAnswers) -> Self: ...

    def predict(self, answers: NumberAnswers) -> Numbers: ...


class _Located:
    """Mean and median: every worker alike."""

    name: str

    def fit(self, answers: NumberAnswers) -> Self:
        """Learn each worker's bias and spread about the estimates, for show; the estimates use neither."""
        centre = _fix_gold(answers, self._centre(answers))
        bias, variance, pooled = _worker_moments(answers, centre)
        self.worker_bias_, self.worker_variance_, self.pooled_ = bias, variance, pooled
        return self

    def predict(self, answers: NumberAnswers) -> Numbers:
        """The estimate of each task."""
        size = np.bincount(answers.task, minlength=answers.n_tasks)
        variance = self._variance_factor() * self.pooled_ / np.maximum(size, 1)
        return _result(answers, self._centre(answers), variance, self)

    worker_bias_: Doubles
    worker_variance_: Doubles
    pooled_: float

    def _centre(self, answers: NumberAnswers) -> Doubles:
        raise NotImplementedError

    def _variance_factor(self) -> float:
        return 1.0


class Mean(_Located):
    """The mean of a task's answers."""

    name = "mean"

    def _centre(self, answers: NumberAnswers) -> Doubles:
        return _weighted_mean(answers, np.ones(len(answers)))


class Median(_Located):
    """The median of a task's answers; of an even number the mean of the middle two."""

    name = "median"

    def _centre(self, answers: NumberAnswers) -> Doubles:
        return weighted_median(answers.task, answers.value, np.ones(len(answers)), answers.n_tasks)

    def _variance_factor(self) -> float:
        return math.pi / 2  # asymptotic, for normal errors


class Precision:
    """Each answer weighted by its worker's precision 1/s², optionally after its bias is taken off.

    `dof`: degrees of freedom of the error; inf is normal, 3 bounds what any one wild answer can do. `prior`: how
    many pseudo-answers of the
    pooled variance a worker starts with, so that a few lucky answers never make a dictator; no worker weighs more
    than `cap` times the
    median worker. Gold values are the truth in the E step, so they calibrate the workers.
    """

    def __init__(
        self,
        *,
        bias: bool = False,
        dof: float = math.inf,
        prior: float = 10.0,
        cap: float = 20.0,
        iterations: int = 50,
    ) -> None:
        if not dof > 0:
            raise InvalidAnswers(f"dof must be above 0, got {dof}")
        self.bias, self.dof, self.prior, self.cap, self.iterations = bias, dof, prior, cap, iterations
        self.name = ("precision" if math.isinf(dof) else "robust") + ("_bias" if bias else "")

    worker_bias_: Doubles
    worker_variance_: Doubles
    pooled_: float
    common_: float
    iterations_: int
    converged_: bool

    def fit(self, answers: NumberAnswers) -> Self:
        """EM over truths (E) and workers (M)."""
        centre = _fix_gold(
            answers, weighted_median(answers.task, answers.value, np.ones(len(answers)), answers.n_tasks)
        )
        self.worker_bias_ = np.zeros(answers.n_workers)
        _, self.worker_variance_, self.pooled_ = _worker_moments(answers, centre)
        self.converged_ = False
        self.iterations_ = 0
        known = np.isfinite(answers.gold)
        scale = math.sqrt(self.pooled_) if self.pooled_ > 0 else 1.0
        for _ in range(self.iterations if len(answers) else 0):
            self.iterations_ += 1
            before = centre
            weight = self._weights(answers, centre)
            centre = _fix_gold(answers, _weighted_mean(answers, weight, shift=self.worker_bias_))
            total = np.bincount(answers.task, weights=weight, minlength=answers.n_tasks)
            doubt = np.where(known, 0.0, 1.0 / np.maximum(total, 1e-300))
            self._m_step(answers, centre, doubt)
            if float(np.nanmax(np.abs(centre - before), initial=0.0)) <= 1e-4 * scale:
                self.converged_ = True
                break
        self.common_ = self._common(answers) if self.bias and len(answers) else 0.0
        return self

    def _common(self, answers: NumberAnswers) -> float:
        """The variance of what all workers are off together: biases are told apart from each other by the answers, but
        from 0 only by being drawn around it, or by gold."""
        size = np.bincount(answers.worker, minlength=answers.n_workers)
        there = max(int((size > 0).sum()), 1)
        spread = float(np.mean(self.worker_bias_[size > 0] ** 2))
        beside_gold = float(np.isfinite(answers.gold)[answers.task].sum())
        return 1.0 / (there / max(spread, 1e-18) + beside_gold / self.pooled_)

    def predict(self, answers: NumberAnswers) -> Numbers:
        """Truths by the learned workers."""
        centre = _fix_gold(
            answers, weighted_median(answers.task, answers.value, np.ones(len(answers)), answers.n_tasks)
        )
        weight = self._weights(answers, centre)
        for _ in range(1 if math.isinf(self.dof) else 20):
            centre = _fix_gold(answers, _weighted_mean(answers, weight, shift=self.worker_bias_))
            weight = self._weights(answers, centre)
        total = np.bincount(answers.task, weights=weight, minlength=answers.n_tasks)
        # Of t errors an answer tells (ν + 1) / (ν + 3) of what its mean weight says (Lange, Little and Taylor 1989).
        told = 1.0 if math.isinf(self.dof) else (self.dof + 1) / (self.dof + 3)
        variance = 1.0 / np.maximum(told * total, 1e-300)
        return _result(answers, centre, variance + self.common_, self)

    def _weights(self, answers: NumberAnswers, centre: Doubles) -> Doubles:
        typical = float(np.median(self.worker_variance_)) if self.worker_variance_.size else 1.0
        variance = np.maximum(self.worker_variance_, typical / self.cap)[answers.worker]
        if math.isinf(self.dof):
            return np.asarray(1.0 / variance, np.float64)
        gap = answers.value - self.worker_bias_[answers.worker] - centre[answers.task]
        return np.asarray((self.dof + 1) / (self.dof * variance + gap**2), np.float64)

    def _m_step(self, answers: NumberAnswers, centre: Doubles, doubt: Doubles) -> None:
        worker, count = answers.worker, answers.n_workers
        gap = answers.value - centre[answers.task]
        tail = np.ones(len(answers))
        if not math.isinf(self.dof):
            spread = gap - self.worker_bias_[worker]
            tail = (self.dof + 1) / (self.dof + (spread**2 + doubt[answers.task]) / self.worker_variance_[worker])
        heard = np.bincount(worker, weights=tail, minlength=count)
        if self.bias:
            precision = heard / self.worker_variance_
            prior = max(float(np.mean(self.worker_bias_**2 + 1.0 / (precision + 1.0 / self.pooled_))), 1e-12)
            drawn = np.bincount(worker, weights=tail * gap, minlength=count) / self.worker_variance_
            self.worker_bias_ = drawn / (precision + 1.0 / prior)
        spread = gap - self.worker_bias_[worker]
        squared = tail * (spread**2 + doubt[answers.task])
        size = np.bincount(worker, minlength=count)
        self.pooled_ = max(float(squared.sum()) / max(len(answers), 1), 1e-18)
        total = np.bincount(worker, weights=squared, minlength=count)
        self.worker_variance_ = (total + self.prior * self.pooled_) / (size + self.prior)


class AutoNumbers:
    """The method that best predicts held-out answers (with gold: and the gold values).

    Answers are dealt into `folds` by their rank within the task, so that no clock or seed decides. Each candidate is
    fitted to the rest, and
    judged by the Huber loss between a held-out answer and what it predicts for that worker and task, in units of the
    crowd's spread. The plain mean is kept unless another is better by more than one standard error of the paired
    difference: held-out answers are noisy judges. With at least ten gold tasks their held-out error decides instead.
    Under 30 answers nothing
    can be told and the mean stays.
    """

    name = "auto"

    def __init__(self, *, folds: int = 5) -> None:
        self.folds = folds
        self.chosen_: NumberMethod = Mean()
        self.losses_: dict[str, float] = {}

    def fit(self, answers: NumberAnswers) -> Self:
        """Choose, then fit the chosen to everything."""
        self.losses_ = {}
        best = "mean"
        if int(np.bincount(answers.task).max(initial=0)) > 1:  # else no answer is left to be compared with
            some = _sample(answers)
            fold = _ranks_within(some) % self.folds
            loss = {name: self._held_out(make, some, fold) for name, make in _CANDIDATES.items()}
            by_gold = int(np.isfinite(answers.gold).sum()) >= _ENOUGH_GOLD
            self.losses_ = {name: float(values.mean()) if values.size else math.nan for name, values in loss.items()}
            for name in _CANDIDATES:
                better = loss[best] - loss[name]
                if (
                    better.size >= (_ENOUGH_GOLD if by_gold else _ENOUGH)
                    and better.mean() > better.std(ddof=1) / math.sqrt(better.size) + 1e-9
                ):
                    best = name
        self.chosen_ = _CANDIDATES[best]().fit(answers)
        return self

    def predict(self, answers: NumberAnswers) -> Numbers:
        """By the chosen method; its name stands in `details["chosen"]`, the losses in `details["losses"]`."""
        result = self.chosen_.predict(answers)
        details = {**result.details, "chosen": result.method, "losses": self.losses_}
        fields = {name: getattr(result, name) for name in Numbers.__dataclass_fields__}
        return Numbers(**{**fields, "method": self.name, "details": details})

    def _held_out(self, make: Callable[[], NumberMethod], answers: NumberAnswers, fold: Ints) -> Doubles:
        """Loss of each gold task (ten or more), or of each answer whose task keeps another answer."""
        known = np.flatnonzero(np.isfinite(answers.gold))
        if known.size >= _ENOUGH_GOLD:
            losses = np.zeros(known.size)
            for part in range(self.folds):
                hidden = known[part :: self.folds]
                gold = answers.gold.copy()
                gold[hidden] = np.nan
                masked = NumberAnswers(
                    answers.task, answers.worker, answers.value, answers.n_tasks, answers.n_workers, gold
                )
                estimate = make().fit(masked).predict(masked).values[hidden]
                losses[part :: self.folds] = np.abs(estimate - answers.gold[hidden])
            return losses[np.isfinite(losses)]
        scale = _robust_scale(answers)
        losses = np.full(len(answers), np.nan)
        for part in range(self.folds):
            held = fold == part
            result = make().fit(answers.take(~held)).predict(answers.take(~held))
            uses_bias = getattr(result, "method", "").endswith("_bias")
            shift = result.worker_bias[answers.worker[held]] if uses_bias else 0.0
            gap = np.abs(answers.value[held] - result.values[answers.task[held]] - shift) / scale
            losses[held] = np.where(gap <= 1.5, gap**2 / 2, 1.5 * gap - 1.125)
        return losses[np.isfinite(losses)]


_CANDIDATES: Mapping[str, Callable[[], NumberMethod]] = {
    "mean": Mean,
    "median": Median,
    "precision": Precision,
    "precision_bias": lambda: Precision(bias=True),
    "robust": lambda: Precision(dof=3.0),
    "robust_bias": lambda: Precision(bias=True, dof=3.0),
}
# More answers than this only confirm the choice: of a larger crowd every s-th task is looked at.
_SAMPLE = 50_000

# Fewer held-out answers, or gold tasks, say nothing of which method is better.
_ENOUGH = 30
_ENOUGH_GOLD = 10

NUMBER_METHODS: Mapping[str, Callable[[], NumberMethod]] = {**_CANDIDATES, "auto": AutoNumbers}


def resolve_numbers(method: str, answers: NumberAnswers) -> Numbers:
    """The values of `answers` by the method of this name. Raises InvalidAnswers for an unknown one."""
    make = NUMBER_METHODS.get(method.replace("-", "_"))
    if make is None:
        raise InvalidAnswers(f"method must be one of {', '.join(NUMBER_METHODS)}, got {method!r}")
    return make().fit(answers).predict(answers)


def _sample(answers: NumberAnswers) -> NumberAnswers:
    """The answers to every s-th task and to all gold tasks, about `_SAMPLE` in all."""
    step = -(-len(answers) // _SAMPLE)
    if step <= 1:
        return answers
    return answers.take((answers.task % step == 0) | np.isfinite(answers.gold)[answers.task])


def _ranks_within(answers: NumberAnswers) -> Ints:
    # A fixed hash of the worker rather than its code, so that folds do not follow the order in which workers came.
    return ranks_within(answers.task, (answers.worker.astype(np.uint64) + 1) * np.uint64(11400714819323198485) >> 40)


def _weighted_mean(answers: NumberAnswers, weight: Doubles, *, shift: Doubles | None = None) -> Doubles:
    value = answers.value if shift is None else answers.value - shift[answers.worker]
    total = np.bincount(answers.task, weights=weight, minlength=answers.n_tasks)
    with np.errstate(invalid="ignore"):
        summed = np.bincount(answers.task, weights=weight * value, minlength=answers.n_tasks)
        return np.asarray(np.where(total > 0, summed / np.where(total > 0, total, 1.0), np.nan), np.float64)


def _fix_gold(answers: NumberAnswers, centre: Doubles) -> Doubles:
    return np.where(np.isfinite(answers.gold), answers.gold, centre)


def _robust_scale(answers: NumberAnswers) -> float:
    """Median absolute deviation about the tasks' medians, as a standard deviation; 1 when there is none."""
    centre = weighted_median(answers.task, answers.value, np.ones(len(answers)), answers.n_tasks)
    gap = np.abs(answers.value - centre[answers.task])
    middle = float(np.median(gap)) if gap.size else 0.0
    return 1.4826 * middle or float(gap.mean() if gap.size else 0.0) or 1.0


def _worker_moments(answers: NumberAnswers, centre: Doubles) -> tuple[Doubles, Doubles, float]:
    """Bias and variance of each worker about `centre`, shrunk to the crowd's, and the crowd's variance."""
    gap = answers.value - centre[answers.task]
    size = np.bincount(answers.worker, minlength=answers.n_workers)
    bias = np.bincount(answers.worker, weights=gap, minlength=answers.n_workers) / (size + 2)
    # Of n answers to a task n − 1 are free to differ from its estimate, and all n from its gold.
    fellows = np.bincount(answers.task, minlength=answers.n_tasks)[answers.task]
    free = np.where(np.isfinite(answers.gold)[answers.task], 1.0, 1 - 1 / np.maximum(fellows, 1))
    pooled = max(_per(float((gap**2).sum()), float(free.sum()), answers), 1e-18)
    squared = np.bincount(answers.worker, weights=(gap - bias[answers.worker]) ** 2, minlength=answers.n_workers)
    seen = np.bincount(answers.worker, weights=free, minlength=answers.n_workers)
    return bias, (squared + 4 * pooled) / (seen + 4), pooled


def _per(squares: float, free: float, answers: NumberAnswers) -> float:
    """The variance about the truth. Where nothing is free, nothing tells how far off an answer is: it is taken to be as
    far as answers are from each other."""
    return squares / free if free > 0.5 else float(answers.value.var()) if answers.value.size else 0.0


def _result(answers: NumberAnswers, centre: Doubles, variance: Doubles, method: Any) -> Numbers:
    values = _fix_gold(answers, centre)
    known = np.isfinite(answers.gold)
    answered = np.bincount(answers.task, minlength=answers.n_tasks).astype(np.int32)
    error = np.where(known, 0.0, np.where(answered > 0, np.sqrt(variance), np.nan))
    tolerance = math.sqrt(method.pooled_)
    ratio = tolerance / (math.sqrt(2) * np.maximum(np.nan_to_num(error, nan=math.inf), 1e-12 * tolerance))
    confidence = np.frompyfunc(math.erf, 1, 1)(ratio).astype(np.float64)
    return Numbers(
        values,
        error,
        confidence,
        tolerance,
        method.worker_bias_,
        np.sqrt(method.worker_variance_),
        answered,
        method.name,
        getattr(method, "iterations_", 1),
        getattr(method, "converged_", True),
    )
