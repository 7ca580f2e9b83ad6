"""A request as the auditor knows it: its terms as posted, and books that grow with what was recomputed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from assay.domain import merkle, votelog
from assay.domain.history import History
from assay.domain.messages import b58
from assay.domain.votelog import Header, Line
from assay.domain.work import Later
from assay.errors import FieldError
from assay.services.audit.report import Scope

CLOSING, CLOSED = 1, 2

Part = tuple[frozenset[bytes], Later]
"""Of a task: labeler ‖ content hash of each of its answers, and the later ones."""


@dataclass(slots=True)
class Books:
    """One request. `panels` by round; amounts in base units."""

    address: bytes
    posted: Any  # the data of RequestPosted
    locked: int
    log: Iterator[Header | Line] | None = None
    header: Header | None = None
    next_batch: int = 0
    log_head: bytes = merkle.ZERO
    peaks: merkle.Mountains = field(default_factory=merkle.Mountains)
    panels: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    panel_round: int = 0
    seed_slot: int = 0
    paid_labelers: int = 0
    paid_validators: int = 0
    fees: int = 0
    fees_collected: int = 0
    refunded: int = 0
    records_done: int = 0
    accepted: int = 0
    rejected: int = 0
    settled: set[bytes] = field(default_factory=set)  # answer ids
    verdicts: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)  # rejected: answer id → labeler, batch
    recorded: dict[int, int] = field(default_factory=dict)  # task index → records
    parts: dict[int, Part] = field(default_factory=dict)  # task index → what its verdict rests on
    history: History | None = None  # from the header on, where its specification learns
    settled_event: int = 0  # number of the event of the last batch, or of the posting
    closing: bool = False
    closed: bool = False

    @property
    def name(self) -> str:
        return b58(self.address)

    @property
    def scope(self) -> Scope:
        return Scope(self.name)

    def premium(self, tier: int) -> int:
        """Basis points that a tier earns on top of the price."""
        return int(self.posted.terms.premium_bps[tier])

    def open_log(self, lines: Iterator[bytes] | None, *, program: bytes) -> Header:
        """Reads the log's header and checks it against the posting."""
        scope = self.scope
        if lines is None:
            raise scope.fail("vote log", f"{self.name}.jsonl is missing")
        self.log = votelog.read(lines)
        header = self._read()
        if not isinstance(header, Header):
            raise scope.fail("vote log", "it has no header")
        scope.equal("vote log", header.request, self.address, "request")
        scope.equal("vote log", header.program, program, "program")
        scope.equal("vote log", header.buyer, bytes(self.posted.buyer), "buyer")
        scope.equal("vote log", header.domain, bytes(self.posted.domain), "domain")
        scope.equal("specification", header.spec.hash, bytes(self.posted.spec_hash), "hash")
        scope.equal("specification", header.spec.mode_number, self.posted.mode, "mode")
        scope.equal("specification", header.spec.kind_number, self.posted.kind, "kind")
        scope.equal("specification", header.spec.max_overlap <= self.posted.overlap, True, "overlap within the chain's")
        self.header = header
        self.history = History(header.spec) if header.spec.learns else None
        return header

    def next_line(self) -> Line | None:
        """The next batch of the log; None at its end."""
        line = self._read()
        if isinstance(line, Header):
            raise self.scope.fail("vote log", "a second header")
        return line

    def _read(self) -> Header | Line | None:
        assert self.log is not None
        try:
            return next(self.log, None)
        except FieldError as error:
            raise self.scope.fail("vote log", str(error)) from error
