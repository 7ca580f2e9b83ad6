"""Dynamic overlap: ask for more answers only where they are worth their price."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answers import Answers, Choice
from .latent import LatentClass
from .majority import common_accuracy, count_votes


def expected_gain(posterior: NDArray[Any], accuracy: float) -> NDArray[np.float64]:
    """float64[n_tasks]: how much likelier a right label becomes with two more answers of this accuracy.

    Σ over the labels of both answers of max_k P(k, labels) less max_k P(k). Two, since one more vote seldom turns a
    decided task and a look one step ahead would see no use in any.
    """
    classes = posterior.shape[1]
    emission = np.full((classes, classes), (1 - accuracy) / max(classes - 1, 1))
    np.fill_diagonal(emission, accuracy)
    best = np.zeros(posterior.shape[0])
    for first in range(classes):
        once = posterior * emission[:, first]
        for second in range(classes):
            best += (once * emission[:, second]).max(axis=1)
    return np.asarray(np.maximum(best - posterior.max(axis=1), 0.0), np.float64)


def wants_more(
    result: Choice, *, accuracy: float, price: float, value: float, least: int = 2, most: int = 25
) -> NDArray[np.bool_]:
    """bool[n_tasks]: the tasks for which another answer is worth its price.

    `price` of one answer and `value` of a right record in the same unit: ask while value · expected gain > 2 · price
    (the gain is that of two answers), never below `least` answers nor above `most`.
    """
    gain = expected_gain(result.posterior.astype(np.float64), accuracy)
    return np.asarray(
        (result.answered < least) | ((result.answered < most) & (value * gain > 2 * price)),
        np.bool_,
    )


def _in_turn(answers: Answers, order: NDArray[Any]) -> NDArray[np.int64]:
    """int64[n]: the how-manieth answer of its task each row is, taken in this order."""
    sorted_rows = order[np.argsort(answers.task[order], kind="stable")]
    size = np.bincount(answers.task, minlength=answers.n_tasks)
    start = np.cumsum(size) - size
    turn = np.empty(len(answers), np.int64)
    turn[sorted_rows] = np.arange(len(answers)) - start[answers.task[sorted_rows]]
    return turn


def _fit(answers: Answers, *, quick: bool = False) -> Choice:
    tolerance, iterations = (1e-2, 20) if quick else (1e-4, 200)
    return LatentClass(tolerance=tolerance, max_iterations=iterations).fit(answers).predict(answers)


def fixed_overlap(answers: Answers, order: NDArray[Any], *, per_task: int) -> Choice:
    """The labels from the first `per_task` answers of each task, in this order of rows (Dawid-Skene)."""
    return _fit(answers.take(_in_turn(answers, order) < per_task))


def grow_overlap(answers: Answers, order: NDArray[Any], *, per_task: int, rounds: int = 8) -> tuple[Choice, int]:
    """The labels from as many answers in all, placed where they help, and the number used.

    Each task starts with half of `per_task` (at least two where there is room); the rest of the budget goes out in
    rounds, one answer a task, to those with the highest expected gain; a task whose given answers are used up passes.
    """
    turn = _in_turn(answers, order)
    size = np.bincount(answers.task, minlength=answers.n_tasks)
    budget = int(np.minimum(size, per_task).sum())
    wanted = np.minimum(size, max(min(2, per_task), (per_task + 1) // 2))
    used = int(wanted.sum())
    batch = max((budget - used) // rounds, 1)
    while used < budget:
        now = answers.take(turn < wanted[answers.task])
        result = _fit(now, quick=True)
        gain = expected_gain(result.posterior.astype(np.float64), common_accuracy(count_votes(now)))
        gain[wanted >= size] = -1.0
        chosen = np.argsort(-gain, kind="stable")[: min(batch, budget - used)]
        chosen = chosen[gain[chosen] >= 0]
        if not chosen.size:
            break
        wanted[chosen] += 1
        used += int(chosen.size)
    return _fit(answers.take(turn < wanted[answers.task])), used
