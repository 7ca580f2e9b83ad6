"""Dynamic overlap as a pure rule: what asks for more, and what shows afterwards that nothing else did."""

from __future__ import annotations

import struct
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.domain.test_learning import CARRIED
from tests.domain.test_learning import crowd as learned_crowd
from tests.domain.test_learning import settled as settle
from tests.domain.test_methods import CASES, EVERY

from assay.domain import canonical, entries, growth, spec, votelog, work
from assay.domain.history import History
from assay.domain.spec import Spec
from assay.domain.work import Answer, Task
from assay.errors import FieldError

ITEM = {"cid": "bafkrei" + "a" * 52, "media_type": "image/png"}


def asked(*, overlap: int = 2, most: int = 6, target: int = 7500, method: str = "majority", **more: Any) -> Spec:
    document = {
        "title": "t", "instructions": "", "kind": "choice", "schema": {"classes": ["a", "b", "c"]},
        "mode": "agreement", "overlap": overlap, "items": [ITEM] * 3,
        "consensus": {"method": method}, "more": {"most": most, "confidence_bps": target},
    }  # fmt: skip
    return spec.parse(document | more)


def labeler(number: int) -> bytes:
    return sha256(f"labeler {number}".encode()).digest()


def answers(of: Spec, values: Any) -> tuple[Answer, ...]:
    counters = (0, 0) if of.weighs else None
    return tuple(
        Answer(labeler(i), of.answer({"value": value}), b"", counters=counters) for i, value in enumerate(values)
    )


def grown(of: Spec, values: Any, *, index: int = 0, history: History | None = None, gold: Any = None) -> Task:
    """What a market makes of a task that would be answered with `values`, one after the other."""
    every = answers(of, values)
    task = Task(index, every[: of.items[index].overlap], gold)
    for one in every[len(task.answers) :]:
        if task.index not in growth.growing(of, [task], history=history):
            break
        point = growth.point_now(of, history)
        task = replace(task, answers=(*task.answers, one), later=(*task.later, (one.labeler, point)))
    return task


def right(of: Spec, task: Task, *, closing: bool = False, history: History | None = None) -> None:
    growth.verify(of, task, "tasks[0]")
    growth.check(of, [task], history=history, closing=closing)


VALUES = st.lists(st.sampled_from("abc"), min_size=6, max_size=6)


@given(VALUES, st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_task_grows_until_it_is_sure(values: list[str], target: int, other: int) -> None:
    of = asked(target=target)
    task = grown(of, values)
    right(of, task)
    used = len(task.answers)
    share = max(values[:used].count(one) for one in values[:used]) * 10_000 // used
    assert 2 <= used <= 6
    assert used == 6 or share >= target
    for n in range(2, used):
        assert max(values[:n].count(one) for one in values[:n]) * 10_000 // n < target, "not asked for in vain"
    low, high = sorted((target, other))
    fewer, more = (len(grown(asked(target=one), values).answers) for one in (low, high))
    assert fewer <= more, "the surer, the more answers"


@given(VALUES, st.permutations(range(4)))
def test_the_order_of_the_first_answers_is_nothing(values: list[str], order: list[int]) -> None:
    of = asked(overlap=4)
    task = grown(of, values)
    shuffled = replace(task, answers=(*(task.answers[i] for i in order), *task.answers[4:]))
    right(of, shuffled)
    assert growth.growing(of, [shuffled], history=None) == growth.growing(of, [task], history=None)


@given(VALUES)
def test_what_another_rule_would_have_made_is_found(values: list[str]) -> None:
    of = asked(target=8000)
    task = grown(of, values)
    if len(task.answers) < 6:
        one_more = Answer(labeler(9), of.answer({"value": "a"}), b"")
        more = replace(task, answers=(*task.answers, one_more), later=(*task.later, (one_more.labeler, 0)))
        with pytest.raises(FieldError, match="was asked at a confidence of"):
            right(of, more)
        with pytest.raises(FieldError, match="was asked at a confidence of"):
            right(of, more, closing=True)
    if task.later:
        fewer = growth.before(task, len(task.later) - 1)
        with pytest.raises(FieldError, match="another was due"):
            right(of, fewer)
        right(of, fewer, closing=True)  # nothing is handed out any more


def test_the_order_in_which_they_came_is_evidence() -> None:
    """With a in the place of b, the third answer would have left no doubt and the fourth not been asked for."""
    of = asked(target=6600, most=4)
    task = grown(of, "abca")
    assert [one for one, _ in task.later] == [labeler(2), labeler(3)]
    right(of, task)
    swapped = replace(task, later=task.later[::-1])
    with pytest.raises(FieldError, match=r"later\[1\].*was asked at a confidence of 6666"):
        right(of, swapped)
    ids = {sha256(one.labeler).digest(): None for one in task.answers}
    plain, one, other = (entries.agreement_evidence(ids, later) for later in ((), task.later, swapped.later))
    assert len({plain, one, other}) == 3
    by_hand = b"".join(sorted(ids)) + b"".join(labeler + struct.pack("<I", point) for labeler, point in task.later)
    assert one == sha256(by_hand).digest()


def test_the_log_has_it() -> None:
    of = asked()
    task = grown(of, "abca")
    signed = replace(task, answers=tuple(replace(one, signature=bytes(64)) for one in task.answers))
    (encoded,) = votelog.encode_tasks([signed])
    (decoded,) = votelog.decode_tasks(canonical.loads(canonical.dumps([encoded])))
    assert decoded.later == task.later
    (plain,) = votelog.encode_tasks([replace(signed, later=())])
    assert isinstance(plain, dict)
    assert "later" not in plain
    for wrong in ([], [["x", 0]], [[votelog.b58(labeler(1))]], [[votelog.b58(labeler(1)), -1]], 5):
        with pytest.raises(FieldError, match="later"):
            votelog.decode_tasks([{**encoded, "later": wrong}])  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda task: replace(task, later=()), "answers are 4"),
        (lambda task: replace(task, later=task.later[:1]), "answers are 3"),
        (lambda task: replace(task, later=(*task.later, (labeler(0), 0))), "leaves 1 first answers"),
        (lambda task: replace(task, later=(task.later[0], task.later[0])), "each once"),
        (lambda task: replace(task, later=(task.later[0], (labeler(7), 0))), "each once"),
        (lambda task: replace(task, later=(task.later[0], (labeler(3), 32))), "goes by point 32"),
        (lambda task: replace(task, later=(task.later[0], (labeler(3), 7))), "goes by point 7"),
    ],
)
def test_what_is_no_growth_is_named(change: Any, said: str) -> None:
    of = asked(most=4)
    with pytest.raises(FieldError) as failure:
        right(of, change(grown(of, "abca")))
    assert said in str(failure.value).replace("]", "").replace(":", "")


def test_no_more_than_the_most() -> None:
    of = asked(most=3)
    task = Task(0, answers(of, "abca"), later=((labeler(2), 0), (labeler(3), 0)))
    with pytest.raises(FieldError, match="at most 3"):
        right(of, task)


def test_gold_never_grows_and_no_other_request_has_later_answers() -> None:
    of = asked()
    _, opened = work.commit_gold([(0, {"value": "a"}, bytes(32))])
    task = grown(of, "abca", gold=opened[0])
    assert not task.later
    right(of, task)
    with pytest.raises(FieldError, match="it is gold"):
        right(of, replace(grown(of, "abca"), gold=opened[0]))
    plain = asked(more=None)
    assert growth.growing(plain, [Task(0, answers(plain, "ab"))], history=None) == frozenset()
    with pytest.raises(FieldError, match="lets no task grow"):
        right(plain, grown(of, "abca"))


def test_an_item_with_an_overlap_of_its_own() -> None:
    of = asked(items=[ITEM, {**ITEM, "overlap": 4}], most=5)
    assert len(grown(of, "abaaa", index=0).later) == 2
    assert len(grown(of, "abaaa", index=1).later) == 0
    right(of, grown(of, "abccc", index=1))


@pytest.mark.parametrize(("kind", "method"), EVERY)
def test_every_kind_and_method_grows(kind: str, method: str) -> None:
    """By majority's confidence, until the log is long enough to learn from."""
    form, truth, careless = CASES[kind]
    of = asked(kind=kind, schema=form, method=method, overlap=2, most=4, target=7000)
    history = History(of)
    assert len(grown(of, [truth, truth, truth, truth], history=history).answers) == 2
    doubtful = grown(of, [truth, careless, truth, truth], history=history)
    assert len(doubtful.answers) == 4
    right(of, doubtful, history=history)


@pytest.mark.parametrize(("kind", "method"), CARRIED)
def test_tasks_that_can_grow_no_more_are_settled_by_every_model(kind: str, method: str) -> None:
    """Also where there is nothing else to look at: a batch of such tasks alone must not stop a request for good."""
    form, truth, careless = CASES[kind]
    of = asked(kind=kind, schema=form, method=method, overlap=2, most=4, target=9900, items=[ITEM] * 60)
    history = History(of)
    history.add(Task(i, answers(of, [truth, truth, truth, careless])) for i in range(40))
    assert history.model is not None
    full = Task(50, answers(of, [truth, careless, truth, careless]))
    full = replace(full, later=tuple((one.labeler, 0) for one in full.answers[2:]))
    assert growth.growing(of, [], history=history) == growth.growing(of, [full], history=history) == frozenset()
    growth.check(of, [full], history=history, closing=False)
    other = grown(of, [truth, careless, careless, truth], index=51, history=history)
    growth.check(of, [full, other], history=history, closing=False)
    growth.check(of, [other], history=history, closing=False)


@pytest.mark.parametrize("method", ["one_coin", "dawid_skene", "correlated", "auto", "weighted"])
def test_by_what_is_known_of_the_labelers(method: str) -> None:
    """Two whom the log shows to be right are believed, two who answer at random are not; by reputation nobody is."""
    plain, tasks, _ = learned_crowd(method, tasks=300)
    of = spec.parse({**plain.document, "more": {"most": 6, "confidence_bps": 9500}})
    _, history = settle(of, tasks, size=30)
    good, bad = [labeler(i) for i in range(3)], [labeler(i) for i in range(20, 23)]

    def agreed(who: list[bytes]) -> Task:
        return Task(0, tuple(replace(answer, labeler=one) for answer, one in zip(answers(of, "aaa"), who, strict=True)))

    asking = [who for who in (good, bad) if growth.growing(of, [agreed(who)], history=history)]
    assert asking == ([] if method == "weighted" else [bad])
    assert (growth.point_now(of, history) == 0) == (method == "weighted")
    if method == "weighted":
        return
    now = history.point
    task = agreed(bad)
    one = replace(answers(of, "a")[0], labeler=good[0])
    for point, fits in ((0, False), (now, True), (now + 1, False), (now + now // 4, False)):
        more = replace(task, answers=(*task.answers, one), later=((one.labeler, point),))
        if fits:
            growth.check(of, [more], history=history, closing=True)
        else:
            with pytest.raises(FieldError, match=r"later\[0\]"):
                growth.check(of, [more], history=history, closing=True)
    fell = replace(task, answers=(*task.answers, one, replace(one, labeler=good[1])))
    fell = replace(fell, later=((one.labeler, now), (good[1], 32)))
    with pytest.raises(FieldError, match=rf"later\[1\].*a point of the log from {now} to {now}"):
        growth.check(of, [fell], history=history, closing=True)
    # Of which an earlier batch has settled some answers, it is too late to ask for more.
    assert not replace(task).later
    growth.check(of, [task], history=history, closing=False, begun={0})
    with pytest.raises(FieldError, match="another was due"):
        growth.check(of, [task], history=history, closing=False)
