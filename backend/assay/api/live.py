"""Validators' side of the API: a live connection that pushes work, openings and proposals, and the same over HTTP.

Over the connection (`GET /v1/live`, a WebSocket, bearer token of a validator) each side sends JSON objects with a
`type`. From here: `ready`, `work`, `openings`, `proposal`, `dispute`, `standing` (the chain changed the validator's
account), and `ok` or `error` with the `ref` of what they answer.
To here: `commit`, `reveal`, `sign`, `refuse`, `dispute_vote`, each with a `ref` of the sender's choice. All are
idempotent; who connects again is told again what is still to be done.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
import structlog
from aiohttp import WSMsgType, web

from assay.api.routing import ADDRESS, HEX32, Context, Model, Routes, View, field_error
from assay.domain.messages import b58, unb58, unhex
from assay.errors import AssayError, BadRequest, Conflict, Forbidden, Gone, NotFound, Unavailable
from assay.services import votes
from assay.services.engine import Engine
from assay.services.hub import Connection

log = structlog.get_logger(__name__)
routes = Routes("validators")

HEARTBEAT = 20.0
"""Seconds between pings; a connection that does not answer is closed."""
AT_ONCE = 6
"""Frames of one connection that are worked on at a time."""
FRAME = 64 * 1024
"""Bytes of a frame from a validator at most."""

Hex32 = Annotated[str, msgspec.Meta(pattern=HEX32)]
Hex64 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{128}$")]
Round = Annotated[int, msgspec.Meta(ge=0, le=255)]
U32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
U53 = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Address = Annotated[str, msgspec.Meta(pattern=ADDRESS)]


class Commit(Model, tag_field="type", tag="commit"):
    """A signed commitment to a vote."""

    answer: Hex32
    round: Round
    commitment: Hex32
    signature: Hex64
    ref: U53 = 0


class Reveal(Model, tag_field="type", tag="reveal"):
    """Opens a commitment."""

    answer: Hex32
    round: Round
    vote: Annotated[int, msgspec.Meta(ge=0, le=1)]
    salt: Hex32
    ref: U53 = 0


class Sign(Model, tag_field="type", tag="sign"):
    """A signature of a batch's message."""

    request: Address
    batch: U53
    panel_round: U32
    digest: Hex32
    signature: Hex64
    ref: U53 = 0


class Refuse(Model, tag_field="type", tag="refuse"):
    """Why a batch is not signed."""

    request: Address
    batch: U53
    panel_round: U32
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    detail: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    ref: U53 = 0


class DisputeVote(Model, tag_field="type", tag="dispute_vote"):
    """The signed vote of a seat of a dispute's panel: 1 upholds the dispute, 2 dismisses it."""

    dispute: Address
    panel_round: U32
    outcome: Annotated[int, msgspec.Meta(ge=1, le=2)]
    signature: Hex64
    ref: U53 = 0


Frame = Commit | Reveal | Sign | Refuse | DisputeVote
_decode = msgspec.json.Decoder(Frame).decode


class Todo(View):
    """What a validator still has to do, as the live connection would push it."""

    work: list[dict[str, Any]]
    openings: list[dict[str, Any]]
    proposals: list[dict[str, Any]]
    disputes: list[dict[str, Any]]


class Done(View):
    """What was received stands."""

    ok: bool = True


def _engine(context: Context) -> Engine:
    engine = context.market.engine
    if engine is None or not engine.running:
        raise Unavailable("settlement does not run here; try again", retry_after=1)
    return engine


async def _validator(context: Context) -> bytes:
    """The signed-in wallet, which must be a registered validator."""
    if not await _engine(context).is_validator(context.wallet):
        raise Forbidden("only registered validators may do that", hint="register with role validator and stake")
    return context.wallet


async def receive(engine: Engine, wallet: bytes, frame: Frame) -> None:
    """Takes one frame of `wallet`; raises what is wrong with it."""
    match frame:
        case Commit():
            await engine.commit(
                wallet,
                answer=unhex(frame.answer, field="answer"),
                round=frame.round,
                commitment=unhex(frame.commitment, field="commitment"),
                signature=bytes.fromhex(frame.signature),
            )
        case Reveal():
            await engine.reveal(
                wallet,
                answer=unhex(frame.answer, field="answer"),
                round=frame.round,
                vote=frame.vote,
                salt=unhex(frame.salt, field="salt"),
            )
        case Sign():
            await engine.sign(
                wallet,
                request=unb58(frame.request, field="request"),
                batch=frame.batch,
                panel_round=frame.panel_round,
                digest=unhex(frame.digest, field="digest"),
                signature=bytes.fromhex(frame.signature),
            )
        case Refuse():
            await engine.refuse(
                wallet,
                request=unb58(frame.request, field="request"),
                batch=frame.batch,
                panel_round=frame.panel_round,
                reason=frame.reason,
                detail=frame.detail,
            )
        case DisputeVote():
            await engine.decide(
                wallet,
                dispute=unb58(frame.dispute, field="dispute"),
                panel_round=frame.panel_round,
                outcome=frame.outcome,
                signature=bytes.fromhex(frame.signature),
            )


@routes.get("/v1/live", auth=True, status=101, errors=(Forbidden, Unavailable))
async def live(context: Context) -> web.WebSocketResponse:
    """Opens a validator's live connection (a WebSocket)."""
    engine = _engine(context)
    wallet = await _validator(context)
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=FRAME, compress=False)
    ready = socket.can_prepare(context.request)
    if not ready:
        raise BadRequest("this is a WebSocket", hint="send Connection: Upgrade")
    await socket.prepare(context.request)
    await socket.send_json({"type": "ready", "wallet": b58(wallet)})
    connection = engine.hub.join(wallet)
    writer = asyncio.create_task(_write(socket, connection))
    log.info("validator connected", wallet=b58(wallet))
    turns = asyncio.Semaphore(AT_ONCE)
    running: set[asyncio.Task[None]] = set()

    async def take(data: str) -> None:
        try:
            connection.push(await _answer(engine, wallet, data))
        finally:
            turns.release()

    try:
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            await turns.acquire()
            task = asyncio.create_task(take(message.data))
            running.add(task)
            task.add_done_callback(running.discard)
    finally:
        await asyncio.gather(*running, return_exceptions=True)
        engine.hub.leave(connection)
        connection.end()
        with contextlib.suppress(asyncio.CancelledError):
            await writer
        log.info("validator disconnected", wallet=b58(wallet))
    return socket


async def _answer(engine: Engine, wallet: bytes, data: str) -> str:
    """Takes a frame; the `ok` or `error` to send back."""
    ref = 0
    try:
        try:
            frame = _decode(data)
        except msgspec.ValidationError as error:
            raise field_error(error) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"the frame is no JSON: {error}") from error
        ref = frame.ref
        await receive(engine, wallet, frame)
    except AssayError as error:
        return msgspec.json.encode({"type": "error", "ref": ref, "problem": error.to_problem()}).decode()
    except Exception:
        log.exception("frame failed")
        problem = AssayError("something went wrong inside the market").to_problem()
        return msgspec.json.encode({"type": "error", "ref": ref, "problem": problem}).decode()
    return msgspec.json.encode({"type": "ok", "ref": ref}).decode()


async def _write(socket: web.WebSocketResponse, connection: Connection) -> None:
    """Sends what is queued until the connection ends."""
    with contextlib.suppress(ConnectionError, RuntimeError):
        while (message := await connection.queue.get()) is not None:
            await socket.send_str(message)
        await socket.close(code=1013, message=b"connect again")


@routes.get("/v1/validator/work", auth=True, errors=(Forbidden, Unavailable))
async def work(context: Context) -> Todo:
    """What the signed-in validator has to do: answers to vote on, commitments to open, batches to co-sign, disputes."""
    wallet = await _validator(context)
    engine = _engine(context)
    return Todo(
        work=await votes.work(context.market.db, wallet),
        openings=await votes.openings(context.market.db, wallet),
        proposals=await engine.proposals(wallet),
        disputes=await engine.disputes(wallet),
    )


@routes.post("/v1/validator/commits", auth=True, errors=(Forbidden, Unavailable))
async def commit(context: Context, body: Commit) -> Done:
    """Commits to a vote."""
    await receive(_engine(context), await _validator(context), body)
    return Done()


@routes.post("/v1/validator/reveals", auth=True, errors=(Forbidden, Unavailable))
async def reveal(context: Context, body: Reveal) -> Done:
    """Opens a commitment, once all of the panel have committed or the time to commit is over."""
    await receive(_engine(context), await _validator(context), body)
    return Done()


@routes.post("/v1/validator/signatures", auth=True, errors=(Forbidden, Unavailable))
async def sign(context: Context, body: Sign) -> Done:
    """Co-signs a batch."""
    await receive(_engine(context), await _validator(context), body)
    return Done()


@routes.post("/v1/validator/refusals", auth=True, errors=(Forbidden, Unavailable))
async def refuse(context: Context, body: Refuse) -> Done:
    """Says why a batch is not co-signed."""
    await receive(_engine(context), await _validator(context), body)
    return Done()


@routes.post("/v1/validator/dispute-votes", auth=True, errors=(Forbidden, NotFound, Gone, Conflict, Unavailable))
async def decide(context: Context, body: DisputeVote) -> Done:
    """Votes on a dispute: the vote is on chain when this is answered."""
    await receive(_engine(context), await _validator(context), body)
    return Done()


class LogQuery(Model):
    """`after`: lines to leave out, the header being the first."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0


@routes.get("/v1/requests/{address}/log", media="application/jsonl", errors=(NotFound, Unavailable))
async def log_lines(context: Context, query: LogQuery) -> web.StreamResponse:
    """The published vote log of a request: its specification, then a line a settled batch."""
    return await _streamed(context, await _engine(context).log_lines(context.address(), after=query.after))


@routes.get("/v1/requests/{address}/handouts", media="application/jsonl", errors=(NotFound, Unavailable))
async def handout_lines(context: Context, query: LogQuery) -> web.StreamResponse:
    """The published log of hand-outs: who was handed which task, by which lot, and what was given back."""
    return await _streamed(context, await _engine(context).handout_lines(context.address(), after=query.after))


async def _streamed(context: Context, lines: AsyncGenerator[bytes, None]) -> web.StreamResponse:
    """A log as it is read: however long it is, a piece at a time is held."""
    response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
    async with contextlib.aclosing(lines):
        await response.prepare(context.request)
        async for part in lines:
            await response.write(part)
    await response.write_eof()
    return response
