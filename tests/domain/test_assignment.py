"""Assignment by public randomness."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.domain.assignment import AssignmentMismatch, Candidate, assign, verify
from assay.errors import FieldError

SEED = bytes(range(32))


def key(text):
    return sha256(str(text).encode()).digest()


def people(count, *, owner=None):
    return [Candidate(key(i), owner or key(i)) for i in range(count)]


@given(st.integers(1, 12), st.integers(1, 6), st.randoms())
def test_order_of_candidates_does_not_matter_and_anybody_can_check(count, wanted, shuffle):
    crowd = people(count)
    drawn = assign(crowd, seed=SEED, task=key("t"), count=wanted)
    assert len(drawn) == len(set(drawn)) == min(count, wanted)
    mixed = crowd[:]
    shuffle.shuffle(mixed)
    verify(drawn[::-1], mixed, seed=SEED, task=key("t"), count=wanted)


def test_everybody_is_drawn_alike():
    counts = Counter(w for t in range(2000) for w in assign(people(10), seed=SEED, task=key(t), count=3))
    assert all(540 <= counts[key(i)] <= 660 for i in range(10))


def test_an_owner_has_one_voice_however_many_wallets():
    crowd = people(5) + [Candidate(key(100 + i), key("bot")) for i in range(50)]
    honest = {key(i) for i in range(5)}
    drawn = [assign(crowd, seed=SEED, task=key(t), count=3) for t in range(1000)]
    bots = [sum(wallet not in honest for wallet in workers) for workers in drawn]
    assert max(bots) == 1
    assert 450 <= sum(bots) <= 550, "one owner of six, three seats: half of the tasks, as everybody"
    assert len(assign(crowd, seed=SEED, task=key("t"), count=50)) == 6


def test_who_leaves_changes_nobody_elses_place():
    crowd = people(8)
    full = assign(crowd, seed=SEED, task=key("t"), count=8)
    assert assign([c for c in crowd if c.wallet != full[2]], seed=SEED, task=key("t"), count=8) == full[:2] + full[3:]


def test_another_choice_is_found_out():
    crowd = people(6)
    drawn = assign(crowd, seed=SEED, task=key("t"), count=3)
    other = next(c.wallet for c in crowd if c.wallet not in drawn)
    for workers, message in (
        ((*drawn[:2], other), "without having been drawn"),
        (drawn[:2], "left out"),
        ((*drawn, drawn[0]), "twice"),
    ):
        with pytest.raises(AssignmentMismatch, match=message):
            verify(workers, crowd, seed=SEED, task=key("t"), count=3)


@pytest.mark.parametrize(
    ("changes", "field"), [({"seed": b""}, "seed"), ({"task": b"x"}, "task"), ({"count": 0}, "count")]
)
def test_bad_arguments_name_the_field(changes, field):
    with pytest.raises(FieldError, match=field):
        assign(people(2), **{"seed": SEED, "task": key("t"), "count": 1, **changes})
