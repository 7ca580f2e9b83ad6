"""Votes weighted by the counters on chain: what outvotes what, and how the counters are bound into a batch."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from assay.domain import batch, reputation, spec, verdict, votelog, weights
from assay.domain.batch import Batch
from assay.domain.history import History
from assay.domain.work import Answer, Counters, Task
from assay.errors import FieldError

DOMAIN = sha256(b"domain").digest()
CID = "bafkrei" + "a" * 52
NEW, KNOWN, BAD = (0, 0), (95, 5), (0, 400)


def asked(method: str = "weighted", overlap: int = 3) -> spec.Spec:
    return spec.parse(
        {
            "title": "Animals", "instructions": "", "kind": "choice", "schema": {"classes": ["cat", "dog", "owl"]},
            "mode": "agreement", "overlap": overlap, "consensus": {"method": method},
            "items": [{"cid": CID, "media_type": "image/png"}] * 8,
        }
    )  # fmt: skip


def wallet(name: object) -> bytes:
    return sha256(f"wallet {name}".encode()).digest()


def participant(address: bytes) -> bytes:
    return sha256(b"participant" + address).digest()


def task(index: int, *votes: tuple[str, str, Counters | None]) -> Task:
    """Answers as (labeler, label, counters)."""
    return Task(index, tuple(Answer(wallet(who), {"value": label}, b"", counters=has) for who, label, has in votes))


def settle(tasks: list[Task], *, history: History | None = None) -> Batch:
    return batch.assemble(asked(), domain=DOMAIN, tasks=tasks, participant=participant, history=history)


def label(*votes: tuple[str, str, Counters | None]) -> object:
    return verdict.value_of(verdict.consensus(asked(overlap=len(votes)), [task(0, *votes)])[0].label)


def test_a_weight_is_one_more_than_the_score() -> None:
    assert weights.weight(NEW) == pytest.approx(1.3684)
    assert weights.weight(KNOWN) == pytest.approx(1.9006)
    assert 1 <= weights.weight(BAD) < 1.01
    assert all(
        weights.weight((good, bad)) == 1 + reputation.score(good, bad) / 10_000 for good in range(9) for bad in range(9)
    )


def test_a_record_decides_between_newcomers_who_differ() -> None:
    assert label(("ann", "cat", NEW), ("bob", "dog", NEW), ("cid", "owl", NEW)) == "cat"  # the schema's first
    assert label(("ann", "cat", NEW), ("bob", "dog", NEW), ("cid", "owl", KNOWN)) == "owl"
    assert label(("ann", "cat", NEW), ("bob", "owl", KNOWN)) == "owl"


@pytest.mark.parametrize("two", [NEW, BAD])
def test_no_record_outvotes_two_who_agree(two: Counters) -> None:
    assert label(("ann", "cat", two), ("bob", "cat", two), ("cid", "owl", (5000, 0))) == "cat"


def test_the_counters_are_in_what_is_signed() -> None:
    """Whether or not they change the label: later batches rest on them."""
    votes = [("ann", "cat"), ("bob", "cat"), ("cid", "cat")]
    made = [settle([task(0, *((who, label, has) for who, label in votes))]) for has in (NEW, (1, 0), (0, 1))]
    assert len({one.root for one in made}) == 3
    assert len({one.digest(participant) for one in made}) == 3
    assert {verdict.value_of(one.records[0].label) for one in made} == {"cat"}


def test_a_labeler_has_one_record_throughout_a_request() -> None:
    history = History(asked())
    first = [task(0, ("ann", "cat", NEW), ("bob", "dog", KNOWN))]
    settle(first, history=history)
    history.add(first)
    assert history.counters == {wallet("ann"): NEW, wallet("bob"): KNOWN}
    again = task(1, ("ann", "cat", NEW), ("bob", "dog", KNOWN), ("cid", "owl", NEW))
    assert weights.newcomers([again], history.counters) == [wallet("cid")]
    settle([again], history=history)
    better = task(1, ("ann", "cat", (50, 0)), ("bob", "dog", KNOWN), ("cid", "owl", NEW))
    with pytest.raises(FieldError, match=r"counters: are \[50, 0\] \(\[0, 0\]"):
        settle([better], history=history)
    with pytest.raises(FieldError, match="counters"):
        settle([task(1, ("ann", "cat", NEW)), task(2, ("ann", "cat", (1, 0)))])


def test_a_gold_task_names_them_too() -> None:
    """It needs no weights, and fixes those of the labelers for the tasks to come."""
    from assay.domain import work

    _, opened = work.commit_gold([(0, {"value": "cat"}, bytes(32))])
    good = replace(task(0, ("ann", "cat", KNOWN)), gold=opened[0])
    assert settle([good]).answers[0].verdict == 1
    with pytest.raises(FieldError, match="counters: are missing"):
        settle([replace(task(0, ("ann", "cat", None)), gold=opened[0])])


@pytest.mark.parametrize(("method", "counters"), [("weighted", None), ("majority", NEW), ("dawid_skene", NEW)])
def test_counters_stand_where_votes_are_weighted_and_nowhere_else(method: str, counters: Counters | None) -> None:
    one = task(0, ("ann", "cat", counters))
    with pytest.raises(FieldError) as failure:
        batch.verify(asked(method), domain=DOMAIN, tasks=[_unsigned(one)], buyer=bytes(32))
    assert failure.value.field == "tasks[0].answers[0].counters"


def _unsigned(one: Task) -> Task:
    """With answers whose signature needs no check."""

    class Signed(Answer):
        def verify(self, **_: object) -> None:
            return

    answers = tuple(Signed(a.labeler, a.content, a.signature, counters=a.counters) for a in one.answers)
    return replace(one, answers=answers)


def test_the_log_keeps_them() -> None:
    tasks = [task(0, ("ann", "cat", KNOWN), ("bob", "dog", NEW)), task(1, ("cid", "owl", None))]
    tasks = [
        replace(one, answers=tuple(sorted((replace(a, signature=bytes(64)) for a in one.answers), key=_by_wallet)))
        for one in tasks
    ]
    assert list(votelog.decode_tasks(votelog.encode_tasks(tasks))) == tasks
    for wrong in ([1], [1, -1], [1, 2**32], ["1", 2], 3, [True, 0]):
        shown = votelog.encode_tasks(tasks)
        shown[0]["answers"][0]["counters"] = wrong  # type: ignore[index, call-overload]
        with pytest.raises(FieldError, match=r"tasks\[0\]\.answers\[0\]\.counters"):
            votelog.decode_tasks(shown)


def _by_wallet(answer: Answer) -> bytes:
    return answer.labeler
