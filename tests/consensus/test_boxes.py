"""Consensus of bounding boxes."""

from __future__ import annotations

import numpy as np
import pytest

from assay.consensus import InvalidAnswers
from assay.consensus.boxes import BoxAnswers, iou, resolve_boxes


def draw(seed, *, tasks=60, workers=12, overlap=5, objects=3, sloppy=0.25, classes=3):
    """Objects on a 1000 × 1000 picture; sloppy workers miss half, invent boxes and draw badly."""
    rng = np.random.default_rng(seed)
    truth, truth_task, truth_label = [], [], []
    for task in range(tasks):
        for slot in rng.choice(9, objects, replace=False):
            x, y = 330 * (slot % 3) + rng.uniform(0, 60), 330 * (slot // 3) + rng.uniform(0, 60)
            truth.append([x, y, x + rng.uniform(100, 250), y + rng.uniform(100, 250)])
            truth_task.append(task)
            truth_label.append(int(rng.integers(classes)))
    truth, truth_task = np.array(truth), np.array(truth_task)
    task, worker, answer, box, label = [], [], [], [], []
    for one in range(tasks):
        for who in rng.choice(workers, overlap, replace=False):
            bad = who < workers * sloppy
            for k in np.flatnonzero(truth_task == one):
                if rng.random() < (0.5 if bad else 0.95):
                    size = np.tile(truth[k, 2:] - truth[k, :2], 2)
                    box.append(truth[k] + rng.normal(0, 0.12 if bad else 0.03, 4) * size)
                    label.append(int(rng.integers(classes)) if bad or rng.random() < 0.05 else truth_label[k])
                    answer.append(len(task))
            if rng.random() < (0.6 if bad else 0.05):
                x, y = rng.uniform(0, 800, 2)
                box.append([x, y, x + 150, y + 150])
                label.append(0)
                answer.append(len(task))
            task.append(one)
            worker.append(int(who))
    rows = np.array(task), np.array(worker), np.array(answer), np.array(box), np.array(label)
    return rows, (tasks, workers, classes), truth, truth_task, np.array(truth_label)


def score(found, truth, truth_task, truth_label):
    """Mean IoU of each true object with its best found one, extra objects, and the share of right classes."""
    best, right = [], []
    for k in range(len(truth)):
        mine = np.flatnonzero(found.task == truth_task[k])
        overlap = iou(truth[k : k + 1], found.box[mine])[0] if mine.size else np.zeros(0)
        best.append(overlap.max(initial=0.0))
        right.append(bool(mine.size) and found.label[mine[np.argmax(overlap)]] == truth_label[k])
    return np.mean(best), len(found.task) - len(truth), np.mean(right)


@pytest.mark.parametrize("seed", [0, 1])
def test_finds_places_and_names_what_is_there(seed):
    rows, sizes, truth, truth_task, truth_label = draw(seed)
    found = resolve_boxes(BoxAnswers(*rows, *sizes))
    overlap, extra, right = score(found, truth, truth_task, truth_label)
    single = [
        iou(truth[truth_task == rows[0][a]], b[None]).max(initial=0) for a, b in zip(rows[2], rows[3], strict=True)
    ]
    assert overlap > 0.92
    assert overlap > np.mean([one for one in single if one > 0.3]) + 0.05, "better than the drawers"
    assert abs(extra) <= 0.03 * len(truth)
    assert right > 0.97
    assert found.worker_skill[:3].max() < found.worker_skill[3:].min()
    assert found.worker_spread[:3].min() > found.worker_spread[3:].max()


def test_order_of_answers_does_not_matter():
    rows, sizes, *_ = draw(2, tasks=10)
    found = resolve_boxes(BoxAnswers(*rows, *sizes))
    turn = np.arange(len(rows[0]))[::-1]
    back = np.argsort(turn)[rows[2]][::-1]
    turned = resolve_boxes(BoxAnswers(rows[0][turn], rows[1][turn], back, rows[3][::-1], rows[4][::-1], *sizes))
    np.testing.assert_allclose(turned.box, found.box, rtol=1e-9)
    np.testing.assert_array_equal(turned.label, found.label)


def test_nothing_is_an_answer_and_missing_is_not():
    box = [[0, 0, 10, 10]]
    found = resolve_boxes(BoxAnswers([0, 0, 0], [0, 1, 2], [0], box, [0], 2, 3, 1))
    assert found.task.size == 0, "one drew, two saw nothing"
    assert found.task_confidence[0] > 0.5
    assert found.task_confidence[1] == 0
    assert found.cluster.tolist() == [-1]


def test_two_boxes_of_one_worker_are_two_objects():
    box = [[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [1, 0, 11, 10]]
    found = resolve_boxes(BoxAnswers([0, 0], [0, 1], [0, 0, 1, 1], box, [0] * 4, 1, 2, 1))
    np.testing.assert_allclose(found.box, [[0, 0, 10, 10], [1, 0, 11, 10]])


def test_one_hostile_box_moves_little():
    honest = [[0, 0, 100, 100], [1, 1, 101, 99], [-1, 0, 99, 101], [0, 1, 100, 100]]
    found = resolve_boxes(BoxAnswers([0] * 5, range(5), range(5), [*honest, [0, 0, 150, 140]], [0] * 5, 1, 5, 1))
    np.testing.assert_allclose(found.box, [[0, 0, 100, 100]], atol=3)


def test_gold_is_kept_and_convicts_inventors():
    box = [[0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 10, 10], [50, 50, 60, 60]]
    answers = BoxAnswers([0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 2, 3], box, [0] * 4, 2, 2, 1, [[0, 0, 10, 10.5]], [0], [0])
    found = resolve_boxes(answers)
    np.testing.assert_allclose(found.box[found.task == 0], [[0, 0, 10, 10.5]])
    assert found.worker_skill[0] > found.worker_skill[1]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"box": [[0, 0, 0, 5]]}, "box"),
        ({"answer": [1]}, "answer"),
        ({"label": [3]}, "label"),
        ({"gold": [[0, 0, 1, 1]]}, "gold"),
    ],
)
def test_bad_input_names_the_field(changes, field):
    good = {"task": [0], "worker": [0], "answer": [0], "box": [[0, 0, 1, 1]], "label": [0]}
    with pytest.raises(InvalidAnswers, match=rf"^{field}"):
        BoxAnswers(**{**good, **changes}, n_tasks=1, n_workers=1, n_classes=2)


def scattered(*, recall, overlap, tasks=80, workers=12, invented=0.15, liars=0, seed=0):
    """Nine far places a task: three hold objects; honest workers invent boxes in the rest, liars draw one together."""
    rng = np.random.default_rng(seed)
    place = np.array([[x, y, x + 90, y + 90] for x in (0, 400, 800) for y in (0, 400, 800)], np.float64)
    task, worker, answer, box, truth = [], [], [], [], []
    for one in range(tasks):
        spots = rng.permutation(9)
        truth.append({int(spot) for spot in spots[:3]})
        for who in rng.choice(workers, overlap, replace=False):
            drawn = [spot for spot in spots[:3] if rng.random() < recall]
            drawn += [spots[3]] if who < liars else [rng.choice(spots[4:])] if rng.random() < invented else []
            for spot in drawn:
                answer.append(len(task))
                box.append(place[spot] + rng.normal(0, 3, 4))
            task.append(one)
            worker.append(int(who))
    answers = BoxAnswers(task, worker, answer, np.array(box), [0] * len(box), tasks, workers, 1)
    return answers, truth, place


def right_places(found, truth, place):
    """Shares of the objects that were found, and of what was found that is an object."""
    spot = iou(found.box, place).argmax(axis=1)
    hits = sum(int(s) in truth[t] for t, s in zip(found.task, spot, strict=True))
    return hits / sum(map(len, truth)), hits / max(len(spot), 1)


@pytest.mark.parametrize(("recall", "overlap", "least"), [(0.45, 5, 0.58), (0.85, 2, 0.93), (0.6, 3, 0.65)])
def test_two_who_draw_the_same_prove_much_where_most_miss_it(recall, overlap, least):
    """Boxes on nothing coincide by no chance, so an object that three of five missed is found all the same."""
    answers, truth, place = scattered(recall=recall, overlap=overlap)
    found, of_found = right_places(resolve_boxes(answers), truth, place)
    assert found > least
    assert of_found > 0.88


def test_liars_who_draw_the_same_nothing_do_not_make_it_true():
    answers, truth, place = scattered(recall=0.85, overlap=7, liars=4)
    found, of_found = right_places(resolve_boxes(answers), truth, place)
    assert (found > 0.99, of_found > 0.98) == (True, True)


def test_gold_does_not_silence_a_lone_worker():
    answers, truth, place = scattered(recall=0.9, overlap=1, workers=1)
    known = [(t, spot) for t in range(16) for spot in sorted(truth[t])]
    gold = {"gold": place[[s for _, s in known]], "gold_task": [t for t, _ in known], "gold_label": [0] * len(known)}
    rows = (answers.task, answers.worker, answers.answer, answers.box, answers.label, 80, 1, 1)
    found, of_found = right_places(resolve_boxes(BoxAnswers(*rows, **gold)), truth, place)
    assert found > 0.85
    assert of_found > 0.9


def test_a_repeated_answer_draws_no_second_object():
    box = [[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]]
    found = resolve_boxes(BoxAnswers([0, 0, 0], [0, 0, 1], [0, 1, 2], box, [0] * 3, 1, 2, 1))
    assert len(found.box) == 1
