"""What a batch may learn from: the earlier batches of its request.

Settler, validators and auditor each keep one `History` a request and add batches in the order of the published log, so
what a batch says follows from the log alone. Requests whose specification does not learn (`Spec.learns`) need none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from assay.domain.canonical import Json
from assay.domain.messages import ACCEPT, REJECT
from assay.domain.similarity import agrees
from assay.domain.spec import Spec
from assay.domain.standing import Register, refit_point
from assay.domain.verdict import value_of
from assay.domain.work import Counters, Gold, Task


def gold_verdict(spec: Spec, content: Json, gold: Gold | None) -> int | None:
    """What the verdict on an answer (its content) must be, by review: None where the task is no gold task."""
    if gold is None:
        return None
    return ACCEPT if agrees(spec.kind, spec.schema, value_of(content), value_of(gold.label)) else REJECT


class History:
    """The earlier batches of one request.

    Agreement: iterating gives their tasks, for `verdict.consensus`; a task that several batches settle counts once.
    Review: `register` has the voters' standings, learned from the votes; the tasks themselves are not kept.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._tasks: dict[int, Task] = {}
        self._counters: dict[bytes, Counters] = {}
        self._judged: list[tuple[list[tuple[bytes, int]], int | None]] = []
        self._register = Register({}, None)
        self._learned = 0

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def add(self, tasks: Iterable[Task]) -> None:
        """The next batch of the log. Within it answers count in order of task index, then labeler, as the log has
        them, whatever order they are given in.
        """
        if not self._spec.learns:
            return
        for task in sorted(tasks, key=lambda one: one.index):
            if self._spec.mode == "agreement":
                self._tasks[task.index] = task
                self._counters |= {one.labeler: one.counters for one in task.answers if one.counters is not None}
                continue
            for answer in sorted(task.answers, key=lambda one: one.labeler):
                votes = sorted((vote.voter, vote.vote) for vote in answer.votes)
                self._judged.append((votes, gold_verdict(self._spec, answer.content, task.gold)))

    @property
    def counters(self) -> Mapping[bytes, Counters]:
        """By labeler, where the specification weighs: what every later answer of the request has to name."""
        return self._counters

    @property
    def register(self) -> Register:
        """The voters' standings; learned anew only after 32, 40, 50, … answers."""
        point = refit_point(len(self._judged))
        if point != self._learned:
            self._register = Register.learn(self._judged, classes=(REJECT, ACCEPT))
            self._learned = point
        return self._register
