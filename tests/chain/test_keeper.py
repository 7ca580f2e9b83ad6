"""The keeper against the real program: who is slashed and who is not, and how a request ends, on each chain."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain import EmbeddedChain
from assay.chain.lookup import LookupTables
from assay.chain.rpc_server import RpcServer
from assay.domain import messages
from assay.domain.equivocation import Proof
from assay.errors import FieldError, SignatureInvalid
from assay.services.keeper import Keeper

UNIT = 1_000_000


class Scene:
    """A request with a panel, a labeler who is always wrong and one who is always right."""

    def __init__(self, market: Any) -> None:
        self.market = market

    async def begin(self, *, request_id: int) -> Scene:
        market = self.market
        self.buyer = await market.join(1, tokens=500 * UNIT)
        self.wrong = await market.join(2, stake=100 * UNIT)
        self.right = await market.join(2, stake=100 * UNIT)
        validators = {v.pubkey(): v for v in [await market.join(3, stake=600 * UNIT) for _ in range(3)]}
        self.request = await market.post(self.buyer, request_id=request_id)
        self.state = await market.draw(self.request, self.buyer)
        members = self.state.panel[: self.state.panel_count]
        self.panel = [validators[wallet] for wallet in members if wallet in validators]
        if len(self.panel) < 3:
            pytest.skip("validators of another test are on the panel")
        return self

    async def judged(self, *, bad: int, good: int = 20) -> None:
        """A batch: `bad` rejected answers of one labeler, `good` accepted ones of the other."""
        count = bad + good
        tallies = {self.wrong.pubkey(): (0, bad, 0), self.right.pubkey(): (good, 0, 0)}
        tallies |= {v.pubkey(): (count, 0, count * 2520 // 3) for v in self.panel}
        state = await self.market.state("Request", self.request)
        steps = self.market.settlement(self.request, state, tallies, self.panel)
        tables = LookupTables(self.market.chain, self.buyer)
        cover = await tables.cover(meta.pubkey for step in steps for meta in step.accounts)
        await self.market.chain.send(steps, payer=self.buyer, lookup_tables=cover)

    async def person(self, wallet: Keypair) -> Any:
        return await self.market.state("Participant", self.market.ix.addresses.participant(wallet.pubkey()))

    def proof(self, signer: Keypair, *, by: Keypair | None = None) -> Proof:
        """Two digests under one number, signed by `by` (default: `signer` itself)."""
        first, second = (
            messages.batch(domain=bytes(32), batch=0, panel_round=1, digest=bytes([n]) * 32) for n in (1, 2)
        )
        made = by or signer
        return Proof(
            bytes(signer.pubkey()), first, messages.sign(made, first), second, messages.sign(made, second)
        )  # fmt: skip


def of(dues: list[Any], wallet: Keypair) -> list[Any]:
    """Those about `wallet`: on a validator other tests have left theirs."""
    return [due for due in dues if due.figures.get("wallet") == str(wallet.pubkey())]


async def test_who_is_beyond_chance_is_slashed_once_and_nobody_else(market: Any, wallet: Keypair) -> None:
    scene = await Scene(market).begin(request_id=51)
    keeper, rival = Keeper(market.chain, wallet), Keeper(market.chain, scene.buyer)
    await scene.judged(bad=19)
    assert not of(await keeper.look(), scene.wrong), "fewer than 20 judgements convict nobody"
    await scene.judged(bad=1)
    dues = await keeper.look()
    (due,) = of(dues, scene.wrong)
    assert not of(dues, scene.right)
    assert not any(of(dues, one) for one in scene.panel)
    assert (due.act, due.figures["strikes"], due.figures["judgements"]) == ("slash_outlier", 20, 20)
    assert due.figures["amount"] == 10 * UNIT

    both = await asyncio.gather(keeper.do(due), rival.do(due))  # two keepers at once: the program takes one
    (done,) = [one for one in both if one is not None]
    loss = 20 * UNIT // 25
    assert (done.figures["amount"], done.figures["repaid"]) == (10 * UNIT, loss)
    assert done.fee >= 5000
    assert (await scene.person(scene.buyer)).owed[0] == loss
    slashed = await scene.person(scene.wrong)
    assert (slashed.stake, slashed.slashes, slashed.strikes) == (90 * UNIT, 1, 0)
    assert (await scene.person(scene.right)).slashes == 0
    assert await keeper.do(due) is None
    assert not of(await keeper.look(), scene.wrong)
    assert keeper.counts["slash_outlier"] + rival.counts["slash_outlier"] == 1
    assert keeper.taken[1] + rival.taken[1] == 10 * UNIT


async def test_two_signatures_under_one_number(market: Any, wallet: Keypair) -> None:
    scene = Scene(market)
    villain, honest, right = [await market.join(role, stake=600 * UNIT) for role in (3, 3, 2)]
    keeper = Keeper(market.chain, wallet)
    with pytest.raises(SignatureInvalid, match="first_signature"):
        await keeper.convict(scene.proof(honest, by=villain))
    proof = scene.proof(villain)
    with pytest.raises(FieldError, match="another digest"):
        await keeper.convict(
            Proof(proof.wallet, proof.first, proof.first_signature, proof.first, proof.first_signature)
        )
    assert await keeper.convict(scene.proof(right)) is None, "only validators sign batches"
    assert not await keeper.offence(proof)
    done = await keeper.convict(proof)
    assert done is not None
    assert done.figures["amount"] == 300 * UNIT
    assert await keeper.offence(proof)
    assert await keeper.convict(proof) is None
    assert (await scene.person(villain)).stake == 300 * UNIT
    assert (await scene.person(honest)).stake == 600 * UNIT


async def test_a_request_ends_without_its_buyer(embedded: EmbeddedChain, found_market: Any) -> None:
    """Past its deadline it is ended, refunded, its fees collected, and in the end removed: step by step, each once."""
    chain = embedded
    market = await found_market(chain, grace=1, dispute_window=0, unstake_window=2, fee_bps=200)
    keeper = Keeper(chain, chain.operator)
    scene = await Scene(market).begin(request_id=1)
    await scene.judged(bad=0, good=10)
    assert await keeper.look() == []
    clock = await chain.clock()
    late = await market.join(1, tokens=500 * UNIT)
    await market.post(late, request_id=2, deadline=clock.unix_timestamp + 2)
    done: list[str] = []
    async with asyncio.timeout(60):
        while "reap_request" not in done:
            for one in await keeper.work_off(await keeper.look()):
                assert one.due.subject == bytes(market.ix.addresses.request(late.pubkey(), 2))
                done.append(one.due.act)
            await asyncio.sleep(0.1)
    assert done == ["expire_request", "close_request", "reap_request"]
    assert await market.balance(late) == 500 * UNIT
    assert await chain.account(market.ix.addresses.request(late.pubkey(), 2)) is None

    # One that was worked on has fees, and is evidence until the window of unstaking is over.
    await chain.send([market.ix.cancel_request(buyer=scene.buyer.pubkey(), request=scene.request)], payer=scene.buyer)
    done.clear()
    async with asyncio.timeout(60):
        while "reap_request" not in done:
            done += [one.due.act for one in await keeper.work_off(await keeper.look())]
            await asyncio.sleep(0.1)
    assert done == ["close_request", "collect_fees", "reap_request"]
    assert await market.balance(scene.buyer) == 500 * UNIT - 10 * UNIT - 10 * UNIT // 25 - 10 * UNIT // 50
    assert await keeper.look() == []


async def test_what_is_refused_waits(market: Any) -> None:
    """A payer without SOL: said once, and not tried again at once."""
    scene = await Scene(market).begin(request_id=53)
    await scene.judged(bad=20)
    poor = Keeper(market.chain, Keypair())
    (due,) = of(await poor.look(), scene.wrong)
    assert await poor.work_off([due]) == []
    assert not of(await poor.look(), scene.wrong)
    assert poor.refused == 1


async def test_the_command_looks_and_acts(
    server: RpcServer, embedded: EmbeddedChain, found_market: Any, tmp_path: Path
) -> None:
    market = await found_market(embedded)
    scene = await Scene(market).begin(request_id=1)
    await scene.judged(bad=20)
    payer = tmp_path / "payer.json"
    payer.write_text(json.dumps(list(bytes(scene.buyer))))

    async def run(*options: str) -> str:
        command = [sys.executable, "-m", "assay", "keeper", "--rpc", server.url, "--ws", server.ws_url]
        process = await asyncio.create_subprocess_exec(
            *command, "--key", str(payer), "--once", *options, stdout=asyncio.subprocess.PIPE
        )
        shown = (await process.communicate())[0].decode()
        assert process.returncode == 0
        return shown

    assert "20 strikes of 20 judgements" in await run("--dry-run")
    found = json.loads(await run("--json"))
    (due,), (done,) = found["due"], found["done"]
    assert due["wallet"] == done["wallet"] == str(scene.wrong.pubkey())
    assert (done["act"], done["amount"], done["repaid"]) == ("slash_outlier", 10 * UNIT, 20 * UNIT // 25)
    assert (await scene.person(scene.wrong)).slashes == 1
    assert json.loads(await run("--json")) == {"due": [], "done": []}
    assert await run() == "nothing is due\n"
    assert Pubkey.from_string(due["account"]) == market.ix.addresses.participant(scene.wrong.pubkey())
