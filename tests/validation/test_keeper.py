"""The engine keeps the market: whoever is beyond chance loses stake, whoever signs twice too, and nobody else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from solders.keypair import Keypair

from assay.client import Client
from assay.domain import messages, tally
from assay.errors import Conflict
from assay.services.audit import ChainReader, LogFolder, replay

TOKEN = 10**6


async def slashes(market: Any, client: Client) -> int:
    found = await market.market.participants.find(bytes(client.key.pubkey()), fresh=True)
    return int(found.counters["slashes"])


async def test_a_validator_that_votes_against_the_others_is_slashed(stage: Callable[..., Any]) -> None:
    """Its strikes come from settled batches; the buyer whose answers it misjudged has its share; once is once."""
    market = await stage()
    for number, judge in ((1, "truth:judge"), (2, "truth:judge"), (3, "truth:contrary")):
        await market.start_worker(number, judge=judge)
    await market.until(lambda: all(map(market.connected, market.workers)), what="workers connected")
    honest, villain = market.clients[0], market.clients[2]
    buyer = await market.client("buyer")
    labeler = await market.client("labeler", stake="100")
    address = await market.post(buyer, mode="review", items=24)
    await market.label(labeler, address, ["cat"] * 19)
    await market.until_settled(buyer, address, 19)
    assert await slashes(market, villain) == 0, "fewer than 20 judgements convict nobody"
    await market.label(labeler, address, ["cat"] * 24)
    await market.until_settled(buyer, address, 24)

    async def convicted() -> bool:
        return bool((await villain.standing())["strikes"]["slashed"])

    await market.until(convicted, what="the slash", seconds=60)
    found = (await villain.standing())["strikes"]
    (one,) = found["slashed"]
    assert (one["reason"], one["amount"], found["slashes"]) == ("outlier", "100", 1)
    assert 20 <= one["strikes"] == one["judgements"] <= 24
    assert one["repaid"] == str(one["strikes"]), "the price of each answer misjudged"
    assert "beyond what chance explains" in one["text"]
    owed = (await market.market.participants.find(bytes(buyer.key.pubkey()), fresh=True)).owed[0]
    assert owed == one["strikes"] * TOKEN
    assert (await honest.standing())["strikes"]["slashed"] == []
    assert await slashes(market, honest) == await slashes(market, labeler) == 0
    await market.until(lambda: "slashed" in market.log(3), what="the slash in the worker's log")
    assert "slashed" not in market.log(1)

    keeper = market.market.engine.parts.watch.keeper
    assert keeper.counts == {"slash_outlier": 1}
    assert await keeper.look() == []
    shown = (await villain.call("GET", "/metrics", auth=False, raw=True)).decode()
    assert 'assay_keeper_acts{act="slash_outlier"} 1.0' in shown
    assert 'assay_keeper_slashed{reason="outlier"} 1e+08' in shown

    command = [sys.executable, "-m", "assay", "standing", "--key", str(market.home / "validator3.json")]
    process = await asyncio.create_subprocess_exec(*command, "--api", market.server.url, stdout=asyncio.subprocess.PIPE)
    told = (await process.communicate())[0].decode()
    assert one["text"] in told
    assert one["transaction"] in told
    report = await market.audit(address)
    assert report.ok, report.finding
    assert report.slashes == 1


async def proposal(market: Any, client: Client) -> Any:
    """The one proposal that waits for this validator's signature, once there is one."""

    async def proposed() -> bool:
        return bool((await client.call("GET", "/v1/validator/work"))["proposals"])

    await market.until(proposed, what="a proposal")
    (one,) = (await client.call("GET", "/v1/validator/work"))["proposals"]
    return one


async def signed(
    client: Client, address: str, domain: bytes, *, digest: bytes, by: Client | None = None, panel_round: int = 1
) -> None:
    """Sends a signature of batch 0, in the panel's first round where no other is named."""
    message = messages.batch(domain=domain, batch=0, panel_round=panel_round, digest=digest)
    body = {
        "type": "sign", "request": address, "batch": 0, "panel_round": panel_round, "digest": digest.hex(),
        "signature": messages.sign((by or client).key, message).hex(),
    }  # fmt: skip
    await client.call("POST", "/v1/validator/signatures", body=body)


async def test_two_signatures_are_kept_and_slashed_after_a_restart(stage: Callable[..., Any]) -> None:
    market = await stage(params={"panel_timeout": 600}, keeper=False)
    honest, villain, framed = market.clients[:3]
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3)]
    address = await market.post(buyer, items=1)
    for labeler in labelers:
        await market.label(labeler, address, ["cat"])

    one = await proposal(market, villain)
    domain, digest = bytes.fromhex((await buyer.progress(address))["domain"]), bytes.fromhex(one["digest"])
    made_up = b"\x07" * 32
    with pytest.raises(Conflict, match="another digest"):
        await signed(framed, address, domain, digest=made_up, by=villain)  # not its own signature: no evidence
    for _ in range(2):
        with pytest.raises(Conflict, match="another digest"):
            await signed(villain, address, domain, digest=made_up)
    kept = await market.market.db.fetch("evidence_pairs", 10)
    assert not kept, "one signature proves nothing"
    await signed(villain, address, domain, digest=digest)
    (kept,) = await market.market.db.fetch("evidence_pairs", 10)
    assert kept["validator"] == bytes(villain.key.pubkey())
    for n in (8, 9, 10):  # more of the same is not kept: nobody fills the table
        with pytest.raises(Conflict):
            await signed(villain, address, domain, digest=bytes([n]) * 32)
    for other_round in (0, 2, 2**32 - 1):
        with pytest.raises(Conflict, match="round is 1"):
            await signed(villain, address, domain, digest=made_up, panel_round=other_round)
    assert len(await market.market.db.fetch("evidence_open")) == 2, "nor of rounds in which nobody settles"
    assert len(await market.market.db.fetch("evidence_pairs", 10)) == 2
    assert await slashes(market, villain) == 0

    market.settings = market.settings.model_copy(update={"keeper": True, "port": market.server.port})
    await market.server.stop()
    await market.reopen()

    async def convicted() -> bool:
        return await slashes(market, villain) == 1

    await market.until(convicted, what="the slash", seconds=60)
    found = await market.market.participants.find(bytes(villain.key.pubkey()), fresh=True)
    assert (found.stake, found.unstaking) == (0, 0), "equivocation_bps is 10,000: all of it"
    for other in (honest, framed):
        assert await slashes(market, other) == 0
    await signed(honest, address, domain, digest=digest)
    await market.until_settled(buyer, address, one["answers"])  # the villain's first word about this digest counts
    keeper = market.market.engine.parts.watch.keeper
    assert keeper.counts == {"slash_equivocation": 1}

    async def done_with() -> bool:
        return not await market.market.db.fetch("evidence_open")

    await market.until(done_with, what="the evidence done with")
    await market.market.engine.parts.publisher.publish(messages.unb58(address))
    report = await replay(ChainReader(market.market.chain), LogFolder(market.settings.log_dir))
    assert report.ok, report.finding
    standing = (await villain.standing())["strikes"]["slashed"][0]
    assert (standing["reason"], standing["amount"]) == ("equivocation", "1000")
    assert "two different decisions under one number" in standing["text"]


async def test_a_proposal_that_is_taken_back_leaves_its_signatures(stage: Callable[..., Any]) -> None:
    """Who signed it and then signs the next one under its number has signed twice."""
    market = await stage(params={"panel_timeout": 600}, keeper=False)
    villain = market.clients[1]
    buyer = await market.client("buyer")
    labeler = await market.client("labeler", stake="100")
    address = await market.post(buyer, mode="agreement", items=1, overlap=1)
    await market.label(labeler, address, ["cat"])

    one = await proposal(market, villain)
    domain, digest = bytes.fromhex((await buyer.progress(address))["domain"]), bytes.fromhex(one["digest"])
    await signed(villain, address, domain, digest=digest)
    request = messages.unb58(address)
    assert await market.market.db.value("batch_withdraw", request, 0, digest)
    (row,) = await market.market.db.fetch("evidence_open")
    assert (row["validator"], row["digest"]) == (bytes(villain.key.pubkey()), digest)


async def test_the_keeper_can_be_switched_off(stage: Callable[..., Any]) -> None:
    market = await stage(params={"panel_timeout": 600}, keeper=False)
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert "indexer" in names
    assert "keeper" not in names
    assert market.market.engine.parts.watch.keeper.counts == {}


async def test_who_settles_another_batch_behind_the_markets_back_is_slashed(stage: Callable[..., Any]) -> None:
    """A stranger settles what the market never proposed: who has signed the market's proposal too has signed twice."""
    market = await stage()
    villain = market.clients[0]
    buyer = await market.client("buyer")
    labeler = await market.client("labeler", stake="100")
    address = await market.post(buyer, items=1, overlap=1)
    await market.label(labeler, address, ["cat"])

    async def proposed() -> bool:
        return bool((await villain.call("GET", "/v1/validator/work"))["proposals"])

    await market.until(proposed, what="a proposal")
    request = messages.unb58(address)
    settlement = market.market.engine.parts.settlement
    ours = await settlement.proposals.open(request)
    assert ours is not None
    domain = bytes.fromhex((await buyer.progress(address))["domain"])
    await signed(villain, address, domain, digest=ours.digest)

    view = await settlement.panels.view(request, fresh=True)
    builder = await settlement.builder(view, wallets=[one.wallet for one in ours.tallies])
    theirs = replace(ours, root=b"\x07" * 32)
    digest = tally.digest(
        root=theirs.root, records=theirs.records, judged=theirs.judged, answers=theirs.answers, votes=theirs.votes,
        tallies=theirs.tallies, participant=builder.participant,
    )  # fmt: skip
    theirs = replace(theirs, digest=digest)
    message = messages.batch(domain=domain, batch=0, panel_round=view.panel_round, digest=digest)
    keys = {bytes(key.pubkey()): key for key in market.validators}
    behind = [(wallet, messages.sign(keys[wallet], message)) for wallet in view.panel[:3]]
    stranger = Keypair()
    await market.market.chain.airdrop(stranger.pubkey(), 10**9)
    await market.market.chain.send(builder.settle(theirs, view, behind), payer=stranger, lookup_tables=builder.tables)

    async def convicted() -> bool:
        return await slashes(market, villain) == 1

    await market.until(convicted, what="the slash", seconds=60)
    assert [await slashes(market, one) for one in market.clients[1:3]] == [0, 0], "they signed one of the two"
