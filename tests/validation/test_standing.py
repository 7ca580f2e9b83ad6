"""Each rule explained to whom it hits, and to nobody else."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest
from solders.keypair import Keypair

from assay.client import Client
from assay.domain import reputation, strikes, weights
from assay.errors import FieldError, NotFound, Unauthenticated

RATE = 3
"""Index of the honest error rate that a fresh market has."""


async def test_a_labeler_sees_its_tier_scores_and_strikes(stage: Callable[..., Any]) -> None:
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3)]
    address = await market.post(buyer, items=24)
    fresh = await labelers[0].standing(request=address)
    assert fresh["scores"] == []
    assert (fresh["tier"]["tier"], fresh["tier"]["next"], fresh["tier"]["accepted_needed"]) == (0, 1, 20)
    assert fresh["request"]["text"] == "You have neither answered nor voted in this request."
    for labeler, wrong in zip(labelers, (0, 0, 6), strict=True):
        await market.label(labeler, address, ["dog"] * wrong + ["cat"] * (24 - wrong))
    await market.until_settled(buyer, address, 72)

    good, bad = [await one.standing(request=address) for one in labelers[1:]]
    assert (good["role"], good["tier"]["tier"], good["strikes"]["strikes"]) == ("labeler", 1, 0)
    assert (good["tier"]["next"], good["tier"]["accepted_needed"]) == (2, 76)
    (score,) = bad["scores"]
    assert (score["kind"], score["good"], score["bad"]) == ("choice", 18, 6)
    assert score["score"] == reputation.score(18, 6)
    assert score["weight"] == weights.weight((18, 6))
    assert f"{score['score'] / 100:.2f} %" in score["text"]
    assert (bad["tier"]["tier"], bad["tier"]["next"]) == (0, 1)
    found = bad["strikes"]
    assert (found["judgements"], found["strikes"], found["slashes"]) == (24, 6, 0)
    assert found["convicts_at"] == strikes.least_strikes(24, error_rate=RATE)
    assert found["strikes_left"] == strikes.margin(6, 24, error_rate=RATE)
    params = (await market.market.terms.market()).params
    assert found["stake_at_risk"] == f"{100 * params.slash_bps / 10_000:g}"
    assert "6 of 24 judgements" in found["text"]
    assert bad["request"]["settled"] == 24
    assert bad["request"]["weight"] is None
    assert "Every answer counts the same" in bad["request"]["text"]

    path = market.home / "labeler.json"
    assert labelers[2].key is not None
    path.write_text(json.dumps(list(bytes(labelers[2].key))))
    command = [sys.executable, "-m", "assay", "standing", "--key", str(path), "--api", market.server.url]
    process = await asyncio.create_subprocess_exec(*command, "--request", address, stdout=asyncio.subprocess.PIPE)
    shown = (await process.communicate())[0].decode()
    assert process.returncode == 0
    for words in (bad["tier"]["text"], score["text"], found["text"], bad["request"]["text"], "(24 settled)"):
        assert words in shown

    assert (await buyer.standing())["tier"] is None
    validator = await market.clients[0].standing(request=address)
    assert (validator["role"], validator["tier"]) == ("validator", None)
    with pytest.raises(NotFound):
        await buyer.standing(request=str(Keypair().pubkey()))
    with pytest.raises(FieldError, match="request"):
        await buyer.standing(request="x")
    with pytest.raises(Unauthenticated):
        await buyer.call("GET", "/v1/me/standing", auth=False)
    async with Client(market.server.url, key=Keypair()) as stranger:
        with pytest.raises(NotFound, match="not registered"):
            await stranger.standing()


async def test_what_a_vote_weighs(stage: Callable[..., Any]) -> None:
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3)]
    first = await market.post(buyer, items=8)
    for labeler in labelers[:3]:
        await market.label(labeler, first, ["cat"] * 8)
    await market.until_settled(buyer, first, 24)
    address = await market.post(buyer, items=4, spec={"consensus": {"method": "weighted"}})
    for labeler in labelers:
        await market.label(labeler, address, ["dog"] * 2)
    await market.until_settled(buyer, address, 6)
    told = (await labelers[0].standing(request=address))["request"]
    assert (told["method"], told["settled"], told["full"]) == ("weighted", 2, 2.0)
    assert told["weight"] == weights.weight((8, 0)), "as it came, not as it is"
    assert "In this request your vote counts 1.7615" in told["text"]
    assert "8 good and 0 bad" in told["text"]
    assert [one["good"] for one in (await labelers[0].standing())["scores"]] == [10]


async def test_copies_see_what_is_suspected_and_honest_ones_do_not(stage: Callable[..., Any]) -> None:
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(8)]
    address = await market.post(buyer, items=90, overlap=8, budget="1000", spec={"consensus": {"method": "auto"}})
    draw = random.Random(5)
    truth = [draw.choice(["cat", "dog", "owl"]) for _ in range(90)]
    coin = [draw.choice(["cat", "dog", "owl"]) for _ in range(90)]
    for number, labeler in enumerate(labelers):
        own = [label if draw.random() < 0.9 else draw.choice(["cat", "dog", "owl"]) for label in truth]
        await market.label(labeler, address, coin if number < 3 else own)
    await market.until_settled(buyer, address, 720)
    copy, honest = [(await one.standing(request=address))["request"] for one in (labelers[0], labelers[5])]
    assert copy["group_size"] == 3
    assert "count together as one" in copy["text"]
    assert "It costs no pay either." in copy["text"], "this request pays every right answer"
    assert "bound that chance does not pass" in copy["text"]
    assert (honest["group_size"], honest["settled"]) == (1, 90)
    assert "You are in no group" in honest["text"]
    for other in labelers:
        assert other.wallet not in copy["text"] + honest["text"]
    stranger = await market.client("labeler", stake="100")
    assert (await stranger.standing(request=address))["request"]["group_size"] == 1


async def test_a_validator_sees_why_it_is_paid_less(stage: Callable[..., Any]) -> None:
    market = await stage()
    for number, judge in ((1, "truth:judge"), (2, "truth:judge"), (3, "accept-valid")):
        await market.start_worker(number, judge=judge)
    await market.until(lambda: all(map(market.connected, market.workers)), what="workers connected")
    buyer = await market.client("buyer")
    labeler = await market.client("labeler", stake="100")
    gold = [{"index": i, "label": {"value": "cat"}} for i in range(0, 72, 6)]
    address = await market.post(buyer, mode="review", items=72, gold=gold, spec={"validation": {"pay": "information"}})
    labels = [("cat", "dog", "cat")[i % 3] for i in range(72)]
    for done in (66, 72):  # workers learn from batches before the one that they sign
        await market.label(labeler, address, labels[:done])
        await market.until_settled(buyer, address, done)
    looks, lazy = [
        (await client.standing(request=address))["request"] for client in (market.clients[0], market.clients[2])
    ]
    assert (looks["pay"], looks["full"], looks["settled"]) == ("information", 1000.0, 72)
    assert looks["weight"] > 50 > lazy["weight"]  # 50 is what newcomers have
    assert "your share is your weight over the weights of all who agreed" in looks["text"]
    assert "Nothing is shown yet" in lazy["text"]
    assert "no strike" in lazy["text"]
    # What each worker found out by itself; two signatures are a quorum, so the third may still be at it.
    await market.until(lambda: "Nothing is shown yet" in market.log(3), what="its weight told")
    told = [market.log(number) for number in (1, 3)]
    assert "Nothing is shown yet" not in told[0]
    assert all("0 of 0 judgements since the last slash" in one for one in told)
    await market.stop_worker(3)
    await market.start_worker(3)
    judged = (await market.clients[2].standing())["strikes"]
    await market.until(
        lambda: f"{judged['strikes']} of {judged['judgements']} judgements" in market.log(3), what="its strikes told"
    )
