"""Requests as everybody sees them: listed, how far each is, its tasks, its live progress."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from assay.api.routing import ADDRESS, Context, Model, Routes, View
from assay.domain import money
from assay.domain.messages import b58, unb58
from assay.errors import NotFound
from assay.services.requests import MODES, STATES, RequestInfo

routes = Routes("requests")

HEARTBEAT = 15.0
QUIET = 0.1  # changes within this time are told together
POLL = 2.0  # what other processes change is seen at the latest after this

Address = Annotated[str, msgspec.Meta(pattern=ADDRESS)]


class RequestView(View):
    """A request. Amounts in tokens. A task gets `first_overlap` answers, where its item names no other number, and one
    more at a time, up to `overlap`, while it is less sure of its label than `confidence_bps` (null: no more).
    `min_score_bps`: the score in its kind of task that a labeler needs to be handed tasks (0: none).
    """

    address: str
    buyer: str
    id: int
    title: str
    state: str
    mode: str
    kind: int
    assignment: str
    min_tier: int
    min_score_bps: int
    overlap: int
    first_overlap: int
    confidence_bps: int | None
    price: str
    validation_fee: str
    records: int
    deadline: int
    created_at: datetime
    posted_at: datetime | None


class Books(View):
    """The request's account on chain, in tokens. `refundable`: what a close would give back now."""

    locked: str
    paid_labelers: str
    paid_validators: str
    fees: str
    reserved: str
    refunded: str
    refundable: str
    records_done: int
    answers_accepted: int
    answers_rejected: int
    next_batch: int
    log_head: str
    state: str


class Progress(View):
    """How far it is. `chain` is null before the posting. `tasks_waiting` had their answers rejected, and there is no
    money to pay another: they wait for a top-up, or the end of the reserves for disputes. `unpaid`: how many of the
    `accepted` answers are right and, by information, not paid."""

    request: RequestView
    spec_hash: str
    spec_cid: str
    domain: str | None
    tasks: int
    tasks_done: int
    tasks_waiting: int
    leases: int
    answers: int
    undecided: int
    accepted: int
    unpaid: int
    rejected: int
    settled: int
    chain: Books | None


class RequestList(View):
    """Newest first."""

    requests: list[RequestView]


class RequestQuery(Model):
    """In a state; of a buyer (drafts are shown to their own); before a time, to page on."""

    state: Literal["draft", "open", "closing", "closed"] | None = None
    buyer: Address | None = None
    before: datetime | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class TaskView(View):
    """A task of a request."""

    task: str
    index: int
    item: str
    media_type: str
    state: str
    answers_wanted: int
    answers_done: int


class TaskList(View):
    """Tasks in order of their index; `next` is where the next page starts, null at the end."""

    tasks: list[TaskView]
    next: int | None


class TaskQuery(Model):
    """From an index on."""

    start: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000


async def _view(context: Context, info: RequestInfo | Any) -> RequestView:
    def get(name: str) -> Any:
        return getattr(info, name) if isinstance(info, RequestInfo) else info[name]

    decimals = await context.market.terms.decimals(get("mint_index"))
    return RequestView(
        address=b58(get("address")), buyer=b58(get("buyer")), id=get("id"), title=get("title"), state=get("state"),
        mode=MODES[get("mode")], kind=get("kind"), assignment=get("assignment"), min_tier=get("min_tier"),
        min_score_bps=get("min_score"),
        overlap=get("overlap"), first_overlap=get("first_overlap"), confidence_bps=get("confidence_bps"),
        price=money.format(get("price"), decimals), validation_fee=money.format(get("validation_fee"), decimals),
        records=get("records"), deadline=get("deadline"),
        created_at=get("created_at"), posted_at=get("posted_at"),
    )  # fmt: skip


@routes.get("/v1/requests")
async def requests(context: Context, query: RequestQuery) -> RequestList:
    """Requests, newest first."""
    buyer = None if query.buyer is None else unb58(query.buyer, field="buyer")
    rows = await context.market.requests.listed(
        state=query.state, buyer=buyer, before=query.before, limit=query.limit, own=context.signed_in
    )
    return RequestList(requests=[await _view(context, row) for row in rows])


async def visible(context: Context) -> RequestInfo:
    """The request of the path; a draft only for its buyer."""
    info = await context.market.requests.ensure_posted(context.address())
    if info.state == "draft" and context.signed_in != info.buyer:
        raise NotFound("there is no such request", field="address")
    return info


async def _books(context: Context, info: RequestInfo) -> Books | None:
    account = await context.market.requests.account(info.address)
    if account is None:
        return None
    decimals = await context.market.terms.decimals(info.mint_index)

    def text(amount: int) -> str:
        return money.format(amount, decimals)

    now = await context.market.terms.now()
    reserved = sum(reserve.amount for reserve in account.reserves if reserve.until > now) + account.bonds
    spent = account.paid_labelers + account.paid_validators + account.fees
    return Books(
        locked=text(account.locked), paid_labelers=text(account.paid_labelers),
        paid_validators=text(account.paid_validators), fees=text(account.fees), reserved=text(reserved),
        refunded=text(account.refunded), refundable=text(max(0, account.locked - spent - reserved - account.refunded)),
        records_done=account.records_done, answers_accepted=account.answers_accepted,
        answers_rejected=account.answers_rejected, next_batch=account.next_batch,
        log_head=bytes(account.log_head).hex(), state=STATES[account.state],
    )  # fmt: skip


async def _progress(context: Context, info: RequestInfo) -> Progress:
    counts = await context.market.requests.progress(info.address)
    return Progress(
        request=await _view(context, info), spec_hash=info.spec_hash.hex(), spec_cid=info.spec_cid,
        domain=info.domain.hex() if info.domain else None, chain=await _books(context, info),
        tasks=counts["tasks"], tasks_done=counts["tasks_done"], tasks_waiting=counts["tasks_waiting"],
        leases=counts["leases"], answers=counts["answers"], undecided=counts["undecided"],
        accepted=counts["accepted"], unpaid=counts["unpaid"], rejected=counts["rejected"], settled=counts["settled"],
    )  # fmt: skip


@routes.get("/v1/requests/{address}", errors=(NotFound,))
async def progress(context: Context) -> Progress:
    """A request, how far it is, and its books on chain."""
    return await _progress(context, await visible(context))


@routes.get("/v1/requests/{address}/spec", errors=(NotFound,))
async def spec(context: Context) -> web.Response:
    """The canonical specification; its sha256 is the `spec_hash` on chain."""
    info = await visible(context)
    return web.Response(body=await context.market.requests.spec_text(info.address), content_type="application/json")


@routes.get("/v1/requests/{address}/tasks", errors=(NotFound,))
async def tasks(context: Context, query: TaskQuery) -> TaskList:
    """Tasks of a request, for those who name what they claim."""
    info = await visible(context)
    rows = await context.market.tasks.listed(info.address, start=query.start, limit=query.limit)
    return TaskList(
        tasks=[
            TaskView(
                task=row["id"].hex(), index=row["index"], item=row["item"], media_type=row["media_type"],
                state=row["state"], answers_wanted=row["answers_wanted"], answers_done=row["answers_done"],
            )
            for row in rows
        ],
        next=rows[-1]["index"] + 1 if len(rows) == query.limit else None,
    )  # fmt: skip


@routes.get("/v1/requests/{address}/events", media="text/event-stream", errors=(NotFound,))
async def watch(context: Context) -> web.StreamResponse:
    """Live progress as server-sent events: `progress` at each change, until the request is closed."""
    info = await visible(context)
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    await response.prepare(context.request)
    woken = asyncio.Event()

    def wake(address: bytes) -> None:
        if address == info.address:
            woken.set()

    context.market.changed.connect(wake)
    try:
        last, silent = b"", 0.0
        while True:
            woken.clear()
            info = await context.market.requests.ensure_posted(info.address)
            now = msgspec.json.encode(await _progress(context, info))
            if now != last:
                await response.write(b"event: progress\ndata: " + now + b"\n\n")
                last, silent = now, 0.0
            elif silent >= HEARTBEAT:
                await response.write(b": still here\n\n")
                silent = 0.0
            if info.state == "closed":
                await response.write(b"event: closed\ndata: {}\n\n")
                return response
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), POLL)
            silent += POLL
            await asyncio.sleep(QUIET)
    except ConnectionResetError:
        return response
    finally:
        context.market.changed.disconnect(wake)
