"""Fees by information: learned from the earlier batches, the same in whatever order these were put together."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from assay.domain import batch, spec, work
from assay.domain.batch import Batch
from assay.domain.history import History
from assay.domain.tally import UNITS, Role
from assay.domain.work import Answer, Gold, Task, Vote
from assay.errors import FieldError

DOMAIN = sha256(b"domain").digest()
CID = "bafkrei" + "a" * 52
LAZY = 3
GOLD_EVERY = 10


def wallet(name: object) -> bytes:
    return sha256(f"wallet {name}".encode()).digest()


def participant(address: bytes) -> bytes:
    return sha256(b"participant" + address).digest()


def asked(*, pay: str = "information", items: int = 400) -> tuple[spec.Spec, dict[int, Gold]]:
    root, opened = work.commit_gold((i, {"value": "cat"}, wallet(i)) for i in range(0, items, GOLD_EVERY))
    made = spec.parse(
        {
            "title": "Animals",
            "instructions": "",
            "kind": "choice",
            "schema": {"classes": ["cat", "dog"]},
            "mode": "review",
            "items": [{"cid": CID, "media_type": "image/png"}] * items,
            "gold": {"root": root.hex(), "count": len(opened)},
            "validation": {"pay": pay},
        }
    )
    return made, opened


def judged(gold: dict[int, Gold], *, start: int, count: int, seed: int = 0) -> list[Task]:
    """Answers of which a third is wrong; of four voters three are right in nine of ten, the last always accepts."""
    chance = random.Random(f"{seed} {start}")
    tasks = []
    for index in range(start, start + count):
        truth = int(chance.random() < 2 / 3)
        votes = []
        for voter in range(4):
            vote = 1 if voter == LAZY else truth if chance.random() < 0.9 else 1 - truth
            votes.append(Vote(wallet(f"voter {voter}"), 0, vote, bytes(32), b""))
        value = {"value": "cat" if truth else "dog"}
        tasks.append(Task(index, (Answer(wallet("labeler"), value, b"", tuple(votes)),), gold.get(index)))
    return tasks


def units(made: Batch) -> list[int]:
    by_wallet = {one.wallet: one.units for one in made.tallies if one.role is Role.VALIDATOR}
    return [by_wallet[wallet(f"voter {voter}")] for voter in range(4)]


def settle(pay: str, *, batches: int = 8, size: int = 40) -> list[Batch]:
    request, gold = asked(pay=pay)
    history = History(request)
    out = []
    for number in range(batches):
        tasks = judged(gold, start=number * size, count=size)
        out.append(batch.assemble(request, domain=DOMAIN, tasks=tasks, participant=participant, history=history))
        history.add(tasks)
    return out


@pytest.mark.parametrize("pay", ["equal", "information"])
def test_units_are_exact_whatever_shares_them(pay: str) -> None:
    for made in settle(pay):
        assert sum(units(made)) == UNITS * made.judged


def test_always_accepting_stops_paying() -> None:
    equal, information = settle("equal"), settle("information")
    assert units(equal[0]) == units(information[0]), "nothing is known of anybody"
    for before, after in zip(equal[1:], information[1:], strict=True):
        assert units(before)[LAZY] > 0.4 * max(units(before))
        assert units(after)[LAZY] < 0.15 * min(units(after)[:LAZY])
    verdicts = [[(one.answer, one.verdict) for one in made.answers] for made in equal]
    assert verdicts == [[(one.answer, one.verdict) for one in made.answers] for made in information]


def test_all_who_keep_a_history_come_to_the_same_bytes() -> None:
    request, gold = asked()
    one, other, never_looked = History(request), History(request), History(request)
    chance = random.Random(1)
    for number in range(5):
        tasks = judged(gold, start=40 * number, count=40)
        one.add(tasks)
        assert one.register.place  # one looks after each batch, another only at the end
        shuffled = [
            Task(task.index, tuple(
                Answer(a.labeler, a.content, a.signature, tuple(chance.sample(a.votes, 4))) for a in task.answers
            ), task.gold)
            for task in chance.sample(tasks, 40)
        ]  # fmt: skip
        other.add(shuffled)
        never_looked.add(shuffled)
    tasks = judged(gold, start=200, count=40)
    made = [
        batch.assemble(request, domain=DOMAIN, tasks=tasks, participant=participant, history=history)
        for history in (one, other, never_looked)
    ]
    assert len({found.digest(participant) for found in made}) == 1
    fresh = batch.assemble(request, domain=DOMAIN, tasks=tasks, participant=participant)
    assert fresh.digest(participant) != made[0].digest(participant)


def test_a_specification_that_does_not_learn_keeps_nothing() -> None:
    request, gold = asked(pay="equal")
    history = History(request)
    history.add(judged(gold, start=0, count=64))
    assert not list(history)
    assert not history.register.place


def test_what_learns_is_said_by_the_specification() -> None:
    request, _ = asked(pay="equal")
    assert not request.learns
    information, _ = asked()
    assert information.learns
    assert spec.parse(information.document).hash == information.hash != request.hash


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"validation": {"pay": "much"}}, "validation.pay"),
        ({"validation": {"pay": None}}, "validation.pay"),
        ({"validation": {"pay": ["equal"]}}, "validation.pay"),
        ({"validation": {}}, "validation.pay"),
        ({"validation": None}, "validation"),
        ({"validation": {"pay": "equal", "tip": 1}}, "validation.tip"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], field: str) -> None:
    request, _ = asked(pay="equal")
    with pytest.raises(FieldError) as failure:
        spec.parse({**request.document, **change})
    assert failure.value.field == field


def test_agreement_takes_equal_pay() -> None:
    request, _ = asked(pay="equal")
    assert spec.parse({**request.document, "mode": "agreement", "validation": {"pay": "equal"}}).pay == "equal"
