"""Nothing is settled twice: what a proposal may not hold, given what the chain has settled of its request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from assay.domain import batch as batches
from assay.domain.batch import Batch
from assay.domain.spec import Spec
from assay.domain.work import Task
from assay_validator.settled import Content, Settled
from assay_validator.state import Refused


def check(
    found: Batch, content: Content, *, spec: Spec, domain: bytes, tasks: Sequence[Task], settled: Settled
) -> None:
    """Raises `Refused` naming the field: ``settled_before`` for an answer or a record of an earlier batch,
    ``settled_twice`` for two records of one task, ``answers_changed`` for a task of which an earlier batch has settled
    some answers, beside others than now.
    """

    def refused(code: str, entry: bytes, what: str) -> Refused:
        return Refused(code, f"{_place(entry, spec=spec, domain=domain, tasks=tasks)}: {what}")

    for task, count in Counter(content.records).items():
        if count > 1:
            raise refused("settled_twice", task, f"{count} of its answers are accepted, and a task has one record")
    for name, entries in (("answer", content.answers), ("record", content.records)):
        for entry in entries:
            before = settled.batch_of(domain, entry)
            if before is not None:
                raise refused("settled_before", entry, f"{name} {entry.hex()} was settled in batch {before}")
    if spec.mode != "agreement":
        return
    for task, evidence in {entry.task: entry.evidence for entry in found.answers}.items():
        before = settled.batch_of(domain, task)
        if before is not None:
            raise refused("settled_before", task, f"its record was settled in batch {before}, and no answer after it")
        if settled.part(domain, task) not in (None, evidence):
            raise refused("answers_changed", task, "an earlier batch settled some of its answers beside other ones")


def _place(entry: bytes, *, spec: Spec, domain: bytes, tasks: Sequence[Task]) -> str:
    """The field of a proposal with this answer, or this task's record."""
    ids = batches.task_ids(spec, domain=domain, tasks=tasks)
    for i, task in enumerate(tasks):
        if ids[task.index] == entry:
            return f"tasks[{i}]"
        for j, answer in enumerate(task.answers):
            if answer.id(domain=domain, task=ids[task.index]) == entry:
                return f"tasks[{i}].answers[{j}]"
    raise AssertionError("unreachable")
