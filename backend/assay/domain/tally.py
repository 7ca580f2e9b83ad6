"""Tallies: what a batch says of each participant, its digest, and what everybody is paid for it.

The arithmetic is the program's (docs/protocol.md, Settlement); a test runs both on the same batches.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from assay.domain import money

UNITS = 2520  # a record's validation fee in units: divisible by every panel size up to 10
SIZE = 12


class Role(IntEnum):
    """One wallet has one role (numbers as on chain)."""

    BUYER = 1
    LABELER = 2
    VALIDATOR = 3


@dataclass(frozen=True, slots=True)
class Tally:
    """What one batch says of one participant.

    Labelers: `good`/`bad` are accepted/rejected answers, `units` those of `good` that are right and not paid
    (agreement). Validators: votes that agreed/disagreed with the verdict, and `units` of 1/2520 of a record's fee.
    `gold_*` count those of good/bad that were gold.
    """

    wallet: bytes
    role: Role
    good: int = 0
    bad: int = 0
    gold_passed: int = 0
    gold_failed: int = 0
    units: int = 0

    def pack(self) -> bytes:
        """The 12 bytes of the instruction."""
        return struct.pack("<HHHHI", self.good, self.bad, self.gold_passed, self.gold_failed, self.units)


class Book:
    """Collects tallies while verdicts are counted."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Role, bytes], list[int]] = {}

    def add(self, wallet: bytes, *, role: Role, good: bool, gold: bool = False, units: int = 0) -> None:
        """One more judgement of `wallet`. `units`: of a labeler 1 where its answer is right and not paid."""
        row = self._rows.setdefault((role, wallet), [0, 0, 0, 0, 0])
        row[0 if good else 1] += 1
        if gold:
            row[2 if good else 3] += 1
        row[4] += units

    def tallies(self, participant: Callable[[bytes], bytes]) -> tuple[Tally, ...]:
        """In the order that the program asks for: by address of the wallet's Participant account, ascending."""
        rows = (Tally(wallet, role, *row) for (role, wallet), row in self._rows.items())
        return tuple(sorted(rows, key=lambda one: participant(one.wallet)))


def digest(
    *,
    root: bytes,
    records: int,
    judged: int,
    answers: int,
    votes: int,
    tallies: Iterable[Tally],
    participant: Callable[[bytes], bytes],
) -> bytes:
    """What the panel signs. `participant` gives the address of a wallet's Participant account."""
    hasher = sha256(root + struct.pack("<HHHI", records, judged, answers, votes))
    for tally in tallies:
        hasher.update(participant(tally.wallet) + tally.pack())
    return hasher.digest()


def quorum(panel: int, quorum_bps: int) -> int:
    """Signatures that a batch needs: ⌈panel · quorum_bps / 10000⌉."""
    return -(-panel * quorum_bps // money.BPS)


@dataclass(frozen=True, slots=True)
class Payments:
    """What a batch pays, in base units. `labelers` and `validators` by wallet, in the order they are paid."""

    labelers: tuple[tuple[bytes, int], ...]
    validators: tuple[tuple[bytes, int], ...]
    fee: int

    @property
    def paid_labelers(self) -> int:
        return sum(amount for _, amount in self.labelers)

    @property
    def paid_validators(self) -> int:
        return sum(amount for _, amount in self.validators)

    @property
    def total(self) -> int:
        return self.paid_labelers + self.paid_validators + self.fee


def payments(
    tallies: Sequence[Tally],
    *,
    judged: int,
    price: int,
    validation_fee: int,
    fee_bps: int,
    premiums: Mapping[bytes, int] | None = None,
    cosigners: Sequence[bytes] | None = None,
) -> Payments:
    """What a batch pays to whom.

    `premiums`: basis points by labeler, of its tier before this batch. `cosigners`: agreement only, the panel's
    signers in the order of the signatures; None means review, where validators are paid by their units.
    """
    extra = premiums or {}
    labelers = tuple(
        (tally.wallet, money.labeler_pay(tally.good - tally.units, price, extra.get(tally.wallet, 0)))
        for tally in tallies
        if tally.role is Role.LABELER
    )
    pot = judged * validation_fee
    if cosigners is None:
        voters = [tally for tally in tallies if tally.role is Role.VALIDATOR]
        wallets: Sequence[bytes] = [tally.wallet for tally in voters]
        shares = money.split(pot, [tally.units for tally in voters], UNITS * judged) if judged else (0,) * len(voters)
    else:
        wallets = cosigners
        shares = money.split(pot, [1] * len(cosigners)) if cosigners else ()
    fee = money.market_fee(sum(amount for _, amount in labelers), fee_bps)
    return Payments(labelers, tuple(zip(wallets, shares, strict=True)), fee)
