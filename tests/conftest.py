"""What tests of several areas share: a PostgreSQL server a session, a database a test, a market a test."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
import structlog
from hypothesis import HealthCheck, settings
from solders.keypair import Keypair

from assay.client import Client
from assay.db.pool import Database
from assay.db.postgres import EmbeddedPostgres
from assay.server import Server
from assay.settings import load

# How fast a busy machine draws examples says nothing of the code.
settings.register_profile("assay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("assay")

MIGRATED = "migrated"
_numbers = itertools.count()

SECONDS = {
    "e2e": 20, "test_cluster.py": 60, "validation": 6, "test_disputing.py": 40, "web": 4, "simulate": 3,
    "test_stateful.py": 10, "chain": 2, "consensus": 1, "services": 1, "api": 1,
}  # fmt: skip
"""How long a test of a folder or file takes, about; the others are quick."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: what runs last runs beside idle processes."""
    seconds: Counter[Path] = Counter()
    for item in items:
        seconds[item.path] += SECONDS.get(item.path.name, SECONDS.get(item.path.parent.name, 0))
    items.sort(key=lambda item: -seconds[item.path])


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that ran in this process has set logging up, on a stream that is closed when its test is over."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A real server, stopped at the end of the session."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    asyncio.run(_begin(server))
    yield server
    asyncio.run(server.stop())


async def _begin(server: EmbeddedPostgres) -> None:
    """Starts it, with a migrated database to copy. Its data end with the session: no disk is waited for."""
    await server.start()
    admin = await asyncpg.connect(server.url)
    for setting in ("fsync", "full_page_writes"):
        await admin.execute(f"alter system set {setting} = off")
    await admin.execute("select pg_reload_conf()")
    await admin.execute(f"create database {MIGRATED} template template0")
    await admin.close()
    async with await Database.open(_url(server, MIGRATED)):
        pass


def _url(server: EmbeddedPostgres, name: str) -> str:
    return server.url.replace("/assay?", f"/{name}?")


@contextlib.asynccontextmanager
async def _copy(server: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    """The address of a database of its own."""
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(server.url)
    await admin.execute(f"create database {name} template {template} strategy file_copy")
    await admin.close()
    yield _url(server, name)
    admin = await asyncpg.connect(server.url)
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture
async def empty_database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A database in which nothing is yet."""
    async with _copy(postgres, "template0") as url:
        yield url


@pytest.fixture
async def database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A migrated database without rows."""
    async with _copy(postgres, MIGRATED) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The same, opened."""
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
