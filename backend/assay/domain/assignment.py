"""Who answers which task: drawn by public randomness, one voice an owner, checkable by anybody afterwards.

The seed is the hash of a slot that was named before it existed (as for panels, docs/protocol.md), so nobody can choose
its tasks, and neither the operator nor the buyer can choose a task's workers. Each owner has a ticket
``sha256(tag ‖ seed ‖ task ‖ owner)``; the lowest are drawn, and of a drawn owner's wallets the one with the lowest
ticket of its own. Who leaves changes nobody else's ticket.

*One voice an owner*: however many wallets an owner has, it gets one seat of a task and no better chance of it. An
owner is whoever put up the stake, or a group that is suspected to act as one (`incentives`): its members never meet on
one task, so they have no majority to make and nobody to copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from assay.errors import AssayError, FieldError

TAG = b"assay-assign-v1\0"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A wallet that may be drawn, and its owner (its own wallet where no other is known)."""

    wallet: bytes
    owner: bytes


class AssignmentMismatch(AssayError):
    """The workers of a task are not those that the public randomness drew."""

    status, code = 409, "assignment_mismatch"


def ticket(key: bytes, *, seed: bytes, task: bytes) -> bytes:
    """The place of an owner (or of a wallet among its owner's) in the draw of one task; lower is earlier."""
    return sha256(TAG + seed + task + key).digest()


def assign(candidates: Iterable[Candidate], *, seed: bytes, task: bytes, count: int) -> tuple[bytes, ...]:
    """The wallets drawn for a task, lowest ticket first; fewer than `count` where there are fewer owners.

    Raises `FieldError` for a seed or task id that has not 32 bytes, or a count below 1.
    """
    for name, value in (("seed", seed), ("task", task)):
        if len(value) != 32:
            raise FieldError(name, f"has {len(value)} bytes", hint="exactly 32")
    if count < 1:
        raise FieldError("count", f"is {count}", hint="at least 1")
    wallets: dict[bytes, list[bytes]] = {}
    for one in candidates:
        wallets.setdefault(one.owner, []).append(one.wallet)

    def place(key: bytes) -> bytes:
        return ticket(key, seed=seed, task=task)

    owners = sorted(wallets, key=place)[:count]
    return tuple(min(wallets[owner], key=place) for owner in owners)


def verify(workers: Sequence[bytes], candidates: Iterable[Candidate], *, seed: bytes, task: bytes, count: int) -> None:
    """Raises `AssignmentMismatch` unless exactly these workers, in any order, were drawn for the task."""
    drawn = assign(candidates, seed=seed, task=task, count=count)
    if extra := sorted(set(workers) - set(drawn)):
        raise AssignmentMismatch(f"{extra[0].hex()} answered task {task.hex()} without having been drawn")
    if missing := sorted(set(drawn) - set(workers)):
        raise AssignmentMismatch(f"{missing[0].hex()} was drawn for task {task.hex()} and left out")
    if len(workers) != len(drawn):
        raise AssignmentMismatch(f"task {task.hex()} has a worker twice")
