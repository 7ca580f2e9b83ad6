"""Every error of the program can come about, and a test has seen it."""

from __future__ import annotations

import re
from pathlib import Path

import invariants
from cases import market, panel

from assay.chain.program import load_program

LARGE = 2**55


def test_no_error_is_without_a_test() -> None:
    asserted = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    names = [error.name for error in load_program().codec.errors.values()]
    assert [name for name in names if not re.search(rf"\b{name}\b", asserted)] == []


def test_without_slot_hashes_nothing_is_posted_or_drawn() -> None:
    """A request's domain and a panel's seed both come of them."""
    world = market()
    buyer = world.buyer()
    posted, outcome = world.post(buyer)
    assert outcome.ok
    assert world.draw_call(posted).ok
    world.advance(slots=3)
    hashes = world.svm.get_slot_hashes()
    world.svm.set_slot_hashes([])
    before = world.request(posted)
    assert world.post(buyer, id=2)[1].error == "NoSlotHash"
    assert world.draw_call(posted).error == "NoSlotHash"
    assert world.request(posted) == before
    world.svm.set_slot_hashes(hashes)
    assert world.draw_call(posted).ok
    assert world.post(buyer, id=2)[1].ok
    invariants.check(world)


def test_a_tally_beyond_all_money_changes_nothing() -> None:
    """Answers times the price need more than 64 bits."""
    world = market(params={"fee_bps": 0})
    labeler = world.labeler()
    posted, outcome = world.post(world.buyer(tokens=LARGE), price=LARGE, validation_fee=0, amount=LARGE, records=1000)
    assert outcome.ok, outcome
    voters = panel(world, posted)
    before, person = world.request(posted), world.person(labeler)
    assert world.settle(posted, world.review({labeler: (512, 0)}, voters)).error == "Overflow"
    assert world.settle(posted, world.review({labeler: (511, 0)}, voters)).error == "EscrowTooSmall"
    assert (world.request(posted), world.person(labeler)) == (before, person)
    assert world.settle(posted, world.review({labeler: (1, 0)}, voters)).ok
    assert world.balance(world.token_account(labeler.wallet)) >= LARGE
    invariants.check(world)
