"""The methods of single choice by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, Self

from numpy.typing import ArrayLike, NDArray

from .answers import Answers, Choice, InvalidAnswers
from .auto import Auto
from .collusion import detect
from .correlated import Correlated
from .dawid_skene import DawidSkene
from .groups import evidence_weights
from .latent import matrices_fit
from .majority import Majority
from .one_coin import OneCoin
from .wawa import Wawa
from .weighted import WeightedMajority


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


def fitted(method: str, answers: Answers, *, seed: int = 0, weights: ArrayLike | None = None) -> Method:
    """The method of this name ("dawid-skene" and "dawid_skene" are one), fitted to `answers`.

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
        model = _StandIn(model)
    return model.fit(answers)


def resolve(method: str, answers: Answers, *, seed: int = 0, weights: ArrayLike | None = None) -> Choice:
    """The labels of `answers` by a method that is fitted to them; see `fitted`."""
    return fitted(method, answers, seed=seed, weights=weights).predict(answers)


class _StandIn:
    """One-coin under the name of a model whose matrices would not fit; groups count once where it counts them so."""

    def __init__(self, model: DawidSkene | Correlated) -> None:
        self.name = model.name
        self._groups = isinstance(model, Correlated)

    def fit(self, answers: Answers) -> Self:
        """Find groups, then fit."""
        self._found = detect(answers) if self._groups else None
        self._model = OneCoin(weights=self._weights(answers)).fit(answers)
        return self

    def predict(self, answers: Answers) -> Choice:
        """Judge these answers with what was learned."""
        self._model.weights = self._weights(answers)
        result = self._model.predict(answers)
        flagged = result.flagged if self._found is None else self._found.flagged
        return replace(result, method=self.name, flagged=flagged, details={"chosen": "one_coin"})

    def _weights(self, answers: Answers) -> NDArray[Any] | None:
        return None if self._found is None else evidence_weights(answers, self._found.groups)
