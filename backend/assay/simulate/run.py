"""Runs of a mix over several seeds: accuracy, who is flagged, who earns what, and what an attack costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.consensus import InvalidAnswers, resolve

from .crowd import HONEST, Crowd, make_crowd
from .market import Ledger, settle


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Terms of the simulated market, in tokens where they are money (defaults: those of a new market,
    docs/economics.md).
    """

    price: float = 1.0
    validation_fee: float = 0.04
    stake: float = 100.0
    slash: float = 0.1
    error_rate: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One seed. Shares lie in 0..1; NaN where nobody is of the kind.

    `accuracy`: share of right labels among the tasks that are not gold, by all answers together; `accuracy_new`: as
    they were settled from the first answer on; `accuracy_majority`: by plain majority. `pay`: by strategy,
    fees as a voter per answer relative to an honest worker's, with the record that the run leaves; `pay_labeler`: the
    same for accepted answers. `pay_new` and `pay_labeler_new`: as it was paid from the first answer on, to a crowd of
    which nobody was known. `pay_naive`: under "who agrees is paid". `recall`: colluders flagged; `honest_flagged`.
    `slashed`: by strategy, the mean number of convictions a worker. `wrong_by_attack`: wrong records more than the
    same honest workers alone give on the same tasks. `attack_cost`: tokens per such record: stake slashed and labeler
    pay forgone against working honestly (NaN where none is wrong).
    """

    seed: int
    accuracy: float
    accuracy_new: float
    accuracy_majority: float
    recall: float
    honest_flagged: float
    pay: Mapping[str, float]
    pay_labeler: Mapping[str, float]
    pay_new: Mapping[str, float]
    pay_labeler_new: Mapping[str, float]
    pay_naive: Mapping[str, float]
    slashed: Mapping[str, float]
    wrong_by_attack: int
    attack_cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All seeds of one mix. `worst_accuracy` is the lowest of them; the other figures are means over the seeds."""

    mix: Mapping[str, float]
    tasks: int
    workers: int
    overlap: int
    gold: float
    method: str
    outcomes: tuple[Outcome, ...]

    def summary(self) -> dict[str, Any]:
        """Plain numbers for JSON and tables; None for what is undefined."""
        outcomes = self.outcomes

        def mean(values: Sequence[float]) -> float | None:
            finite = [value for value in values if math.isfinite(value)]
            return round(sum(finite) / len(finite), 4) if finite else None

        def by_strategy(name: str) -> dict[str, float | None]:
            rows = [getattr(outcome, name) for outcome in outcomes]
            return {
                key: mean([row[key] for row in rows if key in row]) for key in sorted({k for row in rows for k in row})
            }

        return {
            "mix": dict(self.mix),
            "method": self.method,
            "seeds": len(outcomes),
            "accuracy": mean([outcome.accuracy for outcome in outcomes]),
            "worst_accuracy": round(min(outcome.accuracy for outcome in outcomes), 4),
            "accuracy_new": mean([outcome.accuracy_new for outcome in outcomes]),
            "accuracy_majority": mean([outcome.accuracy_majority for outcome in outcomes]),
            "recall": mean([outcome.recall for outcome in outcomes]),
            "honest_flagged": mean([outcome.honest_flagged for outcome in outcomes]),
            "pay": by_strategy("pay"),
            "pay_labeler": by_strategy("pay_labeler"),
            "pay_new": by_strategy("pay_new"),
            "pay_labeler_new": by_strategy("pay_labeler_new"),
            "pay_naive": by_strategy("pay_naive"),
            "slashed": by_strategy("slashed"),
            "wrong_by_attack": mean([float(outcome.wrong_by_attack) for outcome in outcomes]),
            "attack_cost": mean([outcome.attack_cost for outcome in outcomes]),
        }


def run(
    mix: Mapping[str, float],
    *,
    tasks: int = 2000,
    workers: int = 100,
    overlap: int = 7,
    gold: float = 0.05,
    classes: int = 2,
    seeds: Sequence[int] = range(3),
    method: str = "auto",
    terms: Terms | None = None,
) -> Report:
    """Simulate a mix, strategy → share of the workers (the rest honest), once for each seed. Raises InvalidAnswers for
    bad numbers.
    """
    if round(gold * tasks) >= tasks:
        raise InvalidAnswers(f"gold must leave a task whose answer is not known, got {gold} of {tasks} tasks")
    outcomes = []
    for seed in seeds:
        crowd = make_crowd(
            mix, seed=seed, n_tasks=tasks, n_workers=workers, n_classes=classes, overlap=overlap, gold=gold
        )
        outcomes.append(run_once(crowd, seed=seed, method=method, terms=terms))
    return Report(
        mix=dict(mix), tasks=tasks, workers=workers, overlap=overlap, gold=gold, method=method, outcomes=tuple(outcomes)
    )


def run_once(crowd: Crowd, *, seed: int = 0, method: str = "auto", terms: Terms | None = None) -> Outcome:
    """One crowd through the market."""
    terms = terms or Terms()
    ledger = settle(crowd.answers, method=method, error_rate=terms.error_rate, seed=seed)
    honest = np.array([name == HONEST for name in crowd.strategy])
    colluder = crowd.colluder
    wrong = _wrong(crowd, ledger.final)
    harm = 0
    if not honest.all():
        alone = crowd.answers.take(honest[crowd.answers.worker])
        harm = max(int(wrong.sum()) - int(_wrong(crowd, resolve(method, alone, seed=seed).labels).sum()), 0)
    majority = resolve("majority", crowd.answers).labels
    open_tasks = crowd.answers.gold < 0

    def relative(earned: NDArray[Any]) -> dict[str, float]:
        return _relative(crowd, earned / np.maximum(ledger.answers, 1))

    return Outcome(
        seed=seed,
        accuracy=1 - float(wrong[open_tasks].mean()),
        accuracy_new=1 - float(_wrong(crowd, ledger.labels)[open_tasks].mean()),
        accuracy_majority=1 - float(_wrong(crowd, majority)[open_tasks].mean()),
        recall=float(ledger.flagged[colluder].mean()) if colluder.any() else math.nan,
        honest_flagged=float(ledger.flagged[honest].mean()) if honest.any() else math.nan,
        pay=relative(ledger.known.units),
        pay_labeler=relative(ledger.known.accepted),
        pay_new=relative(ledger.paid.units),
        pay_labeler_new=relative(ledger.paid.accepted),
        pay_naive=relative(ledger.paid.agreed),
        slashed=_by_strategy(crowd, ledger.slashes.astype(np.float64)),
        wrong_by_attack=harm,
        attack_cost=_cost(ledger, honest, terms) / harm if harm else math.nan,
    )


def _cost(ledger: Ledger, honest: NDArray[np.bool_], terms: Terms) -> float:
    """Tokens that the attackers lose: stake slashed, and what honest labelers would have earned with as many
    answers.
    """
    if honest.all() or not honest.any():
        return math.nan
    rate = ledger.paid.accepted[honest].sum() / max(int(ledger.answers[honest].sum()), 1)
    forgone = rate * ledger.answers[~honest].sum() - ledger.paid.accepted[~honest].sum()
    stake, slashed = terms.stake, 0.0
    for count in ledger.slashes[~honest]:
        slashed += min(stake, int(count) * terms.slash * stake)
    return max(float(forgone), 0.0) * terms.price + slashed


def _wrong(crowd: Crowd, labels: NDArray[Any]) -> NDArray[np.bool_]:
    """bool[n_tasks]: settled wrong. A task that nobody answered is nobody's harm."""
    return np.asarray((labels != crowd.truth) & (labels >= 0) & (crowd.answers.gold < 0), np.bool_)


def _by_strategy(crowd: Crowd, values: NDArray[np.float64]) -> dict[str, float]:
    names = np.array(crowd.strategy)
    return {str(name): float(values[names == name].mean()) for name in np.unique(names)}


def _relative(crowd: Crowd, values: NDArray[np.float64]) -> dict[str, float]:
    """Means of each strategy over the honest mean."""
    means = _by_strategy(crowd, values)
    honest = means.get(HONEST, math.nan)
    return {name: value / honest if honest else math.nan for name, value in means.items() if name != HONEST}
