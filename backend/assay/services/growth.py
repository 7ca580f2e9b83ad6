"""Dynamic overlap as the market does it: tasks that are in doubt go back for one more answer (`domain.growth`).

A task is looked at before each batch until it is settled or put back, in one transaction with the line of the log of
hand-outs; a batch takes none that was not looked at. Safe to stop anywhere: what is decided follows from what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assay.db.pool import Session
from assay.domain import growth
from assay.domain.history import History
from assay.domain.spec import Spec
from assay.domain.work import Answer, Gold, Later, Task

if TYPE_CHECKING:
    from assay.services.market import Market

TASKS = 400
"""Tasks (review: answers) that are looked at for one batch."""


def gold_of(rows: Any) -> dict[int, Gold]:
    """The buyer's gold labels by task index, opened."""
    return {
        one["index"]: Gold(
            one["label"],
            bytes.fromhex(one["salt"]),
            one["position"],
            tuple(bytes.fromhex(sibling) for sibling in one["proof"]),
        )
        for one in rows or ()
    }


async def answers_of(tx: Session, tasks: Sequence[Any]) -> dict[bytes, list[Any]]:
    """The answers to tasks (rows of `tasks_due`), by task id."""
    found: dict[bytes, list[Any]] = {task["id"]: [] for task in tasks}
    for answer in await tx.fetch("answers_of_tasks", list(found)):
        found[answer["task"]].append(answer)
    return found


def task_of(task: Any, answers: Sequence[Any], gold: Mapping[int, Gold]) -> Task:
    """A task by agreement with all of its answers, and which of them were asked for later."""
    later: Later = ()
    if points := task["points"]:  # the last may have been asked for in vain, where the request is closing
        first = task["answers_wanted"] - len(points)
        in_turn = sorted(answers, key=lambda one: one["turn"])
        later = tuple((one["labeler"], point) for one, point in zip(in_turn[first:], points, strict=False))
    return Task(
        index=task["index"],
        answers=tuple(Answer(one["labeler"], one["content"], one["signature"]) for one in answers),
        gold=gold.get(task["index"]),
        later=later,
    )


class Growth:
    """The tasks of requests whose specification lets them grow."""

    def __init__(self, market: Market) -> None:
        self._db = market.db
        self._market = market
        self._full: dict[bytes, tuple[int, set[bytes]]] = {}
        """By request a batch's number, and the tasks that ask for no more answers before it."""

    def forget(self, request: bytes) -> None:
        """The request has ended."""
        self._full.pop(request, None)

    async def grow(self, request: bytes, spec: Spec, history: History | None, *, batch: int) -> int:
        """Puts tasks that have all their answers, and are in doubt, back for one more; how many.

        `history`: all batches before `batch`, the next, whose verdicts go by the same model.
        """
        known, full = self._full.get(request, (batch, set()))
        if known != batch:
            full = set()
        self._full[request] = batch, full
        if all(task["id"] in full for task in await self._db.fetch("tasks_due", request, TASKS)):
            return 0
        async with self._db.transaction() as tx:
            await tx.execute("request_alone", request)
            row = await tx.row("request_for_settlement", request)
            if row is None or row["state"] != "open" or await tx.row("batch_by_number", request, batch) is not None:
                return 0
            due = [task for task in await tx.fetch("tasks_due", request, TASKS) if task["id"] not in full]
            answers = await answers_of(tx, due)
            gold = gold_of(row["gold"])
            # Of which some answers are settled, that was the time to ask for more.
            tasks = [
                task_of(task, answers[task["id"]], gold)
                for task in due
                if all(one["batch"] is None for one in answers[task["id"]])
            ]
            wanting = await asyncio.to_thread(growth.growing, spec, tasks, history=history)
            more = [task["id"] for task in due if task["index"] in wanting]
            if more:
                await tx.execute("commit_without_waiting")
                await tx.execute("tasks_more", more, growth.point_now(spec, history))
        full.update(task["id"] for task in due if task["index"] not in wanting)
        if more:
            self._market.tasks.opened()
            self._market.changed.send(request)
        return len(more)

    async def ready(self, tx: Session, row: Any, batch: int) -> Collection[bytes] | None:
        """The tasks that batch `batch` may settle; None: all that are due. Until the transaction ends, none grows."""
        await tx.execute("request_alone", row["address"])
        known, full = self._full.get(row["address"], (batch, set()))
        if row["state"] != "open":
            return None
        return full if known == batch else ()
