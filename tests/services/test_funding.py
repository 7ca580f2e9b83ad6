"""Review: only work that the escrow can pay is handed out, and whatever gives money or room back is used."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.client import Client, Lease
from assay.domain import money
from assay.domain.messages import unb58
from assay.server import Server
from assay.services import funding
from assay.services.funding import Bound

COUNTS = st.integers(0, 60)


@given(
    free=st.integers(0, 10**6), places=COUNTS, price=st.integers(1, 10_000), fee=st.integers(0, 5_000),
    bps=st.integers(0, 2_000), premium=st.integers(0, 10_000), accepted=COUNTS, rejected=COUNTS, live=COUNTS,
)  # fmt: skip
def test_the_bound_is_exact(
    free: int, places: int, price: int, fee: int, bps: int, premium: int, accepted: int, rejected: int, live: int
) -> None:
    bound = Bound(free, places, price, fee, bps, premium)
    more = bound.more(accepted=accepted, rejected=rejected, live=live)

    def needed(answers: int) -> int:
        pay = money.labeler_pay(answers, price, premium)
        held = money.labeler_pay(rejected, price, premium)
        return pay + money.market_fee(pay, bps) + (answers + rejected) * fee + held

    known = accepted + live
    assert 0 <= more <= max(0, places - known)
    if more:
        assert needed(known + more) <= free
    if more < places - known:
        assert needed(known + more + 1) > free


def test_the_least_budget_pays_for_every_record() -> None:
    quote = money.quote(records=7, price=999, validation_fee=41, mode="review", fee_bps=333, premium_bps=[0, 0, 0, 777])
    bound = Bound(quote.total, 7, 999, 41, 333, 777)
    assert bound.more(accepted=0, rejected=0, live=0) == 7
    assert bound.more(accepted=2, rejected=0, live=4) == 1
    assert replace(bound, free=quote.total - 1).more(accepted=2, rejected=0, live=4) == 0
    assert bound.more(accepted=0, rejected=1, live=0) == 6


async def _posted(join, post, **order):
    buyer = await join("buyer")
    posted = await post(buyer, mode="review", items=3, **order)
    return posted["address"], [await join("labeler", stake="100") for _ in range(2)]


async def _until_claimed(*labelers: Client, address: str) -> list[Lease]:
    """What is in hand is counted once a second."""
    for _ in range(200):
        for labeler in labelers:
            if got := await labeler.claim(limit=3, request=address):
                return got
        await asyncio.sleep(0.1)
    return []


async def test_all_of_the_least_budget_is_handed_out_and_comes_back(join, post) -> None:
    address, (first, second) = await _posted(join, post)
    leases = await first.claim(limit=3, request=address)
    assert len(leases) == 3
    assert await second.claim(limit=3, request=address) == []
    await first.skip(leases[:2])
    assert len(await _until_claimed(second, address=address)) == 2


async def test_claims_at_once_share_what_is_left(join, post, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task more than there is money for: as after a dispute that was won and took a record's place."""
    monkeypatch.setattr(funding, "BELIEVED", 0.2)
    address, labelers = await _posted(join, post)
    async with server.market.db.session() as session:
        await session.connection.execute(
            "update tasks set answers_wanted = 2 where request = $1 and index = 0", unb58(address)
        )
    got = await asyncio.gather(*(one.claim(limit=2, request=address) for one in labelers for _ in range(2)))
    assert sum(map(len, got)) == 3, "four places, and money for three"
    await asyncio.sleep(0.3)
    assert [await one.claim(limit=2, request=address) for one in labelers] == [[], []]
    holder, lease = next((labelers[i // 2], part[0]) for i, part in enumerate(got) if part)
    await holder.skip([lease])
    assert len(await _until_claimed(*labelers, address=address)) == 1
