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
    """−log2((u + 1) / 2^64) in 1/2^24 for 0 ≤ u < 2^64, by the program's steps (`neg_log2` in math.rs).

    24 squarings of the mantissa in fixed point, each keeping 31 fraction bits and giving one more bit of the
    logarithm (Knuth, TAOCP 1.2.2, exercise 25).
    """
    value = u + 1
    if value >> 64:
        return 0
    exponent = value.bit_length() - 1
    mantissa = value << 63 - exponent >> 32  # 1.0 to 2.0
    log = exponent
    for _ in range(LOG_BITS):
        square = mantissa * mantissa
        bit = square >> 63
        log = log << 1 | bit
        mantissa = square >> 31 + bit
    return (64 << LOG_BITS) - log


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
