"""What a vote counts where the method is `weighted`: by its labeler's counters on chain, named in the evidence.

A labeler's counters are named with its answers and are the same throughout a request: those of the first batch that
holds an answer of it. So a task has one label however many batches settle it, no batch makes the next one's weights,
and nobody picks the moment at which a record counts but once. They are part of the evidence hash (`entries`), and with
it of what the panel signs. That they were the chain's is checked by whoever reads the chain: the worker before it
signs, the auditor at every batch (docs/decisions/weights.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from assay.domain import reputation
from assay.domain.incentives import vote_weights
from assay.domain.messages import b58
from assay.domain.work import Answer, Counters, Task
from assay.errors import FieldError

FULL = 2.0
"""A vote's weight at a score of 1."""

_NOBODY: Mapping[bytes, Counters] = MappingProxyType({})


def weight(counters: Counters) -> float:
    """1 for nothing shown, up to 2 for a full score: exact to the basis point, the same everywhere.

    Within a task the method caps it at 1.9 times the median voter's.
    """
    return float(vote_weights(np.array([reputation.score(*counters)]), cap=FULL)[0])


def named(tasks: Iterable[Task], *, known: Mapping[bytes, Counters] = _NOBODY) -> dict[bytes, Counters]:
    """The counters that the answers of `tasks` name, by labeler, beside those `known` from earlier batches.

    Raises `FieldError` where an answer names none, or others than another answer of its labeler.
    """
    found = dict(known)
    for task in tasks:
        for answer in task.answers:
            if answer.counters is None:
                raise FieldError(_at(task, answer), "are missing", hint="the labeler's [good, bad] on chain")
            first = found.setdefault(answer.labeler, answer.counters)
            if first != answer.counters:
                hint = f"{list(first)}, as with the labeler's first answer of this request"
                raise FieldError(_at(task, answer), f"are {list(answer.counters)}", hint=hint)
    return found


def _at(task: Task, answer: Answer) -> str:
    return f"tasks[index {task.index}].answers[{b58(answer.labeler)}].counters"


def of(tasks: Iterable[Task]) -> dict[bytes, float]:
    """What each labeler's vote counts in `tasks`, a request's earlier ones among them. Raises as `named` does."""
    return {labeler: weight(counters) for labeler, counters in named(tasks).items()}


def newcomers(tasks: Iterable[Task], known: Mapping[bytes, Counters]) -> list[bytes]:
    """Labelers of `tasks` whose counters no earlier batch names, in order of wallet."""
    return sorted({answer.labeler for task in tasks for answer in task.answers} - set(known))


def put(tasks: Sequence[Task], counters: Mapping[bytes, Counters]) -> list[Task]:
    """`tasks` with each answer naming its labeler's counters."""
    return [
        replace(task, answers=tuple(replace(one, counters=counters[one.labeler]) for one in task.answers))
        for task in tasks
    ]
