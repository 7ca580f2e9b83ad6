"""Groups of copies by the likelihood of all their answers at once, judged by what the others say.

Pairs tell a group late: each pair is judged by a task's other answers, and these hold the group's own. Here a group is
a hypothesis, and its answers are set aside while it is tested. On a task with labels l of its members, the others'
posterior P, matrices V and S (the members' mean)

    LR = Σ_c (Σ_k P(k) S[k, c]) Π_i ((1 − ε) 1[l_i = c] + ε / C) / Σ_k P(k) Π_i V_i[k, l_i]

has an expectation of 1 if members answer independently (an e-value, as in `copies`). Tasks that are hard for everybody
make all agree: with the share `common` of such tasks the denominator is (1 − common) times it and `common` times the
numerator. The product over tasks exceeds J C(J, m) / α for any of the groups of any size m among J workers with a
chance of α at most, as far as the matrices are known.

They are not: the best workers of a crowd, judged by the others alone, seem worse than they are and agree too much. So a
group must also be likelier than a crowd without one whose matrices are learned from everybody's answers, in which its
members may be as good as their agreement says: copies beside a crowd that agrees among itself as well as with them are
not that good.

The search starts from leading parts of the pairs' excess, judged by the plain shares of the vote: they believe nobody
much, copies neither. Each start is moved to whoever adds most to its likelihood, the others' answers learned anew
without the members' at each step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import copies
from .answers import Answers
from .excess import Excess, answer_pairs, leading, less_baseline, pair_excess
from .groups import FLAG_EXCESS, Group, evidence_weights
from .latent import LatentClass
from .majority import count_votes

MOST_ANSWERS = 20_000
"""Of more answers only those to every s-th task are looked at: with so many, pairs tell groups as well."""
MOST_CELLS = 2_000_000
"""Answers times classes that are looked at, at most."""
STEPS = 16
"""Times that a start is moved; the first `HELD` of them keep its size."""
HELD = 6
LEAST = 1.0
"""ln LR that a member adds at least while a group is searched for."""
FULL_STEPS = 10
"""Steps of the fit by which a group is compared with a crowd without one."""
PASSES = 3
"""Searches, each without what the ones before it found."""

Flags = NDArray[np.bool_]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A group that passed its bound: `members`, the `ratio` (ln LR) of all and what each worker's answers add to it
    (`own`), the `gain` (ln LR over a crowd without a group, learned anew), the `excess` of its pairs (`groups.Group`)
    and how many `pairs` of answers they have in common.
    """

    members: Flags
    ratio: float
    own: Doubles
    gain: float
    excess: float
    pairs: int

    def passes(self, alpha: float) -> bool:
        """Whether chance makes a group like this of a crowd like this one less often than `alpha`."""
        enough = self.ratio >= bound(self.members.size, int(self.members.sum()), alpha)
        return enough and self.gain >= math.log(1 / alpha)

    def group(self, alpha: float, least: float) -> Group | None:
        """Those of the members who add at least `least`, and not much less than most: whom copies follow adds
        something too. √(2 ln LR) are a normal variable's standard errors.
        """
        least = max(least, copies.LEVEL * float(np.median(self.own[self.members])))
        sure = np.flatnonzero(self.members & (self.own >= least))
        if sure.size < 2 or not self.passes(alpha):
            return None
        far = bound(self.members.size, int(self.members.sum()), alpha)
        workers = tuple(int(code) for code in sure)
        return Group(workers, self.excess, math.sqrt(2 * self.ratio), math.sqrt(2 * far), self.pairs)


def bound(workers: int, members: int, alpha: float) -> float:
    """What a group's log-likelihood ratio must reach: that of its size, with `alpha` shared out over all sizes."""
    return copies.bound(workers, members, alpha / workers)


def find_blocks(answers: Answers, known: Sequence[Group], *, alpha: float) -> list[Block]:
    """Disjoint blocks of at most half of the workers and of the answers, the surest first.

    `known`: groups found otherwise; each is a start too, so that a block may hold it with members it lacked.
    """
    if answers.n_workers < 4 or answers.n_classes < 2:
        return []
    search = _Search(_some(answers), alpha)
    found: list[Block] = []
    for _ in range(PASSES):
        better = search.run([np.isin(np.arange(answers.n_workers), group.workers) for group in known], found)
        if not better:
            break
        found += better
    return sorted(found, key=lambda block: -block.ratio)


def _some(answers: Answers) -> Answers:
    most = min(MOST_ANSWERS, MOST_CELLS // answers.n_classes)
    step = -(-len(answers) // most)
    return answers.take(answers.task % step == 0) if step > 1 else answers


class _Search:
    """The search for blocks in one crowd."""

    def __init__(self, answers: Answers, alpha: float) -> None:
        self.answers, self.alpha = answers, alpha
        self.pairs = answer_pairs(answers)
        votes = count_votes(answers)
        size = votes.sum(axis=1, keepdims=True)
        self.shares = np.where(size > 0, votes / np.maximum(size, 1), 1 / answers.n_classes)

    def run(self, known: list[Flags], found: list[Block]) -> list[Block]:
        """Disjoint blocks among workers who are in none of `found`.

        The one that gains most is taken, and the others are tried again with its answers set aside: beside a group
        that is still held for honest, honest workers look like one.
        """
        taken: list[Block] = []
        starts: list[tuple[Flags, bool]] | None = None
        while True:
            without = _Without.of(self.answers, [*found, *taken])
            if starts is None:
                starts = list(dict((one.tobytes(), (one, held)) for one, held in self._starts(without, known)).values())
            passed = [block for one, held in starts if (block := self._climb(one & without.alive, held, without))]
            if not passed:
                return taken
            taken.append(max(passed, key=lambda block: block.gain))
            starts = [(block.members, False) for block in passed]

    def _starts(self, without: _Without, known: list[Flags]) -> Iterator[tuple[Flags, bool]]:
        """Sets of workers to start from, and whether they keep their size at first."""
        yield from ((one, False) for one in known)
        answers, alive = self.answers, without.alive
        soft = _Reference.learn(answers, without.weights, start=self.shares)
        excess = soft.excess(answers, self.pairs, without.weights)
        shifted, common = less_baseline(excess, ~(alive[excess.i] & alive[excess.j]))
        order = np.argsort(-np.where(alive, leading(shifted, alive, alive.size), -np.inf), kind="stable")
        size = int(alive.sum()) // 2
        while size >= 4:
            inside = np.zeros(alive.size, np.bool_)
            inside[order[:size]] = True
            yield inside, True
            size //= 2
        llr = copies.log_ratio(excess.agree, excess.ratio, excess.expected, common)
        evidence = copies.Evidence(excess.i, excess.j, excess.pair, answers.task[self.pairs[0]], llr, answers.n_tasks)
        yield from ((inside, False) for inside in copies.grown(evidence, alive))

    def _climb(self, inside: Flags, held: bool, without: _Without) -> Block | None:
        """Move a start to where it is likeliest, and test it there."""
        answers, alive, aside, seen = self.answers, without.alive, without.weights, set[bytes]()
        for step in range(STEPS):
            size = int(inside.sum())
            if not 2 <= size <= alive.sum() / 2:
                return None
            weights = aside * _aside(answers, [inside])
            reference = _Reference.learn(answers, weights)
            ratio, own = reference.ratio(answers, inside, aside, 0.0)
            if held and step < HELD:
                moved = np.zeros(alive.size, np.bool_)
                moved[np.argsort(-np.where(alive, own, -np.inf), kind="stable")[:size]] = True
                if (moved == inside).all():
                    held = False
            else:
                moved = alive & (own > max(math.log((alive.size - size) / size), LEAST))
                if (moved == inside).all() or moved.tobytes() in seen:
                    break
                seen.add(moved.tobytes())
            inside = moved
        if ratio < bound(alive.size, size, self.alpha) or inside[answers.worker].mean() > 0.5:
            return None
        excess = reference.excess(answers, self.pairs, weights)
        out = ~alive | inside
        excess, common = less_baseline(excess, out[excess.i] | out[excess.j])
        ratio, own = reference.ratio(answers, inside, aside, common)
        if ratio < bound(alive.size, size, self.alpha):
            return None
        among = inside[excess.i] & inside[excess.j]
        share = float(excess.d[among].sum()) / (float(excess.room[among].sum()) + 2.0)
        if share < FLAG_EXCESS:
            return None
        together = _Reference.learn(answers, weights, steps=FULL_STEPS)
        gain = together.likelihood(answers, aside) + together.ratio(answers, inside, aside, 0.0)[0] - without.likelihood
        if gain < math.log(1 / self.alpha):
            return None
        return Block(inside, ratio, own, gain, min(share, 1.0), int(excess.n[among].sum()))


@dataclass(frozen=True, slots=True, eq=False)
class _Without:
    """A crowd without some blocks: who is `alive`, what answers count (`weights`, 1 for all of these), and the
    `likelihood` (its logarithm) of a fit without any other group.
    """

    alive: Flags
    weights: NDArray[np.float32]
    likelihood: float

    @classmethod
    def of(cls, answers: Answers, blocks: Sequence[Block]) -> _Without:
        alive = np.ones(answers.n_workers, np.bool_)
        for block in blocks:
            alive &= ~block.members
        weights = _aside(answers, [block.members for block in blocks])
        return cls(alive, weights, _Reference.learn(answers, weights, steps=FULL_STEPS).likelihood(answers, weights))


def _aside(answers: Answers, blocks: Sequence[Flags]) -> NDArray[np.float32]:
    """What answers count with these blocks taken for plain copies."""
    groups = [Group(tuple(int(code) for code in np.flatnonzero(one)), 1.0, 0.0, 0.0, 0) for one in blocks]
    return evidence_weights(answers, groups)


@dataclass(frozen=True, slots=True, eq=False)
class _Reference:
    """The crowd as the answers by `weights` show it: `emission` [n_workers, n_classes, n_classes], P(label | class),
    and `prior` [n_classes].
    """

    emission: Doubles
    prior: Doubles

    @classmethod
    def learn(
        cls, answers: Answers, weights: NDArray[np.float32], *, start: NDArray[Any] | None = None, steps: int = 3
    ) -> _Reference:
        """By some `steps` of the fit, or as a `start` has it."""
        steps = steps if start is None else 1
        model = LatentClass(max_iterations=steps, weights=weights, class_prior="uniform", start=start).fit(answers)
        prior = np.maximum(model.posterior_.mean(axis=1, dtype=np.float64), 1e-6)
        return cls(model.confusion().astype(np.float64), prior)

    def excess(self, answers: Answers, pairs: Any, weights: NDArray[np.float32]) -> Excess:
        return pair_excess(answers, pairs, self.emission, self.prior, weights)

    def likelihood(self, answers: Answers, weights: NDArray[np.float32]) -> float:
        """The log-likelihood of the answers, each counted by its weight, as independent ones."""
        return float(_log_sum(self._score(answers, weights)[1]).sum())

    def _score(self, answers: Answers, weights: NDArray[np.float32]) -> tuple[Doubles, Doubles]:
        """[n, n_classes] log P(label | class) of each answer, and the log score of each task's classes by all."""
        task, tasks, classes = answers.task, answers.n_tasks, np.arange(answers.n_classes)
        logs: Doubles = np.log(self.emission)[answers.worker, :, answers.label]
        score: Doubles = np.empty((tasks, classes.size))
        for k in classes:
            score[:, k] = np.bincount(task, weights=logs[:, k] * weights, minlength=tasks) + math.log(self.prior[k])
        gold = np.flatnonzero(answers.gold >= 0)
        score[gold] -= 1e6 * (classes != answers.gold[gold, None])
        return logs, score

    def ratio(
        self, answers: Answers, inside: Flags, aside: NDArray[np.float32], common: float
    ) -> tuple[float, Doubles]:
        """ln LR of a group, and what each worker's answers add to it, or would.

        `aside`: what answers of others count, 1 for all who may belong to the group.
        """
        task, label, tasks, classes = answers.task, answers.label, answers.n_tasks, answers.n_classes
        logs, score = self._score(answers, aside)
        whole = _log_sum(score)
        mine = inside[answers.worker]
        others = score.copy()
        np.subtract.at(others, task[mine], logs[mine])
        said = np.zeros((tasks, classes))
        np.add.at(said, (task[mine], label[mine]), 1)
        mean = self.emission[inside].mean(axis=0)
        now = _task_ratio(others, said, mean, whole, common)
        sign: Doubles = np.where(mine, -1.0, 1.0)
        changed = said[task]
        changed[np.arange(task.size), label] += sign
        then = _task_ratio(others[task] - sign[:, None] * logs, changed, mean, whole[task], common)
        added = np.bincount(answers.worker, (then - now[task]) * sign, minlength=inside.size)
        return float(now.sum()), added.astype(np.float64)


def _task_ratio(others: Doubles, said: Doubles, mean: Doubles, whole: Doubles, common: float) -> Doubles:
    """ln LR of each row: `others`, the log scores of the classes by all who are not of the group; `said`, how many
    members gave each label; `whole`, the log score of all answers together.
    """
    classes = mean.shape[0]
    top = others.max(axis=1, keepdims=True)
    joint = np.log(np.exp(others - top) @ mean + 1e-300) + top
    same = math.log(1 - copies.NOISE + copies.NOISE / classes)
    other = math.log(copies.NOISE / classes)
    present = said.sum(axis=1)
    ratio = _log_sum(joint + said * same + (present[:, None] - said) * other) - whole
    ratio = -np.log((1 - common) * np.exp(-np.minimum(ratio, 50.0)) + common)
    return np.where(present < 2, 0.0, ratio)


def _log_sum(scores: Doubles) -> Doubles:
    top = scores.max(axis=1)
    return np.asarray(top + np.log(np.exp(scores - top[:, None]).sum(axis=1)), np.float64)
