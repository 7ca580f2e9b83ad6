"""A dispute's course, as the program has it (`state/dispute.rs`): who has voted, what is decided, what is due next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from assay.domain import tally

OPEN, UPHELD, DISMISSED, LAPSED = 0, 1, 2, 3
ROUNDS = 3
"""Panels that may fail to decide before a dispute lapses."""
REVIEW = 1


class Act(Enum):
    """What anyone may do about a dispute now; `VOTES` and `REST`: nothing but to wait."""

    DRAW = "draw"
    VOTES = "votes"
    RESOLVE = "resolve"
    EXPIRE = "expire"
    CORRECT = "correct"
    CLOSE = "close"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute with its request's terms. Wallets and ids are raw bytes, times market time in seconds; `upheld` and
    `dismissed` have a bit for each seat. `timeout`: seconds that a panel has (the program's `dispute_round`).
    """

    request: bytes
    labeler: bytes
    answer: bytes
    evidence: bytes
    batch: int
    settled_at: int
    state: int
    panel: tuple[bytes, ...]
    round: int
    panel_at: int
    seed_slot: int
    upheld: int
    dismissed: int
    corrected: bool
    opened_at: int
    closable_at: int
    quorum_bps: int
    timeout: int
    mode: int

    @classmethod
    def of(cls, account: Any, request: Any) -> Dispute:
        """From the decoded `Dispute` and `Request`; without a request (reaped) only a close can be due."""
        params = None if request is None else request.terms.params
        return cls(
            request=bytes(account.request),
            labeler=bytes(account.labeler),
            answer=bytes(account.answer_id),
            evidence=bytes(account.evidence),
            batch=account.batch,
            settled_at=account.settled_at,
            state=account.state,
            panel=tuple(bytes(wallet) for wallet in account.panel[: account.panel_count]),
            round=account.panel_round,
            panel_at=account.panel_at,
            seed_slot=account.seed_slot,
            upheld=account.upheld,
            dismissed=account.dismissed,
            corrected=bool(account.corrected),
            opened_at=account.opened_at,
            closable_at=account.closable_at,
            quorum_bps=0 if params is None else params.quorum_bps,
            timeout=0 if params is None else max(params.panel_timeout, params.dispute_window >> 3),
            mode=0 if request is None else request.mode,
        )

    @property
    def quorum(self) -> int:
        """Votes that decide."""
        return tally.quorum(len(self.panel), self.quorum_bps)

    @property
    def decision(self) -> int | None:
        """`UPHELD` or `DISMISSED` where a quorum of the panel in office says so."""
        if not self.panel:
            return None
        if self.upheld.bit_count() >= self.quorum:
            return UPHELD
        return DISMISSED if self.dismissed.bit_count() >= self.quorum else None

    def vote_of(self, wallet: bytes) -> int | None:
        """The vote that was shown of a seat (`UPHELD`, `DISMISSED`); None where none was, or it has no seat."""
        if wallet not in self.panel:
            return None
        bit = 1 << self.panel.index(wallet)
        return UPHELD if self.upheld & bit else DISMISSED if self.dismissed & bit else None

    def seats(self, *, voted: bool) -> tuple[bytes, ...]:
        """Wallets of the panel that have voted, or have not, in its order."""
        return tuple(one for one in self.panel if (self.vote_of(one) is not None) is voted)

    def timed_out(self, now: int) -> bool:
        """Whether the panel in office has had its time and did not decide."""
        return bool(self.panel) and now >= self.panel_at + self.timeout and self.decision is None

    def due(self, now: int) -> Act:
        """What anyone may do at market time `now`."""
        if self.state != OPEN:
            if self.state == UPHELD and not self.corrected and self.mode == REVIEW:
                return Act.CORRECT
            return Act.CLOSE if now >= self.closable_at else Act.REST
        if self.decision is not None:
            return Act.RESOLVE
        vacant = not self.panel or self.timed_out(now)
        lapsed = now >= self.opened_at + (ROUNDS + 1) * self.timeout
        if lapsed or (vacant and self.round >= ROUNDS):
            return Act.EXPIRE
        return Act.DRAW if vacant else Act.VOTES
