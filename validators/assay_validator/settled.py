"""What a request's batches have settled, as the chain has it: kept on disk by id, so that nothing is settled twice.

Rows of batches that the chain's log head does not vouch for yet are written too, as a log is read, and count only once
`Settled.believe` has said so. All of it can be read again from log and chain; so it need not reach the disk at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from assay.domain import merkle
from assay.domain.batch import Batch
from assay.domain.spec import Spec

SCHEMA = """
CREATE TABLE IF NOT EXISTS heads (
    domain BLOB PRIMARY KEY, request BLOB NOT NULL, batches INTEGER NOT NULL, head BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
    domain BLOB NOT NULL, entry BLOB NOT NULL, batch INTEGER NOT NULL, PRIMARY KEY (domain, entry)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    domain BLOB NOT NULL, task BLOB NOT NULL, evidence BLOB NOT NULL, batch INTEGER NOT NULL, PRIMARY KEY (domain, task)
) WITHOUT ROWID;
DROP TABLE IF EXISTS settled;
DROP TABLE IF EXISTS records;
"""


@dataclass(frozen=True, slots=True)
class Content:
    """What one batch settles. `answers` are ids, `records` the ids of their tasks; `parts`: by task id the evidence of
    those whose record is still to come (agreement), since all their batches rest on the same answers.
    """

    root: bytes
    digest: bytes
    answers: tuple[bytes, ...]
    records: tuple[bytes, ...]
    parts: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def of(cls, made: Batch, *, spec: Spec, participant: Callable[[bytes], bytes]) -> Content:
        """Of a batch as it was recomputed."""
        records = tuple(record.entry.task for record in made.records)
        parts: dict[bytes, bytes] = {}
        if spec.mode == "agreement":
            parts = {entry.task: entry.evidence for entry in made.answers}
            for task in records:
                parts.pop(task, None)
        return cls(
            made.root, made.digest(participant), tuple(entry.answer for entry in made.answers), records,
            tuple(parts.items()),
        )  # fmt: skip

    def leaf(self, batch: int, at: int) -> bytes:
        """Its leaf of the chain's log, had it been settled as `batch` at market time `at`."""
        return merkle.batch_leaf(batch=batch, root=self.root, at=at, digest=self.digest)


class Settled:
    """The part of a worker's record that the chain vouches for. `transaction` opens one that may be lost by a crash."""

    def __init__(self, db: sqlite3.Connection, transaction: Callable[[], AbstractContextManager[None]]) -> None:
        self._db = db
        self._transaction = transaction
        db.executescript(SCHEMA)

    def head(self, domain: bytes) -> tuple[int, bytes]:
        """How many batches are known, and the log head after them."""
        row = self._db.execute("SELECT batches, head FROM heads WHERE domain = ?", (domain,)).fetchone()
        return (0, merkle.ZERO) if row is None else (row[0], bytes(row[1]))

    def batch_of(self, domain: bytes, entry: bytes) -> int | None:
        """The batch that settled an answer (its id) or wrote a record (its task's id), if any did."""
        row = self._db.execute(
            "SELECT e.batch FROM entries e JOIN heads h USING (domain)"
            " WHERE e.domain = ? AND e.entry = ? AND e.batch < h.batches",
            (domain, entry),
        ).fetchone()
        return None if row is None else int(row[0])

    def part(self, domain: bytes, task: bytes) -> bytes | None:
        """The evidence that earlier batches had of a task, if they settled some of its answers."""
        row = self._db.execute(
            "SELECT p.evidence FROM parts p JOIN heads h USING (domain)"
            " WHERE p.domain = ? AND p.task = ? AND p.batch < h.batches",
            (domain, task),
        ).fetchone()
        return None if row is None else bytes(row[0])

    def discard(self, domain: bytes, *, all: bool = False) -> None:
        """Drops what no head vouched for; `all`: the rest too, as where the chain took batches back."""
        with self._transaction():
            if all:
                self._db.execute("DELETE FROM heads WHERE domain = ?", (domain,))
            known = self.head(domain)[0]
            for table in ("entries", "parts"):
                self._db.execute(f"DELETE FROM {table} WHERE domain = ? AND batch >= ?", (domain, known))

    def note(self, domain: bytes, *, batch: int, content: Content) -> None:
        """Writes down what a batch would settle; `believe` says later whether it did."""
        with self._transaction():
            self._note(domain, batch, content)

    def _note(self, domain: bytes, batch: int, content: Content) -> None:
        rows = ((domain, entry, batch) for entry in (*content.answers, *content.records))
        self._db.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?, ?)", rows)
        parts = ((domain, task, evidence, batch) for task, evidence in content.parts)
        self._db.executemany("INSERT OR IGNORE INTO parts VALUES (?, ?, ?, ?)", parts)

    def believe(self, domain: bytes, *, request: bytes, batches: int, head: bytes, last: Content | None = None) -> None:
        """The chain's log head after `batches` of them is `head`. `last`: the last one's content, if not noted yet."""
        with self._transaction():
            if last is not None:
                self._note(domain, batches - 1, last)
            self._db.execute("INSERT OR REPLACE INTO heads VALUES (?, ?, ?, ?)", (domain, request, batches, head))

    def requests(self) -> list[tuple[bytes, bytes]]:
        """(address, domain) of each request of which something is kept."""
        return [(bytes(row[0]), bytes(row[1])) for row in self._db.execute("SELECT request, domain FROM heads")]
