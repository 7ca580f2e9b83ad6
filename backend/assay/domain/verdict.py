"""Verdicts: what the answers to a task, or the votes on an answer, come to.

Agreement: the answers of a task make its label (the request's consensus method), and those that agree with the label
are accepted. A gold task's label is the committed one. Ties go to the class that the schema names first.

Review: an answer is accepted when at least half of its revealed votes accept it. The tie goes to the labeler: who
wants to take pay away has to convince more than half. Gold: the verdict is whether the answer agrees with the label.

Confidences are basis points. By majority they are the share of answers (votes) on the verdict's side, an exact
fraction rounded down; by a statistical method its posterior, rounded to whole percents so that the last bits of
floating point never decide what is signed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any, cast

from assay.domain import methods, weights
from assay.domain import schema as schemas
from assay.domain.canonical import Json
from assay.domain.incentives import split_units
from assay.domain.messages import ACCEPT, REJECT
from assay.domain.methods import MAJORITY
from assay.domain.similarity import BPS, agrees, similarity
from assay.domain.spec import Spec
from assay.domain.work import Task, Vote
from assay.errors import FieldError

if TYPE_CHECKING:
    from assay.domain.learning import Model


@dataclass(frozen=True, slots=True)
class Consensus:
    """A task's label (content form) and its confidence."""

    label: dict[str, Json]
    confidence: int


def value_of(content: Json) -> Json:
    """The `value` of an answer's content or of a label."""
    return cast(dict[str, Json], content)["value"]


def _plurality(values: Sequence[Any], schema: Mapping[str, Any]) -> Any:
    counts = Counter(values)
    return max(schema["classes"], key=lambda name: counts[name])  # max keeps the first of equals


def _median(values: Sequence[Any], schema: Mapping[str, Any]) -> Any:
    numbers = sorted(Decimal(value) for value in values)
    middle = len(numbers) // 2
    if len(numbers) % 2:
        return schemas.number_text(numbers[middle])
    mean = (numbers[middle - 1] + numbers[middle]) / 2
    return schemas.number_text(mean.quantize(Decimal(1).scaleb(-schema["decimals"]), ROUND_HALF_EVEN))


def _each_class(values: Sequence[Any], schema: Mapping[str, Any]) -> Any:
    counts = Counter(name for value in values for name in value)
    return [name for name in schema["classes"] if 2 * counts[name] > len(values)]


def _medoid(kind: str, values: Sequence[Any], schema: Mapping[str, Any]) -> Any:
    """The answer most like all others; of equals the first in canonical order, whatever the order of the answers."""
    ranked = sorted(values, key=repr)
    return max(ranked, key=lambda value: sum(similarity(kind, schema, value, other) for other in ranked))


def majority(kind: str, schema: Mapping[str, Any], values: Sequence[Any]) -> tuple[Any, int]:
    """The consensus value of one task's answers and the share that agrees with it.

    choice: plurality; multi-choice: classes that more than half name (the medoid if that breaks the schema's limits);
    number: median; the others: the medoid, the answer with the highest mean similarity to the rest.
    """
    if not values:
        raise FieldError("answers", "are none", hint="at least one")
    if kind == "choice":
        value = _plurality(values, schema)
    elif kind == "number":
        value = _median(values, schema)
    elif kind == "multi-choice":
        value = _each_class(values, schema)
        if not schema["min"] <= len(value) <= schema["max"]:
            value = _medoid(kind, values, schema)
    else:
        value = _medoid(kind, values, schema)
    agreeing = sum(agrees(kind, schema, one, value) for one in values)
    return value, BPS * agreeing // len(values)


def consensus(
    spec: Spec, tasks: Sequence[Task], *, history: Iterable[Task] = (), model: Model | None = None
) -> dict[int, Consensus]:
    """The consensus of each of `tasks` by task index.

    Statistical methods judge by `model`, what they learned from the request's earlier batches. Without one (the log is
    short yet) they are fitted to `history`, the tasks of all earlier batches in order, and to `tasks` together. Either
    way what a validator signs follows from the log alone.
    """
    out: dict[int, Consensus] = {}
    open_tasks = []
    for task in tasks:
        if task.gold is not None:
            out[task.index] = Consensus(cast(dict[str, Json], task.gold.label), BPS)
        else:
            open_tasks.append(task)
    if spec.method == MAJORITY:
        for task in open_tasks:
            values = [value_of(answer.content) for answer in task.answers]
            value, confidence = majority(spec.kind, spec.schema, values)
            out[task.index] = Consensus({"value": value}, confidence)
        return out
    if not open_tasks:
        return out
    found = _together(spec, (*history, *tasks)) if model is None else model.labels(open_tasks)
    for task in open_tasks:
        if task.index not in found:
            raise FieldError("answers", f"of task {task.index} are none", hint="at least one")
        value, confidence = found[task.index]
        out[task.index] = Consensus({"value": value}, confidence)
    return out


def _together(spec: Spec, tasks: Iterable[Task]) -> methods.Labels:
    # A task that several batches settle is in each of them with all its answers: it counts once.
    every = {task.index: task for task in tasks}.values()
    rows, gold, voices = evidence(spec, every)
    return methods.labels(spec.method, kind=spec.kind, schema=spec.schema, rows=rows, gold=gold, weights=voices)


def evidence(spec: Spec, tasks: Iterable[Task]) -> tuple[methods.Rows, methods.Known, methods.Weights | None]:
    """What a statistical method is given of different tasks: rows, known values by task index, and what each labeler's
    vote counts where the specification weighs.
    """
    every = list(tasks)
    # The order of rows decides how workers are coded, and with that the last bits of sums: sort what arrived in any.
    rows = sorted(
        ((task.index, answer.labeler, value_of(answer.content)) for task in every for answer in task.answers),
        key=lambda row: row[:2],
    )
    gold = {task.index: value_of(task.gold.label) for task in every if task.gold is not None}
    return rows, gold, weights.of(every) if spec.weighs else None


@dataclass(frozen=True, slots=True)
class Review:
    """The verdict on one answer: per voter whether it agreed, and its units of the validation fee (sum 2520)."""

    verdict: int
    confidence: int
    agreed: Mapping[bytes, bool]
    units: Mapping[bytes, int]


def review(votes: Sequence[Vote], *, gold: bool | None = None, weights: Mapping[bytes, int] | None = None) -> Review:
    """The verdict of revealed votes; `gold` says what it must be where it was known beforehand.

    The fee is shared by those who agreed with the verdict, equally or by their `weights` (`standing.Register`); if
    nobody did (gold), by all who voted: somebody has to be paid, and the strikes are what tells them apart.
    """
    if not votes:
        raise FieldError("votes", "are none", hint="at least one revealed vote an answer")
    if len({vote.voter for vote in votes}) != len(votes):
        raise FieldError("votes", "hold two of one voter")
    accepts = sum(vote.vote == ACCEPT for vote in votes)
    verdict = (ACCEPT if 2 * accepts >= len(votes) else REJECT) if gold is None else (ACCEPT if gold else REJECT)
    side = accepts if verdict == ACCEPT else len(votes) - accepts
    agreed = {vote.voter: vote.vote == verdict for vote in votes}
    voters = sorted(agreed)
    shares = split_units([1 if weights is None else weights[one] for one in voters], [agreed[one] for one in voters])
    units = {voter: share for voter, share in zip(voters, shares, strict=True) if share}
    confidence = BPS if gold is not None else BPS * side // len(votes)
    return Review(verdict, confidence, agreed, units)
