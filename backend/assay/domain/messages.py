"""The signed messages of docs/protocol.md: their bytes, their signatures.

Every message starts with its own 16-byte tag and names the request's domain, so none can be taken for another. Keys,
ids and hashes are 32 raw bytes.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import Protocol

from solders.pubkey import Pubkey
from solders.signature import Signature

from assay.errors import FieldError, SignatureInvalid

TAG_DOMAIN = b"assay-domain-v1\0"
TAG_PANEL = b"assay-panel-v1\0\0"
TAG_BATCH = b"assay-batch-v1\0\0"
TAG_TASK = b"assay-task-v1\0\0\0"
TAG_ANSWER = b"assay-answer-v1\0"
TAG_VOTE = b"assay-vote-v1\0\0\0"
TAG_COMMIT = b"assay-commit-v1\0"
TAG_DISPUTE = b"assay-dispute-v1"

REJECT, ACCEPT = 0, 1


class Signer(Protocol):
    """What signs: a solders `Keypair`, or a wallet behind a connection."""

    def sign_message(self, message: bytes, /) -> Signature: ...


def _fixed(size: int = 32, **values: bytes) -> None:
    for name, value in values.items():
        if len(value) != size:
            raise FieldError(name, f"has {len(value)} bytes", hint=f"exactly {size}")


def request_domain(*, program: bytes, request: bytes, slot_hash: bytes) -> bytes:
    """Names one request on one cluster; stands in every message about it."""
    _fixed(program=program, request=request, slot_hash=slot_hash)
    return sha256(TAG_DOMAIN + program + request + slot_hash).digest()


def panel_seed(*, domain: bytes, panel_round: int, slot_hash: bytes) -> bytes:
    """The seed of panel `panel_round` (the program hashes its current round + 1, which becomes this one)."""
    _fixed(domain=domain, slot_hash=slot_hash)
    return sha256(TAG_PANEL + domain + struct.pack("<I", panel_round) + slot_hash).digest()


def task_id(*, domain: bytes, index: int, cid: str) -> bytes:
    """The id of item `index`, whose content address (text) is `cid`."""
    _fixed(domain=domain)
    return sha256(TAG_TASK + domain + struct.pack("<I", index) + sha256(cid.encode()).digest()).digest()


def answer(*, domain: bytes, task: bytes, labeler: bytes, content_hash: bytes) -> bytes:
    """The message that a labeler signs (144 bytes)."""
    _fixed(domain=domain, task=task, labeler=labeler, content_hash=content_hash)
    return TAG_ANSWER + domain + task + labeler + content_hash


def answer_id(*, domain: bytes, task: bytes, labeler: bytes, content_hash: bytes) -> bytes:
    """sha256 of the answer message."""
    return sha256(answer(domain=domain, task=task, labeler=labeler, content_hash=content_hash)).digest()


def commitment(*, domain: bytes, answer: bytes, round: int, voter: bytes, vote: int, salt: bytes) -> bytes:
    """What a voter commits to: bound to request, answer, round and voter, so it cannot be copied or moved."""
    _fixed(domain=domain, answer=answer, voter=voter, salt=salt)
    if vote not in (REJECT, ACCEPT):
        raise FieldError("vote", f"is {vote}", hint="0 (rejected) or 1 (accepted)")
    if not 0 <= round <= 255:
        raise FieldError("round", f"is {round}", hint="0 to 255")
    return sha256(TAG_VOTE + domain + answer + bytes([round]) + voter + bytes([vote]) + salt).digest()


def commit(*, domain: bytes, answer: bytes, round: int, voter: bytes, commitment: bytes) -> bytes:
    """The message that a voter signs (145 bytes)."""
    _fixed(domain=domain, answer=answer, voter=voter, commitment=commitment)
    if commitment == bytes(32):
        raise FieldError("commitment", "is all zero", hint="sha256 of vote and salt as docs/protocol.md says")
    if not 0 <= round <= 255:
        raise FieldError("round", f"is {round}", hint="0 to 255")
    return TAG_COMMIT + domain + answer + bytes([round]) + voter + commitment


def batch(*, domain: bytes, batch: int, panel_round: int, digest: bytes) -> bytes:
    """The message that a panel co-signs to settle a batch (92 bytes)."""
    _fixed(domain=domain, digest=digest)
    return TAG_BATCH + domain + struct.pack("<QI", batch, panel_round) + digest


def dispute(*, domain: bytes, dispute: bytes, panel_round: int, upheld: bool) -> bytes:
    """The message by which a seat of a dispute's panel votes (85 bytes)."""
    _fixed(domain=domain, dispute=dispute)
    return TAG_DISPUTE + domain + dispute + struct.pack("<IB", panel_round, 1 if upheld else 2)


def sign(signer: Signer, message: bytes) -> bytes:
    """64 bytes of Ed25519 signature."""
    return bytes(signer.sign_message(message))


def verified(signature: bytes, *, key: bytes, message: bytes) -> bool:
    """Whether `key` signed `message`; never raises."""
    if len(signature) != 64 or len(key) != 32:
        return False
    return Signature(signature).verify(Pubkey(key), message)


def verify(signature: bytes, *, key: bytes, message: bytes, field: str = "signature") -> None:
    """Raises `SignatureInvalid` unless `key` signed `message`."""
    if not verified(signature, key=key, message=message):
        raise SignatureInvalid(
            field=field, hint=f"the Ed25519 signature of {b58(key)} over the {len(message)}-byte message"
        )


def b58(raw: bytes) -> str:
    """Base58 of an address (32 bytes) or a signature (64 bytes)."""
    return str(Signature(raw)) if len(raw) == 64 else str(Pubkey(raw))


def unb58(text: str, *, size: int = 32, field: str = "address") -> bytes:
    """Raw bytes of a base58 address (32) or signature (64); `FieldError` if it is none."""
    try:
        return bytes(Signature.from_string(text)) if size == 64 else bytes(Pubkey.from_string(text))
    except (ValueError, TypeError) as error:
        raise FieldError(field, f"is no base58 text of {size} bytes", hint="as wallets show it") from error


def unhex(text: str, *, size: int = 32, field: str = "hash") -> bytes:
    """Raw bytes of `size` in hexadecimal; `FieldError` if it is none."""
    try:
        raw = bytes.fromhex(text)
    except (ValueError, TypeError) as error:
        raise FieldError(field, "is no hexadecimal text", hint=f"{2 * size} digits") from error
    if len(raw) != size or text != raw.hex():
        raise FieldError(field, f"is not {size} bytes in lower-case hexadecimal", hint=f"{2 * size} digits")
    return raw
