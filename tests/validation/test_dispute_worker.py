"""A worker votes on a dispute only as the chain has it, from a seat of its own, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from disputed import Dispute, rejected
from solders.keypair import Keypair

from assay.chain.rpc import RpcChain
from assay.domain import canonical, messages
from assay_validator import disputes
from assay_validator.judge import Work
from assay_validator.link import Link
from assay_validator.requests import Requests
from assay_validator.state import Refused, State
from assay_validator.worker import Worker


class Bench:
    """A worker's parts at a real market, and the work that the market gives a seat of the dispute's panel."""

    def __init__(self, market: Any, dispute: Dispute, key: Keypair, folder: Path) -> None:
        self.market = market
        self.dispute = dispute
        self.key = key
        self.wallet = bytes(key.pubkey())
        self.chain = RpcChain(market.market.rpc_url)
        self.link = Link(key, market.server.url)
        self.state = State(folder / f"{key.pubkey()}.sqlite")
        self.requests = Requests(self.chain, link=self.link, state=self.state)
        self.judged = 0

    async def message(self) -> dict[str, Any]:
        """As the market pushes it to a seat, once it has seen the panel that the chain has drawn."""
        seat, engine = (await self.dispute.state()).panel[0], self.market.market.engine
        await self.market.until(lambda: engine.disputes(seat), what="the panel's work")
        (found,) = await engine.disputes(seat)
        return dict(found)

    async def judge(self, work: Work) -> bool:
        assert work.disputed
        self.judged += 1
        return True

    async def refused(self, **changes: Any) -> Refused:
        """What a worker refuses the work with, changed so."""
        worker = Worker(self.key, link=self.link, chain=self.chain, state=self.state, judge=self.judge)
        with pytest.raises(Refused) as refused:
            await worker._decide({**await self.message(), **changes})
        assert self.judged == 0, "refused before it is judged"
        return refused.value


@pytest.fixture
async def bench(stage: Callable[..., Any], tmp_path: Path) -> Any:
    """An open dispute whose panel is drawn: `bench(key)` is a worker of it; `.market`, `.dispute`."""
    market = await stage(validators=6)
    _, _, _, dispute = await rejected(market, items=3, wrong=2)
    await dispute.open()
    await dispute.until("panel drawn", lambda one: bool(one.panel))
    for number in list(market.workers):
        await market.stop_worker(number)
    made: list[Bench] = []

    async def make(*, seated: bool = True) -> Bench:
        panel = (await dispute.state()).panel
        key = next(key for key in market.validators if (bytes(key.pubkey()) in panel) is seated)
        one = Bench(market, dispute, key, tmp_path)
        await one.link.open()
        made.append(one)
        return one

    yield make
    for one in made:
        await one.link.close()
        await one.chain.close()
        one.state.close()


async def test_what_the_chain_does_not_say_is_refused(bench: Callable[..., Any]) -> None:
    outside = await bench(seated=False)
    assert (await outside.refused()).code == "not_on_panel"
    one = await bench()
    message = await one.message()
    zero = "00" * 32
    request = await one.market.market.requests.account(one.dispute.request)
    spec = await one.market.market.requests.spec(one.dispute.request)
    item = spec.items[message["index"]]
    signed = messages.answer(
        domain=bytes(request.domain), labeler=messages.unb58(message["labeler"]),
        task=messages.task_id(domain=bytes(request.domain), index=message["index"], cid=item.cid),
        content_hash=canonical.digest({"value": "cat"}),
    )  # fmt: skip
    other = messages.sign(one.dispute.labeler.key, signed).hex()  # by its labeler, and not what was rejected
    for code, changes in {
        "unknown_dispute": {"dispute": messages.b58(bytes(Keypair().pubkey()))},
        "wrong_panel": {"panel_round": 2},
        "wrong_answer": {"content": {"value": "cat"}, "signature": other},
        "unknown_task": {"index": 99},
        "wrong_proof": {"confidence": message["confidence"] - 1},
    }.items():
        assert (await one.refused(**changes)).code == code
    for changes in (
        {"digest": zero},
        {"place": message["place"] ^ 1},
        {"place": 1 << 20},
        {"proof": [zero, *message["proof"][1:]]},
        {"proof": message["proof"][1:]},
        {"log_proof": [*message["log_proof"], zero]},
    ):
        assert (await one.refused(**changes)).code == "wrong_proof", changes
    assert one.state.dispute_vote(bytes.fromhex(zero), bytes(one.dispute.address), round=1) is None


async def test_another_labelers_dispute_proves_nothing(bench: Callable[..., Any]) -> None:
    one = await bench()
    message = await one.message()
    seat = await disputes.seat(message, wallet=one.wallet, chain=one.chain, requests=one.requests)
    labeler = messages.unb58(message["labeler"])
    with pytest.raises(Refused, match="another labeler's"):
        disputes.proven(seat, message, task=bytes(32), labeler=labeler, participant=bytes(32))
    participant = one.requests.participant(labeler)
    with pytest.raises(Refused) as refused:
        disputes.proven(seat, message, task=bytes(32), labeler=labeler, participant=participant)
    assert refused.value.code == "wrong_proof"


async def test_the_vote_on_disk_is_the_only_one(bench: Callable[..., Any]) -> None:
    """Killed after it was kept, the worker sends that one, whatever its judge says now."""
    one = await bench()
    message = await one.message()
    domain = bytes((await one.market.market.requests.account(one.dispute.request)).domain)
    address = bytes(one.dispute.address)
    assert one.state.keep_dispute_vote(domain, address, round=1, upheld=False) is False
    assert one.state.keep_dispute_vote(domain, address, round=1, upheld=True) is False, "the first stands"
    worker = Worker(one.key, link=one.link, chain=one.chain, state=one.state, judge=one.judge)
    async with one.link.connected() as incoming:

        async def listen() -> None:
            async for _ in incoming:
                pass

        listening = asyncio.create_task(listen())
        await worker._decide(message)
        await worker._decide(message)
        listening.cancel()
    assert one.judged == 0
    assert (await one.dispute.state()).vote_of(one.wallet) == 2


async def test_an_ended_dispute_is_not_voted_on(bench: Callable[..., Any]) -> None:
    one = await bench()
    message = await one.message()
    for number in range(1, 7):
        await one.market.start_worker(number, judge="truth:patient")
    await one.dispute.uphold()
    with pytest.raises(Refused) as refused:
        await disputes.seat(message, wallet=one.wallet, chain=one.chain, requests=one.requests)
    assert refused.value.code == "dispute_over"
