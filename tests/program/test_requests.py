"""Posting, topping up, panels and the ends of a request."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cases import market, panel
from flows import Flows
from invariants import check
from solders.pubkey import Pubkey
from world import PARAMS, UNIT, Posted, keypair

from assay.chain.tokens import TOKEN_2022
from assay.domain.messages import panel_seed
from assay.domain.panel import Candidate, draw

GRACE, TIMEOUT, DISPUTES = PARAMS["grace"], PARAMS["panel_timeout"], PARAMS["dispute_window"]


def test_posting_locks_the_budget_and_copies_the_terms() -> None:
    world = Flows()
    buyer = world.buyer()
    before = world.balance(world.token_account(buyer.wallet))
    posted, outcome = world.post(buyer, id=7, premium_bps=(0, 100, 200, 300), spec_hash=bytes(range(32)))
    event = outcome.event("RequestPosted")
    request = world.request(posted)
    vault = world.addresses.vault(posted.address)
    assert world.balance(vault) == request.locked == 500 * UNIT
    assert before - world.balance(world.token_account(buyer.wallet)) == 500 * UNIT
    newest = hashlib.sha256(b"slot%d" % (world.slot - 1)).digest()
    domain = hashlib.sha256(b"assay-domain-v1\0" + bytes(world.id) + bytes(posted.address) + newest).digest()
    assert request.domain == event.domain == domain
    assert (request.buyer, request.id, request.price, request.records) == (buyer.wallet, 7, UNIT, 50)
    assert tuple(request.terms.premium_bps) == (0, 100, 200, 300)
    assert request.terms.params.grace == GRACE
    assert (request.state, request.next_batch, request.panel_count) == (0, 0, 0)
    assert request.spec_hash == bytes(range(32))
    assert not world.post(buyer, id=7)[1].ok  # one id, one request
    check(world)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"mode": 2}, "UnknownMode"),
        ({"kind": 8}, "UnknownKind"),
        ({"min_tier": 4}, "BadTier"),
        ({"premium_bps": (0, 2, 1, 3)}, "BadTier"),
        ({"premium_bps": (0, 0, 0, 10_001)}, "BadTier"),
        ({"overlap": 0, "mode": 0}, "BadOverlap"),
        ({"overlap": 101, "mode": 0}, "BadOverlap"),
        ({"overlap": 2, "mode": 1}, "BadOverlap"),
        ({"records": 0}, "NoRecords"),
        ({"price": 0}, "BadPrice"),
        ({"price": 1 << 56}, "BadPrice"),
        ({"validation_fee": 1 << 56}, "BadPrice"),
        ({"amount": 0}, "BadAmount"),
        ({"amount": 1 << 56}, "BadAmount"),
        ({"deadline": 0}, "BadDeadline"),
        ({"deadline": 1 << 62}, "BadDeadline"),
    ],
)
def test_postings_out_of_bounds_are_refused(changes: dict[str, Any], error: str) -> None:
    world = Flows()
    assert world.post(world.buyer(), **changes)[1].error == error


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({}, UNIT + UNIT // 50 + UNIT // 25),  # price, 2 % fee, validation
        ({"premium_bps": (0, 0, 0, 5_000)}, UNIT * 3 // 2 + UNIT * 3 // 100 + UNIT // 25),
        ({"mode": 0, "overlap": 3}, 3 * UNIT + 3 * UNIT // 50 + UNIT // 25),
    ],
)
def test_a_budget_covers_at_least_one_record(changes: dict[str, Any], cost: int) -> None:
    world = Flows()
    buyer = world.buyer()
    assert world.post(buyer, amount=cost - 1, **changes)[1].error == "BudgetTooSmall"
    assert world.post(buyer, amount=cost, **changes)[1].ok


def test_deadline_bounds() -> None:
    world = Flows()
    buyer = world.buyer()
    assert world.post(buyer, deadline=world.market_time)[1].error == "BadDeadline"
    assert world.post(buyer, deadline=world.market_time + 365 * 86_400 + 1)[1].error == "BadDeadline"
    assert world.post(buyer, deadline=world.market_time + 1)[1].ok


def test_only_buyers_post() -> None:
    world = Flows()
    labeler = world.labeler()
    assert world.post(labeler, amount=10 * UNIT)[1].error == "WrongRole"


def post_args(world: Flows) -> dict[str, Any]:
    return {
        "spec_hash": bytes(32),
        "amount": 10 * UNIT,
        "price": UNIT,
        "validation_fee": 0,
        "deadline": world.market_time + 100,
        "records": 1,
        "overlap": 1,
        "premium_bps": (0, 0, 0, 0),
        "mode": 1,
        "kind": 0,
        "min_tier": 0,
    }


def test_unknown_mints_and_foreign_programs() -> None:
    world = Flows()
    buyer = world.buyer()
    strange = world.make_mint("strange")
    world.give(buyer.wallet, 600 * UNIT, strange)
    assert world.post(buyer, mint=strange)[1].error == "WrongMint"
    refused = world.build(
        "post_request",
        accounts={
            "buyer": buyer.wallet,
            "mint": world.mint,
            "source": world.token_account(buyer.wallet),
            "token_program": TOKEN_2022,
        },
        args={"id": 1, "args": post_args(world)},
    )
    assert world.send(refused, signers=[buyer.key]).error == "WrongMint"


def test_top_up_by_anyone_while_open() -> None:
    world = Flows()
    posted, _ = world.post(world.buyer())
    friend = world.actor("friend", tokens=10 * UNIT)
    assert world.top_up(posted, 0, friend).error == "BadAmount"
    assert world.top_up(posted, (1 << 56) - 500 * UNIT, friend).error == "BadAmount"
    event = world.top_up(posted, 10 * UNIT, friend).event("RequestToppedUp")
    assert (event.locked, event.funder) == (510 * UNIT, friend.wallet)
    check(world)
    assert world.end_call("cancel_request", posted).ok
    assert world.top_up(posted, UNIT).error == "NotOpen"


# Panels


def expected_panel(world: Flows, posted: Posted, seed_slot: int) -> tuple[bytes, ...]:
    """The drawing by the Python of the services."""
    request = world.request(posted)
    slot_hash = hashlib.sha256(b"slot%d" % seed_slot).digest()
    tag = b"assay-panel-v1\0\0"
    seed = hashlib.sha256(tag + request.domain + (request.panel_round).to_bytes(4, "little") + slot_hash).digest()
    state = world.read("ValidatorSet", world.addresses.validators)
    candidates = [Candidate(bytes(one.wallet), one.stake, one.since_slot) for one in state.entries[: state.count]]
    return draw(
        candidates,
        seed=seed,
        seats=request.terms.params.panel_size,
        seed_slot=seed_slot,
        buyer=bytes(request.buyer),
        min_stake=request.terms.params.min_validator_stake,
    )


@pytest.mark.parametrize("seats", [1, 3, 7])
def test_the_panel_is_the_one_python_draws(seats: int) -> None:
    world = Flows(params={"panel_size": seats})
    for number in range(12):
        world.validator(f"validator-{number}", stake=(500 + 700 * number) * UNIT)
    world.advance(slots=3)
    buyer = world.buyer()
    panels = set()
    for number in range(6):
        posted, _ = world.post(buyer, id=number, amount=10 * UNIT)
        event = world.draw_call(posted).event("PanelSeeded")
        assert event.seed_slot == world.slot + 1
        world.advance(slots=3)
        drawn = world.draw_call(posted).event("PanelDrawn")
        slot_hash = bytes(drawn.slot_hash)
        assert slot_hash == hashlib.sha256(b"slot%d" % event.seed_slot).digest()
        domain = bytes(world.request(posted).domain)
        assert bytes(drawn.seed) == panel_seed(domain=domain, panel_round=1, slot_hash=slot_hash)
        wallets = tuple(bytes(wallet) for wallet in drawn.panel)
        assert wallets == expected_panel(world, posted, event.seed_slot)
        request = world.request(posted)
        assert (request.panel_count, request.panel_round, request.panel_from) == (seats, 1, 0)
        assert tuple(bytes(wallet) for wallet in request.panel[:seats]) == wallets
        panels.add(wallets)
        world.advance(slots=2)
    assert len(panels) > 1


def test_a_full_set_is_drawn_within_the_default_limit() -> None:
    world = Flows(params={"min_validator_stake": 10, "panel_size": 7})
    for number in range(128):
        world.validator(f"v{number}", stake=10 + number)
    world.advance(slots=3)
    posted, _ = world.post(world.buyer())
    seed_slot = world.draw_call(posted).event("PanelSeeded").seed_slot
    world.advance(slots=3)
    outcome = world.draw_call(posted)
    assert outcome.ok, outcome
    assert tuple(bytes(wallet) for wallet in outcome.event("PanelDrawn").panel) == expected_panel(
        world, posted, seed_slot
    )
    assert outcome.units < 150_000, outcome.units


def test_a_seed_is_not_known_when_it_is_fixed() -> None:
    world = market()
    posted, _ = world.post(world.buyer())
    assert world.draw_call(posted).ok
    assert world.draw_call(posted).error == "SeedNotReady"
    world.advance(slots=1)
    assert world.draw_call(posted).error == "SeedNotReady"  # the slot has begun, its hash is not there
    world.advance(slots=1)
    assert world.draw_call(posted).ok


def test_a_skipped_slot_counts_as_the_next_one() -> None:
    world = market()
    posted, _ = world.post(world.buyer())
    seed_slot = world.draw_call(posted).event("PanelSeeded").seed_slot
    world.advance(slots=5)
    world._hashes = [(slot, value) for slot, value in world._hashes if slot != seed_slot]
    world.advance(slots=1)
    assert world.draw_call(posted).ok
    request = world.request(posted)
    wallets = tuple(bytes(wallet) for wallet in request.panel[: request.panel_count])
    assert wallets  # drawn by the hash of seed_slot + 1
    assert request.panel_round == 1


def test_a_seed_that_is_gone_is_fixed_anew() -> None:
    world = market()
    posted, _ = world.post(world.buyer())
    first = world.draw_call(posted).event("PanelSeeded").seed_slot
    world.advance(slots=520)
    again = world.draw_call(posted).event("PanelSeeded").seed_slot
    assert again == world.slot + 1 > first
    world.advance(slots=2)
    assert world.draw_call(posted).event("PanelDrawn").round == 1


def test_validators_who_could_know_the_seed_do_not_sit() -> None:
    world = market(validators=3)
    posted, _ = world.post(world.buyer())
    assert world.draw_call(posted).ok
    world.advance(slots=1)
    late = world.validator("late", stake=500_000 * UNIT)  # in the seed's own slot
    world.advance(slots=2)
    drawn = world.draw_call(posted).event("PanelDrawn").panel
    assert late.wallet not in drawn


def test_the_buyers_own_wallet_cannot_validate() -> None:
    world = market()
    buyer = world.buyer()
    assert not world.register(buyer, 3).ok


def test_too_few_validators() -> None:
    world = market(validators=2)
    posted, _ = world.post(world.buyer())
    assert world.draw_call(posted).error == "NotEnoughValidators"
    world.validator("third")
    assert world.draw_call(posted).ok
    leaver = world.actors["validator-0"]
    assert world.request_unstake(leaver, 500 * UNIT).ok
    world.advance(slots=3)
    assert world.draw_call(posted).event("PanelSeeded").seed_slot == world.slot + 1  # waits for others
    assert world.cancel_unstake(leaver).ok
    world.advance(slots=3)
    assert world.draw_call(posted).event("PanelDrawn")


def test_a_panel_serves_its_term_unless_it_is_silent() -> None:
    world = market(params={"panel_term": 2})
    labeler = world.labeler()
    posted, _ = world.post(world.buyer())
    voters = panel(world, posted)
    assert world.draw_call(posted).error == "PanelInOffice"
    world.advance(seconds=TIMEOUT - 1)
    assert world.settle(posted, world.review({labeler: (1, 0)}, voters)).ok
    world.advance(seconds=TIMEOUT - 1)
    assert world.draw_call(posted).error == "PanelInOffice"  # the batch restarted the clock
    world.advance(seconds=1)
    assert world.draw_call(posted).ok
    world.advance(slots=3)
    assert world.draw_call(posted).event("PanelDrawn").round == 2
    voters = [one for one in world.actors.values() if one.wallet in world.request(posted).panel]
    for _ in range(2):
        assert world.draw_call(posted).error == "PanelInOffice"
        assert world.settle(posted, world.review({labeler: (1, 0)}, voters)).ok
    assert world.draw_call(posted).ok  # the term is over
    world.advance(slots=3)
    assert world.draw_call(posted).event("PanelDrawn").round == 3
    assert world.request(posted).panel_from == 3


def test_a_pause_stops_the_panels_timeout() -> None:
    world = market()
    posted, _ = world.post(world.buyer())
    panel(world, posted)
    assert world.govern("pause").ok
    world.advance(seconds=10 * TIMEOUT)
    assert world.draw_call(posted).error == "PanelInOffice"


# Ends


def close_all(world: Flows, posted: Posted) -> None:
    """Waits out grace and disputes, sweeps and reaps."""
    world.advance(seconds=GRACE)
    assert world.close(posted).ok
    world.advance(seconds=2 * DISPUTES)
    assert world.close(posted).ok
    if world.request(posted).fees:
        assert world.collect_fees(posted).ok


def test_cancel_is_the_buyers_and_grace_follows() -> None:
    world = market()
    labeler, buyer = world.labeler(), world.buyer()
    posted, _ = world.post(buyer)
    voters = panel(world, posted)
    assert world.close(posted).error == "StillOpen"
    stranger = world.actor("stranger")
    accounts = {"request": posted.address, "buyer": stranger.wallet}
    assert world.send(world.build("cancel_request", accounts=accounts), signers=[stranger.key]).error == "WrongBuyer"
    event = world.end_call("cancel_request", posted).event("RequestClosing")
    assert (event.grace_until, event.expired) == (world.market_time + GRACE, 0)
    assert world.end_call("cancel_request", posted).error == "NotOpen"
    world.advance(seconds=GRACE - 1)
    assert world.close(posted).error == "StillOpen"
    assert world.settle(posted, world.review({labeler: (2, 0)}, voters)).ok  # work in hand
    world.advance(seconds=1)
    assert world.settle(posted, world.review({labeler: (1, 0)}, voters)).error == "NotSettling"
    event = world.close(posted).event("RequestClosed")
    # 2 answers, their fee of 2 %, and 0.04 for each record's validation
    assert event.refund == 500 * UNIT - 2 * UNIT - 2 * UNIT // 50 - 2 * UNIT // 25
    assert (event.owed, event.held) == (0, 0)
    assert world.settle(posted, world.review({labeler: (1, 0)}, voters)).error == "NotSettling"
    assert world.draw_call(posted).error == "NotSettling"
    check(world)


def test_expiry_is_anyones_past_the_deadline() -> None:
    world = market()
    posted, _ = world.post(world.buyer(), deadline=world.market_time + 50)
    world.advance(seconds=49)
    assert world.end_call("expire_request", posted).error == "NotExpired"
    world.advance(seconds=1)
    event = world.end_call("expire_request", posted).event("RequestClosing")
    assert (event.expired, event.grace_until) == (1, world.market_time + GRACE)
    assert world.end_call("expire_request", posted).error == "NotOpen"
    assert world.end_call("cancel_request", posted).error == "NotOpen"
    world.advance(seconds=GRACE)
    assert world.close(posted).event("RequestClosed").refund == 500 * UNIT
    check(world)


def test_a_finished_request_closes_at_once() -> None:
    world = market()
    labeler = world.labeler()
    posted, _ = world.post(world.buyer())
    voters = panel(world, posted)
    assert world.settle(posted, world.review({labeler: (49, 0)}, voters)).ok
    assert world.close(posted).error == "StillOpen"
    assert world.settle(posted, world.review({labeler: (1, 0)}, voters)).ok
    assert world.close(posted).event("RequestClosed").refund == 447 * UNIT
    assert world.close(posted).event("RequestClosed").refund == 0  # nothing is paid twice
    check(world)


def test_disputable_rejections_are_held_back_and_swept_later() -> None:
    world = market()
    labeler = world.labeler()
    posted, _ = world.post(world.buyer(), records=1, premium_bps=(0, 0, 0, 1_000))
    voters = panel(world, posted)
    assert world.settle(posted, world.review({labeler: (1, 2)}, voters)).ok
    each = UNIT * 11 // 10
    event = world.close(posted).event("RequestClosed")
    assert event.held == 2 * each
    assert event.refund == 500 * UNIT - UNIT - UNIT // 50 - 3 * UNIT // 25 - 2 * each
    assert world.reap(posted).error == "NotSwept"
    world.advance(seconds=DISPUTES - 1)
    assert world.close(posted).event("RequestClosed").refund == 0
    world.advance(seconds=DISPUTES // 4 + 1)  # ends are rounded up to a quarter of the window
    assert world.close(posted).event("RequestClosed").refund == 2 * each
    check(world)


def test_reserves_never_need_a_sixth_bucket() -> None:
    world = market(params={"dispute_window": 1_003})
    labeler = world.labeler()
    posted, _ = world.post(world.buyer(), amount=5_000 * UNIT)
    voters = panel(world, posted)
    held: list[tuple[int, int]] = []
    for step in range(60):
        bad = step % 3 + 1
        assert world.settle(posted, world.review({labeler: (0, bad)}, voters)).ok
        held.append((world.market_time + 1_003, bad * UNIT))
        reserved = sum(one.amount for one in world.request(posted).reserves)
        least = sum(amount for until, amount in held if until > world.market_time)
        most = sum(amount for until, amount in held if until + 251 > world.market_time)
        assert least <= reserved <= most
        world.advance(seconds=(step * 37) % 190)
    check(world)


@pytest.mark.parametrize("how", ["unset", "frozen", "closed", "other mint"])
def test_a_refund_that_cannot_be_delivered_is_owed(how: str) -> None:
    world = market()
    buyer = world.actor("poor", 1, tokens=600 * UNIT, payout=how != "unset")
    account = world.token_account(buyer.wallet)
    posted, _ = world.post(buyer)
    assert world.end_call("cancel_request", posted).ok
    world.advance(seconds=GRACE)
    if how == "frozen":
        world.write_token_account(account, owner=buyer.wallet, mint=world.mint, amount=100 * UNIT, state=2)
    if how == "closed":
        world.fund(account)
    if how == "other mint":
        world.write_token_account(account, owner=buyer.wallet, mint=world.make_mint("foreign"))
    event = world.close(posted).event("RequestClosed")
    assert (event.refund, event.owed) == (500 * UNIT, 1)
    assert world.person(buyer).owed[0] == 500 * UNIT
    world.write_token_account(account, owner=buyer.wallet, mint=world.mint)
    assert world.claim_owed(buyer).event("OwedClaimed").amount == 500 * UNIT
    assert world.balance(account) == 500 * UNIT
    assert world.claim_owed(buyer).error == "NothingOwed"


def test_nobody_can_turn_a_refund_into_a_debt() -> None:
    world = market()
    posted, _ = world.post(world.buyer())
    assert world.end_call("cancel_request", posted).ok
    world.advance(seconds=GRACE)
    accounts = {
        "request": posted.address,
        "participant": posted.buyer.participant,
        "payout": world.token_account(world.authority.pubkey()),
        **world.money(posted),
    }
    assert world.send(world.build("close_request", accounts=accounts), signers=[world.authority]).error == "WrongPayout"


def test_reaping_waits_for_the_evidence_and_returns_the_rent() -> None:
    world = market()
    labeler = world.labeler()
    posted, _ = world.post(world.buyer())
    voters = panel(world, posted)
    assert world.settle(posted, world.review({labeler: (1, 0)}, voters)).ok
    settled_at = world.now
    assert world.reap(posted).error == "NotSwept"
    assert world.end_call("cancel_request", posted).ok
    world.advance(seconds=GRACE)
    assert world.close(posted).ok
    assert world.reap(posted).error == "NotSwept"  # fees are still in the vault
    assert world.collect_fees(posted).ok
    assert world.reap(posted).error == "StillEvidence"
    world.advance(seconds=settled_at + PARAMS["unstake_window"] - world.now)
    vault = world.addresses.vault(posted.address)
    # dust from a stranger must not keep the vault open
    world.give(world.authority.pubkey(), 3)
    world.write_token_account(vault, owner=world.addresses.market, mint=world.mint, amount=3)
    event = world.reap(posted).event("RequestReaped")
    assert event.surplus == 3
    assert world.person(posted.buyer).owed[0] == 3
    for gone in (posted.address, vault):
        account = world.svm.get_account(gone)
        assert account is None or (account.lamports, bytes(account.data)) == (0, b"")
    # the id may be used again, under another domain
    again, outcome = world.post(posted.buyer)
    assert outcome.ok
    assert again.address == posted.address


def test_an_unworked_request_is_reaped_without_waiting() -> None:
    world = market()
    posted, _ = world.post(world.buyer())
    old = world.request(posted).domain
    assert world.end_call("cancel_request", posted).ok
    world.advance(seconds=GRACE)
    assert world.close(posted).ok
    assert world.reap(posted).ok
    world.advance(slots=1)
    again, _ = world.post(posted.buyer)
    assert world.request(again).domain != old


def test_rent_goes_to_the_buyer_and_nobody_else() -> None:
    world = market()
    posted, _ = world.post(world.buyer())
    assert world.end_call("cancel_request", posted).ok
    world.advance(seconds=GRACE)
    assert world.close(posted).ok
    thief = keypair("thief")
    world.fund(thief.pubkey())
    accounts: dict[str, Pubkey | None] = {
        "request": posted.address,
        "buyer": thief.pubkey(),
        "participant": posted.buyer.participant,
        **world.money(posted),
    }
    assert world.send(world.build("reap_request", accounts=accounts), signers=[thief]).error == "WrongBuyer"


def test_all_the_money_comes_home() -> None:
    world = market()
    labeler, buyer = world.labeler(), world.buyer()
    posted, _ = world.post(buyer)
    voters = panel(world, posted)
    assert world.settle(posted, world.review({labeler: (7, 5)}, voters)).ok
    assert world.end_call("cancel_request", posted).ok
    close_all(world, posted)
    request = world.request(posted)
    assert request.locked == request.paid_labelers + request.paid_validators + request.fees + request.refunded
    assert world.balance(world.addresses.vault(posted.address)) == 0
    check(world)
