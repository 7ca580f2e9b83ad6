"""Subscriptions over a web socket: one pump reads what the chain writes and tells every subscriber whom it concerns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec
from aiohttp import web
from solders.pubkey import Pubkey

from assay.chain.base import Memcmp
from assay.chain.messages import touched
from assay.chain.rpc_methods import Methods
from assay.chain.rpc_params import Params, address
from assay.chain.rpc_views import RpcFault, error_of, invalid, signature_text
from assay.chain.store import Record
from assay.errors import AssayError, ChainUnavailable

KINDS = ("account", "program", "logs", "signature", "slot", "root")
BACKLOG = 10_000
"""Notifications that wait for a slow subscriber at most; then its socket is closed."""


@dataclass(eq=False)
class Subscription:
    """One subscription of one socket."""

    id: int
    kind: str
    socket: Socket
    key: Any = None
    encoding: str = "base64"
    piece: tuple[int, int] | None = None
    memcmp: list[Memcmp] = field(default_factory=list)
    size: int | None = None


@dataclass(eq=False)
class Socket:
    """A connected client: what it is subscribed to and what still goes out to it."""

    response: web.WebSocketResponse
    queue: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(BACKLOG))
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    overrun: bool = False

    def push(self, message: dict[str, Any]) -> None:
        """Queues a message; a client that does not read is let go."""
        try:
            self.queue.put_nowait(msgspec.json.encode(message))
        except asyncio.QueueFull:
            self.overrun = True

    async def drain(self) -> None:
        """Sends what is queued, until cancelled."""
        while not self.overrun:
            await self.response.send_str((await self.queue.get()).decode())
        await self.response.close(code=1013, message=b"the client reads too slowly")


class PubSub:
    """All subscriptions of a server."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods
        self._chain = methods.chain
        self._ids = count(1)
        self._sockets: set[Socket] = set()
        self._by_kind: dict[str, set[Subscription]] = {kind: set() for kind in KINDS}
        self._seq = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to tell, from now on."""
        self._seq = self._chain.journal.transaction_count
        self._tasks = [
            asyncio.create_task(self._pump(), name="rpc-pump"),
            asyncio.create_task(self._pump_slots(), name="rpc-slots"),
        ]

    async def stop(self) -> None:
        """Closes all sockets."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(
            *(socket.response.close(code=1001) for socket in list(self._sockets)), return_exceptions=True
        )

    async def serve(
        self, request: web.Request, *, call: Callable[[Any], Awaitable[dict[str, Any] | None]]
    ) -> web.WebSocketResponse:
        """One client. `call` answers what is no subscription."""
        response = web.WebSocketResponse(heartbeat=30, max_msg_size=1 << 20)
        await response.prepare(request)
        socket = Socket(response)
        self._sockets.add(socket)
        sender = asyncio.create_task(socket.drain())
        try:
            async for message in response:
                if message.type is not web.WSMsgType.TEXT:
                    continue
                answer = await self._answer(socket, message.data, call)
                if answer is not None:
                    socket.push(answer)
        finally:
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sender
            self._sockets.discard(socket)
            for subscription in socket.subscriptions.values():
                self._by_kind[subscription.kind].discard(subscription)
        return response

    async def _answer(
        self, socket: Socket, text: str, call: Callable[[Any], Awaitable[dict[str, Any] | None]]
    ) -> dict[str, Any] | None:
        try:
            body = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": None}
        method = body.get("method") if isinstance(body, dict) else None
        kind = next((kind for kind in KINDS if method in (f"{kind}Subscribe", f"{kind}Unsubscribe")), None)
        if kind is None or not isinstance(method, str):
            return await call(body)
        number = body.get("id")
        try:
            params = Params(body.get("params") or [])
            result: Any
            if method.endswith("Unsubscribe"):
                result = self._remove(socket, params.integer(0, "the subscription"))
            else:
                result = await self._add(socket, kind, params, number)
                if result is None:
                    return None
        except RpcFault as fault:
            return {"jsonrpc": "2.0", "error": {"code": fault.code, "message": fault.message}, "id": number}
        return {"jsonrpc": "2.0", "result": result, "id": number}

    def _remove(self, socket: Socket, number: int) -> bool:
        subscription = socket.subscriptions.pop(number, None)
        if subscription is None:
            raise RpcFault(-32602, "Invalid subscription id.")
        self._by_kind[subscription.kind].discard(subscription)
        return True

    async def _add(self, socket: Socket, kind: str, params: Params, number: Any) -> int | None:
        made = Subscription(next(self._ids), kind, socket)
        options = params.options(1)
        if kind in ("account", "program"):
            made.key = params.address(0)
            made.encoding = options.encoding("base64")
            made.piece = options.piece()
            if kind == "program":
                made.memcmp, made.size, _ = options.filters()
        elif kind == "logs":
            chosen = params.at(0, '"all" or {mentions: [address]}')
            if isinstance(chosen, dict):
                mentions = chosen.get("mentions")
                if not isinstance(mentions, list) or len(mentions) != 1:
                    raise invalid("Invalid Request: Only 1 address supported")
                made.key = address(mentions[0])
            elif chosen not in ("all", "allWithVotes"):
                raise invalid(f"unknown variant `{chosen}`, expected all, allWithVotes or mentions")
        elif kind == "signature":
            made.key = bytes(params.signature(0))
        socket.subscriptions[made.id] = made
        self._by_kind[kind].add(made)
        if kind == "signature":
            done = await self._chain.journal.record(made.key)
            if done is not None and made.id in socket.subscriptions:  # it landed before it was asked for
                socket.push({"jsonrpc": "2.0", "result": made.id, "id": number})
                self._tell(made, {"err": error_of(done)}, done.slot)
                self._remove(socket, made.id)
                return None
        return made.id

    def _tell(self, subscription: Subscription, value: Any, slot: int | None) -> None:
        result = value if slot is None else {"context": {"slot": slot}, "value": value}
        subscription.socket.push(
            {
                "jsonrpc": "2.0",
                "method": f"{subscription.kind}Notification",
                "params": {"result": result, "subscription": subscription.id},
            }
        )

    async def _pump(self) -> None:
        while True:
            news = self._chain.journal.news_flag()
            try:
                records = await self._chain.journal.records(self._seq)
            except ChainUnavailable:  # closed under us: there is nothing left to tell
                return
            if not records:
                await news.wait()
                continue
            self._seq = records[-1].seq
            changed: dict[Pubkey, int] = {}
            watched = self._by_kind["account"] or self._by_kind["program"]
            mentions = any(s.key is not None for s in self._by_kind["logs"])
            for record in records:
                keys: list[Pubkey] = []
                if watched or mentions:
                    keys, writable = touched(record)
                    changed.update(dict.fromkeys(writable, record.slot))
                self._tell_of_transaction(record, keys)
            if watched:
                await self._tell_of_accounts(changed)

    def _tell_of_transaction(self, record: Record, keys: list[Pubkey]) -> None:
        for subscription in list(self._by_kind["signature"]):
            if subscription.key == record.signature:
                self._tell(subscription, {"err": error_of(record)}, record.slot)
                self._remove(subscription.socket, subscription.id)
        subscribers = [s for s in self._by_kind["logs"] if s.key is None or s.key in keys]
        if subscribers:
            value = {"signature": signature_text(record), "err": error_of(record), "logs": record.meta.logs()}
            for subscription in subscribers:
                self._tell(subscription, value, record.slot)

    async def _tell_of_accounts(self, changed: dict[Pubkey, int]) -> None:
        keys = list(changed)
        try:
            accounts = await self._chain.accounts(keys)
        except AssayError:
            return
        for key, account in zip(keys, accounts, strict=True):
            for subscription in [s for s in self._by_kind["account"] if s.key == key]:
                shown = await self._methods.show([account], encoding=subscription.encoding, piece=subscription.piece)
                self._tell(subscription, shown[0], changed[key])
            if account is None:
                continue
            for subscription in [s for s in self._by_kind["program"] if s.key == account.owner]:
                data = account.data
                if subscription.size is not None and len(data) != subscription.size:
                    continue
                if all(data[m.offset : m.offset + len(m.data)] == m.data for m in subscription.memcmp):
                    shown = await self._methods.show(
                        [account], encoding=subscription.encoding, piece=subscription.piece
                    )
                    self._tell(subscription, {"pubkey": str(key), "account": shown[0]}, changed[key])

    async def _pump_slots(self) -> None:
        last = -1
        while True:
            await asyncio.sleep(self._chain.slot_ms / 1000)
            if not self._by_kind["slot"] and not self._by_kind["root"]:
                continue
            try:
                slot = await self._chain.slot()
            except ChainUnavailable:
                return
            if slot == last:
                continue
            last = slot
            for subscription in list(self._by_kind["slot"]):
                self._tell(subscription, {"parent": slot - 1, "root": max(slot - 32, 0), "slot": slot}, None)
            for subscription in list(self._by_kind["root"]):
                self._tell(subscription, max(slot - 32, 0), None)
