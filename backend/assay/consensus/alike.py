"""Whether the members of a group are noisy copies of one answer, or honest workers who share a reading.

Both agree with each other beyond the truth. Honest workers do so as well as each of them can: how often each gives the
group's own answer is spread as accuracies are in this crowd. Copies of one bot are all equally far from it, and mostly
nearer to it than honest workers are to the truth. So

    LR = ∫ Π_j ((1 − δ) L_j(s) / E_j + δ) ds,    E_j = ∫ L_j(s) f(s) ds

with L_j(s) the likelihood of member j's answers given the other members' on the same tasks, were it right s of the
time, and f the Beta distribution of accuracies under which all workers' answers are likeliest, the members' beside each
other and the others' beside each other. The members' own are among them because a group may be the best part of the
honest: what is left of the crowd then is no measure. f is cut off below where the search for groups leaves workers out.
A share δ of the members may be no copies, such as whom they copy.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .answers import Answers
from .majority import common_accuracy, count_votes, vote_posterior
from .numeric import STRENGTHS

STEPS = 20
"""Steps of the fit of one side."""
STRAY = 0.05
"""The share of a group's members who may be no copies."""
BINS = 64
"""Into how many parts the probability of an answer is cut, so that a worker's answers are counts."""

Flags = NDArray[np.bool_]
Doubles = NDArray[np.float64]
GRID: Doubles = (np.arange(200) + 0.5) / 200
"""Accuracies at which likelihoods are taken."""
MEANS: Doubles = np.linspace(0.05, 0.975, 38)
"""Means of Beta distributions among which the likeliest is taken."""


def log_ratio(answers: Answers, members: Flags, others: Flags, least: float) -> tuple[float, Flags]:
    """ln LR of the workers `members` (bool[n_workers]) beside the workers `others`, who are in no such group; and
    bool[n_workers], those members who are likelier copies than strays.

    `least`: the share of the members' mean accuracy beyond chance that the search asks of each. 0 where either side has
    too few who meet.
    """
    inside, accuracy, seen = _profiles(answers.with_gold(None), members)
    outside, _, _ = _profiles(answers, others)
    if len(inside) < 2 or len(outside) < 2:
        return 0.0, members
    chance = 1 / answers.n_classes
    cut = chance + max(least, 0.0) * max(accuracy - chance, 0.0)
    spread = np.where(cut <= GRID, _spread(np.concatenate([inside, outside])), 0.0)
    spread /= max(float(spread.sum()), 1e-300)
    each = np.logaddexp(inside - _log_mean(inside, spread)[:, None] + math.log(1 - STRAY), math.log(STRAY))
    total = each.sum(axis=0)
    one = _log_mean(total[None, :], np.full(GRID.size, 1 / GRID.size))
    copies = np.zeros(members.size, np.bool_)
    copies[seen[each[:, int(np.argmax(total))] >= math.log(2 * STRAY)]] = True
    # Every agreement is seen from both its ends; among m members m - 1 are free.
    return float(one[0]) * (len(inside) - 1) / len(inside), copies


def _profiles(answers: Answers, side: Flags) -> tuple[Doubles, float, NDArray[np.intp]]:
    """[workers of the side who meet others of it, GRID] ln L_j(s), their mean accuracy in each other's eyes, and who
    they are.
    """
    answers = answers.take(side[answers.worker])
    size = np.bincount(answers.task, minlength=answers.n_tasks)
    answers = answers.take(size[answers.task] > 1)
    if not len(answers):
        return np.empty((0, GRID.size)), 0.0, np.empty(0, np.intp)
    task, worker, label, classes = answers.task, answers.worker, answers.label, answers.n_classes
    votes = count_votes(answers)
    states: Doubles = vote_posterior(votes, common_accuracy(votes)).astype(np.float64)
    total = np.bincount(worker, minlength=answers.n_workers).astype(np.float64)
    held = np.flatnonzero(answers.gold >= 0)
    judged = np.unique(task)
    for _ in range(STEPS):
        states[held] = 0
        states[held, answers.gold[held]] = 1
        right = np.bincount(worker, weights=states[task, label], minlength=answers.n_workers)
        skill = np.clip((right + 1) / (total + 1 + 1 / max(right.sum() / total.sum(), 1e-9)), 0.02, 0.98)
        odds = np.log(skill * (classes - 1) / (1 - skill))[worker]
        prior = np.log(np.maximum(states[judged].mean(axis=0), 1e-6))
        score = count_votes(answers, odds).astype(np.float64) + prior
        states = np.exp(score - score.max(axis=1, keepdims=True))
        states /= states.sum(axis=1, keepdims=True)
    rest = score[task]
    rest[np.arange(task.size), label] -= odds
    rest = np.exp(rest - rest.max(axis=1, keepdims=True))
    likely = rest[np.arange(task.size), label] / rest.sum(axis=1)
    gold = answers.gold[task]
    likely = np.where(gold >= 0, gold == label, likely)
    cell = worker.astype(np.int64) * BINS + np.minimum((likely * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(cell, minlength=answers.n_workers * BINS).reshape(-1, BINS)
    sums = np.bincount(cell, weights=likely, minlength=answers.n_workers * BINS).reshape(-1, BINS).sum(axis=0)
    middle = sums / np.maximum(counts.sum(axis=0), 1)
    chance = np.log(GRID[:, None] * middle + (1 - GRID[:, None]) * (1 - middle) / (classes - 1))
    seen = np.flatnonzero(total)
    return counts[seen] @ chance.T, float(right.sum() / total.sum()), seen


def _spread(profiles: Doubles) -> Doubles:
    """float64[GRID]: the Beta distribution of accuracies under which the profiles are likeliest."""
    best, found = -np.inf, np.full(GRID.size, 1 / GRID.size)
    top = profiles.max(axis=1, keepdims=True)
    scaled = np.exp(profiles - top)
    for mean in MEANS:
        for strength in STRENGTHS[1:]:
            a, b = strength * mean, strength * (1 - mean)
            density = np.exp((a - 1) * np.log(GRID) + (b - 1) * np.log(1 - GRID))
            density /= density.sum()
            fit = float(np.log(scaled @ density + 1e-300).sum())
            if fit > best:
                best, found = fit, density
    return found


def _log_mean(logs: Doubles, weights: Doubles) -> Doubles:
    top = logs.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(logs - top) @ weights + 1e-300) + top[:, 0], np.float64)
