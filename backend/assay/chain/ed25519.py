"""The instruction of the Ed25519 precompile: n signatures over one shared message (docs/protocol.md, "Settlement").

Layout: https://docs.rs/solana-ed25519-program (Ed25519SignatureOffsets): count u8, padding u8, then a signature seven
u16: signature, its instruction, key, its instruction, message, its size, its instruction. 0xFFFF: this instruction.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.signature import Signature

from assay.errors import FieldError, SignatureInvalid

PROGRAM = Pubkey.from_string("Ed25519SigVerify111111111111111111111111111")
HERE = 0xFFFF
MAX_SIGNATURES = 255


def signatures_instruction(message: bytes, signatures: Sequence[tuple[Pubkey, bytes]]) -> Instruction:
    """Instruction that fails its transaction unless every (wallet, signature of 64 bytes) signs `message`.

    Raises `FieldError` for a count or length that does not fit. Signatures are checked by the cluster, not here.
    """
    count = len(signatures)
    if not 1 <= count <= MAX_SIGNATURES:
        raise FieldError("signatures", f"must be 1 to {MAX_SIGNATURES}, not {count}")
    start = 2 + 14 * count
    text = start + 96 * count
    head, body = bytearray([count, 0]), bytearray()
    for index, (wallet, signature) in enumerate(signatures):
        if len(signature) != 64:
            raise FieldError(f"signatures[{index}]", f"must be 64 bytes, not {len(signature)}")
        key = start + 96 * index
        head += struct.pack("<7H", key + 32, HERE, key, HERE, text, len(message), HERE)
        body += bytes(wallet) + signature
    return Instruction(PROGRAM, bytes(head + body) + message, [])


def evidence_instruction(signed: Sequence[tuple[Pubkey, bytes, bytes]]) -> Instruction:
    """As `signatures_instruction`, each (wallet, signature of 64 bytes, message) with a message of its own: what shows
    that somebody signed two things.
    """
    start = 2 + 14 * len(signed)
    head, body = bytearray([len(signed), 0]), bytearray()
    for wallet, signature, message in signed:
        key = start + len(body)
        head += struct.pack("<7H", key + 32, HERE, key, HERE, key + 96, len(message), HERE)
        body += bytes(wallet) + signature + message
    return Instruction(PROGRAM, bytes(head + body), [])


def parse_signatures(data: bytes) -> tuple[bytes, list[tuple[Pubkey, bytes]]]:
    """(message, [(wallet, signature)]) of an instruction as `signatures_instruction` makes it.

    Raises `FieldError` where something lies elsewhere or messages differ.
    """
    found = parse_each(data)
    if len(found) != 1:
        raise FieldError("ed25519", "all signatures must be over one message")
    return found[0]


def parse_each(data: bytes) -> list[tuple[bytes, list[tuple[Pubkey, bytes]]]]:
    """As `parse_signatures`, by message, in the order of the messages' first signatures.

    Raises `FieldError` where something lies elsewhere, or there is no signature.
    """
    try:
        found: dict[bytes, list[tuple[Pubkey, bytes]]] = {}
        for index in range(data[0]):
            signature, in1, key, in2, text, size, in3 = struct.unpack_from("<7H", data, 2 + 14 * index)
            parts = data[key : key + 32], data[signature : signature + 64], data[text : text + size]
            if (in1, in2, in3) != (HERE,) * 3 or [len(part) for part in parts] != [32, 64, size]:
                raise FieldError("ed25519", "offsets must lie within the instruction")
            found.setdefault(parts[2], []).append((Pubkey.from_bytes(parts[0]), parts[1]))
    except (IndexError, struct.error):
        raise FieldError("ed25519", "the instruction's data ends too early") from None
    if not found:
        raise FieldError("ed25519", "there is no signature")
    return list(found.items())


def verify(wallet: Pubkey, message: bytes, signature: bytes) -> None:
    """Raises `SignatureInvalid` unless `signature` is the wallet's over `message`."""
    if len(signature) != 64 or not Signature.from_bytes(signature).verify(wallet, message):
        raise SignatureInvalid(f"the signature is not {wallet}'s over this message")
