"""Labelers: claim, submit, skip, my work, my earnings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from assay.api.problems import METRICS
from assay.api.routing import ADDRESS, HEX32, SIGNATURE, Context, Model, Routes, View
from assay.domain.messages import b58, unb58, unhex
from assay.errors import (
    AlreadyDone,
    AssayError,
    Conflict,
    Forbidden,
    Gone,
    LeaseLost,
    NotFound,
    SignatureInvalid,
    SkipLimit,
)
from assay.services.answers import MAX_BATCH, Submission, Taken
from assay.services.tasks import MAX_CLAIM, Lease

routes = Routes("labelers")

Address = Annotated[str, msgspec.Meta(pattern=ADDRESS)]
Hex32 = Annotated[str, msgspec.Meta(pattern=HEX32)]
Signed = Annotated[
    str, msgspec.Meta(pattern=SIGNATURE, description="Ed25519 over the answer message (docs/protocol.md), base58")
]
Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]


class Claim(Model):
    """How many tasks, and of which request (default: any that fits)."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_CLAIM)] = 1
    request: Address | None = None
    tasks: Annotated[list[Hex32], msgspec.Meta(min_length=1, max_length=MAX_CLAIM)] | None = None


class HandOutView(View):
    """Which hand-out a task came by: the `n`-th of the wallet's walk, line `line` of the request's hand-out log, whose
    sha256 is `head`. Keep it: no other log than one with this line can be shown to you later."""

    walk: int
    n: int
    line: int
    head: str


class LeaseView(View):
    """A task in hand. `domain` and `task` go into the answer message that is to be signed. `hand_out` is null where the
    request lets labelers choose."""

    task: str
    request: str
    domain: str
    index: int
    item: str
    media_type: str
    expires_at: datetime
    hand_out: HandOutView | None


class Leases(View):
    """Tasks in hand; an empty list: there is nothing to do now."""

    tasks: list[LeaseView]


class Content(Model):
    """An answer to the task of the path."""

    content: dict[str, Any]
    signature: Signed


class Answer(Model):
    """An answer to a task."""

    task: Hex32
    content: dict[str, Any]
    signature: Signed


class AnswerBatch(Model):
    """Several answers; each is taken or refused by itself."""

    answers: Annotated[list[Answer], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]


class TakenView(View):
    """A recorded answer. `again`: it had been recorded before, and nothing changed."""

    answer: str
    task: str
    state: str
    again: bool


class BatchResult(View):
    """What became of one answer of a batch: `taken`, or the `problem`."""

    task: str
    taken: TakenView | None = None
    problem: dict[str, Any] | None = None


class BatchResults(View):
    """In the order of the batch."""

    results: list[BatchResult]


class Skip(Model):
    """Tasks to give back for good."""

    tasks: Annotated[list[Hex32], msgspec.Meta(min_length=1, max_length=500)]


class Skipped(View):
    """How many of them were in hand."""

    skipped: int


class AnswerView(View):
    """One of my answers. `verdict` is null until it is judged, then true where it agrees with the label (review: where
    it was accepted); `unpaid`: true, and yet not paid, for the reason that `GET /v1/me/standing` gives; `paid`: base
    units, null until it is settled."""

    answer: str
    request: str
    task: str
    content: Any
    cid: str
    state: str
    verdict: bool | None
    unpaid: bool
    confidence: int | None
    submitted_at: datetime
    decided_at: datetime | None
    batch: int | None
    paid: int | None


class AnswersView(View):
    """Newest first."""

    answers: list[AnswerView]


class AnswersQuery(Model):
    """Of one request only; before a time, to page on."""

    request: Address | None = None
    before: datetime | None = None
    limit: Limit = 100


class BalanceView(View):
    """Tokens of one mint: paid; due once their batch settles; possible if all undecided answers are accepted; owed on
    chain, to be claimed there."""

    mint: str
    paid: str
    due: str
    possible: str
    owed: str


class EarningsView(View):
    """What the signed-in wallet earned. `unpaid`: how many of its `accepted` answers were right and not paid."""

    balances: list[BalanceView]
    answers: int
    accepted: int
    unpaid: int
    rejected: int


class PaymentView(View):
    """What one settled batch paid."""

    request: str
    batch: int
    amount: int
    mint_index: int
    owed: bool
    signature: str
    slot: int
    paid_at: datetime


class PaymentsView(View):
    """Newest first."""

    payments: list[PaymentView]


class PaymentsQuery(Model):
    """Before a time, to page on."""

    before: datetime | None = None
    limit: Limit = 100


async def _leases(context: Context, leases: list[Lease]) -> Leases:
    views = []
    for lease in leases:
        info = await context.market.requests.info(lease.request)
        context.market.answers.learn(lease.task, request=lease.request, index=lease.index)
        views.append(
            LeaseView(
                task=lease.task.hex(),
                request=b58(lease.request),
                domain=(info.domain or b"").hex(),
                index=lease.index,
                item=lease.item,
                media_type=lease.media_type,
                expires_at=lease.expires_at,
                hand_out=_hand_out(lease),
            )
        )
    return Leases(tasks=views)


def _hand_out(lease: Lease) -> HandOutView | None:
    if lease.walk is None or lease.n is None or lease.line is None or lease.head is None:
        return None
    return HandOutView(walk=lease.walk, n=lease.n, line=lease.line, head=lease.head.hex())


def _taken(taken: Taken) -> TakenView:
    return TakenView(answer=taken.answer.hex(), task=taken.task.hex(), state=taken.state, again=taken.again)


@routes.post("/v1/claims", auth=True, errors=(Forbidden, NotFound, Gone, Conflict, SkipLimit))
async def claim(context: Context, body: Claim) -> Leases:
    """Hands out tasks by lot, each under a lease. Naming `tasks` is for requests of open assignment only.

    Who gave back too many without an answer (429, `skip_limit`) has to answer some first.
    """
    leases = await context.market.tasks.claim(
        context.wallet,
        limit=body.limit,
        request=None if body.request is None else unb58(body.request, field="request"),
        tasks=None if body.tasks is None else [unhex(task, field="tasks") for task in body.tasks],
    )
    context.request.app[METRICS].claims.inc(len(leases))
    return await _leases(context, leases)


@routes.get("/v1/work", auth=True)
async def work(context: Context) -> Leases:
    """Tasks that the signed-in wallet holds now."""
    return await _leases(context, await context.market.tasks.held(context.wallet))


@routes.post(
    "/v1/tasks/{task}/answer",
    auth=True,
    status=201,
    errors=(NotFound, SignatureInvalid, AlreadyDone, LeaseLost, Gone),
)
async def submit(context: Context, body: Content) -> TakenView:
    """Answers a task in hand. The very same answer again changes nothing; another one is refused."""
    submission = Submission(context.hash("task"), body.content, unb58(body.signature, size=64, field="signature"))
    taken = await context.market.answers.submit(context.wallet, submission)
    if not taken.again:
        context.request.app[METRICS].answers.inc()
    return _taken(taken)


@routes.post("/v1/answers", auth=True)
async def submit_many(context: Context, body: AnswerBatch) -> BatchResults:
    """Answers several tasks; each answer is taken or refused by itself."""
    results: list[Taken | AssayError | None] = [None] * len(body.answers)
    submissions, places = [], []
    for place, answer in enumerate(body.answers):
        try:
            signature = unb58(answer.signature, size=64, field="signature")
        except AssayError as error:
            results[place] = error
            continue
        submissions.append(Submission(bytes.fromhex(answer.task), answer.content, signature))
        places.append(place)
    if submissions:
        done = await context.market.answers.submit_many(context.wallet, submissions)
        for place, result in zip(places, done, strict=True):
            results[place] = result
    context.request.app[METRICS].answers.inc(sum(isinstance(one, Taken) and not one.again for one in results))
    return BatchResults(
        results=[
            BatchResult(task=answer.task, taken=_taken(result))
            if isinstance(result, Taken)
            else BatchResult(task=answer.task, problem=result.to_problem() if result else None)
            for answer, result in zip(body.answers, results, strict=True)
        ]
    )


@routes.post("/v1/skips", auth=True, errors=(SkipLimit,))
async def skip(context: Context, body: Skip) -> Skipped:
    """Gives tasks back; they are not offered to this wallet again.

    A few of a request are free, more of them a share of its answers: skipping is no way to choose tasks.
    """
    tasks = [unhex(task, field="tasks") for task in body.tasks]
    return Skipped(skipped=await context.market.tasks.skip(context.wallet, tasks))


@routes.get("/v1/answers", auth=True)
async def answers(context: Context, query: AnswersQuery) -> AnswersView:
    """Answers of the signed-in wallet and what became of them."""
    rows = await context.market.answers.of(
        context.wallet,
        request=None if query.request is None else unb58(query.request, field="request"),
        before=query.before,
        limit=query.limit,
    )
    return AnswersView(
        answers=[
            AnswerView(
                answer=row["id"].hex(), request=b58(row["request"]), task=row["task"].hex(), content=row["content"],
                cid=row["cid"], state=row["state"], verdict=row["verdict"], unpaid=row["unpaid"],
                confidence=row["confidence"], submitted_at=row["submitted_at"], decided_at=row["decided_at"],
                batch=row["batch"], paid=row["paid"],
            )
            for row in rows
        ]
    )  # fmt: skip


@routes.get("/v1/earnings", auth=True)
async def earnings(context: Context) -> EarningsView:
    """What the signed-in wallet was paid, is due, and is owed on chain."""
    counts = await context.market.earnings.counts(context.wallet)
    return EarningsView(
        balances=[
            BalanceView(
                mint=balance.mint,
                paid=balance.tokens(balance.paid),
                due=balance.tokens(balance.due),
                possible=balance.tokens(balance.possible),
                owed=balance.tokens(balance.owed),
            )
            for balance in await context.market.earnings.of(context.wallet)
        ],
        answers=counts["answers"],
        accepted=counts["accepted"],
        unpaid=counts["unpaid"],
        rejected=counts["rejected"],
    )


@routes.get("/v1/payments", auth=True)
async def payments(context: Context, query: PaymentsQuery) -> PaymentsView:
    """Payments to the signed-in wallet, each with the transaction that made it."""
    rows = await context.market.earnings.payments(context.wallet, before=query.before, limit=query.limit)
    return PaymentsView(
        payments=[
            PaymentView(
                request=b58(row["request"]), batch=row["batch"], amount=row["amount"], mint_index=row["mint_index"],
                owed=row["owed"], signature=row["signature"], slot=row["slot"], paid_at=row["paid_at"],
            )
            for row in rows
        ]
    )  # fmt: skip
