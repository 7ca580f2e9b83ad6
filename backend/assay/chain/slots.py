"""The embedded chain's time: slots that advance with real time, their hashes, and the wall clock.

A slot's hashes come from the home's secret, `sha256(tag ‖ secret ‖ slot)`: nobody without the secret can foresee them,
and a chain that starts again knows them without having written one a slot.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable

from solders.hash import Hash

from assay.chain.base import MAX_AGE

HASHES = 512
"""Entries of the SlotHashes sysvar (Solana's MAX_ENTRIES)."""
RESERVE = 64
"""Slots that are noted on disk ahead of time: after a crash time goes on behind them, so no slot ever comes twice."""
SLOTS_PER_EPOCH = 432_000


class Slots:
    """Counts slots. `reserve(n)` must note durably that slots below n may have been seen."""

    def __init__(
        self,
        *,
        secret: bytes,
        first: int,
        slot_seconds: float,
        wall: int,
        reserve: Callable[[int, int], None],
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        offset: float = 0.0,
    ) -> None:
        self._secret = secret
        self._first = first
        self._seconds = slot_seconds
        self._wall = wall
        self._reserve = reserve
        self._now = now
        self._monotonic = monotonic
        self._started = monotonic()
        self._reserved = first
        self._window = -1
        self._table = b""
        self._recent: dict[Hash, int] = {}
        self.offset = offset
        self.slot = first
        self.tick()

    def tick(self) -> bool:
        """Brings slot and hashes up to date; true if a new slot has begun."""
        slot = self._first + int((self._monotonic() - self._started) / self._seconds)
        if slot <= self.slot and self._window == self.slot:
            return False
        self.slot = max(slot, self.slot)
        if self.slot + RESERVE // 2 > self._reserved:
            self._reserved = self.slot + RESERVE
            self._reserve(self._reserved, self.wall())
        start = max(self._window + 1, self.slot - HASHES, 0)
        entries = [
            struct.pack("<Q", at - 1) + self._digest(b"bank", at - 1) for at in range(self.slot, start - 1, -1) if at
        ]
        self._table = (b"".join(entries) + self._table)[: HASHES * 40]
        for at in range(max(self._window + 1, self.slot - MAX_AGE, 0), self.slot + 1):
            self._recent[Hash(self._digest(b"block", at))] = at
        while self._recent and next(iter(self._recent.values())) < self.slot - MAX_AGE:
            del self._recent[next(iter(self._recent))]
        self._window = self.slot
        return True

    def wall(self) -> int:
        """Wall time in seconds; never goes back."""
        self._wall = max(self._wall, int(self._now() + self.offset))
        return self._wall

    def blockhash(self) -> Hash:
        """The current slot's blockhash."""
        return next(reversed(self._recent))

    def age(self, blockhash: Hash) -> int | None:
        """How many slots old a blockhash is; None if it is unknown or expired."""
        at = self._recent.get(blockhash)
        return None if at is None else self.slot - at

    def slot_hashes(self) -> bytes:
        """Data of the SlotHashes sysvar: count u64, then (slot u64, hash), newest first; always of its full size."""
        return (struct.pack("<Q", len(self._table) // 40) + self._table).ljust(8 + HASHES * 40, b"\0")

    def _digest(self, tag: bytes, slot: int) -> bytes:
        return hashlib.sha256(tag + self._secret + struct.pack("<Q", slot)).digest()
