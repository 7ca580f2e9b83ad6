"""What a rule says to whom it hits: the numbers in it are the rule's own."""

from __future__ import annotations

import random

import pytest

from assay.consensus.groups import FLAG_EXCESS
from assay.domain import reputation, strikes
from assay.domain.learned import Learned
from assay.domain.owners import groups
from assay.domain.standing import Register

RATES = range(len(strikes.ERROR_RATES))


@pytest.mark.parametrize("rate", RATES)
def test_the_fewest_strikes_that_convict(rate: int) -> None:
    for judgements in [*range(60), 400, 5000]:
        found = [k for k in range(judgements + 1) if strikes.is_outlier(k, judgements, error_rate=rate)]
        assert strikes.least_strikes(judgements, error_rate=rate) == (found[0] if found else None)
    assert strikes.least_strikes(2**32, error_rate=rate) is not None


@pytest.mark.parametrize("rate", RATES)
def test_how_many_more_in_a_row(rate: int) -> None:
    for judgements in (0, 3, 19, 20, 21, 60, 300):
        for wrong in {0, 1, judgements // 5, judgements // 2, judgements}:
            if wrong <= judgements:
                more = strikes.margin(wrong, judgements, error_rate=rate)
                assert strikes.is_outlier(wrong + more, judgements + more, error_rate=rate)
                assert more == 0 or not strikes.is_outlier(wrong + more - 1, judgements + more - 1, error_rate=rate)


def test_strikes_in_words() -> None:
    assert "With" not in strikes.explain(2, 10, error_rate=2)
    text = strikes.explain(10, 100, error_rate=2)
    least = strikes.least_strikes(100, error_rate=2)
    assert "10 of 100" in text
    assert "honest rate of 15 %" in text
    assert f"With 100 judgements it takes {least} strikes" in text
    assert f"From here {strikes.margin(10, 100, error_rate=2)} strikes in a row" in text
    assert "slash_outlier now" in strikes.explain(20, 20, error_rate=2)


def test_the_next_tier() -> None:
    assert reputation.next_tier(0, 0) == (1, 20)
    assert reputation.next_tier(500, 0) is None
    draw = random.Random(4)
    for _ in range(200):
        accepted, rejected = draw.randrange(400), draw.randrange(40)
        found = reputation.next_tier(accepted, rejected)
        now = reputation.tier(accepted, rejected)
        if found is None:
            assert now == 3
            continue
        wanted, more = found
        assert wanted == now + 1
        assert reputation.tier(accepted + more, rejected) >= wanted > reputation.tier(accepted + more - 1, rejected)
    assert "tier 0. Tier 1 asks for 20 judged answers" in reputation.explain_tier(15, 2)
    assert reputation.explain_tier(600, 0).endswith("none above.")


def test_a_score_in_words() -> None:
    assert reputation.explain(20, 3).startswith("20 good and 3 bad judgements: right in at least 72.80 %")
    assert "Beta(20 + 3, 3 + 1)" in reputation.explain(20, 3)
    long = reputation.explain(5000, 500)
    assert "counted in share as 454 and 46" in long
    assert "88.45 %" in long


def crowd(*, copies: int, tasks: int = 200) -> list[tuple[int, bytes, str]]:
    """Six honest labelers, and `copies` who give the answers of one coin."""
    draw = random.Random(7)
    rows = []
    for task in range(tasks):
        truth, coin = draw.choice("ab"), draw.choice("ab")
        wrong = "b" if truth == "a" else "a"
        for who in range(6):
            rows.append((task, b"honest %d" % who, truth if draw.random() < 0.85 else wrong))
        rows += [(task, b"copy %d" % who, coin) for who in range(copies)]
    return rows


def test_copies_are_told_what_is_suspected_of_them_and_others_are_not() -> None:
    rows = crowd(copies=3)
    learned = Learned.learn("auto", rows, classes=["a", "b"], gold={})
    text = learned.explain(b"copy 1")
    assert learned.group_size(b"copy 1") == 3
    assert "From 200 answers of yours" in text
    assert "3 workers gave" in text
    assert "count together as one" in text
    text = learned.explain(b"honest 1")
    assert (learned.group_size(b"honest 1"), "in no group" in text) == (1, True)
    assert f"right in {100 * learned.skill[learned.place[b'honest 1']]:.1f} %" in text
    assert learned.group_size(b"nobody") == 1
    assert "None of your answers" in learned.explain(b"nobody")


def test_methods_that_look_for_no_groups_say_nothing_of_them() -> None:
    learned = Learned.learn("dawid_skene", crowd(copies=3), classes=["a", "b"], gold={0: "a"})
    assert learned.group_size(b"copy 1") == 1
    assert "group" not in learned.explain(b"copy 1")
    assert "dawid_skene takes you to be right" in learned.explain(b"copy 1")


def test_a_register_explains_its_group() -> None:
    judged = [([(who, value) for task, who, value in crowd(copies=3) if task == index], None) for index in range(200)]
    register = Register.learn(judged, classes=["a", "b"])
    assert register.group_size(b"copy 0") == 3
    assert "Of your group: 3 workers gave" in register.explain(b"copy 0")
    assert register.group_size(b"honest 0") == 1
    assert "group:" not in register.explain(b"honest 0")


def test_who_agrees_more_than_others_but_not_as_one_is_no_group_that_counts_once() -> None:
    """Two weak copies of each other: the model leaves their answers alone, so nobody is told anything else."""
    draw = random.Random(3)
    rows = []
    for task in range(400):
        truth, coin = draw.choice("ab"), draw.choice("ab")
        wrong = "b" if truth == "a" else "a"
        rows += [(task, b"honest %d" % who, truth if draw.random() < 0.85 else wrong) for who in range(6)]
        rows += [(task, b"alike %d" % who, coin if draw.random() < 0.7 else draw.choice("ab")) for who in range(3)]
    learned = Learned.learn("auto", rows, classes=["a", "b"], gold={})
    assert learned.collusion is not None
    (group,) = learned.collusion.groups
    at = learned.place[b"alike 0"]
    assert (at in group.workers, group.excess < FLAG_EXCESS, learned.collusion.group_of[at]) == (True, True, 0)
    assert learned.group_size(b"alike 0") == 1
    assert "count together as one" not in learned.explain(b"alike 0")
    judged = [([(who, value) for task, who, value in rows if task == index], None) for index in range(256)]
    assert groups(judged, classes=["a", "b"]) == ()
    assert Register.learn(judged, classes=["a", "b"]).group_size(b"alike 0") == 1


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_a_whole_crowd_that_answers_as_one_is_told_something(workers: int) -> None:
    rows = [(task, b"copy %d" % who, "ab"[task % 2]) for task in range(60) for who in range(workers)]
    assert "right in" in Learned.learn("auto", rows, classes=["a", "b"], gold={}).explain(b"copy 0")
