"""The market's main flow through each chain: what stands on one stands on all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from assay.chain import Event
from assay.chain.lookup import LookupTables, fetch_table
from assay.chain.setup import missing
from assay.domain import messages
from assay.errors import ProgramError, TransactionFailed

UNIT = 1_000_000


async def test_reference_example_settles_exactly(market: Any) -> None:
    chain = market.chain
    start = [event.cursor async for event in chain.events(follow=False)]
    buyer = await market.join(1, tokens=500 * UNIT)
    labeler = await market.join(2, stake=100 * UNIT)
    validators = {v.pubkey(): v for v in [await market.join(3, stake=600 * UNIT) for _ in range(3)]}
    request = await market.post(buyer, request_id=1)
    state = await market.draw(request, buyer)
    # on a validator that other tests have used before, others may have been drawn
    panel = [validators[wallet] for wallet in state.panel[: state.panel_count] if wallet in validators]
    if len(panel) < 3:
        pytest.skip("validators of another test are on the panel")
    labels = {labeler.pubkey(): (50, 0, 0)}
    votes = {v.pubkey(): (50, 0, 50 * 2520 // 3) for v in panel}
    steps = market.settlement(request, state, {**labels, **votes}, panel)
    tables = LookupTables(chain, buyer)
    cover = await tables.cover(meta.pubkey for step in steps for meta in step.accounts)
    assert (await fetch_table(chain, cover[0].key)).addresses == cover[0].addresses
    receipt = await chain.send(steps, payer=buyer, lookup_tables=cover)

    assert await market.balance(labeler) == 50 * UNIT
    assert sum([await market.balance(v) for v in panel]) == 2 * UNIT
    after = await market.state("Request", request)
    assert after.locked - after.paid_labelers - after.paid_validators - after.fees == 448 * UNIT
    assert [event.name for event in receipt.events] == ["BatchSettled"]
    assert receipt.logs_complete
    assert receipt == await chain.receipt(receipt.signature)

    # an account's history is there, newest first, with what each transaction called on which accounts
    person = market.ix.addresses.participant(labeler.pubkey())
    past = [landed async for landed in chain.history(person)]
    assert [call.name for one in past for call in one.calls] == ["settle_batch", "register", "set_payout", "stake"]
    assert past[0].receipt == receipt
    assert await chain.landed(receipt.signature) == past[0]
    (signed,) = past[0].signed
    assert signed.before == "settle_batch"
    assert [wallet for wallet, _ in signed.signatures] == [bytes(one.pubkey()) for one in panel]
    assert messages.verified(signed.signatures[0][1], key=signed.signatures[0][0], message=signed.message)
    assert await chain.landed("1" * 64) is None
    settled = past[0].calls[0]
    assert settled.args["batch"] == 0
    assert settled.accounts == tuple(meta.pubkey for meta in steps[-1].accounts)
    tally = settled.args["tallies"][(settled.accounts.index(person) - 7) // 2]
    assert (tally.good, tally.bad) == (50, 0)

    seen = [event async for event in chain.events(after=start[-1] if start else None, follow=False)]
    assert [event.name for event in seen if event.name == "RequestPosted"] == ["RequestPosted"]
    assert receipt.events[0] in seen
    # going on from any place gives the rest, no more and no less
    for place in (0, len(seen) // 2, len(seen) - 1):
        rest = [event async for event in chain.events(after=seen[place].cursor, follow=False)]
        assert rest == seen[place + 1 :]


async def test_refusals_have_the_programs_names(market: Any) -> None:
    buyer = await market.join(1, tokens=500 * UNIT)
    with pytest.raises(ProgramError) as caught:
        await market.post(buyer, request_id=2, records=0)
    assert (caught.value.name, caught.value.code) == ("no_records", "program_no_records")
    assert caught.value.detail == "records must be at least 1"
    assert caught.value.logs
    with pytest.raises(ProgramError) as caught:
        await market.chain.send([market.ix.pause(authority=buyer.pubkey())], payer=buyer)
    assert caught.value.name == "not_authority"
    simulated = await market.chain.simulate([market.ix.pause(authority=buyer.pubkey())], payer=buyer.pubkey())
    assert isinstance(simulated.error, ProgramError)
    with pytest.raises(TransactionFailed, match="insufficient tokens"):
        await market.post(buyer, request_id=3, amount=501 * UNIT)


async def test_market_is_complete(market: Any) -> None:
    assert await missing(market.chain) == []
    found = await missing(market.chain, operator=market.mint.pubkey())
    assert [entry.what.split(" holds ")[0] for entry in found] == [f"the operator {market.mint.pubkey()}"]


async def test_live_events_follow_without_gap(market: Any) -> None:
    chain = market.chain
    last = None
    async for event in chain.events(follow=False):
        last = event.cursor
    seen: list[Event] = []

    async def follow() -> None:
        async for event in chain.events(after=last):
            seen.append(event)
            if len(seen) == 12:
                return

    async with asyncio.timeout(60):
        following = asyncio.create_task(follow())
        await asyncio.gather(*(market.join(1) for _ in range(6)))
        await following
    assert sorted(event.name for event in seen) == ["PayoutSet"] * 6 + ["Registered"] * 6
    assert len({event.cursor for event in seen}) == 12
    assert seen == sorted(seen, key=lambda event: event.slot)
    assert all(event.block_time is not None for event in seen)
