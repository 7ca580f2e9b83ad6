"""Disputes: proof, panel, both outcomes, every timeout, and that a close can never short-pay one."""

from __future__ import annotations

import invariants
import pytest
from cases import Rejected, market, panel, rejected
from world import UNIT, TallyOf

from assay.domain import merkle
from assay.domain.entries import REJECTED, UNPAID, AnswerEntry, ordered

BOND = 5 * UNIT
UPHELD, DISMISSED, LAPSED = 1, 2, 3


def opened(**options: object) -> Rejected:
    case = rejected(**options)  # type: ignore[arg-type]
    outcome = case.open()
    assert outcome.ok, outcome
    return case


def decided(outcome: int, **options: object) -> Rejected:
    case = opened(**options)
    seats = case.world.draw_dispute(case.posted, case.dispute)
    result = case.world.vote_dispute(case.posted, case.dispute, {seat: outcome for seat in seats})
    assert result.ok, result
    return case


def test_opening_takes_the_bond_and_holds_the_price() -> None:
    case = rejected(premium_bps=(0, 0, 0, 1_000))
    before = case.world.request(case.posted)
    tokens = case.world.balance(case.world.token_account(case.labeler.wallet))
    assert case.open().ok
    after, state = case.world.request(case.posted), case.state()
    assert (state.bond, state.held, state.panel_count) == (BOND, 1_100_000, 0)
    assert after.bonds == 1_100_000
    assert sum(one.amount for one in after.reserves) == sum(one.amount for one in before.reserves) - 1_100_000
    assert case.world.balance(case.world.token_account(case.labeler.wallet)) == tokens - BOND
    invariants.check(case.world)


def test_an_answer_is_disputed_once() -> None:
    case = opened()
    assert not case.open().ok


@pytest.mark.parametrize("before", [0, 1, 2, 3, 6])
def test_a_rejection_of_any_batch_can_be_proven(before: int) -> None:
    case = rejected(before=before)
    assert case.open().ok
    invariants.check(case.world)


def test_later_batches_do_not_hide_a_rejection() -> None:
    case = rejected()
    for _ in range(5):
        voters = [actor for actor, _, _ in case.votes]
        assert case.world.settle(case.posted, case.world.review({case.other: (1, 0)}, voters)).ok
    assert case.open().ok


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("answer_id", bytes(32)),
        ("task_id", bytes(32)),
        ("confidence", 1),
        ("evidence", bytes(32)),
        ("digest", bytes(32)),
        ("proof", []),
        ("log_proof", [bytes(32)]),
        ("index", 7),
        ("batch_number", 1),
    ],
)
def test_a_wrong_proof_is_refused(change: str, value: object) -> None:
    case = rejected()
    if change == "batch_number":
        voters = [actor for actor, _, _ in case.votes]
        assert case.world.settle(case.posted, case.world.review({case.other: (1, 0)}, voters)).ok
        case.batch = 1
        assert case.open().error == "WrongProof"
        return
    assert case.open(**{change: value}).error == "WrongProof"


def test_an_accepted_answer_or_anothers_cannot_be_disputed() -> None:
    case = rejected()
    thief = Rejected(
        case.world, case.posted, case.other, case.other, case.entry, case.index, case.entries, case.votes, case.batch
    )
    assert thief.open().error == "WrongProof"
    stranger = case.votes[0][0]
    case.world.give(stranger.wallet, BOND)
    thief.labeler = stranger
    assert thief.open().error == "WrongRole"


def test_a_right_answer_that_is_not_paid_cannot_be_disputed() -> None:
    """By agreement: its neighbour in the batch, a rejection, can."""
    world = market(validators=4)
    labeler, other = world.labeler("labeler"), world.labeler("other")
    posted, outcome = world.post(world.buyer(), mode=0, overlap=2)
    assert outcome.ok, outcome
    voters = panel(world, posted)
    fields = {"task": bytes([1]) * 32, "confidence": 10_000, "evidence": bytes(32)}
    unpaid = AnswerEntry(bytes([1]) * 32, labeler=bytes(labeler.wallet), verdict=UNPAID, **fields)
    wrong = AnswerEntry(bytes([2]) * 32, labeler=bytes(other.wallet), verdict=REJECTED, **fields)
    entries = ordered([unpaid, wrong], [])
    tallies = [TallyOf(labeler, 1, 0, units=1), TallyOf(other, 0, 1)]
    outcome = world.settle(posted, tallies, root=merkle.root(entries), signers=voters)
    assert outcome.ok, outcome
    assert world.open_dispute(posted, labeler, unpaid, 0, entries=entries, batch=0).error == "WrongProof"
    assert world.open_dispute(posted, other, wrong, 1, entries=entries, batch=0).ok


def test_the_window_ends() -> None:
    case = rejected()
    case.world.advance(seconds=2_000)
    assert case.open().error == "DisputeWindowOver"
    assert case.open(settled_at=case.world.market_time).error == "WrongProof"


def test_a_pause_stops_the_window() -> None:
    case = rejected()
    assert case.world.govern("pause").ok
    case.world.advance(seconds=50_000)
    assert case.open().ok
    assert case.world.govern("unpause").ok


def test_the_panel_is_larger_and_new() -> None:
    case = opened(validators=8)
    seats = case.world.draw_dispute(case.posted, case.dispute)
    judged = {actor.wallet for actor, _, _ in case.votes}
    assert len(seats) == len(case.votes) + 2 == 5
    assert not judged & {seat.wallet for seat in seats}


def test_with_too_few_others_the_old_panel_fills_the_seats() -> None:
    case = opened(validators=4)
    seats = case.world.draw_dispute(case.posted, case.dispute)
    assert len(seats) == 4
    judged = {actor.wallet for actor, _, _ in case.votes}
    assert seats[0].wallet not in judged


def test_the_seed_is_a_slot_that_was_yet_to_come() -> None:
    case = opened()
    assert case.world.draw_dispute_call(case.posted, case.dispute).ok
    assert case.world.draw_dispute_call(case.posted, case.dispute).error == "SeedNotReady"
    case.world.advance(slots=3)
    assert case.world.draw_dispute_call(case.posted, case.dispute).ok
    assert case.world.draw_dispute_call(case.posted, case.dispute).error == "DisputeInOffice"


def test_a_seed_that_is_too_old_is_fixed_anew() -> None:
    case = opened()
    assert case.world.draw_dispute_call(case.posted, case.dispute).ok
    case.world.advance(slots=600)
    assert case.world.draw_dispute_call(case.posted, case.dispute).ok
    assert case.state().panel_count == 0
    case.world.advance(slots=3)
    assert case.world.draw_dispute_call(case.posted, case.dispute).ok
    assert case.state().panel_count == 5


def test_upheld_pays_the_labeler_and_returns_the_bond() -> None:
    case = decided(UPHELD)
    world, before = case.world, case.world.request(case.posted)
    outcome = world.end_dispute("resolve_dispute", case.posted, case.dispute)
    assert outcome.ok, outcome
    labeler, after = world.person(case.labeler), world.request(case.posted)
    assert labeler.owed[0] == UNIT + BOND
    assert (labeler.accepted, labeler.rejected, labeler.strikes, labeler.disputes_won) == (1, 0, 0, 1)
    assert after.paid_labelers == before.paid_labelers + UNIT
    assert (after.answers_accepted, after.answers_rejected) == (2, 0)
    assert after.records_done == before.records_done + 1
    assert after.bonds == 0
    assert world.claim_owed(case.labeler).ok
    invariants.check(world)


def test_wrong_voters_get_their_strikes_and_right_ones_lose_theirs() -> None:
    case = decided(UPHELD)
    world = case.world
    assert world.correct_votes(case.posted, case.dispute, case.votes).error == "NothingToCorrect"
    assert world.end_dispute("resolve_dispute", case.posted, case.dispute).ok
    before = {actor.name: world.person(actor) for actor, _, _ in case.votes}
    outcome = world.correct_votes(case.posted, case.dispute, case.votes)
    assert outcome.ok, outcome
    for actor, vote, _ in case.votes:
        was, now = before[actor.name], world.person(actor)
        step = -1 if vote else 1
        assert now.strikes == was.strikes + step
        assert (now.agreed, now.disagreed) == (was.agreed - step, was.disagreed + step)
        assert now.judgements == was.judgements
    assert world.correct_votes(case.posted, case.dispute, case.votes).error == "NothingToCorrect"


def test_votes_must_be_the_evidence() -> None:
    case = decided(UPHELD)
    world = case.world
    assert world.end_dispute("resolve_dispute", case.posted, case.dispute).ok
    actor, vote, salt = case.votes[0]
    lie = [(actor, 1 - vote, salt), *case.votes[1:]]
    assert world.correct_votes(case.posted, case.dispute, lie).error == "WrongEvidence"
    assert world.correct_votes(case.posted, case.dispute, case.votes[1:]).error == "WrongEvidence"
    swapped = [one for one, _, _ in sorted(case.votes, key=lambda vote: bytes(vote[0].wallet))][::-1]
    assert world.correct_votes(case.posted, case.dispute, case.votes, remaining=swapped).error == "WrongSeats"


@pytest.mark.parametrize("policy", [0, 1])
def test_dismissed_loses_the_bond_to_nobody_who_decided(policy: int) -> None:
    case = decided(DISMISSED, params={"slash_policy": policy})
    world = case.world
    supply, fees = world.supply(), world.balance(world.addresses.fee_vault(world.mint))
    seats = world.seats(case.dispute)
    tokens = {
        seat.name: (world.person(seat).owed[0], world.balance(world.token_account(seat.wallet))) for seat in seats
    }
    free = world.request(case.posted)
    assert (outcome := world.end_dispute("resolve_dispute", case.posted, case.dispute)).ok, outcome
    assert world.supply() == supply - (BOND if policy == 0 else 0)
    assert world.balance(world.addresses.fee_vault(world.mint)) == fees + (BOND if policy else 0)
    for seat in seats:
        assert tokens[seat.name] == (world.person(seat).owed[0], world.balance(world.token_account(seat.wallet)))
    after = world.request(case.posted)
    assert (after.paid_labelers, after.bonds) == (free.paid_labelers, 0)
    assert world.person(case.labeler).disputes_lost == 1
    invariants.check(world)


def test_the_panels_votes_are_judgements() -> None:
    case = opened()
    world = case.world
    seats = world.draw_dispute(case.posted, case.dispute)
    votes = {seat: UPHELD if at < 4 else DISMISSED for at, seat in enumerate(seats)}
    assert world.vote_dispute(case.posted, case.dispute, votes).ok
    assert world.end_dispute("resolve_dispute", case.posted, case.dispute).ok
    for at, seat in enumerate(seats):
        person = world.person(seat)
        assert (person.judgements, person.strikes) == (1, int(at == 4))


def test_a_quorum_decides_and_a_first_vote_stands() -> None:
    case = opened()
    world = case.world
    seats = world.draw_dispute(case.posted, case.dispute)  # 5 seats: quorum ⌈5 · 66.67 %⌉ = 4
    assert world.vote_dispute(case.posted, case.dispute, {seat: UPHELD for seat in seats[:3]}).ok
    assert world.end_dispute("resolve_dispute", case.posted, case.dispute).error == "NotDecided"
    assert world.vote_dispute(case.posted, case.dispute, {seats[0]: DISMISSED}).ok
    assert case.state().dismissed == 0
    assert world.vote_dispute(case.posted, case.dispute, {seats[3]: UPHELD}).ok
    assert world.end_dispute("resolve_dispute", case.posted, case.dispute).ok
    assert world.end_dispute("resolve_dispute", case.posted, case.dispute).error == "DisputeOver"
    # Two outcomes of one round under one signature: equivocation.
    messages = [world.dispute_message(case.posted, case.dispute, outcome) for outcome in (UPHELD, DISMISSED)]
    assert world.slash_equivocation(seats[0], messages, prefix=84).ok


def test_only_the_panel_votes_and_only_on_this() -> None:
    case = opened()
    world = case.world
    assert world.vote_dispute(case.posted, case.dispute, {world.actors["validator-0"]: UPHELD}).error == "NoPanel"
    seats = world.draw_dispute(case.posted, case.dispute)
    outsider = next(one for one in world.actors.values() if one.role == 3 and one not in seats)
    assert world.vote_dispute(case.posted, case.dispute, {outsider: UPHELD}).error == "NotOnPanel"
    assert world.vote_dispute(case.posted, case.dispute, {seats[0]: LAPSED}).error == "WrongMessage"


def test_a_silent_panel_is_replaced_and_struck() -> None:
    case = opened()
    world = case.world
    seats = world.draw_dispute(case.posted, case.dispute)
    assert world.vote_dispute(case.posted, case.dispute, {seats[0]: UPHELD}).ok
    assert world.draw_dispute_call(case.posted, case.dispute).error == "DisputeInOffice"
    world.advance(seconds=300)
    before = {seat.name: world.person(seat).strikes for seat in seats}
    assert world.draw_dispute_call(case.posted, case.dispute).ok
    world.advance(slots=3)
    assert world.draw_dispute_call(case.posted, case.dispute, seats).error == "WrongSeats"
    assert world.draw_dispute_call(case.posted, case.dispute, seats[1:]).ok
    for at, seat in enumerate(seats):
        assert world.person(seat).strikes == before[seat.name] + (at > 0)
    assert case.state().panel_round == 2
    assert (case.state().upheld, case.state().dismissed) == (0, 0)


def test_after_three_silent_rounds_nobody_wins() -> None:
    case = opened()
    world = case.world
    for _ in range(3):
        world.draw_dispute(case.posted, case.dispute)
        assert world.end_dispute("expire_dispute", case.posted, case.dispute).error == "DisputeInOffice"
        world.advance(seconds=300)
    assert world.draw_dispute_call(case.posted, case.dispute).error == "NoMoreRounds"
    before, labeler = world.request(case.posted), world.person(case.labeler)
    outcome = world.end_dispute("expire_dispute", case.posted, case.dispute)
    assert outcome.ok, outcome
    after, person = world.request(case.posted), world.person(case.labeler)
    assert person.owed[0] == labeler.owed[0] + BOND
    assert (person.accepted, person.rejected) == (labeler.accepted, labeler.rejected)
    assert (after.paid_labelers, after.bonds) == (before.paid_labelers, 0)
    invariants.check(world)


def test_a_dispute_that_nobody_draws_lapses() -> None:
    case = opened()
    case.world.advance(seconds=1_199)
    assert case.world.end_dispute("expire_dispute", case.posted, case.dispute).error == "DisputeInOffice"
    case.world.advance(seconds=1)
    assert case.world.draw_dispute_call(case.posted, case.dispute).error == "NoMoreRounds"
    assert case.world.end_dispute("expire_dispute", case.posted, case.dispute).ok
    invariants.check(case.world)


def test_a_panel_has_an_eighth_of_the_window() -> None:
    """People may have to look again: a timeout made for machines that sign batches is too short for them."""
    case = opened(params={"dispute_window": 4_000, "panel_timeout": 60})
    case.world.draw_dispute(case.posted, case.dispute)
    case.world.advance(seconds=499)
    assert case.world.draw_dispute_call(case.posted, case.dispute).error == "DisputeInOffice"
    case.world.advance(seconds=1)
    assert case.world.draw_dispute_call(case.posted, case.dispute).ok


def test_a_decided_dispute_cannot_be_left_to_lapse() -> None:
    case = decided(UPHELD)
    case.world.advance(seconds=50_000)
    assert case.world.end_dispute("expire_dispute", case.posted, case.dispute).error == "DisputeInOffice"
    assert case.world.draw_dispute_call(case.posted, case.dispute).error == "DisputeInOffice"
    assert case.world.end_dispute("resolve_dispute", case.posted, case.dispute).ok


@pytest.mark.parametrize("outcome", [UPHELD, DISMISSED])
def test_a_close_keeps_what_a_dispute_may_cost(outcome: int) -> None:
    case = opened()
    world = case.world
    assert world.end_call("cancel_request", case.posted).ok
    world.advance(seconds=601)
    assert world.close(case.posted).ok
    invariants.check(world)
    assert world.request(case.posted).bonds == UNIT
    seats = world.draw_dispute(case.posted, case.dispute)
    assert world.vote_dispute(case.posted, case.dispute, {seat: outcome for seat in seats}).ok
    assert world.end_dispute("resolve_dispute", case.posted, case.dispute).ok
    assert world.person(case.labeler).owed[0] == (UNIT + BOND if outcome == UPHELD else 0)
    invariants.check(world)


def test_a_close_inside_the_window_keeps_the_reserve() -> None:
    case = rejected()
    world = case.world
    assert world.end_call("cancel_request", case.posted).ok
    world.advance(seconds=601)
    assert world.close(case.posted).ok
    assert world.balance(world.addresses.vault(case.posted.address)) >= UNIT
    assert case.open().ok
    invariants.check(world)


def test_the_rent_comes_back_when_the_dispute_is_over_for_good() -> None:
    case = decided(DISMISSED)
    world = case.world
    assert world.close_dispute(case.dispute, case.labeler).error == "DisputeKept"
    assert world.end_dispute("resolve_dispute", case.posted, case.dispute).ok
    assert world.close_dispute(case.dispute, case.labeler).error == "DisputeKept"
    world.advance(seconds=4_000)
    before = world.svm.get_balance(case.labeler.wallet)
    assert world.close_dispute(case.dispute, case.labeler).ok
    assert (world.svm.get_balance(case.labeler.wallet) or 0) > (before or 0)
    assert not case.open().ok
    invariants.check(world)


def test_without_a_bond_or_a_window() -> None:
    case = opened(params={"dispute_bond": 0})
    assert case.state().bond == 0
    world = market(validators=8, params={"dispute_window": 0})
    assert rejected(world=world).open().error == "NoDisputes"


def test_a_request_in_another_mint_pays_in_it() -> None:
    world = market(validators=8, extra_mint=True)
    mint = world.mints[1]
    world.give(world.buyer().wallet, 10_000 * UNIT, mint)
    case = rejected(world=world, mint=mint)
    assert case.open().ok
    seats = world.draw_dispute(case.posted, case.dispute)
    assert world.vote_dispute(case.posted, case.dispute, {seat: UPHELD for seat in seats}).ok
    assert (outcome := world.end_dispute("resolve_dispute", case.posted, case.dispute)).ok, outcome
    assert world.person(case.labeler).owed[:2] == (BOND, UNIT)
    invariants.check(world)


PACKET = 1_232
"""Bytes of a transaction on a cluster."""


def test_a_proof_fits_a_packet_without_lookup_tables() -> None:
    """64 answers and their records to a batch (128 entries, depth 7), 256 batches (depth 8)."""
    case = rejected()
    assert case.open(proof=[bytes(32)] * 7, log_proof=[bytes(32)] * 8).error == "WrongProof"
    assert case.world.last_size <= PACKET


def test_the_rest_of_a_dispute_fits_packets() -> None:
    """Largest panels: seven seats judged, nine decide; six of nine signatures or fewer go into one packet."""
    case = opened(validators=18, params={"panel_size": 7})
    world = case.world
    seats = world.draw_dispute(case.posted, case.dispute)
    assert len(seats) == 9
    for part in (seats[:4], seats[4:8]):
        assert world.vote_dispute(case.posted, case.dispute, {seat: UPHELD for seat in part}).ok
        assert world.last_size <= PACKET
    assert world.end_dispute("resolve_dispute", case.posted, case.dispute).ok
    assert world.last_size <= PACKET
    assert world.correct_votes(case.posted, case.dispute, case.votes).ok
    assert world.last_size <= PACKET
