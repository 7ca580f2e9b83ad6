"""Buyers: upload, quote, draft, watch, end, download."""

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
from assay.domain.spec import ITEM_TYPES
from assay.errors import (
    AlreadyDone,
    Conflict,
    FieldError,
    Forbidden,
    NotFound,
    TooLarge,
    UnsupportedMedia,
)
from assay.services.datasets import FORMATS
from assay.services.requests import MODES, STATES, Order, RequestInfo

routes = Routes("buyers")

HEARTBEAT = 15.0
QUIET = 0.1  # changes within this time are told together
POLL = 2.0  # what other processes change is seen at the latest after this

Address = Annotated[str, msgspec.Meta(pattern=ADDRESS)]
Tokens = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]*)(\.[0-9]+)?$", description="tokens, such as 0.04")]
Bps = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class ItemView(View):
    """A stored item; `cid` goes into the specification."""

    cid: str
    media_type: str
    size: int
    width: int | None
    height: int | None


class GoldLabel(Model):
    """A label that is known, to measure with. It stays secret; the specification commits to it."""

    index: Annotated[int, msgspec.Meta(ge=0)]
    label: dict[str, Any]


class OrderBody(Model):
    """What to label and what it pays (docs/protocol.md, Specification)."""

    spec: dict[str, Any]
    price: Tokens
    validation_fee: Tokens = "0"
    budget: Tokens | None = None
    seconds: Annotated[int, msgspec.Meta(ge=60, le=366 * 24 * 3600)] = 7 * 24 * 3600
    min_tier: Annotated[int, msgspec.Meta(ge=0, le=3)] = 0
    premium_bps: Annotated[list[Bps], msgspec.Meta(min_length=4, max_length=4)] = msgspec.field(
        default_factory=lambda: [0, 0, 0, 0]
    )
    mint: Address | None = None
    id: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None
    gold: Annotated[list[GoldLabel], msgspec.Meta(max_length=100_000)] = msgspec.field(default_factory=list)

    def order(self) -> Order:
        """For the service."""
        return Order(
            spec=self.spec, price=self.price, validation_fee=self.validation_fee, budget=self.budget,
            seconds=self.seconds, min_tier=self.min_tier, premium_bps=tuple(self.premium_bps), mint=self.mint,
            id=self.id, gold=tuple((one.index, one.label) for one in self.gold),
        )  # fmt: skip


class QuoteBody(OrderBody):
    """An order to price. `rejection_bps`: share of answers that may be rejected and done anew (review)."""

    rejection_bps: Annotated[int, msgspec.Meta(ge=0, le=9999)] = 0


class QuoteView(View):
    """The most that the order can cost, in tokens."""

    labelers: str
    validators: str
    fee: str
    reserve: str
    total: str
    records: int
    answers: int
    judgements: int


class UnsignedView(View):
    """A transaction for the wallet to sign and to send (itself, or by POST /v1/transactions)."""

    transaction: str
    last_valid_block_height: int


class DraftView(View):
    """A drafted request. It opens when the signed transaction is on chain."""

    address: str
    id: int
    spec_hash: str
    spec_cid: str
    budget: str
    quote: QuoteView
    program: str
    accounts: list[dict[str, Any]]
    data: str
    unsigned: UnsignedView


class RequestView(View):
    """A request. Amounts in tokens."""

    address: str
    buyer: str
    id: int
    title: str
    state: str
    mode: str
    kind: int
    assignment: str
    min_tier: int
    overlap: int
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
    """How far it is. `chain` is null before the posting."""

    request: RequestView
    spec_hash: str
    spec_cid: str
    domain: str | None
    tasks: int
    tasks_done: int
    leases: int
    answers: int
    undecided: int
    accepted: int
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


class DownloadQuery(Model):
    """As which file."""

    format: Literal["jsonl", "csv", "parquet"] = "jsonl"


@routes.post(
    "/v1/items", auth=True, status=201, accepts=(*ITEM_TYPES, "text/plain"), errors=(UnsupportedMedia, TooLarge)
)
async def upload(context: Context) -> ItemView:
    """Stores an item: the body is the file. Images lose their metadata; the same item again changes nothing."""
    kind = context.request.content_type
    item = await context.market.items.upload(await context.request.read(), media_type=kind, owner=context.wallet)
    return ItemView(cid=item.cid, media_type=item.media_type, size=item.size, width=item.width, height=item.height)


def _quote_view(quote: money.Quote, decimals: int) -> QuoteView:
    def text(amount: int) -> str:
        return money.format(amount, decimals)

    return QuoteView(
        labelers=text(quote.labelers), validators=text(quote.validators), fee=text(quote.fee),
        reserve=text(quote.reserve), total=text(quote.total), records=quote.records, answers=quote.answers,
        judgements=quote.judgements,
    )  # fmt: skip


@routes.post("/v1/quote")
async def quote(context: Context, body: QuoteBody) -> QuoteView:
    """Says what an order can cost; nothing is kept or posted, and no item need be uploaded yet."""
    _, made, index = await context.market.requests.quote(body.order(), rejection_bps=body.rejection_bps)
    return _quote_view(made, await context.market.terms.decimals(index))


@routes.post("/v1/requests", auth=True, status=201, errors=(Forbidden, AlreadyDone))
async def draft(context: Context, body: OrderBody) -> DraftView:
    """Drafts a request and gives the transaction that posts it, for the buyer to sign.

    With an `id`, the same order again gives the same draft and a fresh transaction.
    """
    market = context.market
    made = await market.requests.draft(context.wallet, body.order())
    instruction = await market.relay.post(made)
    unsigned = await market.relay.unsigned([instruction], payer=context.wallet)
    decimals = await market.terms.decimals(made.info.mint_index)
    return DraftView(
        address=b58(made.info.address),
        id=made.info.id,
        spec_hash=made.info.spec_hash.hex(),
        spec_cid=made.info.spec_cid,
        budget=money.format(made.info.budget, decimals),
        quote=_quote_view(made.quote, decimals),
        program=str(instruction.program_id),
        accounts=[
            {"address": str(meta.pubkey), "signer": meta.is_signer, "writable": meta.is_writable}
            for meta in instruction.accounts
        ],
        data=bytes(instruction.data).hex(),
        unsigned=UnsignedView(
            transaction=unsigned.transaction, last_valid_block_height=unsigned.last_valid_block_height
        ),
    )


async def _view(context: Context, info: RequestInfo | Any) -> RequestView:
    def get(name: str) -> Any:
        return getattr(info, name) if isinstance(info, RequestInfo) else info[name]

    decimals = await context.market.terms.decimals(get("mint_index"))
    return RequestView(
        address=b58(get("address")), buyer=b58(get("buyer")), id=get("id"), title=get("title"), state=get("state"),
        mode=MODES[get("mode")], kind=get("kind"), assignment=get("assignment"), min_tier=get("min_tier"),
        overlap=get("overlap"), price=money.format(get("price"), decimals),
        validation_fee=money.format(get("validation_fee"), decimals), records=get("records"), deadline=get("deadline"),
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


async def _visible(context: Context) -> RequestInfo:
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
        tasks=counts["tasks"], tasks_done=counts["tasks_done"], leases=counts["leases"], answers=counts["answers"],
        undecided=counts["undecided"], accepted=counts["accepted"], rejected=counts["rejected"],
        settled=counts["settled"],
    )  # fmt: skip


@routes.get("/v1/requests/{address}", errors=(NotFound,))
async def progress(context: Context) -> Progress:
    """A request, how far it is, and its books on chain."""
    return await _progress(context, await _visible(context))


@routes.get("/v1/requests/{address}/spec", errors=(NotFound,))
async def spec(context: Context) -> web.Response:
    """The canonical specification; its sha256 is the `spec_hash` on chain."""
    info = await _visible(context)
    return web.Response(body=await context.market.requests.spec_text(info.address), content_type="application/json")


@routes.get("/v1/requests/{address}/tasks", errors=(NotFound,))
async def tasks(context: Context, query: TaskQuery) -> TaskList:
    """Tasks of a request, for those who name what they claim."""
    info = await _visible(context)
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
    info = await _visible(context)
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


async def _end(context: Context, *, cancel: bool) -> UnsignedView:
    market = context.market
    info = await market.requests.check_end(context.address(), context.wallet)
    instruction = await market.relay.end(info, cancel=cancel)
    unsigned = await market.relay.unsigned([instruction], payer=context.wallet)
    return UnsignedView(transaction=unsigned.transaction, last_valid_block_height=unsigned.last_valid_block_height)


@routes.post("/v1/requests/{address}/close", auth=True, errors=(NotFound, Forbidden, Conflict))
async def close(context: Context) -> UnsignedView:
    """Gives the transaction that closes a finished request: the rest of the escrow goes back to the buyer."""
    return await _end(context, cancel=False)


@routes.post("/v1/requests/{address}/cancel", auth=True, errors=(NotFound, Forbidden, Conflict))
async def cancel(context: Context) -> UnsignedView:
    """Gives the transaction that cancels a request: work in hand has its grace period, then the rest is refunded."""
    return await _end(context, cancel=True)


@routes.get(
    "/v1/requests/{address}/dataset", auth=True, media="application/jsonl", errors=(NotFound, Forbidden, FieldError)
)
async def dataset(context: Context, query: DownloadQuery) -> web.StreamResponse:
    """Downloads the finished records: label, confidence, answers, votes, payments, and proofs against the chain."""
    info = await _visible(context)
    if info.buyer != context.wallet:
        raise Forbidden("the data set is its buyer's")
    parts = context.market.datasets.stream(info.address, query.format)
    first = await anext(parts, b"")
    response = web.StreamResponse(
        headers={
            "Content-Type": FORMATS[query.format],
            "Content-Disposition": f'attachment; filename="{b58(info.address)}.{query.format}"',
        }
    )
    response.enable_compression()
    await response.prepare(context.request)
    await response.write(first)
    async for part in parts:
        await response.write(part)
    await response.write_eof()
    return response
