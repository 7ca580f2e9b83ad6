"""Roles, payout accounts, stakes and the way out."""

from __future__ import annotations

import pytest
from cases import market, panel
from flows import Flows
from solders.pubkey import Pubkey
from world import PARAMS, UNIT, keypair

WINDOW = PARAMS["unstake_window"]
MINIMUM = PARAMS["min_validator_stake"]


def members(world: Flows) -> dict[Pubkey, int]:
    state = world.read("ValidatorSet", world.addresses.validators)
    return {entry.wallet: entry.stake for entry in state.entries[: state.count]}


@pytest.mark.parametrize("role", [1, 2, 3])
def test_register(role: int) -> None:
    world = Flows()
    actor = world.actor("someone")
    event = world.register(actor, role).event("Registered")
    assert (event.wallet, event.participant, event.role) == (actor.wallet, actor.participant, role)
    person = world.person(actor)
    assert (person.role, person.stake, person.joined_at) == (role, 0, world.now)
    assert not world.register(actor, 3 if role != 3 else 1).ok  # a role is for good


@pytest.mark.parametrize("role", [0, 4, 255])
def test_unknown_roles(role: int) -> None:
    world = Flows()
    assert world.register(world.actor("someone"), role).error == "UnknownRole"


def test_somebody_else_may_pay_for_a_registration() -> None:
    world = Flows()
    actor, payer = world.actor("someone"), world.actor("payer")
    accounts = {"payer": payer.wallet, "wallet": actor.wallet}
    instruction = world.build("register", accounts=accounts, args={"role": 2})
    assert world.send(instruction, signers=[payer.key, actor.key]).ok
    assert world.person(actor).wallet == actor.wallet


def test_payout_must_be_the_wallets_own() -> None:
    world = Flows()
    actor, other = world.actor("someone", 2), world.actor("other")
    assert world.set_payout(actor, world.token_account(other.wallet)).error == "PayoutNotOwned"
    assert world.set_payout(actor, world.addresses.stake_vault).error == "PayoutNotOwned"
    strange = world.make_mint("strange")
    assert world.set_payout(actor, world.token_account(actor.wallet, strange)).error == "WrongTokenAccount"
    assert world.set_payout(actor, world.token_account(actor.wallet, strange), strange).error == "WrongMint"
    frozen = keypair("frozen account").pubkey()
    world.write_token_account(frozen, owner=actor.wallet, mint=world.mint, state=2)
    assert world.set_payout(actor, frozen).error == "WrongTokenAccount"
    assert world.set_payout(actor, actor.wallet).error == "WrongTokenAccount"
    fresh = keypair("second account").pubkey()
    world.write_token_account(fresh, owner=actor.wallet, mint=world.mint)
    event = world.set_payout(actor, fresh).event("PayoutSet")
    assert (event.payout, event.mint_index) == (fresh, 0)


def test_stake_and_the_validator_set() -> None:
    world = Flows()
    actor = world.actor("validator", 3, tokens=2 * MINIMUM)
    assert world.stake(actor, 0).error == "BadAmount"
    assert world.stake(actor, 1 << 56).error == "BadAmount"
    assert world.stake(actor, MINIMUM - 1).error == "BelowMinimumStake"
    assert world.stake(actor, MINIMUM).event("Staked").stake == MINIMUM
    assert members(world) == {actor.wallet: MINIMUM}
    assert world.stake(actor, 5).ok
    assert members(world) == {actor.wallet: MINIMUM + 5}
    assert world.balance(world.addresses.stake_vault) == MINIMUM + 5
    assert not world.stake(actor, 10 * MINIMUM).ok  # the token program says no, and nothing has changed
    assert members(world) == {actor.wallet: MINIMUM + 5}


def test_buyers_do_not_stake() -> None:
    world = Flows()
    assert world.stake(world.buyer(), UNIT).error == "WrongRole"


def test_exit_takes_its_window_and_leaves_the_set_at_once() -> None:
    world = Flows()
    actor = world.validator("validator")
    assert world.withdraw_stake(actor).error == "NothingUnstaking"
    assert world.request_unstake(actor, 0).error == "BadAmount"
    assert world.request_unstake(actor, MINIMUM + 1).error == "InsufficientStake"
    assert world.request_unstake(actor, 1).error == "BelowMinimumStake"
    event = world.request_unstake(actor, MINIMUM).event("UnstakeRequested")
    assert (event.stake, event.unstaking, event.unstake_at) == (0, MINIMUM, world.now + WINDOW)
    assert members(world) == {}
    world.advance(seconds=WINDOW - 1)
    assert world.withdraw_stake(actor).error == "StillUnstaking"
    world.advance(seconds=1)
    assert world.withdraw_stake(actor).event("StakeWithdrawn").amount == MINIMUM
    assert world.balance(world.token_account(actor.wallet)) == MINIMUM
    assert world.withdraw_stake(actor).error == "NothingUnstaking"


def test_a_second_exit_joins_the_first_and_restarts_its_window() -> None:
    world = Flows()
    actor = world.validator("validator", stake=3 * MINIMUM)
    assert world.request_unstake(actor, MINIMUM).ok
    world.advance(seconds=WINDOW - 1)
    assert world.request_unstake(actor, MINIMUM).event("UnstakeRequested").unstaking == 2 * MINIMUM
    world.advance(seconds=WINDOW - 1)
    assert world.withdraw_stake(actor).error == "StillUnstaking"
    world.advance(seconds=1)
    assert world.withdraw_stake(actor).ok
    assert world.person(actor).stake == MINIMUM


def test_an_exit_can_be_taken_back() -> None:
    world = Flows()
    actor = world.validator("validator")
    assert world.cancel_unstake(actor).error == "NothingUnstaking"
    assert world.request_unstake(actor, MINIMUM).ok
    assert world.cancel_unstake(actor).event("UnstakeCancelled").stake == MINIMUM
    assert members(world) == {actor.wallet: MINIMUM}
    person = world.person(actor)
    assert (person.unstaking, person.unstake_at, person.unstake_cap) == (0, 0, 0)


def test_judgements_hold_the_exit_but_not_for_ever() -> None:
    world = market(params={"dispute_window": WINDOW})
    labeler = world.labeler()
    posted, _ = world.post(world.buyer())
    voters = panel(world, posted)
    assert world.request_unstake(labeler, 100 * UNIT).ok
    asked = world.now
    for _ in range(2):
        world.advance(seconds=WINDOW - 1)
        assert world.settle(posted, world.review({labeler: (1, 0)}, voters)).ok
    # the window is over, but the last judgement can still be contested
    assert world.now < asked + 2 * WINDOW < world.person(labeler).bonded_until
    assert world.withdraw_stake(labeler).error == "StillBonded"
    world.advance(seconds=asked + 2 * WINDOW - world.now)
    assert world.withdraw_stake(labeler).ok


def test_a_settlement_bonds_everyone_in_it() -> None:
    world = market()
    labeler = world.labeler()
    posted, _ = world.post(world.buyer())
    voters = panel(world, posted)
    assert world.settle(posted, world.review({labeler: (1, 0)}, voters)).ok
    until = world.now + PARAMS["dispute_window"]
    assert {world.person(one).bonded_until for one in [labeler, *voters]} == {until}


def test_withdrawal_needs_an_account_that_can_receive() -> None:
    world = Flows()
    actor = world.labeler()
    assert world.request_unstake(actor, 100 * UNIT).ok
    world.advance(seconds=WINDOW)
    account = world.token_account(actor.wallet)
    world.write_token_account(account, owner=actor.wallet, mint=world.mint, state=2)
    assert world.withdraw_stake(actor).error == "CannotReceive"
    world.write_token_account(account, owner=actor.wallet, mint=world.mint)
    assert world.withdraw_stake(actor).ok


def test_a_full_validator_set_makes_room_for_larger_stakes_only() -> None:
    world = Flows(params={"min_validator_stake": 10})
    first = [world.validator(f"v{number}", stake=20 + (number == 0) * -5) for number in range(128)]
    assert len(members(world)) == 128
    small = world.actor("small", 3, tokens=1_000)
    assert world.stake(small, 15).error == "ValidatorSetFull"
    assert world.stake(small, 16).ok
    now = members(world)
    assert len(now) == 128
    assert small.wallet in now
    assert first[0].wallet not in now
    # who was displaced keeps its stake and its way out
    assert world.request_unstake(first[0], 15).ok
    world.advance(seconds=WINDOW)
    assert world.withdraw_stake(first[0]).ok


def test_raising_the_minimum_blocks_no_exit() -> None:
    world = Flows()
    actor = world.validator("validator")
    assert world.govern("update_params", params={**PARAMS, "min_validator_stake": 2 * MINIMUM}).ok
    assert world.request_unstake(actor, 1).error == "BelowMinimumStake"
    assert world.request_unstake(actor, MINIMUM).ok
    world.advance(seconds=WINDOW)
    assert world.withdraw_stake(actor).ok


def test_nobody_acts_for_another_wallet() -> None:
    world = Flows()
    actor, thief = world.labeler(), world.actor("thief")
    for name, args in (
        ("request_unstake", {"amount": 100 * UNIT}),
        ("cancel_unstake", {}),
    ):
        instruction = world.build(name, accounts={"wallet": thief.wallet, "participant": actor.participant}, args=args)
        assert not world.send(instruction, signers=[thief.key]).ok
