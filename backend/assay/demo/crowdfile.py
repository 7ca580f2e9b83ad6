"""A crowd's answers as files: `task,worker,label` and, where it is known, the truth as `task,label`."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from assay.errors import FieldError

MAX_OVERLAP = 64
"""More answers to one task than a request may ask for (docs/protocol.md)."""


@dataclass(frozen=True)
class CrowdAnswers:
    """Answers of a crowd: `labels[(task, worker)]`, with tasks, workers and classes in order of first appearance."""

    tasks: tuple[str, ...]
    workers: tuple[str, ...]
    classes: tuple[str, ...]
    labels: dict[tuple[str, str], str]
    repeated: int
    """Rows that named a (task, worker) pair again; the first one counts, as the market takes one answer a wallet."""

    def overlaps(self) -> Counter[str]:
        """How many workers answered each task."""
        return Counter(task for task, _ in self.labels)


def read_answers(path: Path) -> CrowdAnswers:
    """Read `path`. Raises `FieldError` that names the line where a column or a value is missing."""
    labels: dict[tuple[str, str], str] = {}
    repeated = 0
    for line, row in _rows(path, "answers", ("task", "worker", "label")):
        task, worker, label = row
        if (task, worker) in labels:
            repeated += 1
            continue
        if not (task and worker and label):
            raise FieldError("answers", f"{path.name} line {line}: task, worker and label must all be given")
        labels[task, worker] = label
    if not labels:
        raise FieldError("answers", f"{path.name} holds no answers", hint="rows of task,worker,label")
    crowd = CrowdAnswers(
        tasks=tuple(dict.fromkeys(task for task, _ in labels)),
        workers=tuple(dict.fromkeys(worker for _, worker in labels)),
        classes=tuple(sorted(set(labels.values()))),
        labels=labels,
        repeated=repeated,
    )
    task, most = crowd.overlaps().most_common(1)[0]
    if most > MAX_OVERLAP:
        raise FieldError("answers", f"task {task} has {most} answers", hint=f"a task takes at most {MAX_OVERLAP}")
    return crowd


def read_truth(path: Path) -> dict[str, str]:
    """The right label by task; it may cover a part of the tasks."""
    return {row[0]: row[1] for _, row in _rows(path, "truth", ("task", "label"))}


def _rows(path: Path, field: str, columns: tuple[str, ...]) -> list[tuple[int, tuple[str, ...]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise FieldError(
                    field, f"{path.name} lacks the column {missing[0]}", hint=f"first line: {','.join(columns)}"
                )
            return [(reader.line_num, tuple((row[name] or "").strip() for name in columns)) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FieldError(field, f"{path} cannot be read: {error}") from error
