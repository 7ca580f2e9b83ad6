"""The pool of connections, with migrations done and named queries at hand.

    async with await Database.open(url) as db:
        rows = await db.fetch("tasks_claim", request, wallet, 10)
        async with db.transaction() as tx:
            await tx.execute("answers_insert", ...)

Queries live in ``queries/*.sql`` under ``-- name`` headers; jsonb goes in and out as plain Python values (msgspec).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import asyncpg
import msgspec
import structlog

from assay.db.migrations import migrate
from assay.db.queries import QUERIES
from assay.errors import Unavailable

log = structlog.get_logger(__name__)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

# What a lost or restarting server raises: the caller may try again.
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a call was cut in the middle
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    OSError,
)


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + _encode(value),  # binary jsonb: a version byte, then the text
        decoder=lambda data: _decode(data[1:]),
        format="binary",
    )


async def _reset(connection: asyncpg.Connection) -> None:
    """What a connection needs before the next user: nothing, since no query here leaves session state behind.

    (asyncpg's own reset is a round trip after every query.)
    """
    if connection.is_in_transaction():
        await connection.reset()


class Session:
    """One connection: named queries on it. What `Database.transaction` gives."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def fetch(self, name: str, *arguments: object) -> list[Any]:
        """All rows of the query named `name`."""
        return list(await self.connection.fetch(QUERIES[name], *arguments))

    async def row(self, name: str, *arguments: object) -> Any | None:
        """Its first row, or None."""
        return await self.connection.fetchrow(QUERIES[name], *arguments)

    async def value(self, name: str, *arguments: object) -> Any:
        """The first column of its first row, or None."""
        return await self.connection.fetchval(QUERIES[name], *arguments)

    async def execute(self, name: str, *arguments: object) -> str:
        """Runs it; PostgreSQL's status line, such as ``UPDATE 3``."""
        return str(await self.connection.execute(QUERIES[name], *arguments))

    async def many(self, name: str, rows: Iterable[Sequence[object]]) -> None:
        """Runs it once a row, pipelined."""
        await self.connection.executemany(QUERIES[name], rows)

    async def copy(self, table: str, *, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """COPYs `rows` into `table`."""
        await self.connection.copy_records_to_table(table, records=rows, columns=list(columns))


class Database:
    """A pool on one database whose migrations are done."""

    def __init__(self, pool: asyncpg.Pool, url: str) -> None:
        self._pool = pool
        self.url = url
        self._listener: asyncpg.Connection | None = None
        self._callbacks: dict[str, list[Callable[[str], None]]] = {}
        self._relisten: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str, *, size: int = 8) -> Database:
        """Connects, migrates. Raises `Unavailable` where the server cannot be reached."""
        try:
            pool = await asyncpg.create_pool(
                url, min_size=min(2, size), max_size=size, init=_prepare, reset=_reset, command_timeout=60
            )
        except (*LOST, asyncpg.PostgresError, TimeoutError) as error:
            raise Unavailable(
                f"PostgreSQL cannot be reached: {error}", field="ASSAY_DATABASE_URL", hint="is the server running?"
            ) from error
        database = cls(pool, url)
        try:
            async with pool.acquire() as connection:
                await migrate(connection)
        except BaseException:
            await database.close()
            raise
        return database

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes every connection; those busy for over five seconds are cut."""
        if self._relisten is not None:
            self._relisten.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._relisten
            self._relisten = None
        if self._listener is not None and not self._listener.is_closed():
            with contextlib.suppress(*LOST, TimeoutError):
                await self._listener.close(timeout=2)
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except (TimeoutError, *LOST):
            self._pool.terminate()

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A connection without a transaction. A lost server becomes `Unavailable`."""
        try:
            async with self._pool.acquire(timeout=30) as connection:
                yield Session(connection)
        except (*LOST, TimeoutError) as error:
            raise Unavailable(f"the database is not there: {error}", retry_after=1) from error

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """A connection inside a transaction: returning commits, raising rolls back."""
        async with self.session() as session, session.connection.transaction():
            yield session

    async def fetch(self, name: str, *arguments: object) -> list[Any]:
        """All rows of the query named `name`."""
        async with self.session() as session:
            return await session.fetch(name, *arguments)

    async def row(self, name: str, *arguments: object) -> Any | None:
        """Its first row, or None."""
        async with self.session() as session:
            return await session.row(name, *arguments)

    async def value(self, name: str, *arguments: object) -> Any:
        """The first column of its first row, or None."""
        async with self.session() as session:
            return await session.value(name, *arguments)

    async def execute(self, name: str, *arguments: object) -> str:
        """Runs it; PostgreSQL's status line."""
        async with self.session() as session:
            return await session.execute(name, *arguments)

    async def many(self, name: str, rows: Iterable[Sequence[object]]) -> None:
        """Runs it once a row, in one transaction."""
        async with self.session() as session:
            await session.many(name, rows)

    # -- notifications ------------------------------------------------------------------------------------------------

    async def listen(self, channel: str, callback: Callable[[str], None]) -> None:
        """Calls `callback(payload)` at each NOTIFY on `channel`, reconnecting as often as it takes.

        After a reconnection it is called once with an empty payload, since notifications may have been missed.
        """
        self._callbacks.setdefault(channel, []).append(callback)
        if self._listener is None:
            await self._connect_listener()
            self._relisten = asyncio.create_task(self._keep_listening(), name="db-listener")
        elif not self._listener.is_closed():  # one that is lost listens to all channels when it is back
            with contextlib.suppress(*LOST):
                await self._listener.add_listener(channel, self._on_notify)

    def _on_notify(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        for callback in self._callbacks.get(channel, ()):
            callback(str(payload))

    async def _connect_listener(self) -> None:
        connection = await asyncpg.connect(self.url, timeout=10)
        self._listener = connection
        for channel in self._callbacks:
            await connection.add_listener(channel, self._on_notify)

    async def _keep_listening(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self._listener is not None and not self._listener.is_closed():
                continue
            try:
                await self._connect_listener()
            except (*LOST, asyncpg.PostgresError, TimeoutError) as error:
                log.warning("listener lost", error=str(error))
                continue
            for channel in self._callbacks:
                self._on_notify(None, 0, channel, "")
