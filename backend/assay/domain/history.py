"""What a batch may learn from: the earlier batches of its request.

Settler, validators and auditor each keep one `History` a request and add batches in the order of the published log, so
what a batch says follows from the log alone. Requests whose specification does not learn (`Spec.learns`) need none.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Set
from itertools import islice
from threading import Lock
from typing import Any

from assay.domain import learning
from assay.domain.canonical import Json
from assay.domain.learning import Model
from assay.domain.messages import ACCEPT, REJECT
from assay.domain.methods import MAJORITY
from assay.domain.similarity import agrees
from assay.domain.spec import Spec
from assay.domain.standing import Judged, Register, point_in_use, refit_point
from assay.domain.verdict import value_of
from assay.domain.work import Counters, Gold, Task
from assay.errors import FieldError


def gold_verdict(spec: Spec, content: Json, gold: Gold | None) -> int | None:
    """What the verdict on an answer (its content) must be, by review: None where the task is no gold task."""
    if gold is None:
        return None
    return ACCEPT if agrees(spec.kind, spec.schema, value_of(content), value_of(gold.label)) else REJECT


class History:
    """The earlier batches of one request.

    Agreement: `model` judges the next batch, once there is one; until then iterating gives the tasks it is judged with.
    A task that several batches settle counts once, as in the first of them.
    Paid by information: `register` has the standings, by review the voters' from their votes on answers, by agreement
    the labelers' from their answers to tasks, each task once its record is settled.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._tasks: dict[int, Task] = {}
        self._counters: dict[bytes, Counters] = {}
        self._judged: list[tuple[list[tuple[bytes, Any]], Any | None]] = []
        self._registers: dict[int, Register] = {0: Register({}, None)}
        self._models: dict[int, Model] = {}
        self._in_hand: set[tuple[int, int]] = set()
        self._learning = Lock()

    def __iter__(self) -> Iterator[Task]:
        """What a batch is judged together with where there is no model: all, or the last where none ever comes."""
        recent = 0 if learning.learns(self._spec) else max(0, len(self._tasks) - learning.RECENT)
        return islice(self._tasks.values(), recent, None)

    @property
    def begun(self) -> Container[int]:
        """Indices of the tasks, by agreement, of which some answers are settled."""
        return self._tasks.keys()

    @property
    def point(self) -> int:
        """From how many records the model in use is learned; 0: there is none yet, or never one."""
        return point_in_use(len(self._tasks)) if learning.learns(self._spec) else 0

    @property
    def model(self) -> Model | None:
        """What judges the next batch; None while the log is short."""
        return self.model_at(self.point)

    def model_at(self, point: int) -> Model | None:
        """The model learned from the first `point` records; None for 0. With dynamic overlap it is kept: there are few
        of them. Else those before the one in use are not asked for again, and go.

        Raises `FieldError` for a point that no model was, or is yet, in use from.
        """
        if point == 0:
            return None
        if point > self.point or refit_point(point) != point:
            raise FieldError("point", f"is {point}", hint=f"a refit point up to {self.point}, or 0")
        found = self._models.get(point)
        if found is None:
            found = self._model(point, list(islice(self._tasks.values(), point)))
        if self._spec.more is None:
            for old in [one for one in tuple(self._models) if one < self.point]:
                self._models.pop(old, None)
        return found

    def _model(self, point: int, tasks: list[Task]) -> Model:
        """Learns it, or waits for who is at it."""
        with self._learning:
            if point not in self._models:
                self._models[point] = Model(self._spec, tasks)
            return self._models[point]

    @property
    def learned(self) -> Set[int]:
        """The points whose models are kept."""
        return self._models.keys()

    def ready(self) -> None:
        """Learns what the next batch is judged and paid by, unless that is done: seconds, if the log is long."""
        if self._spec.mode == "agreement":
            _ = self.model
        if self._spec.pay == "information":
            _ = self.register

    def prepare(self) -> Callable[[], None] | None:
        """What can be learned before it is needed, to be called in any thread; None where nothing is to be learned, or
        all of it was given out before: whoever has it must call it.
        """
        point = refit_point(len(self._tasks)) if learning.learns(self._spec) else 0
        count = refit_point(len(self._judged))
        if (point, count) in self._in_hand:
            return None
        tasks = None if point == 0 or point in self._models else list(islice(self._tasks.values(), point))
        judged = None if count in self._registers else self._judged[:count]
        if tasks is None and judged is None:
            return None
        self._in_hand.add((point, count))

        def learn() -> None:
            try:
                if tasks is not None:
                    self._model(point, tasks)
                if judged is not None:
                    self._register(judged)
            finally:
                self._in_hand.discard((point, count))

        return learn

    def add(self, tasks: Iterable[Task]) -> None:
        """The next batch of the log. Within it answers count in order of task index, then labeler, as the log has
        them, whatever order they are given in.
        """
        if not self._spec.learns:
            return
        for task in sorted(tasks, key=lambda one: one.index):
            if self._spec.mode == "agreement":
                if self._spec.method != MAJORITY:
                    self._tasks.setdefault(task.index, task)
                self._counters |= {one.labeler: one.counters for one in task.answers if one.counters is not None}
                if self._spec.pay == "information" and task.record:
                    given = sorted((one.labeler, value_of(one.content)) for one in task.answers)
                    self._judged.append((given, None if task.gold is None else value_of(task.gold.label)))
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
        """The standings of voters (review) or labelers (agreement, single choice) in use: learned anew only at
        `standing.refit_points`.
        """
        point = point_in_use(len(self._judged))
        found = self._registers.get(point)
        if found is None:
            found = self._register(self._judged[:point])
        for old in [one for one in tuple(self._registers) if one < point]:  # never asked for again
            self._registers.pop(old, None)
        return found

    def _register(self, judged: Judged) -> Register:
        """As `_model`."""
        classes = self._spec.schema["classes"] if self._spec.mode == "agreement" else (REJECT, ACCEPT)
        with self._learning:
            if len(judged) not in self._registers:
                self._registers[len(judged)] = Register.learn(judged, classes=classes)
            return self._registers[len(judged)]
