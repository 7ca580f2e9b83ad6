"""For everybody: the market's terms, content, relayed transactions, health."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from assay.api.problems import METRICS
from assay.api.routing import ADDRESS, Context, Model, Routes, View
from assay.api.standing import REASONS
from assay.domain import money
from assay.domain.messages import b58, unb58
from assay.errors import (
    BlockhashExpired,
    ChainError,
    ContentMissing,
    Forbidden,
    NotFound,
    StorageError,
    TransactionFailed,
)

routes = Routes("market")


class MintView(View):
    """A mint that requests may pay in."""

    mint: str
    token_program: str
    decimals: int
    enabled: bool


class MarketView(View):
    """The market's terms. Stakes and bond in tokens of the first mint; shares in basis points; windows in seconds.

    `faucet`: whether `POST /v1/faucet` gives tokens away here.
    """

    program: str
    market: str
    chain: str
    rpc_url: str | None
    mints: list[MintView]
    min_labeler_stake: str
    min_validator_stake: str
    dispute_bond: str
    fee_bps: int
    quorum_bps: int
    panel_size: int
    unstake_window: int
    dispute_window: int
    grace: int
    paused: bool
    now: int
    validators_online: list[str]
    faucet: bool


class Signed(Model):
    """A signed transaction."""

    transaction: Annotated[str, msgspec.Meta(min_length=1, max_length=1644, description="base64")]


class Landed(View):
    """A transaction that landed and succeeded."""

    signature: str
    slot: int
    compute_units: int
    events: list[str]


class Wish(Model):
    """Who wants how much."""

    wallet: Annotated[str, msgspec.Meta(pattern=ADDRESS)]
    tokens: Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]*)(\.[0-9]+)?$")] = "1000"


class Given(View):
    """The transaction that gave it."""

    signature: str
    mint: str


class Health(View):
    """All is well."""

    status: str
    database: bool
    slot: int


@routes.get("/v1/market")
async def market(context: Context) -> MarketView:
    """The market's terms as the chain has them."""
    terms = context.market.terms
    found, engine = await terms.market(fresh=True), context.market.engine
    params, decimals = found.params, int(found.mints[0].decimals)

    def text(amount: int) -> str:
        return money.format(amount, decimals)

    return MarketView(
        program=str(terms.program_id), market=str(terms.pda(b"market")),
        chain=str(await context.market.chain.genesis_hash()), rpc_url=context.market.rpc_url,
        mints=[
            MintView(
                mint=b58(bytes(entry.mint)), token_program=b58(bytes(entry.token_program)), decimals=entry.decimals,
                enabled=bool(entry.enabled),
            )
            for entry in found.mints[: found.mint_count]
        ],
        min_labeler_stake=text(params.min_labeler_stake), min_validator_stake=text(params.min_validator_stake),
        dispute_bond=text(params.dispute_bond), fee_bps=params.fee_bps, quorum_bps=params.quorum_bps,
        panel_size=params.panel_size, unstake_window=params.unstake_window, dispute_window=params.dispute_window,
        grace=params.grace, paused=bool(found.paused), now=await terms.now(),
        validators_online=[] if engine is None else [b58(wallet) for wallet in engine.hub.online()],
        faucet=context.market.faucet is not None,
    )  # fmt: skip


@routes.post("/v1/transactions", errors=(Forbidden, TransactionFailed, BlockhashExpired, ChainError))
async def relay(context: Context, body: Signed) -> Landed:
    """Sends a signed transaction of the market's program and waits until it has landed. Safe to repeat."""
    receipt = await context.market.relay.send(body.transaction)
    return Landed(
        signature=receipt.signature, slot=receipt.slot, compute_units=receipt.compute_units,
        events=[event.name for event in receipt.events],
    )  # fmt: skip


@routes.post("/v1/faucet", errors=(NotFound, ChainError))
async def faucet(context: Context, body: Wish) -> Given:
    """Gives SOL and tokens away, on the embedded chain only."""
    giver = context.market.faucet
    if giver is None:
        raise NotFound("there is no faucet on this chain")
    amount = money.parse(body.tokens, await context.market.terms.decimals(), field="tokens")
    signature = await giver.give(unb58(body.wallet, field="wallet"), tokens=amount)
    return Given(signature=signature, mint=str(giver.mint))


@routes.get("/v1/content/{cid}", media="application/octet-stream", errors=(ContentMissing, StorageError))
async def content(context: Context) -> web.Response:
    """Bytes by their content address: items, specifications, answers."""
    cid = context.request.match_info["cid"]
    if context.request.headers.get("If-None-Match") == f'"{cid}"':
        return web.Response(status=304)
    data, media_type = await context.market.items.content(cid)
    return web.Response(
        body=data,
        headers={
            "Content-Type": media_type,
            "ETag": f'"{cid}"',
            "Cache-Control": "public, max-age=31536000, immutable",
            # What strangers uploaded must never run as a page of this market.
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


@routes.get("/healthz")
async def healthz(context: Context) -> Health:
    """Whether database and chain answer; 503 where not."""
    await context.market.db.value("health")
    return Health(status="ok", database=True, slot=await context.market.chain.slot())


@routes.get("/metrics", media="text/plain")
async def metrics(context: Context) -> web.Response:
    """Counters in Prometheus' format."""
    kept = context.request.app[METRICS]
    if context.market.engine is not None and context.market.engine.running:
        one = context.market.engine.parts.watch.keeper
        kept.keeper(one.counts, {REASONS[reason]: amount for reason, amount in one.taken.items()}, one.refused)
    body = generate_latest(kept.registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


@routes.get("/openapi.json")
async def openapi(context: Context) -> web.Response:
    """This API as an OpenAPI 3.1 document."""
    return web.Response(body=context.request.app[DOCUMENT], content_type="application/json")


DOCUMENT: web.AppKey[bytes] = web.AppKey("document", bytes)
