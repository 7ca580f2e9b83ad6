"""Agreement paid by information: who answers without looking is right now and then, and not paid for it."""

from __future__ import annotations

import random
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise

import pytest

from assay.domain import batch, messages, spec, tally, work
from assay.domain.batch import Batch
from assay.domain.entries import ACCEPTED, REJECTED, UNPAID
from assay.domain.history import History
from assay.domain.pay import explain
from assay.domain.spec import Spec
from assay.domain.standing import Register, refit_points
from assay.domain.tally import Role, Tally
from assay.domain.verdict import value_of
from assay.domain.work import Answer, Gold, Task

DOMAIN = sha256(b"domain").digest()
CID = "bafkrei" + "a" * 52
CLASSES = ["cat", "dog"]
GOLD_EVERY = 10
SKILLS = {"ann": 0.92, "bob": 0.9, "cyd": 0.88, "dee": 0.85, "idle": 0.5, "same": None}
"""Chance of a right answer; None: always the first class."""


def wallet(name: object) -> bytes:
    return sha256(f"wallet {name}".encode()).digest()


def participant(address: bytes) -> bytes:
    return sha256(b"participant" + address).digest()


def asked(*, pay: str = "information", items: int = 400, method: str = "majority") -> tuple[Spec, dict[int, Gold]]:
    labels = random.Random("truth")
    truth = [labels.choice(CLASSES) for _ in range(items)]
    root, opened = work.commit_gold((i, {"value": truth[i]}, wallet(i)) for i in range(0, items, GOLD_EVERY))
    made = spec.parse(
        {
            "title": "Animals",
            "instructions": "",
            "kind": "choice",
            "schema": {"classes": CLASSES},
            "mode": "agreement",
            "overlap": len(SKILLS),
            "items": [{"cid": CID, "media_type": "image/png"}] * items,
            "consensus": {"method": method},
            "gold": {"root": root.hex(), "count": len(opened)},
            "validation": {"pay": pay},
        }
    )
    return made, opened


def answered(gold: dict[int, Gold], *, start: int, count: int) -> list[Task]:
    """Tasks, each answered by all labelers."""
    labels = random.Random("truth")
    truth = [labels.choice(CLASSES) for _ in range(start + count)]
    tasks = []
    for index in range(start, start + count):
        chance = random.Random(index)
        answers = []
        for name, skill in SKILLS.items():
            right = truth[index] if skill is not None else CLASSES[0]
            wrong = CLASSES[1 - CLASSES.index(right)]
            value = right if skill is None or chance.random() < skill else wrong
            answers.append(Answer(wallet(name), {"value": value}, b""))
        tasks.append(Task(index, tuple(answers), gold.get(index)))
    return tasks


def settle(pay: str, *, method: str = "majority", batches: int = 16, size: int = 25) -> list[Batch]:
    request, gold = asked(pay=pay, method=method)
    history = History(request)
    out = []
    for number in range(batches):
        tasks = answered(gold, start=number * size, count=size)
        out.append(batch.assemble(request, domain=DOMAIN, tasks=tasks, participant=participant, history=history))
        history.add(tasks)
    return out


def of(made: Batch, name: str) -> Tally:
    return next(one for one in made.tallies if one.wallet == wallet(name))


@pytest.mark.parametrize("method", ["majority", "dawid_skene"])
def test_chance_hits_stop_paying(method: str) -> None:
    made = settle("information", method=method)
    assert not any(one.units for before in made[:2] for one in before.tallies), "fewer than 32 tasks: all are on trust"
    for one in made[-6:]:
        for lazy in ("idle", "same"):
            assert of(one, lazy).units == of(one, lazy).good > 0
        for honest in ("ann", "bob", "cyd", "dee"):
            assert of(one, honest).units == 0 < of(one, honest).good


def test_only_the_pay_is_another() -> None:
    """Labels, strikes, gold and what is right are as with equal pay; what is not paid is the buyer's."""
    terms = {"judged": 25, "price": 7, "validation_fee": 3, "fee_bps": 500, "cosigners": [wallet("validator")]}
    saved = 0
    for equal, information in zip(settle("equal"), settle("information"), strict=True):
        assert [replace(one, units=0) for one in information.tallies] == list(equal.tallies)
        assert [record.label for record in information.records] == [record.label for record in equal.records]
        # Ids differ with the request's specification only through the domain, which is one here.
        for one, other in zip(information.answers, equal.answers, strict=True):
            assert (one.answer, one.right) == (other.answer, other.verdict == ACCEPTED)
            assert one.verdict in (REJECTED, ACCEPTED, UNPAID)
        for one in information.tallies:
            unpaid = sum(entry.labeler == one.wallet and entry.unpaid for entry in information.answers)
            assert one.units == unpaid
        before, after = tally.payments(equal.tallies, **terms), tally.payments(information.tallies, **terms)
        assert before.paid_labelers - after.paid_labelers == 7 * sum(one.units for one in information.tallies)
        assert after.validators == before.validators
        saved += before.total - after.total
    assert saved > 0


def test_all_who_keep_a_history_come_to_the_same_bytes() -> None:
    request, gold = asked()
    one, other = History(request), History(request)
    chance = random.Random(1)
    for number in range(6):
        tasks = answered(gold, start=25 * number, count=25)
        one.add(tasks)
        assert (one.register.standing is None) == (number == 0)  # one looks after each batch, the other at the end
        other.add(
            replace(task, answers=tuple(chance.sample(task.answers, len(SKILLS)))) for task in chance.sample(tasks, 25)
        )
    tasks = answered(gold, start=150, count=25)
    made = [
        batch.assemble(request, domain=DOMAIN, tasks=tasks, participant=participant, history=history)
        for history in (one, other)
    ]
    assert made[0].digest(participant) == made[1].digest(participant)
    fresh = batch.assemble(request, domain=DOMAIN, tasks=tasks, participant=participant)
    assert fresh.digest(participant) != made[0].digest(participant)


def test_a_task_of_several_batches_counts_once() -> None:
    request, gold = asked()
    whole, parts = History(request), History(request)
    tasks = answered(gold, start=0, count=100)
    whole.add(tasks)
    first = frozenset([wallet("ann"), wallet("idle")])
    rest = frozenset(map(wallet, SKILLS)) - first
    for task in tasks:
        parts.add([replace(task, settles=first, record=False)])
        parts.add([replace(task, settles=rest)])
    people = [wallet(name) for name in SKILLS]
    assert parts.register.weights(people) == whole.register.weights(people)
    assert [parts.register.explain(one) for one in people] == [whole.register.explain(one) for one in people]


def test_the_first_batch_of_a_labeler_is_paid() -> None:
    request, gold = asked()
    history = History(request)
    history.add(answered(gold, start=0, count=100))
    task = Task(101, (Answer(wallet("new"), {"value": "cat"}, b""),))
    made = batch.assemble(request, domain=DOMAIN, tasks=[task], participant=participant, history=history)
    assert made.answers[0].verdict == ACCEPTED
    assert made.tallies == (Tally(wallet("new"), Role.LABELER, good=1),)


def test_honest_but_mediocre_labelers_are_paid() -> None:
    """65 % right on two classes among people who are right in 85 of 100: of what it has right, 1 in 25 at most is left
    unpaid. The rule alone, on crowds of a dozen with three answers a task and every tenth known.
    """
    unpaid, right = {"mediocre": 0, "others": 0}, {"mediocre": 0, "others": 0}
    for seed in range(8):
        chance = random.Random(seed)
        people = ["mediocre", *range(11)]
        judged = []
        for index in range(400):
            truth = chance.choice(CLASSES)
            votes = [
                (wallet(one), truth if chance.random() < (0.65 if one == "mediocre" else 0.85)
                 else CLASSES[1 - CLASSES.index(truth)])
                for one in chance.sample(people, 3)
            ]  # fmt: skip
            judged.append((votes, truth if index % GOLD_EVERY == 0 else None))
        points = [*refit_points(len(judged)), len(judged)]
        for begin, end in pairwise(points):
            register = Register.learn(judged[:begin], classes=CLASSES)
            for index in range(begin, end):
                task = messages.task_id(domain=DOMAIN, index=index, cid=CID)
                label = max(CLASSES, key=lambda name: sum(value == name for _, value in judged[index][0]))
                for labeler, value in judged[index][0]:
                    who = "mediocre" if labeler == wallet("mediocre") else "others"
                    answer = Answer(labeler, {"value": value}, b"").id(domain=DOMAIN, task=task)
                    right[who] += value == label
                    unpaid[who] += value == label and not register.accepts(labeler, answer=answer)
    assert right["mediocre"] > 400
    assert unpaid["mediocre"] < 0.04 * right["mediocre"]
    assert unpaid["others"] < 0.001 * right["others"]


def test_of_those_who_answer_as_one_one_is_paid() -> None:
    """Three wallets of one labeler who looks: a third of what they have right is paid, whichever the lot picks."""
    request, gold = asked(items=500)
    history = History(request)
    chance = random.Random(3)
    paid = {"copy": [0, 0], "honest": [0, 0]}
    for start in range(0, 500, 50):
        tasks = []
        for index in range(start, start + 50):
            truth = str(value_of(gold[index].label)) if index in gold else chance.choice(CLASSES)
            given = [truth if chance.random() < 0.85 else CLASSES[1 - CLASSES.index(truth)] for _ in range(4)]
            names = ["copy 0", "copy 1", "copy 2", "ann", "bob", "cyd"]
            answers = [
                Answer(wallet(name), {"value": value}, b"")
                for name, value in zip(names, given[:1] * 2 + given, strict=True)
            ]
            tasks.append(Task(index, tuple(answers), gold.get(index)))
        made = batch.assemble(request, domain=DOMAIN, tasks=tasks, participant=participant, history=history)
        history.add(tasks)
        if start < 300:
            continue
        for entry in made.answers:
            if entry.right:
                count = paid["copy" if entry.labeler in {wallet(f"copy {k}") for k in range(3)} else "honest"]
                count[entry.unpaid] += 1
    assert history.register.group_size(wallet("copy 1")) == 3
    told, other = [explain(history.register, wallet(name)) for name in ("copy 1", "ann")]
    assert "of what the 3 of you have right, one answer in 3 is paid" in told
    assert "Of your group: " in told
    assert "no strike" in told
    assert other.endswith("your right answers are paid.")
    assert paid["honest"][1] == 0
    assert 0.25 < paid["copy"][0] / sum(paid["copy"]) < 0.42
