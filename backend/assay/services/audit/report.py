"""What the auditor says."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from assay.errors import ReplayMismatch


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing that does not fit: where it is, which check failed, and what was expected and found."""

    check: str
    detail: str
    request: str | None = None
    batch: int | None = None
    transaction: str | None = None

    def __str__(self) -> str:
        where = [f"request {self.request}"] if self.request else []
        where += [f"batch {self.batch}"] if self.batch is not None else []
        where += [f"transaction {self.transaction}"] if self.transaction else []
        return f"{self.check}: {self.detail}" + (f" [{', '.join(where)}]" if where else "")


@dataclass(slots=True)
class Report:
    """What was replayed. Money in base units, by the market's mint index. `reseeded`: draws of panels that were put off
    to another slot.
    """

    requests: int = 0
    batches: int = 0
    records: int = 0
    answers: int = 0
    answers_accepted: int = 0
    answers_unpaid: int = 0
    votes: int = 0
    signatures: int = 0
    panels: int = 0
    reseeded: int = 0
    slashes: int = 0
    participants: int = 0
    handouts: int = 0
    events: int = 0
    locked: dict[int, int] = field(default_factory=dict)
    paid_labelers: dict[int, int] = field(default_factory=dict)
    paid_validators: dict[int, int] = field(default_factory=dict)
    fees: dict[int, int] = field(default_factory=dict)
    refunded: dict[int, int] = field(default_factory=dict)
    finding: Finding | None = None

    @property
    def ok(self) -> bool:
        """Whether everything fits."""
        return self.finding is None

    def add(self, name: str, mint: int, amount: int) -> None:
        """Adds to one of the amounts."""
        amounts: dict[int, int] = getattr(self, name)
        amounts[mint] = amounts.get(mint, 0) + amount

    def as_dict(self) -> dict[str, Any]:
        """For JSON: amounts as strings of base units, `ok` beside the finding."""
        out: dict[str, Any] = {"ok": self.ok} | asdict(self)
        for name, value in out.items():
            if isinstance(value, dict) and name != "finding":
                out[name] = {str(mint): str(amount) for mint, amount in sorted(value.items())}
        if self.finding is not None:
            out["finding"]["text"] = str(self.finding)
        return out

    def __str__(self) -> str:
        lines = [
            f"{self.requests} requests, {self.batches} batches, {self.records} records, {self.answers} answers "
            f"({self.answers_accepted} accepted, {self.answers_unpaid} of them not paid), {self.votes} votes, "
            f"{self.signatures} signatures, {self.panels} panels ({self.reseeded} draws put off), "
            f"{self.handouts} hand-outs, {self.slashes} slashes, from {self.events} events"
        ]
        lines.append("everything fits" if self.ok else f"DOES NOT FIT: {self.finding}")
        return "\n".join(lines)


class Mismatch(ReplayMismatch):
    """Something does not fit. Carries its finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Scope:
    """Where in the replay a check is made; raises `Mismatch` with that place."""

    request: str | None = None
    batch: int | None = None
    transaction: str | None = None

    def fail(self, check: str, detail: str) -> Mismatch:
        """The error to raise."""
        return Mismatch(Finding(check, detail, self.request, self.batch, self.transaction))

    def equal(self, check: str, found: object, expected: object, what: str = "") -> None:
        """Raises unless the chain (or the log) says what was recomputed."""
        if found != expected:
            name = f"{what}: " if what else ""
            raise self.fail(check, f"{name}{show(found)} instead of {show(expected)}")


def show(value: object) -> str:
    """Bytes in hexadecimal, everything else as it is."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(show(one) for one in value) + "]"
    return str(value)
