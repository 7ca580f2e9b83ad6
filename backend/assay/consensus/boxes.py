"""Consensus of bounding boxes: which objects there are, of which class, and where exactly.

1. *Matching*: boxes of one task are joined, best overlap first, into clusters with at most one box an answer, as long
as the mean overlap (IoU) with
   the cluster stays above a threshold. Classes do not matter for matching: two workers may see one thing and call it
   different names.
2. *Existence*: a cluster is an object or a lure, with odds from who drew it and who, having looked at the task, did
not. A worker has a recall (it draws
   what is there) and a rate at which it falls for lures, learned over all tasks (Dawid and Skene 1979 with one object
   a question). Nobody sees the objects and lures that nobody drew, so both likelihoods are given that somebody did,
   and the M step counts those that must have been missed (Dempster, Laird and Rubin 1977, section 4.2): else every
   box on nothing would seem to be drawn by one in R of R workers, and two who draw the same would prove little.
3. *Class*: weighted vote of the drawers. 4. *Place*: each edge is the robust weighted mean of the drawers' edges:
Student-t weights of their residuals in
   units of the box's size, workers weighted by their precision, so one sloppy or hostile box moves little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .answers import Ints, InvalidAnswers, _codes

Doubles = NDArray[np.float64]

_ROUNDS = 30
_REAL = 0.7  # beforehand, of the places where somebody drew a box; as much as four places
_DOF = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class BoxAnswers:
    """One row an answer: `task`, `worker` int32[n]; one row a box: `answer` int32[m] (whose), `box` float64[m, 4] as
    x0, y0, x1, y1, `label` int32[m].

    An answer without boxes says that there is nothing. `gold`: float64[g, 4] with `gold_task`, `gold_label` int32[g]:
    all objects of the tasks in `gold_task`, and of those in `gold_empty` that there are none.
    """

    task: Ints
    worker: Ints
    answer: Ints
    box: Doubles
    label: Ints
    n_tasks: int
    n_workers: int
    n_classes: int
    gold: Doubles = field(default=None)  # type: ignore[arg-type]
    gold_task: Ints = field(default=None)  # type: ignore[arg-type]
    gold_label: Ints = field(default=None)  # type: ignore[arg-type]
    gold_empty: Ints = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "task", _codes("task", self.task, low=0, high=self.n_tasks))
        put(self, "worker", _codes("worker", self.worker, low=0, high=self.n_workers))
        if self.task.size != self.worker.size:
            raise InvalidAnswers(f"task and worker must be equally long, got {self.task.size}, {self.worker.size}")
        put(self, "answer", _codes("answer", self.answer, low=0, high=self.task.size))
        put(self, "box", _boxes("box", self.box, self.answer.size))
        put(self, "label", _codes("label", self.label, low=0, high=self.n_classes))
        if self.label.size != self.answer.size:
            raise InvalidAnswers(f"label must have one entry a box ({self.answer.size}), got {self.label.size}")
        none = np.zeros(0, np.int32)
        for name, high in (("gold_task", self.n_tasks), ("gold_label", self.n_classes), ("gold_empty", self.n_tasks)):
            given = getattr(self, name)
            put(self, name, none if given is None else _codes(name, given, low=0, high=high))
        gold = np.zeros((0, 4)) if self.gold is None else self.gold
        put(self, "gold", _boxes("gold", gold, self.gold_task.size))
        if self.gold_label.size != self.gold_task.size:
            raise InvalidAnswers(f"gold_label must have one entry a gold box ({self.gold_task.size})")


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """One row an object, ordered by task, then top, then left: `task`, `box` x0 y0 x1 y1, `label`, `confidence` (that
    it exists), `class_confidence`.

    `task_confidence`: float64[n_tasks], the probability that exactly these objects are there (0 without answers or
    gold). `worker_skill`: the mean of recall and precision. `worker_spread`: edges' standard deviation as a share of
    the box's size. `cluster`: int32[m], the object that each box of the answers belongs to, -1 for none.
    """

    task: Ints
    box: Doubles
    label: Ints
    confidence: Doubles
    class_confidence: Doubles
    task_confidence: Doubles
    worker_skill: Doubles
    worker_spread: Doubles
    cluster: Ints
    answered: Ints


class BoxConsensus:
    """`threshold`: least mean overlap of a box with the cluster it joins."""

    name = "boxes"

    def __init__(self, *, threshold: float = 0.4) -> None:
        if not 0 < threshold < 1:
            raise InvalidAnswers(f"threshold must lie between 0 and 1, got {threshold}")
        self.threshold = threshold

    recall_: Doubles
    false_: Doubles
    real_: float
    variance_: Doubles
    class_skill_: Doubles

    def fit(self, answers: BoxAnswers) -> BoxConsensus:
        """Clusters once, then objects and workers in turns."""
        workers = answers.n_workers
        self.recall_, self.false_ = np.full(workers, 0.8), np.full(workers, 0.1)
        self.variance_, self.class_skill_ = np.full(workers, 0.05**2), np.full(workers, 0.9)
        self.real_ = _REAL
        self._clusters = _Clusters(answers, self.threshold)
        for _ in range(_ROUNDS):
            exists = self._existence(answers)
            centre = self._place(answers)
            votes = self._classes(answers)
            self._m_step(answers, exists, centre, votes)
        return self

    def predict(self, answers: BoxAnswers) -> Objects:
        """The objects of all tasks."""
        c = self._clusters = _Clusters(answers, self.threshold)
        exists, centre, votes = self._existence(answers), self._place(answers), self._classes(answers)
        kept = np.flatnonzero(exists > 0.5 + 1e-9)
        kept = kept[np.lexsort((centre[kept, 0], centre[kept, 1], c.task[kept]))]
        place = np.full(c.count + 1, -1, np.int32)
        place[kept] = np.arange(kept.size)
        answered = np.bincount(answers.task, minlength=answers.n_tasks).astype(np.int32)
        known = np.zeros(answers.n_tasks, np.bool_)
        known[answers.gold_task] = known[answers.gold_empty] = True
        sure = np.exp(-self._unseen(answers, exists))
        right = np.where(exists > 0.5 + 1e-9, exists * votes.max(axis=1, initial=0.0), 1 - exists)
        np.multiply.at(sure, c.task, right)
        sure[(answered == 0) & ~known] = 0.0
        label = np.argmax(votes[kept] >= votes[kept].max(axis=1, keepdims=True, initial=0.0) - 1e-9, axis=1)
        precision = self.recall_ / (self.recall_ + self.false_)
        return Objects(
            c.task[kept],
            centre[kept],
            label.astype(np.int32),
            exists[kept],
            votes[kept].max(axis=1, initial=0.0),
            sure,
            (self.recall_ + precision) / 2,
            np.sqrt(self.variance_),
            place[c.of_box[: answers.answer.size]],
            answered,
        )

    def _existence(self, answers: BoxAnswers) -> Doubles:
        """Posterior of each cluster; beforehand the share of objects among all that were drawn."""
        c = self._clusters
        score = self._given_drawn(answers, self.recall_) - self._given_drawn(answers, self.false_)
        score += np.log(self.real_ / (1 - self.real_))
        exists = 1 / (1 + np.exp(-np.clip(score, -700, 700)))
        return np.where(c.has_gold, 1.0, np.where(c.gold_task[c.task], 0.0, exists))

    def _given_drawn(self, answers: BoxAnswers, rate: Doubles) -> Doubles:
        """Log-likelihood of each cluster's drawers where worker j draws with rate[j], given that somebody drew."""
        c = self._clusters
        silent = np.log1p(-rate)
        drew = np.bincount(c.box_cluster, (np.log(rate) - silent)[c.box_worker], c.count)
        nobody = _summed(answers, silent)
        return np.asarray(drew + (nobody - np.log(np.maximum(-np.expm1(nobody), 1e-300)))[c.task], np.float64)

    def _missed(self, answers: BoxAnswers, rate: Doubles, found: Doubles) -> Doubles:
        """How many more of its kind each task must have had for `found[task]` to be drawn by somebody."""
        nobody = _summed(answers, np.log1p(-rate))
        return np.asarray(found * np.exp(nobody) / np.maximum(-np.expm1(nobody), 1e-12), np.float64)

    def _unseen(self, answers: BoxAnswers, exists: Doubles) -> Doubles:
        """Objects to expect in each task that nobody drew; of gold tasks all are known."""
        c = self._clusters
        shown = np.bincount(c.task[c.drawn], exists[c.drawn], answers.n_tasks)
        return np.where(c.gold_task, 0.0, self._missed(answers, self.recall_, shown.astype(np.float64)))

    def _place(self, answers: BoxAnswers) -> Doubles:
        """Edges of each cluster: robust weighted means, from the medians on."""
        c = self._clusters
        centre = c.median.copy()
        weight = 1 / self.variance_[c.box_worker]
        for _ in range(5):
            gap = (c.box - centre[c.box_cluster]) / c.size[c.box_cluster]
            robust = weight[:, None] * (_DOF + 1) / (_DOF + gap**2 * weight[:, None])
            total = np.stack([np.bincount(c.box_cluster, robust[:, k], c.count) for k in range(4)], axis=1)
            moved = np.stack(
                [np.bincount(c.box_cluster, robust[:, k] * c.box[:, k], c.count) for k in range(4)], axis=1
            )
            centre = moved / np.maximum(total, 1e-300)
        centre[c.has_gold] = c.gold_box[c.has_gold]
        return np.asarray(centre, np.float64)

    def _classes(self, answers: BoxAnswers) -> Doubles:
        """Posterior of each cluster's class by one-coin log odds of its drawers."""
        c, classes = self._clusters, answers.n_classes
        if classes == 1:
            return np.ones((c.count, 1))
        odds = np.maximum(np.log(self.class_skill_ * (classes - 1) / (1 - self.class_skill_)), 0.0)[c.box_worker]
        score = np.bincount(c.box_cluster * classes + c.box_label, odds, c.count * classes).reshape(-1, classes)
        score = np.exp(score - score.max(axis=1, keepdims=True, initial=0.0))
        score[c.has_gold] = 0.0
        score[c.has_gold, c.gold_label[c.has_gold]] = 1.0
        return np.asarray(score / score.sum(axis=1, keepdims=True), np.float64)

    def _m_step(self, answers: BoxAnswers, exists: Doubles, centre: Doubles, votes: Doubles) -> None:
        c, workers = self._clusters, answers.n_workers
        lures = np.bincount(c.task, 1 - exists, answers.n_tasks).astype(np.float64)
        there = np.bincount(c.task, exists, answers.n_tasks) + self._unseen(answers, exists)
        absent = lures + self._missed(answers, self.false_, lures)
        self.real_ = float((exists[c.drawn].sum() + 4 * _REAL) / (c.drawn.sum() + 4))
        present = np.bincount(answers.worker, there[answers.task], workers)
        nothing = np.bincount(answers.worker, absent[answers.task], workers)
        real = exists[c.box_cluster]
        drawn = np.bincount(c.box_worker, real, workers)
        invented = np.bincount(c.box_worker, 1 - real, workers)
        self.recall_ = np.clip((drawn + 3.2) / (present + 4), 0.01, 0.99)
        self.false_ = np.clip((invented + 0.4) / (nothing + 4), 0.01, 0.99)
        gap = ((c.box - centre[c.box_cluster]) / c.size[c.box_cluster]) ** 2
        # Two drawers' mean lies between them: their residuals say half of their variance.
        members = np.bincount(c.box_cluster, minlength=c.count)[c.box_cluster]
        lost = np.where(c.has_gold[c.box_cluster], 1.0, np.maximum(1 - 1 / members, 0.0))
        weight = real * (members > 1)
        squared = np.bincount(c.box_worker, weight * np.minimum(gap, 1.0).mean(axis=1), workers)
        seen = np.bincount(c.box_worker, weight * lost, workers)
        common = (squared.sum() + 0.05**2) / (seen.sum() + 1)
        self.variance_ = np.maximum((squared + 4 * common) / (seen + 4), 1e-6)
        right = np.bincount(c.box_worker, real * votes[c.box_cluster, c.box_label], workers)
        self.class_skill_ = np.clip((right + 3.6) / (drawn + 4), 1e-3, 1 - 1e-3)


def _summed(answers: BoxAnswers, by_worker: Doubles) -> Doubles:
    """The sum over each task's workers."""
    return np.asarray(np.bincount(answers.task, by_worker[answers.worker], answers.n_tasks), np.float64)


def resolve_boxes(answers: BoxAnswers, *, threshold: float = 0.4) -> Objects:
    """The objects of all tasks."""
    return BoxConsensus(threshold=threshold).fit(answers).predict(answers)


def iou(a: Doubles, b: Doubles) -> Doubles:
    """float64[len(a), len(b)]: intersection over union of boxes [n, 4] as x0, y0, x1, y1."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(axis=1), (b[:, 2:] - b[:, :2]).prod(axis=1)
    return np.asarray(common / (area_a[:, None] + area_b[None, :] - common), np.float64)


class _Clusters:
    """The matched boxes of all tasks, gold boxes as those of a worker who is never wrong."""

    def __init__(self, answers: BoxAnswers, threshold: float) -> None:
        boxes = np.concatenate([answers.box, answers.gold])
        task = np.concatenate([answers.task[answers.answer], answers.gold_task])
        worker = np.concatenate([answers.worker[answers.answer], np.full(len(answers.gold), -1)])
        whose = np.concatenate([answers.answer, np.full(len(answers.gold), -1)])
        self.of_box = np.full(len(boxes), -1, np.int64)
        self.count = 0
        # By place rather than by row: the order in which answers came decides nothing.
        order = np.lexsort((*boxes.T[::-1], worker, task))
        starts = np.flatnonzero(np.diff(task[order], prepend=-1))
        for mine in np.split(order, starts[1:]) if order.size else []:
            for members in _match(boxes[mine], whose[mine], threshold):
                self.of_box[mine[members]] = self.count
                self.count += 1
        gold = self.of_box[answers.answer.size :]
        self.task = np.zeros(self.count, np.int32)
        self.task[self.of_box] = task
        self.has_gold = np.zeros(self.count, np.bool_)
        self.has_gold[gold] = True
        self.gold_box, self.gold_label = np.zeros((self.count, 4)), np.zeros(self.count, np.int64)
        self.gold_box[gold], self.gold_label[gold] = answers.gold, answers.gold_label
        self.gold_task = np.zeros(answers.n_tasks, np.bool_)
        self.gold_task[answers.gold_task] = self.gold_task[answers.gold_empty] = True
        self.box, self.box_label = answers.box, answers.label.astype(np.int64)
        self.box_worker = answers.worker[answers.answer]
        self.box_cluster = self.of_box[: answers.answer.size]
        self.drawn = np.bincount(self.box_cluster, minlength=self.count) > 0
        self.median = self.gold_box.copy()
        by = np.argsort(self.box_cluster, kind="stable")
        for mine in np.split(by, np.flatnonzero(np.diff(self.box_cluster[by])) + 1) if by.size else []:
            self.median[self.box_cluster[mine[0]]] = np.median(self.box[mine], axis=0)
        side = self.median[:, 2:] - self.median[:, :2]
        self.size = np.tile(np.maximum(side, 1e-9), 2)


def _match(boxes: Doubles, answer: NDArray[np.int64], threshold: float) -> Sequence[list[int]]:
    """Clusters of one task's boxes: average linkage, best pair first, never two boxes of one answer."""
    overlap = iou(boxes, boxes)
    overlap[answer[:, None] == answer[None, :]] = -1.0
    clusters: dict[int, list[int]] = {i: [i] for i in range(len(boxes))}
    linkage = overlap.copy()
    while True:
        best = int(np.argmax(linkage))
        i, j = sorted(divmod(best, len(boxes)))
        if linkage[i, j] < threshold:
            return list(clusters.values())
        a, b = len(clusters[i]), len(clusters[j])
        joined = np.where((linkage[i] < 0) | (linkage[j] < 0), -1.0, (a * linkage[i] + b * linkage[j]) / (a + b))
        clusters[i] += clusters.pop(j)
        joined[i] = -1.0
        linkage[i], linkage[:, i] = joined, joined
        linkage[j], linkage[:, j] = -1.0, -1.0


def _boxes(name: str, values: NDArray[np.float64], count: int) -> Doubles:
    array = np.asarray(values, np.float64).reshape(-1, 4)
    if len(array) != count:
        raise InvalidAnswers(f"{name} must have {count} rows, got {len(array)}")
    if not np.isfinite(array).all() or not (array[:, 2:] > array[:, :2]).all():
        raise InvalidAnswers(f"{name} must have finite edges x0 < x1 and y0 < y1")
    return array
