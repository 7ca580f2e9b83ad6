"""Disputes in the running market: panels drawn, workers vote anew, outcomes carried out, over restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from disputed import UNIT, Dispute, rejected
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain.ed25519 import signatures_instruction
from assay.chain.instructions import Instructions
from assay.client import Client
from assay.domain import messages
from assay.errors import AlreadyDone, Conflict, FieldError, Forbidden, NotFound, SignatureInvalid

UPHELD, DISMISSED, LAPSED = 1, 2, 3
BOND = 10 * UNIT


async def person(market: Any, wallet: bytes) -> Any:
    return await market.market.participants.get(wallet, fresh=True)


async def panel_of(market: Any, address: str) -> tuple[bytes, ...]:
    """The request's panel, once it is drawn."""
    panels, request = market.market.engine.parts.panels, messages.unb58(address)

    async def drawn() -> bool:
        return bool((await panels.view(request, fresh=True)).panel)

    await market.until(drawn, what="a panel")
    return tuple((await panels.view(request, fresh=True)).panel)


async def test_a_wrong_rejection_is_turned_over(stage: Callable[..., Any]) -> None:
    """Two of three reject a right answer; a panel of five others upholds the dispute."""
    market = await stage(validators=8)
    buyer, labeler = await market.client("buyer"), await market.client("labeler", stake="100")
    address = await market.post(buyer, mode="review", items=2)
    panel = await panel_of(market, address)
    liars, honest = panel[:2], panel[2]
    for number, key in enumerate(market.validators, 1):
        judge = "truth:contrary" if bytes(key.pubkey()) in liars else "truth:judge"
        await market.start_worker(number, judge=judge)
    await market.until(lambda: all(market.connected(n) for n in market.workers), what="workers connected")
    await market.label(labeler, address, ["cat"])
    await market.until_settled(buyer, address, 1)
    me = messages.unb58(labeler.wallet)
    assert (await person(market, me)).kinds[0] == (0, 1)
    before, held = await market.balance(labeler), await buyer.progress(address)

    dispute = Dispute(market, labeler, address)
    await dispute.open()
    assert await market.balance(labeler) == before - BOND
    end = await dispute.until("upheld and corrected", lambda one: one.state == UPHELD and one.corrected)
    assert len(end.panel) == 5
    assert not set(end.panel) & set(panel), "nobody of the panel that rejected it"
    said = await labeler.disputed(dispute.answer)
    assert (said["state"], said["upheld"], said["dismissed"], said["corrected"]) == ("upheld", 5, 0, True)

    after = await person(market, me)
    assert after.kinds[0] == (1, 0)
    assert after.owed[0] == UNIT + BOND, "paid out of the reserve, and the bond back"
    await labeler.claim_owed()
    assert await market.balance(labeler) == before + UNIT
    chain = (await buyer.progress(address))["chain"]
    assert chain["records_done"] == held["chain"]["records_done"] + 1
    for wallet in liars:
        assert (await person(market, wallet)).kinds[0] == (0, 1), "its vote was wrong"
    assert (await person(market, honest)).kinds[0] == (1, 0), "outvoted, and right"
    for wallet in end.panel:
        assert (await person(market, wallet)).kinds[0] == (1, 0)
    report = await market.audit(address)
    assert report.ok, report.finding


async def test_a_frivolous_dispute_loses_the_bond(stage: Callable[..., Any]) -> None:
    market = await stage()
    _, _, address, dispute = await rejected(market, items=2, wrong=1)
    before = await market.balance(dispute.labeler)
    await dispute.open()
    dispute.decide(uphold=False)
    end = await dispute.until("dismissed", lambda one: one.state == DISMISSED)
    assert end.dismissed.bit_count() == len(end.panel) == 3
    assert await market.balance(dispute.labeler) == before - BOND
    after = await person(market, messages.unb58(dispute.labeler.wallet))
    assert (after.owed[0], after.kinds[0]) == (0, (0, 1))
    report = await market.audit(address)
    assert report.ok, report.finding
    with pytest.raises(AlreadyDone, match="dismissed"):
        await dispute.labeler.dispute(dispute.answer)


async def test_by_agreement_a_minority_answer_is_disputed(stage: Callable[..., Any]) -> None:
    """The majority said dog; the panel's judge takes cats. There are no votes to set right."""
    market = await stage()
    await market.start_workers(judge="truth:judge")
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3)]
    address = await market.post(buyer, items=1)
    for one, label in zip(labelers, ("cat", "dog", "dog"), strict=True):
        await market.label(one, address, [label])
    await market.until_settled(buyer, address, 3)
    dispute = Dispute(market, labelers[0], address)
    await dispute.open()
    await dispute.until("upheld", lambda one: one.state == UPHELD)
    after = await person(market, messages.unb58(labelers[0].wallet))
    assert (after.owed[0], after.kinds[0]) == (UNIT + BOND, (1, 0))
    report = await market.audit(address)
    assert report.ok, report.finding


async def test_engine_and_workers_restart_between_draw_and_vote(stage: Callable[..., Any]) -> None:
    market = await stage()
    _, _, address, dispute = await rejected(market, items=2, wrong=1)
    await dispute.open()
    drawn = await dispute.until("panel drawn", lambda one: bool(one.panel))
    assert (drawn.round, drawn.upheld) == (1, 0)
    await market.server.stop()
    await market.reopen()
    await market.restart_workers()
    labeler = Client(market.server.url, key=dispute.labeler.key)
    dispute.labeler = await labeler.__aenter__()
    market.clients.append(labeler)
    await dispute.uphold()
    await dispute.correct()
    end = await dispute.state()
    assert (end.round, end.panel) == (1, drawn.panel), "the panel that was drawn decided"
    assert (await person(market, messages.unb58(labeler.wallet))).owed[0] == UNIT + BOND
    report = await market.audit(address)
    assert report.ok, report.finding


async def test_what_nobody_decides_lapses_and_is_closed(stage: Callable[..., Any]) -> None:
    """Its three panels are silent: the bond comes back, each of them has a strike, the rent goes to the labeler."""
    market = await stage(params={"panel_timeout": 4, "dispute_window": 16})
    _, _, address, dispute = await rejected(market, items=2, wrong=1)
    before = await market.balance(dispute.labeler)
    await dispute.open()
    await dispute.until("lapsed", lambda one: one.state == LAPSED)
    me = messages.unb58(dispute.labeler.wallet)
    after = await person(market, me)
    assert (after.owed[0], after.kinds[0]) == (BOND, (0, 1))
    assert await market.balance(dispute.labeler) == before - BOND
    for key in market.validators:  # three, so each sat in each panel; the last may not have had its time
        found = await person(market, bytes(key.pubkey()))
        assert found.counters["strikes"] >= 2 or found.counters["slashes"] == 1, "slashed where the rule convicts"
    lamports = (await dispute.labeler.balance())["lamports"]

    async def closed() -> bool:
        return await market.market.rejections.account(dispute.address) is None

    await market.until(closed, what="dispute closed")
    assert (await dispute.labeler.balance())["lamports"] > lamports
    report = await market.audit(address)
    assert report.ok, report.finding


async def test_an_upheld_dispute_whose_votes_are_lost_is_closed_all_the_same(stage: Callable[..., Any]) -> None:
    market = await stage(params={"panel_timeout": 4, "dispute_window": 12})
    _, _, _, dispute = await rejected(market, items=2, wrong=1)
    async with market.market.db.session() as session:
        await session.connection.execute("delete from votes")
    await dispute.open()
    await dispute.uphold()

    async def closed() -> bool:
        return await market.market.rejections.account(dispute.address) is None

    assert not (await dispute.state()).corrected
    await market.until(closed, what="dispute closed")
    assert [(await person(market, bytes(key.pubkey()))).kinds[0][1] for key in market.validators] == [0, 0, 0]


async def vote(client: Client, dispute: Dispute, domain: bytes, outcome: int) -> None:
    """A vote of round 1 over plain HTTP."""
    address = bytes(dispute.address)
    message = messages.dispute(domain=domain, dispute=address, panel_round=1, upheld=outcome == UPHELD)
    body = {
        "type": "dispute_vote", "dispute": str(dispute.address), "panel_round": 1, "outcome": outcome,
        "signature": messages.sign(client.key, message).hex(),
    }  # fmt: skip
    await client.call("POST", "/v1/validator/dispute-votes", body=body)


async def test_who_votes_both_ways_is_slashed(stage: Callable[..., Any]) -> None:
    """One sends both votes to the market; another shows its first on chain itself, and sends the market the other."""
    market = await stage(validators=6)
    _, _, address, dispute = await rejected(market, items=2, wrong=1)
    await dispute.open()
    drawn = await dispute.until("panel drawn", lambda one: bool(one.panel))
    for number in list(market.workers):
        await market.stop_worker(number)
    domain = bytes((await market.market.requests.account(dispute.request)).domain)
    clients = {bytes(one.key.pubkey()): one for one in market.clients[:6]}
    here, there, *honest = drawn.panel

    async def slashes(wallet: bytes) -> int:
        return int((await person(market, wallet)).counters["slashes"])

    await vote(clients[here], dispute, domain, DISMISSED)
    with pytest.raises(AlreadyDone, match="stands"):
        await vote(clients[here], dispute, domain, UPHELD)

    message = messages.dispute(domain=domain, dispute=bytes(dispute.address), panel_round=1, upheld=True)
    show = Instructions(market.market.chain.program).vote_dispute(
        dispute=dispute.address, request=Pubkey(dispute.request)
    )
    shown = signatures_instruction(message, [(Pubkey(there), messages.sign(clients[there].key, message))])
    stranger = Keypair()
    await market.market.chain.airdrop(stranger.pubkey(), 10**9)
    await market.market.chain.send([shown, show], payer=stranger)
    with pytest.raises(AlreadyDone, match="stands"):
        await vote(clients[there], dispute, domain, DISMISSED)

    async def convicted() -> bool:
        return [await slashes(one) for one in (here, there)] == [1, 1]

    await market.until(convicted, what="both slashes")
    for wallet in (here, there):
        found = await person(market, wallet)
        assert (found.stake, found.unstaking) == (0, 0), "equivocation_bps is 10,000: all of it"
    state = await dispute.state()
    assert (state.vote_of(here), state.vote_of(there)) == (DISMISSED, UPHELD), "the first of each stands"
    for wallet in honest:
        await vote(clients[wallet], dispute, domain, UPHELD)
        await vote(clients[wallet], dispute, domain, UPHELD)  # the same again proves nothing
    await dispute.until("upheld and corrected", lambda one: one.state == UPHELD and one.corrected)

    async def done_with() -> bool:
        rows = await market.market.db.fetch("dispute_vote_pairs", 10)
        async with market.market.db.session() as session:
            over = await session.connection.fetch("select validator from dispute_votes where slashed_at is not null")
        return not rows and {row["validator"] for row in over} == {here, there}

    await market.until(done_with, what="the evidence done with")
    assert [await slashes(one) for one in honest] == [0] * len(honest)
    told = (await clients[here].standing())["strikes"]["slashed"][0]
    assert (told["reason"], told["amount"]) == ("equivocation", "1000")
    report = await market.audit(address)
    assert report.ok, report.finding
    assert report.slashes == 2


async def test_votes_are_taken_of_the_panel_alone(stage: Callable[..., Any]) -> None:
    """Over plain HTTP, as a worker of another make would: who may vote, on what, and that the first vote stands."""
    market = await stage(validators=6)
    _, _, address, dispute = await rejected(market, items=2, wrong=1)
    await dispute.open()
    drawn = await dispute.until("panel drawn", lambda one: bool(one.panel))
    assert len(drawn.panel) == 5
    for number in list(market.workers):
        await market.stop_worker(number)
    domain = bytes((await market.market.requests.account(dispute.request)).domain)
    keys = {bytes(key.pubkey()): key for key in market.validators}
    clients = {wallet: await Client(market.server.url, key=key).__aenter__() for wallet, key in keys.items()}
    market.clients.extend(clients.values())
    (outside,) = set(keys) - set(drawn.panel)

    async def vote(wallet: bytes, outcome: int, **changes: Any) -> None:
        signer = keys[changes.pop("signer", wallet)]
        message = messages.dispute(
            domain=domain, dispute=bytes(dispute.address), panel_round=changes.get("panel_round", 1),
            upheld=outcome == UPHELD,
        )  # fmt: skip
        body = {
            "type": "dispute_vote", "dispute": str(dispute.address), "panel_round": 1, "outcome": outcome,
            "signature": messages.sign(signer, message).hex(), **changes,
        }  # fmt: skip
        await clients[wallet].call("POST", "/v1/validator/dispute-votes", body=body)

    assert (await clients[outside].call("GET", "/v1/validator/work"))["disputes"] == []
    first, second, *rest = drawn.panel

    async def offered() -> bool:  # the chain knows the panel a moment before the market has looked
        return bool((await clients[first].call("GET", "/v1/validator/work"))["disputes"])

    await market.until(offered, what="the panel's work")
    (told,) = (await clients[first].call("GET", "/v1/validator/work"))["disputes"]
    assert (told["dispute"], told["answer"], told["panel_round"]) == (str(dispute.address), dispute.answer, 1)
    with pytest.raises(Forbidden, match="not on the dispute's panel"):
        await vote(outside, UPHELD)
    with pytest.raises(SignatureInvalid):
        await vote(first, UPHELD, signer=second)
    with pytest.raises(Conflict, match="round 1 is in office"):
        await vote(first, UPHELD, panel_round=2)
    with pytest.raises(NotFound, match="no dispute"):
        await vote(first, UPHELD, dispute=address)
    with pytest.raises(FieldError):
        await vote(first, 3)
    await vote(first, DISMISSED)
    await vote(first, DISMISSED)  # sent twice
    with pytest.raises(AlreadyDone, match="stands"):
        await vote(first, UPHELD)
    assert (await dispute.state()).vote_of(first) == DISMISSED, "on chain when it was answered"
    assert (await clients[first].call("GET", "/v1/validator/work"))["disputes"] == []
    for wallet in (second, *rest):
        await vote(wallet, UPHELD)
    await dispute.until("upheld and corrected", lambda one: one.state == UPHELD and one.corrected)
    rejecting = await panel_of(market, address)
    for wallet in drawn.panel:
        wrong = int(wallet in rejecting) + int(wallet == first)
        assert (await person(market, wallet)).kinds[0] == (int(wallet != first), wrong), "the dissenter has the strike"
    report = await market.audit(address)
    assert report.ok, report.finding
