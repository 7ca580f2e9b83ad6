"""Review: commit, reveal, verdict, payment; rejected answers go to another labeler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TOKEN = 10**6


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
