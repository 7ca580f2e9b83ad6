"""The consensus methods of every kind by the names that a specification uses, from answers' values to labels' values.

`labels` fits a method to the answers it judges. `Fitted` keeps what a method has learned of the labelers, and judges
other answers by it (`learning`). `majority` is no method here: it needs only the task's own answers (`verdict`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

import numpy as np

from assay.consensus import METHODS as CHOICE_METHODS
from assay.consensus import encode, fitted
from assay.consensus.boxes import BoxAnswers, BoxConsensus
from assay.consensus.keypoints import KEYPOINT_METHODS, PointAnswers, PointConsensus
from assay.consensus.masks import MASK_METHODS, Mask, MaskAnswers, MaskConsensus, from_runs, to_runs
from assay.consensus.multilabel import MULTILABEL_METHODS, MultiLabel, encode_multilabel
from assay.consensus.numbers import NUMBER_METHODS, encode_numbers
from assay.consensus.ranking import RANKING_METHODS, Ranking, encode_rankings
from assay.consensus.text import TEXT_METHODS, TextConsensus, encode_texts
from assay.domain.schema import number_text

MAJORITY = "majority"
WEIGHTED = "weighted"

Rows = Sequence[tuple[int, bytes, Any]]
"""(task index, labeler, value), sorted by the first two."""
Found = dict[Any, tuple[Any, float]]
"""Value and confidence (0 to 1) by task index."""
Labels = dict[int, tuple[Any, int]]
"""Value and confidence (basis points, whole percents) by task index."""
Skills = np.ndarray[Any, Any]
"""float[n_workers], 0 to 1, by worker code."""
Known = Mapping[Any, Any]
"""Gold values by task index."""
Schema = Mapping[str, Any]
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

CARRIES_OVER = frozenset(NAMES) - {"ranking", "file"}
"""Kinds whose methods judge tasks that they were not fitted to. A ranking's scores are those of its task alone."""


def names(kind: str) -> tuple[str, ...]:
    """The consensus methods that a request of this kind may name, `majority` first."""
    return (MAJORITY, *sorted(set(NAMES[kind]) - {MAJORITY}))


@dataclass(frozen=True, slots=True)
class _Coded:
    """Answers as a method takes them, and what their task and worker codes stand for."""

    answers: Any
    tasks: Sequence[Any]
    workers: Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How answers of one kind are coded and fitted, and a result is read. `fit` takes the voters' weights by code, for
    the method that has them. `strangers`: codes kept for workers whom a fitted method has not seen: one where a task
    may have several answers of one code.
    """

    encode: Callable[[Rows, Known, Schema], _Coded]
    fit: Callable[[str, Any, Sequence[float] | None], Any]
    decode: Callable[[Any, _Coded, Schema], Found]
    strangers: int = 1


def _codes(rows: Rows) -> tuple[dict[int, int], np.ndarray[Any, Any], np.ndarray[Any, Any], tuple[Any, ...]]:
    """Tasks by index, then the columns of task and worker codes, and the workers by code."""
    tasks = {index: code for code, index in enumerate(dict.fromkeys(row[0] for row in rows))}
    workers = {labeler: code for code, labeler in enumerate(dict.fromkeys(row[1] for row in rows))}
    task = np.array([tasks[row[0]] for row in rows], np.int32)
    worker = np.array([workers[row[1]] for row in rows], np.int32)
    return tasks, task, worker, tuple(workers)


def _choice(rows: Rows, gold: Known, schema: Schema) -> _Coded:
    answers, codes = encode(rows, classes=schema["classes"], gold=gold)
    return _Coded(answers, codes.tasks, codes.workers)


def _chosen(result: Any, coded: _Coded, schema: Schema) -> Found:
    return {
        index: (schema["classes"][int(result.labels[code])], float(result.confidence[code]))
        for code, index in enumerate(coded.tasks)
        if result.labels[code] >= 0
    }


def _multi(rows: Rows, gold: Known, schema: Schema) -> _Coded:
    answers, codes = encode_multilabel(rows, classes=schema["classes"], gold=gold)
    return _Coded(answers, codes.tasks, codes.workers)


def _named(result: Any, coded: _Coded, schema: Schema) -> Found:
    out: Found = {}
    for code, index in enumerate(coded.tasks):
        ranked = np.argsort(-result.probability[code], kind="stable").tolist()
        # As many as the schema allows: the least probable go first, the most probable come in first.
        count = min(max(int(result.applies[code].sum()), schema["min"]), schema["max"])
        chosen = sorted(ranked[:count])
        out[index] = ([schema["classes"][place] for place in chosen], float(result.confidence[code]))
    return out


def _number(rows: Rows, gold: Known, schema: Schema) -> _Coded:
    answers, codes = encode_numbers(rows, gold=gold)
    return _Coded(answers, codes.tasks, codes.workers)


def _measured(result: Any, coded: _Coded, schema: Schema) -> Found:
    low, high = Decimal(schema["min"]), Decimal(schema["max"])
    out: Found = {}
    for code, (index, text) in enumerate(zip(coded.tasks, result.decimals(schema["decimals"]), strict=True)):
        if text is not None:
            out[index] = (number_text(min(max(Decimal(text), low), high)), float(result.confidence[code]))
    return out


def _ranking(rows: Rows, gold: Known, schema: Schema) -> _Coded:
    answers, codes = encode_rankings(rows, items=schema["items"], gold=gold)
    return _Coded(answers, codes.tasks, codes.workers)


def _ranked(result: Any, coded: _Coded, schema: Schema) -> Found:
    return {
        index: ([schema["items"][int(place)] for place in result.order[code]], float(result.confidence[code]))
        for code, index in enumerate(coded.tasks)
    }


def _text(rows: Rows, gold: Known, schema: Schema) -> _Coded:
    answers, codes = encode_texts(rows, gold=gold)
    return _Coded(answers, codes.tasks, codes.workers)


def _read(result: Any, coded: _Coded, schema: Schema) -> Found:
    return {
        index: ((result.texts[code] or "")[: schema["max_length"]], float(result.confidence[code]))
        for code, index in enumerate(coded.tasks)
    }


def _edges(box: Mapping[str, int]) -> tuple[int, int, int, int]:
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def _boxes(rows: Rows, gold: Known, schema: Schema) -> _Coded:
    tasks, task, worker, workers = _codes(rows)
    classes = schema["classes"]
    drawn = [(i, box) for i, (_, _, boxes) in enumerate(rows) for box in boxes]
    known = [(tasks[index], box) for index, boxes in sorted(gold.items()) for box in boxes if index in tasks]
    answers = BoxAnswers(
        task=task,
        worker=worker,
        answer=np.array([i for i, _ in drawn], np.int32),
        box=np.array([_edges(box) for _, box in drawn], np.float64).reshape(-1, 4),
        label=np.array([classes.index(box["class"]) for _, box in drawn], np.int32),
        n_tasks=len(tasks),
        n_workers=len(workers),
        n_classes=len(classes),
        gold=np.array([_edges(box) for _, box in known], np.float64).reshape(-1, 4),
        gold_task=np.array([code for code, _ in known], np.int32),
        gold_label=np.array([classes.index(box["class"]) for _, box in known], np.int32),
        gold_empty=np.array([tasks[i] for i, boxes in gold.items() if not boxes and i in tasks], np.int32),
    )
    return _Coded(answers, tuple(tasks), workers)


def _drawn(result: Any, coded: _Coded, schema: Schema) -> Found:
    classes = schema["classes"]
    out: Found = {index: ([], float(result.task_confidence[code])) for code, index in enumerate(coded.tasks)}
    for row in np.argsort(-result.confidence, kind="stable"):
        boxes = out[coded.tasks[int(result.task[row])]][0]
        if len(boxes) < schema["max_boxes"]:
            boxes.append(_box(result.box[row], classes[int(result.label[row])], schema))
    for boxes, _ in out.values():
        boxes.sort(key=lambda box: (box["y"], box["x"], box["height"], box["width"], box["class"]))
    return out


def _box(edges: Any, name: str, schema: Schema) -> dict[str, Any]:
    """Whole pixels inside the schema's frame, at least one wide and high."""
    x0 = min(max(round(float(edges[0])), 0), schema["width"] - 1)
    y0 = min(max(round(float(edges[1])), 0), schema["height"] - 1)
    x1 = min(max(round(float(edges[2])), x0 + 1), schema["width"])
    y1 = min(max(round(float(edges[3])), y0 + 1), schema["height"])
    return {"class": name, "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}


def _mask(rows: Rows, gold: Known, schema: Schema) -> _Coded:
    tasks, task, worker, workers = _codes(rows)
    known = [_pixels(gold[index]) if index in gold else None for index in tasks]
    answers = MaskAnswers(task, worker, [_pixels(row[2]) for row in rows], len(tasks), len(workers), known)
    return _Coded(answers, tuple(tasks), workers)


def _painted(result: Any, coded: _Coded, schema: Schema) -> Found:
    out: Found = {}
    for code, index in enumerate(coded.tasks):
        mask = result.masks[code]
        if mask is not None:
            shape = {"height": mask.shape[0], "width": mask.shape[1]}
            out[index] = ({**shape, "runs": to_runs(mask)}, float(result.confidence[code]))
    return out


def _pixels(value: Mapping[str, Any]) -> Mask:
    return from_runs(value["runs"], height=value["height"], width=value["width"])


def _keypoints(rows: Rows, gold: Known, schema: Schema) -> _Coded:
    tasks, task, worker, workers = _codes(rows)
    points = schema["points"]
    nowhere = (float("nan"), float("nan"))

    def places(value: Mapping[str, Any]) -> list[tuple[float, float]]:
        return [(one["x"], one["y"]) if (one := value[name]) is not None else nowhere for name in points]

    known = np.array([index in gold for index in tasks], np.bool_)
    truth = [places(gold[index]) if index in gold else [nowhere] * len(points) for index in tasks]
    answers = PointAnswers(
        task, worker, np.array([places(row[2]) for row in rows], np.float64), len(tasks), len(workers),
        np.array(truth, np.float64), known,
    )  # fmt: skip
    return _Coded(answers, tuple(tasks), workers)


def _placed(result: Any, coded: _Coded, schema: Schema) -> Found:
    out: Found = {}
    for code, index in enumerate(coded.tasks):
        value: dict[str, Any] = {}
        for place, name in enumerate(schema["points"]):
            x, y = (float(one) for one in result.point[code, place])
            value[name] = (
                {"x": min(max(round(x), 0), schema["width"] - 1), "y": min(max(round(y), 0), schema["height"] - 1)}
                if result.visible[code, place]
                else None
            )
        out[index] = (value, float(result.confidence[code]))
    return out


_KINDS: Mapping[str, _Kind] = {
    "choice": _Kind(_choice, lambda method, answers, weights: fitted(method, answers, weights=weights), _chosen),
    "multi-choice": _Kind(_multi, lambda method, answers, _: MultiLabel(method).fit(answers), _named),
    "number": _Kind(_number, lambda method, answers, _: NUMBER_METHODS[method]().fit(answers), _measured),
    "ranking": _Kind(_ranking, lambda method, answers, _: Ranking(method).fit(answers), _ranked),
    "text": _Kind(_text, lambda method, answers, _: TextConsensus(method).fit(answers), _read),
    # One box a worker joins a cluster, so workers of one task must have codes of their own.
    "boxes": _Kind(_boxes, lambda method, answers, _: BoxConsensus().fit(answers), _drawn, strangers=64),
    "mask": _Kind(_mask, lambda method, answers, _: MaskConsensus(method).fit(answers), _painted),
    "keypoints": _Kind(_keypoints, lambda method, answers, _: PointConsensus(method).fit(answers), _placed),
}


def _in_order(workers: Sequence[Any], weights: Weights | None) -> list[float] | None:
    return None if weights is None else [weights[cast(bytes, one)] for one in workers]


def _rounded(found: Found) -> Labels:
    return {index: (value, 100 * round(100 * confidence)) for index, (value, confidence) in found.items()}


def resolved(
    kind: str, method: str, rows: Any, gold: Known, schema: Schema, weights: Weights | None = None
) -> tuple[Found, Skills]:
    """Value and confidence of every task that has a row, and the skills of the workers in order of their first row.

    `rows`: (task, worker, value) with any names. `gold`: known values; those of tasks without a row are left out.
    Raises `InvalidAnswers` for an unknown method.
    """
    answered = {row[0] for row in rows}
    one = _KINDS[kind]
    coded = one.encode(rows, {task: value for task, value in gold.items() if task in answered}, schema)
    result = one.fit(method, coded.answers, _in_order(coded.workers, weights)).predict(coded.answers)
    return one.decode(result, coded, schema), getattr(result, "worker_skill", np.zeros(0))


def labels(
    method: str, *, kind: str, schema: Schema, rows: Rows, gold: Known, weights: Weights | None = None
) -> Labels:
    """Value and confidence of every task in `rows`, by a method fitted to these very rows.

    `gold`: known values by task index. `weights`: of every labeler in `rows`, for the method `weighted` (choice).
    Raises `InvalidAnswers` for an unknown method.
    """
    return _rounded(resolved(kind, method, rows, gold, schema, weights)[0])


class Fitted:
    """A method fitted to some answers, to judge others by what it learned of their labelers.

    Labelers whom it has not seen count as the crowd's newest: by the method's prior. Kinds: `CARRIES_OVER`.
    """

    def __init__(
        self, method: str, *, kind: str, schema: Schema, rows: Rows, gold: Known, weights: Weights | None = None
    ) -> None:
        self._kind, self._schema = _KINDS[kind], schema
        coded = self._kind.encode(rows, gold, schema)
        self._place = {worker: code for code, worker in enumerate(coded.workers)}
        self._workers = len(coded.workers) + self._kind.strangers
        answers = replace(coded.answers, n_workers=self._workers)
        voices = _in_order(coded.workers, weights)
        self._model = self._kind.fit(method, answers, None if voices is None else self._voices(voices))

    def _voices(self, known: Sequence[float]) -> list[float]:
        return [*known, *[1.0] * self._kind.strangers]

    def labels(self, rows: Rows, *, gold: Known, weights: Weights | None = None) -> Labels:
        """Value and confidence of every task in `rows`; arguments as of `labels`."""
        coded = self._kind.encode(rows, gold, self._schema)
        if weights is not None:  # this method has learned nothing of labelers: their weights are given
            self._model.weights = np.array(_in_order(coded.workers, weights))
            return _rounded(self._kind.decode(self._model.predict(coded.answers), coded, self._schema))
        strangers: Counter[int] = Counter()
        place = []
        for task, worker in zip(coded.answers.task.tolist(), coded.answers.worker.tolist(), strict=True):
            code = self._place.get(coded.workers[worker])
            if code is None:
                code = len(self._place) + strangers[task] % self._kind.strangers
                strangers[task] += 1
            place.append(code)
        answers = replace(coded.answers, worker=np.array(place, np.int32), n_workers=self._workers)
        return _rounded(self._kind.decode(self._model.predict(answers), coded, self._schema))
