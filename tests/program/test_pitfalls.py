"""What went wrong in other markets: the tests that would notice it here, and those that no other file has."""

from __future__ import annotations

import re

import invariants
import pytest
from cases import market, panel, rejected
from world import LABELER, ROOT, UNIT, VALIDATOR, TallyOf, keypair

PITFALLS = {
    "a late claimant is short-paid": ["program/test_disputes.py::test_a_close_keeps_what_a_dispute_may_cost"],
    "refund or close while claims are live": [
        "program/test_disputes.py::test_a_close_inside_the_window_keeps_the_reserve"
    ],
    "a slash counted twice": ["program/test_slashing.py::test_the_counters_start_anew"],
    "a slash into leaving stake": [
        "program/test_slashing.py::test_a_slash_reaches_stake_on_its_way_out_and_the_exit_goes_on"
    ],
    "rounding": ["program/test_settlement.py::test_validators_shares_add_up_whatever_the_rounding"],
    "leaving before the slash": ["program/test_slashing.py::test_voting_and_leaving_is_too_slow"],
    "a top-up that skips the lock-up": [
        "program/test_participants.py::test_a_second_exit_joins_the_first_and_restarts_its_window"
    ],
    "a payout account not bound to the worker": ["program/test_settlement.py::test_a_submitter_cannot_divert_pay"],
    "one bad account reverts a batch": ["program/test_settlement.py::test_one_bad_account_holds_nobody_up"],
    "a panel of one, the buyer on it": [
        "program/test_requests.py::test_the_buyers_own_wallet_cannot_validate",
        "program/test_requests.py::test_too_few_validators",
    ],
    "state without a round number": [
        "program/test_settlement.py::test_signatures_mean_one_request_one_round_one_batch"
    ],
    "upholding by timeout": ["program/test_disputes.py::test_after_three_silent_rounds_nobody_wins"],
    "cancelling strands stakes": ["program/test_requests.py::test_all_the_money_comes_home"],
    "deadlines run on in a pause": ["program/test_disputes.py::test_a_pause_stops_the_window"],
    "the authority reaches running requests": [
        "program/test_market.py::test_parameters_change_for_requests_to_come_only"
    ],
    "lists without a bound": [
        "program/test_participants.py::test_a_full_validator_set_makes_room_for_larger_stakes_only"
    ],
    "a panel that can be foreseen": ["program/test_requests.py::test_validators_who_could_know_the_seed_do_not_sit"],
    "splitting a stake pays": [
        "program/test_slashing.py::test_splitting_a_stake_costs_as_much_for_each_conviction",
        "domain/test_strikes.py::test_splitting_a_stake_does_not_pay",
    ],
    "an outlier test that never fires": ["domain/test_strikes.py::test_coins_and_liars_are_caught"],
    "wrong accounts": ["program/test_adversarial_accounts.py::test_no_wrong_account_goes_through"],
    "the first caller owns the market": ["program/test_market.py::test_only_the_upgrade_authority_initializes"],
    "mints with powers": ["program/test_market.py::test_mints_with_dangerous_extensions_are_refused"],
}


@pytest.mark.parametrize("name", PITFALLS)
def test_each_has_its_test(name: str) -> None:
    for where in PITFALLS[name]:
        file, _, test = where.partition("::")
        text = (ROOT / "tests" / file).read_text()
        assert re.search(rf"^def {test}\(", text, re.MULTILINE), f"{where} is not there"


def test_validators_earn_the_same_whatever_the_verdict() -> None:
    """Paying only for acceptance buys acceptance."""
    earned = []
    for good, bad in ((4, 0), (0, 4)):
        world = market()
        labeler = world.labeler()
        posted, _ = world.post(world.buyer())
        voters = panel(world, posted)
        before = [world.balance(world.token_account(one.wallet)) for one in voters]
        assert world.settle(posted, world.review({labeler: (good, bad)}, voters)).ok
        after = [world.balance(world.token_account(one.wallet)) for one in voters]
        earned.append([b - a for a, b in zip(before, after, strict=True)])
    assert sorted(earned[0]) == sorted(earned[1])
    assert sum(earned[0]) == 4 * UNIT // 25


def test_a_small_fee_is_shared_to_the_last_unit() -> None:
    """A share that rounds to zero must not vanish."""
    world = market()
    labeler = world.labeler()
    posted, _ = world.post(world.buyer(), validation_fee=1)
    voters = panel(world, posted)
    for _ in range(5):
        assert world.settle(posted, world.review({labeler: (1, 0)}, voters)).ok
    assert world.request(posted).paid_validators == 5
    invariants.check(world)


def test_a_strangers_dust_changes_no_stake() -> None:
    """Tokens sent to a vault belong to nobody's stake, and no one else can add to it."""
    world = market(validators=1)
    victim = world.actors["validator-0"]
    assert world.request_unstake(victim, 500 * UNIT).ok
    before = world.person(victim)
    vault = world.addresses.stake_vault
    world.write_token_account(vault, owner=world.addresses.market, mint=world.mint, amount=world.balance(vault) + 1)
    assert world.person(victim) == before
    world.advance(seconds=4_000)
    assert world.withdraw_stake(victim).ok
    assert world.balance(vault) == 1


def test_a_wallet_has_one_role_for_good() -> None:
    world = market(validators=1)
    for role in (LABELER, VALIDATOR):
        assert not world.register(world.actors["validator-0"], role).ok


def test_nobody_stands_twice_in_a_batch() -> None:
    world = market()
    labeler = world.labeler()
    posted, _ = world.post(world.buyer())
    voters = panel(world, posted)
    tallies = [TallyOf(labeler, 1), TallyOf(labeler, 1), *world.review({labeler: (2, 0)}, voters)[1:]]
    assert world.settle(posted, tallies).error == "TalliesOutOfOrder"


def test_a_disputed_request_is_not_reaped() -> None:
    case = rejected()
    world = case.world
    assert case.open().ok
    assert world.end_call("cancel_request", case.posted).ok
    world.advance(seconds=10_000)
    assert world.close(case.posted).ok
    assert world.reap(case.posted).error == "NotSwept"
    assert world.end_dispute("expire_dispute", case.posted, case.dispute).ok
    assert world.close(case.posted).ok
    assert world.collect_fees(case.posted).ok
    assert world.reap(case.posted).ok
    assert world.close_dispute(case.dispute, case.labeler).ok
    invariants.check(world)


def test_an_address_that_was_sent_sol_ahead_can_be_opened() -> None:
    """Anybody can send SOL to an address that is still to come; that must not keep its owner from using it."""
    world = market(validators=0)
    address = world.addresses.participant(keypair("buyer").pubkey())
    request = world.addresses.request(keypair("buyer").pubkey(), 1)
    for ahead in (address, request, world.addresses.vault(request)):
        world.svm.airdrop(ahead, 1_000_000)
    _, outcome = world.post(world.buyer())
    assert outcome.ok, outcome
    assert world.balance(world.addresses.vault(request)) == 500 * UNIT
    invariants.check(world)
