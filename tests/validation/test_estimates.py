"""What a buyer is shown of a request that runs: live estimates, of nobody else's, and the same after a new start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from assay.client import Client
from assay.domain.messages import unb58
from assay.errors import Conflict, FieldError, Forbidden, Unauthenticated
from assay.services import estimates
from assay.services.estimates import Estimates

RIGHT = ["cat", "dog", "owl", "cat"] * 3


async def labelled(stage: Callable[..., Any], **post: Any) -> tuple[Any, Client, list[Client], str]:
    """A market whose panel does not sign, so that nothing is settled until it is told to."""
    market = await stage()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3)]
    return market, buyer, labelers, await market.post(buyer, **{"items": 12, **post})


async def taken(buyer: Client, address: str, count: int, **page: int) -> dict[str, Any]:
    """The estimate, once so many answers are in it."""
    for _ in range(400):
        found = await buyer.estimate(address, **page)
        if found["answers"] == count and found["complete"]:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"{found['answers']} of {count} answers taken, complete: {found['complete']}")


async def test_a_buyer_watches_its_labels_come(stage: Callable[..., Any]) -> None:
    market, buyer, labelers, address = await labelled(stage)
    nothing = await taken(buyer, address, 0)
    assert (nothing["tasks"], nothing["expected_right"], nothing["labelers"]) == ([], None, [])
    assert "Nothing is decided or paid by it" in nothing["note"]
    await market.label(labelers[0], address, RIGHT[:10])
    alone = await taken(buyer, address, 10)
    assert [one["label"] for one in alone["tasks"]] == RIGHT[:10]
    assert [one["index"] for one in alone["tasks"]] == list(range(10))
    await market.label(labelers[1], address, RIGHT)
    await market.label(labelers[2], address, ["dog", "dog", "dog", *RIGHT[3:]])
    found = await taken(buyer, address, 34)
    assert [one["label"] for one in found["tasks"]] == RIGHT
    assert found["unsettled"] == 12
    sure = {one["index"]: one["confidence"] for one in found["tasks"]}
    assert sure[3] > sure[1] > sure[0] > 5000, "answers differ on 0, and on 1 one labeler errs elsewhere"
    assert found["expected_right"] == round(sum(sure.values()) / 12)
    assert found["expected_right"] > alone["expected_right"]
    skills = {one["wallet"]: one for one in found["labelers"]}
    assert {wallet: one["answers"] for wallet, one in skills.items()} == {
        labelers[0].wallet: 10, labelers[1].wallet: 12, labelers[2].wallet: 12,
    }  # fmt: skip
    good, bad = skills[labelers[1].wallet], skills[labelers[2].wallet]
    assert good["skill"] > bad["skill"]
    assert all(one["low"] < one["skill"] < one["high"] <= 10_000 for one in skills.values())
    before = {one["wallet"]: one for one in alone["labelers"]}[labelers[0].wallet]
    assert good["high"] - good["low"] < before["high"] - before["low"], "more answers, less doubt"
    page = await buyer.estimate(address, start=3, limit=4)
    assert ([one["index"] for one in page["tasks"]], page["next"]) == ([3, 4, 5, 6], 7)
    assert (await buyer.estimate(address, start=8))["next"] is None

    await market.start_workers()
    await market.until_settled(buyer, address, 30)  # two tasks lack an answer and wait
    left = await taken(buyer, address, 34)
    assert [one["index"] for one in left["tasks"]] == [10, 11]
    await market.label(labelers[0], address, RIGHT)
    await market.until_settled(buyer, address, 36)
    assert (await taken(buyer, address, 36))["tasks"] == []
    await buyer.end(address)

    async def ended() -> bool:
        return (await buyer.progress(address))["request"]["state"] == "closed"

    await market.until(ended, what="request closed")
    with pytest.raises(Conflict, match="ended"):
        await buyer.estimate(address)
    assert unb58(address) not in market.market.estimates._live


async def test_it_is_for_the_buyer_alone(stage: Callable[..., Any]) -> None:
    market, buyer, labelers, address = await labelled(stage, items=3)
    await market.label(labelers[0], address, RIGHT[:3])
    await taken(buyer, address, 3)
    another = await market.client("buyer")
    for stranger in (*labelers, another, *market.clients[:3]):
        assert stranger.wallet != buyer.wallet
        with pytest.raises(Forbidden, match="buyer"):
            await stranger.estimate(address)
    with pytest.raises(Unauthenticated):
        await buyer.call("GET", f"/v1/requests/{address}/estimate", auth=False)
    with pytest.raises(FieldError, match="limit"):
        await buyer.estimate(address, limit=10_001)
    for stranger in (labelers[0], buyer):
        shown = await stranger.call("GET", f"/v1/requests/{address}")
        assert "expected_right" not in str(shown), "what everybody may see says nothing of it"
    reviewed = await market.post(buyer, items=2, mode="review")
    with pytest.raises(Conflict, match="no live estimate"):
        await buyer.estimate(reviewed)
    many = await market.post(buyer, items=2, spec={"schema": {"classes": [f"c{i}" for i in range(65)]}})
    with pytest.raises(Conflict, match="no live estimate"):
        await buyer.estimate(many)


async def test_gold_counts_as_known(stage: Callable[..., Any]) -> None:
    gold = [{"index": 0, "label": {"value": "owl"}}]
    market, buyer, labelers, address = await labelled(stage, items=6, gold=gold)
    for labeler in labelers:
        await market.label(labeler, address, ["cat"] * 6)
    found = await taken(buyer, address, 18)
    assert found["tasks"][0] == {"index": 0, "label": "owl", "confidence": 10_000}
    assert {one["label"] for one in found["tasks"][1:]} == {"cat"}


async def test_a_new_start_comes_to_the_same_numbers(
    stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However answers were taken: as they came, or all at once, or a few at a time; past a refit too."""
    market, buyer, labelers, address = await labelled(stage, items=12)
    rows = [RIGHT, ["dog"] * 12, [RIGHT[(i + i % 3) % 12] for i in range(12)]]
    for count in (4, 9, 12):
        for labeler, row in zip(labelers, rows, strict=True):
            await market.label(labeler, address, row[:count])
        live = await taken(buyer, address, 3 * count)
    assert live["answers"] > 32
    request = unb58(address)
    again = await Estimates(market.market).of(request)
    assert again == await market.market.estimates.of(request)
    monkeypatch.setattr(estimates, "READ", 5)
    slowly = Estimates(market.market)
    steps = [await slowly.of(request)]
    while not steps[-1].complete:
        slowly._live[request].believed = 0.0
        steps.append(await slowly.of(request))
    assert [one.answers for one in steps][:3] == [5, 10, 15]
    assert steps[-1] == again

    monkeypatch.setattr(estimates, "ANSWERS", 7)
    part = Estimates(market.market)
    for _ in range(3):
        found = await part.of(request)
        part._live[request].believed = 0.0
    assert (found.answers, found.complete) == (7, False)
    monkeypatch.setattr(estimates, "ANSWERS", 100)
    monkeypatch.setattr(estimates, "CELLS", 2 * 9)  # two labelers of three classes
    few = Estimates(market.market)
    for _ in range(9):
        found = await few.of(request)
        few._live[request].believed = 0.0
    assert (len(found.skills), found.complete) == (2, False)
    monkeypatch.setattr(estimates, "REQUESTS", 1)
    other = await market.post(buyer, items=2)
    await few.of(unb58(other))
    assert list(few._live) == [unb58(other)]


async def test_what_may_still_be_committed_is_waited_for(stage: Callable[..., Any], database_url: str) -> None:
    """Answers are taken in the order of their times: none is taken while an earlier one may be under way."""
    market, buyer, labelers, address = await labelled(stage, items=3)
    other = await asyncpg.connect(database_url)
    try:
        async with other.transaction():
            await other.execute("select 1")
            await market.label(labelers[0], address, RIGHT[:3])
            for _ in range(3):
                assert (await buyer.estimate(address))["answers"] == 0
                await asyncio.sleep(0.05)
        await taken(buyer, address, 3)
    finally:
        await other.close()
