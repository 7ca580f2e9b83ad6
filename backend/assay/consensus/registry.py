"""The methods of single choice by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol, Self

from numpy.typing import ArrayLike

from .answers import Answers, Choice, InvalidAnswers
from .auto import Auto
from .collusion import detect, evidence_weights
from .correlated import Correlated
from .dawid_skene import DawidSkene
from .latent import matrices_fit
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
    result to the bit. Where there are so many classes that matrices do not fit (`latent.matrices_fit`), one-coin stands
    in for `dawid_skene` and `correlated`; `details["chosen"]` says so. Raises InvalidAnswers for an unknown method or
    unusable input.
    """
    make = METHODS.get(method.replace("-", "_"))
    if make is None:
        raise InvalidAnswers(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    model = make(seed, weights)
    if isinstance(model, DawidSkene | Correlated) and not matrices_fit(answers):
        return _stand_in(model, answers)
    return model.fit(answers).predict(answers)


def _stand_in(model: DawidSkene | Correlated, answers: Answers) -> Choice:
    """One-coin under the name of a model whose matrices would not fit; groups count once where it counts them so."""
    found = detect(answers) if isinstance(model, Correlated) else None
    counted = None if found is None else evidence_weights(answers, found.groups)
    result = OneCoin(weights=counted).fit(answers).predict(answers)
    flagged = result.flagged if found is None else found.flagged
    return replace(result, method=model.name, flagged=flagged, details={"chosen": "one_coin"})
