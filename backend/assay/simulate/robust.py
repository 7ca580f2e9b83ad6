"""Where a method falls under majority, over many crowds: the margin in points, and how much of it is luck."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.consensus import resolve

from .families import Case

POINT = 0.01 + 1e-9
"""More than this under majority counts; the rest is rounding."""


@dataclass(frozen=True, slots=True)
class Margin:
    """One crowd: shares right of the tasks that are known and not gold, and `error`, the margin's standard error from
    the tasks that the two label differently (McNemar 1947)."""

    family: str
    name: str
    tasks: int
    majority: float
    accuracy: float
    error: float
    seconds: float

    @property
    def points(self) -> float:
        """Percentage points over majority."""
        return 100 * (self.accuracy - self.majority)


def measure(case: Case, *, method: str = "auto", seed: int = 0) -> Margin:
    """Judge one crowd by `method` and by majority."""
    judged = (
        (case.truth != -1) & (case.answers.gold < 0) & (np.bincount(case.answers.task, minlength=case.truth.size) > 0)
    )
    start = time.process_time()
    labels = resolve(method, case.answers, seed=seed).labels[judged]
    seconds = time.process_time() - start
    right = labels == case.truth[judged]
    plain = resolve("majority", case.answers).labels[judged] == case.truth[judged]
    size = max(int(judged.sum()), 1)
    won, lost = int((right & ~plain).sum()), int((plain & ~right).sum())
    error = math.sqrt(max(won + lost - (won - lost) ** 2 / size, 0)) / size
    return Margin(case.family, case.name, size, float(plain.mean()), float(right.mean()), error, seconds)


def summary(margins: Iterable[Margin]) -> list[dict[str, Any]]:
    """One row a family: `crowds`, mean `majority` and `accuracy`, and in points the `mean` margin, the `worst` with its
    `error` and `name`, the crowds that are more than a point `under`, and of these those that are so `surely`, by two
    standard errors; `seconds`, the most processor time a crowd took."""
    families: dict[str, list[Margin]] = defaultdict(list)
    for margin in margins:
        families[margin.family].append(margin)
    rows = []
    for family, found in families.items():
        worst = min(found, key=lambda one: one.points)
        under = [one for one in found if one.majority - one.accuracy > POINT]
        rows.append(
            {
                "family": family,
                "crowds": len(found),
                "majority": sum(one.majority for one in found) / len(found),
                "accuracy": sum(one.accuracy for one in found) / len(found),
                "mean": sum(one.points for one in found) / len(found),
                "worst": worst.points,
                "error": 100 * worst.error,
                "name": worst.name,
                "under": len(under),
                "surely": sum(-one.points - 1 > 200 * one.error for one in under),
                "seconds": max(one.seconds for one in found),
            }
        )
    return rows


def total(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All families together, each counted alike in the means."""
    worst = min(rows, key=lambda row: row["worst"])
    means = {key: sum(row[key] for row in rows) / len(rows) for key in ("majority", "accuracy", "mean")}
    counts = {key: sum(row[key] for row in rows) for key in ("crowds", "under", "surely")}
    return {"family": "all", **counts, **means, **{key: worst[key] for key in ("worst", "error", "name")},
            "seconds": max(row["seconds"] for row in rows)}  # fmt: skip


def run(cases: Iterable[Case], say: Callable[[str], None], *, method: str = "auto") -> dict[str, Any]:
    """Every case, with a line printed for each family when all are done."""
    rows = summary([measure(case, method=method) for case in cases])
    if not rows:
        return {"families": [], "all": None}
    everything = total(rows)
    names = f"{'margin':>8}{'worst':>8}{'± error':>9}{'under':>7}{'surely':>8}  worst crowd"
    say(f"{'family':<20}{'crowds':>7}{'majority':>10}{method:>8}{names}")
    for row in [*rows, everything]:
        say(
            f"{row['family']:<20}{row['crowds']:>7}{100 * row['majority']:>10.2f}{100 * row['accuracy']:>8.2f}"
            f"{row['mean']:>+8.2f}{row['worst']:>+8.2f}{row['error']:>9.2f}{row['under']:>7}{row['surely']:>8}"
            f"  {row['name']}"
        )
    return {"families": rows, "all": everything}
