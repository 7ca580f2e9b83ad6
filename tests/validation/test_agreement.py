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
