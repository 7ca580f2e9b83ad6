"""Groups of workers who agree with each other more than the truth explains.

Two honest workers agree because both are right. Given the true class their answers are independent, so how often they
should agree follows from their confusion matrices; what they agree beyond that is excess. Copies, Sybils of one bot,
shared coins and shared lies all show as a block of workers with excess among themselves, whatever they answer. One
pair of workers shares few tasks and proves nothing; a block of m workers has m (m − 1) / 2 pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import alike, copies
from .answers import Answers, Ints
from .excess import Excess, Pairs, answer_pairs, find_groups, group_of_members, less_baseline, pair_excess, reached
from .groups import Group, evidence_weights, members_of
from .latent import MOST_CELLS, LatentClass
from .majority import common_accuracy, count_votes, vote_posterior
from .numeric import normalise

MOST_CLASSES = 100
"""More are put together: two who answer alike by chance are as rare in a hundred as in a thousand."""


PROOF = 1.64
"""Standard errors by which a group must agree more than independent workers would (one-sided 95 %)."""


@dataclass(frozen=True, slots=True, eq=False)
class Collusion:
    """`groups`: strongest first. `flagged`: bool[n_workers], members of a group that acts as one, and the hostile.
    `hostile`: bool[n_workers], workers outside of such groups who are wrong more often than chance. `group_of`:
    int32[n_workers], index into `groups` or -1. `baseline`: the excess that pairs of this crowd have in common (hard
    tasks).
    """

    groups: tuple[Group, ...]
    flagged: NDArray[np.bool_]
    hostile: NDArray[np.bool_]
    group_of: Ints
    baseline: float

    @property
    def as_one(self) -> Ints:
        """int32[n_workers]: `group_of` where the group acts as one, else -1. Who is flagged as hostile alone, or is
        in a group that only agrees more than others do, acts with nobody.
        """
        return np.where(self.flagged & ~self.hostile, self.group_of, np.int32(-1))


def below_chance(answers: Answers, model: LatentClass, *, alpha: float = 1e-3) -> NDArray[np.bool_]:
    """bool[n_workers]: workers who are right less often than a coin would be, beyond chance (one-sided normal bound,
    Bonferroni over workers).

    Right answers are expected ones under the model with the worker's own answer left out, or under the gold.
    """
    classes = answers.n_classes
    if classes < 2:
        return np.zeros(answers.n_workers, np.bool_)
    emission = model.log_emission_.reshape(classes, -1, answers.n_workers * classes)[:, 0]
    cell = answers.worker * np.int32(classes) + answers.label
    rest = np.log(np.maximum(model.posterior_, 1e-30)).reshape(classes, -1, answers.n_tasks)[:, 0][:, answers.task]
    rest = rest - emission[:, cell]
    normalise(rest)
    gold = answers.gold[answers.task]
    right = np.where(gold >= 0, gold == answers.label, rest[answers.label, np.arange(len(answers))])
    total = np.bincount(answers.worker, minlength=answers.n_workers)
    share = np.bincount(answers.worker, weights=right, minlength=answers.n_workers)
    chance = 1 / classes
    bound = math.sqrt(2 * math.log(max(answers.n_workers, 1) / alpha))
    return np.asarray(share < chance * total - bound * np.sqrt(chance * (1 - chance) * np.maximum(total, 1)), np.bool_)


def independent(answers: Answers, group: Group, *, proof: float = PROOF) -> bool:
    """Whether a group may as well be honest workers who err independently, being good ones beside others who are not.

    Of workers who err independently the chance-corrected agreements multiply: members with outsiders agree as the
    root of what members do among themselves times what outsiders do among themselves (Spearman's one factor). Copies
    agree among themselves more than that. Where outsiders do not agree with each other there is no witness that the
    group is wrong, and it may be all who look. One-sided at `proof` standard errors, a task counting once.
    """
    mine = members_of([group], answers.n_workers)[answers.worker]
    inside, outside = count_votes(answers.take(mine)), count_votes(answers.take(~mine))
    among, _ = _kappa(inside, inside)
    others, doubt = _kappa(outside, outside)
    across, error = _kappa(inside, outside)
    gap = among * others - across * abs(across)
    return gap < proof * math.hypot(among * doubt, 2 * across * error)


def _kappa(one: NDArray[Any], other: NDArray[Any]) -> tuple[float, float]:
    """Agreement beyond chance of two answers to a task, of one and of the other side (or both of one, if they are the
    same), by votes int[n_tasks, n_classes]; and its standard error, a task counting once.
    """
    size, sizes = one.sum(axis=1), other.sum(axis=1)
    same = one is other
    pairs = (size * (sizes - same)).astype(np.float64)
    agree = float((one * (other - same)).sum())
    judged = int((pairs > 0).sum())
    share, shares = one.sum(axis=0) / max(int(size.sum()), 1), other.sum(axis=0) / max(int(sizes.sum()), 1)
    chance = min(float(share @ shares), 1 - 1e-9)
    if not judged:
        return 0.0, 1.0
    return (agree / float(pairs.sum()) - chance) / (1 - chance), 1 / math.sqrt(judged)


def _search(
    answers: Answers, pairs: Pairs, start: NDArray[Any] | None, *, alpha: float, rounds: int
) -> tuple[list[Group], float]:
    """Groups and the common excess, judging tasks at first by `start` and then by what is left without the copies."""
    weights = np.ones(len(answers), np.float32)
    groups: list[Group] = []
    common = 0.0
    for step in range(rounds):
        model = LatentClass(max_iterations=1 if step == 0 else 3, weights=weights, class_prior="uniform", start=start)
        model.fit(answers)
        share = np.maximum(model.posterior_.mean(axis=1, dtype=np.float64), 1e-6)
        excess = pair_excess(answers, pairs, model.confusion().astype(np.float64), share, weights)
        held = members_of(groups, answers.n_workers)
        shifted, common = less_baseline(excess, held[excess.i] | held[excess.j])
        llr = copies.log_ratio(excess.agree, excess.ratio, excess.expected, common)
        evidence = copies.Evidence(excess.i, excess.j, excess.pair, answers.task[pairs[0]], llr, answers.n_tasks)
        before, groups = groups, find_groups(shifted, answers.n_workers, evidence=evidence, alpha=alpha)
        groups = [one for group in groups if (one := _judged(answers, shifted, group, groups, alpha))]
        weights, start = evidence_weights(answers, groups, every=True), None
        if [group.workers for group in before] == [group.workers for group in groups]:
            break
    return groups, common


def _judged(answers: Answers, excess: Excess, group: Group, groups: Sequence[Group], alpha: float) -> Group | None:
    """The group with its verdict: None if it acts as one but its members may as well be good workers; with all whom it
    reaches where they are noisy copies of one answer.
    """
    if independent(answers, group):
        return None if group.as_one else group
    if group.as_one:
        return group
    taken = members_of(groups, answers.n_workers)
    whole, least = reached(excess, group, taken)
    members = members_of([whole], answers.n_workers)
    others = ~(members | members_of([other for other in groups if other.as_one], answers.n_workers))
    ratio, copying = alike.log_ratio(answers, members, others, least)
    if ratio < math.log(1 / alpha) or copying.sum() < 2:
        return group
    return replace(group_of_members(excess, copying, group.bound), alike=True)


def coarse(answers: Answers) -> Answers:
    """The same answers in at most `MOST_CLASSES`, and in as many as matrices fit: those of one remainder are one."""
    classes = max(2, min(MOST_CLASSES, math.isqrt(MOST_CELLS // max(answers.n_workers, 1))))
    if answers.n_classes <= classes:
        return answers
    gold = np.where(answers.gold >= 0, answers.gold % classes, answers.gold)
    return Answers(
        answers.task, answers.worker, answers.label % classes, answers.n_tasks, answers.n_workers, classes, gold
    )


def detect(answers: Answers, *, alpha: float = 1e-3, rounds: int = 3) -> Collusion:
    """Find groups, judge the tasks anew with each group's copies counted once, and look again.

    Starts from the vote (weighted by each worker's record on gold, where there is gold) rather than from a fitted
    model, since a model fitted to a crowd with a strong group takes the group for the truth. Of very many classes
    several count as one: whoever copies still agrees, and matrices stay affordable.
    """
    answers = coarse(answers)
    if not len(answers) or answers.n_classes < 2:
        none = np.zeros(answers.n_workers, np.bool_)
        return Collusion((), none, none.copy(), np.full(answers.n_workers, -1, np.int32), 0.0)
    pairs = answer_pairs(answers)
    votes = count_votes(answers)
    size = np.maximum(votes.sum(axis=1, keepdims=True), 1)
    shares = np.where(votes.sum(axis=1, keepdims=True) > 0, votes / size, 1 / answers.n_classes)
    sharp = None if answers.has_gold else vote_posterior(votes, common_accuracy(votes))
    groups, common = _search(answers, pairs, sharp, alpha=alpha, rounds=rounds)
    if not any(group.as_one for group in groups):
        # Where copies hold most of the vote the start above believes them. Plain shares of the vote believe nobody
        # much; they see more groups, honest ones among them, so only copies that do not make up half of the answers
        # are taken from there.
        soft, baseline = _search(answers, pairs, shares, alpha=alpha, rounds=rounds)
        soft = [group for group in soft if group.as_one]
        held = members_of(soft, answers.n_workers)[answers.worker]
        if held.any() and held.mean() < 0.5:
            groups, common = soft, baseline
    group_of = np.full(answers.n_workers, -1, np.int32)
    flagged = np.zeros(answers.n_workers, np.bool_)
    for index, group in enumerate(groups):
        group_of[list(group.workers)] = index
        flagged[list(group.workers)] = group.as_one
    weights = evidence_weights(answers, groups)
    model = LatentClass(max_iterations=5, weights=weights, class_prior="uniform").fit(answers)
    hostile = below_chance(answers, model) & ~flagged
    return Collusion(tuple(groups), flagged | hostile, hostile, group_of, common)
