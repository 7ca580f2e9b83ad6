"""The program once more, in plain Python: what each instruction may do and what it does to the books.

The stateful test runs every transaction on both and compares whether it went through and every number afterwards. Each
method raises `Refused` where the program must refuse; otherwise it changes the books.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.domain.strikes import is_outlier

BUYER, LABELER, VALIDATOR = 1, 2, 3
OPEN, CLOSING, CLOSED = 0, 1, 2
UPHELD, DISMISSED, LAPSED = 1, 2, 3
ROUNDS = 3
BPS = 10_000
UNITS = 2520
TIERS = ((3, 95, 500), (2, 90, 100), (1, 80, 20))


class Refused(Exception):
    """The program must refuse this."""


def need(condition: bool, why: str) -> None:
    if not condition:
        raise Refused(why)


def tier(accepted: int, rejected: int) -> int:
    """The reputation tier by Wilson's lower bound at z = 2 (docs/program.md)."""
    judged = accepted + rejected
    for number, percent, least in TIERS:
        margin = 100 * accepted - percent * judged
        if judged >= least and margin >= 0 and margin**2 >= 4 * percent * (100 - percent) * judged:
            return number
    return 0


@dataclass
class Person:
    role: int
    stake: int = 0
    unstaking: int = 0
    unstake_at: int = 0
    unstake_cap: int = 0
    bonded_until: int = 0
    slashed_total: int = 0
    accepted: int = 0
    rejected: int = 0
    agreed: int = 0
    disagreed: int = 0
    gold_passed: int = 0
    gold_failed: int = 0
    disputes_won: int = 0
    disputes_lost: int = 0
    judgements: int = 0
    strikes: int = 0
    slashes: int = 0
    owed: list[int] = field(default_factory=lambda: [0] * 4)
    kinds: list[list[int]] = field(default_factory=lambda: [[0, 0] for _ in range(8)])
    harms: list[list[Any]] = field(default_factory=lambda: [[None, 0] for _ in range(4)])

    def judge(self, kind: int, good: int, bad: int) -> None:
        if self.role == LABELER:
            self.accepted, self.rejected = self.accepted + good, self.rejected + bad
        else:
            self.agreed, self.disagreed = self.agreed + good, self.disagreed + bad
        self.kinds[kind][0] += good
        self.kinds[kind][1] += bad
        self.judgements += good + bad
        self.strikes += bad

    def harm(self, buyer: str, loss: int) -> None:
        if not loss:
            return
        known = next((harm for harm in self.harms if harm[0] == buyer), None)
        if known is not None:
            known[1] += loss
            return
        least = min(range(4), key=lambda at: self.harms[at][1])
        if self.harms[least][1] < loss:
            self.harms[least] = [buyer, loss]


@dataclass
class Order:
    """A request."""

    buyer: str
    mint: int
    mode: int
    kind: int
    price: int
    validation_fee: int
    premium_bps: Sequence[int]
    records: int
    deadline: int
    locked: int
    params: Mapping[str, Any]
    state: int = OPEN
    grace_until: int = 0
    last_settled_at: int = 0
    paid_labelers: int = 0
    paid_validators: int = 0
    fees: int = 0
    fees_collected: int = 0
    refunded: int = 0
    bonds: int = 0
    reserves: list[list[int]] = field(default_factory=lambda: [[0, 0] for _ in range(5)])
    answers_accepted: int = 0
    answers_rejected: int = 0
    next_batch: int = 0
    panel_from: int = 0
    panel_at: int = 0
    seed_slot: int = 0
    records_done: int = 0
    panel_round: int = 0
    panel: tuple[str, ...] = ()

    def free(self) -> int:
        reserved = sum(amount for _, amount in self.reserves)
        spoken = self.paid_labelers + self.paid_validators + self.fees + self.refunded + self.bonds + reserved
        need(spoken <= self.locked, "EscrowTooSmall")
        return self.locked - spoken

    def held(self) -> int:
        return self.locked - self.paid_labelers - self.paid_validators - self.fees_collected - self.refunded

    def settling(self, now: int) -> bool:
        return self.state == OPEN or (self.state == CLOSING and now < self.grace_until)

    def each_reserve(self) -> int:
        return self.price + self.price * max(self.premium_bps) // BPS

    def release(self, now: int) -> None:
        for reserve in self.reserves:
            if reserve[0] <= now:
                reserve[:] = [0, 0]

    def reserve(self, amount: int, now: int) -> None:
        window = self.params["dispute_window"]
        if not amount or not window:
            return
        quarter = (window + 3) // 4
        until = -(-(now + window) // quarter) * quarter
        place = next((one for one in self.reserves if one[1] and one[0] == until), None)
        if place is None:
            place = next(one for one in self.reserves if not one[1])
        place[0] = until
        place[1] += amount

    def quorum(self) -> int:
        return -(-len(self.panel) * int(self.params["quorum_bps"]) // BPS)


def dispute_round(params: Mapping[str, Any]) -> int:
    """Seconds that a dispute's panel has."""
    return max(int(params["panel_timeout"]), int(params["dispute_window"]) // 8)


@dataclass
class Case:
    """A dispute."""

    order: str
    labeler: str
    bond: int
    held: int
    settled_at: int
    opened_at: int
    closable_at: int
    votes_of: Sequence[tuple[str, int]]
    state: int = 0
    panel: tuple[str, ...] = ()
    panel_at: int = 0
    panel_round: int = 0
    seed_slot: int = 0
    upheld: set[str] = field(default_factory=set)
    dismissed: set[str] = field(default_factory=set)
    corrected: int = 0

    def decision(self, quorum_bps: int) -> int | None:
        quorum = -(-len(self.panel) * quorum_bps // BPS)
        if self.panel and len(self.upheld) >= quorum:
            return UPHELD
        if self.panel and len(self.dismissed) >= quorum:
            return DISMISSED
        return None

    def timed_out(self, now: int, params: Mapping[str, Any]) -> bool:
        over = bool(self.panel) and now >= self.panel_at + dispute_round(params)
        return over and self.decision(params["quorum_bps"]) is None

    def lapses_at(self, params: Mapping[str, Any]) -> int:
        return int(self.opened_at + dispute_round(params) * (ROUNDS + 1))

    def silent(self) -> list[str]:
        return [one for one in self.panel if one not in self.upheld | self.dismissed]


class Model:
    """All books. Wallet balances are by (name, mint index)."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        self.people: dict[str, Person] = {}
        self.orders: dict[str, Order] = {}
        self.cases: dict[str, Case] = {}
        self.wallets: dict[tuple[str, int], int] = {}
        self.frozen: set[tuple[str, int]] = set()
        self.members: dict[str, int] = {}
        """The validator set: name → slot of its entry's last change."""
        self.fee_vault = [0, 0]
        self.burned = 0
        self.paused_at: int | None = None
        self.paused_total = 0
        self.wall = 0
        self.slot = 0

    @property
    def now(self) -> int:
        return (self.wall if self.paused_at is None else self.paused_at) - self.paused_total

    def minimum(self, person: Person) -> int:
        names = {LABELER: "min_labeler_stake", VALIDATOR: "min_validator_stake"}
        return int(self.params[names[person.role]]) if person.role in names else 0

    def spend(self, name: str, mint: int, amount: int) -> None:
        need((name, mint) not in self.frozen, "frozen")
        need(self.wallets.get((name, mint), 0) >= amount, "too few tokens")
        self.wallets[name, mint] -= amount

    def deliver(self, name: str, mint: int, amount: int) -> None:
        """To the payout account, or to `owed` when that cannot receive."""
        if (name, mint) in self.frozen:
            self.people[name].owed[mint] += amount
        else:
            self.wallets[name, mint] = self.wallets.get((name, mint), 0) + amount

    def seat(self, name: str) -> None:
        person = self.people[name]
        if person.role != VALIDATOR:
            return
        if person.stake >= self.minimum(person):
            self.members[name] = self.slot
        else:
            self.members.pop(name, None)

    # Stake

    def stake(self, name: str, amount: int) -> None:
        person = self.people[name]
        need(person.role != BUYER, "WrongRole")
        need(amount > 0, "BadAmount")
        need(person.stake + amount >= self.minimum(person), "BelowMinimumStake")
        self.spend(name, 0, amount)
        person.stake += amount
        self.seat(name)

    def request_unstake(self, name: str, amount: int) -> None:
        person = self.people[name]
        need(0 < amount <= person.stake, "InsufficientStake")
        rest = person.stake - amount
        need(rest == 0 or rest >= self.minimum(person), "BelowMinimumStake")
        person.stake = rest
        person.unstaking += amount
        person.unstake_at = self.wall + self.params["unstake_window"]
        person.unstake_cap = self.wall + 2 * self.params["unstake_window"]
        self.seat(name)

    def cancel_unstake(self, name: str) -> None:
        person = self.people[name]
        need(person.unstaking > 0, "NothingUnstaking")
        need(person.stake + person.unstaking >= self.minimum(person), "BelowMinimumStake")
        person.stake += person.unstaking
        self.clear(person)
        self.seat(name)

    def clear(self, person: Person) -> None:
        person.unstaking = person.unstake_at = person.unstake_cap = 0

    def withdraw_stake(self, name: str) -> None:
        person = self.people[name]
        need(person.unstaking > 0, "NothingUnstaking")
        need(self.wall >= person.unstake_at, "StillUnstaking")
        need(self.wall >= person.bonded_until or self.wall >= person.unstake_cap, "StillBonded")
        need((name, 0) not in self.frozen, "CannotReceive")
        self.wallets[name, 0] += person.unstaking
        self.clear(person)

    def claim_owed(self, name: str, mint: int) -> None:
        person = self.people[name]
        need(person.owed[mint] > 0, "NothingOwed")
        need((name, mint) not in self.frozen, "CannotReceive")
        self.wallets[name, mint] = self.wallets.get((name, mint), 0) + person.owed[mint]
        person.owed[mint] = 0

    # The authority

    def pause(self) -> None:
        need(self.paused_at is None, "Paused")
        self.paused_at = self.wall

    def unpause(self) -> None:
        need(self.paused_at is not None, "NotPaused")
        assert self.paused_at is not None
        self.paused_total += self.wall - self.paused_at
        self.paused_at = None

    def withdraw_fees(self, mint: int, amount: int) -> None:
        need(0 < amount <= self.fee_vault[mint], "NoFees")
        self.fee_vault[mint] -= amount
        self.wallets["authority", mint] = self.wallets.get(("authority", mint), 0) + amount

    # Requests

    def post(self, key: str, order: Order) -> None:
        need(self.paused_at is None, "Paused")
        need(self.people[order.buyer].role == BUYER, "WrongRole")
        need(key not in self.orders, "taken")
        self.spend(order.buyer, order.mint, order.locked)
        self.orders[key] = order

    def top_up(self, key: str, amount: int) -> None:
        order = self.orders[key]
        need(self.paused_at is None, "Paused")
        need(order.state == OPEN, "NotOpen")
        need(amount > 0, "BadAmount")
        self.spend(order.buyer, order.mint, amount)
        order.locked += amount

    def draw_refused(self, order: Order) -> None:
        """The checks of draw_panel; the drawing itself is compared with `assay.domain.panel`."""
        need(order.settling(self.now), "NotSettling")
        if order.seed_slot == 0:
            due = (
                not order.panel
                or order.next_batch >= order.panel_from + order.params["panel_term"]
                or self.now >= order.panel_at + order.params["panel_timeout"]
            )
            need(due, "PanelInOffice")
            need(len(self.members) >= order.params["panel_size"], "NotEnoughValidators")
        else:
            need(self.slot > order.seed_slot, "SeedNotReady")

    def settle(
        self,
        key: str,
        tallies: Sequence[tuple[str, int, int, int, int, int]],
        *,
        number: int,
        signers: Sequence[str],
        sums: Mapping[str, int],
    ) -> None:
        """`tallies`: (name, good, bad, gold passed, gold failed, units) in the order of the instruction."""
        order = self.orders[key]
        need(order.settling(self.now), "NotSettling")
        need(number == order.next_batch, "WrongBatch")
        need(bool(order.panel), "NoPanel")
        need(sums["answers"] > 0, "RecordsDoNotFit")
        need(sums["records"] <= order.records - order.records_done, "TooManyRecords")
        need(len(set(signers)) == len(signers), "DuplicateSigner")
        need(all(one in order.panel for one in signers), "NotOnPanel")
        need(len(signers) >= order.quorum(), "NoQuorum")
        names = [one[0] for one in tallies]
        need(len(set(names)) == len(names), "TalliesOutOfOrder")
        need(order.buyer not in names, "WrongRole")
        need(all(self.people[name].role in (LABELER, VALIDATOR) for name in names), "WrongRole")
        labelers = [one for one in tallies if self.people[one[0]].role == LABELER]
        validators = [one for one in tallies if self.people[one[0]].role == VALIDATOR]
        need(all(one[5] <= (0 if order.mode else one[1]) for one in labelers), "BadUnpaid")
        need(all(one[3] <= one[1] and one[4] <= one[2] for one in tallies), "BadGold")
        good, bad = sum(one[1] for one in labelers), sum(one[2] for one in labelers)
        need(good + bad == sums["answers"], "AnswersDoNotAddUp")
        need(sum(one[1] + one[2] for one in validators) == sums["votes"], "VotesDoNotAddUp")
        judged, due = sums["judged"], sums["judged"] * order.validation_fee
        pays: list[tuple[str, int]] = []
        if order.mode == 1:
            need(sum(one[5] for one in validators) == UNITS * judged, "UnitsDoNotAddUp")
            need(judged == sums["answers"] and sums["records"] == good, "RecordsDoNotFit")
            before = 0
            for one in validators:
                upto = before + one[5]
                pays.append((one[0], due * upto // (UNITS * judged) - due * before // (UNITS * judged)))
                before = upto
        else:
            need(not validators and not sums["votes"], "VotesDoNotAddUp")
            need(judged == sums["records"], "RecordsDoNotFit")
            pays += [(one, due * (at + 1) // len(signers) - due * at // len(signers)) for at, one in enumerate(signers)]
        earned = []
        for name, right, *_, unpaid in labelers:
            person = self.people[name]
            rate = BPS + order.premium_bps[tier(person.accepted, person.rejected)]
            earned.append((name, (right - unpaid) * order.price * rate // BPS))
        to_labelers, to_validators = sum(pay for _, pay in earned), sum(pay for _, pay in pays)
        fee = to_labelers * order.params["fee_bps"] // BPS
        reserved = bad * order.each_reserve() if order.params["dispute_window"] else 0
        trial = [list(one) for one in order.reserves]
        order.release(self.now)
        if order.free() < to_labelers + to_validators + fee + reserved:
            order.reserves = trial
            raise Refused("EscrowTooSmall")
        order.reserve(reserved, self.now)
        order.paid_labelers += to_labelers
        order.paid_validators += to_validators
        order.fees += fee
        order.records_done += sums["records"]
        order.answers_accepted += good
        order.answers_rejected += bad
        order.next_batch += 1
        order.panel_at = self.now
        order.last_settled_at = self.wall
        bonded = self.wall + order.params["dispute_window"]
        for name, right, wrong, passed, failed, _ in tallies:
            person = self.people[name]
            person.judge(order.kind, right, wrong)
            person.gold_passed += passed
            person.gold_failed += failed
            each = order.validation_fee if person.role == LABELER else order.price
            person.harm(order.buyer, each * wrong if order.mint == 0 else 0)
        for name in {*names, *(one for one, _ in pays)}:
            self.people[name].bonded_until = max(self.people[name].bonded_until, bonded)
        for name, amount in earned + pays:
            self.deliver(name, order.mint, amount)

    def cancel(self, key: str, *, by_buyer: bool) -> None:
        need(by_buyer, "WrongBuyer")
        self.begin_closing(self.orders[key])

    def expire(self, key: str) -> None:
        need(self.now >= self.orders[key].deadline, "NotExpired")
        self.begin_closing(self.orders[key])

    def begin_closing(self, order: Order) -> None:
        need(order.state == OPEN, "NotOpen")
        order.state = CLOSING
        order.grace_until = self.now + order.params["grace"]

    def close(self, key: str) -> None:
        order = self.orders[key]
        over = order.state == CLOSING and self.now >= order.grace_until
        need(order.records_done == order.records or over or order.state == CLOSED, "StillOpen")
        order.release(self.now)
        refund = order.free()
        if order.state != CLOSED:
            order.state, order.grace_until = CLOSED, self.now
        order.refunded += refund
        self.deliver(order.buyer, order.mint, refund)

    def collect_fees(self, key: str) -> None:
        order = self.orders[key]
        amount = order.fees - order.fees_collected
        need(amount > 0, "NoFees")
        order.fees_collected = order.fees
        self.fee_vault[order.mint] += amount

    def reap(self, key: str) -> None:
        order = self.orders[key]
        need(order.state == CLOSED and order.held() == 0, "NotSwept")
        need(
            order.next_batch == 0 or self.wall >= order.last_settled_at + order.params["unstake_window"],
            "StillEvidence",
        )
        del self.orders[key]

    # Slashing

    def slash_outlier(self, name: str) -> None:
        person = self.people[name]
        need(is_outlier(person.strikes, person.judgements, error_rate=self.params["error_rate"]), "NotAnOutlier")
        self.slash(name, self.minimum(person) * self.params["slash_bps"] // BPS)

    def slash_equivocation(self, name: str) -> None:
        person = self.people[name]
        need(person.role == VALIDATOR, "WrongRole")
        self.slash(name, (person.stake + person.unstaking) * self.params["equivocation_bps"] // BPS)

    def slash(self, name: str, amount: int) -> None:
        person = self.people[name]
        amount = min(amount, person.stake + person.unstaking)
        need(amount > 0, "NothingToSlash")
        leaving = min(amount, person.unstaking)
        person.unstaking -= leaving
        if not person.unstaking:
            self.clear(person)
        person.stake -= amount - leaving
        person.slashed_total += amount
        person.slashes += 1
        person.judgements = person.strikes = 0
        harms = [(buyer, loss) for buyer, loss in person.harms if loss]
        person.harms = [[None, 0] for _ in range(4)]
        self.seat(name)
        losses, shift = sum(loss for _, loss in harms), 0
        while losses >> shift > (1 << 32) - 2:
            shift += 1
        divisor = (losses >> shift) + ((losses >> shift) << shift != losses)
        rest = amount
        for buyer, loss in harms:
            share = loss if losses <= amount else amount * (loss >> shift) // divisor
            self.people[buyer].owed[0] += share
            rest -= share
        self.lose(rest, self.params["slash_policy"])

    def lose(self, amount: int, policy: int) -> None:
        if policy == 0:
            self.burned += amount
        else:
            self.fee_vault[0] += amount

    # Disputes

    def open_dispute(self, key: str, case: Case) -> None:
        order = self.orders[case.order]
        window = order.params["dispute_window"]
        need(window > 0, "NoDisputes")
        need(case.settled_at <= self.now < case.settled_at + window, "DisputeWindowOver")
        need(key not in self.cases, "taken")
        need(self.people[case.labeler].role == LABELER, "WrongRole")
        amount = order.each_reserve()
        end = case.settled_at + window
        good = [one for one in order.reserves if one[0] >= end and one[1] >= amount]
        need(bool(good), "InvariantBroken")
        case.bond, case.held = order.params["dispute_bond"], amount
        self.spend(case.labeler, 0, case.bond)
        min(good, key=lambda one: one[0])[1] -= amount
        order.bonds += amount
        case.opened_at = self.now
        case.closable_at = case.lapses_at(order.params) + window
        self.cases[key] = case

    def draw_dispute_refused(self, case: Case) -> None:
        params = self.orders[case.order].params
        need(case.state == 0, "DisputeOver")
        need(not case.panel or case.timed_out(self.now, params), "DisputeInOffice")
        need(case.panel_round < ROUNDS and self.now < case.lapses_at(params), "NoMoreRounds")
        need(case.seed_slot == 0 or self.slot > case.seed_slot, "SeedNotReady")

    def drawn(self, case: Case, panel: tuple[str, ...]) -> None:
        for name in case.silent():
            self.people[name].strikes += 1
            self.people[name].judgements += 1
        case.panel, case.panel_at, case.seed_slot = panel, self.now, 0
        case.panel_round += 1
        case.upheld, case.dismissed = set(), set()

    def vote_dispute(self, case: Case, votes: Mapping[str, int]) -> None:
        need(case.state == 0, "DisputeOver")
        need(bool(case.panel), "NoPanel")
        need(all(name in case.panel for name in votes), "NotOnPanel")
        for name, vote in votes.items():
            if name not in case.upheld | case.dismissed:
                (case.upheld if vote == UPHELD else case.dismissed).add(name)

    def resolve_dispute(self, case: Case) -> None:
        need(case.state == 0, "DisputeOver")
        order = self.orders[case.order]
        outcome = case.decision(order.params["quorum_bps"])
        need(outcome is not None, "NotDecided")
        assert outcome is not None
        right = case.upheld if outcome == UPHELD else case.dismissed
        for name in case.upheld | case.dismissed:
            self.people[name].judge(order.kind, int(name in right), int(name not in right))
        self.end(case, outcome)

    def expire_dispute(self, case: Case) -> None:
        need(case.state == 0, "DisputeOver")
        params = self.orders[case.order].params
        need(case.decision(params["quorum_bps"]) is None, "DisputeInOffice")
        late = case.timed_out(self.now, params)
        need((case.panel_round >= ROUNDS and late) or self.now >= case.lapses_at(params), "DisputeInOffice")
        for name in case.silent() if late else []:
            self.people[name].strikes += 1
            self.people[name].judgements += 1
        self.end(case, LAPSED)

    def end(self, case: Case, outcome: int) -> None:
        order, person = self.orders[case.order], self.people[case.labeler]
        case.state = outcome
        order.bonds -= case.held
        if outcome == UPHELD:
            premium = order.premium_bps[tier(person.accepted, person.rejected)]
            paid = min(order.price + order.price * premium // BPS, case.held)
            order.paid_labelers += paid
            order.answers_rejected -= 1
            order.answers_accepted += 1
            order.records_done += int(order.mode == 1 and order.records_done < order.records)
            person.rejected = max(0, person.rejected - 1)
            person.accepted += 1
            person.kinds[order.kind][1] = max(0, person.kinds[order.kind][1] - 1)
            person.kinds[order.kind][0] += 1
            person.strikes = max(0, person.strikes - 1)
            person.disputes_won += 1
            person.owed[order.mint] += paid
        if outcome == DISMISSED:
            person.disputes_lost += 1
            self.lose(case.bond, order.params["slash_policy"])
        else:
            person.owed[0] += case.bond
        case.bond = case.held = 0

    def correct_votes(self, case: Case) -> None:
        order = self.orders[case.order]
        need(case.state == UPHELD and not case.corrected and order.mode == 1, "NothingToCorrect")
        for name, vote in case.votes_of:
            person = self.people[name]
            counts = person.kinds[order.kind]
            if vote:
                person.disagreed, person.agreed = max(0, person.disagreed - 1), person.agreed + 1
                counts[:] = [counts[0] + 1, max(0, counts[1] - 1)]
                person.strikes = max(0, person.strikes - 1)
            else:
                person.agreed, person.disagreed = max(0, person.agreed - 1), person.disagreed + 1
                counts[:] = [max(0, counts[0] - 1), counts[1] + 1]
                person.strikes += 1
                person.judgements = max(person.judgements, person.strikes)
        case.corrected = 1

    def close_dispute(self, case: Case) -> None:
        need(case.state != 0 and self.now >= case.closable_at, "DisputeKept")
