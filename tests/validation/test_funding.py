"""Review on the least budget: a rejected answer's task waits for money, and is answered once there is some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from solders.pubkey import Pubkey

from assay.chain.instructions import Instructions
from assay.chain.tokens import TOKEN, associated_address

UNIT = 10**6


async def test_a_rejected_task_waits_for_a_top_up(stage: Callable[..., Any]) -> None:
    market = await stage()
    await market.start_workers(judge="truth:judge")
    buyer = await market.client("buyer")
    first, second = [await market.client("labeler", stake="100") for _ in range(2)]
    address = await market.post(buyer, mode="review", items=3, budget=None)
    assert (await buyer.progress(address))["chain"]["locked"] == "3.12"
    await market.label(first, address, ["dog"])  # the judge takes only cats
    await market.until_settled(buyer, address, 1)
    progress = await buyer.progress(address)
    assert (progress["tasks_waiting"], progress["tasks_done"]) == (1, 0)
    await market.label(second, address, ["cat", "cat", "cat"])  # the first is not to be had
    await market.until_settled(buyer, address, 3)
    assert await first.claim(limit=3, request=address) == []
    assert await second.claim(limit=3, request=address) == []
    assert (await buyer.progress(address))["tasks_waiting"] == 1

    assert buyer.key is not None
    mint, me = market.market.faucet.mint, buyer.key.pubkey()
    more = Instructions(market.market.chain.program).top_up_request(
        funder=me, request=Pubkey.from_string(address), mint=mint, source=associated_address(me, mint),
        token_program=TOKEN, amount=104 * UNIT // 100,
    )  # fmt: skip
    await market.market.chain.send([more], payer=buyer.key)

    async def back() -> bool:
        return bool((await buyer.progress(address))["tasks_waiting"] == 0)

    await market.until(back, what="the task is put back")
    assert await first.claim(request=address) == [], "it had its answer from this labeler"
    await market.label(second, address, ["cat"])
    await market.until_settled(buyer, address, 4)
    progress = await buyer.progress(address)
    assert (progress["accepted"], progress["rejected"], progress["tasks_done"]) == (3, 1, 3)
    report = await market.audit(address)
    assert report.ok, report.finding
