"""A step of judging or settling costs what is ready, not what is open; and the migration to that."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from assay.db import migrations
from assay.db.queries import QUERIES

TASKS = 20_000
PAGES = 400
"""Pages of the database that a hot statement may touch; a scan of the tasks or answers takes over a thousand."""
REQUEST, REVIEW = (hashlib.sha256(name).digest() for name in (b"r0", b"r1"))
VOTER = hashlib.sha256(b"v").digest()

FILL = """
insert into requests (address, buyer, id, title, spec, spec_text, spec_hash, spec_cid, mode, kind, overlap, price,
    validation_fee, budget, records, deadline, state, lease_seconds, domain)
select sha256(convert_to('r' || i, 'UTF8')), sha256('b'), i, 't', '{}', '', sha256('s'), 'c', i, 0, 1, 1, 1, 1, 1, 1,
    'open', 1, sha256('d') from generate_series(0, 1) i;
insert into tasks (id, request, index, item, media_type, answers_wanted)
select sha256(convert_to(m || 't' || i, 'UTF8')), sha256(convert_to('r' || m, 'UTF8')), i, 'c', 'text/plain', 5 - 4 * m
from generate_series(0, 1) m, generate_series(0, %(tasks)d - 1) i;
insert into answers (id, request, task, labeler, content, content_hash, cid, signature)
select sha256(convert_to(m || 'a' || i, 'UTF8')), sha256(convert_to('r' || m, 'UTF8')),
    sha256(convert_to(m || 't' || i, 'UTF8')), sha256(convert_to('l' || i %% 20, 'UTF8')), '{}', sha256('h'),
    'cid', decode(repeat('00', 64), 'hex')
from generate_series(0, 1) m, generate_series(0, %(tasks)d / (1 + m) - 1) i;
update tasks set answers_done = 1 where id in (select task from answers);
update tasks set answers_wanted = 1 where request = sha256('r0') and index < 10;
"""


@pytest.fixture
async def filled(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """20,000 tasks by agreement with one of five answers, ten of them complete; as many by review, half in judgement,
    of which ten have a round, and ten rejected."""
    connection = await asyncpg.connect(database_url, statement_cache_size=0)
    await connection.execute(FILL % {"tasks": TASKS})
    await connection.execute(
        """
        update answers set state = 'judging' where request = sha256('r1');
        insert into rounds (answer, round, request, panel_round, panel, commit_until)
        select id, 0, request, 1, array[sha256('v')], now() + interval '1 hour'
        from answers where request = sha256('r1') limit 10;
        update tasks set state = 'rejected' where request = sha256('r1') and index < 10;
        """
    )
    await connection.execute("vacuum analyze")
    yield connection
    await connection.close()


def _value(argument: object) -> str:
    return f"'\\x{argument.hex()}'" if isinstance(argument, bytes) else repr(argument)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_hot_statements_touch_what_is_ready(filled: asyncpg.Connection, mode: str) -> None:
    answer = await filled.fetchval("select answer from rounds limit 1")
    hot: list[tuple[str, list[object]]] = [
        ("requests_unsettled", []), ("tasks_due", [REQUEST, 400]), ("due_agreement", [REQUEST, 400]),
        ("due_review", [REVIEW, 400]), ("answers_due", [REVIEW, 400]), ("review_waiting", [500]),
        ("rounds_overdue", []), ("requests_rejected", []), ("tasks_again", [REVIEW, 5]), ("requests_with_room", []),
        ("work_assigned_of", [VOTER, answer]), ("openings_due_of", [VOTER, answer]),
        ("labelers_of_request", [REQUEST, 100]), ("settled_event", ["r", 1]),
    ]  # fmt: skip
    await filled.execute(f"set plan_cache_mode = {mode}")
    touched = {}
    for name, arguments in hot:
        await filled.execute(f"prepare hot as {QUERIES[name]}")
        given = f"({', '.join(map(_value, arguments))})" if arguments else ""
        async with filled.transaction():
            rows = await filled.fetch(f"explain (analyze, buffers, timing off) execute hot{given}")
        await filled.execute("deallocate hot")
        found = re.search(r"Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?", "\n".join(row[0] for row in rows))
        touched[name] = sum(int(part or 0) for part in found.groups()) if found else 0
    assert {name: pages for name, pages in touched.items() if pages > PAGES} == {}


async def test_what_is_due_is_kept_by_the_database(filled: asyncpg.Connection) -> None:
    assert await filled.fetchval("select count(*) from tasks where request = $1 and due_at is not null", REQUEST) == 10
    one = await filled.fetchval("select id from tasks where request = $1 and index = 5000", REQUEST)

    async def due(change: str) -> bool:
        await filled.execute(f"update tasks set {change} where id = $1", one)
        return bool(await filled.fetchval("select due_at is not null from tasks where id = $1", one))

    assert not await due("answers_done = 4")
    assert await due("answers_done = 5")
    assert not await due("answers_wanted = 7")  # more answers are wanted: the verdict waits for them
    assert await due("answers_done = 7")
    assert await due("decided_at = now(), state = 'done'")
    assert await due("answers_wanted = 9")  # what is decided stays so
    closing = await filled.execute(QUERIES["tasks_closing"], REQUEST, 400)
    assert closing == "UPDATE 400"


async def test_an_open_market_is_taken_over(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks and answers from before the migration come to stand where they would have come to stand after it."""
    every = migrations.load()
    connection = await asyncpg.connect(empty_database_url)
    with monkeypatch.context() as before:
        before.setattr(migrations, "load", lambda: every[:5])
        await migrations.migrate(connection)
    await connection.execute(FILL % {"tasks": 40})
    await connection.execute(
        """
        update answers set state = 'judging' where request = sha256('r1');
        update answers set state = 'judged', verdict = false, decided_at = now()
        where task in (select id from tasks where request = sha256('r1') and index < 3);
        insert into rounds (answer, round, request, panel_round, panel, commit_until, state)
        select a.id, 0, a.request, 1, array[sha256('v')], now(), case when t.index < 5 then 'failed' else 'commit' end
        from answers a join tasks t on t.id = a.task where t.request = sha256('r1') and t.index >= 3;
        """
    )
    await migrations.migrate(connection)
    assert (
        await connection.fetchval("select count(*) from tasks where request = $1 and due_at is not null", REQUEST) == 10
    )
    assert await connection.fetchval("select count(*) from tasks where state = 'rejected'") == 3
    states = await connection.fetch(
        "select state, count(*) as n from answers where request = $1 group by state", REVIEW
    )
    assert {row["state"]: row["n"] for row in states} == {"judged": 3, "submitted": 2, "judging": 15}
    await connection.close()
