"""What a batch is made of: tasks, the answers to them, the votes on those. All as signed by their authors."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from assay.domain import canonical, merkle, messages
from assay.domain.canonical import Json
from assay.errors import FieldError

Later = tuple[tuple[bytes, int], ...]
"""Labelers of the answers beyond a task's first overlap, in the order in which they came, each with the point of the
model by which it was asked for (`domain.growth`).
"""

Counters = tuple[int, int]
"""Good and bad judgements of one wallet in one kind of task, as its `Participant.kinds` on chain has them."""

TAG_GOLD = b"assay-gold-v1\0\0\0"


@dataclass(frozen=True, slots=True)
class Vote:
    """A revealed vote. `signature` is the voter's, over the commit message that `vote` and `salt` open."""

    voter: bytes
    round: int
    vote: int
    salt: bytes
    signature: bytes

    def commitment(self, *, domain: bytes, answer: bytes) -> bytes:
        return messages.commitment(
            domain=domain, answer=answer, round=self.round, voter=self.voter, vote=self.vote, salt=self.salt
        )

    def verify(self, *, domain: bytes, answer: bytes, field: str = "vote") -> None:
        """Raises `SignatureInvalid` unless the voter committed to exactly this vote on this answer in this round."""
        commitment = self.commitment(domain=domain, answer=answer)
        message = messages.commit(
            domain=domain, answer=answer, round=self.round, voter=self.voter, commitment=commitment
        )
        messages.verify(self.signature, key=self.voter, message=message, field=f"{field}.signature")


@dataclass(frozen=True)
class Answer:
    """One labeler's answer: its canonical content, its signature and (review) the votes on it.

    `counters`: what the labeler's vote is weighted by, where the specification weighs (`Spec.weighs`), else None.
    """

    labeler: bytes
    content: Json
    signature: bytes
    votes: tuple[Vote, ...] = ()
    counters: Counters | None = None

    @cached_property
    def content_hash(self) -> bytes:
        """sha256 of the canonical content; the answer's CID carries the same digest."""
        return canonical.digest(self.content)

    def id(self, *, domain: bytes, task: bytes) -> bytes:
        return messages.answer_id(domain=domain, task=task, labeler=self.labeler, content_hash=self.content_hash)

    def verify(self, *, domain: bytes, task: bytes, field: str = "answer") -> None:
        """Raises `SignatureInvalid` unless the labeler signed this content as the answer to this task."""
        message = messages.answer(domain=domain, task=task, labeler=self.labeler, content_hash=self.content_hash)
        messages.verify(self.signature, key=self.labeler, message=message, field=f"{field}.signature")


@dataclass(frozen=True, slots=True)
class Gold:
    """A task's known label, opened: `proof` leads from its leaf at `position` to the root in the specification."""

    label: Json
    salt: bytes
    position: int
    proof: tuple[bytes, ...]

    def verify(self, *, index: int, root: bytes, field: str = "gold") -> None:
        """Raises `FieldError` unless this label was committed for task `index` before anybody answered."""
        entry = gold_entry(index=index, label=self.label, salt=self.salt)
        if not merkle.verify(entry, self.position, self.proof, root):
            raise FieldError(field, "is not what the specification committed to", hint=f"a leaf under {root.hex()}")


@dataclass(frozen=True, slots=True)
class Task:
    """A task with the answers that its verdicts rest on: in agreement all of them, in review those voted on.

    `settles`: the labelers whose answers this batch settles, where a transaction cannot carry them all (None: all of
    them). `record`: whether the record's own entry stands in this batch; it is the batch with the last of its answers.
    `later`: which of the answers were asked for since the ones before left the task in doubt.
    """

    index: int
    answers: tuple[Answer, ...]
    gold: Gold | None = None
    settles: frozenset[bytes] | None = None
    record: bool = True
    later: Later = ()


def gold_entry(*, index: int, label: Json, salt: bytes) -> bytes:
    """The committed bytes of one gold label. The salt (32 bytes) keeps it from being guessed out of the root."""
    if len(salt) != 32:
        raise FieldError("salt", f"has {len(salt)} bytes", hint="exactly 32 random bytes")
    return TAG_GOLD + struct.pack("<I", index) + canonical.digest(label) + salt


def commit_gold(labels: Iterable[tuple[int, Json, bytes]]) -> tuple[bytes, dict[int, Gold]]:
    """Root over the gold labels `(task index, label, salt)` and how each is opened, by task index."""
    ordered = sorted(labels, key=lambda item: item[0])
    if len({index for index, _, _ in ordered}) != len(ordered):
        raise FieldError("gold", "names a task twice")
    tree = merkle.Tree.of([gold_entry(index=index, label=label, salt=salt) for index, label, salt in ordered])
    opened = {
        index: Gold(label=label, salt=salt, position=position, proof=tree.proof(position))
        for position, (index, label, salt) in enumerate(ordered)
    }
    return tree.root, opened
