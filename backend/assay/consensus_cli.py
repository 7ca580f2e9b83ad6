"""`./assay consensus`: the engine on its own, from CSV files to labels, confidences, skills and agreement."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from assay.csvfile import read_csv, read_pairs
from assay.errors import FieldError

KINDS = ("choice", "number", "multi-choice", "ranking", "text")
DEFAULT_METHOD = {
    "choice": "auto",
    "number": "auto",
    "multi-choice": "dawid_skene",
    "ranking": "bradley_terry",
    "text": "rover",
}
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


def consensus(
    labels: Annotated[Path, typer.Argument(help="A CSV file with the columns task,worker,label.")],
    truth: Annotated[Path | None, typer.Option(help="The right labels, to measure against: task,label.")] = None,
    gold: Annotated[Path | None, typer.Option(help="Known labels, for the method to use: task,label.")] = None,
    method: Annotated[
        str | None, typer.Option(help="auto, majority, wawa, one_coin, dawid_skene, correlated, …")
    ] = None,
    kind: Annotated[str | None, typer.Option(help=f"One of {', '.join(KINDS)}. Default: by the labels.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Resolve a crowd's answers. Sets of labels are written a|b, rankings a>b>c."""
    result = run(labels, truth=truth, gold=gold, method=method, kind=kind, seed=seed)
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("task", "label", "confidence", title=f"{result['method']} ({result['kind']})")
    for name, label in list(result["labels"].items())[:20]:
        table.add_row(name, str(label), f"{result['confidences'][name]:.3f}")
    console = Console()
    console.print(table)
    if len(result["labels"]) > 20:
        console.print(f"… {len(result['labels']) - 20} more tasks; --json prints all")
    for key in ("tasks", "workers", "answers", "agreement", "flagged", "accuracy", "mae", "seconds"):
        if key in result:
            console.print(f"{key}: {result[key]}")


def run(
    labels: Path,
    *,
    truth: Path | None = None,
    gold: Path | None = None,
    method: str | None = None,
    kind: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The result as plain data (JSON's keys). Raises FieldError for a file or option that cannot be used."""
    from assay.consensus import InvalidAnswers

    blank = ("label",)  # a set may be empty, and so may a transcription
    table = read_csv(labels, ("task", "worker", "label"), field="labels", may_be_empty=blank)
    rows = [(task, worker, label) for task, worker, label in table]
    known = read_pairs(gold, field="gold", may_be_empty=blank) if gold else {}
    right = read_pairs(truth, field="truth", may_be_empty=blank) if truth else {}
    chosen = (kind or kind_of(rows)).replace("_", "-")
    if chosen not in KINDS:
        raise FieldError("kind", f"is {kind!r}", hint=f"one of {', '.join(KINDS)}")
    name = (method or DEFAULT_METHOD[chosen]).replace("-", "_")
    if name == "auto":
        name = DEFAULT_METHOD[chosen]
    try:
        outcome = _RESOLVE[chosen](rows, known, name, seed)
    except InvalidAnswers as error:
        field, _, detail = str(error).partition(" ")
        raise FieldError(field, detail) from error
    result: dict[str, Any] = {
        "kind": chosen,
        "method": outcome.method,
        "tasks": len(outcome.labels),
        "workers": len(outcome.worker_skills),
        "answers": len(rows),
        "labels": outcome.labels,
        "confidences": outcome.confidences,
        "worker_skills": outcome.worker_skills,
        "agreement": outcome.agreement,
        "seconds": round(outcome.seconds, 6),
        **outcome.extra,
    }
    if truth:
        result.update(measure(chosen, outcome, right))
    return result


def kind_of(rows: Sequence[Row]) -> str:
    """choice, or number where all labels are numbers, more than 20 different ones, and workers agree better by
    distance than by identity, beyond noise (Krippendorff's alpha, interval against nominal): codes of classes have no
    distance to agree by.
    """
    values = {row[2] for row in rows}
    if len(values) <= 20 or not all(_is_number(value) for value in values):
        return "choice"
    from assay.consensus import encode
    from assay.consensus.agreement import krippendorff_alpha

    answers, codes = encode(rows, classes=in_order(values))
    numbers = np.array([float(str(value)) for value in codes.classes])[answers.label]
    by_distance = krippendorff_alpha(answers.task, answers.worker, numbers, level="interval").value
    by_identity = krippendorff_alpha(answers.task, answers.worker, answers.label).value
    return "number" if by_distance > by_identity + 0.1 else "choice"


def measure(kind: str, outcome: Outcome, truth: Mapping[str, str]) -> dict[str, Any]:
    """`mae` for numbers; for the rest `accuracy`, the share of tasks with answers and a truth that came out right."""
    judged = [task for task in truth if outcome.labels.get(task) is not None]
    if not judged:
        raise FieldError("truth", "shares no task with the answers", hint="the same task names as in labels")
    if kind == "number":
        return {
            "mae": sum(abs(float(outcome.labels[t]) - float(truth[t])) for t in judged) / len(judged),
            "judged": len(judged),
        }
    right = sum(_same(kind, outcome.labels[task], truth[task]) for task in judged)
    return {"accuracy": right / len(judged), "judged": len(judged)}


def _same(kind: str, label: Any, truth: str) -> bool:
    if kind == "multi-choice":
        return set(label) == set(_parts(truth, "|"))
    if kind == "ranking":
        return list(label) == _parts(truth, ">")
    return bool(label == truth)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _parts(text: str, mark: str) -> list[str]:
    return [part.strip() for part in text.split(mark) if part.strip()]


def in_order(values: set[str]) -> list[str]:
    """Classes in the order of numbers where all are whole numbers, else of text: a tie goes to the first."""
    if all(value.lstrip("-").isdigit() for value in values):
        return sorted(values, key=lambda value: (int(value), value))
    return sorted(values)


def _number_or_none(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)


def _alpha(task: Any, worker: Any, label: Any, *, level: Any = "nominal") -> dict[str, float | None]:
    from assay.consensus.agreement import fleiss_kappa, krippendorff_alpha

    alpha = krippendorff_alpha(task, worker, label, level=level)
    found = {"krippendorff_alpha": _number_or_none(alpha.value)}
    if level == "nominal":
        found["fleiss_kappa"] = _number_or_none(fleiss_kappa(task, label))
    return found


def _named(names: Sequence[Any], values: Any) -> dict[str, float]:
    return {str(name): round(float(value), 6) for name, value in zip(names, values, strict=True)}


def _choice(rows: Sequence[Row], gold: Mapping[str, str], method: str, seed: int) -> Outcome:
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
        _named(codes.tasks, result.confidence),
        _named(codes.workers, result.worker_skill),
        _alpha(answers.task, answers.worker, answers.label),
        result.method,
        seconds,
        extra,
    )


def _numbers(rows: Sequence[Row], gold: Mapping[str, str], method: str, seed: int) -> Outcome:
    from assay.consensus.numbers import encode_numbers, resolve_numbers

    answers, codes = encode_numbers(rows, gold=gold)
    start = time.perf_counter()
    result = resolve_numbers(method, answers)
    seconds = time.perf_counter() - start
    labels = {str(t): None if math.isnan(v) else float(v) for t, v in zip(codes.tasks, result.values, strict=True)}
    skill = 1 / (1 + np.square(result.worker_spread / max(float(np.median(result.worker_spread)), 1e-12)))
    extra = {
        "errors": {str(t): _number_or_none(e) for t, e in zip(codes.tasks, result.error, strict=True)},
        "tolerance": float(result.tolerance),
        "worker_bias": _named(codes.workers, result.worker_bias),
        "worker_spread": _named(codes.workers, result.worker_spread),
        "details": {key: value for key, value in result.details.items() if isinstance(value, str | int | float)},
    }
    agreement = _alpha(answers.task, answers.worker, answers.value, level="interval")
    return Outcome(
        labels,
        _named(codes.tasks, result.confidence),
        _named(codes.workers, skill),
        agreement,
        result.method,
        seconds,
        extra,
    )


def _multi(rows: Sequence[Row], gold: Mapping[str, str], method: str, seed: int) -> Outcome:
    from assay.consensus.multilabel import encode_multilabel, resolve_multilabel

    parts = [(task, worker, _parts(label, "|")) for task, worker, label in rows]
    known: dict[Any, list[str]] = {task: _parts(label, "|") for task, label in gold.items()}
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
    agreement = _alpha_of_texts(rows)
    return Outcome(
        labels,
        _named(codes.tasks, result.confidence),
        _named(codes.workers, result.worker_skill),
        agreement,
        method,
        seconds,
        {},
    )


def _rankings(rows: Sequence[Row], gold: Mapping[str, str], method: str, seed: int) -> Outcome:
    from assay.consensus.ranking import encode_rankings, resolve_rankings

    parts = [(task, worker, _parts(label, ">")) for task, worker, label in rows]
    known: dict[Any, list[str]] = {task: _parts(label, ">") for task, label in gold.items()}
    items = in_order({name for row in parts for name in row[2]})
    answers, codes = encode_rankings(parts, items=items, gold=known)
    start = time.perf_counter()
    result = resolve_rankings(method, answers)
    seconds = time.perf_counter() - start
    labels = {
        str(task): None if row[0] < 0 else [codes.classes[k] for k in row]
        for task, row in zip(codes.tasks, result.order, strict=True)
    }
    agreement = _alpha_of_texts(rows)
    return Outcome(
        labels,
        _named(codes.tasks, result.confidence),
        _named(codes.workers, result.worker_skill),
        agreement,
        method,
        seconds,
        {},
    )


def _texts(rows: Sequence[Row], gold: Mapping[str, str], method: str, seed: int) -> Outcome:
    from assay.consensus.text import encode_texts, resolve_texts

    answers, codes = encode_texts(rows, gold=dict(gold.items()))
    start = time.perf_counter()
    result = resolve_texts(method, answers)
    seconds = time.perf_counter() - start
    labels = dict(zip((str(task) for task in codes.tasks), result.texts, strict=True))
    agreement = _alpha_of_texts(rows)
    return Outcome(
        labels,
        _named(codes.tasks, result.confidence),
        _named(codes.workers, result.worker_skill),
        agreement,
        method,
        seconds,
        {},
    )


def _alpha_of_texts(rows: Sequence[Row]) -> dict[str, float | None]:
    """Nominal agreement of whole answers: two are alike or not."""
    from assay.consensus import encode

    answers, _ = encode(rows)
    return _alpha(answers.task, answers.worker, answers.label)


_RESOLVE = {"choice": _choice, "number": _numbers, "multi-choice": _multi, "ranking": _rankings, "text": _texts}
