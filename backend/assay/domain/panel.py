"""The panel's drawing, as the program does it: weighted sampling without replacement, in integers.

Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006): give each candidate the key −log(u)/w with
u uniform and keep the lowest keys. u comes from the hash of seed and wallet, so a candidate's leaving changes nobody
else's key, and w is the stake, so splitting one over many wallets gains nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from assay.errors import AssayError

LOG_BITS = 24
MAX_WEIGHT = 1000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A validator in the set: stake in base units, and the slot of its entry's last change."""

    wallet: bytes
    stake: int
    since_slot: int


class NotEnoughValidators(AssayError):
    """Fewer validators are eligible than the request's panel has seats."""

    status, code = 409, "not_enough_validators"


def neg_log2(u: int) -> int:
    """⌊2^24 · −log2((u + 1) / 2^64)⌋ for 0 ≤ u < 2^64, up to the algorithm's own rounding, in integers only.

    x = u + 1 is scaled to a mantissa in [1, 2) of 63 fraction bits; each squaring gives one more bit of its logarithm
    (Knuth, TAOCP 1.2.2, exercise 25). The bits of log2 are cut off, so the negative is rounded up at the last bit.
    """
    x = u + 1
    whole = x.bit_length() - 1
    mantissa = (x << 63) >> whole
    fraction = 0
    for _ in range(LOG_BITS):
        mantissa = mantissa * mantissa >> 63
        fraction <<= 1
        if mantissa >> 64:
            mantissa >>= 1
            fraction |= 1
    return (64 << LOG_BITS) - ((whole << LOG_BITS) | fraction)


def weight(stake: int, min_stake: int) -> int:
    """Whole minimum stakes, from 1 to 1000."""
    return max(1, min(MAX_WEIGHT, stake // min_stake if min_stake else MAX_WEIGHT))


def key(wallet: bytes, *, seed: bytes, weight: int) -> int:
    """The candidate's key; the lowest are drawn."""
    u = int.from_bytes(sha256(seed + wallet).digest()[:8], "little")
    return (neg_log2(u) << 20) // weight


def draw(
    candidates: Iterable[Candidate], *, seed: bytes, seats: int, seed_slot: int, buyer: bytes, min_stake: int
) -> tuple[bytes, ...]:
    """The wallets of the panel, lowest key first (ties: lower wallet bytes).

    Raises `NotEnoughValidators`: a panel is never smaller than the request's terms say.
    """
    keyed = sorted(
        (key(one.wallet, seed=seed, weight=weight(one.stake, min_stake)), one.wallet)
        for one in candidates
        if one.since_slot < seed_slot and one.wallet != buyer
    )
    if len(keyed) < seats:
        raise NotEnoughValidators(f"{len(keyed)} validators are eligible, the panel has {seats} seats")
    return tuple(wallet for _, wallet in keyed[:seats])


def lottery(members: Sequence[bytes], *, seed: bytes, label: bytes, count: int) -> tuple[bytes, ...]:
    """`count` of `members`, at random from public randomness, every one alike: anyone with the seed can check it.

    `label` says what is being drawn (a task id, say), so that draws from one seed are independent.
    """
    return tuple(sorted(members, key=lambda one: (sha256(seed + label + one).digest(), one))[:count])
