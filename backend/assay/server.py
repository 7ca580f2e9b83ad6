"""One process with everything: chain, database, API, and the engine that judges and settles.

    async with Server(settings) as server:
        print(server.url)

Started again on the same home it goes on where it was. ``HOME/run/server.json`` says where it listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import structlog
from aiohttp import web

from assay.api.app import create_app
from assay.chain import setup
from assay.chain.base import Chain
from assay.chain.embedded import EmbeddedChain
from assay.chain.program import load_program
from assay.chain.rpc_server import RpcServer
from assay.db.pool import Database
from assay.db.postgres import EmbeddedPostgres
from assay.errors import AssayError
from assay.listening import cannot_listen
from assay.services.engine import Engine
from assay.services.genesis import Faucet, ensure_market
from assay.services.market import Market
from assay.settings import Settings
from assay.storage import open_store

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0
FORGET_SECONDS = 600.0
SHUTDOWN_SECONDS = 5.0


class Server:
    """The market of one home. `params`: of the Market account, where an embedded chain is begun."""

    def __init__(self, settings: Settings, *, params: Mapping[str, Any] | None = None) -> None:
        self.settings = settings
        self._params = params
        self._stack = AsyncExitStack()
        self.market: Market
        self._postgres: EmbeddedPostgres | None = None
        self.port = settings.port

    @property
    def url(self) -> str:
        """Address of the API."""
        return f"http://{self.settings.host}:{self.port}"

    @property
    def state_file(self) -> Path:
        """Where others find this server."""
        return self.settings.home / "run" / "server.json"

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Takes no more calls, finishes what is in hand, stops everything. May be called twice."""
        await self._stack.aclose()

    # -- starting, each part undone in the reverse order --------------------------------------------------------------

    async def _start(self) -> None:
        settings = self.settings
        settings.make_home()
        chain, rpc_url, ws_url = await self._chain()
        database = await self._database()
        store = open_store(settings)
        self._stack.push_async_callback(store.close)
        self.market = Market(settings=settings, db=database, chain=chain, store=store)
        self.market.rpc_url = rpc_url
        if isinstance(chain, EmbeddedChain):
            operator, mint = await ensure_market(chain, settings, params=self._params)
            self.market.faucet = Faucet(chain, authority=operator, mint=mint.pubkey())
        await self.market.answers.start()
        self._stack.push_async_callback(self.market.answers.stop)
        engine = Engine(self.market)
        self.market.engine = engine
        await self._listen()
        await engine.start()
        self._stack.push_async_callback(engine.stop)
        self._loop("sweeper", self._sweep, SWEEP_SECONDS)
        self._loop("database watch", self._watch_database, SWEEP_SECONDS)
        self._loop("forgetter", self.market.sessions.sweep, FORGET_SECONDS)
        self._loop("uploads", self.market.items.sweep, FORGET_SECONDS)
        self._announce(rpc_url, ws_url)
        log.info("market is up", url=self.url, rpc=rpc_url, home=str(settings.home))

    async def _chain(self) -> tuple[Chain, str, str | None]:
        settings = self.settings
        program = load_program(settings.program_id)
        if settings.rpc_url is not None:
            from assay.chain.rpc import RpcChain

            chain = RpcChain(
                settings.rpc_url, ws_url=settings.ws_url, program=program, commitment=settings.commitment,
                priority_fee=settings.priority_fee,
            )  # fmt: skip
            self._stack.push_async_callback(chain.close)
            await setup.require(chain, url=settings.rpc_url, field="--rpc")
            return chain, settings.rpc_url, settings.ws_url
        embedded = EmbeddedChain(settings.home, program=program, operator=settings.operator_file)
        await embedded.open()
        self._stack.push_async_callback(embedded.close)
        rpc = RpcServer(embedded, host=settings.host, port=settings.chain_port)
        await rpc.start()
        self._stack.push_async_callback(rpc.stop)
        return embedded, rpc.url, rpc.ws_url

    async def _database(self) -> Database:
        url = self.settings.database_url
        if url is None:
            postgres = EmbeddedPostgres(self.settings.postgres_dir)
            url = await postgres.start()
            self._stack.push_async_callback(postgres.stop)
            self._postgres = postgres
        database = await Database.open(url, size=self.settings.database_pool)
        self._stack.push_async_callback(database.close)
        return database

    async def _listen(self) -> None:
        runner = web.AppRunner(
            create_app(self.market), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, handle_signals=False
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, self.settings.host, self.settings.port, reuse_address=True, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            raise cannot_listen(error, host=self.settings.host, port=self.settings.port, port_field="--port") from error
        self.port = int(runner.addresses[0][1])
        self.market.sessions.uri = self.settings.public_url or self.url

    def _announce(self, rpc_url: str, ws_url: str | None) -> None:
        self.state_file.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "url": self.url,
            "rpc_url": rpc_url,
            "ws_url": ws_url,
            "pid": os.getpid(),
            "program": str(self.market.chain.program.id),
        }
        fresh = self.state_file.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(state, indent=1))
        fresh.replace(self.state_file)
        self._stack.callback(self._withdraw)

    def _withdraw(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if json.loads(self.state_file.read_text())["pid"] == os.getpid():
                self.state_file.unlink()

    # -- chores -------------------------------------------------------------------------------------------------------

    def _loop(self, name: str, work: Callable[[], Awaitable[object]], seconds: float) -> None:
        task = asyncio.create_task(_forever(name, work, seconds), name=name)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(end)

    async def _watch_database(self) -> None:
        if self._postgres is not None and self._postgres.pid() is None:
            log.warning("PostgreSQL is gone: starting it again")
            await self._postgres.start()

    async def _sweep(self) -> None:
        if swept := await self.market.tasks.sweep():
            log.info("leases ended", tasks=swept)


async def _forever(name: str, work: Callable[[], Awaitable[object]], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except AssayError as error:
            log.warning("chore failed", chore=name, detail=str(error))
        except Exception:
            log.exception("chore failed", chore=name)


def configure_logging(settings: Settings) -> None:
    """Log lines for a terminal, or one JSON object a line."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *([structlog.processors.format_exc_info] if settings.log_json else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


async def run(settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM, then stops in order; a second signal ends the process at once."""
    configure_logging(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask, number)
    async with Server(settings) as server:
        print(f"Assay is up: {server.url}", flush=True)
        await stop.wait()
        log.info("stopping")
