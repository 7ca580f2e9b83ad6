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

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.consensus.agreement import Level, cohen_kappa_by_worker, fleiss_kappa, krippendorff_alpha
from assay.domain.similarity import folded

VOTE = "vote"
"""The kind of a vote on an answer: 0 or 1."""

Row = tuple[Hashable, bytes, Any]
"""What is rated, who rates it, the rating (a value in its normal form, or a vote)."""


@dataclass(frozen=True, slots=True)
class Rater:
    """One rater's part. `agreement`: 1 − observed / expected disagreement over the pairs it is part of; `kappa`:
    Cohen's κ with the labels, its own answers among what made them. None where undefined.
    """

    ratings: int
    agreement: float | None
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Reliability:
    """Agreement over all that was rated, of each thing rated, and of each rater.

    `alpha`, `kappa` (Fleiss): 1 is perfect, 0 what chance gives; `observed`: the share of pairs that agree, chance
    included (nominal). None where undefined: no level, or nothing has two ratings.
    """

    level: Level | None
    ratings: int
    alpha: float | None
    kappa: float | None
    observed: float | None
    by_task: Mapping[Hashable, float | None]
    by_rater: Mapping[bytes, Rater]


def parts(kind: str, schema: Mapping[str, Any]) -> int:
    """Ratings that one answer of this kind is compared by: what `measure` takes memory for."""
    return len(schema.get({"multi-choice": "classes", "ranking": "items"}.get(kind, ""), ())) or 1


def measure(
    kind: str, schema: Mapping[str, Any], rows: Sequence[Row], labels: Mapping[Hashable, Any] | None = None
) -> Reliability:
    """The agreement of `rows`, each rater's with `labels` (by what is rated) too."""
    tasks = {key: code for code, key in enumerate(dict.fromkeys(row[0] for row in rows))}
    raters = {key: code for code, key in enumerate(dict.fromkeys(row[1] for row in rows))}
    counts = np.bincount([raters[row[1]] for row in rows], minlength=len(raters)) if rows else np.zeros(0, np.int64)
    split = _SPLIT.get(kind)
    if split is None or not rows:
        blank = {rater: Rater(int(counts[code]), None, None) for rater, code in raters.items()}
        return Reliability(None, len(rows), None, None, None, dict.fromkeys(tasks), blank)
    level, values_of = split
    width = parts(kind, schema)
    code = _coder(level)
    ratings = [[code(one) for one in values_of(row[2], schema)] for row in rows]
    task = np.repeat(np.array([tasks[row[0]] for row in rows], np.int64), width)
    unit = task * width + np.tile(np.arange(width), len(rows))
    rater = np.repeat(np.array([raters[row[1]] for row in rows], np.int64), width)
    value = np.array(ratings, np.float64 if level == "interval" else np.int64).reshape(-1)
    found = krippendorff_alpha(unit, rater, value, level=level, n_tasks=len(tasks) * width, n_workers=len(raters))
    kappas: Sequence[Any] = [None] * len(raters)
    if level == "nominal":
        reference = np.full(len(tasks) * width, -1, np.int64)
        for key, label in (labels or {}).items():
            if key in tasks:
                at = tasks[key] * width
                reference[at : at + width] = [code(one) for one in values_of(label, schema)]
        kappas = list(cohen_kappa_by_worker(unit, rater, value, reference=reference, n_workers=len(raters)))
    by_task = found.by_task.reshape(-1, width).mean(axis=1)
    return Reliability(
        level=level,
        ratings=len(rows),
        alpha=_or_none(found.value),
        kappa=_or_none(fleiss_kappa(unit, value)) if level == "nominal" else None,
        observed=_or_none(1 - found.observed) if level == "nominal" else None,
        by_task={key: _or_none(by_task[place]) for key, place in tasks.items()},
        by_rater={
            key: Rater(int(counts[place]), _or_none(found.by_worker[place]), _or_none(kappas[place]))
            for key, place in raters.items()
        },
    )


def _or_none(value: Any) -> float | None:
    """Four decimals: more is noise. None for what is undefined."""
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


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
