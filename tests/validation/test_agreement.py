"""Agreement from answer to payment, with real worker processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TOKEN = 10**6


async def test_answers_are_paid(stage: Callable[..., Any]) -> None:
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3)]
    before = [await market.balance(one) for one in labelers]
    address = await market.post(buyer, items=4)
    truth = ["cat", "dog", "owl", "cat"]
    await market.label(labelers[0], address, truth)
    await market.label(labelers[1], address, truth)
    await market.label(labelers[2], address, ["cat", "dog", "owl", "dog"])  # one mistake
    await market.until_settled(buyer, address, 12)
    earned = [await market.balance(one) - start for one, start in zip(labelers, before, strict=True)]
    assert earned == [4 * TOKEN, 4 * TOKEN, 3 * TOKEN]
    books = (await buyer.progress(address))["chain"]
    assert books["paid_labelers"] == "11"
    assert books["paid_validators"] == "0.16"
    assert books["records_done"] == 4


async def test_a_crowd_too_large_for_one_transaction(stage: Callable[..., Any]) -> None:
    """A record's verdicts are settled by as many batches as it takes, its own entry in the last."""
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(26)]
    address = await market.post(buyer, items=2, overlap=26)
    for labeler in labelers:
        await market.label(labeler, address, ["cat", "owl"])
    await market.until_settled(buyer, address, 52)
    batches = await market.market.db.fetch("batches_all")
    assert len(batches) >= 2
    assert sum(row["records"] for row in batches) == 2
    assert sum(row["answers"] for row in batches) == 52
    for labeler in labelers:
        assert await market.balance(labeler) == (5000 - 100 + 2) * TOKEN
    progress = await buyer.progress(address)
    assert (progress["chain"]["records_done"], progress["chain"]["paid_validators"]) == (2, "0.08")


async def test_a_method_that_learns_from_earlier_batches(stage: Callable[..., Any]) -> None:
    """Workers recompute it from what they signed, and one that was away from the published log."""
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3)]
    address = await market.post(buyer, items=6, spec={"consensus": {"method": "dawid-skene"}})
    done = 0
    for rounds, away in ((2, None), (4, 1), (6, None)):
        if away is not None:
            await market.stop_worker(away)
        elif done and 1 not in market.workers:
            await market.start_worker(1)
            await market.until(lambda: market.connected(1), what="the worker is back")
            await market.stop_worker(2)  # its signature is needed now
        for number, labeler in enumerate(labelers):
            await market.label(
                labeler, address, ["cat", "dog", "owl", "cat", "dog", "owl" if number else "cat"][:rounds]
            )
        done = 3 * rounds
        await market.until_settled(buyer, address, done)
    progress = await buyer.progress(address)
    assert progress["chain"]["records_done"] == 6
    report = await market.audit(address)
    assert report.ok, report.finding
