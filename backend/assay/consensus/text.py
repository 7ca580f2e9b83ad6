"""Consensus of transcriptions: the text that a task's workers together most probably read.

`medoid` picks the answer nearest to all others. `rover` builds a text that nobody need have written: answers are
aligned word by word to the medoid, each place is voted on (Fiscus, *A Post-Processing System to Yield Reduced Word
Error Rates: ROVER*, ASRU 1997), and where no word has more than half of the weight its letters are voted on in the
same way. Workers weigh by how near they are to the consensus (or gold) over all their tasks, in turns until nothing
changes. Distances are Levenshtein's over the longer length, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .answers import Codes, Ints, InvalidAnswers, _codes

Doubles = NDArray[np.float64]
TEXT_METHODS = ("medoid", "rover")

# No worker counts more than 1 / _FLOOR of one who gets everything wrong: it bounds any one voice.
_FLOOR = 0.05
_ROUNDS = 5
_GAP = 0.75
_SHORT = 256  # letters of a pair whose distance is remembered: long ones would hold much memory
_LONG = 200_000  # words times letters: about a second of comparing each word with each


@dataclass(frozen=True, slots=True, eq=False)
class TextAnswers:
    """One row an answer: `task`, `worker` int32[n], `text` n strings. `gold`: a string or None for each task.

    The empty text is an answer ("nothing to read"). Repeated rows count as answers of their own.
    """

    task: Ints
    worker: Ints
    text: tuple[str, ...]
    n_tasks: int
    n_workers: int
    gold: tuple[str | None, ...] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "task", _codes("task", self.task, low=0, high=self.n_tasks))
        put(self, "worker", _codes("worker", self.worker, low=0, high=self.n_workers))
        put(self, "text", tuple(self.text))
        put(self, "gold", (None,) * self.n_tasks if self.gold is None else tuple(self.gold))
        if not self.task.size == self.worker.size == len(self.text):
            sizes = f"{self.task.size}, {self.worker.size}, {len(self.text)}"
            raise InvalidAnswers(f"task, worker and text must be equally long, got {sizes}")
        if not all(isinstance(one, str) for one in self.text):
            raise InvalidAnswers("text must hold strings")
        if len(self.gold) != self.n_tasks:
            raise InvalidAnswers(f"gold must have one entry a task ({self.n_tasks}), got {len(self.gold)}")


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """`texts`: the consensus of each task, None without answers or gold. `confidence`: the share of it to expect to be
    right: rover by who supports each of its places and how often those are wrong, medoid by its mean likeness to the
    answers, both for a lone or common answer by how often who gave it is wrong. `worker_skill`: 1 - the worker's mean
    distance to the consensus, of tasks that others answered too.
    """

    texts: tuple[str | None, ...]
    confidence: Doubles
    worker_skill: Doubles
    answered: Ints
    method: str
    iterations: int = 1
    converged: bool = True


def encode_texts(
    rows: Sequence[tuple[Hashable, Hashable, str]], *, gold: Mapping[Hashable, str] | None = None
) -> tuple[TextAnswers, Codes]:
    """Codes for rows of (task, worker, text)."""
    tasks = {value: code for code, value in enumerate(dict.fromkeys(row[0] for row in rows))}
    workers = {value: code for code, value in enumerate(dict.fromkeys(row[1] for row in rows))}
    task = np.fromiter((tasks[row[0]] for row in rows), np.int32, len(rows))
    worker = np.fromiter((workers[row[1]] for row in rows), np.int32, len(rows))
    known = tuple((gold or {}).get(name) for name in tasks)
    answers = TextAnswers(task, worker, tuple(row[2] for row in rows), len(tasks), len(workers), known)
    return answers, Codes(tuple(tasks), tuple(workers), ())


class TextConsensus:
    """`fit` learns how near each worker is to the consensus, `predict` builds the consensus by it."""

    def __init__(self, method: str = "rover") -> None:
        if method not in TEXT_METHODS:
            raise InvalidAnswers(f"method must be one of {', '.join(TEXT_METHODS)}, got {method!r}")
        self.name = method

    error_: Doubles
    iterations_: int = 0
    converged_: bool = False

    def fit(self, answers: TextAnswers) -> TextConsensus:
        """Consensus and workers in turns."""
        self.error_ = np.full(answers.n_workers, 0.2)
        before: tuple[str | None, ...] = ()
        # A lone answer is its own consensus: that says nothing of who gave it.
        told = np.bincount(answers.task, minlength=answers.n_tasks) > 1
        told |= np.array([one is not None for one in answers.gold], np.bool_)
        known = told[answers.task]
        for step in range(1, _ROUNDS + 1):
            self.iterations_ = step
            texts, _ = self._consensus(answers)
            if texts == before:
                self.converged_ = True
                break
            before = texts
            gaps = np.array(
                [distance(one, texts[task] or "") for one, task in zip(answers.text, answers.task, strict=True)],
                np.float64,
            )[known]
            worker = answers.worker[known]
            size = np.bincount(worker, minlength=answers.n_workers)
            total = np.bincount(worker, weights=gaps, minlength=answers.n_workers)
            common = (float(gaps.sum()) + 0.4) / (gaps.size + 2)
            self.error_ = np.asarray((total + 2 * common) / (size + 2), np.float64)
        return self

    def predict(self, answers: TextAnswers) -> Texts:
        """The consensus of each task."""
        texts, confidence = self._consensus(answers)
        answered = np.bincount(answers.task, minlength=answers.n_tasks).astype(np.int32)
        skill = 1 - self.error_
        return Texts(texts, confidence, skill, answered, self.name, self.iterations_, self.converged_)

    def _consensus(self, answers: TextAnswers) -> tuple[tuple[str | None, ...], Doubles]:
        weight = 1.0 / (_FLOOR + self.error_)
        rows: list[list[int]] = [[] for _ in range(answers.n_tasks)]
        # By worker and text, so that the order in which answers came decides nothing.
        for row in sorted(range(len(answers.text)), key=lambda i: (int(answers.worker[i]), answers.text[i])):
            rows[answers.task[row]].append(row)
        texts: list[str | None] = []
        confidence = np.zeros(answers.n_tasks)
        for task, mine in enumerate(rows):
            known = answers.gold[task]
            if known is not None:
                texts.append(known)
                confidence[task] = 1.0
            elif not mine:
                texts.append(None)
            else:
                given = [answers.text[row] for row in mine]
                weights = [float(weight[answers.worker[row]]) for row in mine]
                errors = [float(self.error_[answers.worker[row]]) for row in mine]
                text, confidence[task] = (
                    rover(given, weights, errors) if self.name == "rover" or len(set(given)) == 1
                    else medoid(given, weights)
                )  # fmt: skip
                texts.append(text)
        return tuple(texts), confidence


def resolve_texts(method: str, answers: TextAnswers) -> Texts:
    """The consensus texts by the method of this name. Raises InvalidAnswers for an unknown one."""
    return TextConsensus(method).fit(answers).predict(answers)


def medoid(texts: Sequence[str], weights: Sequence[float]) -> tuple[str, float]:
    """The text with the least weighted distance to all, and its likeness to them; of equals the one that comes first
    in the alphabet.
    """
    total = sum(weights)
    cost = {one: sum(w * distance(one, other) for other, w in zip(texts, weights, strict=True)) for one in set(texts)}
    best = min(cost, key=lambda one: (round(cost[one], 9), one))
    return best, 1 - cost[best] / total


def rover(texts: Sequence[str], weights: Sequence[float], errors: Sequence[float] | None = None) -> tuple[str, float]:
    """The text voted word by word along an alignment with the medoid, and the mean probability that its words are
    right, where a writer's words are wrong at its rate in `errors` (one in five where not given).
    """
    odds = sum(float(np.log((1 - one) / one)) for one in np.clip(errors or [0.2] * len(texts), 0.01, 0.9))
    first, likeness = medoid(texts, weights)
    if len(set(texts)) == 1:
        return first, 1 / (1 + float(np.exp(-odds)))
    slots = _vote([one.split() for one in texts], weights, first.split(), _unlike)
    words, shares, total = [], [], sum(weights)
    for slot in slots:
        word = max(slot, key=lambda one: (round(slot[one], 9), one != "", one))
        if slot[word] <= total / 2 and len(slot) > 2:
            word = _by_letters(slot)
        shares.append(_chance(slot, word, odds / total) if word in slot else likeness)
        words.append(word)
    text = " ".join(word for word in words if word)
    return text, float(np.mean(shares)) if shares else likeness


def _chance(slot: Mapping[str, float], word: str, odds: float) -> float:
    """That a slot's word is right: each unit of weight is evidence of `odds` (a logarithm) for its own, and something
    that nobody wrote has none."""
    rivals = [weight for one, weight in slot.items() if one != word]
    return float(1 / (1 + np.exp(odds * (np.array([0.0, *rivals]) - slot[word])).sum()))


def distance(a: str, b: str) -> float:
    """Levenshtein distance over the longer length: 0 equal, 1 nothing in common."""
    if a == b:
        return 0.0
    if a > b:
        a, b = b, a
    gap = _remembered(a, b) if len(a) + len(b) <= _SHORT else edit_distance(a, b)
    return gap / max(len(a), len(b))


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance by bit vectors: Myers, JACM 46 (1999), in Hyyrö's formulation (2003). O(|a|·|b|/word)."""
    if not a or not b:
        return len(a) + len(b)
    mask: dict[str, int] = {}
    for i, char in enumerate(a):
        mask[char] = mask.get(char, 0) | 1 << i
    full, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    positive, negative, distance = full, 0, len(a)
    for char in b:
        match = mask.get(char, 0)
        diagonal = (((match & positive) + positive) ^ positive) | match | negative
        horizontal = negative | ~(diagonal | positive) & full
        negative_horizontal = diagonal & positive
        if horizontal & last:
            distance += 1
        if negative_horizontal & last:
            distance -= 1
        horizontal = (horizontal << 1 | 1) & full
        positive = (negative_horizontal << 1 | ~(diagonal | horizontal)) & full
        negative = horizontal & diagonal
    return distance


_remembered = lru_cache(maxsize=262_144)(edit_distance)


def _unlike(a: str, b: str) -> float:
    return 0.0 if a == b else 0.1 + 0.9 * distance(a, b)


def _differs(a: str, b: str) -> float:
    return float(a != b)


def _by_letters(slot: Mapping[str, float]) -> str:
    """The word that a slot's words spell together."""
    words = sorted(one for one in slot if one)
    weights = [slot[one] for one in words]
    if sum(weights) <= slot.get("", 0.0):
        return ""
    first, _ = medoid(words, weights)
    slots = _vote([list(one) for one in words], weights, list(first), _differs)
    return "".join(max(letters, key=lambda one: (round(letters[one], 9), one != "", one)) for letters in slots)


def _vote(
    sequences: Sequence[Sequence[str]],
    weights: Sequence[float],
    first: Sequence[str],
    cost: Callable[[str, str], float],
) -> list[dict[str, float]]:
    """Slots of token → weight; "" stands for nothing there. Sequences are aligned one after the other with the
    likeliest token of each slot.
    """
    spine = list(first)
    slots: list[dict[str, float]] = [{} for _ in spine]
    seen = 0.0
    for tokens, weight in zip(sequences, weights, strict=True):
        merged: list[dict[str, float]] = []
        for at, token in _align(spine, tokens, cost):
            slot = slots[at] if at >= 0 else {"": seen}
            slot[token] = slot.get(token, 0.0) + weight
            merged.append(slot)
        slots = merged
        spine = [max(slot, key=lambda one: (one != "", slot[one], one)) for slot in slots]
        seen += weight
    return slots


def _align(spine: Sequence[str], tokens: Sequence[str], cost: Callable[[str, str], float]) -> list[tuple[int, str]]:
    """Pairs (place in the spine or -1, token or "") of a cheapest alignment; a gap costs 0.75, so unlike words share a
    slot. Long texts are aligned by equal words alone, as ROVER's are.
    """
    # What both begin or end with is its own partner in some cheapest alignment.
    head, most = 0, min(len(spine), len(tokens))
    while head < most and spine[head] == tokens[head]:
        head += 1
    tail = 0
    while tail < most - head and spine[-1 - tail] == tokens[-1 - tail]:
        tail += 1
    if head or tail:
        before, after, more = len(spine) - tail, len(tokens) - tail, range(head)
        between = _align(spine[head:before], tokens[head:after], cost)
        return [
            *((i, tokens[i]) for i in more),
            *((i + head if i >= 0 else -1, token) for i, token in between),
            *((before + i, tokens[after + i]) for i in range(tail)),
        ]
    if len(spine) * sum(map(len, tokens)) > _LONG:
        return _align_long(spine, tokens)
    gap = _GAP
    rows, columns = len(spine) + 1, len(tokens) + 1
    best = [[0.0] * columns for _ in range(rows)]
    for i in range(1, rows):
        best[i][0] = gap * i
    for j in range(1, columns):
        best[0][j] = gap * j
    for i in range(1, rows):
        above, here, word = best[i - 1], best[i], spine[i - 1]
        for j in range(1, columns):
            here[j] = min(above[j - 1] + cost(word, tokens[j - 1]), above[j] + gap, here[j - 1] + gap)
    pairs: list[tuple[int, str]] = []
    i, j = rows - 1, columns - 1
    while i or j:
        if i and j and abs(best[i][j] - best[i - 1][j - 1] - cost(spine[i - 1], tokens[j - 1])) < 1e-9:
            i, j = i - 1, j - 1
            pairs.append((i, tokens[j]))
        elif i and abs(best[i][j] - best[i - 1][j] - gap) < 1e-9:
            i -= 1
            pairs.append((i, ""))
        else:
            j -= 1
            pairs.append((-1, tokens[j]))
    return pairs[::-1]


def _align_long(spine: Sequence[str], tokens: Sequence[str]) -> list[tuple[int, str]]:
    """`_align` with `_differs`, one numpy row a token of the spine; costs in quarters, so that they are whole."""
    gap, unlike = round(4 * _GAP), 4
    codes = {token: code for code, token in enumerate(dict.fromkeys([*spine, *tokens]))}
    other = np.array([codes[token] for token in tokens])
    slope = gap * np.arange(len(tokens) + 1, dtype=np.int32)
    most = gap * (len(spine) + len(tokens))
    best = np.empty((len(spine) + 1, slope.size), np.uint16 if most < 2**16 else np.int32)
    row = best[0] = slope
    for i, token in enumerate(spine, 1):
        step = np.empty_like(slope)
        step[0] = gap * i
        step[1:] = np.minimum(row[:-1] + unlike * (other != codes[token]), row[1:] + gap)
        row = best[i] = np.minimum.accumulate(step - slope) + slope
    pairs: list[tuple[int, str]] = []
    i, j = len(spine), len(tokens)
    while i or j:
        here = int(best[i, j])
        if i and j and here == int(best[i - 1, j - 1]) + unlike * (spine[i - 1] != tokens[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, tokens[j]))
        elif i and here == int(best[i - 1, j]) + gap:
            i -= 1
            pairs.append((i, ""))
        else:
            j -= 1
            pairs.append((-1, tokens[j]))
    return pairs[::-1]
