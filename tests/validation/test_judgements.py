"""Judgements by day, from the chain's events: scores that fade, the same after a rebuild, and what they open."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
from solders.keypair import Keypair

from assay.domain import reputation
from assay.domain.messages import b58, unb58
from assay.errors import FieldError, Forbidden
from assay.services.audit import ChainReader, LogFolder
from assay.services.audit.replay import _Auditor
from assay.services.audit.report import Mismatch

CHOICE = 0


async def judged(stage: Callable[..., Any], *, wrong: int = 6) -> tuple[Any, Any, list[Any], str]:
    """A market in which three labelers were judged 24 times, the last of them wrong some times."""
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3)]
    address = await market.post(buyer, items=24)
    for labeler, errors in zip(labelers, (0, 0, wrong), strict=True):
        await market.label(labeler, address, ["dog"] * errors + ["cat"] * (24 - errors))
    await market.until_settled(buyer, address, 72)
    await market.until(lambda: counted(market, 72), what="judgements counted")
    return market, buyer, labelers, address


async def rows(market: Any) -> list[tuple[Any, ...]]:
    async with market.market.db.session() as session:
        found = await session.connection.fetch("select * from judgements order by wallet, kind, day")
    return [tuple(row) for row in found]


async def counted(market: Any, judgements: int) -> bool:
    return sum(good + bad for *_, good, bad in await rows(market)) == judgements


def at(market: Any, day: int) -> None:
    """Makes it another day for the scores."""
    market.market.judgements._day = (math.inf, day)
    market.market.judgements._scores.clear()


async def test_scores_fade_and_a_rebuild_finds_the_same(stage: Callable[..., Any]) -> None:
    market, buyer, labelers, _ = await judged(stage)
    table = await rows(market)
    today = await market.market.judgements.today()
    assert sorted(table) == sorted(
        (unb58(labeler.wallet), CHOICE, today, 24 - bad, bad) for labeler, bad in zip(labelers, (0, 0, 6), strict=True)
    )
    for labeler in labelers:  # what the chain counts, by day
        person = await market.market.participants.get(unb58(labeler.wallet), fresh=True)
        assert [(good, bad) for wallet, _, _, good, bad in table if wallet == person.wallet] == [person.kinds[CHOICE]]

    (fresh,) = (await buyer.participant(labelers[2].wallet))["scores"]
    assert (fresh["kind"], fresh["good"], fresh["bad"]) == ("choice", 18, 6)
    assert (fresh["current_good"], fresh["current_bad"]) == (18, 6)
    assert fresh["current_score"] == fresh["score"] == reputation.score(18, 6)
    at(market, today + 90)
    (half,) = (await labelers[2].standing())["scores"]
    assert (half["good"], half["bad"], half["score"]) == (18, 6, fresh["score"]), "the chain's counters do not fade"
    assert (half["current_good"], half["current_bad"]) == (9, 3)
    assert half["current_score"] == reputation.score(9, 3) < half["score"]
    assert "9 good and 3 bad still count today" in half["current_text"]
    assert f"{half['current_score'] / 100:.2f} %" in half["current_text"]
    path = market.home / "labeler.json"
    path.write_text(json.dumps(list(bytes(labelers[2].key))))
    command = [sys.executable, "-m", "assay", "standing", "--key", str(path), "--api", market.server.url]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert half["current_text"] in (await process.communicate())[0].decode()
    at(market, today + 20 * 90)
    (gone,) = (await labelers[2].standing())["scores"]
    assert (gone["current_good"], gone["current_bad"]) == (0, 0)
    assert gone["current_score"] == reputation.score(0, 0)

    await market.market.engine.rebuild()
    assert await rows(market) == table
    async with market.market.db.session() as session:  # a database of before there was the table
        await session.connection.execute("truncate judgements; delete from cursors where name = 'judgements'")
    await market.market.judgements.begin()
    assert await rows(market) == table
    await market.market.judgements.begin()
    assert await rows(market) == table, "once"


async def test_a_score_opens_a_request(stage: Callable[..., Any]) -> None:
    market, buyer, labelers, _ = await judged(stage)
    newcomer = await market.client("labeler", stake="100")
    today = await market.market.judgements.today()
    assert reputation.score(24, 0) > 8500 > reputation.score(18, 6)
    address = await market.post(buyer, items=3, spec={"limits": {"min_score_bps": 8500}})
    assert (await buyer.progress(address))["request"]["min_score_bps"] == 8500
    assert (await buyer.spec(address))["limits"] == {"lease_seconds": 600, "min_score_bps": 8500}
    score = reputation.score(0, 0)
    with pytest.raises(Forbidden, match=f"85.00 % in choice, this wallet has {score / 100:.2f} %") as refused:
        await newcomer.claim(request=address)
    assert f"{reputation.needed(8500)} right answers in a row" in str(refused.value.hint)
    with pytest.raises(Forbidden, match="asks for a score"):
        await labelers[2].claim(request=address)
    assert await labelers[2].claim() == [], "where none is named, those that it may not have are passed over"
    assert len(await labelers[0].claim(request=address)) == 1
    assert len(await labelers[1].claim()) == 1
    at(market, today + 90)
    with pytest.raises(Forbidden, match="by what still counts of its judgements"):
        await labelers[0].claim(request=address)
    await market.label(newcomer, await market.post(buyer, items=2), ["cat"] * 2)  # others go on
    with pytest.raises(FieldError, match="min_score_bps"):
        await market.post(buyer, items=1, spec={"limits": {"min_score_bps": 9941}})


async def test_the_auditor_recomputes_who_had_the_score(stage: Callable[..., Any]) -> None:
    market, buyer, labelers, _ = await judged(stage)
    gate = {"assignment": "random", "limits": {"min_score_bps": 8500}}
    address = await market.post(buyer, items=4, overlap=2, spec=gate)
    for labeler in labelers[:2]:
        leases = await labeler.claim(limit=4, request=address)
        await labeler.submit_many([(lease, {"value": "cat"}) for lease in leases])
    await market.until_settled(buyer, address, 8)
    parts = market.market.engine.parts
    for request in await market.market.requests.listed(state="open"):
        await parts.publisher.publish(request["address"])
    report = await market.audit(address)
    assert report.finding is None
    assert report.handouts == 2

    # One who would not have been let in: the same hand-outs, of a market that did not ask.
    low = await market.post(buyer, items=4, overlap=1, spec={"assignment": "random"})
    leases = await labelers[2].claim(limit=4, request=low)
    await labelers[2].submit_many([(lease, {"value": "cat"}) for lease in leases])
    await market.until_settled(buyer, low, 4)
    assert (await market.audit(low)).handouts == 3
    auditor = _Auditor(ChainReader(market.market.chain), LogFolder(market.settings.log_dir))
    async for event in auditor.reader.events():
        auditor.take(event)
    header = auditor.requests[unb58(low)].header
    spec = dataclasses.replace(header.spec, min_score=8500)
    auditor.requests[unb58(low)].header = dataclasses.replace(header, spec=spec)
    with pytest.raises(Mismatch, match=r"had a score of \d+ instead of 8500 or more"):
        await auditor.close()


async def test_what_a_dispute_changes_counts_on_the_day_of_its_batch(stage: Callable[..., Any]) -> None:
    """By events as the chain gives them, on a market's own answers and votes."""
    market = await stage()
    for number in (1, 2, 3):
        await market.start_worker(number, judge="truth:judge" if number < 3 else "accept-valid")
    buyer = await market.client("buyer")
    labeler = await market.client("labeler", stake="100")
    address = await market.post(buyer, mode="review", items=1)
    await market.label(labeler, address, ["dog"])
    await market.until_settled(buyer, address, 1)
    await market.until(lambda: counted(market, 4), what="judgements counted")
    validators = [bytes(one.pubkey()) for one in market.validators]

    async def now() -> dict[bytes, tuple[int, int]]:
        return {wallet: (good, bad) for wallet, _, _, good, bad in await rows(market)}

    wallet = unb58(labeler.wallet)
    before = await now()
    assert before == {wallet: (0, 1), validators[0]: (1, 0), validators[1]: (1, 0), validators[2]: (0, 1)}
    (answer,) = await labeler.answers()
    dispute, outsiders = str(Keypair().pubkey()), [Keypair().pubkey() for _ in range(3)]
    seats = [str(one) for one in outsiders] + ["11111111111111111111111111111111"] * 6
    events = [
        ("DisputeOpened", {"dispute": dispute, "request": address, "answer_id": answer["answer"], "batch": 0}),
        ("DisputePanelDrawn", {"dispute": dispute, "round": 1, "count": 3, "panel": list(reversed(seats))}),
        ("DisputeVoted", {"dispute": dispute, "round": 1, "upheld": 0, "dismissed": 1 << 8}),
        ("DisputePanelDrawn", {"dispute": dispute, "round": 2, "count": 3, "panel": seats}),
        ("DisputeVoted", {"dispute": dispute, "round": 2, "upheld": 1, "dismissed": 0}),
        ("DisputeVoted", {"dispute": dispute, "round": 2, "upheld": 3, "dismissed": 4}),
        ("DisputeEnded", {"dispute": dispute, "request": address, "outcome": 1}),
        ("VotesCorrected", {"dispute": dispute, "votes": 3}),
    ]
    take = market.market.judgements.take
    async with market.market.db.transaction() as tx:
        for index, (name, data) in enumerate(events):
            await tx.execute("event_insert", "x" * 64, index, 1, name, data)
            await take(tx, name, data)
        await take(tx, "DisputeEnded", {"dispute": str(Keypair().pubkey()), "request": address, "outcome": 1})
    assert await now() == {
        wallet: (1, 0), validators[0]: (0, 1), validators[1]: (0, 1), validators[2]: (1, 0),
        bytes(outsiders[0]): (1, 0), bytes(outsiders[1]): (1, 0), bytes(outsiders[2]): (0, 1),
    }, b58(wallet)  # fmt: skip
    table = await rows(market)
    assert len({day for _, _, day, _, _ in table}) == 1
    async with market.market.db.session() as session:  # as the disk may give them, the latest first
        await session.connection.execute(
            "create temporary table turned as select * from chain_events order by received_at desc;"
            "truncate chain_events; insert into chain_events select * from turned; drop table turned"
        )
    await market.market.judgements.recount()
    assert await rows(market) == table, "a correction counts after what it corrects"


async def test_a_validator_reads_its_scores_in_its_log(stage: Callable[..., Any]) -> None:
    market = await stage()
    await market.start_workers(judge="accept-valid")
    buyer = await market.client("buyer")
    labeler = await market.client("labeler", stake="100")
    address = await market.post(buyer, mode="review", items=6)
    await market.label(labeler, address, ["cat"] * 6)
    await market.until_settled(buyer, address, 6)
    await market.until(lambda: counted(market, 24), what="judgements counted")
    await market.stop_worker(1)
    await market.start_worker(1)
    await market.until(lambda: "6 good and 0 bad still count today" in market.log(1), what="its score told")
    assert f'"current_score": {reputation.score(6, 0)}' in market.log(1)
