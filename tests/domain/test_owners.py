"""Owners: wallets that answer as one, learned from the first records of a log."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path

import pytest

from assay.domain.owners import LAST_POINT, RULE, groups, owners_point

CLASSES = ["a", "b", "c"]


def wallet(number: int) -> bytes:
    return sha256(str(number).encode()).digest()


def crowd(records: int, *, copies: int, seed: int = 1) -> list:
    """Twelve labelers of 80 %, of whom the first `copies` give the first one's answers; five answer each record."""
    lot = random.Random(seed)
    judged = []
    for record in range(records):
        truth = lot.choice(CLASSES)
        said = [truth if lot.random() < 0.8 else lot.choice(CLASSES) for _ in range(12)]
        said = [said[0] if i < copies else one for i, one in enumerate(said)]
        votes = [(wallet(i), said[i]) for i in lot.sample(range(12), 5)]
        judged.append((votes, truth if record % 20 == 0 else None))
    return judged


@pytest.mark.parametrize(
    ("records", "point"), [(0, 0), (31, 0), (32, 32), (63, 32), (64, 64), (10**6, LAST_POINT), (LAST_POINT, LAST_POINT)]
)
def test_points(records: int, point: int) -> None:
    assert owners_point(records) == point


def test_copies_are_one_owner_and_nobody_else_is() -> None:
    (found,) = groups(crowd(512, copies=4), classes=CLASSES)
    assert found == tuple(sorted(wallet(i) for i in range(4)))


def test_honest_labelers_are_nobodys_group() -> None:
    assert all(groups(crowd(256, copies=1, seed=seed), classes=CLASSES) == () for seed in range(8))


def test_order_of_answers_does_not_matter() -> None:
    judged = crowd(512, copies=4)
    assert groups([(votes[::-1], known) for votes, known in judged], classes=CLASSES) == groups(judged, classes=CLASSES)


def test_nothing_is_learned_from_nothing() -> None:
    assert groups([], classes=CLASSES) == ()
    with pytest.raises(ValueError, match="is not one of"):
        groups([([(wallet(1), "z")], None)], classes=CLASSES)


def members(noise: float, *, records: int = 2000, seed: int = 0) -> list[list[int]]:
    """Places of the groups' members where 30 of 100 wallets give one bot's answer, but for `noise` of them."""
    lot = random.Random(seed)
    wallets = sorted(wallet(i) for i in range(100))
    skill = [lot.betavariate(8, 2) for _ in wallets]
    judged = []
    for record in range(records):
        truth = lot.choice("ab")
        bot = truth if lot.random() < 0.4 else lot.choice("ab")
        votes = []
        for place in lot.sample(range(100), 7):
            said, right = (bot, 1 - noise) if place < 30 else (truth, skill[place])
            votes.append((wallets[place], said if lot.random() < right else lot.choice("ab")))
        judged.append((votes, truth if record % 20 == 0 else None))
    return [[wallets.index(one) for one in group] for group in groups(judged, classes="ab")]


def test_the_rule_has_a_number_of_its_own() -> None:
    """An auditor tells another version's rule from a false log by it: if other groups are found here, the rule is
    another one, and so must be its number, here and in docs/protocol.md.
    """
    bots = list(range(30))
    assert (RULE, [members(noise) for noise in (0.0, 0.1, 0.2)]) == (3, [[bots], [bots], []])
    protocol = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
    assert f"`rule` (now {RULE})" in protocol.read_text(encoding="utf-8")
