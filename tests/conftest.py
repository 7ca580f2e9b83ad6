"""What tests of several areas share: a PostgreSQL server a session, a database a test, a market a test."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
import structlog
from solders.keypair import Keypair

from assay.client import Client
from assay.db.pool import Database
from assay.db.postgres import EmbeddedPostgres
from assay.server import Server
from assay.settings import load

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that ran in this process has set logging up, on a stream that is closed when its test is over."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A real server, stopped at the end of the session."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture
async def database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """An empty database of its own."""
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(postgres.url)
    await admin.execute(f"create database {name} template template0")
    await admin.close()
    yield postgres.url.replace("/assay?", f"/{name}?")
    admin = await asyncpg.connect(postgres.url)
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database."""
    async with await Database.open(database_url) as opened:
        yield opened


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A market's home."""
    return tmp_path / "home"


@pytest.fixture
async def server(home: Path, database_url: str) -> AsyncIterator[Server]:
    """A whole market: embedded chain, database, API, engine."""
    async with Server(load(home=home, database_url=database_url)) as running:
        yield running


Join = Callable[..., Awaitable[Client]]


@pytest.fixture
async def join(server: Server) -> AsyncIterator[Join]:
    """Makes clients: `await join("labeler", stake="100")` has tokens, is registered and signed in."""
    async with AsyncExitStack() as stack:

        async def make(role: str | None, *, stake: str = "0", tokens: str = "10000") -> Client:
            client = await stack.enter_async_context(Client(server.url, key=Keypair()))
            await client.faucet(tokens=tokens)
            if role is not None:
                await client.enrol(role, stake=stake)
            return client

        yield make


Post = Callable[..., Awaitable[dict[str, object]]]


@pytest.fixture
def post() -> Post:
    """Uploads texts and posts a request for them: `await post(buyer, items=5, overlap=3)`."""

    async def make(buyer: Client, *, items: int = 4, overlap: int = 1, mode: str = "agreement", **changes: object):
        uploaded = [await buyer.upload(f"item {i}".encode(), media_type="text/plain") for i in range(items)]
        spec = {
            "title": "Words",
            "instructions": "a or b?",
            "kind": "choice",
            "schema": {"classes": ["a", "b"]},
            "mode": mode,
            "overlap": overlap,
            "items": [{"cid": item["cid"], "media_type": item["media_type"]} for item in uploaded],
        }
        spec.update(changes.pop("spec", {}))
        order = {"spec": spec, "price": "1", "validation_fee": "0.04", **changes}
        return await buyer.post(order)

    return make
