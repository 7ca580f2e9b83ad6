"""How far the raters of a request agree, by the coefficients of `assay.consensus.agreement`, for every kind of answer.

kind           what is compared                       level      coefficients
choice, text   the answer (texts as `similarity`      nominal    Krippendorff's α, Fleiss' κ, Cohen's κ with the label
               folds them)
multi-choice   each class: named or not               nominal    the same
number         the number                             interval   α
ranking        each item's place                      ordinal    α
others         nothing: what has places and sizes has no coefficient without a choice of scale; whether an answer
               agrees with the label is its verdict

In review the raters are the validators, what they rate is an answer, and the ratings are their votes (nominal).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.consensus.agreement import Level, cohen_kappa_by_worker, fleiss_kappa, krippendorff_alpha
from assay.domain.similarity import folded

VOTE = "vote"
"""The kind of a vote on an answer: 0 or 1."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Ratings:
    """What was rated, by whom and how, as codes: a few bytes a rating, and each distinct value once.

    `decode` makes a value in its normal form of what `add` is given of it, which only has to be equal for equal ones.
    """

    def __init__(self, decode: Callable[[Any], Any] = lambda raw: raw) -> None:
        self._decode = decode
        self._values: dict[Hashable, int] = {}
        self._columns = (array("q"), array("q"), array("q"))
        self._labels = array("q")
        self.things: dict[Hashable, int] = {}
        self.raters: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._columns[0])

    def add(self, thing: Hashable, rater: bytes, value: Hashable, *, label: Hashable = None) -> None:
        """One rating. `label`: what was decided of the thing (given with its first rating), None where nothing was."""
        code = self.things.setdefault(thing, len(self.things))
        if code == len(self._labels):
            self._labels.append(-1 if label is None else self._values.setdefault(label, len(self._values)))
        row = (
            code, self.raters.setdefault(rater, len(self.raters)), self._values.setdefault(value, len(self._values))
        )  # fmt: skip
        for column, one in zip(self._columns, row, strict=True):
            column.append(one)

    def columns(self) -> tuple[Ints, Ints, Ints]:
        """Codes of thing, rater and value, a row a rating."""
        thing, rater, value = (np.array(column, np.int64) for column in self._columns)
        return thing, rater, value

    def labels(self) -> Ints:
        """The code of each thing's label, or -1."""
        return np.array(self._labels, np.int64)

    def values(self) -> list[Any]:
        """What each code of a value stands for."""
        return [self._decode(raw) for raw in self._values]


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Agreement over all that was rated, of each thing rated, and of each rater (arrays in the order of `Ratings`).

    `alpha`, `kappa` (Fleiss): 1 is perfect, 0 what chance gives; `observed`: the share of pairs that agree, chance
    included (nominal). None where undefined: no level, or nothing has two ratings; in arrays NaN. `by_rater`: 1 -
    observed / expected disagreement over the pairs that a rater is part of; `rater_kappa`: Cohen's kappa with the
    labels, the rater's own answers among what made them.
    """

    level: Level | None
    ratings: int
    alpha: float | None
    kappa: float | None
    observed: float | None
    by_thing: Floats
    by_rater: Floats
    rater_kappa: Floats


def parts(kind: str, schema: Mapping[str, Any]) -> int:
    """Ratings that one answer of this kind is compared by: what `measure` takes memory for."""
    return len(schema.get({"multi-choice": "classes", "ranking": "items"}.get(kind, ""), ())) or 1


def measure(kind: str, schema: Mapping[str, Any], ratings: Ratings) -> Reliability:
    """The agreement of `ratings`, whose values are of this kind and schema."""
    things, raters = len(ratings.things), len(ratings.raters)
    nothing = np.full(things, np.nan), np.full(raters, np.nan), np.full(raters, np.nan)
    split = _SPLIT.get(kind)
    if split is None or not len(ratings):
        return Reliability(None, len(ratings), None, None, None, *nothing)
    level, values_of = split
    width, code = parts(kind, schema), _coder(level)
    # Each distinct value once: a row of `table` is what an answer of that value is compared by.
    table = np.array(
        [[code(one) for one in values_of(value, schema)] for value in ratings.values()],
        np.float64 if level == "interval" else np.int64,
    )
    thing, rater, value = ratings.columns()
    unit = (thing[:, None] * width + np.arange(width)).ravel()
    rater, compared = np.repeat(rater, width), table[value].ravel()
    found = krippendorff_alpha(unit, rater, compared, level=level, n_tasks=things * width, n_workers=raters)
    by_thing = found.by_task.reshape(-1, width).mean(axis=1)
    if level != "nominal":
        return Reliability(level, len(ratings), shown(found.value), None, None, by_thing, found.by_worker, nothing[1])
    label = ratings.labels()
    reference = np.where((label >= 0)[:, None], table[label], -1).ravel()
    return Reliability(
        level=level,
        ratings=len(ratings),
        alpha=shown(found.value),
        kappa=shown(fleiss_kappa(unit, compared)),
        observed=shown(1 - found.observed),
        by_thing=by_thing,
        by_rater=found.by_worker,
        rater_kappa=cohen_kappa_by_worker(unit, rater, compared, reference=reference, n_workers=raters),
    )


def shown(value: float) -> float | None:
    """Four decimals: more is noise. None for what is undefined."""
    return round(float(value), 4) if np.isfinite(value) else None


def _coder(level: Level) -> Callable[[Any], Any]:
    """Numbers as they are; of names each new one gets the next code."""
    if level != "nominal":
        return float if level == "interval" else int
    codes: dict[Any, int] = {}
    return lambda name: codes.setdefault(name, len(codes))


def _places(value: Sequence[str], schema: Mapping[str, Any]) -> list[int]:
    place = {name: i for i, name in enumerate(value)}
    return [place[name] for name in schema["items"]]


_SPLIT: Mapping[str, tuple[Level, Callable[[Any, Mapping[str, Any]], Sequence[Any]]]] = {
    "choice": ("nominal", lambda value, schema: [value]),
    "text": ("nominal", lambda value, schema: [folded(value)]),
    "multi-choice": ("nominal", lambda value, schema: [name in value for name in schema["classes"]]),
    "number": ("interval", lambda value, schema: [value]),
    "ranking": ("ordinal", _places),
    VOTE: ("nominal", lambda value, schema: [value]),
}
