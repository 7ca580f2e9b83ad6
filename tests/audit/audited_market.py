"""A small market written by the rules of docs/protocol.md: its events, its accounts and its vote logs.

What the program does with chain data stands in tests/program and tests/e2e; here every byte can be changed, to see that
the auditor notices.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

from solders.keypair import Keypair

from assay.domain import batch, merkle, messages, panel, reputation, spec, tally, votelog, weights, work
from assay.domain.history import History
from assay.domain.tally import Role
from assay.domain.work import Answer, Counters, Task, Vote

PROGRAM = sha256(b"program").digest()
CID = "bafkrei" + "b" * 52
CLASSES = ["cat", "dog", "owl"]
PRICE, FEE = 1_000_000, 40_000
PARAMS = SimpleNamespace(
    min_validator_stake=1000, panel_size=3, quorum_bps=6000, fee_bps=250, dispute_window=60,
    min_labeler_stake=100 * PRICE, slash_bps=1000, equivocation_bps=9000, error_rate=3, slash_policy=0,
)  # fmt: skip


def key(name: str) -> Keypair:
    return Keypair.from_seed(sha256(name.encode()).digest())


def wallet(name: str) -> bytes:
    return bytes(key(name).pubkey())


def participant(address: bytes) -> bytes:
    return sha256(b"participant" + address).digest()


@dataclass
class Request:
    name: str
    spec: spec.Spec
    address: bytes
    domain: bytes
    data: SimpleNamespace
    history: History
    panel: list[Keypair] = field(default_factory=list)
    panel_round: int = 0
    batch: int = 0
    head: bytes = merkle.ZERO
    peaks: merkle.Mountains = field(default_factory=merkle.Mountains)
    log: list[bytes] = field(default_factory=list)
    account: SimpleNamespace = field(default_factory=SimpleNamespace)


class World:
    """A reader and logs at once. `stake` registers, `post` a request, `draw` its panel, `settle` a batch."""

    program = PROGRAM

    def __init__(self) -> None:
        self.chain: list[SimpleNamespace] = []
        self.requests: dict[bytes, Request] = {}
        self.validators: list[panel.Candidate] = []
        self.counters: dict[bytes, list[int]] = {}
        self.participants: dict[bytes, SimpleNamespace] = {}
        self.slot = 1
        self.shown: list[tuple[bytes, bytes, bytes]] = []
        self.emit("MarketInitialized", params=PARAMS)
        for i in range(6):
            self.register(f"labeler {i}", Role.LABELER, 100)
        for i in range(5):
            self.register(f"validator {i}", Role.VALIDATOR, 1000 * (i + 1))
        self.register("buyer", Role.BUYER, 0)

    # --- what the auditor reads ---

    async def events(self) -> AsyncIterator[SimpleNamespace]:
        for event in self.chain:
            yield event

    async def request(self, address: bytes) -> Any:
        return self.requests[address].account

    async def escrow(self, request: bytes) -> int:
        one = self.requests[request].account
        return int(one.locked - one.paid_labelers - one.paid_validators - one.fees_collected - one.refunded)

    async def reputation(self, wallet: bytes) -> Any:
        return self.participants.get(wallet)

    def participant(self, address: bytes) -> bytes:
        return participant(address)

    async def evidence(self, signature: str) -> list[tuple[bytes, bytes, bytes]]:
        return self.shown

    def lines(self, request: str) -> Iterator[bytes] | None:
        one = self.requests[messages.unb58(request)]
        return iter(one.log) if one.log else None

    # --- what happens ---

    def emit(self, name: str, **data: Any) -> str:
        self.slot += 1
        signature = messages.b58(sha256(f"{name}{len(self.chain)}".encode()).digest() * 2)
        event = SimpleNamespace(name=name, data=SimpleNamespace(**data), slot=self.slot, signature=signature)
        self.chain.append(event)
        return signature

    def register(self, name: str, role: Role, stake: int) -> None:
        address = wallet(name)
        self.emit("Registered", wallet=address, participant=participant(address), role=int(role))
        if stake:
            self.emit("Staked", participant=participant(address), amount=stake, stake=stake)
        if role is Role.VALIDATOR:
            self.validators.append(panel.Candidate(address, stake, self.slot))

    def post(self, name: str = "request", *, premiums: tuple[int, ...] = (0, 0, 0, 0), **changes: Any) -> Request:
        document: dict[str, Any] = {
            "title": name,
            "instructions": "Which animal is it?",
            "kind": "choice",
            "schema": {"classes": CLASSES},
            "mode": "review",
            "overlap": 1 if changes.get("mode", "review") == "review" else 3,
            "assignment": "open",
            "items": [{"cid": CID, "media_type": "image/png"}] * 40,
        }
        asked = spec.parse(document | changes)
        address = sha256(name.encode()).digest()
        domain = messages.request_domain(program=PROGRAM, request=address, slot_hash=bytes(32))
        data = SimpleNamespace(
            request=address, buyer=wallet("buyer"), id=1, domain=domain, spec_hash=asked.hash,
            terms=SimpleNamespace(params=PARAMS, premium_bps=premiums), mint_index=0, mode=asked.mode_number,
            kind=asked.kind_number, min_tier=0, overlap=asked.max_overlap, records=40, price=PRICE, validation_fee=FEE,
            deadline=10**9, locked=10**9, at=0,
        )  # fmt: skip
        self.emit("RequestPosted", **vars(data))
        made = Request(name, asked, address, domain, data, History(asked))
        made.log.append(votelog.encode_header(votelog.Header(PROGRAM, address, data.buyer, domain, asked)))
        made.account = SimpleNamespace(
            spec_hash=asked.hash, domain=domain, next_batch=0, log_head=merkle.ZERO, panel_round=0, locked=data.locked,
            paid_labelers=0, paid_validators=0, fees=0, fees_collected=0, refunded=0, records_done=0,
            answers_accepted=0, answers_rejected=0, peaks=[merkle.ZERO] * 32,
        )  # fmt: skip
        self.requests[address] = made
        return made

    def draw(self, request: Request) -> None:
        seed_slot = self.slot + 2
        self.emit("PanelSeeded", request=request.address, seed_slot=seed_slot)
        self.slot = seed_slot
        request.panel_round += 1
        slot_hash = sha256(seed_slot.to_bytes(8, "little")).digest()
        seed = messages.panel_seed(domain=request.domain, panel_round=request.panel_round, slot_hash=slot_hash)
        drawn = panel.draw(
            self.validators, seed=seed, seats=3, seed_slot=seed_slot, buyer=wallet("buyer"), min_stake=1000
        )
        by_wallet = {wallet(f"validator {i}"): key(f"validator {i}") for i in range(9)}
        request.panel = [by_wallet[one] for one in drawn]
        request.account.panel_round = request.panel_round
        self.emit(
            "PanelDrawn", request=request.address, round=request.panel_round, from_=request.batch,
            slot_hash=slot_hash, seed=seed, panel=drawn, at=0,
        )  # fmt: skip

    def answer(self, request: Request, index: int, name: str, value: Any, votes: list[int] | None = None) -> Answer:
        task = messages.task_id(domain=request.domain, index=index, cid=CID)
        made = Answer(wallet(name), request.spec.answer({"value": value}), b"")
        message = messages.answer(
            domain=request.domain, task=task, labeler=made.labeler, content_hash=made.content_hash
        )
        made = replace(made, signature=messages.sign(key(name), message))
        revealed = []
        for voter, vote in zip(request.panel, votes or [], strict=False):
            revealed.append(self.vote(request, index, made, voter, vote))
        return replace(made, votes=tuple(revealed))

    def weigh(self, request: Request, tasks: list[Task], **named: Counters) -> list[Task]:
        """As the settler does; `named`: counters that it makes up, by labeler's name."""
        found = {}
        for one in weights.newcomers(tasks, request.history.counters):
            person = self.participants.get(one)
            count = None if person is None else person.kinds[request.spec.kind_number]
            found[one] = (0, 0) if count is None else (count.good, count.bad)
        made_up = {wallet(name.replace("_", " ")): counters for name, counters in named.items()}
        return weights.put(tasks, {**found, **request.history.counters, **made_up})

    def vote(
        self, request: Request, index: int, answer: Answer, voter: Keypair, vote: int = 1, *, round: int = 0
    ) -> Vote:
        """A vote on an answer to task `index`, signed."""
        task = messages.task_id(domain=request.domain, index=index, cid=CID)
        answer_id = answer.id(domain=request.domain, task=task)
        one = Vote(bytes(voter.pubkey()), round, vote, sha256(bytes(voter) + answer_id).digest(), b"")
        commitment = one.commitment(domain=request.domain, answer=answer_id)
        commit = messages.commit(
            domain=request.domain, answer=answer_id, round=round, voter=one.voter, commitment=commitment
        )
        return replace(one, signature=messages.sign(voter, commit))

    def settle(self, request: Request, tasks: list[Task], *, signers: int = 3) -> None:
        if request.spec.weighs and all(answer.counters is None for task in tasks for answer in task.answers):
            tasks = self.weigh(request, tasks)
        made = batch.assemble(
            request.spec, domain=request.domain, tasks=tasks, history=request.history, participant=participant
        )
        digest = made.digest(participant)
        message = messages.batch(
            domain=request.domain, batch=request.batch, panel_round=request.panel_round, digest=digest
        )
        signatures = tuple((bytes(one.pubkey()), messages.sign(one, message)) for one in request.panel[:signers])
        paid = self.pay(request, made, signatures)
        leaf = merkle.batch_leaf(batch=request.batch, root=made.root, at=self.slot, digest=digest)
        request.head = merkle.next_head(request.head, leaf)
        request.peaks.append(leaf)
        account = request.account
        account.next_batch += 1
        account.log_head = request.head
        account.peaks = list(request.peaks.peaks)
        account.paid_labelers += paid.paid_labelers
        account.paid_validators += paid.paid_validators
        account.fees += paid.fee
        account.records_done += len(made.records)
        account.answers_accepted += sum(entry.right for entry in made.answers)
        account.answers_rejected += sum(not entry.verdict for entry in made.answers)
        for one in made.tallies:
            person = self.participants.setdefault(
                one.wallet,
                SimpleNamespace(
                    accepted=0, rejected=0, agreed=0, disagreed=0, gold_passed=0, gold_failed=0,
                    kinds=[SimpleNamespace(good=0, bad=0) for _ in range(8)],
                ),
            )  # fmt: skip
            person.kinds[request.spec.kind_number].good += one.good
            person.kinds[request.spec.kind_number].bad += one.bad
            names = ("accepted", "rejected") if one.role is Role.LABELER else ("agreed", "disagreed")
            for name, count in zip((*names, "gold_passed", "gold_failed"),
                                   (one.good, one.bad, one.gold_passed, one.gold_failed), strict=True):  # fmt: skip
                setattr(person, name, getattr(person, name) + count)
        due = dict(paid.labelers)
        shares = dict(paid.validators)
        amounts = [due.get(one.wallet, shares.get(one.wallet, 0)) for one in made.tallies]
        if request.spec.mode == "agreement":
            amounts += [amount for _, amount in paid.validators]
        rejected = sum(not entry.verdict for entry in made.answers)
        reserved = rejected * (PRICE + PRICE * max(request.data.terms.premium_bps) // 10_000)
        at = self.slot
        transaction = self.emit(
            "BatchSettled", request=request.address, batch=request.batch, panel_round=request.panel_round,
            root=made.root, digest=digest, log_head=request.head, records=len(made.records), judged=made.judged,
            answers=len(made.answers), votes=made.votes, paid_labelers=paid.paid_labelers,
            paid_validators=paid.paid_validators, fee=paid.fee, reserved=reserved, records_done=account.records_done,
            payments=[SimpleNamespace(amount=amount, owed=0) for amount in amounts], at=at,
        )  # fmt: skip
        line = votelog.Line(
            request.batch, request.panel_round, tuple(tasks), len(made.records), made.judged, len(made.answers),
            made.votes, made.root, digest, made.tallies, signatures, messages.unb58(transaction, size=64), at,
        )  # fmt: skip
        request.log.append(votelog.encode_batch(line))
        request.batch += 1
        request.history.add(tasks)

    def pay(self, request: Request, made: batch.Batch, signatures: tuple[tuple[bytes, bytes], ...]) -> tally.Payments:
        premiums = {}
        for one in made.tallies:
            if one.role is Role.LABELER:
                counter = self.counters.setdefault(one.wallet, [0, 0])
                premiums[one.wallet] = request.data.terms.premium_bps[reputation.tier(*counter)]
                counter[0] += one.good
                counter[1] += one.bad
        return tally.payments(
            made.tallies,
            judged=made.judged,
            price=PRICE,
            validation_fee=FEE,
            fee_bps=PARAMS.fee_bps,
            premiums=premiums,
            cosigners=[one for one, _ in signatures] if request.spec.mode == "agreement" else None,
        )

    def close(self, request: Request) -> None:
        account = request.account
        spent = account.paid_labelers + account.paid_validators + account.fees
        account.refunded = account.locked - spent
        self.emit("RequestClosed", request=request.address, refund=account.refunded, owed=0,
                  refunded=account.refunded, held=0, at=self.slot)  # fmt: skip


def gold(labels: dict[int, str]) -> tuple[bytes, dict[int, work.Gold]]:
    return work.commit_gold((index, {"value": value}, bytes([index]) * 32) for index, value in labels.items())
