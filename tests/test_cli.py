"""Every wrong call of the command line ends with one line that names what is wrong, and a code that is not 0."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.main import get_command

from assay import cli
from assay.chain.keys import ensure_key
from assay.db.postgres import EmbeddedPostgres
from assay.demo import audit
from assay.demo.audit import DEFAULT_HOME
from assay.demo.serve import HOME
from assay.services.audit.report import Finding, Report

NOBODY = "http://127.0.0.1:1"
Call = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """`refused("serve", "--port", "x")`: what the command said as it failed."""

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["assay", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        assert ended.value.code not in (0, None), out
        assert "Traceback" not in err
        lines = [line for line in err.splitlines() if line.startswith("assay")]
        if lines:
            assert len(lines) == 1
            return lines[0]
        return " ".join(err.replace("│", " ").split())

    return call


def test_wrong_values_are_named(refused: Call, tmp_path: Path) -> None:
    home = ["--home", str(tmp_path / "home")]
    for said, arguments in {
        "--port: is 99999": ("serve", *home, "--port", "99999"),
        "--host: 999.1.1.1 is no address to listen on": ("serve", *home, "--host", "999.1.1.1"),
        "--host: 192.0.2.1 is no address to listen on": ("serve", *home, "--host", "192.0.2.1"),
        "--rpc: 'nonsense' is no address of a cluster": ("serve", *home, "--rpc", "nonsense"),
        "'--port'": ("serve", "--port", "x"),
        "'--records'": ("demo", "--records", "0"),
        "'--validators'": ("up", "--validators", "2"),
        "--overlap: is 20 (at most the 3 labelers)": ("demo", *home, "--overlap", "20", "--labelers", "3"),
        "--truth: goes with --answers": ("demo", *home, "--truth", "x.csv"),
        "--mix: names unknown": ("simulate", "--mix", "bogus=1"),
        "--method: must be one of": ("simulate", "--method", "bogus", "--tasks", "50"),
        "NAME: there is no benchmark": ("bench", "bogus"),
        "'--key'": ("validator",),
    }.items():
        assert said in refused(*arguments)


def test_commands_of_others_show_their_own_help(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["assay", "validator", "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    said = capfd.readouterr().out
    assert "assay validator" in said
    assert "--judge" in said


def test_the_help_of_the_benchmarks_names_them(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in ((["--help"], "agreement, api, "), (["consensus", "--help"], "a folder of folders with")):
        monkeypatch.setattr(sys, "argv", ["assay", "bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        assert said in " ".join(capfd.readouterr().out.split())


def test_wrong_settings_are_named(refused: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_BATCH_RECORDS", "0")
    assert refused("serve", "--home", str(tmp_path)).startswith("assay: ASSAY_BATCH_RECORDS: is '0' (")


def test_files_that_are_not_there_are_named(refused: Call, tmp_path: Path) -> None:
    file, gone = tmp_path / "file", str(tmp_path / "none.csv")
    file.touch()
    home = ["--home", str(tmp_path / "home")]
    assert "--answers: " in (said := refused("demo", *home, "--answers", gone))
    assert gone in said
    assert "LABELS: " in refused("consensus", gone)
    assert "--home: there is no market" in refused("replay", *home)
    for command in ("serve", "demo", "up"):
        assert f"--home: {file} is a file" in refused(command, "--home", str(file))
    assert "--home: /proc/none cannot be used" in refused("serve", "--home", "/proc/none")
    validator = ["validator", "--api", NOBODY, "--rpc", NOBODY, "--judge"]
    assert "--key: there is no key file" in refused(*validator, "accept-valid", "--key", gone)
    key = tmp_path / "key.json"
    ensure_key(key)
    assert "bogus" in refused(*validator, "bogus", "--key", str(key))
    assert "--log-level: is 'loud'" in refused(*validator, "accept-valid", "--key", str(key), "--log-level", "loud")
    key.write_text(json.dumps([1, 2]))
    assert f"--key: {key} is no key file" in refused(*validator, "accept-valid", "--key", str(key))


def test_a_chain_that_does_not_answer_is_named(refused: Call, tmp_path: Path) -> None:
    home = ["--home", str(tmp_path / "home")]
    for command in ("serve", "up", "demo", "replay"):
        (tmp_path / "home" / "log").mkdir(parents=True, exist_ok=True)
        said = refused(command, *home, "--rpc", NOBODY)
        assert said.startswith(f"assay: --rpc: {NOBODY} does not answer"), command


def test_ports_in_use_are_named(refused: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("ASSAY_CHAIN_PORT", port)
        said = refused("serve", "--home", str(tmp_path / "home"))
        assert f"ASSAY_CHAIN_PORT: port {port} of 127.0.0.1 cannot be used: Address already in use" in said


@pytest.mark.timeout(180)
def test_a_home_of_a_newer_version_is_refused(
    refused: Call, tmp_path: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    import asyncpg

    url = postgres.url.replace("/assay?", "/newer?")

    async def prepare() -> None:
        admin = await asyncpg.connect(postgres.url)
        await admin.execute("create database newer")
        await admin.close()
        connection = await asyncpg.connect(url)
        await connection.execute(
            "create table migrations (number integer primary key, name text not null, checksum bytea not null,"
            " ran_at timestamptz not null default now());"
            "insert into migrations (number, name, checksum) values (9999, '9999_later.sql', 'x')"
        )
        await connection.close()

    asyncio.run(prepare())
    monkeypatch.setenv("ASSAY_DATABASE_URL", url)
    assert "9999_later.sql, which this version does not know" in refused("serve", "--home", str(tmp_path / "home"))
    monkeypatch.setenv("ASSAY_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")
    assert "ASSAY_DATABASE_URL" in refused("serve", "--home", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("command", "home"), [("demo", DEFAULT_HOME), ("replay", DEFAULT_HOME), ("up", HOME), ("serve", Path(".assay"))]
)
def test_the_help_names_the_home_that_is_used(command: str, home: Path) -> None:
    (option,) = [one for one in get_command(cli.app).commands[command].params if one.name == "home"]
    assert option.show_default == str(home)


def test_a_finding_is_told_in_words() -> None:
    found = replace(Report(), finding=Finding("tally", "good: 2 instead of 1", batch=3)).as_dict()
    assert "DOES NOT FIT: tally: good: 2 instead of 1 [batch 3]" in audit.text(found)
