"""Models of a request's labelers: made of the first records of the log, the same for all, true to what they saw."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from threading import Event
from typing import Any

import pytest
from tests.domain.test_methods import CASES, request

from assay.domain import methods, spec, verdict
from assay.domain.history import History
from assay.domain.learning import RECENT, Model, learns
from assay.domain.standing import FIRST_REFIT, LEAD, point_in_use, refit_point
from assay.domain.work import Answer, Task
from assay.errors import FieldError

CARRIED = [(kind, method) for kind in CASES for method in methods.names(kind)[1:] if kind in methods.CARRIES_OVER]


def labeler(number: int) -> bytes:
    return sha256(f"labeler {number}".encode()).digest()


def crowd(
    method: str, *, tasks: int, overlap: int = 3, good: int = 15, bad: int = 10
) -> tuple[spec.Spec, list[Task], list[str]]:
    """Labelers of whom the last `bad` answer at random, three or more to a task; and the truth."""
    chance = random.Random(f"{method} {tasks}")
    asked = spec.parse(
        {
            "title": "t", "instructions": "", "kind": "choice", "schema": {"classes": ["a", "b"]}, "mode": "agreement",
            "overlap": overlap, "items": [{"cid": "bafkrei" + "a" * 52, "media_type": "image/png"}] * tasks,
            "consensus": {"method": method},
        }
    )  # fmt: skip
    truth = [chance.choice("ab") for _ in range(tasks)]
    made = []
    for index, right in enumerate(truth):
        answers = []
        for number in chance.sample(range(good + bad), overlap):
            value = right if number < good and chance.random() < 0.95 else chance.choice("ab")
            answers.append(Answer(labeler(number), {"value": value}, b"", counters=(0, 0) if asked.weighs else None))
        made.append(Task(index, tuple(answers)))
    return asked, made, truth


def settled(asked: spec.Spec, tasks: list[Task], *, size: int) -> tuple[dict[int, verdict.Consensus], History]:
    """As a market does it: batch after batch, each by what the earlier ones taught."""
    history, out = History(asked), {}
    for start in range(0, len(tasks), size):
        batch = tasks[start : start + size]
        out.update(verdict.consensus(asked, batch, history=history, model=history.model))
        history.add(batch)
    return out, history


def test_points_leave_time_to_learn() -> None:
    for records in (0, 31, FIRST_REFIT, 35, 36, 100, 1000, 100_000):
        point = point_in_use(records)
        assert point == 0 or refit_point(point) == point
        assert records >= point + point // LEAD
    assert point_in_use(FIRST_REFIT) == 0 < point_in_use(2 * FIRST_REFIT)


@pytest.mark.parametrize("method", ["one_coin", "dawid_skene", "correlated", "auto"])
def test_batches_judged_by_models_beat_the_vote(method: str) -> None:
    """Of three answers two may be by people who do not look: what is learned of them tells, also in small batches."""
    asked, tasks, truth = crowd(method, tasks=600)
    found, history = settled(asked, tasks, size=7)
    late = range(200, 600)
    right = sum(found[index].label["value"] == truth[index] for index in late)
    voted = sum(
        verdict.majority("choice", asked.schema, [answer.content["value"] for answer in tasks[index].answers])[0]
        == truth[index]
        for index in late
    )
    whole = verdict.consensus(asked, tasks)
    together = sum(whole[index].label["value"] == truth[index] for index in late)
    assert right > voted
    assert right >= together - 8, "batches are judged about as well as all answers together"
    assert history.point == point_in_use(600)


@pytest.mark.parametrize(("kind", "method"), CARRIED)
def test_a_task_has_one_label_whatever_it_is_judged_with(kind: str, method: str) -> None:
    asked, tasks = request(kind, method)
    form = {**asked.document, "items": [asked.document["items"][0]] * 60}
    asked = spec.parse(form)
    tasks = [replace(tasks[i % 12], index=i) for i in range(60)]
    history = History(asked)
    assert history.model is None
    history.add(tasks[:40])
    model = history.model
    assert model is not None
    alone = [verdict.consensus(asked, [task], history=history, model=model)[task.index] for task in tasks[40:]]
    together = verdict.consensus(asked, tasks[40:][::-1], history=history, model=model)
    assert alone == [together[task.index] for task in tasks[40:]]


@pytest.mark.parametrize(("kind", "method"), CARRIED)
def test_strangers_count(kind: str, method: str) -> None:
    """Labelers whom no earlier batch knows make a label too, each with a voice of its own."""
    asked, tasks = request(kind, method)
    asked = spec.parse({**asked.document, "items": [asked.document["items"][0]] * 60})
    history = History(asked)
    history.add([replace(tasks[i % 12], index=i) for i in range(40)])
    strangers = tuple(replace(one, labeler=bytes([100 + i]) * 32) for i, one in enumerate(tasks[0].answers[:3]))
    found = verdict.consensus(asked, [Task(50, strangers)], history=history, model=history.model)
    assert found[50].label["value"] == CASES[kind][1]


def test_who_looks_when_makes_no_difference() -> None:
    asked, tasks, _ = crowd("dawid_skene", tasks=300)
    asked = spec.parse(asked.document | {"more": {"most": 6, "confidence_bps": 8000}})
    eager, late = History(asked), History(asked)
    for start in range(0, 300, 10):
        chunk = tasks[start : start + 10]
        eager.add(chunk)
        if (learn := eager.prepare()) is not None:
            learn()
        late.add(chunk[::-1])
    asked_now = [replace(tasks[5], index=299)]
    assert eager.point == late.point > 0
    for point in (FIRST_REFIT, late.point):
        one, other = eager.model_at(point), late.model_at(point)
        assert one is not None
        assert other is not None
        assert one.labels(asked_now) == other.labels(asked_now)
    assert eager.prepare() is None, "nothing is learned twice"


def test_what_is_being_learned_is_not_learned_again() -> None:
    """A market looks many times a second: what is asked for beforehand is in hand until it is there, or has failed."""
    asked, tasks, _ = crowd("dawid_skene", tasks=300)
    history = History(asked)
    history.add(tasks[:FIRST_REFIT])
    learn = history.prepare()
    assert learn is not None
    assert history.prepare() is None
    history.add(tasks[FIRST_REFIT:])
    later = history.prepare()
    assert later is not None, "the next point is another matter"
    learn()
    later()
    assert history.prepare() is None


def test_what_could_not_be_learned_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, tasks, _ = crowd("dawid_skene", tasks=40)
    history = History(asked)
    history.add(tasks)
    learn = history.prepare()
    assert learn is not None
    with monkeypatch.context() as broken:
        broken.setattr("assay.domain.history.Model", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            learn()
    assert history.prepare() is not None


def test_who_waits_for_a_model_does_not_learn_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, tasks, _ = crowd("dawid_skene", tasks=60)
    history = History(asked)
    history.add(tasks)
    begun, go = Event(), Event()
    made: list[int] = []

    def slow(of: spec.Spec, some: list[Task]) -> Model:
        made.append(len(some))
        begun.set()
        assert go.wait(30)
        return Model(of, some)

    monkeypatch.setattr("assay.domain.history.Model", slow)
    learn = history.prepare()
    assert learn is not None
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(learn)
        assert begun.wait(30)
        second = pool.submit(history.ready)
        go.set()
        first.result(30)
        second.result(30)
    assert made == [history.point]


def test_models_are_kept_only_where_they_are_asked_for_again() -> None:
    """With dynamic overlap an answer may have been asked for by any earlier one; else only the one in use is."""
    asked, tasks, _ = crowd("dawid_skene", tasks=300)
    grows = spec.parse(asked.document | {"more": {"most": 6, "confidence_bps": 8000}})
    plain, growing = History(asked), History(grows)
    for start in range(0, 300, 20):
        for one in (plain, growing):
            one.add(tasks[start : start + 20])
            one.ready()
    assert plain.learned == {plain.point}
    assert growing.learned > plain.learned


def test_a_point_must_be_one() -> None:
    asked, tasks, _ = crowd("dawid_skene", tasks=100)
    history = History(asked)
    history.add(tasks)
    assert history.model_at(0) is None
    for point in (33, history.point + 1, 10_000, -1):
        with pytest.raises(FieldError, match="point"):
            history.model_at(point)


def test_what_does_not_carry_over_is_judged_with_the_latest() -> None:
    """A ranking's scores are its own task's alone: no model, and the log's end bounds what a batch costs."""
    asked, tasks = request("ranking", "bradley_terry")
    assert not learns(asked)
    history = History(asked)
    history.add(replace(tasks[0], index=i) for i in range(RECENT + 20))
    assert history.model is None
    assert [task.index for task in history] == list(range(20, RECENT + 20))


def test_a_task_in_parts_counts_once_where_it_came_first() -> None:
    asked, tasks, _ = crowd("one_coin", tasks=60)
    whole, parts = History(asked), History(asked)
    whole.add(tasks)
    half = frozenset([tasks[0].answers[0].labeler])
    parts.add([replace(tasks[0], settles=half, record=False), *tasks[1:30]])
    parts.add([tasks[0], *tasks[30:]])
    found: list[Any] = [history.model_at(FIRST_REFIT) for history in (whole, parts)]
    assert found[0].labels(tasks[40:]) == found[1].labels(tasks[40:])
