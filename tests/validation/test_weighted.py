"""Votes weighted by the reputation on chain, with real workers: what a record decides, and what no operator can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from assay.domain import canonical, messages
from assay.services.participants import Participants

WEIGHTED = {"consensus": {"method": "weighted"}}


async def crowd(stage: Callable[..., Any], **settings: Any) -> tuple[Any, Any, list[Any], list[Any]]:
    """A market, its buyer, three labelers with eight accepted answers each, and two newcomers."""
    market = await stage(**settings)
    await market.start_workers()
    buyer = await market.client("buyer")
    known = [await market.client("labeler", stake="100") for _ in range(3)]
    new = [await market.client("labeler", stake="100") for _ in range(2)]
    address = await market.post(buyer, items=8)
    for labeler in known:
        await market.label(labeler, address, ["cat"] * 8)
    await market.until_settled(buyer, address, 24)
    return market, buyer, known, new


async def labels(buyer: Any, address: str) -> list[str]:
    lines = (await buyer.dataset(address)).splitlines()
    return [canonical.loads(line)["label"]["value"] for line in lines]  # type: ignore[index, call-overload]


def named(market: Any, address: str) -> dict[str, list[int]]:
    """Counters by wallet, as the published log names them."""
    lines = (market.settings.log_dir / f"{address}.jsonl").read_bytes().splitlines()[1:]
    found: dict[str, list[int]] = {}
    for line in lines:
        for task in canonical.loads(line)["tasks"]:  # type: ignore[index, call-overload]
            for answer in task["answers"]:
                assert found.setdefault(answer["labeler"], answer["counters"]) == answer["counters"]
    return found


async def test_a_record_decides_where_newcomers_differ(stage: Callable[..., Any]) -> None:
    """And not where they agree. By majority the class that the schema names first would win each tie."""
    market, buyer, (known, *_), new = await crowd(stage)
    votes = [["cat", "cat", "dog", "cat"], ["dog", "cat", "dog", "owl"], ["owl", "owl", "cat", "owl"]]
    settled: dict[str, str] = {}
    for method in ("majority", "weighted"):
        settled[method] = await market.post(buyer, items=4, spec={"consensus": {"method": method}})
        for labeler, row in zip((*new, known), votes, strict=True):
            await market.label(labeler, settled[method], row)
        await market.until_settled(buyer, settled[method], 12)
        report = await market.audit(settled[method])
        assert report.ok, report.finding
    assert await labels(buyer, settled["majority"]) == ["cat", "cat", "dog", "owl"]
    assert await labels(buyer, settled["weighted"]) == ["owl", "cat", "dog", "owl"]
    # the majority request in between judged all three: ten of twelve by the one with a record
    says = named(market, settled["weighted"])
    assert says[known.wallet] == [8 + 1, 3]
    assert [says[one.wallet] for one in new] == [[3, 1], [3, 1]]


async def test_counters_are_named_once_and_hold_for_the_request(stage: Callable[..., Any]) -> None:
    market, buyer, known, new = await crowd(stage, batch_records=2)
    address = await market.post(buyer, items=6, spec=WEIGHTED)
    for labeler in (*new, known[0]):
        await market.label(labeler, address, ["dog"] * 3)
    await market.until_settled(buyer, address, 9)
    await market.stop_worker(1)  # it reads the rest from the published log
    for labeler in (*new, known[1]):
        tasks = [bytes.fromhex(one["task"]) for one in await labeler.tasks(address)][3:5]
        leases = await labeler.claim(limit=2, request=address, tasks=tasks)
        await labeler.submit_many([(lease, {"value": "dog"}) for lease in leases])
    await market.until_settled(buyer, address, 15)
    await market.start_worker(1)
    await market.stop_worker(2)
    for labeler in (*new, known[0]):
        task = bytes.fromhex((await labeler.tasks(address))[5]["task"])
        (lease,) = await labeler.claim(limit=1, request=address, tasks=[task])
        await labeler.submit(lease, {"value": "dog"})
    await market.until_settled(buyer, address, 18)
    report = await market.audit(address)
    assert report.ok, report.finding
    says = named(market, address)
    assert says == {one.wallet: [8, 0] for one in known[:2]} | {one.wallet: [0, 0] for one in new}
    assert (await new[0].me())["participant"]["counters"]["accepted"] == 6


async def test_a_task_that_several_batches_settle_has_one_label(stage: Callable[..., Any]) -> None:
    """Though its labelers' records change with the first of them."""
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(26)]
    address = await market.post(buyer, items=1, overlap=26, spec=WEIGHTED)
    for number, labeler in enumerate(labelers):
        await market.label(labeler, address, ["dog" if number % 2 else "owl"])
    await market.until_settled(buyer, address, 26)
    assert len(await market.market.db.fetch("batches_all")) >= 2
    assert await labels(buyer, address) == ["dog"]  # a tie of equals: the schema's first
    report = await market.audit(address)
    assert report.ok, report.finding
    assert set(map(tuple, named(market, address).values())) == {(0, 0)}


async def test_settled_elsewhere_between_proposal_and_signature(
    stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers follow a labeler's transactions back to what the settler read."""
    market, buyer, known, new = await crowd(stage)
    other = await market.post(buyer, items=2)
    read = Participants.judged
    reads: list[dict[bytes, Any]] = []

    async def slow(self: Participants, wallets: Any, **where: Any) -> Any:
        found = await read(self, wallets, **where)
        if not reads:
            reads.append(found)
            for labeler in (known[0], *new):
                await market.label(labeler, other, ["cat", "dog"])
            await market.until_settled(buyer, other, 6)
        return found

    monkeypatch.setattr(Participants, "judged", slow)
    address = await market.post(buyer, items=2, spec=WEIGHTED)
    for labeler in (known[0], *new):
        await market.label(labeler, address, ["owl", "owl"])
    await market.until_settled(buyer, address, 6)
    report = await market.audit(address)
    assert report.ok, report.finding
    assert named(market, address) == {messages.b58(wallet): list(pair) for wallet, pair in reads[0].items()}
    assert reads[0][bytes(known[0].key.pubkey())] == (8, 0)
    assert "counters_wrong" not in "".join(market.log(number) for number in (1, 2, 3))


@pytest.mark.parametrize("made_up", [(500, 0), (7, 0), (8, 1)])
async def test_an_operator_cannot_make_a_record_up(
    stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, made_up: tuple[int, int]
) -> None:
    """Better ones, and worse: those of before the posting. Every worker refuses and says of whom."""
    market, buyer, known, new = await crowd(stage, sign_timeout=0.5)
    friend = bytes((new[0] if made_up[0] == 500 else known[0]).key.pubkey())
    read = Participants.judged

    async def flattering(self: Participants, wallets: Any, **where: Any) -> Any:
        found = await read(self, wallets, **where)
        return {**found, friend: made_up} if friend in found else found

    monkeypatch.setattr(Participants, "judged", flattering)
    address = await market.post(buyer, items=2, spec=WEIGHTED)
    for labeler in (known[0], *new):
        await market.label(labeler, address, ["owl", "owl"])
    await market.until(
        lambda: all("counters_wrong" in market.log(number) for number in (1, 2, 3)), what="all workers refused"
    )
    assert messages.b58(friend) in market.log(1)
    assert await market.settled(buyer, address) == 0
    # a quorum that signs whatever it is shown gets it settled, and the auditor says what the chain has never said
    for number in (1, 2, 3):
        await market.stop_worker(number)
    await market.until(lambda: sign_blindly(market, address), what="the quorum's signatures")
    await market.until_settled(buyer, address, 6)
    report = await market.audit(address)
    assert report.finding.check == "counters"
    assert (report.finding.request, report.finding.batch) == (address, 0)
    assert f"{messages.b58(friend)} is named with {list(made_up)} instead of " in report.finding.detail


async def sign_blindly(market: Any, address: str) -> bool:
    """Every validator's signature under what is proposed, by hand."""
    signed = 0
    for client in market.clients[:3]:
        for one in (await client.call("GET", "/v1/validator/work"))["proposals"]:
            assert one["request"] == address
            domain = bytes.fromhex((await client.progress(address))["domain"])
            digest = bytes.fromhex(one["digest"])
            message = messages.batch(domain=domain, batch=one["batch"], panel_round=one["panel_round"], digest=digest)
            body = {"type": "sign", **{name: one[name] for name in ("request", "batch", "panel_round", "digest")}}
            body["signature"] = messages.sign(client.key, message).hex()
            await client.call("POST", "/v1/validator/signatures", body=body)
            signed += 1
    return signed > 0
