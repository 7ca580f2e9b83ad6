"""Standings by wallet: the same for everybody who has the log."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest

from assay.domain.incentives import TRUST
from assay.domain.standing import FIRST_REFIT, FIRST_USE, Register, point_in_use, refit_point, refit_points


def wallet(number):
    return sha256(f"wallet {number}".encode()).digest()


def log(count, *, seed=0, lazy=(0, 1), voters=8, panel=4):
    rng = np.random.default_rng(seed)
    judged = []
    for index in range(count):
        truth = int(rng.random() < 0.6)
        votes = []
        for who in rng.choice(voters, panel, replace=False):
            votes.append((wallet(int(who)), 1 if who in lazy else truth if rng.random() < 0.85 else 1 - truth))
        judged.append((votes, truth if index % 20 == 0 else None))
    return judged


def test_refit_points_grow_by_a_quarter():
    assert list(refit_points(100)) == [32, 40, 50, 62, 77, 96]
    assert [refit_point(n) for n in (0, 31, 32, 39, 40, 95, 96)] == [0, 0, 32, 32, 40, 77, 96]
    assert all(5 * refit_point(n) > 4 * n - 5 for n in range(FIRST_REFIT, 5000)), "four fifths, but for rounding"
    assert len(list(refit_points(10**6))) == 47


def test_before_the_first_refit_all_are_on_trust():
    register = Register.learn(log(FIRST_REFIT - 1), classes=[0, 1])
    assert set(register.weights(map(wallet, range(8))).values()) == {TRUST}
    assert register.accepts(wallet(0), answer=b"a")
    assert f"until {FIRST_USE} answers are judged" in register.explain(wallet(0))
    assert (point_in_use(FIRST_USE - 1), point_in_use(FIRST_USE)) == (0, FIRST_REFIT)


def test_who_comes_later_is_told_of_the_next_refit_not_of_the_first():
    text = Register.learn(log(100), classes=[0, 1]).explain(wallet(99))
    assert "new here" in text
    assert "learned again" in text


def test_a_voter_that_does_not_look_is_told_of_its_share():
    text = Register.learn(log(1024), classes=[0, 1]).explain(wallet(0))
    assert "answer without looking, or nearly so: your share stays this small" in text
    assert "accepted" not in text, "a vote is not accepted or refused"


def test_everybody_with_the_log_has_the_same_register():
    judged = log(600)
    one = Register.learn(judged, classes=[0, 1])
    other = Register.learn([(votes[::-1], known) for votes, known in judged[: refit_point(600)]], classes=[0, 1])
    people = [wallet(i) for i in range(9)]
    assert one.weights(people) == other.weights(people)
    assert [one.explain(p) for p in people] == [other.explain(p) for p in people]


def test_always_accepting_earns_nothing():
    register = Register.learn(log(1024), classes=[0, 1])
    lazy, honest = [register.weight(wallet(i)) for i in (0, 1)], [register.weight(wallet(i)) for i in range(2, 8)]
    assert max(lazy) < 0.15 * np.mean(honest)
    assert all(register.accepts(wallet(i), answer=b"x") for i in range(2, 8))
    assert register.weight(wallet(99)) == TRUST, "a newcomer"


def test_a_value_outside_of_the_classes_is_refused():
    with pytest.raises(ValueError, match="value"):
        Register.learn([([(wallet(0), 2)], None)] * FIRST_REFIT, classes=[0, 1])
