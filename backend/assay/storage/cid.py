"""Content addresses as IPFS makes them: CIDv1, sha2-256, UnixFS with raw leaves, 256 KiB chunks, 174 links a node.

Equal to `ipfs add --cid-version=1` (specifications: multiformats/cid, ipld dag-pb, ipfs UnixFS). A file of one chunk
is a raw block, so its CID carries the sha256 of its bytes; a longer one is a balanced tree of dag-pb nodes.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from assay.domain.schema import cid_text

CHUNK = 256 * 1024
LINKS = 174
RAW, DAG_PB = 0x55, 0x70
_SHA2_256 = b"\x12\x20"


def text(digest: bytes, codec: int = RAW) -> str:
    """The CID (base32 text) of a block with this sha256."""
    return "b" + b32encode(bytes([1, codec]) + _SHA2_256 + digest).decode().rstrip("=").lower()


def parse(cid: str) -> tuple[int, bytes]:
    """`(codec, digest)` of a CID. Raises `FieldError` for any other form than those made here."""
    cid_text(cid, "cid")
    raw = b32decode(cid[1:].upper() + "=" * (-len(cid[1:]) % 8))
    return raw[1], raw[4:]


@dataclass(frozen=True, slots=True)
class _Node:
    digest: bytes
    codec: int
    size: int  # bytes of the file under it
    total: int  # bytes of all blocks under it, its own included


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes_field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _parent(children: list[_Node]) -> _Node:
    """The dag-pb node over `children`: its links (hash, empty name, size), then UnixFS data of type file."""
    size = sum(child.size for child in children)
    links = b"".join(
        _bytes_field(
            2,
            _bytes_field(1, bytes([1, child.codec]) + _SHA2_256 + child.digest)
            + _bytes_field(2, b"")
            + b"\x18"
            + _varint(child.total),
        )
        for child in children
    )
    data = b"\x08\x02\x18" + _varint(size) + b"".join(b"\x20" + _varint(child.size) for child in children)
    block = links + _bytes_field(1, data)
    return _Node(sha256(block).digest(), DAG_PB, size, len(block) + sum(child.total for child in children))


def of_chunks(chunks: Iterable[bytes]) -> str:
    """The CID of a file that is read in chunks of exactly `CHUNK` bytes (the last one may be shorter)."""
    level = [_Node(sha256(chunk).digest(), RAW, len(chunk), len(chunk)) for chunk in chunks]
    if not level:
        level = [_Node(sha256(b"").digest(), RAW, 0, 0)]
    while len(level) > 1:
        level = [_parent(level[i : i + LINKS]) for i in range(0, len(level), LINKS)]
    return text(level[0].digest, level[0].codec)


def of(data: bytes) -> str:
    """The CID of a file."""
    if len(data) <= CHUNK:
        return text(sha256(data).digest())
    view = memoryview(data)
    return of_chunks(bytes(view[i : i + CHUNK]) for i in range(0, len(data), CHUNK))
