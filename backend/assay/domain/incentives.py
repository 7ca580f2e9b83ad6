"""What a voter's answers are worth: pay that only information earns.

**The rule.** A voter's *information* is how much more its answers agree with its peers on the same task than on
different tasks. It is the
correlated agreement mechanism for categorical signals (Shnayder, Agarwal, Frongillo and Parkes, *Informed
Truthfulness in Multi-Task Peer
Prediction*, EC 2016, section 5; the multi-task idea is Dasgupta and Ghosh, WWW 2013), with two changes. All eligible
peers judge instead
of one drawn by lot, so that a voter's pay does not hang on luck: they are put together into the posterior of the
task without the voter.
And peers of the voter's own suspected group never count, while a group of k is paid as one voter: 1/k each.

Who answers without looking (always the same, or by lot, or by a coin shared with friends) agrees with outsiders as
often on different
tasks as on the same one, so its expected information is exactly 0, whatever the classes' frequencies. Truth is the
best reply to truth.

**From information to pay.** Not the estimate but what is *shown*: its lower bound, one standard error below.
`standings` gives each voter a weight of
0 to 1000; the validation fee of a record (2520 units) is split over the voters who agreed with the verdict in
proportion to their weights
(`split_units`), and an answer that agrees with the label is paid unless its labeler's record shows that there is none
(`may_be_accepted`). Nothing is ever
negative, and newcomers start with a small weight on trust that their own record replaces.

Pure: arrays in, frozen dataclasses out; integers at the edge. Standings of a batch are computed from what is
revealed before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.consensus import Answers, InvalidAnswers
from assay.domain.tally import UNITS

Doubles = NDArray[np.float64]

FULL = 1000
"""The weight of a voter whose answers are shown to be as good as the posterior of all others."""

TRUST = 50
"""A newcomer's weight: enough to be paid something at once, too little to live on with ever new wallets."""

TRUST_ANSWERS = 5
"""Answers that this trust lasts for when the voter's own record shows nothing."""

SENIORITY = 100
"""Answers at which a record counts half: a group of new wallets is found out before it earns like those who stayed."""

Z = 1.0
"""Standard errors between what is estimated and what counts as shown (one-sided 84 %): doubt costs the voter, but
not all its pay.
"""

LEAST_INFORMATION = 0.25
"""A labeler whose record shows less than this is not paid: about what being right in 62 of 100 cases on two
classes gives.
"""

PROOF = 1.5
"""Standard errors above the estimate that must still lie below it."""

SKILL_CAP = 0.95
"""No single peer is believed beyond this accuracy: it bounds any one voter's influence on what others are paid."""

LEAST_SPREAD = 0.01
"""Where the reference varies less than this over the tasks (all alike), no rule can tell looking from not looking."""


@dataclass(frozen=True, slots=True, eq=False)
class Standings:
    """What each worker's record shows, arrays of length n_workers.

    `information`: excess agreement with outside peers over what different tasks give, as a share of the reference's
    own (1: as good as all
    others together, 0: nothing). `error`: its standard error. `answers`: how many were compared. `group_size`:
    members of its suspected
    group (1: none). `weight`: 0..1000, what its pay goes by. `informative`: False when the tasks are too alike to
    tell (all get `TRUST`).
    """

    information: Doubles
    error: Doubles
    answers: NDArray[np.int64]
    group_size: NDArray[np.int64]
    weight: NDArray[np.int64]
    informative: bool


def standings(answers: Answers, worker_skill: NDArray[Any], group: NDArray[Any] | None = None) -> Standings:
    """The standing of each worker from revealed answers.

    `worker_skill`: float[n_workers], the share of right answers that the request's consensus gives each
    (`Choice.worker_skill`).
    `group`: int[n_workers], suspected group of each worker or -1; None for none. Gold tasks' known answers are the
    surest peer.
    Raises InvalidAnswers when a length is wrong.
    """
    workers, classes = answers.n_workers, answers.n_classes
    groups = _groups(group, workers)
    skill = np.asarray(worker_skill, np.float64)
    if skill.shape != (workers,):
        raise InvalidAnswers(f"worker_skill must have one entry a worker ({workers}), got {skill.shape}")
    size = np.bincount(groups, minlength=int(groups.max(initial=-1)) + 1)[groups] if workers else np.zeros(0, np.int64)
    zero = np.zeros(workers)
    if not len(answers) or classes < 2:
        weight = np.full(workers, TRUST, np.int64) // np.maximum(size, 1)
        return Standings(zero, zero, np.zeros(workers, np.int64), size, weight, False)
    reference, eligible = _reference(answers, skill, groups)
    rows = np.flatnonzero(eligible)
    task, worker, label, reference = answers.task[rows], answers.worker[rows], answers.label[rows], reference[rows]
    count = np.bincount(worker, minlength=workers)
    n = np.maximum(count, 1)
    same = reference[np.arange(rows.size), label]
    # Mean reference of each class over the worker's tasks, and mean answer of each class: their product is the
    # agreement of an answer
    # with the reference of another task, its own task taken out (n² pairs less the n of one task).
    mean_reference = np.stack([np.bincount(worker, reference[:, c], minlength=workers) for c in range(classes)], axis=1)
    mean_reference = np.asarray(mean_reference / n[:, None], np.float64)
    answered = np.bincount(worker.astype(np.int64) * classes + label, minlength=workers * classes)
    mean_answer = answered.reshape(workers, classes) / n[:, None]
    total = np.bincount(worker, same, minlength=workers)
    pairs = np.maximum(count * (count - 1), 1)
    crossed = (count**2 * (mean_answer * mean_reference).sum(axis=1) - total) / pairs
    excess = total / n - crossed
    # First-order influence of each row on the excess: what its variance must be taken of.
    influence = same - mean_reference[worker, label] - (mean_answer[worker] * reference).sum(axis=1)
    centred = influence - (np.bincount(worker, influence, minlength=workers) / n)[worker]
    variance = (np.bincount(worker, centred**2, minlength=workers) + 1.0 / classes) / (n * np.maximum(n - 1, 1))
    spread = _spread(task, reference, answers.n_tasks)
    if spread < LEAST_SPREAD:
        return Standings(zero, zero, count, size, np.full(workers, TRUST, np.int64) // np.maximum(size, 1), False)
    information = np.where(count > 1, excess / spread, 0.0)
    error = np.where(count > 1, np.sqrt(variance) / spread, 1.0)
    shown = np.clip(information - Z * error, 0.0, 1.0)
    record = FULL * shown * count / (count + SENIORITY) + TRUST * TRUST_ANSWERS / (count + TRUST_ANSWERS)
    convinced = np.where(shown > 0, record, TRUST * np.maximum(TRUST_ANSWERS - count, 0) / TRUST_ANSWERS)
    weight = np.floor(convinced / np.maximum(size, 1) + 1e-9).astype(np.int64)
    return Standings(information, error, count, size, weight, True)


def split_units(weights: Sequence[int], agreed: Sequence[bool]) -> tuple[int, ...]:
    """How the 2520 units of one judged answer are shared: over those who agreed with the verdict, in proportion to
    their weights.

    If nobody who agreed has a weight they share alike; if nobody agreed (a gold task that all failed) all voters
    count as having agreed.
    The sum is exactly 2520: what integer division leaves goes to the largest remainders, of equals to the first.
    Raises ValueError for
    lengths that differ, no voters, or a negative weight.
    """
    if len(weights) != len(agreed) or not weights:
        raise ValueError(
            f"agreed: has {len(agreed)} entries for {len(weights)} voters; one each, and at least one voter"
        )
    if min(weights) < 0:
        raise ValueError(f"weights: holds {min(weights)}; none may be below 0")
    right = list(agreed) if any(agreed) else [True] * len(weights)
    share = [weight if ok else 0 for weight, ok in zip(weights, right, strict=True)]
    if not sum(share):
        share = [int(ok) for ok in right]
    total = sum(share)
    units = [UNITS * one // total for one in share]
    rest = sorted(range(len(share)), key=lambda i: (-(UNITS * share[i] % total), i))
    for i in rest[: UNITS - sum(units)]:
        units[i] += 1
    return tuple(units)


def may_be_accepted(standing: Standings, worker: int, lot: int = 0) -> bool:
    """Whether an answer of this labeler that agrees with the label is paid (agreement mode).

    To refuse right answers takes proof: the record must show (one-sided 93 %) that there is less information in it
    than `LEAST_INFORMATION`. A suspected group of k earns as one labeler: `lot`, an integer from public randomness and
    the answer's id, lets 1 in k pass.
    """
    return looks(standing, worker) and lot % int(standing.group_size[worker]) == 0


def looks(standing: Standings, worker: int) -> bool:
    """False where a worker's record shows that it does not look at its tasks."""
    upper = float(standing.information[worker]) + PROOF * float(standing.error[worker])
    return not standing.informative or int(standing.answers[worker]) < 2 or upper >= LEAST_INFORMATION


def vote_weights(reputation_bps: NDArray[Any], *, cap: float = 2.0) -> Doubles:
    """Weights for reputation-weighted voting: from 1 (no reputation) to `cap` (full), so no voter outweighs `cap`
    newcomers.
    """
    share = np.clip(np.asarray(reputation_bps, np.float64) / 10_000, 0.0, 1.0)
    return np.asarray(1.0 + (cap - 1.0) * share, np.float64)


def explain(standing: Standings, worker: int) -> str:
    """What the rule found for one voter, in words and with its numbers: shown to whom it hits."""
    count, size = int(standing.answers[worker]), int(standing.group_size[worker])
    weight, info, error = (
        int(standing.weight[worker]),
        float(standing.information[worker]),
        float(standing.error[worker]),
    )
    if not standing.informative:
        text = f"The tasks so far are too alike to tell who looks at them; everybody is paid alike (weight {weight})."
    elif count < 2:
        text = f"You have {count} answers that can be compared yet; you are paid on trust (weight {weight} of {FULL})."
    else:
        low = max(0.0, info - Z * error)
        text = (
            f"On {count} answers you agreed with voters outside your group {100 * info:.1f} % as much beyond chance as "
            f"all of them together do with themselves (0 % is what answering without looking gives; standard error "
            f"{100 * error:.1f} %). At least {100 * low:.1f} % is shown (one standard error below); with the length of "
            f"your record that gives a weight of {weight} of {FULL}. Of each fee your share is your weight over the "
            "weights of all who agreed with the verdict."
        )
        if low == 0.0:
            text += (
                " Nothing is shown yet. More answers narrow the doubt; gold tasks count most. This is no strike and "
                "costs no stake."
            )
        if not looks(standing, worker):
            text += (
                " Your record shows that you answer without looking, or nearly so: your share stays this small until "
                "later answers, or gold tasks, show otherwise."
            )
    if size > 1:
        text += (
            f" Your answers coincide with those of {size - 1} other voters far beyond chance. The {size} of you are "
            "paid as one voter, and never judge each other. Suspicion alone is no strike: only gold tasks and verdicts "
            "are."
        )
    return text


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the program's counters get for each worker: arrays of length n_workers.

    A strike is one disagreement with a verdict or one failed gold task (a gold task's verdict is its known answer,
    so it is counted once).
    Being suspected of collusion, or having little information, never is one.
    """

    judgements: NDArray[np.int64]
    strikes: NDArray[np.int64]
    gold_passed: NDArray[np.int64]
    gold_failed: NDArray[np.int64]


def evidence(answers: Answers, verdicts: NDArray[Any]) -> Evidence:
    """Strikes and gold counters from verdicts, int[n_tasks] (-1: none yet, its answers are not judged)."""
    known = answers.gold >= 0
    final = np.where(known, answers.gold, np.asarray(verdicts))[answers.task]
    judged = final >= 0
    wrong = judged & (answers.label != final)
    gold = known[answers.task]

    def tally(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(answers.worker[rows], minlength=answers.n_workers).astype(np.int64)

    return Evidence(tally(judged), tally(wrong), tally(gold & ~wrong), tally(gold & wrong))


def _groups(group: NDArray[Any] | None, workers: int) -> NDArray[np.int64]:
    """A group number for every worker: those in none get one of their own."""
    if group is None:
        return np.arange(workers)
    given = np.asarray(group)
    if given.shape != (workers,):
        raise InvalidAnswers(f"group must have one entry a worker ({workers}), got {given.shape}")
    own = int(given.max(initial=-1)) + 1 + np.arange(workers)
    return np.where(given >= 0, given, own).astype(np.int64)


def _reference(answers: Answers, skill: Doubles, groups: NDArray[np.int64]) -> tuple[Doubles, NDArray[np.bool_]]:
    """For each answer the posterior of its task from all peers outside the voter's group, and whether there is any
    such peer.

    One-coin log odds (each peer right with its skill, errors spread evenly), bounded, never negative: who is worse
    than chance is ignored.
    """
    classes = answers.n_classes
    bounded = np.clip(skill, 1.0 / classes, SKILL_CAP)
    odds = np.log(bounded * (classes - 1) / (1.0 - bounded))[answers.worker]
    cell = answers.task.astype(np.int64) * classes + answers.label
    votes = np.bincount(cell, weights=odds, minlength=answers.n_tasks * classes).reshape(-1, classes)
    in_group = answers.task.astype(np.int64) * (int(groups.max(initial=0)) + 1) + groups[answers.worker]
    _, inside = np.unique(in_group, return_inverse=True)
    own = np.bincount(inside * classes + answers.label, weights=odds, minlength=(int(inside.max()) + 1) * classes)
    score = np.asarray(votes[answers.task] - own.reshape(-1, classes)[inside], np.float64)
    known = answers.gold[answers.task]
    is_gold = known >= 0
    others = np.bincount(answers.task, minlength=answers.n_tasks)[answers.task] - np.bincount(inside)[inside]
    score = np.exp(score - score.max(axis=1, keepdims=True))
    score /= score.sum(axis=1, keepdims=True)
    score[is_gold] = 0.0
    score[is_gold, known[is_gold]] = 1.0
    return score, (others > 0) | is_gold


def _spread(task: NDArray[Any], reference: Doubles, n_tasks: int) -> float:
    """Excess agreement of the reference with itself: E Σ r² - Σ (E r)², each task counted alike."""
    size = np.bincount(task, minlength=n_tasks)
    weight = 1.0 / np.maximum(size, 1)[task].astype(np.float64)
    weight = weight / weight.sum()
    mean = weight @ reference
    return float(weight @ (reference**2).sum(axis=1) - mean @ mean)
