"""Submissions: checked, signed, recorded once."""

from __future__ import annotations

import asyncio

import pytest
from solders.keypair import Keypair

from assay.client import Client
from assay.domain import canonical, messages
from assay.errors import AlreadyDone, FieldError, LeaseLost, NotFound, SignatureInvalid
from assay.server import Server


@pytest.fixture
async def working(join, post):
    buyer = await join("buyer")
    posted = await post(buyer, items=5, overlap=2)
    return await join("labeler", stake="100"), posted["address"]


async def test_the_same_answer_twice_is_one_and_another_is_refused(working, server: Server) -> None:
    labeler, _ = working
    (lease,) = await labeler.claim()
    first = await labeler.submit(lease, {"value": "a"})
    again = await labeler.submit(lease, {"value": "a"})
    assert (first["again"], again["again"]) == (False, True)
    assert first["answer"] == again["answer"]
    with pytest.raises(AlreadyDone):
        await labeler.submit(lease, {"value": "b"})


async def test_twenty_at_once_record_one(working, server: Server) -> None:
    labeler, _ = working
    (lease,) = await labeler.claim()
    taken = await asyncio.gather(*(labeler.submit(lease, {"value": "a"}) for _ in range(20)))
    assert len({one["answer"] for one in taken}) == 1
    assert sum(not one["again"] for one in taken) == 1


async def test_content_is_checked_and_the_field_named(working) -> None:
    labeler, _ = working
    (lease,) = await labeler.claim()
    for content, field in (
        ({"value": "c"}, "content.value"),
        ({}, "content.value"),
        ({"value": "a", "more": 1}, "content.more"),
        ({"value": 1.5}, "content.value"),
    ):
        with pytest.raises(FieldError) as caught:
            await labeler.call(
                "POST",
                f"/v1/tasks/{lease.task.hex()}/answer",
                body={"content": content, "signature": messages.b58(bytes(64))},
            )
        assert caught.value.field == field


async def test_only_the_labelers_own_signature_over_this_answer_counts(working) -> None:
    labeler, _ = working
    lease, other = await labeler.claim(limit=2)
    stranger = Client(labeler.url, key=Keypair())
    wrong = [
        {**labeler.answer(lease, {"value": "a"}), "content": {"value": "b"}},  # another content
        labeler.answer(other, {"value": "a"}),  # another task
        stranger.answer(lease, {"value": "a"}),  # another key
    ]
    for body in wrong:
        with pytest.raises(SignatureInvalid):
            await labeler.call("POST", f"/v1/tasks/{lease.task.hex()}/answer", body=body)


async def test_without_a_lease_nothing_is_taken(working, join) -> None:
    labeler, _ = working
    other = await join("labeler", stake="100")
    (lease,) = await labeler.claim()
    with pytest.raises(LeaseLost):
        await other.submit(lease, {"value": "a"})
    with pytest.raises(NotFound):
        await labeler.call("POST", f"/v1/tasks/{'00' * 32}/answer", body=labeler.answer(lease, {"value": "a"}))


async def test_a_batch_takes_what_is_right_and_says_what_is_not(working) -> None:
    labeler, _ = working
    leases = await labeler.claim(limit=3)
    good, bad, again = leases
    await labeler.submit(again, {"value": "b"})
    results = await labeler.submit_many([(good, {"value": "a"}), (bad, {"value": "z"}), (again, {"value": "b"})])
    assert results[0]["taken"]["again"] is False
    assert results[1]["problem"]["field"] == "content.value"
    assert results[2]["taken"]["again"] is True


async def test_an_answer_is_kept_under_its_cid(working) -> None:
    labeler, address = working
    (lease,) = await labeler.claim()
    await labeler.submit(lease, {"value": "b"})
    (mine,) = await labeler.answers(request=address)
    assert await labeler.content(mine["cid"]) == canonical.dumps({"value": "b"})


async def test_answers_survive_a_killed_database(join, post, server: Server, postgres) -> None:
    import os
    import signal

    buyer = await join("buyer")
    await post(buyer, items=6)
    labeler = await join("labeler", stake="100")
    leases = await labeler.claim(limit=6)
    done = [await labeler.submit(lease, {"value": "a"}) for lease in leases[:3]]
    os.kill(postgres.pid(), signal.SIGKILL)
    restarted = asyncio.create_task(postgres.start())
    done += await asyncio.gather(*(labeler.submit(lease, {"value": "a"}) for lease in leases[3:]))
    await restarted
    mine = await labeler.answers()
    assert {one["answer"] for one in mine} == {one["answer"] for one in done}
    assert len(mine) == 6
