"""What a worker must never forget, in SQLite with a flush to disk before anything leaves the process.

Three records: its own votes (a salt lost is a vote lost) and what they were opened to, the digests and the votes on
disputes that it has signed (two for one batch, or dispute, and round would be equivocation, which is slashed), and what
the chain has settled (`settled`: nothing is paid twice).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from assay_validator.settled import Settled

SCHEMA = """
CREATE TABLE IF NOT EXISTS votes (
    domain BLOB NOT NULL, answer BLOB NOT NULL, round INTEGER NOT NULL,
    vote INTEGER NOT NULL, salt BLOB NOT NULL, commitment BLOB NOT NULL, until REAL NOT NULL,
    revealed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (domain, answer, round)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shown (
    domain BLOB NOT NULL, answer BLOB NOT NULL, round INTEGER NOT NULL, commits BLOB NOT NULL,
    PRIMARY KEY (domain, answer, round)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signed (
    domain BLOB NOT NULL, batch INTEGER NOT NULL, round INTEGER NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (domain, batch, round)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dispute_votes (
    domain BLOB NOT NULL, dispute BLOB NOT NULL, round INTEGER NOT NULL, upheld INTEGER NOT NULL,
    PRIMARY KEY (domain, dispute, round)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS panels (
    domain BLOB NOT NULL, round INTEGER NOT NULL, members BLOB NOT NULL,
    PRIMARY KEY (domain, round)
) WITHOUT ROWID;
"""


class Refused(Exception):
    """The worker will not do it. `code` is for programs, the message for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Vote:
    """One vote as it was committed: `vote` 0 or 1, `salt` and `commitment` 32 bytes, `until` when commits end."""

    vote: int
    salt: bytes
    commitment: bytes
    until: float = 0.0
    revealed: bool = False


class State:
    """The durable record of one worker. One process at a time: the file is locked for as long as it is open."""

    def __init__(self, path: Path, *, patience: float = 5.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=patience)
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # each commit reaches the disk before it returns
        self._db.executescript(SCHEMA)
        self.settled = Settled(self._db, self._lazily)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _lazily(self) -> Iterator[None]:
        """A transaction that waits for no disk: it gets there with the next one that does, or is lost whole."""
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            with self._transaction():
                yield
        finally:
            self._db.execute("PRAGMA synchronous = FULL")

    def vote(self, domain: bytes, answer: bytes, *, round: int) -> Vote | None:
        """The vote given on this answer in this round, if any."""
        row = self._db.execute(
            "SELECT vote, salt, commitment, until, revealed FROM votes WHERE domain = ? AND answer = ? AND round = ?",
            (domain, answer, round),
        ).fetchone()
        return None if row is None else Vote(row[0], row[1], row[2], row[3], bool(row[4]))

    def keep_vote(self, domain: bytes, answer: bytes, *, round: int, vote: Vote) -> Vote:
        """Keep `vote` unless there is one already; what stands is returned and is what must be sent."""
        self._db.execute(
            "INSERT OR IGNORE INTO votes (domain, answer, round, vote, salt, commitment, until)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (domain, answer, round, vote.vote, vote.salt, vote.commitment, vote.until),
        )
        kept = self.vote(domain, answer, round=round)
        assert kept is not None
        return kept

    def keep_shown(self, domain: bytes, answer: bytes, *, round: int, commits: Mapping[bytes, bytes]) -> None:
        """Keep the commitments by voter to which a vote is about to be opened; those of the first time stand."""
        with self._lazily():  # `mark_revealed` waits for the disk
            self._db.execute(
                "INSERT OR IGNORE INTO shown VALUES (?, ?, ?, ?)",
                (domain, answer, round, b"".join(voter + said for voter, said in sorted(commits.items()))),
            )

    def shown(self, domain: bytes, answer: bytes, *, round: int) -> dict[bytes, bytes] | None:
        """The commitments by voter to which the vote was opened, if it was."""
        row = self._db.execute(
            "SELECT commits FROM shown WHERE domain = ? AND answer = ? AND round = ?", (domain, answer, round)
        ).fetchone()
        return None if row is None else {row[0][i : i + 32]: row[0][i + 32 : i + 64] for i in range(0, len(row[0]), 64)}

    def mark_revealed(self, domain: bytes, answer: bytes, *, round: int) -> None:
        """From now on the vote is public."""
        self._db.execute(
            "UPDATE votes SET revealed = 1 WHERE domain = ? AND answer = ? AND round = ?", (domain, answer, round)
        )

    def keep_panel(self, domain: bytes, *, round: int, members: Iterable[bytes]) -> None:
        """Remember the panel of a round as the chain showed it."""
        self._db.execute("INSERT OR IGNORE INTO panels VALUES (?, ?, ?)", (domain, round, b"".join(members)))

    def panel(self, domain: bytes, *, round: int) -> tuple[bytes, ...] | None:
        """The panel of a round, if this worker saw it on chain."""
        row = self._db.execute("SELECT members FROM panels WHERE domain = ? AND round = ?", (domain, round)).fetchone()
        return None if row is None else tuple(row[0][i : i + 32] for i in range(0, len(row[0]), 32))

    def panels(self, domain: bytes) -> list[tuple[bytes, ...]]:
        """All panels of a request that this worker saw on chain."""
        rows = self._db.execute("SELECT members FROM panels WHERE domain = ? ORDER BY round DESC", (domain,)).fetchall()
        return [tuple(row[0][i : i + 32] for i in range(0, len(row[0]), 32)) for row in rows]

    def signed(self, domain: bytes, *, batch: int, round: int) -> bytes | None:
        """The digest that was signed under this number and round, if any."""
        row = self._db.execute(
            "SELECT digest FROM signed WHERE domain = ? AND batch = ? AND round = ?", (domain, batch, round)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def keep_signature(self, domain: bytes, *, batch: int, round: int, digest: bytes) -> None:
        """Record that `digest` is about to be signed; returns only once that is on disk.

        Raises `Refused` (``equivocation``) when another digest was signed under this number and round.
        """
        with self._transaction():
            before = self.signed(domain, batch=batch, round=round)
            if before is not None and before != digest:
                raise Refused("equivocation", f"batch {batch} of round {round} was signed with digest {before.hex()}")
            self._db.execute("INSERT OR IGNORE INTO signed VALUES (?, ?, ?, ?)", (domain, batch, round, digest))

    def dispute_vote(self, domain: bytes, dispute: bytes, *, round: int) -> bool | None:
        """How it voted (whether to uphold) in this round of a dispute, if it did."""
        row = self._db.execute(
            "SELECT upheld FROM dispute_votes WHERE domain = ? AND dispute = ? AND round = ?", (domain, dispute, round)
        ).fetchone()
        return None if row is None else bool(row[0])

    def keep_dispute_vote(self, domain: bytes, dispute: bytes, *, round: int, upheld: bool) -> bool:
        """Keep a vote unless there is one already; what stands is returned, and is all that may be signed."""
        self._db.execute("INSERT OR IGNORE INTO dispute_votes VALUES (?, ?, ?, ?)", (domain, dispute, round, upheld))
        kept = self.dispute_vote(domain, dispute, round=round)
        assert kept is not None
        return kept
