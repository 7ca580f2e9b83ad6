"""Numbered migrations, only ever added: each runs once, in its own transaction, and its checksum is recorded."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

import asyncpg
import structlog

from assay.errors import ConfigError

log = structlog.get_logger(__name__)

LOCK = 0x4153534159  # "ASSAY": two processes that start at once migrate one after the other
NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `checksum` is the sha256 of its text."""

    number: int
    name: str
    text: str
    checksum: bytes


def load() -> list[Migration]:
    """All migrations of this package in order. Raises `ConfigError` for a gap or a number used twice."""
    found = []
    for file in resources.files(__name__).iterdir():
        if match := NAME.fullmatch(file.name):
            text = file.read_text(encoding="utf-8")
            found.append(Migration(int(match[1]), file.name, text, hashlib.sha256(text.encode()).digest()))
    found.sort(key=lambda migration: migration.number)
    for place, migration in enumerate(found, 1):
        if migration.number != place:
            raise ConfigError(f"migration {migration.name} stands where number {place:04} should")
    return found


async def migrate(connection: asyncpg.Connection) -> list[str]:
    """Brings the database up to date; names of what ran.

    Raises `ConfigError` where a migration that ran was changed afterwards, or the database is newer than this code.
    """
    migrations = load()
    ran = []
    await connection.execute("select pg_advisory_lock($1)", LOCK)
    try:
        await connection.execute(
            "create table if not exists migrations (number integer primary key, name text not null,"
            " checksum bytea not null, ran_at timestamptz not null default now())"
        )
        done = {row["number"]: row for row in await connection.fetch("select number, name, checksum from migrations")}
        unknown = sorted(set(done) - {migration.number for migration in migrations})
        if unknown:
            raise ConfigError(
                f"the database has migration {done[unknown[0]]['name']}, which this version does not know",
                field="ASSAY_DATABASE_URL",
                hint="run the newer version",
            )
        for migration in migrations:
            if (row := done.get(migration.number)) is not None:
                if row["checksum"] != migration.checksum:
                    raise ConfigError(
                        f"migration {migration.name} was changed after it ran",
                        field="ASSAY_DATABASE_URL",
                        hint="migrations are only ever added",
                    )
                continue
            async with connection.transaction():
                await connection.execute(migration.text)
                await connection.execute(
                    "insert into migrations (number, name, checksum) values ($1, $2, $3)",
                    migration.number,
                    migration.name,
                    migration.checksum,
                )
            log.info("migrated", migration=migration.name)
            ran.append(migration.name)
    finally:
        await connection.execute("select pg_advisory_unlock($1)", LOCK)
    return ran
