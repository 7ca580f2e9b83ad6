"""What each kind of answers comes to, by the names in the files: the step between rows of text and the engine."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.errors import FieldError

Row = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What every kind yields, by the names in the files: label (None: no answers), confidence, skill, and extra keys
    for the JSON.
    """

    labels: dict[str, Any]
    confidences: dict[str, float]
    worker_skills: dict[str, float]
    agreement: dict[str, float | None]
    method: str
    seconds: float
    extra: dict[str, Any]


def parts_of(text: str, mark: str, *, field: str = "labels") -> list[str]:
    """The names in a|b (mark "|") or a>b (">"), or in a JSON array of names."""
    if text.startswith("["):
        try:
            names = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            names = None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
        raise FieldError(field, f"holds {text[:40]!r}", hint=f"names joined by {mark!r}, or a JSON array of names")
    return [part.strip() for part in text.split(mark) if part.strip()]


def in_order(values: set[str]) -> list[str]:
    """Classes in the order of numbers where all are whole numbers, else of text: a tie goes to the first."""
    if all(re.fullmatch(r"-?[0-9]+", value) for value in values):
        return sorted(values, key=lambda value: (int(value), value))
    return sorted(values)


def is_number(text: str) -> bool:
    """Whether a label is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def number_or_none(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)


def _alpha(task: Any, worker: Any, label: Any, *, level: Any = "nominal") -> dict[str, float | None]:
    from assay.consensus.agreement import fleiss_kappa, krippendorff_alpha

    alpha = krippendorff_alpha(task, worker, label, level=level)
    found = {"krippendorff_alpha": number_or_none(alpha.value)}
    if level == "nominal":
        found["fleiss_kappa"] = number_or_none(fleiss_kappa(task, label))
    return found


def named(names: Sequence[Any], values: Any) -> dict[str, float]:
    return {str(name): round(float(value), 6) for name, value in zip(names, values, strict=True)}


def choice(rows: Sequence[Row], gold: Mapping[str, str], method: str, seed: int) -> Outcome:
    from assay.consensus import encode, resolve

    answers, codes = encode(rows, classes=in_order({row[2] for row in rows} | set(gold.values())), gold=gold)
    start = time.perf_counter()
    result = resolve(method, answers, seed=seed)
    seconds = time.perf_counter() - start
    labels = {str(t): None if k < 0 else codes.classes[k] for t, k in zip(codes.tasks, result.labels, strict=True)}
    extra = {
        "classes": list(codes.classes),
        "flagged": [str(codes.workers[j]) for j in np.flatnonzero(result.flagged)],
        "iterations": result.iterations,
        "converged": result.converged,
        "details": {
            **result.details,
            **(
                {"groups": [[str(codes.workers[j]) for j in group] for group in result.details["groups"]]}
                if "groups" in result.details
                else {}
            ),
        },
    }
    return Outcome(
        labels,
        named(codes.tasks, result.confidence),
        named(codes.workers, result.worker_skill),
        _alpha(answers.task, answers.worker, answers.label),
        result.method,
        seconds,
        extra,
    )


def numbers(rows: Sequence[Row], gold: Mapping[str, str], method: str, seed: int) -> Outcome:
    from assay.consensus.number_answers import LARGEST
    from assay.consensus.numbers import encode_numbers, resolve_numbers

    known = (("gold", f"task {task!r}", label) for task, label in gold.items())
    for field, whose, label in (*(("labels", f"task {t!r}, worker {w!r}", label) for t, w, label in rows), *known):
        if not is_number(label) or abs(float(label)) > LARGEST:
            hint = f"a number such as 12.5, from -{LARGEST:g} to {LARGEST:g}"
            raise FieldError(field, f"gives {whose} the label {label[:40]!r}", hint=hint)
    answers, codes = encode_numbers(rows, gold=gold)
    start = time.perf_counter()
    result = resolve_numbers(method, answers)
    seconds = time.perf_counter() - start
    labels = {str(t): None if math.isnan(v) else float(v) for t, v in zip(codes.tasks, result.values, strict=True)}
    skill = 1 / (1 + np.square(result.worker_spread / max(float(np.median(result.worker_spread)), 1e-12)))
    extra = {
        "errors": {str(t): number_or_none(e) for t, e in zip(codes.tasks, result.error, strict=True)},
        "tolerance": float(result.tolerance),
        "worker_bias": named(codes.workers, result.worker_bias),
        "worker_spread": named(codes.workers, result.worker_spread),
        "details": {key: value for key, value in result.details.items() if isinstance(value, str | int | float)},
    }
    agreement = _alpha(answers.task, answers.worker, answers.value, level="interval")
    return Outcome(
        labels,
        named(codes.tasks, result.confidence),
        named(codes.workers, skill),
        agreement,
        result.method,
        seconds,
        extra,
    )


def multi_choice(rows: Sequence[Row], gold: Mapping[str, str], method: str, seed: int) -> Outcome:
    from assay.consensus.multilabel import encode_multilabel, resolve_multilabel

    parts = [(task, worker, parts_of(label, "|")) for task, worker, label in rows]
    known: dict[Any, list[str]] = {task: parts_of(label, "|", field="gold") for task, label in gold.items()}
    classes = in_order(
        {name for row in parts for name in row[2]} | {name for names in known.values() for name in names}
    )
    answers, codes = encode_multilabel(parts, classes=classes, gold=known)
    start = time.perf_counter()
    result = resolve_multilabel(method, answers)
    seconds = time.perf_counter() - start
    labels = {
        str(task): [codes.classes[k] for k in np.flatnonzero(row)]
        for task, row in zip(codes.tasks, result.applies, strict=True)
    }
    return _of_whole_answers(rows, labels, codes, result, method, seconds)


def rankings(rows: Sequence[Row], gold: Mapping[str, str], method: str, seed: int) -> Outcome:
    """Each task ranks its own items; tasks of as many items share what is learned of their workers.

    Raises FieldError for an answer that ranks no items, one twice, or others than its task's other answers.
    """
    from assay.consensus.ranking import encode_rankings, resolve_rankings

    items: dict[str, list[str]] = {}
    places = []
    for task, worker, label in rows:
        order = parts_of(label, ">")
        known = items.setdefault(task, in_order(set(order)))
        places.append((task, worker, _places(known, order, "labels", f"task {task!r}, worker {worker!r}", label)))
    golden: dict[Any, list[int]] = {
        task: _places(items[task], parts_of(label, ">", field="gold"), "gold", f"task {task!r}", label)
        for task, label in gold.items()
        if task in items
    }
    labels: dict[str, Any] = {}
    confidences: dict[str, float] = {}
    skills: dict[str, list[tuple[float, int]]] = {}
    seconds = 0.0
    for size in sorted({len(names) for names in items.values()}):
        some = [row for row in places if len(row[2]) == size]
        answers, codes = encode_rankings(some, items=range(size), gold=golden)
        start = time.perf_counter()
        result = resolve_rankings(method, answers)
        seconds += time.perf_counter() - start
        for code, row in enumerate(result.order.tolist()):
            name = str(codes.tasks[code])
            labels[name] = [items[name][k] for k in row]
        confidences |= named(codes.tasks, result.confidence)
        given = np.bincount(answers.worker, minlength=answers.n_workers).tolist()
        for who, skill, count in zip(codes.workers, result.worker_skill.tolist(), given, strict=True):
            skills.setdefault(str(who), []).append((skill, count))
    mean = {
        worker: round(sum(skill * count for skill, count in some) / sum(count for _, count in some), 6)
        for worker, some in skills.items()
    }
    return Outcome(
        {task: labels[task] for task in items},
        {task: confidences[task] for task in items},
        {worker: mean[worker] for worker in dict.fromkeys(row[1] for row in rows)},
        alpha_of_texts(rows), method, seconds, {},
    )  # fmt: skip


def _places(items: Sequence[str], order: Sequence[str], field: str, whose: str, label: str) -> list[int]:
    if not items or sorted(order) != sorted(items):
        hint = f"each item of the task once, such as {'>'.join(items)}" if items else "items, best first, as in a>b>c"
        raise FieldError(field, f"gives {whose} the label {label[:40]!r}", hint=hint)
    return [items.index(item) for item in order]


def texts(rows: Sequence[Row], gold: Mapping[str, str], method: str, seed: int) -> Outcome:
    from assay.consensus.text import encode_texts, resolve_texts

    answers, codes = encode_texts(rows, gold=dict(gold.items()))
    start = time.perf_counter()
    result = resolve_texts(method, answers)
    seconds = time.perf_counter() - start
    labels = dict(zip((str(task) for task in codes.tasks), result.texts, strict=True))
    return _of_whole_answers(rows, labels, codes, result, method, seconds)


def _of_whole_answers(
    rows: Sequence[Row], labels: dict[str, Any], codes: Any, result: Any, method: str, seconds: float
) -> Outcome:
    """The outcome of a kind whose answers agree as wholes or not at all."""
    return Outcome(
        labels,
        named(codes.tasks, result.confidence),
        named(codes.workers, result.worker_skill),
        alpha_of_texts(rows),
        method,
        seconds,
        {},
    )


def alpha_of_texts(rows: Sequence[Row]) -> dict[str, float | None]:
    """Nominal agreement of whole answers: two are alike or not."""
    from assay.consensus import encode

    answers, _ = encode(rows)
    return _alpha(answers.task, answers.worker, answers.label)
