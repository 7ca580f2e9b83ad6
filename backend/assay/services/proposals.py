"""Proposals: which verdicts are settled together, and the exact bytes that a panel is asked to sign.

A proposal is written down before anybody sees it and never changes: its batch number has one content for good.
Agreement: a task's verdicts are made here, from all of its answers, at the moment they are to be settled; where overlap
is dynamic, a task that they leave in doubt is put back for one more (`Growth`). Review: the verdicts stand
already; here their votes are put together.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from assay.chain.base import Event, Receipt
from assay.db.pool import Session
from assay.domain import batch as batches
from assay.domain import messages, money, votelog, weights
from assay.domain.batch import Batch
from assay.domain.history import History
from assay.domain.spec import Spec
from assay.domain.tally import Role, Tally
from assay.domain.work import Answer, Gold, Task, Vote
from assay.services.growth import TASKS, Growth, answers_of, gold_of, task_of

if TYPE_CHECKING:
    from assay.services.market import Market

REVIEW = 1

Address = Callable[[bytes], bytes]
Room = Callable[[Sequence[bytes]], bool]
"""Whether a transaction has room for these participants."""


@dataclass(frozen=True, slots=True)
class Due:
    """Since when the oldest verdict waits, and how many answers or tasks do, counted up to `TASKS`."""

    since: datetime | None
    waiting: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """A batch as written down. `tasks` is the evidence in the form of `votelog.encode_tasks`."""

    request: bytes
    batch: int
    root: bytes
    digest: bytes
    records: int
    judged: int
    answers: int
    votes: int
    tallies: tuple[Tally, ...]
    body: str

    def message(self, panel_round: int) -> dict[str, Any]:
        """What the panel is shown."""
        return {
            "type": "proposal",
            "request": messages.b58(self.request),
            "batch": self.batch,
            "panel_round": panel_round,
            "root": self.root.hex(),
            "digest": self.digest.hex(),
            "records": self.records,
            "judged": self.judged,
            "answers": self.answers,
            "votes": self.votes,
            "tallies": [{"wallet": messages.b58(one.wallet), "tally": one.pack().hex()} for one in self.tallies],
            "tasks": msgspec.Raw(self.body.encode()),
        }

    def tasks(self) -> tuple[Task, ...]:
        """The evidence, decoded."""
        return votelog.decode_tasks(msgspec.json.decode(self.body))

    @classmethod
    def of_row(cls, row: Any) -> Proposal:
        """A row of the table `batches`."""
        tallies = []
        for wallet, packed in zip(row["participants"], row["tallies"], strict=True):
            tallies.append(Tally(wallet, Role(packed[0]), *struct.unpack("<HHHHI", packed[1:])))
        return cls(
            request=row["request"], batch=row["batch"], root=row["root"], digest=row["digest"],
            records=row["records"], judged=row["judged"], answers=row["answers"], votes=row["votes"],
            tallies=tuple(tallies), body=row["body"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evidence:
    """Tasks to settle, and when the verdict on each answer came to stand, by answer id."""

    tasks: list[Task]
    decided_at: dict[bytes, datetime]


class Proposals:
    """Makes and keeps proposals."""

    def __init__(self, market: Market) -> None:
        self._db = market.db
        self._requests = market.requests
        self._participants = market.participants
        self._growth = Growth(market)
        self._history: dict[bytes, tuple[int, History]] = {}

    async def due(self, request: bytes, *, mode: int, closing: bool) -> Due:
        """What waits to be settled in `request`."""
        if mode == REVIEW:
            row = await self._db.row("due_review", request, TASKS)
        else:
            if closing:
                await self._db.execute("tasks_closing", request, TASKS)
            row = await self._db.row("due_agreement", request, TASKS)
        return Due(row["since"], row["waiting"]) if row is not None else Due(None, 0)

    async def open(self, request: bytes) -> Proposal | None:
        """The request's proposal that is not settled yet."""
        row = await self._db.row("batch_open", request)
        return None if row is None else Proposal.of_row(row)

    async def grow(self, request: bytes, *, batch: int) -> int:
        """Puts tasks that are in doubt back for one more answer, before batch number `batch` is made; how many. Of a
        request whose specification has `more`.
        """
        spec = await self._requests.spec(request)
        history = await self._earlier(request, spec, batch) if spec.learns else None
        return await self._growth.grow(request, spec, history, batch=batch)

    def forget(self, request: bytes) -> None:
        """The request has ended."""
        self._history.pop(request, None)
        self._growth.forget(request)

    async def make(
        self,
        request: bytes,
        *,
        batch: int,
        participant: Address,
        room: Room,
        budget: Callable[[Batch], bool],
        most: int,
        places: int,
    ) -> Proposal | None:
        """Puts the next batch together and writes it down; None when nothing is due or nothing fits the budget.

        `places`: records that the request still wants. Answers accepted beyond them wait: what is rejected goes on.
        Raises nothing when another settler was first: then its proposal is what is open.
        """
        spec = await self._requests.spec(request)
        history = await self._earlier(request, spec, batch) if spec.learns else None
        try:
            async with self._db.transaction() as tx:
                row = await tx.row("request_for_settlement", request)
                if row is None or row["domain"] is None:
                    return None
                gold = gold_of(row["gold"])
                if row["mode"] == REVIEW:
                    evidence = await _review(tx, row, gold, room, most, places)
                else:
                    ready = await self._growth.ready(tx, row, batch) if spec.more is not None else None
                    evidence = await _agreement(tx, row, gold, room, most, ready)
                if spec.weighs and history is not None:
                    await self._weigh(spec, evidence, history, request=request, batch=batch)
                made = self._fit(spec, row["domain"], evidence, budget, participant, history)
                if made is None:
                    return None
                tasks, found = made
                proposal = _proposal(request, batch, tasks, found, participant)
                await _keep(tx, proposal, found, evidence)
                return proposal
        except asyncpg.UniqueViolationError:
            return await self.open(request)

    async def withdraw(self, proposal: Proposal) -> None:
        """Takes back a proposal that the program will never take, so that what it settles can be proposed anew under
        its number. Only of a request by review: there the verdicts stand without it.
        """
        async with self._db.transaction() as tx:
            if await tx.value("batch_withdraw", proposal.request, proposal.batch, proposal.digest):
                await tx.execute("answers_unbatched", proposal.request, proposal.batch)
                await tx.execute("records_unbatched", proposal.request, proposal.batch)

    async def _weigh(self, spec: Spec, evidence: Evidence, history: History, *, request: bytes, batch: int) -> None:
        """Names with each answer its labeler's counters: those of earlier batches, else what the chain says now."""
        new = weights.newcomers(evidence.tasks, history.counters)
        now = await self._participants.judged(new, kind=spec.kind_number, request=request, batch=batch)
        evidence.tasks[:] = weights.put(evidence.tasks, {**history.counters, **now})

    async def _earlier(self, request: bytes, spec: Spec, batch: int) -> History:
        """All earlier batches, for a specification that learns from them."""
        upto, history = self._history.get(request, (0, History(spec)))
        if upto > batch:
            upto, history = 0, History(spec)
        for row in await self._db.fetch("batches_between", request, upto, batch):
            history.add(Proposal.of_row(row).tasks())
        self._history[request] = (batch, history)
        await asyncio.to_thread(history.ready)
        if (learn := history.prepare()) is not None:
            asyncio.get_running_loop().run_in_executor(None, learn)
        return history

    @staticmethod
    def _fit(
        spec: Spec,
        domain: bytes,
        evidence: Evidence,
        budget: Callable[[Batch], bool],
        participant: Address,
        history: History | None,
    ) -> tuple[list[Task], Batch] | None:
        """The most of the evidence that the escrow can pay: all of it, or halves until it fits."""
        tasks = evidence.tasks
        while tasks:
            found = batches.assemble(spec, domain=domain, tasks=tasks, participant=participant, history=history)
            if budget(found):
                return tasks, found
            tasks = tasks[: len(tasks) // 2]
        return None


async def _agreement(
    tx: Session, row: Any, gold: dict[int, Gold], room: Room, most: int, ready: Collection[bytes] | None
) -> Evidence:
    """Tasks by agreement that are due, with those of their answers that one transaction has room for."""
    due = await tx.fetch("tasks_due", row["address"], TASKS)
    if ready is not None:
        due = [task for task in due if task["id"] in ready]
    by_task = await answers_of(tx, due)
    chosen: list[bytes] = []
    full: set[bytes] = set()
    count = 0
    evidence = Evidence([], {})
    for task in due:
        answers = by_task[task["id"]]
        waiting = [answer for answer in answers if answer["batch"] is None]
        for answer in waiting:
            if answer["labeler"] not in chosen and answer["labeler"] not in full:
                if room([*chosen, answer["labeler"]]):
                    chosen.append(answer["labeler"])
                else:
                    full.add(answer["labeler"])
        now = [answer for answer in waiting if answer["labeler"] in chosen]
        if not now or (count and count + len(now) > most):
            continue
        count += len(now)
        evidence.tasks.append(
            replace(
                task_of(task, answers, gold),
                settles=None if len(now) == len(answers) else frozenset(one["labeler"] for one in now),
                record=len(now) == len(waiting),
            )
        )
        evidence.decided_at.update((one["id"], task["due_at"]) for one in answers)
    return evidence


async def _review(tx: Session, row: Any, gold: dict[int, Gold], room: Room, most: int, places: int) -> Evidence:
    """Answers by review whose verdicts stand, with the votes they rest on."""
    due = await tx.fetch("answers_due", row["address"], min(TASKS, most))
    votes: dict[bytes, list[Vote]] = {}
    rows = await tx.fetch("votes_of_rounds", [one["id"] for one in due], [one["round"] for one in due])
    for vote in rows:
        if vote["vote"] is not None:
            votes.setdefault(vote["answer"], []).append(
                Vote(vote["voter"], vote["round"], int(vote["vote"]), vote["salt"], vote["signature"])
            )
    chosen: list[bytes] = []
    by_index: dict[int, list[Answer]] = {}
    evidence = Evidence([], {})
    for one in due:
        if one["verdict"] and places <= 0:
            continue
        found = tuple(votes.get(one["id"], ()))
        new = [wallet for wallet in (one["labeler"], *(vote.voter for vote in found)) if wallet not in chosen]
        if new and not room([*chosen, *new]):
            continue
        chosen += new
        places -= bool(one["verdict"])
        by_index.setdefault(one["index"], []).append(Answer(one["labeler"], one["content"], one["signature"], found))
        evidence.decided_at[one["id"]] = one["due_at"]
    evidence.tasks.extend(Task(index, tuple(answers), gold.get(index)) for index, answers in by_index.items())
    return evidence


def _proposal(request: bytes, number: int, tasks: Sequence[Task], found: Batch, participant: Address) -> Proposal:
    return Proposal(
        request=request,
        batch=number,
        root=found.root,
        digest=found.digest(participant),
        records=len(found.records),
        judged=found.judged,
        answers=len(found.answers),
        votes=found.votes,
        tallies=found.tallies,
        body=msgspec.json.encode(votelog.encode_tasks(tasks)).decode(),
    )


async def _keep(tx: Session, proposal: Proposal, found: Batch, evidence: Evidence) -> None:
    """Writes the proposal, and marks what it settles."""
    await tx.execute(
        "batch_insert", proposal.request, proposal.batch, proposal.root, proposal.digest, proposal.records,
        proposal.judged, proposal.answers, proposal.votes, [one.wallet for one in proposal.tallies],
        [bytes([one.role]) + one.pack() for one in proposal.tallies], proposal.body,
    )  # fmt: skip
    when = evidence.decided_at
    rows = found.answers
    await tx.execute(
        "answers_batched", [one.answer for one in rows], [one.right for one in rows], [one.unpaid for one in rows],
        [one.confidence for one in rows], [one.evidence for one in rows], [when[one.answer] for one in rows],
        proposal.batch,
    )  # fmt: skip
    await _decide(tx, found, evidence)
    await tx.execute("records_batched", [record.entry.task for record in found.records], proposal.batch)


async def _decide(tx: Session, found: Batch, evidence: Evidence) -> None:
    """The labels of the batch's records."""
    first = {one.task: when for one in found.answers if (when := evidence.decided_at.get(one.answer))}
    await tx.execute(
        "tasks_decide",
        [record.entry.task for record in found.records],
        [record.label for record in found.records],
        [record.entry.label_hash for record in found.records],
        [record.entry.confidence for record in found.records],
        [first[record.entry.task] for record in found.records],
    )


def cost(found: Batch, *, price: int, validation_fee: int, fee_bps: int, premium_bps: int) -> int:
    """The most that a batch can take from the escrow: pay, validation, the market's fee, reserves for rejections."""
    good = sum(one.good - one.units for one in found.tallies if one.role is Role.LABELER)
    bad = sum(one.bad for one in found.tallies if one.role is Role.LABELER)
    paid = money.labeler_pay(good, price, premium_bps)
    reserve = money.labeler_pay(bad, price, premium_bps)
    return paid + found.judged * validation_fee + money.market_fee(paid, fee_bps) + reserve


def settled_event(receipt: Receipt, proposal: Proposal) -> Event | None:
    """The event of this batch's settlement among the receipt's."""
    for event in receipt.events:
        if (
            event.name == "BatchSettled"
            and event.data.batch == proposal.batch
            and bytes(event.data.request) == proposal.request
        ):
            return event
    return None
