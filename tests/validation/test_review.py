"""Review: commit, reveal, verdict, payment; rejected answers go to another labeler."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from assay.domain.standing import FIRST_USE
from assay.domain.tally import UNITS
from assay.services.proposals import Proposal

TOKEN = 10**6
FAR = datetime(9999, 1, 1, tzinfo=UTC)


async def test_accepted_answers_are_paid(stage: Callable[..., Any]) -> None:
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    labeler = await market.client("labeler", stake="100")
    before = await market.balance(labeler)
    address = await market.post(buyer, mode="review", items=5)
    await market.label(labeler, address, ["cat"] * 5)
    await market.until_settled(buyer, address, 5)
    assert await market.balance(labeler) - before == 5 * TOKEN
    books = (await buyer.progress(address))["chain"]
    assert (books["paid_labelers"], books["paid_validators"], books["refundable"]) == ("5", "0.2", "494.8")


async def test_rejected_answer_goes_to_another_labeler(stage: Callable[..., Any]) -> None:
    market = await stage()
    await market.start_workers(judge="truth:judge")
    buyer = await market.client("buyer")
    first, second = [await market.client("labeler", stake="100") for _ in range(2)]
    address = await market.post(buyer, mode="review", items=2)
    await market.label(first, address, ["cat", "dog"])  # the judge takes only cats
    await market.until_settled(buyer, address, 2)
    await market.label(second, address, ["cat", "cat"])
    await market.until_settled(buyer, address, 3)
    progress = await buyer.progress(address)
    assert (progress["accepted"], progress["rejected"], progress["tasks_done"]) == (2, 1, 2)
    assert progress["chain"]["paid_validators"] == "0.12"  # whatever the verdict


async def test_always_accepting_does_not_pay_by_information(stage: Callable[..., Any]) -> None:
    """Two validators look, one accepts everything; workers that start anew learn the same from the published log."""
    market = await stage()
    for number, judge in ((1, "truth:judge"), (2, "truth:judge"), (3, "accept-valid")):
        await market.start_worker(number, judge=judge)
    await market.until(lambda: all(map(market.connected, market.workers)), what="workers connected")
    wallets = [bytes(key.pubkey()) for key in market.validators]
    buyer = await market.client("buyer")
    labeler = await market.client("labeler", stake="100")
    labels = [("cat", "dog", "cat")[i % 3] for i in range(60)]  # the judge takes only cats
    gold = [{"index": i, "label": {"value": "cat"}} for i in range(0, 60, 6)]
    address = await market.post(buyer, mode="review", items=60, gold=gold, spec={"validation": {"pay": "information"}})
    for done in (20, 40, 60):
        await market.label(labeler, address, labels[:done])
        await market.until_settled(buyer, address, done)
        if done == 40:
            for number in (1, 2):  # every quorum has one of them now
                await market.stop_worker(number)
                await market.start_worker(number, judge="truth:judge")
            await market.until(lambda: all(map(market.connected, market.workers)), what="workers are back")
    rows = await market.market.db.fetch("batches_all")
    assert len(rows) >= 3
    shares = {wallet: [0, 0] for wallet in wallets}  # before and after the first standings are used: units
    judged = 0
    for proposal in map(Proposal.of_row, rows):
        assert sum(one.units for one in proposal.tallies) == UNITS * proposal.judged
        for one in proposal.tallies:
            if one.wallet in shares:
                shares[one.wallet][judged >= FIRST_USE] += one.units
        judged += proposal.judged
    (_, first), (_, second), (unknown, lazy) = (shares[wallet] for wallet in wallets)
    assert unknown > 0, "on trust"
    assert lazy == 0, "nobody pays for its votes once the record shows that it does not look"
    assert min(first, second) > 0
    assert not any("history_" in market.log(number) for number in market.workers)
    paid = [
        sum(row["amount"] for row in await market.market.db.fetch("payments_of", wallet, FAR, 100))
        for wallet in wallets
    ]
    assert sum(paid) == 60 * 40_000
    assert paid[2] < 0.4 * min(paid[:2]), "each gave 60 votes"
    report = await market.audit(address)
    assert report.ok, report.finding
