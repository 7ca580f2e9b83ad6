"""The panel's drawing and the reputation's tiers: the program's arithmetic, and that it does what it is for."""

from __future__ import annotations

import math
from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.domain import panel, reputation
from assay.domain.panel import Candidate

SEED = sha256(b"seed").digest()


@given(st.integers(0, 2**64 - 1))
def test_the_integer_logarithm_is_near_the_real_one(u: int) -> None:
    assert abs(panel.neg_log2(u) / 2**24 + math.log2((u + 1) / 2**64)) < 1e-6


@given(st.integers(0, 2**64 - 2), st.integers(1, 2**40))
def test_the_logarithm_never_rises(u: int, step: int) -> None:
    assert panel.neg_log2(min(u + step, 2**64 - 1)) <= panel.neg_log2(u)


def test_golden_logarithms() -> None:
    """So that other languages can check theirs; math.rs has the same ends."""
    cases = {0: 64 << 24, 2**64 - 1: 0, 2**63 - 1: 1 << 24, 2**62: 2 << 24, 12345678901234567890: 9720049}
    assert {u: panel.neg_log2(u) for u in cases} == cases


def candidates(stakes: list[int]) -> list[Candidate]:
    return [Candidate(sha256(bytes([i])).digest(), stake, 5) for i, stake in enumerate(stakes)]


def draw(among: list[Candidate], *, seed: bytes = SEED, seats: int = 3, seed_slot: int = 10) -> tuple[bytes, ...]:
    return panel.draw(among, seed=seed, seats=seats, seed_slot=seed_slot, buyer=bytes(32), min_stake=1000)


def test_leaving_changes_nobody_elses_place() -> None:
    among = candidates([1000 * (i + 1) for i in range(10)])
    drawn = draw(among)
    outside = next(one for one in among if one.wallet not in drawn)
    assert draw([one for one in among if one != outside]) == drawn
    without = draw([one for one in among if one.wallet != drawn[0]])
    assert without[:2] == drawn[1:]


def test_who_is_not_eligible() -> None:
    among = candidates([1000] * 3)
    assert len(draw(among)) == 3
    with pytest.raises(panel.NotEnoughValidators, match="0 validators"):
        draw(among, seed_slot=5)
    with pytest.raises(panel.NotEnoughValidators, match="2 validators"):
        panel.draw(among, seed=SEED, seats=3, seed_slot=10, buyer=among[0].wallet, min_stake=1000)


def test_a_seat_follows_stake_and_splitting_gains_nothing() -> None:
    """One of 4 stakes against three of 1 and against the same 4 in four wallets: 4/7 either way."""
    whole = candidates([4000, 1000, 1000, 1000])
    split = candidates([1000] * 7)
    rounds = 4000
    seeds = [sha256(i.to_bytes(4, "little")).digest() for i in range(rounds)]
    big = Counter(draw(whole, seed=seed, seats=1)[0] == whole[0].wallet for seed in seeds)[True]
    mine = {one.wallet for one in split[:4]}
    many = Counter(draw(split, seed=seed, seats=1)[0] in mine for seed in seeds)[True]
    tolerance = 4 * math.sqrt(rounds * 4 / 7 * 3 / 7)
    assert abs(big - rounds * 4 / 7) < tolerance
    assert abs(many - rounds * 4 / 7) < tolerance


def test_the_lottery_is_checkable_and_fair() -> None:
    members = [bytes([i]) * 32 for i in range(10)]
    hits: Counter[bytes] = Counter()
    for i in range(2000):
        drawn = panel.lottery(members, seed=SEED, label=i.to_bytes(4, "little"), count=3)
        assert len(set(drawn)) == 3
        assert drawn == panel.lottery(members[::-1], seed=SEED, label=i.to_bytes(4, "little"), count=3)
        hits.update(drawn)
    assert all(abs(hits[member] - 600) < 100 for member in members)


def test_tiers_as_in_the_program() -> None:
    cases = {
        (0, 0): 0, (19, 0): 0, (20, 0): 1, (100, 0): 2, (500, 0): 3, (2**32 - 1, 0): 3, (2**32 - 1, 2**32 - 1): 0,
    }  # fmt: skip
    assert {counts: reputation.tier(*counts) for counts in cases} == cases


@given(st.integers(0, 3000), st.integers(0, 300))
def test_tiers_rise_with_accepted_and_fall_with_rejected(accepted: int, rejected: int) -> None:
    now = reputation.tier(accepted, rejected)
    assert reputation.tier(accepted + 1, rejected) >= now


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 600), st.integers(0, 600))
def test_the_score_is_monotone(good: int, bad: int) -> None:
    now = reputation.score(good, bad)
    assert 0 <= now < 10_000
    assert reputation.score(good + 1, bad) >= now >= reputation.score(good, bad + 1)


def test_the_score_is_the_posteriors_bound() -> None:
    """The documented numbers, and the 5 % quantile of Beta(3, 1): x³ = 0.05."""
    assert reputation.score(0, 0) == int(10_000 * 0.05 ** (1 / 3))
    cases = {(20, 0): 8778, (8, 2): 5899, (95, 5): 9006}
    assert {counts: reputation.score(*counts) for counts in cases} == cases
