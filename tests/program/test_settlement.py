"""Settlement: the pay, what undeliverable pay becomes, and every refusal of a batch."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from cases import market, panel
from drafts import Draft, draft
from flows import Flows, raw_signatures
from invariants import check
from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from world import PARAMS, UNIT, Actor, Posted, TallyOf, keypair

from assay.chain import genesis
from assay.chain.tokens import TOKEN_2022
from assay.domain import merkle, reputation
from assay.domain.tally import Role, Tally, payments

UNITS = 2520
FREE = {"fee_bps": 0}


class Case:
    """A market with a panel in office, ready to settle."""

    def __init__(self, *, params: dict[str, Any] | None = None, labelers: int = 1, seats: int = 3, **post: Any) -> None:
        self.world = market(validators=max(4, seats), params={"panel_size": seats, **(params or {})})
        self.labelers = [self.world.labeler(f"labeler-{number}") for number in range(labelers)]
        self.buyer = self.world.buyer()
        self.posted, outcome = self.world.post(self.buyer, **post)
        assert outcome.ok, outcome
        self.panel = panel(self.world, self.posted)

    @property
    def request(self) -> Any:
        return self.world.request(self.posted)

    def review(self, *answers: tuple[int, int]) -> list[TallyOf]:
        return self.world.review(dict(zip(self.labelers, answers, strict=False)), self.panel)

    def draft(self, *answers: tuple[int, int], **changes: Any) -> Draft:
        made = draft(self.world, self.posted, self.review(*answers), signers=self.panel, **changes)
        return made

    def wallet_balance(self, actor: Actor) -> int:
        return self.world.balance(self.world.token_account(actor.wallet, self.posted.mint))


# What is paid


def test_the_example_comes_out_exactly() -> None:
    case = Case(params=FREE)
    before = {one: case.wallet_balance(one) for one in [*case.labelers, *case.panel]}
    outcome = case.draft((50, 0)).send()
    assert outcome.ok, outcome
    gained = {one: case.wallet_balance(one) - amount for one, amount in before.items()}
    assert gained[case.labelers[0]] == 50 * UNIT
    assert sum(gained[one] for one in case.panel) == 2 * UNIT
    request = case.request
    assert (request.locked, request.paid_labelers, request.paid_validators) == (500 * UNIT, 50 * UNIT, 2 * UNIT)
    assert case.world.close(case.posted).event("RequestClosed").refund == 448 * UNIT
    check(case.world)


def test_the_event_says_what_was_done() -> None:
    case = Case()
    made = case.draft((3, 1), root=hashlib.sha256(b"root").digest())
    outcome = made.send()
    event = outcome.event("BatchSettled")
    request = case.request
    assert (event.batch, event.records, event.judged, event.answers, event.votes) == (0, 3, 4, 4, 12)
    assert (event.root, event.digest, event.panel_round) == (made.args["root"], made.digest(), 1)
    assert (event.paid_labelers, event.paid_validators) == (3 * UNIT, 4 * UNIT // 25)
    assert (event.fee, event.reserved) == (3 * UNIT // 50, UNIT)
    assert sum(payment.amount for payment in event.payments) == event.paid_labelers + event.paid_validators
    assert {payment.owed for payment in event.payments} == {0}
    assert (request.records_done, request.answers_accepted, request.answers_rejected) == (3, 3, 1)
    assert (request.next_batch, request.last_settled_at) == (1, case.world.now)
    person = case.world.person(case.labelers[0])
    assert (person.accepted, person.rejected, person.judgements, person.strikes) == (3, 1, 4, 1)
    assert (person.kinds[0].good, person.kinds[0].bad) == (3, 1)
    voter = case.world.person(case.panel[0])
    assert (voter.agreed, voter.disagreed, voter.judgements, voter.strikes) == (4, 0, 4, 0)


def test_the_log_is_the_one_python_keeps() -> None:
    case = Case()
    head, leaves = bytes(32), []
    for number in range(9):
        root = hashlib.sha256(b"root%d" % number).digest()
        made = case.draft((1, 0), root=root)
        digest = made.digest()
        assert made.send().ok
        leaf = hashlib.sha256(b"\x02" + struct.pack("<Q32sq32s", number, root, case.world.market_time, digest)).digest()
        head = hashlib.sha256(b"\x03" + head + leaf).digest()
        leaves.append(leaf)
        request = case.request
        assert request.log_head == head
        for height in range(32):
            peak = request.peaks[height]
            if (number + 1) >> height & 1:
                proof = merkle.mountain_proof(leaves, number)
                assert len(peak) == 32
                assert proof is not None
            else:
                assert peak == bytes(32)
        case.world.advance(seconds=3)
    # one leaf of the first eight leads to their peak
    node = leaves[5]
    for height, sibling in enumerate(_path(leaves[:8], 5)):
        left = sibling if 5 >> height & 1 else node
        right = node if 5 >> height & 1 else sibling
        node = hashlib.sha256(b"\x01" + left + right).digest()
    assert case.request.peaks[3] == node


def _path(leaves: list[bytes], index: int) -> list[bytes]:
    path, level = [], list(leaves)
    while len(level) > 1:
        path.append(level[index ^ 1])
        level = [hashlib.sha256(b"\x01" + level[at] + level[at + 1]).digest() for at in range(0, len(level), 2)]
        index >>= 1
    return path


@pytest.mark.parametrize("fee", [0, 1, 2, 7, 40_000, 999_999])
@pytest.mark.parametrize("judged", [1, 2, 13])
def test_validators_shares_add_up_whatever_the_rounding(fee: int, judged: int) -> None:
    case = Case(params=FREE, validation_fee=fee, seats=4)
    weights = [1, 2, 3, 4]
    total = UNITS * judged
    units = [total * weight // 10 for weight in weights]
    units[-1] += total - sum(units)
    tallies = [TallyOf(case.labelers[0], judged, 0)]
    tallies += [TallyOf(one, judged, units=share) for one, share in zip(case.panel, units, strict=True)]
    made = draft(case.world, case.posted, tallies, signers=case.panel)
    before = {one: case.wallet_balance(one) for one in case.panel}
    assert made.send().ok
    paid = fee * judged
    running = 0
    for tally in made.tallies:
        if tally.actor.role == 3:
            upto = running + tally.units
            share = paid * upto // total - paid * running // total
            assert case.wallet_balance(tally.actor) - before[tally.actor] == share
            assert abs(share - Fraction(paid * tally.units, total)) < 1
            running = upto
    assert case.request.paid_validators == paid
    check(case.world)


def test_agreement_pays_the_cosigners_alike() -> None:
    case = Case(params=FREE, labelers=3, mode=0, overlap=3, validation_fee=100)
    tallies = [TallyOf(one, 2 - (at == 2), int(at == 2)) for at, one in enumerate(case.labelers)]
    made = draft(case.world, case.posted, tallies, signers=case.panel, records=2, judged=2)
    outcome = made.send()
    assert outcome.ok, outcome
    event = outcome.event("BatchSettled")
    assert [payment.amount for payment in event.payments[3:]] == [66, 67, 67]
    assert (event.paid_labelers, event.paid_validators, event.reserved) == (5 * UNIT, 200, UNIT)
    assert case.world.person(case.panel[0]).agreed == 0
    assert case.world.person(case.panel[0]).bonded_until > case.world.now
    check(case.world)


def test_a_right_answer_can_stay_unpaid() -> None:
    """It is nobody's strike, and its price stays the buyer's."""
    case = Case(params=FREE, labelers=3, mode=0, overlap=3, validation_fee=0, premium_bps=(1_000,) * 4)
    before = [case.wallet_balance(one) for one in case.labelers]
    tallies = [
        TallyOf(case.labelers[0], 3, 0, gold_passed=1),
        TallyOf(case.labelers[1], 3, 0, gold_passed=1, units=3),
        TallyOf(case.labelers[2], 2, 1, units=1),
    ]
    made = draft(case.world, case.posted, tallies, signers=case.panel, records=3, judged=3)
    outcome = made.send()
    assert outcome.ok, outcome
    paid = [case.wallet_balance(one) - start for one, start in zip(case.labelers, before, strict=True)]
    assert paid == [3 * UNIT * 11 // 10, 0, UNIT * 11 // 10]
    event, request = outcome.event("BatchSettled"), case.request
    assert (event.paid_labelers, event.answers, event.reserved) == (sum(paid), 9, UNIT * 11 // 10)
    assert (request.answers_accepted, request.answers_rejected, request.paid_labelers) == (8, 1, sum(paid))
    person = case.world.person(case.labelers[1])
    assert (person.accepted, person.rejected, person.judgements, person.strikes) == (3, 0, 3, 0)
    assert (person.kinds[0].good, person.kinds[0].bad, person.gold_passed) == (3, 0, 1)
    assert [harm.loss for harm in person.harms] == [0] * 4
    assert person.bonded_until > case.world.now
    check(case.world)


@pytest.mark.parametrize("tally", [{"good": 2, "units": 3}, {"good": 0, "bad": 2, "units": 1}, {"units": 2**32 - 1}])
def test_no_more_can_stay_unpaid_than_was_right(tally: dict[str, int]) -> None:
    case = Case(labelers=2, mode=0, overlap=2)
    one, other = case.labelers
    tallies = [TallyOf(one, 2, 0), replace(TallyOf(other, 2, 0), **tally)]
    assert draft(case.world, case.posted, tallies, signers=case.panel, records=2, judged=2).send().error == "BadUnpaid"
    assert case.request.next_batch == 0


def test_the_programs_payments_are_pythons() -> None:
    """Random batches by agreement, whole amounts: premiums of every tier, odd prices and fees, unpaid answers."""
    chance = random.Random(7)
    premiums = (0, 333, 1_001, 2_500)
    for _ in range(12):
        price, fee, fee_bps = chance.randrange(1, 10**7), chance.randrange(10**6), chance.randrange(1_000)
        case = Case(
            params={"fee_bps": fee_bps}, labelers=4, mode=0, overlap=4, records=10_000, amount=10**15 // 10**5,
            price=price, validation_fee=fee, premium_bps=premiums, seats=chance.randrange(3, 6),
        )  # fmt: skip
        extra, tallies = {}, []
        for one in case.labelers:
            accepted, rejected = chance.choice([(0, 0), (30, 1), (150, 2), (900, 0), (10, 90)])
            with_counters(case.world, one, accepted, rejected)
            extra[bytes(one.wallet)] = premiums[reputation.tier(accepted, rejected)]
            good = chance.randrange(1, 20)
            tallies.append(TallyOf(one, good, chance.randrange(3), units=chance.randrange(good + 1)))
        judged = max(one.good + one.bad for one in tallies)
        made = draft(case.world, case.posted, tallies, signers=case.panel, records=judged, judged=judged)
        outcome = made.send()
        assert outcome.ok, outcome
        expected = payments(
            [
                Tally(bytes(one.actor.wallet), Role.LABELER, good=one.good, bad=one.bad, units=one.units)
                for one in made.tallies
            ],
            judged=judged, price=price, validation_fee=fee, fee_bps=fee_bps, premiums=extra,
            cosigners=[bytes(one.wallet) for one in case.panel],
        )  # fmt: skip
        event = outcome.event("BatchSettled")
        assert [one.amount for one in event.payments] == [
            amount for _, amount in (*expected.labelers, *expected.validators)
        ]
        assert (event.paid_labelers, event.fee) == (expected.paid_labelers, expected.fee)
        check(case.world)


def test_a_quorum_is_enough_and_only_signers_are_paid() -> None:
    case = Case(mode=0, overlap=1, validation_fee=100, seats=3)
    tallies = [TallyOf(case.labelers[0], 1, 0)]
    few = draft(case.world, case.posted, tallies, signers=case.panel[:2])
    assert few.send().error == "NoQuorum"  # 66.67 % of 3 is 3
    assert draft(case.world, case.posted, tallies, signers=case.panel).send().ok
    loose = Case(mode=0, overlap=1, validation_fee=100, params={"quorum_bps": 6_000})
    made = draft(loose.world, loose.posted, [TallyOf(loose.labelers[0], 1, 0)], signers=loose.panel[1:])
    assert [payment.amount for payment in made.send().event("BatchSettled").payments[1:]] == [50, 50]


def test_tiers_earn_their_premium() -> None:
    case = Case(
        params=FREE, premium_bps=(0, 1_000, 2_000, 3_000), records=10_000, amount=5_000 * UNIT, validation_fee=0
    )
    labeler = case.labelers[0]

    def earned(good: int) -> int:
        before = case.wallet_balance(labeler)
        tallies = [TallyOf(labeler, good, 0), TallyOf(case.panel[0], good, units=UNITS * good)]
        assert draft(case.world, case.posted, tallies, signers=case.panel).send().ok
        return case.wallet_balance(labeler) - before

    assert earned(20) == 20 * UNIT  # tier 0 before this batch
    assert earned(80) == 80 * UNIT * 11 // 10
    assert earned(400) == 400 * UNIT * 12 // 10
    assert earned(1) == UNIT * 13 // 10
    check(case.world)


def test_gold_is_counted_within() -> None:
    case = Case()
    tallies = case.review((3, 2))
    tallies[0] = replace(tallies[0], gold_passed=3, gold_failed=1)
    assert draft(case.world, case.posted, tallies, signers=case.panel).send().ok
    person = case.world.person(case.labelers[0])
    assert (person.gold_passed, person.gold_failed, person.strikes) == (3, 1, 2)


@pytest.mark.parametrize("gold", [{"gold_passed": 4}, {"gold_failed": 3}])
def test_more_gold_than_answers(gold: dict[str, int]) -> None:
    case = Case()
    tallies = case.review((3, 2))
    tallies[0] = replace(tallies[0], **gold)
    assert draft(case.world, case.posted, tallies, signers=case.panel).send().error == "BadGold"


def test_strikes_remember_whom_they_harmed() -> None:
    case = Case()
    labeler, voter = case.labelers[0], case.panel[0]
    tallies = case.review((1, 2))
    tallies[1] = replace(tallies[1], good=2, bad=1)
    assert draft(case.world, case.posted, tallies, signers=case.panel).send().ok
    harm = case.world.person(labeler).harms[0]
    assert (harm.buyer, harm.loss) == (case.buyer.participant, 2 * UNIT // 25)
    harm = case.world.person(voter).harms[0]
    assert (harm.buyer, harm.loss) == (case.buyer.participant, UNIT)


# What cannot be delivered


def spoil(case: Case, actor: Actor, how: str) -> None:
    world, account = case.world, case.world.token_account(actor.wallet)
    if how == "frozen":
        world.write_token_account(account, owner=actor.wallet, mint=world.mint, amount=world.balance(account), state=2)
    elif how == "closed":
        world.fund(account)
    elif how == "empty":
        world.svm.set_account(account, Account(0, b"", genesis.SYSTEM))
    elif how == "other mint":
        world.write_token_account(account, owner=actor.wallet, mint=world.make_mint("foreign"))
    elif how == "uninitialized":
        world.write_token_account(account, owner=actor.wallet, mint=world.mint, state=0)
    elif how == "other program":
        data = world.svm.get_account(account)
        assert data is not None
        world.svm.set_account(account, Account(10**9, bytes(data.data), TOKEN_2022))


@pytest.mark.parametrize("how", ["frozen", "closed", "empty", "other mint", "uninitialized", "other program"])
def test_one_bad_account_holds_nobody_up(how: str) -> None:
    case = Case(labelers=2)
    bad, fine = case.labelers
    spoil(case, bad, how)
    before = case.wallet_balance(fine)
    outcome = case.draft((2, 0), (3, 0)).send()
    assert outcome.ok, outcome
    assert case.wallet_balance(fine) - before == 3 * UNIT
    assert case.world.person(bad).owed[0] == 2 * UNIT
    assert case.world.balance(case.world.addresses.owed_vault(case.world.mint)) == 2 * UNIT
    payments = outcome.event("BatchSettled").payments
    assert sorted((payment.amount, payment.owed) for payment in payments)[-2:] == [(2 * UNIT, 1), (3 * UNIT, 0)]
    account = case.world.token_account(bad.wallet)
    if how != "empty":  # the helper makes that one anew
        assert case.world.claim_owed(bad).error == "CannotReceive"
    case.world.write_token_account(account, owner=bad.wallet, mint=case.world.mint)
    assert case.world.claim_owed(bad).ok
    assert case.wallet_balance(bad) == 2 * UNIT


def test_unset_payouts_are_owed_and_claimed_once() -> None:
    case = Case()
    world = case.world
    poor = world.actor("poor", 2, stake=100 * UNIT, payout=False)
    case.labelers = [poor]
    assert case.draft((4, 0)).send().ok
    assert world.person(poor).owed[0] == 4 * UNIT
    check(world)
    assert world.claim_owed(poor).event("OwedClaimed").amount == 4 * UNIT
    assert world.claim_owed(poor).error == "NothingOwed"
    check(world)


def test_validators_are_owed_too() -> None:
    case = Case(validation_fee=300)
    spoil(case, case.panel[1], "frozen")
    assert case.draft((3, 0)).send().ok
    assert case.world.person(case.panel[1]).owed[0] == 300


def test_a_submitter_cannot_divert_pay() -> None:
    case = Case()
    made = case.draft((1, 0))
    at = next(at for at, tally in enumerate(made.tallies) if tally.actor is case.labelers[0])
    right = made.pairs[2 * at + 1]
    made.pairs[2 * at + 1] = AccountMeta(case.world.token_account(case.buyer.wallet), False, True)
    assert made.send().error == "WrongPayout"
    made.pairs[2 * at + 1] = AccountMeta(right.pubkey, False, False)  # not writable: would become a debt
    assert made.send().error == "WrongPayout"
    made.pairs[2 * at + 1] = right
    assert made.send().ok


def token_2022_account(world: Flows, owner: Pubkey, mint: Pubkey, extensions: bytes) -> Pubkey:
    address = world.token_account(owner, mint)
    account = world.svm.get_account(address)
    assert account is not None
    data = bytes(account.data)[:165] + b"\x02" + extensions
    world.svm.set_account(address, Account(10**9, data, TOKEN_2022))
    return address


@pytest.mark.parametrize(
    ("extensions", "delivered"),
    [
        (b"", True),
        (struct.pack("<HH", 7, 0), True),  # immutable owner, as every associated account has
        (struct.pack("<HHB", 11, 1, 1), True),  # CPI guard
        (struct.pack("<HHB", 8, 1, 0), True),  # memo extension, switched off
        (struct.pack("<HHB", 8, 1, 1), False),  # wants a memo with each transfer
        (struct.pack("<HH", 7, 0) + struct.pack("<HHB", 8, 1, 1), False),
    ],
)
def test_token_2022_pays(extensions: bytes, delivered: bool) -> None:
    world = market()
    mint = world.make_mint("m22", token_program=TOKEN_2022)
    assert world.allow_mint(mint).ok
    buyer, labeler = world.buyer(), world.labeler()
    world.give(buyer.wallet, 600 * UNIT, mint)
    for one in [labeler, *(actor for actor in world.actors.values() if actor.role == 3)]:
        assert world.set_payout(one, mint=mint).ok
    if extensions:
        token_2022_account(world, labeler.wallet, mint, extensions)
    posted, outcome = world.post(buyer, mint=mint)
    assert outcome.ok, outcome
    voters = panel(world, posted)
    outcome = world.settle(posted, world.review({labeler: (5, 0)}, voters))
    assert outcome.ok, outcome
    assert world.person(labeler).owed[1] == (0 if delivered else 5 * UNIT)
    assert world.balance(world.token_account(labeler.wallet, mint)) == (5 * UNIT if delivered else 0)


# What is refused

Bend = Callable[[Draft, Case], Any]


def _args(**changes: Any) -> Bend:
    def bend(made: Draft, case: Case) -> None:
        made.args.update(changes)

    return bend


def _drop_pair(made: Draft, case: Case) -> None:
    del made.pairs[-1]


def _extra_pair(made: Draft, case: Case) -> None:
    made.pairs.append(made.pairs[-1])


def _swap(made: Draft, case: Case) -> None:
    made.tallies[0], made.tallies[1] = made.tallies[1], made.tallies[0]
    made.pairs[:4] = made.pairs[2:4] + made.pairs[:2]


def _twice(made: Draft, case: Case) -> None:
    made.tallies[1] = made.tallies[0]
    made.pairs[2:4] = made.pairs[:2]


def _buyer_as_labeler(made: Draft, case: Case) -> None:
    at = _labeler_at(made)
    made.pairs[2 * at] = AccountMeta(case.buyer.participant, False, True)
    _sort(made)


def _labeler_at(made: Draft) -> int:
    return next(at for at, tally in enumerate(made.tallies) if tally.actor.role == 2)


def _sort(made: Draft) -> None:
    joined = list(zip(made.tallies, made.pairs[0::2], made.pairs[1::2], strict=True))
    joined.sort(key=lambda each: bytes(each[1].pubkey))
    made.tallies = [tally for tally, _, _ in joined]
    made.pairs = [meta for _, person, payout in joined for meta in (person, payout)]


def _tally(**changes: int) -> Bend:
    def bend(made: Draft, case: Case) -> None:
        at = _labeler_at(made)
        made.tallies[at] = replace(made.tallies[at], **changes)

    return bend


def _vote(**changes: int) -> Bend:
    def bend(made: Draft, case: Case) -> None:
        at = next(at for at, tally in enumerate(made.tallies) if tally.actor.role == 3)
        made.tallies[at] = replace(made.tallies[at], **changes)

    return bend


def _request_as_participant(made: Draft, case: Case) -> None:
    at = _labeler_at(made)
    made.pairs[2 * at] = AccountMeta(case.world.addresses.validators, False, True)
    _sort(made)


def _forged_participant(made: Draft, case: Case) -> None:
    at = _labeler_at(made)
    real = case.world.svm.get_account(made.pairs[2 * at].pubkey)
    assert real is not None
    forged = keypair("forged").pubkey()
    case.world.svm.set_account(forged, Account(10**9, bytes(real.data), genesis.SYSTEM))
    made.pairs[2 * at] = AccountMeta(forged, False, True)
    _sort(made)


def _readonly_participant(made: Draft, case: Case) -> None:
    at = _labeler_at(made)
    made.pairs[2 * at] = AccountMeta(made.pairs[2 * at].pubkey, False, False)


@pytest.mark.parametrize(
    ("bend", "error"),
    [
        (_args(batch=1), "WrongBatch"),
        (_args(answers=0), "RecordsDoNotFit"),
        (_args(answers=4), "AnswersDoNotAddUp"),
        (_args(votes=8), "VotesDoNotAddUp"),
        (_args(judged=4), "UnitsDoNotAddUp"),
        (_args(judged=2), "UnitsDoNotAddUp"),
        (_args(records=2), "RecordsDoNotFit"),
        (_args(records=51), "TooManyRecords"),
        (_tally(good=4), "AnswersDoNotAddUp"),
        (_tally(units=1), "BadUnpaid"),
        (_vote(units=1), "UnitsDoNotAddUp"),
        (_vote(units=3 * UNITS + 1), "UnitsDoNotAddUp"),
        (_vote(good=2), "VotesDoNotAddUp"),
        (_drop_pair, "WrongAccountCount"),
        (_extra_pair, "WrongAccountCount"),
        (_swap, "TalliesOutOfOrder"),
        (_twice, "TalliesOutOfOrder"),
        (_buyer_as_labeler, "WrongRole"),
        (_request_as_participant, "NotAParticipant"),
        (_forged_participant, "NotAParticipant"),
        (_readonly_participant, "NotAParticipant"),
    ],
)
def test_batches_that_do_not_fit_are_refused(bend: Bend, error: str) -> None:
    case = Case()
    made = case.draft((3, 0))
    bend(made, case)
    assert made.send().error == error
    assert case.request.next_batch == 0


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"records": 3, "judged": 2}, "RecordsDoNotFit"),
        ({"records": 2, "judged": 2, "votes": 1}, "VotesDoNotAddUp"),
        ({"records": 2, "judged": 2, "answers": 5}, "AnswersDoNotAddUp"),
    ],
)
def test_agreement_batches_that_do_not_fit(changes: dict[str, int], error: str) -> None:
    case = Case(labelers=2, mode=0, overlap=2)
    tallies = [TallyOf(one, 2, 0) for one in case.labelers]
    assert draft(case.world, case.posted, tallies, signers=case.panel, **changes).send().error == error


def test_agreement_has_no_validator_tallies() -> None:
    case = Case(mode=0, overlap=1)
    tallies = [TallyOf(case.labelers[0], 1, 0), TallyOf(case.panel[0])]
    assert draft(case.world, case.posted, tallies, signers=case.panel).send().error == "VotesDoNotAddUp"


def test_cosigners_stand_in_the_order_of_their_signatures() -> None:
    case = Case(mode=0, overlap=1)
    made = draft(case.world, case.posted, [TallyOf(case.labelers[0], 1, 0)], signers=case.panel)
    made.pairs[2:6] = made.pairs[4:6] + made.pairs[2:4]
    assert made.send().error == "WrongCosigner"


def test_the_escrow_is_the_limit() -> None:
    case = Case(amount=5 * UNIT)
    assert case.draft((5, 0)).send().error == "EscrowTooSmall"
    assert case.draft((3, 2)).send().error == "EscrowTooSmall"  # rejections are held for disputes
    assert case.draft((4, 0)).send().ok
    assert case.draft((1, 0)).send().error == "EscrowTooSmall"
    assert case.world.top_up(case.posted, UNIT).ok
    assert case.draft((1, 0)).send().ok
    check(case.world)


def test_batches_settle_once_and_in_order() -> None:
    case = Case()
    made = case.draft((1, 0))
    parts = (made.signatures(), made.settle())
    assert made.send(*parts).ok
    assert made.send(*parts).error == "WrongBatch"
    assert case.draft((1, 0), batch=0).send().error == "WrongBatch"
    assert case.draft((1, 0), batch=2).send().error == "WrongBatch"
    assert case.draft((1, 0)).send().ok


def test_no_panel_no_settlement() -> None:
    world = market()
    labeler = world.labeler()
    posted, _ = world.post(world.buyer())
    voters = [one for one in world.actors.values() if one.role == 3]
    made = draft(world, posted, world.review({labeler: (1, 0)}, voters), signers=voters)
    assert made.send().error == "NoPanel"


# Signatures


def test_strangers_and_doubles_are_no_quorum() -> None:
    case = Case()
    outsider = next(one for one in case.world.actors.values() if one.role == 3 and one not in case.panel)
    made = case.draft((1, 0))
    made.signers = [*case.panel[:2], outsider]
    assert made.send().error == "NotOnPanel"
    made.signers = [*case.panel[:2], case.panel[0]]
    assert made.send().error == "DuplicateSigner"
    made.signers = [case.buyer, *case.panel]
    assert made.send().error == "NotOnPanel"
    made.signers = case.panel[:2]
    assert made.send().error == "NoQuorum"


def test_the_ed25519_instruction_stands_right_before() -> None:
    case = Case()
    made = case.draft((1, 0))
    assert made.send(made.settle()).error == "NoSignatures"
    filler = Instruction(Pubkey.from_string("ComputeBudget111111111111111111111111111111"), b"\x02" + bytes(4), [])
    limit = Instruction(filler.program_id, b"\x02" + (400_000).to_bytes(4, "little"), [])
    assert made.send(made.signatures(), limit, made.settle()).error == "NoSignatures"
    assert made.send(made.settle(), made.signatures()).error == "NoSignatures"
    assert made.send(limit, made.signatures(), made.settle()).ok


def offsets(made: Draft, **words: int) -> Instruction:
    """The Ed25519 instruction with words of its first entry replaced (positions by name)."""
    places = ("signature", "signature_in", "key", "key_in", "message", "size", "message_in")
    right = made.signatures()
    data = bytearray(right.data)
    for name, value in words.items():
        struct.pack_into("<H", data, 2 + 2 * places.index(name), value)
    return Instruction(right.program_id, bytes(data), [])


@pytest.mark.parametrize("word", ["signature_in", "key_in", "message_in"])
def test_nothing_signed_may_lie_in_another_instruction(word: str) -> None:
    case = Case()
    made = case.draft((1, 0))
    # index 0 is the Ed25519 instruction itself, so that the precompile is content
    assert made.send(offsets(made, **{word: 0}), made.settle()).error == "BadSignatureLayout"


def test_shorter_or_shifted_messages_are_not_the_batch() -> None:
    case = Case()
    made = case.draft((1, 0))
    message = made.right_message()
    for wrong in (message[:91], message + b"\0", message[1:], b"", bytes(92)):
        signed = [(one.wallet, bytes(one.key.sign_message(wrong)), wrong) for one in case.panel]
        assert made.send(raw_signatures(signed), made.settle()).error == "WrongMessage"


def test_every_signature_must_be_over_this_batch() -> None:
    case = Case()
    made = case.draft((1, 0))
    message, other = made.right_message(), bytes(92)
    texts = [message, message, other]
    signed = [
        (one.wallet, bytes(one.key.sign_message(text)), text) for one, text in zip(case.panel, texts, strict=True)
    ]
    assert made.send(raw_signatures(signed), made.settle()).error == "WrongMessage"


def test_a_false_signature_fails_in_the_precompile() -> None:
    case = Case()
    made = case.draft((1, 0))
    right = made.signatures()
    data = bytearray(right.data)
    data[-100] ^= 1  # within the last signature
    assert not made.send(Instruction(right.program_id, bytes(data), []), made.settle()).ok
    assert case.request.next_batch == 0


def test_no_signatures_at_all() -> None:
    case = Case()
    made = case.draft((1, 0))
    empty = Instruction(made.signatures().program_id, bytes([0, 0]), [])
    assert not made.send(empty, made.settle()).ok
    assert case.request.next_batch == 0


def second(case: Case) -> Posted:
    posted, outcome = case.world.post(case.buyer, id=2)
    assert outcome.ok
    panel(case.world, posted)
    return posted


def test_signatures_mean_one_request_one_round_one_batch() -> None:
    case = Case(seats=4)
    world = case.world
    made = case.draft((1, 0))
    message = made.right_message()
    other = draft(world, second(case), case.review((1, 0)), signers=case.panel)
    other.message = message  # of another request with the same panel
    assert other.send().error == "WrongMessage"
    for changed in (replace_at(message, 48, b"\x01"), replace_at(message, 56, b"\x02"), replace_at(message, 0, b"x")):
        made.message = changed
        assert made.send().error == "WrongMessage"
    made.message = None
    world.advance(seconds=PARAMS["panel_timeout"])
    assert world.draw_call(case.posted).ok
    world.advance(slots=3)
    assert world.draw_call(case.posted).ok
    made.message = message  # of the round before
    assert made.send().error == "WrongMessage"
    made.message = None
    assert made.send().ok


def replace_at(message: bytes, at: int, new: bytes) -> bytes:
    return message[:at] + new + message[at + len(new) :]


@pytest.mark.parametrize("name", ["root", "records", "judged", "answers", "votes"])
def test_every_figure_is_signed(name: str) -> None:
    case = Case()
    made = case.draft((2, 0))
    signatures = made.signatures()
    made.args[name] = bytes([1]) * 32 if name == "root" else made.args[name] + 1
    assert made.send(signatures, made.settle()).error == "WrongMessage"


@pytest.mark.parametrize("name", ["good", "bad", "gold_passed", "gold_failed", "units"])
def test_every_tally_is_signed(name: str) -> None:
    case = Case()
    made = case.draft((2, 1))
    signatures = made.signatures()
    made.tallies[0] = replace(made.tallies[0], **{name: getattr(made.tallies[0], name) + 1})
    assert made.send(signatures, made.settle()).error == "WrongMessage"


def test_who_a_tally_is_of_is_signed() -> None:
    case = Case(labelers=2)
    made = case.draft((2, 0))
    signatures = made.signatures()
    at = _labeler_at(made)
    other = case.labelers[1]
    made.pairs[2 * at] = AccountMeta(other.participant, False, True)
    made.pairs[2 * at + 1] = AccountMeta(case.world.token_account(other.wallet), False, True)
    _sort(made)
    assert made.send(signatures, made.settle()).error == "WrongMessage"


# Wrong accounts


@pytest.mark.parametrize("name", ["vault", "owed_vault", "mint", "token_program", "market", "instructions"])
def test_foreign_fixed_accounts(name: str) -> None:
    case = Case()
    world = case.world
    other = world.make_mint("other")
    world.give(world.authority.pubkey(), 1, other)
    wrong = {
        "vault": world.token_account(case.labelers[0].wallet),
        "owed_vault": world.addresses.fee_vault(world.mint),
        "mint": other,
        "token_program": TOKEN_2022,
        "market": world.addresses.validators,
        "instructions": genesis.SYSTEM,
    }[name]
    made = case.draft((1, 0))
    made.accounts[name] = wrong
    assert not made.send().ok
    assert case.request.next_batch == 0


def test_another_requests_vault() -> None:
    case = Case()
    posted = second(case)
    made = case.draft((1, 0))
    made.accounts["vault"] = case.world.addresses.vault(posted.address)
    assert not made.send().ok


# Cost


def test_a_batch_of_64_records_costs_less_than_400_units_each() -> None:
    case = Case(labelers=8, records=64)
    outcome = case.draft(*[(8, 0)] * 8).send()
    assert outcome.ok, outcome
    assert outcome.units / 64 < 400, outcome.units


# Tiers


def with_counters(world: Flows, actor: Actor, accepted: int, rejected: int) -> None:
    """Writes lifetime counters into a Participant."""
    account = world.svm.get_account(actor.participant)
    assert account is not None
    data = bytearray(account.data)
    struct.pack_into("<II", data, 416, accepted, rejected)
    world.svm.set_account(actor.participant, Account(account.lamports, bytes(data), account.owner))
    person = world.person(actor)
    assert (person.accepted, person.rejected) == (accepted, rejected)


def test_the_programs_tiers_are_pythons() -> None:
    case = Case(params=FREE, premium_bps=(0, 1, 2, 3), records=10_000, price=10_000, validation_fee=0)
    labeler = case.labelers[0]
    edges = {(0, 0), (2**32 - 2, 0), (2**32 - 2, 2**32 - 2), (2**31, 2**27)}
    for rejected in (0, 1, 4, 30, 1_000, 2**24):
        last = reputation.tier(0, rejected)
        accepted = 0
        while last < 3 and accepted < 2**32 - 2:
            low, high = accepted, 2**32 - 2
            while low < high:
                middle = (low + high) // 2
                if reputation.tier(middle, rejected) > last:
                    high = middle
                else:
                    low = middle + 1
            edges |= {(low - 1, rejected), (low, rejected)}
            accepted, last = low, reputation.tier(low, rejected)
    for accepted, rejected in sorted(edges):
        with_counters(case.world, labeler, accepted, rejected)
        tallies = [TallyOf(labeler, 1, 0), TallyOf(case.panel[0], 1, units=UNITS)]
        before = case.wallet_balance(labeler)
        assert draft(case.world, case.posted, tallies, signers=case.panel).send().ok
        assert case.wallet_balance(labeler) - before == 10_000 + reputation.tier(accepted, rejected), (
            accepted,
            rejected,
        )
