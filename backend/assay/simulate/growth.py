"""Dynamic overlap on answers that were really given: the market's own rule (`domain.growth`), batch after batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.consensus import Answers
from assay.domain import growth, spec, verdict
from assay.domain.history import History
from assay.domain.spec import Spec
from assay.domain.work import Answer, Task

BATCH = 50
"""Tasks that are open at once, and settled together."""
CID = "bafkrei" + "a" * 52


def specification(answers: Answers, *, method: str, overlap: int, more: tuple[int, int] | None) -> Spec:
    """A request for these tasks; `more`: the most answers a task may get, and the confidence (bps) it asks for."""
    return spec.parse(
        {
            "title": "t", "instructions": "", "kind": "choice", "mode": "agreement", "overlap": overlap,
            "schema": {"classes": [str(code) for code in range(answers.n_classes)]}, "consensus": {"method": method},
            "items": [{"cid": CID, "media_type": "text/plain; charset=utf-8"}] * answers.n_tasks,
            "more": None if more is None else {"most": more[0], "confidence_bps": more[1]},
        }
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compared:
    """Right labels (shares) and answers a task of the market's rule, and of fixed overlap at the same cost."""

    answers_per_task: float
    growing: float
    fixed: float


def compare(
    answers: Answers, truth: NDArray[Any], *, method: str, overlap: int, more: tuple[int, int], seeds: int
) -> Compared:
    """Means over orders of arrival. The same cost lies between two whole overlaps, between which it is interpolated."""
    judged = truth != -1
    rows = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(answers))

        def run(overlap: int, more: tuple[int, int] | None, order: NDArray[Any] = order) -> tuple[float, float]:
            asked = specification(answers, method=method, overlap=overlap, more=more)
            labels, used = settle(asked, answers, order)
            return used / answers.n_tasks, float(np.mean(labels[judged] == truth[judged]))

        cost, right = run(overlap, more)
        above = int(cost) + 1
        low, high = run(above - 1, None), run(above, None)
        while low[0] < high[0] < cost:  # where tasks have fewer answers than that
            above += 1
            low, high = high, run(above, None)
        rows.append((cost, right, float(np.interp(cost, [low[0], high[0]], [low[1], high[1]]))))
    return Compared(*(float(one) for one in np.mean(rows, axis=0)))


def settle(asked: Spec, answers: Answers, order: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """The labels (class codes by task) of a market that gets the rows of `answers` in this order, and how many it took.

    A task whose given answers are used up is settled with what it has.
    """
    given: list[list[Answer]] = [[] for _ in range(answers.n_tasks)]
    for row in order.tolist():
        wallet = int(answers.worker[row]).to_bytes(32, "big")
        given[answers.task[row]].append(Answer(wallet, {"value": str(answers.label[row])}, b""))
    labels = np.full(answers.n_tasks, -1, np.int64)
    history = History(asked)
    used = 0
    tasks = [index for index in dict.fromkeys(answers.task[order].tolist()) if given[index]]
    for start in range(0, len(tasks), BATCH):
        batch = _grown(asked, given, tasks[start : start + BATCH], history)
        used += sum(len(task.answers) for task in batch)
        for index, found in verdict.consensus(asked, batch, history=history, model=history.model).items():
            labels[index] = int(str(found.label["value"]))
        history.add(batch)
    return labels, used


def _grown(asked: Spec, given: Sequence[Sequence[Answer]], indices: Sequence[int], history: History) -> list[Task]:
    tasks = {index: Task(index, tuple(given[index][: asked.overlap])) for index in indices}
    open_ = list(tasks.values())
    while open_:
        wanting = growth.growing(asked, open_, history=history)
        open_ = []
        for index in sorted(wanting):
            task = tasks[index]
            if len(task.answers) < len(given[index]):
                tasks[index] = replace(task, answers=tuple(given[index][: len(task.answers) + 1]))
                open_.append(tasks[index])
    return list(tasks.values())
