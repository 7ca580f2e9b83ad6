"""A crowd's answers as files: `task,worker,label` and, where it is known, the truth as `task,label`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from assay.csvfile import read_csv, read_pairs
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
    """Read `path`. Raises `FieldError` that names what is wrong, and in which line."""
    labels: dict[tuple[str, str], str] = {}
    repeated = 0
    for task, worker, label in read_csv(path, ("task", "worker", "label"), field="--answers"):
        if (task, worker) in labels:
            repeated += 1
            continue
        labels[task, worker] = label
    crowd = CrowdAnswers(
        tasks=tuple(dict.fromkeys(task for task, _ in labels)),
        workers=tuple(dict.fromkeys(worker for _, worker in labels)),
        classes=tuple(sorted(set(labels.values()))),
        labels=labels,
        repeated=repeated,
    )
    task, most = crowd.overlaps().most_common(1)[0]
    if most > MAX_OVERLAP:
        raise FieldError(
            "--answers", f"{path}: task {task} has {most} answers", hint=f"a task takes at most {MAX_OVERLAP}"
        )
    return crowd


def read_truth(path: Path) -> dict[str, str]:
    """The right label by task; it may cover a part of the tasks."""
    return read_pairs(path, field="--truth")
