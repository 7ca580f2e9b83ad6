"""Dynamic overlap: which tasks ask for one more answer, and how everybody sees that no other did.

In a request with `more`, a task that has all its answers asks for one more, one at a time, while its confidence is
below `confidence_bps` and it has fewer than `most`. The confidence is that of the answers which are there, under a
model that all know: what the request's method learned from exactly the first `point` records of the vote log, or the
share of answers that agree with the majority's label where nothing is learned (yet). So whoever has the log can tell of
each later answer that it was due, and of each settled task that no other was: the operator chooses neither.

Gold tasks never grow, since their label is known.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace

from assay.domain import verdict
from assay.domain.history import History
from assay.domain.messages import b58
from assay.domain.spec import Spec
from assay.domain.standing import refit_point
from assay.domain.work import Task
from assay.errors import FieldError


def point_now(spec: Spec, history: History | None) -> int:
    """The point of the model by which tasks ask for more now; 0: by majority. Reputation changes with every settlement
    anywhere, so no later look could repeat a decision that went by it: of a request that weighs, it is always 0.
    """
    return 0 if history is None or spec.weighs else history.point


def confidences(spec: Spec, tasks: Iterable[Task], *, history: History | None, point: int) -> Mapping[int, int]:
    """Confidence of each task's answers (basis points, by task index) under the model of `point`. Raises `FieldError`
    for a point that no model is of.
    """
    some = list(tasks)
    model = None if history is None else history.model_at(point)
    if model is not None and some:  # of no answers at all not every kind can make columns
        return {index: confidence for index, (_, confidence) in model.labels(some).items()}
    out = {}
    for task in some:
        values = [verdict.value_of(answer.content) for answer in task.answers]
        out[task.index] = verdict.majority(spec.kind, spec.schema, values)[1]
    return out


def growing(spec: Spec, tasks: Iterable[Task], *, history: History | None) -> frozenset[int]:
    """Indices of the tasks that ask for one more answer now. Those that await one already are not among `tasks`."""
    if spec.more is None:
        return frozenset()
    most, target = spec.more.most, spec.more.confidence_bps
    open_ = [task for task in tasks if task.gold is None and len(task.answers) < most]
    point = point_now(spec, history)
    found = confidences(spec, open_, history=history, point=point)
    return frozenset(index for index, confidence in found.items() if confidence < target)


def verify(spec: Spec, task: Task, at: str) -> None:
    """The form of `task.later`, and that no more answers are there than could be asked for. Raises `FieldError`."""
    if spec.mode != "agreement":
        if task.later:
            raise FieldError(f"{at}.later", "is there though the mode is review")
        return
    overlap = spec.items[task.index].overlap
    if task.later and (spec.more is None or task.gold is not None):
        why = "the specification lets no task grow" if spec.more is None else "its label is known: it is gold"
        raise FieldError(f"{at}.later", f"is there though {why}")
    first = len(task.answers) - len(task.later)
    if first > overlap:
        raise FieldError(f"{at}.answers", f"are {first}", hint=f"at most {overlap}, the overlap")
    if task.later and first < overlap:
        raise FieldError(f"{at}.later", f"leaves {first} first answers", hint=f"{overlap}, the overlap")
    if spec.more is not None and len(task.answers) > spec.more.most:
        raise FieldError(f"{at}.answers", f"are {len(task.answers)}", hint=f"at most {spec.more.most}")
    named = [labeler for labeler, _ in task.later]
    if len(set(named)) != len(named) or not set(named) <= {answer.labeler for answer in task.answers}:
        raise FieldError(f"{at}.later", "must name labelers of the task's answers, each once")


def check(
    spec: Spec, tasks: Sequence[Task], *, history: History | None, closing: bool, begun: Container[int] = ()
) -> None:
    """That the tasks, whose form is right (`verify`), grew when it was due and only then. Raises `FieldError`.

    `closing`: the request hands out nothing more, so tasks are settled with what they have. `begun`: indices of tasks
    of which an earlier batch has settled some answers: that one was the time to ask for more.
    """
    if spec.more is None:
        return
    now = point_now(spec, history)
    for i, task in enumerate(tasks):
        least = 0
        for k, (_, point) in enumerate(task.later):
            if not least <= point <= now or refit_point(point) != point:
                raise FieldError(
                    f"tasks[{i}].later[{k}]", f"goes by point {point}", hint=f"a point of the log from {least} to {now}"
                )
            least = point
    _due(spec, tasks, history)
    if closing:
        return
    open_ = [task for task in tasks if task.index not in begun]
    wanting = growing(spec, open_, history=history)
    for i, task in enumerate(tasks):
        overlap = spec.items[task.index].overlap
        if len(task.answers) < overlap or (task.index in wanting and task in open_):
            raise FieldError(
                f"tasks[{i}].answers", f"are {len(task.answers)}, and another was due before it could be settled",
                hint=f"{overlap}, and more while its confidence is below {spec.more.confidence_bps}, up to "
                f"{spec.more.most}",
            )  # fmt: skip


def _due(spec: Spec, tasks: Sequence[Task], history: History | None) -> None:
    """Each later answer was asked for since those before it left the task in doubt."""
    assert spec.more is not None
    for k in range(max((len(task.later) for task in tasks), default=0)):
        by_point: dict[int, list[Task]] = {}
        for task in tasks:
            if k < len(task.later):
                by_point.setdefault(task.later[k][1], []).append(before(task, k))
        for point, some in by_point.items():
            for index, confidence in confidences(spec, some, history=history, point=point).items():
                if confidence >= spec.more.confidence_bps:
                    i, task = next((i, task) for i, task in enumerate(tasks) if task.index == index)
                    raise FieldError(
                        f"tasks[{i}].later[{k}]",
                        f"{b58(task.later[k][0])} was asked at a confidence of {confidence}",
                        hint=f"below {spec.more.confidence_bps}",
                    )


def before(task: Task, k: int) -> Task:
    """`task` as it was when its `k`-th later answer was asked for."""
    gone = {labeler for labeler, _ in task.later[k:]}
    answers = tuple(answer for answer in task.answers if answer.labeler not in gone)
    return replace(task, answers=answers, later=task.later[:k], settles=None, record=True)
