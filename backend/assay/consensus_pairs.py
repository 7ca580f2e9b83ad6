"""Comparisons from files: a label "a>b" says that a is better than b; every task compares two items of one pool."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from assay.consensus_kinds import Outcome, Row, alpha_of_texts, in_order, named, parts_of
from assay.errors import FieldError

METHODS = ("bradley_terry_noise", "bradley_terry")
GOLD = 10
"""What a known comparison counts: it is known, but a finite weight keeps scores comparable."""

Pair = tuple[str, str]


def comparisons(rows: Sequence[Row], gold: Mapping[str, str], method: str, seed: int) -> Outcome:
    """The better item of each task, by scores of all items together; extra: `order` (best first), `scores`, `errors`.

    Raises FieldError for a label that compares anything but two items, or a task that compares several pairs.
    """
    from assay.consensus.pairwise import Comparisons, resolve_pairwise

    if method not in METHODS:
        raise FieldError("method", f"is {method!r}", hint=f"one of {', '.join(METHODS)}")
    given = [(task, worker, _pair("labels", task, label)) for task, worker, label in rows]
    pairs: dict[str, Pair] = {}
    for task, _, pair in given:
        _same(pairs.setdefault(task, pair), pair, field="labels", task=task)
    known = {task: _pair("gold", task, label) for task, label in gold.items() if task in pairs}
    for task, pair in known.items():
        _same(pairs[task], pair, field="gold", task=task)
    items = in_order({item for pair in pairs.values() for item in pair})
    place = {item: code for code, item in enumerate(items)}
    workers = {worker: code for code, worker in enumerate(dict.fromkeys(row[1] for row in rows))}
    answers = Comparisons(
        np.array([workers[worker] for _, worker, _ in given], np.int32),
        np.array([place[better] for _, _, (better, _) in given], np.int32),
        np.array([place[worse] for _, _, (_, worse) in given], np.int32),
        len(workers),
        len(items),
        gold=np.array([[place[better], place[worse]] for better, worse in known.values()] * GOLD, np.int32),
    )
    start = time.perf_counter()
    result = resolve_pairwise(answers, noise=method == METHODS[0])
    seconds = time.perf_counter() - start
    order = [items[code] for code in result.ranking()]
    rank = {item: number for number, item in enumerate(order)}
    labels = {task: sorted(pair, key=lambda item: rank[item]) for task, pair in pairs.items()}
    labels |= {task: list(pair) for task, pair in known.items()}
    sure = {
        task: 1.0 if task in known else round(result.better(place[better], place[worse]), 6)
        for task, (better, worse) in labels.items()
    }
    return Outcome(
        dict(labels), sure, named(tuple(workers), result.worker_skill), alpha_of_texts(rows), method, seconds,
        {
            "order": order,
            "scores": named(items, result.scores),
            "errors": named(items, result.error),
            "iterations": result.iterations,
            "converged": result.converged,
        },
    )  # fmt: skip


def _pair(field: str, task: str, label: str) -> Pair:
    parts = parts_of(label, ">", field=field)
    if len(parts) != 2 or parts[0] == parts[1]:
        raise FieldError(
            field, f"gives task {task!r} the label {label[:40]!r}", hint="the better item first, as in a>b"
        )
    return parts[0], parts[1]


def _same(one: Pair, other: Pair, *, field: str, task: str) -> None:
    if set(one) != set(other):
        raise FieldError(
            field, f"compares {' with '.join(other)} in task {task!r}", hint=f"{' with '.join(one)}: one pair a task"
        )
