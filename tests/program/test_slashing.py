"""Slashing: who can be slashed, what it costs, where it goes, and that no exit and no split gets around it."""

from __future__ import annotations

import dataclasses
import struct

import invariants
import pytest
from cases import market, panel, strikes
from flows import Flows, accounts_of
from solders.account import Account
from world import UNIT, Actor, Posted

from assay.domain.strikes import is_outlier, least_strikes, repayments

RHO = 50 * UNIT  # 10 % of a validator's minimum of 500


def convicted(*, bad: int = 30, policy: int = 0, role: int = 3, fee: int = UNIT // 25) -> tuple[Flows, Posted, Actor]:
    """A market in which one participant has `bad` strikes of as many judgements."""
    world = market(validators=4, params={"panel_size": 4, "slash_policy": policy})
    labeler = world.labeler("labeler")
    posted, outcome = world.post(world.buyer(), validation_fee=fee)
    assert outcome.ok, outcome
    panel(world, posted)
    victim = world.actors["validator-0"] if role == 3 else labeler
    assert (outcome := strikes(world, posted, victim, bad=bad)).ok, outcome
    return world, posted, victim


def test_chance_is_not_slashed() -> None:
    least = least_strikes(30, error_rate=1)
    assert least is not None
    world, posted, victim = convicted(bad=least - 1)
    assert strikes(world, posted, victim, bad=0, good=30 - least + 1).ok
    assert world.slash_outlier(victim).error == "NotAnOutlier"
    world, posted, victim = convicted(bad=least)
    assert strikes(world, posted, victim, bad=0, good=30 - least).ok
    assert world.slash_outlier(victim).ok


@pytest.mark.parametrize("error_rate", range(8))
def test_the_program_and_python_draw_the_same_line(error_rate: int) -> None:
    """At every honest error rate, on both sides of the line, with counters written straight into the account."""
    world = market(validators=1, params={"error_rate": error_rate})
    victim = world.actors["validator-0"]
    person = world.person(victim)
    account = world.svm.get_account(victim.participant)
    assert account is not None
    for judgements in (20, 21, 37, 100, 1_000, 4_000_000_000):
        low, high = 0, judgements  # bisection: `least_strikes` walks
        while low < high:
            middle = (low + high) // 2
            if is_outlier(middle, judgements, error_rate=error_rate):
                high = middle
            else:
                low = middle + 1
        for strikes_now, guilty in ((low - 1, False), (low, True)):
            changed = dataclasses.replace(person, judgements=judgements, strikes=strikes_now)
            data = world.codec.encode_account("Participant", changed)
            world.svm.set_account(victim.participant, Account(account.lamports, data, account.owner))
            outcome = world.slash_outlier(victim)
            assert outcome.ok == guilty, (judgements, strikes_now, outcome.error)


def test_fewer_than_twenty_judgements_convict_nobody() -> None:
    world, _, victim = convicted(bad=19)
    assert world.slash_outlier(victim).error == "NotAnOutlier"


@pytest.mark.parametrize("policy", [0, 1])
def test_the_buyer_first_then_the_policy(policy: int) -> None:
    world, posted, victim = convicted(policy=policy)
    supply, fees = world.supply(), world.balance(world.addresses.fee_vault(world.mint))
    before = world.person(victim)
    outcome = world.slash_outlier(victim)
    assert outcome.ok, outcome
    event = outcome.event("Slashed")
    # 30 wrong votes put 30 answers at 1 token at risk: the buyer is made whole, 20 of 50 are left over.
    assert (event.amount, event.repaid) == (RHO, 30 * UNIT)
    rest = (20 * UNIT, 0) if policy == 0 else (0, 20 * UNIT)
    assert (event.burned, event.recycled) == rest
    assert world.person(posted.buyer).owed[0] == 30 * UNIT
    assert world.supply() == supply - rest[0]
    assert world.balance(world.addresses.fee_vault(world.mint)) == fees + rest[1]
    after = world.person(victim)
    assert after.stake == before.stake - RHO
    assert (after.judgements, after.strikes, after.slashes, after.slashed_total) == (0, 0, 1, RHO)
    assert all(harm.loss == 0 for harm in after.harms)
    assert world.claim_owed(posted.buyer).ok
    invariants.check(world)


def test_a_labeler_is_slashed_by_its_own_minimum() -> None:
    world, _, victim = convicted(role=2)
    outcome = world.slash_outlier(victim)
    assert outcome.ok, outcome
    assert outcome.event("Slashed").amount == 10 * UNIT
    # 30 rejected answers cost the buyer 30 validation fees.
    assert outcome.event("Slashed").repaid == 30 * UNIT // 25
    invariants.check(world)


def test_losses_above_the_slash_are_shared() -> None:
    world, posted, victim = convicted(bad=30)
    other = world.buyer("second")
    second, outcome = world.post(other, price=9 * UNIT)
    assert outcome.ok
    panel(world, second)
    assert strikes(world, second, victim, bad=30).ok
    event = world.slash_outlier(victim).event("Slashed")
    first, second_share = world.person(posted.buyer).owed[0], world.person(other).owed[0]
    assert event.repaid == first + second_share <= event.amount
    assert (first, second_share) == (5 * UNIT, 45 * UNIT)
    invariants.check(world)


def test_python_shares_a_slash_as_the_program_does() -> None:
    """Four buyers with odd losses, beyond 32 bits together: `repayments` gives each unit."""
    world, _, victim = convicted(bad=20)
    prices = [7_919_333, 104_729_123_457, 1, 15_485_867]
    person = world.person(victim)
    buyers = [world.buyer(f"harmed-{number}") for number in range(4)]
    harms = [
        dataclasses.replace(harm, buyer=buyer.participant, loss=loss)
        for harm, buyer, loss in zip(person.harms, buyers, prices, strict=True)
    ]
    account = world.svm.get_account(victim.participant)
    assert account is not None
    changed = dataclasses.replace(person, harms=tuple(harms))
    data = world.codec.encode_account("Participant", changed)
    world.svm.set_account(victim.participant, Account(account.lamports, data, account.owner))
    outcome = world.slash_outlier(victim)
    assert outcome.ok, outcome
    found = tuple(world.person(buyer).owed[0] for buyer in buyers)
    assert found == repayments(prices, RHO)
    assert sum(found) == outcome.event("Slashed").repaid


def test_harmed_accounts_cannot_be_left_out_swapped_or_doubled() -> None:
    world, _, victim = convicted()
    stranger = world.buyer("stranger")
    right = world.harmed(victim)
    assert world.slash_outlier(victim, []).error == "WrongHarmed"
    assert world.slash_outlier(victim, right * 2).error == "WrongHarmed"
    assert world.slash_outlier(victim, accounts_of(stranger.participant)).error == "WrongHarmed"
    assert world.slash_outlier(victim, right).ok


def test_a_slash_reaches_stake_on_its_way_out_and_the_exit_goes_on() -> None:
    world, _, victim = convicted()
    assert world.request_unstake(victim, 500 * UNIT).ok
    assert world.slash_outlier(victim).ok
    person = world.person(victim)
    assert (person.stake, person.unstaking) == (0, 450 * UNIT)
    assert world.withdraw_stake(victim).error == "StillUnstaking"
    world.advance(seconds=8_000)
    before = world.balance(world.token_account(victim.wallet))
    assert world.withdraw_stake(victim).ok
    assert world.balance(world.token_account(victim.wallet)) == before + 450 * UNIT
    invariants.check(world)


def test_voting_and_leaving_is_too_slow() -> None:
    world, _, victim = convicted()
    assert world.request_unstake(victim, 500 * UNIT).ok
    world.advance(seconds=3_999)
    assert world.withdraw_stake(victim).error == "StillUnstaking"
    assert world.slash_outlier(victim).ok


def test_a_slashed_validator_leaves_the_set() -> None:
    world, _, victim = convicted()
    assert world.slash_outlier(victim).ok
    members = world.read("ValidatorSet", world.addresses.validators)
    assert bytes(victim.wallet) not in {bytes(one.wallet) for one in members.entries[: members.count]}


def test_the_counters_start_anew() -> None:
    world, _, victim = convicted()
    assert world.slash_outlier(victim).ok
    assert world.slash_outlier(victim).error == "NotAnOutlier"


def test_without_stake_a_conviction_waits() -> None:
    """Else an offender who has left could wipe its own strikes, and come back clean."""
    world, _, victim = convicted()
    assert world.request_unstake(victim, 500 * UNIT).ok
    world.advance(seconds=8_001)
    assert world.withdraw_stake(victim).ok
    assert world.slash_outlier(victim).error == "NothingToSlash"
    assert world.person(victim).strikes == 30
    world.give(victim.wallet, 500 * UNIT)
    assert world.stake(victim, 500 * UNIT).ok
    assert world.slash_outlier(victim).ok


def test_splitting_a_stake_costs_as_much_for_each_conviction() -> None:
    """docs/decisions/slashing.md: one wallet of 1,000 or two of 500, each conviction takes 50."""
    world = market(validators=3, params={"panel_size": 4})
    whale = world.validator("whale", stake=1_000 * UNIT)
    world.advance(slots=3)
    world.labeler("labeler")
    posted, _ = world.post(world.buyer())
    panel(world, posted)
    for victim in (whale, world.actors["validator-0"]):
        assert strikes(world, posted, victim, bad=20).ok
        assert world.slash_outlier(victim).event("Slashed").amount == RHO


def batch_message(world: Flows, posted: Posted, *, digest: bytes, number: int = 0, round: int = 1) -> bytes:
    domain = bytes(world.request(posted).domain)
    return b"assay-batch-v1\0\0" + domain + struct.pack("<QI", number, round) + digest


def test_two_batches_with_one_number() -> None:
    world, posted, _ = convicted(bad=1)
    villain = world.actors["validator-1"]
    messages = [batch_message(world, posted, digest=bytes([n]) * 32) for n in (1, 2)]
    outcome = world.slash_equivocation(villain, messages)
    assert outcome.ok, outcome
    assert outcome.event("Slashed").amount == 250 * UNIT
    assert world.person(villain).stake == 250 * UNIT
    # The same evidence, in any order and with a third digest, is worth nothing more.
    for again in (messages, messages[::-1], [messages[0], batch_message(world, posted, digest=bytes([3]) * 32)]):
        assert not world.slash_equivocation(villain, again).ok
    assert world.person(villain).stake == 250 * UNIT
    invariants.check(world)


def test_what_is_no_equivocation() -> None:
    world, posted, _ = convicted(bad=1)
    villain = world.actors["validator-1"]
    one = batch_message(world, posted, digest=bytes([1]) * 32)
    pairs = {
        "the same message": [one, one],
        "another batch": [one, batch_message(world, posted, digest=bytes([2]) * 32, number=1)],
        "another round": [one, batch_message(world, posted, digest=bytes([2]) * 32, round=2)],
        "one message": [one],
        "three messages": [one, *(batch_message(world, posted, digest=bytes([n]) * 32) for n in (2, 3))],
        "another kind": [b"assay-vote-v1\0\0\0" + one[16:], b"assay-vote-v1\0\0\0" + one[16:60] + bytes(32)],
    }
    for name, messages in pairs.items():
        assert world.slash_equivocation(villain, messages).error == "NotEquivocation", name


def test_someone_elses_signatures_convict_nobody() -> None:
    world, posted, _ = convicted(bad=1)
    villain, innocent = world.actors["validator-1"], world.actors["validator-2"]
    messages = [batch_message(world, posted, digest=bytes([n]) * 32) for n in (1, 2)]
    forged = Actor("forged", villain.key, innocent.participant, 3)
    assert world.slash_equivocation(forged, messages).error == "NotEquivocation"
