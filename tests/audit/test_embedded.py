"""The auditor on the real program: a market of two requests in the embedded chain, settled and closed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain import EmbeddedChain, setup
from assay.chain.ed25519 import signatures_instruction
from assay.chain.instructions import Instructions
from assay.chain.tokens import TOKEN, associated_address
from assay.domain import batch, canonical, messages, spec, votelog
from assay.domain.tally import Tally
from assay.domain.work import Answer, Task, Vote
from assay.services.audit import ChainReader, LogFolder, Report, replay

UNIT = 1_000_000
CID = "bafkrei" + "c" * 52
PARAMS: dict[str, Any] = {
    "min_labeler_stake": 100 * UNIT, "min_validator_stake": 500 * UNIT, "dispute_bond": 5 * UNIT,
    "unstake_window": 7 * 86_400, "dispute_window": 3 * 86_400, "grace": 3_600, "panel_timeout": 600,
    "panel_term": 1_000, "fee_bps": 250, "quorum_bps": 6_666, "slash_bps": 1_000, "equivocation_bps": 5_000,
    "panel_size": 3, "error_rate": 3, "slash_policy": 0,
}  # fmt: skip


def key(name: str) -> Keypair:
    return Keypair.from_seed(sha256(name.encode()).digest())


class Market:
    """What the services do, by hand: one real transaction each."""

    def __init__(self, chain: EmbeddedChain, logs: Path) -> None:
        self.chain = chain
        self.logs = logs
        self.ix = Instructions(chain.program)
        self.mint = key("mint")
        self.operator = key("operator")
        self.validators = [key(f"validator {i}") for i in range(5)]
        self.labelers = [key(f"labeler {i}") for i in range(3)]
        self.buyer = key("buyer")

    def participant(self, wallet: bytes) -> bytes:
        return bytes(self.ix.addresses.participant(Pubkey(wallet)))

    async def start(self) -> None:
        await self.chain.airdrop(self.operator.pubkey(), 10**11)
        await setup.initialize(self.chain, authority=self.operator, mint=self.mint, params=PARAMS)
        await self.join(self.buyer, role=1, stake=0)
        for wallet in self.labelers:
            await self.join(wallet, role=2, stake=100 * UNIT)
        for i, wallet in enumerate(self.validators):
            await self.join(wallet, role=3, stake=500 * UNIT * (i + 1))

    async def join(self, wallet: Keypair, *, role: int, stake: int) -> None:
        me, mint = wallet.pubkey(), self.mint.pubkey()
        await setup.fund_wallet(
            self.chain, me, payer=self.operator, lamports=10**9, mint=mint, amount=stake or 1000 * UNIT
        )
        ata = associated_address(me, mint)
        steps = [
            self.ix.register(payer=me, wallet=me, role=role),
            self.ix.set_payout(wallet=me, mint=mint, payout=ata),
        ]
        if stake:
            steps.append(self.ix.stake(wallet=me, mint=mint, source=ata, token_program=TOKEN, amount=stake))
        await self.chain.send(steps, payer=wallet)

    async def state(self, request: Pubkey) -> Any:
        account = await self.chain.account(request)
        assert account is not None
        return self.chain.program.codec.decode_account(account.data, name="Request")

    async def post(self, request_id: int, asked: spec.Spec, **changes: Any) -> Pubkey:
        me, mint = self.buyer.pubkey(), self.mint.pubkey()
        args = {
            "spec_hash": asked.hash, "amount": 400 * UNIT, "price": UNIT, "validation_fee": UNIT // 25,
            "deadline": (await self.chain.clock()).unix_timestamp + 86_400, "records": len(asked.items),
            "overlap": asked.max_overlap, "premium_bps": [0, 0, 0, 0], "mode": asked.mode_number,
            "kind": asked.kind_number, "min_tier": 0, **changes,
        }  # fmt: skip
        source = associated_address(me, mint)
        posted = self.ix.post_request(
            buyer=me, request_id=request_id, mint=mint, source=source, token_program=TOKEN, args=args
        )
        await self.chain.send([posted], payer=self.buyer)
        request = self.ix.addresses.request(me, request_id)
        header = votelog.Header(
            bytes(self.chain.program.id), bytes(request), bytes(me), bytes((await self.state(request)).domain), asked
        )
        self.logs.mkdir(exist_ok=True)
        (self.logs / f"{request}.jsonl").write_bytes(votelog.encode_header(header))
        return request

    async def draw(self, request: Pubkey) -> list[Keypair]:
        await self.chain.send([self.ix.draw_panel(request=request)], payer=self.operator)
        seed_slot = (await self.state(request)).seed_slot
        async with asyncio.timeout(30):
            while await self.chain.slot() <= seed_slot:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await self.chain.send([self.ix.draw_panel(request=request)], payer=self.operator)
        state = await self.state(request)
        by_wallet = {wallet.pubkey(): wallet for wallet in self.validators}
        return [by_wallet[wallet] for wallet in state.panel[: state.panel_count]]

    async def settle(self, request: Pubkey, asked: spec.Spec, tasks: list[Task], panel: list[Keypair]) -> None:
        state = await self.state(request)
        made = batch.assemble(asked, domain=bytes(state.domain), tasks=tasks, participant=self.participant)
        digest = made.digest(self.participant)
        message = messages.batch(
            domain=bytes(state.domain), batch=state.next_batch, panel_round=state.panel_round, digest=digest
        )
        signed = [(wallet, messages.sign(wallet, message)) for wallet in panel]
        payees = [one.wallet for one in made.tallies]
        if asked.mode == "agreement":
            payees += [bytes(wallet.pubkey()) for wallet, _ in signed]
        mint = self.mint.pubkey()
        paid = [(Pubkey(self.participant(one)), associated_address(Pubkey(one), mint)) for one in payees]
        args = {
            "batch": state.next_batch, "root": made.root, "records": len(made.records), "judged": made.judged,
            "answers": len(made.answers), "votes": made.votes, "tallies": [numbers(one) for one in made.tallies],
        }  # fmt: skip
        receipt = await self.chain.send(
            [
                signatures_instruction(message, [(wallet.pubkey(), raw) for wallet, raw in signed]),
                self.ix.settle_batch(request=request, mint=mint, token_program=TOKEN, args=args, paid=paid),
            ],
            payer=self.operator,
        )
        line = votelog.Line(
            state.next_batch, state.panel_round, tuple(tasks), len(made.records), made.judged, len(made.answers),
            made.votes, made.root, digest, made.tallies,
            tuple((bytes(wallet.pubkey()), raw) for wallet, raw in signed),
            messages.unb58(receipt.signature, size=64),
            next(event.data.at for event in receipt.events if event.name == "BatchSettled"),
        )  # fmt: skip
        with (self.logs / f"{request}.jsonl").open("ab") as file:
            file.write(votelog.encode_batch(line))

    def answer(
        self, asked: spec.Spec, domain: bytes, index: int, wallet: Keypair, value: str, votes: list[tuple[Keypair, int]]
    ) -> Answer:
        task = messages.task_id(domain=domain, index=index, cid=CID)
        made = Answer(bytes(wallet.pubkey()), asked.answer({"value": value}), b"")
        message = messages.answer(domain=domain, task=task, labeler=made.labeler, content_hash=made.content_hash)
        made = replace(made, signature=messages.sign(wallet, message))
        answer_id, revealed = made.id(domain=domain, task=task), []
        for voter, vote in votes:
            one = Vote(bytes(voter.pubkey()), 0, vote, sha256(bytes(voter) + answer_id).digest(), b"")
            sealed = one.commitment(domain=domain, answer=answer_id)
            commit = messages.commit(domain=domain, answer=answer_id, round=0, voter=one.voter, commitment=sealed)
            revealed.append(replace(one, signature=messages.sign(voter, commit)))
        return replace(made, votes=tuple(revealed))

    async def close(self, request: Pubkey) -> None:
        me, mint = self.buyer.pubkey(), self.mint.pubkey()
        payout = associated_address(me, mint)
        closing = self.ix.close_request(request=request, buyer=me, payout=payout, mint=mint, token_program=TOKEN)
        await self.chain.send([closing], payer=self.operator)

    async def audit(self) -> Report:
        return await replay(ChainReader(self.chain), LogFolder(self.logs))


def numbers(one: Tally) -> dict[str, int]:
    return {name: getattr(one, name) for name in ("good", "bad", "gold_passed", "gold_failed", "units")}


def specification(mode: str) -> spec.Spec:
    return spec.parse(
        {
            "title": "Animals",
            "instructions": "Which?",
            "kind": "choice",
            "schema": {"classes": ["cat", "dog"]},
            "mode": mode,
            "overlap": 1 if mode == "review" else 3,
            "assignment": "open",
            "items": [{"cid": CID, "media_type": "image/png"}] * 10,
        }
    )


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "operator.json").write_text(json.dumps(list(bytes(key("operator")))))
    async with EmbeddedChain(tmp_path, slot_ms=20) as chain:
        made = Market(chain, tmp_path / "log")
        await made.start()
        yield made


async def test_an_address_that_is_used_again_is_no_finding(market: Market) -> None:
    """A buyer may post under the same id once its request is reaped; the log there stays that of the first."""
    reviewed = specification("review")
    request = await market.post(1, reviewed)
    panel = await market.draw(request)
    domain = bytes((await market.state(request)).domain)
    answer = market.answer(reviewed, domain, 0, market.labelers[0], "cat", [(voter, 1) for voter in panel[:2]])
    await market.settle(request, reviewed, [Task(0, (answer,))], panel[:2])
    me, mint = market.buyer.pubkey(), market.mint.pubkey()
    await market.chain.send([market.ix.cancel_request(buyer=me, request=request)], payer=market.buyer)
    await market.chain.advance_clock(PARAMS["grace"] + 1)
    await market.close(request)
    await market.chain.advance_clock(PARAMS["unstake_window"])
    collect = market.ix.collect_fees(request=request, mint=mint, token_program=TOKEN)
    reap = market.ix.reap_request(request=request, buyer=me, mint=mint, token_program=TOKEN)
    await market.chain.send([collect, reap], payer=market.operator)
    path = market.logs / f"{request}.jsonl"
    log = path.read_bytes()
    await market.post(1, reviewed)
    path.write_bytes(log)
    report = await market.audit()
    assert report.finding is None, str(report)
    assert (report.requests, report.batches, report.locked) == (2, 1, {0: 800 * UNIT})


async def test_a_real_market_fits_and_a_changed_log_does_not(market: Market) -> None:
    reviewed, agreed = specification("review"), specification("agreement")
    first = await market.post(1, reviewed)
    panel = await market.draw(first)
    domain = bytes((await market.state(first)).domain)
    ann, bob, cid = market.labelers

    def judged(index: int, wallet: Keypair, value: str, votes: list[int]) -> Task:
        voted = list(zip(panel, votes, strict=False))
        return Task(index, (market.answer(reviewed, domain, index, wallet, value, voted),))

    await market.settle(
        first, reviewed, [judged(0, ann, "cat", [1, 1, 1]), judged(1, bob, "dog", [0, 1, 0])], panel[:2]
    )
    await market.settle(first, reviewed, [judged(1, ann, "cat", [1, 1])], panel)

    second = await market.post(2, agreed)
    other_panel = await market.draw(second)
    other = bytes((await market.state(second)).domain)
    rows = {3: ["cat", "cat", "dog"], 4: ["dog", "dog", "dog"]}
    tasks = [
        Task(
            index,
            tuple(
                market.answer(agreed, other, index, wallet, value, [])
                for wallet, value in zip((ann, bob, cid), row, strict=True)
            ),
        )
        for index, row in rows.items()
    ]
    await market.settle(second, agreed, tasks, other_panel[1:])  # a quorum; three would not fit a packet

    report = await market.audit()
    assert report.finding is None, str(report)
    assert (report.requests, report.batches, report.records, report.answers, report.votes) == (2, 3, 4, 9, 8)
    assert report.paid_labelers == {0: 7 * UNIT}
    assert report.paid_validators == {0: 5 * UNIT // 25}
    assert report.fees == {0: 7 * UNIT * 250 // 10_000}

    await market.chain.send([market.ix.cancel_request(buyer=market.buyer.pubkey(), request=first)], payer=market.buyer)
    await market.chain.advance_clock(PARAMS["grace"] + 1)
    await market.close(first)  # what a dispute may still cost is held back
    closed = await market.audit()
    assert closed.finding is None, str(closed)
    assert closed.refunded == {0: 400 * UNIT - 2 * UNIT - 3 * UNIT // 25 - 50_000 - UNIT}
    await market.chain.advance_clock(2 * PARAMS["dispute_window"])
    await market.close(first)
    swept = await market.audit()
    assert swept.finding is None, str(swept)
    assert swept.refunded[0] == closed.refunded[0] + UNIT

    path = market.logs / f"{first}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    line = canonical.loads(lines[2])
    assert isinstance(line, dict)
    line["tallies"][0]["good"] += 1  # type: ignore[index, call-overload, operator]
    path.write_bytes(b"".join([*lines[:2], canonical.dumps(line) + b"\n"]))
    found = (await market.audit()).finding
    assert found is not None
    assert (found.check, found.request, found.batch) == ("tally", str(first), 1)
