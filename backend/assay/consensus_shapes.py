"""Boxes, masks and key points from files: labels are JSON, in the normal form of docs/protocol.md "Answers"."""

from __future__ import annotations

import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from assay.consensus_kinds import Outcome, Row, named
from assay.errors import FieldError

SHAPES = ("boxes", "mask", "keypoints")
MOST_PAIRS = 100_000
"""Pairs of answers that an agreement is the mean of: more change no figure that anybody reads."""


def shape_of(labels: Iterable[str]) -> str | None:
    """boxes, mask or keypoints, by the first label that is JSON with objects; None for other labels."""
    for label in labels:
        if label[:1] not in ("{", "["):
            return None
        try:
            value = json.loads(label)
        except (json.JSONDecodeError, RecursionError):
            return None
        if isinstance(value, dict):
            return "mask" if "runs" in value else "keypoints"
        if value:
            return "boxes" if isinstance(value[0], dict) else None
    return None


def normal_forms(
    kind: str, labels: Mapping[str, str], schema: Mapping[str, Any], *, field: str = "labels"
) -> dict[str, Any]:
    """Each label's value in normal form, by what names it in an error ("task t3, worker ann"); `field`: the file."""
    from assay.domain.schema import validate, validate_schema

    found: dict[str, Any] = {}
    for name, label in labels.items():
        value = _json(field, name, label)
        try:
            given = validate_schema("mask", _size(value)) if kind == "mask" else schema
            found[name] = validate(kind, given, {"value": value})["value"]
        except FieldError as error:
            raise FieldError(field, f"{name}: {error.field} {error.detail}", hint=error.hint) from None
    return found


def resolve_shapes(kind: str, rows: Sequence[Row], gold: Mapping[str, str], method: str) -> Outcome:
    """Labels of all tasks, in normal form. `agreement`: how alike two answers to one task are, on the mean."""
    from assay.domain import methods

    if method not in methods.NAMES[kind]:
        raise FieldError("method", f"is {method!r}", hint=f"one of {', '.join(methods.NAMES[kind])}")
    keys = [f"task {task}, worker {worker}, answer {place + 1}" for place, (task, worker, _) in enumerate(rows)]
    given = dict(zip(keys, (row[2] for row in rows), strict=True))
    golden = {f"gold of task {task}": label for task, label in gold.items()}
    schema = _schema(kind, {"labels": given, "gold": golden})
    values, known = normal_forms(kind, given, schema), normal_forms(kind, golden, schema, field="gold")
    if kind == "mask":
        _one_size(rows, values, golden and {task: known[f"gold of task {task}"] for task in gold})
    answers = [(task, worker, values[key]) for key, (task, worker, _) in zip(keys, rows, strict=True)]
    truth = {task: known[f"gold of task {task}"] for task in gold}
    start = time.perf_counter()
    found, skills = methods.resolved(kind, method, answers, truth, schema)
    seconds = time.perf_counter() - start
    workers = list(dict.fromkeys(row[1] for row in rows))
    return Outcome(
        {task: value for task, (value, _) in found.items()},
        {task: round(confidence, 6) for task, (_, confidence) in found.items()},
        named(workers, skills),
        _agreement(kind, answers),
        method,
        seconds,
        {"schema": schema} if schema else {},
    )


def measure_shapes(kind: str, labels: Mapping[str, Any], truth: Mapping[str, str]) -> dict[str, Any]:
    """`mean_iou` of labels with the truth for boxes (best pairs of one class; what has no partner counts 0) and masks,
    and `accuracy`, the share of tasks where it reaches what the market takes for the same by default (0.5, masks 0.7);
    `mean_distance` in pixels for key points that both see, and `accuracy`, the share of points on whose being visible
    they agree."""
    from assay.domain.schema import validate_schema

    right = {f"truth of task {task}": label for task, label in truth.items()}
    found = {f"label of task {task}": json.dumps(one) for task, one in labels.items()}
    schema = _schema(kind, {"labels": found, "truth": right})
    known = normal_forms(kind, right, schema, field="truth")
    pairs = [(value, known[f"truth of task {task}"]) for task, value in labels.items() if task in truth]
    if kind == "keypoints":
        seen = [(one[name] is None) == (two[name] is None) for one, two in pairs for name in one]
        return {"mean_distance": _mean(_distances(pairs)), "accuracy": _mean([float(ok) for ok in seen])}
    alike = [_alike(kind, one, two) for one, two in pairs]
    given: Mapping[str, Any] = schema or validate_schema("mask", {"width": 1, "height": 1})
    least = given["agreement_bps"] / 10_000
    return {"mean_iou": _mean(alike), "accuracy": _mean([float(one >= least) for one in alike])}


def _json(field: str, name: str, label: str) -> Any:
    try:
        return json.loads(label)
    except (json.JSONDecodeError, RecursionError) as error:
        fault = error.msg if isinstance(error, json.JSONDecodeError) else "too deep"
        hint = "JSON in the normal form of docs/protocol.md, Answers; quotes inside a CSV value are doubled"
        raise FieldError(field, f"{name}: is no JSON ({fault})", hint=hint) from None


def _size(value: Any) -> dict[str, Any]:
    """A mask's own width and height: pictures differ."""
    if not isinstance(value, dict):
        raise FieldError("value", "is no object", hint='{"width", "height", "runs"}')
    return {name: value.get(name) for name in ("width", "height")}


def _one_size(rows: Sequence[Row], values: Mapping[str, Any], gold: Mapping[str, Any]) -> None:
    """Raise FieldError for a task whose masks are of several pictures."""
    sizes: dict[str, tuple[int, int]] = {}
    named = ((f"task {row[0]}, worker {row[1]}", row[0], "labels", one)
             for row, one in zip(rows, values.values(), strict=True))  # fmt: skip
    for name, task, field, one in (*named, *((f"task {task}", task, "gold", one) for task, one in gold.items())):
        size = (one["width"], one["height"])
        first = sizes.setdefault(task, size)
        if size != first:
            hint = f"{first[0]} x {first[1]}, as the task's other answers"
            raise FieldError(field, f"{name}: is a mask of {size[0]} x {size[1]} pixels", hint=hint)


def _schema(kind: str, labels: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """What the labels themselves, by field and by what names them in an error, say of classes or points. The points
    are those of the first field."""
    from assay.domain.schema import validate_schema

    if kind == "mask":
        return {}
    names: dict[str, str] = {}
    most = 1
    for field, given in labels.items():
        for name, label in given.items():
            value = _json(field, name, label)
            if kind == "boxes" and isinstance(value, list):
                most = max(most, len(value))
                classes = (box["class"] for box in value if isinstance(box, dict) and isinstance(box.get("class"), str))
                names.update(dict.fromkeys(classes, field))
            elif kind == "keypoints" and isinstance(value, dict) and field == "labels":
                names.update(dict.fromkeys(value, field))
    if kind == "keypoints" and not names:
        raise FieldError("labels", "name no point", hint='such as {"nose": {"x": 3, "y": 4}, "tail": null}')
    part = "classes" if kind == "boxes" else "points"
    ordered = sorted(names) or ["object"]
    more: dict[str, Any] = {"max_boxes": most} if kind == "boxes" else {"radius": 0}
    try:
        return validate_schema(kind, {part: ordered, **more})
    except FieldError as error:
        place = re.fullmatch(rf"{part}\[(\d+)\]", error.field or "")
        name = ordered[int(place[1])] if place else ""
        where = f"the {part[:-2] if kind == 'boxes' else 'point'} {name[:40]!r}" if place else error.field
        raise FieldError(names.get(name, "labels"), f"{where} {error.detail}", hint=error.hint) from None


def _agreement(kind: str, answers: Sequence[tuple[str, str, Any]]) -> dict[str, float | None]:
    by_task: dict[str, list[Any]] = defaultdict(list)
    for task, _, value in answers:
        by_task[task].append(value)
    pairs: list[tuple[Any, Any]] = []
    for values in by_task.values():
        pairs += [(one, two) for place, one in enumerate(values) for two in values[:place]]
        if len(pairs) > MOST_PAIRS:
            break
    if kind == "keypoints":
        return {"mean_distance": _mean(_distances(pairs))}
    return {"mean_iou": _mean([_alike(kind, one, two) for one, two in pairs])}


def _alike(kind: str, one: Any, two: Any) -> float:
    """IoU; two masks of different sizes are of different pictures, so nothing alike."""
    from assay.domain.similarity import similarity

    if kind == "mask" and (one["width"], one["height"]) != (two["width"], two["height"]):
        return 0.0
    return similarity(kind, {}, one, two) / 10_000


def _distances(pairs: Iterable[tuple[Any, Any]]) -> list[float]:
    return [
        math.dist((one[name]["x"], one[name]["y"]), (two[name]["x"], two[name]["y"]))
        for one, two in pairs
        for name in one
        if one[name] is not None and two[name] is not None
    ]


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None
