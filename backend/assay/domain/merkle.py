"""The trees of docs/protocol.md: a batch's tree of entries, and the log that the batches grow (a mountain range)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

ZERO = bytes(32)
MAX_PEAKS = 32


def leaf(entry: bytes) -> bytes:
    """Hash of one entry. The prefix keeps an entry from being taken for a node (second preimages)."""
    return sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree made once and asked for many proofs: over leaf hashes, padded with zero leaves to a power of two."""

    __slots__ = ("_levels", "count")

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.count = len(leaves)
        width = 1 << max(self.count - 1, 0).bit_length()
        self._levels = [[*leaves, *[ZERO] * (width - self.count)]]
        while len(self._levels[-1]) > 1:
            row = self._levels[-1]
            self._levels.append([node(row[i], row[i + 1]) for i in range(0, len(row), 2)])

    @classmethod
    def of(cls, entries: Sequence[bytes]) -> Tree:
        """A batch's tree."""
        return cls([leaf(entry) for entry in entries])

    @property
    def root(self) -> bytes:
        """Its root; of no leaves: 32 zero bytes."""
        return self._levels[-1][0]

    def proof(self, index: int) -> tuple[bytes, ...]:
        """The siblings of leaf `index` from the leaf up. Raises `IndexError`."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        siblings = []
        for row in self._levels[:-1]:
            siblings.append(row[index ^ 1])
            index >>= 1
        return tuple(siblings)


def root(entries: Sequence[bytes]) -> bytes:
    """Root over `entries`, padded with zero leaves to a power of two; of none: 32 zero bytes."""
    return Tree.of(entries).root


def proof(entries: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The siblings of entry `index` from the leaf up."""
    return Tree.of(entries).proof(index)


def climb(digest: bytes, index: int, siblings: Sequence[bytes]) -> bytes:
    """The root that `siblings` lead to from a leaf hash; the bits of `index` say left or right."""
    for sibling in siblings:
        digest = node(sibling, digest) if index & 1 else node(digest, sibling)
        index >>= 1
    return digest


def verify(entry: bytes, index: int, siblings: Sequence[bytes], expected: bytes) -> bool:
    """Whether `entry` is at `index` of the tree with root `expected`."""
    return 0 <= index < 1 << len(siblings) and climb(leaf(entry), index, siblings) == expected


def batch_leaf(*, batch: int, root: bytes, at: int, digest: bytes) -> bytes:
    """The log's leaf of a settled batch: `at` is the market time of its settlement."""
    return sha256(b"\x02" + struct.pack("<Q32sq32s", batch, root, at, digest)).digest()


def next_head(head: bytes, batch_leaf: bytes) -> bytes:
    """The log head after a batch (first head: 32 zero bytes)."""
    return sha256(b"\x03" + head + batch_leaf).digest()


@dataclass(slots=True)
class Mountains:
    """A Merkle mountain range: `peaks[h]` is the root of 2^h leaves if bit h of `count` is set, else 32 zero bytes."""

    count: int = 0
    peaks: list[bytes] = field(default_factory=lambda: [ZERO] * MAX_PEAKS)

    def append(self, leaf: bytes) -> None:
        height = 0
        while self.count >> height & 1:
            leaf = node(self.peaks[height], leaf)
            self.peaks[height] = ZERO
            height += 1
        self.peaks[height] = leaf
        self.count += 1


@dataclass(frozen=True, slots=True)
class MountainProof:
    """Where a leaf is under the peaks: `siblings` lead from it to `peaks[height]`."""

    index: int
    height: int
    siblings: tuple[bytes, ...]


def locate(index: int, count: int) -> tuple[int, int]:
    """`(height, offset)`: the peak that leaf `index` of `count` is under, and the leaves left of that peak."""
    if not 0 <= index < count:
        raise IndexError(index)
    offset = 0
    for height in reversed(range(count.bit_length())):
        size = 1 << height
        if count & size:
            if index < offset + size:
                return height, offset
            offset += size
    raise AssertionError("unreachable")


def mountain_proof(leaves: Sequence[bytes], index: int) -> MountainProof:
    """The proof of leaf `index` against the peaks of all `leaves`."""
    height, offset = locate(index, len(leaves))
    peak = Tree(leaves[offset : offset + (1 << height)])
    return MountainProof(index, height, peak.proof(index - offset))


def verify_mountain(leaf: bytes, proof: MountainProof, *, count: int, peaks: Sequence[bytes]) -> bool:
    """Whether `leaf` is number `proof.index` of the `count` leaves under `peaks`."""
    if not 0 <= proof.index < count:
        return False
    height, offset = locate(proof.index, count)
    if proof.height != height or len(proof.siblings) != height:
        return False
    return climb(leaf, proof.index - offset, proof.siblings) == peaks[height]
