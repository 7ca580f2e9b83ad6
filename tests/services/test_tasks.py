"""Claims: at random, to `overlap` labelers, never twice to one wallet, under leases that end."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from solders.keypair import Keypair

from assay.client import Client
from assay.db.pool import Database
from assay.domain.messages import b58, unb58
from assay.errors import Conflict, FieldError, Forbidden, Gone, LeaseLost, NotFound
from assay.server import Server
from assay.services import tasks as claims

LABEL = {"value": "a"}


async def _market(join, post, *, labelers: int, **order):
    buyer = await join("buyer")
    posted = await post(buyer, **order)
    return posted["address"], [await join("labeler", stake="100") for _ in range(labelers)], buyer


async def test_parallel_claims_never_hand_out_too_much_or_twice(join, post, server: Server) -> None:
    items, overlap = 20, 3
    _, labelers, _ = await _market(join, post, labelers=6, items=items, overlap=overlap)

    async def work(labeler: Client) -> list[bytes]:
        got: list[bytes] = []
        while True:
            parts = await asyncio.gather(*(labeler.claim(limit=limit) for limit in (1, 3, 2)))
            leases = [lease for part in parts for lease in part]
            if not leases:
                return got
            got += [lease.task for lease in leases]

    handed = await asyncio.gather(*(work(labeler) for labeler in labelers))
    for tasks in handed:
        assert len(tasks) == len(set(tasks)), "a wallet got a task twice"
    counts = Counter(task for tasks in handed for task in tasks)
    assert len(counts) == items
    assert set(counts.values()) == {overlap}


async def test_answers_skips_and_leases_add_up_under_contention(join, post, server: Server) -> None:
    address, labelers, _ = await _market(join, post, labelers=5, items=12, overlap=3)

    async def work(number: int, labeler: Client) -> None:
        while leases := await labeler.claim(limit=3):
            for place, lease in enumerate(leases):
                if (number + place) % 4 == 0:
                    await labeler.skip([lease])
                else:
                    await labeler.submit(lease, LABEL)

    await asyncio.gather(*(work(number, labeler) for number, labeler in enumerate(labelers)))
    async with server.market.db.session() as session:
        rows = await session.connection.fetch(
            "select p.room, t.answers_done, t.answers_wanted,"
            " (select count(*) from answers a where a.task = t.id) as answers,"
            " (select count(*) from leases l where l.task = t.id) as leases"
            " from tasks t join places p on p.task = t.id where t.request = $1",
            unb58(address),
        )
    assert len(rows) == 12
    for row in rows:
        assert row["answers_done"] == row["answers"] <= row["answers_wanted"]
        assert row["room"] == row["answers_wanted"] - row["answers"] - row["leases"]


async def test_a_skipped_task_is_not_offered_again(join, post) -> None:
    _, (labeler,), _ = await _market(join, post, labelers=1, items=3)
    leases = await labeler.claim(limit=3)
    assert await labeler.skip(leases[:1]) == 1
    assert await labeler.skip(leases[:1]) == 0
    assert await labeler.claim(limit=3) == []
    with pytest.raises(LeaseLost):
        await labeler.submit(leases[0], LABEL)


async def test_a_lease_that_ended_goes_to_somebody_else(join, post, server: Server) -> None:
    _, (first, second), _ = await _market(join, post, labelers=2, items=1)
    (lease,) = await first.claim()
    assert await second.claim() == []
    await _end_leases(server.market.db)
    assert await server.market.tasks.sweep() in (0, 1)  # the server sweeps by itself too
    (again,) = await second.claim()
    assert again.task == lease.task
    with pytest.raises(LeaseLost):
        await first.submit(lease, LABEL)
    await second.submit(again, LABEL)
    assert await first.claim() == []


async def test_room_that_comes_back_is_seen_at_once(join, post, server: Server, monkeypatch) -> None:
    """Whoever asked a moment before, when there was none, has had the list of what is open read as empty."""
    monkeypatch.setattr(claims, "OPEN_SECONDS", 3600.0)
    _, (first, second), _ = await _market(join, post, labelers=2, items=2)
    leases = await first.claim(limit=2)
    server.market.tasks.opened()
    assert await second.claim() == []
    await first.skip(leases[:1])
    assert [lease.task for lease in await second.claim(limit=2)] == [leases[0].task]
    server.market.tasks.opened()
    assert await second.claim() == []
    await _end_leases(server.market.db)
    await server.market.tasks.sweep()
    assert leases[1].task in {lease.task for lease in await second.claim(limit=2)}


async def _end_leases(database: Database) -> None:
    async with database.session() as session:
        await session.connection.execute("update leases set expires_at = now() - interval '1 second'")


async def test_who_may_not_claim(join, post, server: Server) -> None:
    address, (labeler,), buyer = await _market(join, post, labelers=1)
    with pytest.raises(Forbidden, match="registered as a buyer"):
        await buyer.claim()
    stranger = await join(None)
    with pytest.raises(Forbidden, match="not registered"):
        await stranger.claim()
    idle = await join("labeler")
    with pytest.raises(Forbidden, match="under the least a labeler needs"):
        await idle.claim()
    with pytest.raises(NotFound):
        await labeler.claim(request=b58(bytes(Keypair().pubkey())))
    with pytest.raises(FieldError) as caught:
        await labeler.claim(limit=1000)
    assert caught.value.field == "limit"
    assert len(await labeler.claim(request=address)) == 1


async def test_a_tier_that_is_asked_for_is_needed(join, post) -> None:
    address, (labeler,), _ = await _market(join, post, labelers=1, min_tier=1)
    with pytest.raises(Forbidden, match="asks for tier 1, this wallet has 0"):
        await labeler.claim(request=address)
    assert await labeler.claim() == []


async def test_only_open_assignment_lets_a_labeler_choose(join, post) -> None:
    address, (labeler, other), buyer = await _market(join, post, labelers=2, items=4)
    tasks = await labeler.tasks(address)
    wanted = [bytes.fromhex(tasks[2]["task"])]
    with pytest.raises(Forbidden, match="handed out at random"):
        await labeler.claim(request=address, tasks=wanted)
    posted = await post(buyer, items=4, spec={"assignment": "open"})
    tasks = await labeler.tasks(posted["address"])
    wanted = [bytes.fromhex(tasks[i]["task"]) for i in (2, 0)]
    leases = await labeler.claim(limit=2, request=posted["address"], tasks=wanted)
    assert {lease.task for lease in leases} == set(wanted)
    assert await other.claim(limit=2, request=posted["address"], tasks=wanted) == []


async def test_an_items_own_overlap_counts(join, post) -> None:
    buyer = await join("buyer")
    labelers = [await join("labeler", stake="100") for _ in range(3)]
    cids = [(await buyer.upload(f"own {i}".encode(), media_type="text/plain"))["cid"] for i in range(2)]
    kind = "text/plain; charset=utf-8"
    items = [{"cid": cids[0], "media_type": kind, "overlap": 3}, {"cid": cids[1], "media_type": kind}]
    await post(buyer, items=0, overlap=1, spec={"items": items})
    handed = [await labeler.claim(limit=5) for labeler in labelers]
    counts = Counter(lease.index for leases in handed for lease in leases)
    assert counts == {0: 3, 1: 1}


async def test_a_cancelled_request_hands_out_nothing_but_takes_work_in_hand(join, post) -> None:
    address, (labeler,), buyer = await _market(join, post, labelers=1, items=2)
    (lease,) = await labeler.claim()
    await buyer.end(address, cancel=True)
    with pytest.raises(Gone, match="hands out nothing more"):
        await labeler.claim(request=address)
    assert await labeler.claim() == []
    assert (await labeler.submit(lease, LABEL))["state"] in ("submitted", "judging", "judged", "settled")


async def test_a_verdict_waits_for_a_lease_by_which_an_answer_may_still_come(
    join, post, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that several batches settle has the same answers in each, or no validator signs the second."""

    async def sweep() -> int:
        return 0

    monkeypatch.setattr(server.market.tasks, "sweep", sweep)
    name, (first, late), buyer = await _market(join, post, labelers=2, items=1, overlap=3)
    address, db = unb58(name), server.market.db
    (lease,) = await first.claim()
    await first.submit(lease, LABEL)
    (lease,) = await late.claim()
    await buyer.end(name, cancel=True)
    async with db.session() as session:
        await session.connection.execute("update leases set expires_at = now() - interval '1 second'")
    assert await db.execute("tasks_closing", address, 400) == "UPDATE 0"
    await late.submit(lease, LABEL)
    due = await db.execute("tasks_closing", address, 400), len(await db.fetch("tasks_due", address, 400))
    assert due in (("UPDATE 1", 1), ("UPDATE 0", 1)), "the settler may have been faster"


async def test_a_draft_is_not_worked_on(join, post, server: Server) -> None:
    buyer = await join("buyer")
    labeler = await join("labeler", stake="100")
    item = await buyer.upload(b"one", media_type="text/plain")
    spec = {
        "title": "t", "instructions": "", "kind": "text", "schema": {}, "mode": "agreement", "overlap": 1,
        "items": [{"cid": item["cid"], "media_type": item["media_type"]}],
    }  # fmt: skip
    draft = await buyer.call("POST", "/v1/requests", body={"spec": spec, "price": "1"})
    with pytest.raises(Conflict, match="not posted yet"):
        await labeler.claim(request=draft["address"])
    assert await labeler.claim() == []
