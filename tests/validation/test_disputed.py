"""A dispute that is won takes the place of a record: of a batch that was proposed, and of tasks not handed out yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from solders.instruction import AccountMeta
from solders.pubkey import Pubkey

from assay.chain import tokens
from assay.chain.ed25519 import signatures_instruction
from assay.chain.instructions import Instructions
from assay.chain.keys import ensure_key
from assay.domain import messages
from assay.errors import ChainUnavailable
from assay.services.proposals import Proposal
from assay.services.settlement import Settler

UNIT = 10**6


class Dispute:
    """The dispute of the first rejection in batch 0 of a request, to its end."""

    def __init__(self, market: Any, labeler: Any, address: str) -> None:
        self.market = market
        self.labeler = labeler
        self.request = Pubkey.from_string(address)
        self.chain = market.market.chain
        self.ix = Instructions(self.chain.program)
        self.operator = ensure_key(market.settings.operator_file)
        self.address = Pubkey.default()

    async def state(self, name: str, address: Pubkey) -> Any:
        account = await self.chain.account(address)
        return self.chain.program.codec.decode_account(bytes(account.data), name=name)

    async def open(self) -> None:
        answers = await self.labeler.answers(request=str(self.request))
        answer = min(one["answer"] for one in answers if one["verdict"] is False and one["batch"] == 0)
        self.address = Pubkey.from_string((await self.labeler.dispute(answer))["dispute"])

    async def correct(self) -> None:
        """Shows the votes behind the rejection, once the dispute is upheld."""
        answer = (await self.state("Dispute", self.address)).answer_id
        async with self.market.market.db.session() as session:
            rows = await session.connection.fetch(
                "select v.voter, v.vote, v.salt from votes v join answers a on a.id = v.answer and a.round = v.round"
                " where a.id = $1 and v.vote is not null order by v.voter", bytes(answer),
            )  # fmt: skip
        votes = [{"voter": Pubkey(row["voter"]), "vote": int(row["vote"]), "salt": row["salt"]} for row in rows]
        step = self.ix.correct_votes(
            dispute=self.address, request=self.request, votes=votes, voters=[vote["voter"] for vote in votes]
        )
        await self.chain.send([step], payer=self.operator)

    async def uphold(self) -> None:
        """Draws its panel, has all of it vote for the labeler, ends it."""
        draw = self.ix.draw_dispute_panel(dispute=self.address, request=self.request)
        await self.chain.send([draw], payer=self.operator)
        seed_slot = (await self.state("Dispute", self.address)).seed_slot
        async with asyncio.timeout(60):
            while await self.chain.slot() <= seed_slot:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await self.chain.send([draw], payer=self.operator)
        dispute = await self.state("Dispute", self.address)
        keys = {key.pubkey(): key for key in self.market.validators}
        panel = [wallet for wallet in dispute.panel if wallet in keys]
        message = messages.dispute(
            domain=bytes((await self.state("Request", self.request)).domain), dispute=bytes(self.address),
            panel_round=dispute.panel_round, upheld=True,
        )  # fmt: skip
        signed = [(wallet, messages.sign(keys[wallet], message)) for wallet in panel]
        vote = self.ix.vote_dispute(dispute=self.address, request=self.request)
        mint = (self.market.market.faucet.mint, tokens.TOKEN)
        seats = [AccountMeta(self.ix.addresses.participant(wallet), False, True) for wallet in panel]
        end = self.ix.end_dispute(
            expired=False, dispute=self.address, request=self.request, labeler=self.labeler.key.pubkey(),
            mint=mint, bond_mint=mint, remaining=seats,
        )  # fmt: skip
        await self.chain.send([signatures_instruction(message, signed), vote], payer=self.operator)
        await self.chain.send([end], payer=self.operator)


async def rejected(market: Any, *, items: int, wrong: int) -> tuple[Any, Any, str, Dispute]:
    """A request by review with rejected answers; buyer, another labeler, its address, the dispute of the first."""
    await market.start_workers(judge="truth:judge")
    buyer = await market.client("buyer")
    first, second = [await market.client("labeler", stake="100") for _ in range(2)]
    address = await market.post(buyer, mode="review", items=items)
    await market.label(first, address, ["dog"] * wrong)  # the judge takes only cats
    await market.until_settled(buyer, address, wrong)
    return buyer, second, address, Dispute(market, first, address)


async def test_a_batch_that_became_impossible_is_proposed_anew(
    stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two records are proposed and signed; before they land a dispute takes the place of one of them."""
    market = await stage(params={"panel_timeout": 5}, sign_timeout=1, batch_records=2, batch_ms=10_000)
    buyer, second, address, dispute = await rejected(market, items=2, wrong=2)
    submit, held = Settler._submit, True

    async def later(*arguments: Any) -> Any:
        if held:
            raise ChainUnavailable("the node is away", retry_after=0)
        return await submit(*arguments)

    monkeypatch.setattr(Settler, "_submit", later)
    request, db = messages.unb58(address), market.market.db

    async def put_back() -> bool:
        return bool((await buyer.progress(address))["tasks_waiting"] == 0)

    await market.until(put_back, what="the rejected task is put back")
    await market.label(second, address, ["cat", "cat"])

    async def proposed() -> bool:
        row = await db.row("batch_by_number", request, 1)
        return row is not None and len(await db.fetch("batch_signatures_of", request, 1, 1)) == 3

    await market.until(proposed, what="batch 1 is signed")
    first = Proposal.of_row(await db.row("batch_by_number", request, 1))
    assert first.records == 2
    await dispute.open()
    await dispute.uphold()
    held = False
    await market.until_settled(buyer, address, 3)
    row = await db.row("batch_by_number", request, 1)
    assert (row["records"], row["state"]) == (1, "settled")
    assert row["panel_round"] >= 2, "who had signed the first content did not sign another under the same round"
    chain = (await buyer.progress(address))["chain"]
    assert (chain["records_done"], chain["paid_labelers"]) == (2, "2")
    assert await market.balance(second) == (5000 - 100 + 1) * UNIT
    report = await market.audit(address)
    assert report.ok, report.finding


async def test_an_open_dispute_keeps_its_place(stage: Callable[..., Any]) -> None:
    """Nobody is handed a task whose record an open dispute may take."""
    market = await stage()
    buyer, second, address, dispute = await rejected(market, items=2, wrong=1)
    await dispute.open()

    async def seen() -> bool:
        async with market.market.db.session() as session:
            query = "select true from chain_events where name = 'DisputeOpened'"
            return bool(await session.connection.fetchval(query))

    await market.until(seen, what="the dispute seen")
    tasks = [bytes.fromhex(one["task"]) for one in await second.tasks(address)]
    (lease,) = await second.claim(limit=2, request=address, tasks=tasks)
    assert await second.claim(limit=1, request=address, tasks=tasks) == []
    await second.submit(lease, {"value": "cat"})
    await market.until_settled(buyer, address, 2)
    await dispute.uphold()
    assert (await buyer.progress(address))["chain"]["records_done"] == 2
    report = await market.audit(address)
    assert report.ok, report.finding


async def test_what_a_dispute_turns_over_counts_where_scores_fade(stage: Callable[..., Any]) -> None:
    """The market's judgements by day come to the counters on chain: the labeler's, the voters', the dispute panel's."""
    market = await stage()
    _, _, _, dispute = await rejected(market, items=2, wrong=1)

    async def table() -> list[tuple[Any, ...]]:
        async with market.market.db.session() as session:
            found = await session.connection.fetch("select * from judgements order by wallet, kind, day")
        return [tuple(row) for row in found]

    async def same() -> bool:
        found = await table()
        people = [await market.market.participants.get(row[0], fresh=True) for row in found]
        return bool(found) and all(one.kinds[row[1]] == row[3:] for one, row in zip(people, found, strict=True))

    await market.until(same, what="the rejections counted")
    labeler = messages.unb58(dispute.labeler.wallet)
    assert {row[0]: row[3:] for row in await table()}[labeler] == (0, 1)
    await dispute.open()
    await dispute.uphold()
    await market.until(same, what="the upheld dispute counted")
    assert {row[0]: row[3:] for row in await table()}[labeler] == (1, 0)
    await dispute.correct()
    await market.until(same, what="the corrected votes counted")
    counted = await table()
    assert {row[3:] for row in counted if row[0] != labeler} == {(1, 1)}, "voted wrong once, on the panel right"
    await market.market.engine.rebuild()
    assert await table() == counted
