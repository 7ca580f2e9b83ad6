"""Serves an embedded chain over Solana's JSON-RPC and its web socket, so that wallets, Solana's CLI, anchorpy,
`@solana/kit` and other processes of the market work against it.

Both ports answer both ways; clients that derive the web socket's port expect it one above the JSON-RPC's.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from aiohttp import web

from assay.chain.embedded import EmbeddedChain
from assay.chain.rpc_methods import Methods
from assay.chain.rpc_params import Params
from assay.chain.rpc_pubsub import PubSub
from assay.chain.rpc_views import RpcFault
from assay.errors import AssayError, ConfigError
from assay.listening import cannot_listen

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "content-type, solana-client",
    "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
}
MAX_BATCH = 100
log = logging.getLogger(__name__)


class RpcServer:
    """The server of one chain. `await server.start()`, then `server.url` and `server.ws_url`; `await server.stop()`.

    `port` 0 takes a free one; the web socket is also on `port` + 1 where that is free.
    """

    def __init__(self, chain: EmbeddedChain, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.chain = chain
        self.host = host
        self.port = port
        self.ws_port = port
        self._methods = Methods(chain)
        self._pubsub = PubSub(self._methods)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Address of the JSON-RPC."""
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """Address of the web socket."""
        return f"ws://{self.host}:{self.ws_port}"

    async def start(self) -> None:
        """Listens. Raises `ConfigError` if the address cannot be used."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/", self._root)
        app.router.add_get("/health", self._health)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await self._runner.setup()
        try:
            self.port = await self._listen(self._runner)
        except OSError as error:
            await self._runner.cleanup()
            raise cannot_listen(error, host=self.host, port=self.port, port_field="ASSAY_CHAIN_PORT") from error
        await self._pubsub.start()

    async def _listen(self, runner: web.AppRunner) -> int:
        for _ in range(20):
            site = web.TCPSite(runner, self.host, self.port, reuse_address=True)
            await site.start()
            server: Any = site._server
            port = int(server.sockets[0].getsockname()[1])
            try:
                await web.TCPSite(runner, self.host, port + 1, reuse_address=True).start()
                self.ws_port = port + 1
                return port
            except (OSError, OverflowError):
                if self.port:
                    self.ws_port = port
                    return port
                await site.stop()
        raise ConfigError("no two neighbouring ports are free", field="ASSAY_CHAIN_PORT")

    async def stop(self) -> None:
        """Stops listening and closes all connections. The chain stays open."""
        await self._pubsub.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok", headers=CORS)

    async def _root(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._pubsub.serve(request, call=self._call)
        if request.method == "OPTIONS":
            return web.Response(headers=CORS)
        if request.method != "POST":
            return web.Response(status=405, text="Used HTTP Method is not allowed. POST or OPTIONS is required\n")
        try:
            body = msgspec.json.decode(await request.read())
        except msgspec.DecodeError:
            answer: Any = _fault(None, RpcFault(-32700, "Parse error"))
        else:
            if isinstance(body, list) and 0 < len(body) <= MAX_BATCH:
                answer = [entry for entry in [await self._call(part) for part in body] if entry is not None]
            else:
                answer = await self._call(body)
        raw = b"" if answer is None else msgspec.json.encode(answer)
        return web.Response(body=raw, content_type="application/json", headers=CORS)

    async def _call(self, body: Any) -> dict[str, Any] | None:
        """The answer to one call; None to a notification."""
        if not isinstance(body, dict) or not isinstance(body.get("method"), str) or body.get("jsonrpc") != "2.0":
            return _fault(body.get("id") if isinstance(body, dict) else None, RpcFault(-32600, "Invalid request"))
        number = body.get("id")
        method = self._methods.table.get(body["method"])
        params = body.get("params")
        try:
            if method is None:
                raise RpcFault(-32601, "Method not found")
            if not isinstance(params, list | None):
                raise RpcFault(-32602, "Invalid params: expected a list")
            result = await method(Params(params or []))
        except RpcFault as fault:
            return _fault(number, fault)
        except AssayError as error:
            return _fault(number, RpcFault(-32602 if error.status in (400, 422) else -32005, str(error)))
        except Exception:
            log.exception("json-rpc method failed", extra={"method": body["method"]})
            return _fault(number, RpcFault(-32603, "Internal error"))
        return None if "id" not in body else {"jsonrpc": "2.0", "result": result, "id": number}


def _fault(number: Any, fault: RpcFault) -> dict[str, Any]:
    error: dict[str, Any] = {"code": fault.code, "message": fault.message}
    if fault.data is not None:
        error["data"] = fault.data
    return {"jsonrpc": "2.0", "error": error, "id": number}
