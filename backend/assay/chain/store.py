"""What the embedded chain keeps on disk: accounts, transactions and its place in time, in one SQLite file.

One group of transactions is one SQLite transaction (WAL, synchronous=FULL): when `commit` returns it survives both
``kill -9`` and a loss of power.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from solders.account import Account
from solders.pubkey import Pubkey
from solders.transaction_metadata import TransactionMetadata

from assay.errors import ChainUnavailable, ConfigError

VERSION = 1
SCHEMA = """
create table meta (name text primary key, value blob not null) without rowid;
create table accounts (
    address blob primary key, lamports integer not null, owner blob not null, executable integer not null,
    data blob not null
);
create table transactions (
    seq integer primary key, signature blob not null unique, slot integer not null, block_time integer not null,
    error text, raw blob not null, meta blob not null, loaded blob not null, balances blob not null
);
create table mentions (address blob not null, seq integer not null, primary key (address, seq)) without rowid;
"""
AccountRow = tuple[bytes, int, bytes, int, bytes]


@dataclass(slots=True)
class Record:
    """One transaction that was executed. `error` is None or the error in JSON-RPC form, as JSON text.

    `loaded`: the addresses from lookup tables, writable ones first; `balances`: u64 lamports of every account of the
    transaction before, then after.
    """

    seq: int
    signature: bytes
    slot: int
    block_time: int
    error: str | None
    raw: bytes
    meta: TransactionMetadata
    loaded: bytes
    balances: bytes


class Store:
    """The file. `commit` may run in another thread than the reads; each has a connection of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder / "lock")
        self._path = folder / "chain.sqlite"
        self._turn = threading.Lock()
        try:
            self._writer = self._connect()
            self._reader = self._connect()
        except sqlite3.DatabaseError as error:
            self._lock.close()
            raise ConfigError(f"{self._path} cannot be opened: {error}", hint="move it away to start anew") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma cache_size = -32000")
        version = connection.execute("pragma user_version").fetchone()[0]
        if version == 0:
            connection.executescript(f"begin immediate; {SCHEMA} pragma user_version = {VERSION}; commit;")
        elif version != VERSION:
            connection.close()
            raise ConfigError(
                f"{self._path} is of version {version}, this program reads {VERSION}",
                hint="use the program that made it",
            )
        return connection

    def close(self) -> None:
        """Lets go of the file and of the home. May be called twice."""
        self._reader.close()
        self._writer.close()
        self._lock.close()

    def get(self, name: str) -> bytes | None:
        """A value of the chain's own (genesis, slot …)."""
        with self._turn:
            row = self._writer.execute("select value from meta where name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, values: dict[str, bytes]) -> None:
        """Sets values of the chain's own, durably."""
        with self._transaction() as db:
            db.executemany("insert or replace into meta values (?, ?)", list(values.items()))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time; all that is done inside is on disk afterwards, or none of it."""
        with self._turn:
            self._writer.execute("begin immediate")
            try:
                yield self._writer
                self._writer.execute("commit")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("rollback")
                raise

    def commit(
        self,
        records: Iterable[Record],
        accounts: Sequence[AccountRow],
        closed: Sequence[bytes],
        values: dict[str, bytes],
    ) -> None:
        """Writes executed transactions with the accounts they left behind, all or nothing."""
        with self._transaction() as db:
            db.executemany(
                "insert into transactions values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (r.seq, r.signature, r.slot, r.block_time, r.error, r.raw, bytes(r.meta), r.loaded, r.balances)
                    for r in records
                ],
            )
            db.executemany("insert or replace into accounts values (?, ?, ?, ?, ?)", accounts)
            if closed:
                db.executemany("delete from accounts where address = ?", [(address,) for address in closed])
            if values:
                db.executemany("insert or replace into meta values (?, ?)", list(values.items()))

    def accounts(self) -> list[tuple[Pubkey, Account]]:
        """All accounts; programs come last, since a runtime wants their data first."""
        rows = self._writer.execute("select * from accounts order by executable")
        return [
            (Pubkey.from_bytes(address), Account(lamports, data, Pubkey.from_bytes(owner), bool(executable)))
            for address, lamports, owner, executable, data in rows
        ]

    def last_seq(self) -> int:
        """Number of the last transaction, 0 if there is none."""
        return int(self._reader.execute("select coalesce(max(seq), 0) from transactions").fetchone()[0])

    def signatures_since(self, slot: int) -> list[tuple[bytes, int]]:
        """(signature, slot) of the transactions from `slot` on."""
        # newest first along the primary key: there is no index by slot, and slots never fall
        found = []
        for signature, at in self._reader.execute("select signature, slot from transactions order by seq desc"):
            if at < slot:
                break
            found.append((bytes(signature), int(at)))
        return found

    def after(self, seq: int, *, limit: int) -> list[Record]:
        """Records behind `seq`, in order."""
        rows = self._reader.execute("select * from transactions where seq > ? order by seq limit ?", (seq, limit))
        return [_record(row) for row in rows.fetchall()]

    def by_signature(self, signature: bytes) -> Record | None:
        """The transaction of this signature."""
        row = self._reader.execute("select * from transactions where signature = ?", (signature,)).fetchone()
        return None if row is None else _record(row)

    def seq_of(self, signature: bytes) -> int | None:
        """Number of the transaction of this signature."""
        row = self._reader.execute("select seq from transactions where signature = ?", (signature,)).fetchone()
        return None if row is None else int(row[0])

    def mentioning(self, address: bytes, *, before: int | None, until: int | None, limit: int) -> list[Record]:
        """Records that name `address`, newest first, with `until` < seq < `before`."""
        rows = self._reader.execute(
            "select t.* from mentions m join transactions t using (seq)"
            " where m.address = ? and m.seq < ? and m.seq > ? order by m.seq desc limit ?",
            (address, before if before is not None else 1 << 62, until or 0, limit),
        )
        return [_record(row) for row in rows.fetchall()]

    def index_mentions(self, records: Sequence[tuple[int, Sequence[bytes]]], *, upto: int) -> None:
        """Notes which addresses transactions name; made when first asked for, so that settling does not pay for it."""
        with self._transaction() as db:
            db.executemany(
                "insert or ignore into mentions values (?, ?)",
                [(address, seq) for seq, addresses in records for address in addresses],
            )
            db.execute("insert or replace into meta values ('indexed', ?)", (str(upto).encode(),))


def _record(row: tuple[int, bytes, int, int, str | None, bytes, bytes, bytes, bytes]) -> Record:
    seq, signature, slot, block_time, error, raw, meta, loaded, balances = row
    return Record(seq, signature, slot, block_time, error, raw, TransactionMetadata.from_bytes(meta), loaded, balances)


def _lock(path: Path) -> IO[str]:
    """Holds the home for this process; the system lets go of it when the process ends, however it ends."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "another"
        file.close()
        raise ChainUnavailable(
            f"the chain in {path.parent} is in use by process {owner}",
            hint="stop that process, or use another home; its JSON-RPC port serves others",
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
