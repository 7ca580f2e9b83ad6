"""Dynamic overlap with real workers: more answers where they help, and nobody's choice but the rule's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import pytest

from assay.db.pool import Session
from assay.domain import canonical, growth, messages

TOKEN = 10**6
CLASSES = ["cat", "dog", "owl"]
MORE = {"more": {"most": 4, "confidence_bps": 7500}}


async def crowd(
    stage: Callable[..., Any], *, items: int = 3, spec: Mapping[str, Any] = MORE, stake: str = "100", **settings: Any
) -> Any:
    """A market with four labelers, and a request whose tasks get two answers at first."""
    market = await stage(**settings)
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake=stake) for _ in range(4)]
    address = await market.post(buyer, items=items, overlap=2, spec=dict(spec))
    return market, buyer, labelers, address


async def give(client: Any, address: str, labels: Mapping[int, str]) -> int:
    """Answers tasks by index, as far as they are handed out; how many."""
    tasks = [bytes.fromhex(one["task"]) for one in await client.tasks(address)]
    leases = await client.claim(limit=len(labels), request=address, tasks=[tasks[index] for index in labels])
    answers = [(lease, {"value": labels[lease.index]}) for lease in leases]
    for result in await client.submit_many(answers) if answers else ():
        assert result.get("problem") is None, result
    return len(answers)


async def wanted(client: Any, address: str) -> list[int]:
    return [one["answers_wanted"] for one in await client.tasks(address)]


async def logged(market: Any, address: str) -> dict[int, list[list[Any]]]:
    """The later answers of each task, as the vote log has them."""
    await market.market.engine.parts.publisher.publish(messages.unb58(address))
    lines = (market.settings.log_dir / f"{address}.jsonl").read_bytes().splitlines()[1:]
    return {
        task["index"]: task.get("later", [])
        for line in lines
        for task in canonical.loads(line)["tasks"]  # type: ignore[index, call-overload, union-attr]
    }


async def test_easy_tasks_stop_and_doubtful_ones_go_on(stage: Callable[..., Any]) -> None:
    market, buyer, (ann, bob, cid, dan), address = await crowd(stage)
    await give(ann, address, {0: "cat", 1: "cat", 2: "cat"})
    await give(bob, address, {0: "cat", 1: "dog", 2: "dog"})
    await market.until_settled(buyer, address, 2)

    async def grown() -> bool:
        return await wanted(buyer, address) == [2, 3, 3]

    await market.until(grown, what="two tasks in doubt")
    assert await give(bob, address, {1: "cat"}) == 0, "nobody answers twice"
    assert await give(cid, address, {0: "cat", 1: "cat", 2: "owl"}) == 2, "a task that is sure takes no more"

    async def grown_again() -> bool:
        return await wanted(buyer, address) == [2, 4, 4]

    await market.until(grown_again, what="both still in doubt")
    assert await market.settled(buyer, address) == 2
    await give(dan, address, {1: "cat", 2: "cat"})  # 3 of 4 are sure enough, and 2 of 4 are the most that is asked for
    await market.until_settled(buyer, address, 10)
    assert await logged(market, address) == {0: [], **{i: [[cid.wallet, 0], [dan.wallet, 0]] for i in (1, 2)}}
    labels = [canonical.loads(line) for line in (await buyer.dataset(address)).splitlines()]
    assert [(one["label"]["value"], one["confidence"]) for one in labels] == [  # type: ignore[index, call-overload]
        ("cat", 10_000), ("cat", 7500), ("cat", 5000)
    ]  # fmt: skip
    chain = (await buyer.progress(address))["chain"]
    assert (chain["paid_labelers"], chain["paid_validators"], chain["records_done"]) == ("7", "0.12", 3)
    assert [await market.balance(one) for one in (ann, bob, cid, dan)] == [
        (4900 + paid) * TOKEN for paid in (3, 1, 1, 2)
    ]
    await buyer.end(address)
    report = await market.audit(address)
    assert report.ok, report.finding


async def test_tasks_that_are_drawn_grow_by_the_published_log(stage: Callable[..., Any]) -> None:
    """Hand-outs, walks and owners are as ever: the auditor recomputes each, and when each task asked for more."""
    market, buyer, labelers, address = await crowd(stage, items=8, spec=MORE | {"assignment": "random"})
    said = {labeler.wallet: ["cat", "dog", "cat", "owl"][number] for number, labeler in enumerate(labelers)}
    given: dict[int, list[str]] = {index: [] for index in range(8)}

    async def work() -> bool:
        for labeler in labelers:
            for lease in await labeler.claim(limit=3, request=address):
                label = "cat" if lease.index % 2 else said[labeler.wallet]
                await labeler.submit(lease, {"value": label})
                given[lease.index].append(label)
        now = await buyer.progress(address)
        return bool(now["chain"]["records_done"] == 8 and now["settled"] == now["answers"])

    await market.until(work, what="all records done")
    for index, labels in given.items():
        sure = max(labels.count(one) for one in labels) / len(labels) >= 0.75
        before = max(labels[:-1].count(one) for one in labels[:-1]) / len(labels[:-1]) >= 0.75
        assert sure or len(labels) == 4, (index, labels)
        assert len(labels) == 2 or not before, (index, labels)
    assert all(given[index] == ["cat", "cat"] for index in (1, 3, 5, 7))
    assert sum(len(labels) for labels in given.values()) > 16
    report = await market.audit(address)
    assert report.ok, report.finding
    lines = (market.settings.log_dir / f"{address}.tasks.jsonl").read_bytes().splitlines()
    asked = [canonical.loads(line)["task"] for line in lines if b'"type":"more"' in line]  # type: ignore[index, call-overload]
    assert sorted(asked) == sorted(i for i, labels in given.items() for _ in labels[2:])


async def test_what_is_learned_of_labelers_decides_who_is_asked(stage: Callable[..., Any]) -> None:
    """Once the log is long enough tasks ask by the model of a point of it; a worker that was away learns each anew."""
    spec = {
        "assignment": "random", "consensus": {"method": "dawid_skene"}, "more": {"most": 5, "confidence_bps": 9000},
    }  # fmt: skip
    market, buyer, labelers, address = await crowd(stage, items=80, spec=spec, stake="300")  # for slashes on the way
    labelers.append(await market.client("labeler", stake="100"))

    async def decided() -> bool:
        return all(
            one["state"] == "done" or one["answers_done"] < one["answers_wanted"] for one in await buyer.tasks(address)
        )

    async def work(until: int) -> bool:
        for number, labeler in enumerate(labelers):
            answers = []
            for lease in await labeler.claim(limit=4, request=address):
                careless = number < 2
                told = CLASSES[
                    sha256(b"%d %d" % (number, lease.index)).digest()[0] % 3 if careless else lease.index % 3
                ]
                answers.append((lease, {"value": told}))
            if answers:
                await labeler.submit_many(answers)
        await market.until(decided, what="all that is answered decided")
        now = await buyer.progress(address)
        return bool(now["chain"]["records_done"] >= until and (until < 80 or now["settled"] == now["answers"]))

    await market.until(lambda: work(50), what="fifty records done")
    await market.stop_worker(1)
    await market.until(lambda: work(70), what="seventy")
    await market.start_worker(1)
    await market.until(lambda: market.connected(1), what="the worker is back")
    await market.stop_worker(2)  # its signature is needed now
    await market.until(lambda: work(80), what="all records done")
    later = await logged(market, address)
    points = {point for pairs in later.values() for _, point in pairs}
    assert 0 in points
    assert max(points) >= 32
    assert "growth_wrong" not in market.log(1) + market.log(3)
    report = await market.audit(address)
    assert report.ok, report.finding


async def test_a_request_that_ends_while_a_task_grows(stage: Callable[..., Any]) -> None:
    """It is settled with what it has."""
    spec = MORE | {"assignment": "random"}
    market, buyer, (ann, bob, *_), address = await crowd(stage, items=1, spec=spec)
    for labeler, label in ((ann, "cat"), (bob, "dog")):
        (lease,) = await labeler.claim(limit=1, request=address)
        await labeler.submit(lease, {"value": label})

    async def grown() -> bool:
        return await wanted(buyer, address) == [3]

    await market.until(grown, what="the task in doubt")
    await buyer.end(address, cancel=True)
    await market.until_settled(buyer, address, 2)
    assert await logged(market, address) == {0: []}
    assert (await buyer.progress(address))["chain"]["paid_labelers"] == "1"
    report = await market.audit(address)
    assert report.ok, report.finding


async def test_a_market_that_dies_while_a_task_grows(
    stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    market, buyer, labelers, address = await crowd(stage, items=1)
    reached, execute = asyncio.Event(), Session.execute

    async def hang(self: Session, name: str, *arguments: object) -> str:
        done = await execute(self, name, *arguments)
        if name == "tasks_more":
            reached.set()
            await asyncio.Event().wait()
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Session, "execute", hang)
        await give(labelers[0], address, {0: "cat"})
        await give(labelers[1], address, {0: "dog"})
        await asyncio.wait_for(reached.wait(), 60)
        assert await wanted(buyer, address) == [2], "nothing is half written"
        await market.server.stop()
    await market.reopen()
    for client in (buyer, *labelers):
        client.url = market.server.url
    await market.restart_workers()

    async def grown() -> bool:
        return await wanted(buyer, address) == [3]

    await market.until(grown, what="the task in doubt")
    await give(labelers[2], address, {0: "dog"})
    await give(labelers[3], address, {0: "dog"})

    async def last() -> bool:
        return await give(labelers[3], address, {0: "dog"}) == 0 and await market.settled(buyer, address) == 4

    await market.until(last, what="all settled")
    assert await logged(market, address) == {0: [[one.wallet, 0] for one in labelers[2:]]}
    report = await market.audit(address)
    assert report.ok, report.finding


async def test_a_task_that_several_batches_settle_rests_on_one_growth(stage: Callable[..., Any]) -> None:
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(27)]
    more = {"more": {"most": 27, "confidence_bps": 10_000}}
    address = await market.post(buyer, items=1, overlap=25, spec=more)
    for number, labeler in enumerate(labelers):

        async def taken(labeler: Any = labeler, number: int = number) -> bool:
            return await give(labeler, address, {0: "dog" if number else "cat"}) == 1

        await market.until(taken, what="the task handed out")
    await market.until_settled(buyer, address, 27)
    assert len(await market.market.db.fetch("batches_all")) >= 2
    assert await logged(market, address) == {0: [[one.wallet, 0] for one in labelers[25:]]}
    report = await market.audit(address)
    assert report.ok, report.finding


def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """It settles tasks that are in doubt."""
    monkeypatch.setattr(growth, "growing", lambda *_, **__: frozenset())


def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for one more than is due."""
    real = growth.growing

    def one_more(spec: Any, tasks: Any, **more: Any) -> frozenset[int]:
        return real(spec, tasks, **more) | {task.index for task in tasks if len(task.answers) == 2}

    monkeypatch.setattr(growth, "growing", one_more)


def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It claims a model that nothing was learned for."""
    monkeypatch.setattr(growth, "point_now", lambda *_: 32)


@pytest.mark.parametrize(
    ("cheat", "said"),
    [
        (early, "answers: are 2, and another was due before it could be settled"),
        (late, "was asked at a confidence of 10000"),
        (made_up, "goes by point 32"),
    ],
)
async def test_an_operator_cannot_choose_when_to_stop(
    stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, cheat: Callable[..., None], said: str
) -> None:
    market, buyer, labelers, address = await crowd(stage, items=1, sign_timeout=0.5)
    cheat(monkeypatch)
    rows = ["cat", "cat", "cat"] if cheat is late else ["cat", "dog", "cat", "cat"]
    for labeler, label in zip(labelers, rows[:2] if cheat is early else rows, strict=False):

        async def taken(labeler: Any = labeler, label: str = label) -> bool:
            return await give(labeler, address, {0: label}) == 1

        await market.until(taken, what="the task handed out")
    await market.until(
        lambda: all("growth_wrong" in market.log(number) for number in (1, 2, 3)), what="all workers refused"
    )
    assert said in market.log(1)
    assert await market.settled(buyer, address) == 0
