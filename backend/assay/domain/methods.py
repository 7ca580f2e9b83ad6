"""The consensus methods of every kind by the names that a specification uses, from answers' values to labels' values.

Each method sees all of a request's answers so far, sorted, with gold labels where they were opened, and gives the value
and the confidence of each task. `majority` is no method here: it needs only the task's own answers (`verdict`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import numpy as np

from assay.consensus import METHODS as CHOICE_METHODS
from assay.consensus import encode, resolve
from assay.consensus.boxes import BoxAnswers, resolve_boxes
from assay.consensus.keypoints import KEYPOINT_METHODS, PointAnswers, resolve_keypoints
from assay.consensus.masks import MASK_METHODS, Mask, MaskAnswers, from_runs, resolve_masks, to_runs
from assay.consensus.multilabel import MULTILABEL_METHODS, encode_multilabel, resolve_multilabel
from assay.consensus.numbers import NUMBER_METHODS, encode_numbers, resolve_numbers
from assay.consensus.ranking import RANKING_METHODS, encode_rankings, resolve_rankings
from assay.consensus.text import TEXT_METHODS, encode_texts, resolve_texts
from assay.domain.schema import number_text

MAJORITY = "majority"
WEIGHTED = "weighted"

Rows = Sequence[tuple[int, bytes, Any]]
"""(task index, labeler, value), sorted by the first two."""
Found = dict[Any, tuple[Any, float]]
"""Value and confidence (0 to 1) by task index."""
Skills = np.ndarray[Any, Any]
"""float[n_workers], 0 to 1, by worker code."""
Known = Mapping[Any, Any]
"""Gold values by task index."""
Resolver = Callable[[str, Rows, Known, Mapping[str, Any]], Found]
Weights = Mapping[bytes, float]
"""What a labeler's vote counts, by wallet."""

NAMES: Mapping[str, Sequence[str]] = {
    "choice": tuple(CHOICE_METHODS),
    "multi-choice": MULTILABEL_METHODS,
    "number": tuple(NUMBER_METHODS),
    "ranking": RANKING_METHODS,
    "text": TEXT_METHODS,
    "boxes": ("fusion",),
    "mask": MASK_METHODS,
    "keypoints": KEYPOINT_METHODS,
    "file": (),
}


def names(kind: str) -> tuple[str, ...]:
    """The consensus methods that a request of this kind may name, `majority` first."""
    return (MAJORITY, *sorted(set(NAMES[kind]) - {MAJORITY}))


def _codes(rows: Rows) -> tuple[dict[int, int], np.ndarray[Any, Any], np.ndarray[Any, Any], int]:
    """Tasks by index, then the columns of task and worker codes, and the number of workers."""
    tasks = {index: code for code, index in enumerate(dict.fromkeys(row[0] for row in rows))}
    workers = {labeler: code for code, labeler in enumerate(dict.fromkeys(row[1] for row in rows))}
    task = np.array([tasks[row[0]] for row in rows], np.int32)
    worker = np.array([workers[row[1]] for row in rows], np.int32)
    return tasks, task, worker, len(workers)


def _choice(method: str, rows: Rows, gold: Known, schema: Mapping[str, Any], weights: Weights | None = None) -> Found:
    answers, codes = encode(rows, classes=schema["classes"], gold=gold)
    by_worker = None if weights is None else [weights[cast(bytes, one)] for one in codes.workers]
    result = resolve(method, answers, seed=0, weights=by_worker)
    return {
        index: (codes.classes[int(result.labels[code])], float(result.confidence[code]))
        for code, index in enumerate(codes.tasks)
        if result.labels[code] >= 0
    }


def _multi(method: str, rows: Rows, gold: Known, schema: Mapping[str, Any]) -> Found:
    answers, codes = encode_multilabel(rows, classes=schema["classes"], gold=gold)
    result = resolve_multilabel(method, answers)
    out: Found = {}
    for code, index in enumerate(codes.tasks):
        ranked = np.argsort(-result.probability[code], kind="stable").tolist()
        # As many as the schema allows: the least probable go first, the most probable come in first.
        count = min(max(int(result.applies[code].sum()), schema["min"]), schema["max"])
        chosen = sorted(ranked[:count])
        out[index] = ([codes.classes[place] for place in chosen], float(result.confidence[code]))
    return out


def _number(method: str, rows: Rows, gold: Known, schema: Mapping[str, Any]) -> Found:
    answers, codes = encode_numbers(rows, gold=gold)
    result = resolve_numbers(method, answers)
    low, high = Decimal(schema["min"]), Decimal(schema["max"])
    out: Found = {}
    for code, (index, text) in enumerate(zip(codes.tasks, result.decimals(schema["decimals"]), strict=True)):
        if text is not None:
            out[index] = (number_text(min(max(Decimal(text), low), high)), float(result.confidence[code]))
    return out


def _ranking(method: str, rows: Rows, gold: Known, schema: Mapping[str, Any]) -> Found:
    answers, codes = encode_rankings(rows, items=schema["items"], gold=gold)
    result = resolve_rankings(method, answers)
    return {
        index: ([codes.classes[int(place)] for place in result.order[code]], float(result.confidence[code]))
        for code, index in enumerate(codes.tasks)
    }


def _text(method: str, rows: Rows, gold: Known, schema: Mapping[str, Any]) -> Found:
    answers, codes = encode_texts(rows, gold=gold)
    result = resolve_texts(method, answers)
    return {
        index: ((result.texts[code] or "")[: schema["max_length"]], float(result.confidence[code]))
        for code, index in enumerate(codes.tasks)
    }


def _edges(box: Mapping[str, int]) -> tuple[int, int, int, int]:
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def _boxes(method: str, rows: Rows, gold: Known, schema: Mapping[str, Any]) -> tuple[Found, Skills]:
    tasks, task, worker, workers = _codes(rows)
    classes = schema["classes"]
    drawn = [(i, box) for i, (_, _, boxes) in enumerate(rows) for box in boxes]
    known = [(tasks[index], box) for index, boxes in sorted(gold.items()) for box in boxes if index in tasks]
    result = resolve_boxes(
        BoxAnswers(
            task=task,
            worker=worker,
            answer=np.array([i for i, _ in drawn], np.int32),
            box=np.array([_edges(box) for _, box in drawn], np.float64).reshape(-1, 4),
            label=np.array([classes.index(box["class"]) for _, box in drawn], np.int32),
            n_tasks=len(tasks),
            n_workers=workers,
            n_classes=len(classes),
            gold=np.array([_edges(box) for _, box in known], np.float64).reshape(-1, 4),
            gold_task=np.array([code for code, _ in known], np.int32),
            gold_label=np.array([classes.index(box["class"]) for _, box in known], np.int32),
            gold_empty=np.array([tasks[i] for i, boxes in gold.items() if not boxes and i in tasks], np.int32),
        )
    )
    out: Found = {index: ([], float(result.task_confidence[code])) for index, code in tasks.items()}
    indices = list(tasks)
    for row in np.argsort(-result.confidence, kind="stable"):
        boxes = out[indices[int(result.task[row])]][0]
        if len(boxes) < schema["max_boxes"]:
            boxes.append(_box(result.box[row], classes[int(result.label[row])], schema))
    for boxes, _ in out.values():
        boxes.sort(key=lambda box: (box["y"], box["x"], box["height"], box["width"], box["class"]))
    return out, result.worker_skill


def _box(edges: Any, name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Whole pixels inside the schema's frame, at least one wide and high."""
    x0 = min(max(round(float(edges[0])), 0), schema["width"] - 1)
    y0 = min(max(round(float(edges[1])), 0), schema["height"] - 1)
    x1 = min(max(round(float(edges[2])), x0 + 1), schema["width"])
    y1 = min(max(round(float(edges[3])), y0 + 1), schema["height"])
    return {"class": name, "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}


def _mask(method: str, rows: Rows, gold: Known, schema: Mapping[str, Any]) -> tuple[Found, Skills]:
    tasks, task, worker, workers = _codes(rows)
    known = [_pixels(gold[index]) if index in gold else None for index in tasks]
    answers = MaskAnswers(task, worker, [_pixels(row[2]) for row in rows], len(tasks), workers, known)
    result = resolve_masks(method, answers)
    out: Found = {}
    for index, code in tasks.items():
        mask = result.masks[code]
        if mask is not None:
            shape = {"height": mask.shape[0], "width": mask.shape[1]}
            out[index] = ({**shape, "runs": to_runs(mask)}, float(result.confidence[code]))
    return out, result.worker_skill


def _pixels(value: Mapping[str, Any]) -> Mask:
    return from_runs(value["runs"], height=value["height"], width=value["width"])


def _keypoints(method: str, rows: Rows, gold: Known, schema: Mapping[str, Any]) -> tuple[Found, Skills]:
    tasks, task, worker, workers = _codes(rows)
    points = schema["points"]
    nowhere = (float("nan"), float("nan"))

    def places(value: Mapping[str, Any]) -> list[tuple[float, float]]:
        return [(one["x"], one["y"]) if (one := value[name]) is not None else nowhere for name in points]

    known = np.array([index in gold for index in tasks], np.bool_)
    truth = [places(gold[index]) if index in gold else [nowhere] * len(points) for index in tasks]
    answers = PointAnswers(
        task, worker, np.array([places(row[2]) for row in rows], np.float64), len(tasks), workers,
        np.array(truth, np.float64), known,
    )  # fmt: skip
    result = resolve_keypoints(method, answers)
    out: Found = {}
    for index, code in tasks.items():
        value: dict[str, Any] = {}
        for place, name in enumerate(points):
            x, y = (float(one) for one in result.point[code, place])
            value[name] = (
                {"x": min(max(round(x), 0), schema["width"] - 1), "y": min(max(round(y), 0), schema["height"] - 1)}
                if result.visible[code, place]
                else None
            )
        out[index] = (value, float(result.confidence[code]))
    return out, result.worker_skill


_SHAPES: Mapping[str, Callable[[str, Rows, Known, Mapping[str, Any]], tuple[Found, Skills]]] = {
    "boxes": _boxes,
    "mask": _mask,
    "keypoints": _keypoints,
}


def shapes(kind: str, method: str, rows: Any, gold: Known, schema: Mapping[str, Any]) -> tuple[Found, Skills]:
    """Value and confidence (0 to 1) of every task, and the skills of the workers in order of their first row.

    `rows`: (task, worker, value) with any names. `gold`: known values; those of tasks without a row are left out.
    """
    answered = {row[0] for row in rows}
    return _SHAPES[kind](method, rows, {task: value for task, value in gold.items() if task in answered}, schema)


_RESOLVERS: Mapping[str, Resolver] = {
    "choice": _choice,
    "multi-choice": _multi,
    "number": _number,
    "ranking": _ranking,
    "text": _text,
}


def labels(
    method: str,
    *,
    kind: str,
    schema: Mapping[str, Any],
    rows: Rows,
    gold: Known,
    weights: Weights | None = None,
) -> dict[int, tuple[Any, int]]:
    """Value and confidence (basis points, whole percents) of every task in `rows`, by task index.

    `gold`: known values by task index. `weights`: of every labeler in `rows`, for the method `weighted` (choice).
    Raises `InvalidAnswers` for an unknown method.
    """
    if weights is not None:
        found = _choice(method, rows, gold, schema, weights)
    elif kind in _SHAPES:
        found, _ = _SHAPES[kind](method, rows, gold, schema)
    else:
        found = _RESOLVERS[kind](method, rows, gold, schema)
    return {index: (value, 100 * round(100 * confidence)) for index, (value, confidence) in found.items()}
