"""Migrations: run once each, in order, never changed; named queries."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from assay.db import migrations
from assay.db.pool import Database
from assay.db.queries import QUERIES
from assay.domain.assignment import place
from assay.errors import ConfigError


async def test_all_run_once_and_are_recorded(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    names = [migration.name for migration in migrations.load()]
    assert await migrations.migrate(connection) == names
    assert await migrations.migrate(connection) == []
    assert [row["name"] for row in await connection.fetch("select name from migrations order by number")] == names
    await connection.close()


async def test_two_at_once_run_each_migration_once(empty_database_url: str) -> None:
    connections = [await asyncpg.connect(empty_database_url) for _ in range(3)]
    ran = await asyncio.gather(*(migrations.migrate(connection) for connection in connections))
    assert sorted(name for names in ran for name in names) == [one.name for one in migrations.load()]
    for connection in connections:
        await connection.close()


async def test_a_changed_migration_is_refused(empty_database_url: str) -> None:
    async with await Database.open(empty_database_url):
        pass
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("update migrations set checksum = 'x' where number = 1")
    with pytest.raises(ConfigError, match=r"0001_market\.sql was changed after it ran"):
        await migrations.migrate(connection)
    await connection.close()


async def test_a_newer_database_is_refused(empty_database_url: str) -> None:
    async with await Database.open(empty_database_url):
        pass
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("insert into migrations (number, name, checksum) values (9999, '9999_later.sql', 'x')")
    with pytest.raises(ConfigError, match=r"9999_later\.sql, which this version does not know"):
        await migrations.migrate(connection)
    await connection.close()


async def test_tasks_from_before_hand_outs_were_logged_keep_their_room(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    for migration in migrations.load()[:3]:
        await connection.execute(migration.text)
    request, domain, wallet = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32
    await connection.execute(
        "insert into requests (address, buyer, id, title, spec, spec_text, spec_hash, spec_cid, mode, kind, overlap,"
        " price, validation_fee, budget, records, deadline, state, lease_seconds, domain)"
        " values ($1, $3, 1, 't', '{}', 'x', $2, 'c', 0, 0, 3, 1, 0, 1, 2, 1, 'open', 60, $2)", request, domain, wallet,
    )  # fmt: skip
    ids = [bytes([10 + i]) * 32 for i in range(3)]
    for index, (task, taken, state) in enumerate(zip(ids, (0, 1, 3), ("open", "open", "done"), strict=True)):
        await connection.execute(
            "insert into tasks (id, request, index, item, media_type, answers_wanted, answers_taken, state, shuffle)"
            " values ($1, $2, $3, 'c', 't', 3, $4, $5, 7)", task, request, index, taken, state,
        )  # fmt: skip
    await connection.execute(
        "insert into leases (task, wallet, request, expires_at) values ($1, $2, $3, now())", ids[1], wallet, request
    )
    await connection.execute(migrations.load()[3].text)
    rows = await connection.fetch("select task, place, room from places order by index")
    assert [(row["task"], row["room"]) for row in rows] == [(ids[0], 3), (ids[1], 2), (ids[2], 0)]
    assert [row["place"] for row in rows] == [place(domain=domain, task=task) for task in ids]
    await connection.execute("select assignment_begin($1, $2, 20, 20, '{}')", request, domain)
    assert await connection.fetchval("select sweep_leases()") == 1
    assert await connection.fetchval("select room from places where task = $1", ids[1]) == 3
    assert await connection.fetchval("select line from assignments") == 0, "its hand-out was not logged either"
    handed = await connection.fetch("select * from hand_out($1, $2, 'W', 9, 60, 500, null)", request, wallet)
    assert {row["id"] for row in handed} == set(ids[:2])
    await connection.close()


async def test_what_was_uploaded_before_there_were_limits_stays(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    for migration in migrations.load()[:10]:
        await connection.execute(migration.text)
    await connection.execute("insert into items (cid, media_type, size) values ('item', 'text/plain', 3)")
    await connection.execute(
        "insert into requests (address, buyer, id, title, spec, spec_text, spec_hash, spec_cid, mode, kind, overlap,"
        " price, validation_fee, budget, records, deadline, state, lease_seconds)"
        " values ($1, $1, 1, 't', '{}', 'text', $1, 'spec', 0, 0, 3, 1, 0, 1, 2, 1, 'draft', 60)", bytes(32),
    )  # fmt: skip
    await connection.execute(migrations.load()[10].text)
    rows = await connection.fetch("select cid, size, stored, expires_at from items order by cid")
    assert [tuple(row) for row in rows] == [("item", 3, True, None), ("spec", 4, True, None)]
    assert await connection.fetchval("select count(*) from uploads") == 0
    assert await connection.fetchval("select drafted_at > now() - interval '1 minute' from requests")
    await connection.close()


async def test_every_query_is_valid_sql(database: Database) -> None:
    async with database.session() as session:
        for name, text in QUERIES.items():
            try:
                await session.connection.prepare(text)
            except asyncpg.PostgresError as error:
                pytest.fail(f"{name}: {error}")


async def test_a_listener_hears_of_answers_and_comes_back_after_a_loss(database: Database) -> None:
    heard = asyncio.Event()
    await database.listen("assay_answers", lambda payload: heard.set())
    async with database.session() as session:
        await session.connection.execute("notify assay_answers")
        await asyncio.wait_for(heard.wait(), 5)
        heard.clear()
        assert database._listener is not None
        await session.connection.execute("select pg_terminate_backend($1)", database._listener.get_server_pid())
    await asyncio.wait_for(heard.wait(), 10)  # told once after it is back: something may have been missed
