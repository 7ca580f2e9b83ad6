"""Two signatures of one validator under one number: what `slash_equivocation` takes as proof."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from assay.domain.messages import TAG_BATCH, TAG_DISPUTE, verify
from assay.errors import FieldError

SHAPES = {TAG_BATCH: (60, 92), TAG_DISPUTE: (84, 85)}
"""By tag: bytes that say what is decided, and the length with the decision (a digest, or an outcome)."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Two messages that `wallet` signed, each with its signature."""

    wallet: bytes
    first: bytes
    first_signature: bytes
    second: bytes
    second_signature: bytes

    @property
    def key(self) -> bytes:
        """sha256 of what the messages share: names the offence."""
        return sha256(self.first[: SHAPES[self.first[:16]][0]]).digest()

    def check(self) -> None:
        """Raises `FieldError` unless the messages differ in their decision alone, `SignatureInvalid` unless both are
        signed by the wallet."""
        shape = SHAPES.get(self.first[:16])
        if shape is None or len(self.first) != shape[1]:
            raise FieldError("first", "is no message of a batch or a dispute", hint="docs/protocol.md")
        prefix, length = shape
        if len(self.second) != length or self.second[:prefix] != self.first[:prefix]:
            raise FieldError("second", "is about something else", hint="same domain, number and round")
        if self.second == self.first:
            raise FieldError("second", "says the same as the first", hint="another digest, or another outcome")
        verify(self.first_signature, key=self.wallet, message=self.first, field="first_signature")
        verify(self.second_signature, key=self.wallet, message=self.second, field="second_signature")
