"""Buyers: upload, quote, draft, end, download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from solders.instruction import Instruction

from assay.api.requests import visible
from assay.api.routing import ADDRESS, Context, Model, Routes, View
from assay.domain import money
from assay.domain.messages import b58
from assay.domain.spec import ITEM_TYPES
from assay.errors import (
    AlreadyDone,
    Conflict,
    FieldError,
    Forbidden,
    NotFound,
    TooLarge,
    UnsupportedMedia,
    UploadLimit,
)
from assay.services.datasets import FORMATS
from assay.services.requests import Order

routes = Routes("buyers")

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
    """A label that is known, to measure with. It stays secret; the specification commits to it.

    `salt`: 64 hexadecimal digits of the buyer's own choosing, so that it knows the commitment by itself; without, the
    market draws one.
    """

    index: Annotated[int, msgspec.Meta(ge=0)]
    label: dict[str, Any]
    salt: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None


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
            id=self.id, gold=tuple((one.index, one.label, one.salt) for one in self.gold),
        )  # fmt: skip


class QuoteBody(OrderBody):
    """An order to price. `rejection_bps`: share of answers that may be rejected and done anew (review)."""

    rejection_bps: Annotated[int, msgspec.Meta(ge=0, le=9999)] = 0


class QuoteView(View):
    """The most that the order can cost, in tokens; `total` is locked at the posting. `least`: what it comes to if no
    task asks for more answers than its first ones (`more` in the specification); the rest is refunded."""

    labelers: str
    validators: str
    fee: str
    reserve: str
    total: str
    records: int
    answers: int
    judgements: int
    least: str


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


class TopUp(Model):
    """Tokens of the request's mint."""

    amount: Tokens


class DownloadQuery(Model):
    """As which file."""

    format: Literal["jsonl", "csv", "parquet"] = "jsonl"


@routes.post(
    "/v1/items",
    auth=True,
    status=201,
    accepts=(*ITEM_TYPES, "text/plain"),
    errors=(UnsupportedMedia, TooLarge, Forbidden, UploadLimit),
)
async def upload(context: Context) -> ItemView:
    """Stores an item: the body is the file. Images lose their metadata; the same item again changes nothing.

    What no posted request needs counts against the wallet (`upload_limit`), and is dropped after a while.
    """
    kind = context.request.content_type
    item = await context.market.items.upload(await context.request.read(), media_type=kind, owner=context.wallet)
    return ItemView(cid=item.cid, media_type=item.media_type, size=item.size, width=item.width, height=item.height)


def _quote_view(quote: money.Quote, decimals: int) -> QuoteView:
    def text(amount: int) -> str:
        return money.format(amount, decimals)

    return QuoteView(
        labelers=text(quote.labelers), validators=text(quote.validators), fee=text(quote.fee),
        reserve=text(quote.reserve), total=text(quote.total), least=text(quote.least), records=quote.records,
        answers=quote.answers, judgements=quote.judgements,
    )  # fmt: skip


@routes.post("/v1/quote")
async def quote(context: Context, body: QuoteBody) -> QuoteView:
    """Says what an order can cost; nothing is kept or posted, and no item need be uploaded yet."""
    _, made, index = await context.market.requests.quote(body.order(), rejection_bps=body.rejection_bps)
    return _quote_view(made, await context.market.terms.decimals(index))


@routes.post("/v1/requests", auth=True, status=201, errors=(Forbidden, AlreadyDone, TooLarge, UploadLimit))
async def draft(context: Context, body: OrderBody) -> DraftView:
    """Drafts a request and gives the transaction that posts it, for the buyer to sign.

    With an `id`, the same order again gives the same draft and a fresh transaction. What is not posted in time is
    dropped, as items are.
    """
    market = context.market
    made = await market.requests.draft(context.wallet, body.order())
    instruction = await market.relay.post(made)
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
        unsigned=await unsigned(context, [instruction]),
    )


async def unsigned(context: Context, instructions: Sequence[Instruction]) -> UnsignedView:
    """`instructions` as a transaction for the signed-in wallet."""
    made = await context.market.relay.unsigned(instructions, payer=context.wallet)
    return UnsignedView(transaction=made.transaction, last_valid_block_height=made.last_valid_block_height)


@routes.post("/v1/requests/{address}/top-up", auth=True, errors=(NotFound, Conflict))
async def top_up(context: Context, body: TopUp) -> UnsignedView:
    """Gives the transaction that adds to an open request's escrow, out of the signed-in wallet, whoever's it is.

    What is not earned goes back to the request's buyer at its close.
    """
    market = context.market
    info = await market.requests.ensure_posted(context.address())
    if info.state != "open":
        raise Conflict(f"the request is {info.state}", hint="only an open request takes more")
    amount = money.parse(body.amount, await market.terms.decimals(info.mint_index), field="amount")
    if amount == 0:
        raise FieldError("amount", "is 0", hint="tokens, such as 100")
    return await unsigned(context, [await market.relay.top_up(info, context.wallet, amount)])


async def _end(context: Context, *, cancel: bool) -> UnsignedView:
    info = await context.market.requests.check_end(context.address(), context.wallet)
    return await unsigned(context, [await context.market.relay.end(info, cancel=cancel)])


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
    """Downloads the finished records: label, confidence, agreement, answers, votes, payments, proofs against the chain.

    The header `Assay-Agreement` has the raters' agreement over all records as JSON; Parquet has it in its metadata too.
    """
    info = await visible(context)
    if info.buyer != context.wallet:
        raise Forbidden("the data set is its buyer's")
    parts = context.market.datasets.stream(info.address, query.format)
    first = await anext(parts, b"")
    agreement = (await context.market.agreements.of(info.address)).summary()
    response = web.StreamResponse(
        headers={
            "Content-Type": FORMATS[query.format],
            "Content-Disposition": f'attachment; filename="{b58(info.address)}.{query.format}"',
            "Assay-Agreement": msgspec.json.encode(agreement).decode(),
        }
    )
    response.enable_compression()
    await response.prepare(context.request)
    await response.write(first)
    async for part in parts:
        await response.write(part)
    await response.write_eof()
    return response
