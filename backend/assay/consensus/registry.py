"""The methods of single choice by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, Self

from numpy.typing import ArrayLike

from .answers import Answers, Choice, InvalidAnswers
from .auto import Auto
from .correlated import Correlated
from .dawid_skene import DawidSkene
from .majority import Majority, WeightedMajority
from .one_coin import OneCoin, Wawa


class Method(Protocol):
    """What every method offers: `fit` learns the workers, `predict` judges answers of the same workers by what was
    learned."""

    name: str

    def fit(self, answers: Answers) -> Self: ...

    def predict(self, answers: Answers) -> Choice: ...


# name → constructor(seed, weights)
METHODS: Mapping[str, Callable[[int, ArrayLike | None], Method]] = {
    "majority": lambda seed, weights: Majority(),
    "weighted": lambda seed, weights: WeightedMajority(weights),
    "wawa": lambda seed, weights: Wawa(),
    "one_coin": lambda seed, weights: OneCoin(),
    "dawid_skene": lambda seed, weights: DawidSkene(),
    "correlated": lambda seed, weights: Correlated(),
    "auto": lambda seed, weights: Auto(seed=seed),
}


def resolve(method: str, answers: Answers, *, seed: int = 0, weights: ArrayLike | None = None) -> Choice:
    """The labels of `answers` by the method of this name ("dawid-skene" and "dawid_skene" are one).

    `weights`: float[n_workers], reputation, for the methods that use it. The same input and seed give the same
    result to the bit. Raises InvalidAnswers for an unknown method or unusable input.
    """
    make = METHODS.get(method.replace("-", "_"))
    if make is None:
        raise InvalidAnswers(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    return make(seed, weights).fit(answers).predict(answers)
