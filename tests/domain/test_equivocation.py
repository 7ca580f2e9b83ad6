"""What proves that somebody signed twice, and what does not."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from solders.keypair import Keypair

from assay.domain import messages
from assay.domain.equivocation import Proof
from assay.errors import AssayError

KEY, OTHER = Keypair(), Keypair()
DOMAIN = b"d" * 32


def batch(digest: int, *, number: int = 5, panel_round: int = 2) -> bytes:
    return messages.batch(domain=DOMAIN, batch=number, panel_round=panel_round, digest=bytes([digest]) * 32)


def dispute(upheld: bool) -> bytes:
    return messages.dispute(domain=DOMAIN, dispute=b"x" * 32, panel_round=1, upheld=upheld)


def proof(first: bytes, second: bytes, *, by: Keypair = KEY) -> Proof:
    return Proof(bytes(KEY.pubkey()), first, messages.sign(by, first), second, messages.sign(by, second))


@pytest.mark.parametrize(("first", "second", "prefix"), [(batch(1), batch(2), 60), (dispute(True), dispute(False), 84)])
def test_two_decisions_under_one_number(first: bytes, second: bytes, prefix: int) -> None:
    found = proof(first, second)
    found.check()
    assert found.key == sha256(first[:prefix]).digest() == proof(second, first).key


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (proof(batch(1), batch(1)), "same"),
        (proof(batch(1), batch(2, number=6)), "something else"),
        (proof(batch(1), batch(2, panel_round=3)), "something else"),
        (proof(batch(1), dispute(True)), "something else"),
        (proof(b"assay-vote-v1\0\0\0" + bytes(76), batch(2)), "no message of a batch"),
        (proof(batch(1)[:-1], batch(2)), "no message of a batch"),
        (proof(batch(1), batch(2), by=OTHER), "first_signature"),
        (replace(proof(batch(1), batch(2)), second_signature=messages.sign(OTHER, batch(2))), "second_signature"),
    ],
)
def test_what_proves_nothing(wrong: Proof, said: str) -> None:
    with pytest.raises(AssayError, match=said):
        wrong.check()
