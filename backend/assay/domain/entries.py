"""The entries of a batch's tree: what exactly a batch says of each answer and each record."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

ANSWER_SIZE, RECORD_SIZE = 132, 67
REJECTED, ACCEPTED, UNPAID = 0, 1, 2
"""Verdicts on an answer; `UNPAID` is right, and yet not paid. Only a rejection can be disputed."""


@dataclass(frozen=True, slots=True)
class AnswerEntry:
    """A verdict on an answer (`REJECTED`, `ACCEPTED`, `UNPAID`). `confidence` in basis points; `evidence` is the hash
    of what the verdict rests on.
    """

    answer: bytes
    task: bytes
    labeler: bytes
    verdict: int
    confidence: int
    evidence: bytes

    @property
    def right(self) -> bool:
        """Whether it is no rejection: a strike where it is one, a good judgement where not."""
        return self.verdict != REJECTED

    @property
    def unpaid(self) -> bool:
        """Whether it is right, and not paid."""
        return self.verdict == UNPAID

    def pack(self) -> bytes:
        return b"\x01" + struct.pack(
            "<32s32s32sBH32s", self.answer, self.task, self.labeler, self.verdict, self.confidence, self.evidence
        )

    @classmethod
    def unpack(cls, data: bytes) -> AnswerEntry:
        if len(data) != ANSWER_SIZE or data[0] != 1:
            raise ValueError("no answer entry")
        return cls(*struct.unpack_from("<32s32s32sBH32s", data, 1))


@dataclass(frozen=True, slots=True)
class RecordEntry:
    """The final label of a task."""

    task: bytes
    label_hash: bytes
    confidence: int

    def pack(self) -> bytes:
        return b"\x02" + struct.pack("<32s32sH", self.task, self.label_hash, self.confidence)

    @classmethod
    def unpack(cls, data: bytes) -> RecordEntry:
        if len(data) != RECORD_SIZE or data[0] != 2:
            raise ValueError("no record entry")
        return cls(*struct.unpack_from("<32s32sH", data, 1))


def review_evidence(votes: Iterable[tuple[bytes, int, bytes]]) -> bytes:
    """Hash of the revealed votes `(voter, vote, salt)`, sorted by voter."""
    return sha256(b"".join(voter + bytes([vote]) + salt for voter, vote, salt in sorted(votes))).digest()


def agreement_evidence(
    answers: Mapping[bytes, tuple[int, int] | None], later: Iterable[tuple[bytes, int]] = ()
) -> bytes:
    """Hash of the ids of all answers to the task, sorted; each followed by its labeler's counters (good u32, bad u32)
    where the specification weighs; then of each later answer, in the order of their coming, labeler and point (u32).
    """
    hasher = sha256()
    for answer, counters in sorted(answers.items()):
        hasher.update(answer + (b"" if counters is None else struct.pack("<II", *counters)))
    for labeler, point in later:
        hasher.update(labeler + struct.pack("<I", point))
    return hasher.digest()


def ordered(answers: Iterable[AnswerEntry], records: Iterable[RecordEntry]) -> tuple[bytes, ...]:
    """The batch's entries as the tree takes them: answers by id, then records by task id."""
    return tuple(
        [entry.pack() for entry in sorted(answers, key=lambda entry: entry.answer)]
        + [entry.pack() for entry in sorted(records, key=lambda entry: entry.task)]
    )
