"""Batches assembled from signed evidence, and their way through the vote log."""

from __future__ import annotations

import random
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair

from assay.domain import batch, merkle, messages, spec, tally, votelog, work
from assay.domain.tally import Role
from assay.domain.work import Answer, Task, Vote
from assay.errors import FieldError, SignatureInvalid

CID = "bafkrei" + "a" * 52
DOMAIN = sha256(b"domain").digest()
CLASSES = ["cat", "dog", "owl"]


def keypair(name: str) -> Keypair:
    return Keypair.from_seed(sha256(name.encode()).digest())


BUYER = bytes(keypair("buyer").pubkey())
LABELERS = [keypair(f"labeler {i}") for i in range(5)]
PANEL = [keypair(f"validator {i}") for i in range(3)]


def participant(wallet: bytes) -> bytes:
    return sha256(b"participant" + wallet).digest()


def specification(**changes: Any) -> spec.Spec:
    document: dict[str, Any] = {
        "title": "Animals",
        "instructions": "Which animal is it?",
        "kind": "choice",
        "schema": {"classes": CLASSES},
        "mode": "agreement",
        "overlap": 5,
        "items": [{"cid": CID, "media_type": "image/png"}] * 20,
    }
    return spec.parse(document | changes)


def signed(
    index: int, key: Keypair, value: Any, *, asked: spec.Spec, votes: list[tuple[Keypair, int]] | None = None
) -> Answer:
    task = messages.task_id(domain=DOMAIN, index=index, cid=asked.items[index].cid)
    answer = Answer(bytes(key.pubkey()), asked.answer({"value": value}), b"")
    message = messages.answer(domain=DOMAIN, task=task, labeler=answer.labeler, content_hash=answer.content_hash)
    answer = replace(answer, signature=messages.sign(key, message))
    revealed = []
    for voter, vote in votes or []:
        answer_id = answer.id(domain=DOMAIN, task=task)
        one = Vote(bytes(voter.pubkey()), 0, vote, sha256(bytes(voter) + answer_id).digest(), b"")
        commitment = one.commitment(domain=DOMAIN, answer=answer_id)
        commit = messages.commit(domain=DOMAIN, answer=answer_id, round=0, voter=one.voter, commitment=commitment)
        revealed.append(replace(one, signature=messages.sign(voter, commit)))
    return replace(answer, votes=tuple(revealed))


def agreement_tasks(asked: spec.Spec, answers: list[list[str]]) -> list[Task]:
    return [
        Task(i, tuple(signed(i, key, value, asked=asked) for key, value in zip(LABELERS, row, strict=False)))
        for i, row in enumerate(answers)
    ]


def check(asked: spec.Spec, tasks: list[Task], **options: Any) -> None:
    panel = [bytes(key.pubkey()) for key in PANEL]
    batch.verify(asked, domain=DOMAIN, tasks=tasks, buyer=BUYER, panel=panel, **options)


def test_agreement_accepts_who_agrees_with_the_label() -> None:
    asked = specification()
    tasks = agreement_tasks(asked, [["cat", "cat", "dog"], ["owl", "owl", "owl"]])
    check(asked, tasks)
    made = batch.assemble(asked, domain=DOMAIN, tasks=tasks, participant=participant)
    assert {record.index: record.label["value"] for record in made.records} == {0: "cat", 1: "owl"}
    assert {record.index: record.entry.confidence for record in made.records} == {0: 6666, 1: 10000}
    assert made.judged == 2
    assert made.votes == 0
    by_wallet = {one.wallet: (one.good, one.bad) for one in made.tallies}
    assert by_wallet == {
        bytes(LABELERS[0].pubkey()): (2, 0),
        bytes(LABELERS[1].pubkey()): (2, 0),
        bytes(LABELERS[2].pubkey()): (1, 1),
    }


def test_a_tie_goes_to_the_class_named_first() -> None:
    asked = specification()
    made = batch.assemble(asked, domain=DOMAIN, tasks=agreement_tasks(asked, [["owl", "dog"]]), participant=participant)
    assert made.records[0].label == {"value": "dog"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=5), min_size=1, max_size=5), st.randoms())
def test_the_order_of_evidence_does_not_matter(answers: list[list[str]], chance: random.Random) -> None:
    asked = specification()
    tasks = agreement_tasks(asked, answers)
    first = batch.assemble(asked, domain=DOMAIN, tasks=tasks, participant=participant)
    shuffled = [replace(task, answers=tuple(chance.sample(task.answers, len(task.answers)))) for task in tasks]
    chance.shuffle(shuffled)
    second = batch.assemble(asked, domain=DOMAIN, tasks=shuffled, participant=participant)
    assert first.digest(participant) == second.digest(participant)
    assert votelog.encode_tasks(tasks) == votelog.encode_tasks(shuffled)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=3), min_size=1, max_size=6))
def test_review_adds_up(votes: list[list[int]]) -> None:
    asked = specification(mode="review", overlap=1)
    tasks = [
        Task(i, (signed(i, LABELERS[i % 5], "cat", asked=asked, votes=list(zip(PANEL, row, strict=False))),))
        for i, row in enumerate(votes)
    ]
    check(asked, tasks)
    made = batch.assemble(asked, domain=DOMAIN, tasks=tasks, participant=participant)
    labelers = [one for one in made.tallies if one.role is Role.LABELER]
    validators = [one for one in made.tallies if one.role is Role.VALIDATOR]
    assert sum(one.good + one.bad for one in labelers) == len(made.answers) == made.judged
    assert sum(one.good + one.bad for one in validators) == made.votes == sum(map(len, votes))
    assert sum(one.units for one in validators) == 2520 * made.judged
    assert sum(one.good for one in labelers) == len(made.records)
    paid = tally.payments(made.tallies, judged=made.judged, price=10**6, validation_fee=40_001, fee_bps=250)
    assert paid.paid_validators == made.judged * 40_001
    assert paid.paid_labelers == len(made.records) * 10**6
    for entry in made.answers:
        index, siblings = made.proof(entry.answer)
        assert merkle.verify(entry.pack(), index, siblings, made.root)


def test_gold_decides_and_is_counted() -> None:
    root, opened = work.commit_gold([(1, {"value": "dog"}, bytes(32)), (3, {"value": "owl"}, bytes(range(32)))])
    asked = specification(gold={"root": root.hex(), "count": 2})
    tasks = agreement_tasks(asked, [["cat", "cat"], ["cat", "dog"]])
    tasks[1] = replace(tasks[1], gold=opened[1])
    check(asked, tasks)
    made = batch.assemble(asked, domain=DOMAIN, tasks=tasks, participant=participant)
    rows = {one.wallet: (one.good, one.bad, one.gold_passed, one.gold_failed) for one in made.tallies}
    assert rows == {bytes(LABELERS[0].pubkey()): (1, 1, 0, 1), bytes(LABELERS[1].pubkey()): (2, 0, 1, 0)}
    tasks[1] = replace(tasks[1], gold=replace(opened[1], label={"value": "cat"}))
    with pytest.raises(FieldError, match=r"tasks\[1\]\.gold: is not what"):
        check(asked, tasks)


def test_forged_evidence_is_named() -> None:
    asked = specification(mode="review", overlap=1)
    answer = signed(0, LABELERS[0], "cat", asked=asked, votes=[(PANEL[0], 1), (PANEL[1], 0), (PANEL[2], 1)])
    with pytest.raises(SignatureInvalid) as failure:
        check(asked, [Task(0, (replace(answer, content={"value": "dog"}),))])
    assert failure.value.field == "tasks[0].answers[0].signature"
    flipped = (answer.votes[0], replace(answer.votes[1], vote=1), answer.votes[2])
    with pytest.raises(SignatureInvalid) as failure:
        check(asked, [Task(0, (replace(answer, votes=flipped),))])
    assert failure.value.field == "tasks[0].answers[0].votes[1].signature"
    stranger = signed(0, LABELERS[0], "cat", asked=asked, votes=[(keypair("stranger"), 1)])
    with pytest.raises(FieldError, match="not on the panel"):
        check(asked, [Task(0, (stranger,))])
    with pytest.raises(FieldError, match="of the buyer"):
        check(asked, [Task(0, (signed(0, keypair("buyer"), "cat", asked=asked, votes=[(PANEL[0], 1)]),))])
    with pytest.raises(FieldError, match="one of cat, dog, owl"):
        check(asked, [Task(0, (replace(answer, content={"value": "cow"}),))])
    ids = {answer.id(domain=DOMAIN, task=messages.task_id(domain=DOMAIN, index=0, cid=CID))}
    with pytest.raises(FieldError, match="settled in an earlier batch"):
        check(asked, [Task(0, (answer,))], settled=ids)


def test_quorum() -> None:
    message = messages.batch(domain=DOMAIN, batch=0, panel_round=1, digest=bytes(32))
    panel = [bytes(key.pubkey()) for key in PANEL]
    signatures = [(bytes(key.pubkey()), messages.sign(key, message)) for key in PANEL]
    batch.check_quorum(signatures[:2], message=message, panel=panel, quorum_bps=6667 - 1)
    with pytest.raises(FieldError, match="3 of the panel's 3"):
        batch.check_quorum(signatures[:2], message=message, panel=panel, quorum_bps=6667)
    with pytest.raises(FieldError, match="two of one wallet"):
        batch.check_quorum([signatures[0]] * 2, message=message, panel=panel, quorum_bps=5000)
    with pytest.raises(FieldError, match="not on the panel"):
        batch.check_quorum(signatures, message=message, panel=panel[:2], quorum_bps=5000)
    with pytest.raises(SignatureInvalid):
        batch.check_quorum(signatures, message=message + b"x", panel=panel, quorum_bps=5000)


def test_the_log_keeps_everything() -> None:
    asked = specification(mode="review", overlap=1)
    tasks = (Task(2, (signed(2, LABELERS[0], "owl", asked=asked, votes=[(PANEL[0], 1), (PANEL[1], 0)]),)),)
    made = batch.assemble(asked, domain=DOMAIN, tasks=tasks, participant=participant)
    header = votelog.Header(bytes([1]) * 32, bytes([2]) * 32, BUYER, DOMAIN, asked)
    line = votelog.Line(
        batch=0,
        panel_round=1,
        tasks=tasks,
        records=len(made.records),
        judged=made.judged,
        answers=len(made.answers),
        votes=made.votes,
        root=made.root,
        digest=made.digest(participant),
        tallies=made.tallies,
        signatures=((bytes(PANEL[0].pubkey()), bytes(64)),),
        transaction=bytes(64),
        at=1_700_000_000,
    )
    lines = [votelog.encode_header(header), votelog.encode_batch(line)]
    first, second = votelog.read([*lines, lines[1][:-1]])
    assert isinstance(first, votelog.Header)
    assert first.spec.hash == asked.hash
    assert isinstance(second, votelog.Line)
    assert votelog.encode_batch(second) == lines[1]
    assert replace(second, tasks=()) == replace(line, tasks=())
    assert batch.assemble(asked, domain=DOMAIN, tasks=second.tasks, participant=participant).root == made.root
    with pytest.raises(FieldError, match=r"line 2\.tasks\[0\]\.answers\[0\]\.votes\[0\]\.vote: is 7"):
        list(votelog.read([lines[0], lines[1].replace(b'"vote":1', b'"vote":7')]))
