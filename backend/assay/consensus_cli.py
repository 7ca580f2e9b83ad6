"""`./assay consensus`: the engine on its own, from CSV files to labels, confidences, skills and agreement."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from assay.consensus_kinds import (
    Outcome,
    Row,
    choice,
    in_order,
    is_number,
    multi_choice,
    numbers,
    parts_of,
    rankings,
    texts,
)
from assay.consensus_pairs import comparisons
from assay.consensus_shapes import SHAPES, measure_shapes, resolve_shapes, shape_of
from assay.csvfile import read_csv, read_pairs
from assay.errors import FieldError

KINDS = ("choice", "number", "multi-choice", "ranking", "pairwise", "text", *SHAPES)
DEFAULT_METHOD = {
    "choice": "auto",
    "number": "auto",
    "multi-choice": "dawid_skene",
    "ranking": "bradley_terry",
    "pairwise": "bradley_terry_noise",
    "text": "rover",
    "boxes": "fusion",
    "mask": "staple",
    "keypoints": "robust",
}
MEASURES = ("accuracy", "mae", "mean_similarity", "mean_iou", "mean_distance")
_RESOLVE: Mapping[str, Callable[[Sequence[Row], Mapping[str, str], str, int], Outcome]] = {
    "choice": choice,
    "number": numbers,
    "multi-choice": multi_choice,
    "ranking": rankings,
    "pairwise": comparisons,
    "text": texts,
}


def consensus(
    labels: Annotated[Path, typer.Argument(help="A CSV file with the columns task,worker,label.")],
    truth: Annotated[Path | None, typer.Option(help="The right labels, to measure against: task,label.")] = None,
    gold: Annotated[Path | None, typer.Option(help="Known labels, for the method to use: task,label.")] = None,
    method: Annotated[
        str | None,
        typer.Option(help="auto (the default) or one of the kind's own, such as majority; a wrong name lists them."),
    ] = None,
    kind: Annotated[str | None, typer.Option(help=f"One of {', '.join(KINDS)}. Default: by the labels.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Resolve a crowd's answers.

    A label is a class or a number; sets are written a|b, rankings a>b>c, comparisons of two of many items a>b too
    (pairwise, which scores all items together); text is free; boxes, masks and key points are
    JSON as in docs/protocol.md: [{"class", "x", "y", "width", "height"}], {"width", "height", "runs"} with runs of
    pixels row by row, background first, {"nose": {"x", "y"}, "tail": null}. In CSV, quotes inside a value are doubled.

    With --truth: accuracy (and mean_similarity for sets, rankings, text); mae for numbers; mean_iou for boxes and
    masks, accuracy being the share of 0.5 (masks 0.7) or more; mean_distance in pixels for key points, accuracy being
    the share of points on whose being visible label and truth agree.
    """
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
    for key in ("order", "tasks", "workers", "answers", "agreement", "flagged", *MEASURES, "judged", "seconds"):
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
    chosen = (kind or kind_of(rows, [*right.values(), *known.values()])).replace("_", "-")
    if chosen not in KINDS:
        raise FieldError("kind", f"is {kind!r}", hint=f"one of {', '.join(KINDS)}")
    name = (method or DEFAULT_METHOD[chosen]).replace("-", "_")
    if name == "auto":
        name = DEFAULT_METHOD[chosen]
    try:
        outcome = resolve_rows(chosen, rows, known, name, seed)
    except InvalidAnswers as error:
        field, _, detail = str(error).partition(" ")
        if field in ("method", "gold"):
            raise FieldError(field, detail) from error
        raise FieldError("labels", f"cannot be used: {error}") from error
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


def resolve_rows(kind: str, rows: Sequence[Row], gold: Mapping[str, str], method: str, seed: int = 0) -> Outcome:
    """One kind's answers by one of its methods, whatever the order of the rows; names come in the order of their first
    row. Raises InvalidAnswers or FieldError for what cannot be used.
    """
    ordered = in_row_order(rows)
    if kind in SHAPES:
        found = resolve_shapes(kind, ordered, gold, method)
    else:
        found = _RESOLVE[kind](ordered, gold, method, seed)
    tasks, workers = dict.fromkeys(row[0] for row in rows), dict.fromkeys(row[1] for row in rows)
    return replace(
        found,
        labels=_in_order_of(tasks, found.labels),
        confidences=_in_order_of(tasks, found.confidences),
        worker_skills=_in_order_of(workers, found.worker_skills),
    )


def in_row_order(rows: Sequence[Row]) -> list[Row]:
    """By task and worker; repeats stay in their order."""
    return sorted(rows, key=lambda row: row[:2])


def _in_order_of(names: Iterable[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values, those of `names` first and in their order."""
    return {name: values[name] for name in names if name in values} | dict(values)


def kind_of(rows: Sequence[Row], known: Collection[str] = ()) -> str:
    """The kind that labels look like; `--kind` decides where they mislead. `known`: labels of truth and gold.

    JSON objects are boxes, masks or key points; a>b of the same items always, or of three and more that are the same
    within a task, is a ranking; a>b of one pair a task and several in all, either way round in some task, is a
    comparison; a|b is a set; text has three words or more on the mean and as many different ones as tasks, or more
    different ones than tasks (and than 20) that are no numbers: classes come again. number: all labels are numbers,
    and most known ones are numbers that nobody answered (means of ratings); or there are more than 20 different ones,
    and one has a fraction, or workers agree better by distance than by identity, beyond noise (Krippendorff's alpha,
    interval against nominal): codes of classes have no distance to agree by. All else is a choice.
    """
    values = {row[2] for row in rows}
    shape = shape_of(row[2] for row in rows)
    if shape is not None:
        return shape
    if all(">" in value for value in values):
        if _ranks(rows):
            return "ranking"
        if _compares(rows):
            return "pairwise"
    if any("|" in value for value in values):
        return "multi-choice"
    words = sum(len(row[2].split()) for row in rows) / max(len(rows), 1)
    tasks = len({row[0] for row in rows})
    if words >= 3 and len(values) >= tasks:
        return "text"
    if not all(is_number(value) for value in values):
        return "text" if len(values) > max(20, tasks) else "choice"
    numbers = {float(value) for value in values}
    if all(map(is_number, known)) and 2 * sum(float(value) not in numbers for value in known) > len(known):
        return "number"
    if len(values) <= 20:
        return "choice"
    if any(not number.is_integer() for number in numbers):
        return "number"
    from assay.consensus import encode
    from assay.consensus.agreement import krippendorff_alpha

    answers, codes = encode(rows, classes=in_order(values))
    by_code = np.array([float(str(value)) for value in codes.classes])[answers.label]
    by_distance = krippendorff_alpha(answers.task, answers.worker, by_code, level="interval").value
    by_identity = krippendorff_alpha(answers.task, answers.worker, answers.label).value
    return "number" if by_distance > by_identity + 0.1 else "choice"


def _ranks(rows: Sequence[Row]) -> bool:
    """Whether the labels, all of several parts, rank the same items throughout, or three and more within each task."""
    items: dict[str, set[frozenset[str]]] = {}
    for task, _, label in rows:
        items.setdefault(task, set()).add(frozenset(parts_of(label, ">")))
    if len(set.union(*items.values())) == 1:
        return True
    return all(len(some) == 1 and len(next(iter(some))) > 2 for some in items.values())


def _compares(rows: Sequence[Row]) -> bool:
    """Whether the labels compare one pair of items a task, and in some task workers differ which is the better."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for task, _, label in rows:
        found.setdefault(task, set()).add(tuple(parts_of(label, ">")))
    pairs = [(orders, {frozenset(order) for order in orders}) for orders in found.values()]
    one_pair = all(len(pair) == 1 and len(next(iter(pair))) == 2 for _, pair in pairs)
    return one_pair and any(len(orders) == 2 for orders, _ in pairs)


def measure(kind: str, outcome: Outcome, truth: Mapping[str, str]) -> dict[str, Any]:
    """How right the labels are where there is a truth (`judged` tasks): `mae` for numbers, for shapes what
    `measure_shapes` says, else `accuracy`, the share of tasks that came out exactly right, and for sets, rankings and
    texts the `mean_similarity` (Jaccard, pairs in the same order, edit distance: `assay.domain.similarity`).
    """
    from assay.domain.similarity import similarity

    judged = [task for task in truth if outcome.labels.get(task) is not None]
    if not judged:
        raise FieldError("truth", "shares no task with the answers", hint="the same task names as in labels")
    found = {task: outcome.labels[task] for task in judged}
    if kind in SHAPES:
        return {**measure_shapes(kind, found, {task: truth[task] for task in judged}), "judged": len(judged)}
    if kind == "number":
        for task in judged:
            if not is_number(truth[task]):
                raise FieldError("truth", f"gives task {task!r} the label {truth[task]!r}", hint="a number")
        error = sum(abs(float(found[task]) - float(truth[task])) for task in judged) / len(judged)
        return {"mae": error, "judged": len(judged)}
    right: dict[str, Any] = {task: _value(kind, truth[task]) for task in judged}
    same = [set(found[t]) == set(right[t]) if kind == "multi-choice" else found[t] == right[t] for t in judged]
    result: dict[str, Any] = {"accuracy": sum(same) / len(judged), "judged": len(judged)}
    if kind != "choice":
        for task in judged if kind in ("ranking", "pairwise") else ():
            if sorted(found[task]) != sorted(right[task]):
                raise FieldError("truth", f"ranks other items in task {task!r}", hint=">".join(sorted(found[task])))
    if kind not in ("choice", "pairwise"):
        alike = [similarity(kind, {}, found[task], right[task]) for task in judged]
        result["mean_similarity"] = sum(alike) / len(judged) / 10_000
    return result


def _value(kind: str, label: str) -> Any:
    mark = {"multi-choice": "|", "ranking": ">", "pairwise": ">"}.get(kind)
    return parts_of(label, mark, field="truth") if mark else label
