"""Perceptual hashes: near-duplicates have hashes a few bits apart.

64 bits: the image in 32 × 32 grey levels, its discrete cosine transform (type II), the 8 × 8 lowest frequencies, each
above their median or not (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010,
section 3.2.1).
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

SIDE, KEPT = 32, 8
_k = np.arange(KEPT)[:, None]
_n = np.arange(SIDE)[None, :]
_COSINES = np.cos(np.pi * _k * (2 * _n + 1) / (2 * SIDE))


def perceptual_hash(data: bytes) -> int:
    """The hash (0 ≤ h < 2^64) of an image that passed `check_image`. Transparent pixels count as white."""
    image: Image.Image = Image.open(BytesIO(data))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=np.float64)
    # Rounded, so that the flat parts of an image, where all frequencies vanish, do not hash floating-point dust.
    low = np.round(_COSINES @ grey @ _COSINES.T, 3)
    bits = (low > np.median(low.ravel()[1:])).ravel()  # without the mean grey, which says nothing of the shapes
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def distance(a: int, b: int) -> int:
    """Bits in which two hashes differ. Up to about 6 the images are the same to the eye."""
    return (a ^ b).bit_count()


class HashIndex:
    """Finds hashes at most 7 bits away: of two such, at least one of the eight bytes is equal (pigeonhole)."""

    REACH = 7

    def __init__(self) -> None:
        self._tables: tuple[dict[int, set[int]], ...] = tuple({} for _ in range(8))
        self._names: dict[int, list[str]] = {}

    def add(self, hash_: int, name: str) -> None:
        """Remembers `name` under its hash."""
        names = self._names.setdefault(hash_, [])
        if name not in names:
            names.append(name)
        for table, byte in zip(self._tables, hash_.to_bytes(8, "big"), strict=True):
            table.setdefault(byte, set()).add(hash_)

    def near(self, hash_: int, *, reach: int = 6) -> list[tuple[int, str]]:
        """`(distance, name)` of all within `reach` bits, nearest first."""
        if not 0 <= reach <= self.REACH:
            raise ValueError(f"reach must be from 0 to {self.REACH}")
        found: set[int] = set()
        for table, byte in zip(self._tables, hash_.to_bytes(8, "big"), strict=True):
            found |= {other for other in table.get(byte, ()) if distance(hash_, other) <= reach}
        return sorted((distance(hash_, other), name) for other in found for name in self._names[other])
