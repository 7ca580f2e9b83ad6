"""A dispute that is won takes the place of a record: of a batch that was proposed, and of tasks not handed out yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from disputed import UNIT, rejected

from assay.domain import messages
from assay.errors import ChainUnavailable
from assay.services.proposals import Proposal
from assay.services.settler import Settler


async def test_a_batch_that_became_impossible_is_proposed_anew(
    stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two records are proposed and signed; before they land a dispute takes the place of one of them."""
    market = await stage(params={"panel_timeout": 5}, sign_timeout=1, batch_records=2, batch_ms=10_000)
    buyer, second, address, dispute = await rejected(market, items=2, wrong=2)
    submit, held = Settler._submit, True

    async def later(*arguments: Any) -> Any:
        if held:
            raise ChainUnavailable("the node is away", retry_after=0)
        return await submit(*arguments)

    monkeypatch.setattr(Settler, "_submit", later)
    request, db = messages.unb58(address), market.market.db

    async def put_back() -> bool:
        return bool((await buyer.progress(address))["tasks_waiting"] == 0)

    await market.until(put_back, what="the rejected task is put back")
    await market.label(second, address, ["cat", "cat"])

    async def proposed() -> bool:
        row = await db.row("batch_by_number", request, 1)
        return row is not None and len(await db.fetch("batch_signatures_of", request, 1, 1)) == 3

    await market.until(proposed, what="batch 1 is signed")
    first = Proposal.of_row(await db.row("batch_by_number", request, 1))
    assert first.records == 2
    await dispute.open()
    await dispute.uphold()
    held = False
    await market.until_settled(buyer, address, 3)
    row = await db.row("batch_by_number", request, 1)
    assert (row["records"], row["state"]) == (1, "settled")
    assert row["panel_round"] >= 2, "who had signed the first content did not sign another under the same round"
    chain = (await buyer.progress(address))["chain"]
    assert (chain["records_done"], chain["paid_labelers"]) == (2, "2")
    assert await market.balance(second) == (5000 - 100 + 1) * UNIT
    report = await market.audit(address)
    assert report.ok, report.finding


async def test_an_open_dispute_keeps_its_place(stage: Callable[..., Any]) -> None:
    """Nobody is handed a task whose record an open dispute may take."""
    market = await stage()
    buyer, second, address, dispute = await rejected(market, items=2, wrong=1)
    await dispute.open()

    async def seen() -> bool:
        async with market.market.db.session() as session:
            query = "select true from chain_events where name = 'DisputeOpened'"
            return bool(await session.connection.fetchval(query))

    await market.until(seen, what="the dispute seen")
    tasks = [bytes.fromhex(one["task"]) for one in await second.tasks(address)]
    (lease,) = await second.claim(limit=2, request=address, tasks=tasks)
    assert await second.claim(limit=1, request=address, tasks=tasks) == []
    await second.submit(lease, {"value": "cat"})
    await market.until_settled(buyer, address, 2)
    await dispute.uphold()
    assert (await buyer.progress(address))["chain"]["records_done"] == 2
    report = await market.audit(address)
    assert report.ok, report.finding


async def test_what_a_dispute_turns_over_counts_where_scores_fade(stage: Callable[..., Any]) -> None:
    """The market's judgements by day come to the counters on chain: the labeler's, the voters', the dispute panel's."""
    market = await stage()
    _, _, _, dispute = await rejected(market, items=2, wrong=1)

    async def table() -> list[tuple[Any, ...]]:
        async with market.market.db.session() as session:
            found = await session.connection.fetch("select * from judgements order by wallet, kind, day")
        return [tuple(row) for row in found]

    async def same() -> bool:
        found = await table()
        people = [await market.market.participants.get(row[0], fresh=True) for row in found]
        return bool(found) and all(one.kinds[row[1]] == row[3:] for one, row in zip(people, found, strict=True))

    await market.until(same, what="the rejections counted")
    labeler = messages.unb58(dispute.labeler.wallet)
    assert {row[0]: row[3:] for row in await table()}[labeler] == (0, 1)
    await dispute.open()
    await dispute.uphold()
    await market.until(same, what="the upheld dispute counted")
    assert {row[0]: row[3:] for row in await table()}[labeler] == (1, 0)
    await dispute.correct()
    await market.until(same, what="the corrected votes counted")
    counted = await table()
    assert {row[3:] for row in counted if row[0] != labeler} == {(1, 1)}, "voted wrong once, on the panel right"
    await market.market.engine.rebuild()
    assert await table() == counted
