"""Drives a market and its model in step: what `test_stateful.py` throws dice for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import invariants
from flows import Flows
from model import UPHELD, Case, Model, Order, Person, Refused, need
from solders.pubkey import Pubkey
from world import PARAMS, UNIT, Actor, Outcome, Posted, TallyOf

from assay.domain import merkle, panel
from assay.domain.entries import AnswerEntry, review_evidence

WEIGHTS = {
    "settle": 30,
    "settle_hostile": 10,
    "advance": 14,
    "stake": 5,
    "request_unstake": 3,
    "cancel_unstake": 2,
    "withdraw_stake": 4,
    "claim_owed": 6,
    "post": 6,
    "top_up": 2,
    "draw": 4,
    "cancel": 2,
    "expire": 2,
    "close": 4,
    "collect_fees": 2,
    "withdraw_fees": 2,
    "reap": 4,
    "pause": 1,
    "unpause": 4,
    "update_params": 2,
    "freeze": 2,
    "thaw": 3,
    "slash_outlier": 6,
    "slash_equivocation": 1,
    "open_dispute": 8,
    "draw_dispute": 10,
    "vote_dispute": 12,
    "resolve_dispute": 8,
    "expire_dispute": 4,
    "correct_votes": 4,
    "close_dispute": 2,
}
ACTIONS = [name for name, weight in WEIGHTS.items() for _ in range(weight)]
NAMES = {kind: tuple(one.name for one in fields(kind)) for kind in (Person, Order)}
LONGEST = 5
"""Requests alive at a time; more would only make steps slower."""


@dataclass
class Rejection:
    """A rejected answer that can be proven, with the votes behind it."""

    order: str
    labeler: str
    entry: AnswerEntry
    index: int
    entries: tuple[bytes, ...]
    batch: int
    votes: list[tuple[str, int, bytes]]


class Machine:
    """One market, its model, and every action on both."""

    def __init__(self, *, single: bool = False, done: dict[str, int] | None = None) -> None:
        self.single = single
        self.done = {} if done is None else done
        count = 1 if single else 5
        params = {**PARAMS, "error_rate": 0, "panel_size": 1 if single else 3}
        self.world = world = Flows(params=params, extra_mint=True)
        self.model = Model(params)
        self.model.wall, self.model.slot = world.now, world.slot
        self.validators = [f"validator-{n}" for n in range(count)]
        self.labelers = ["labeler-0"] if single else ["labeler-0", "labeler-1", "labeler-2"]
        self.buyers = ["buyer-0"] if single else ["buyer-0", "buyer-1"]
        for names, role, stake in ((self.buyers, 1, 0), (self.labelers, 2, 100), (self.validators, 3, 500)):
            for name in names:
                actor = world.actor(name, role, stake=stake * UNIT, tokens=5_000 * UNIT)
                world.give(actor.wallet, 5_000 * UNIT, world.mints[1])
                assert world.set_payout(actor, mint=world.mints[1]).ok
                person = Person(role, stake=stake * UNIT)
                self.model.people[name] = person
                self.model.wallets[name, 0] = self.model.wallets[name, 1] = 5_000 * UNIT
                if role == 3:
                    self.model.members[name] = world.slot
        wallets = {"authority": world.authority.pubkey(), **{n: one.wallet for n, one in world.actors.items()}}
        self.accounts = {
            (name, at): world.token_account(wallet, mint)
            for name, wallet in wallets.items()
            for at, mint in enumerate(world.mints)
        }
        self.names = {bytes(actor.wallet): name for name, actor in world.actors.items()}
        self.by_participant = {bytes(actor.participant): name for name, actor in world.actors.items()}
        self.supply = [world.supply(mint) for mint in world.mints]
        self.posted: dict[str, Posted] = {}
        self.disputes: dict[str, Pubkey] = {}
        self.rejections: list[Rejection] = []
        self.cases: dict[str, Rejection] = {}
        self.number = 0
        self.cache: dict[Pubkey, tuple[bytes, Any]] = {}
        self.log: list[str] = []
        self.advance(0, 2, 0, 0)
        self.check()

    # The loop

    def step(self, action: str, a: int, b: int, c: int, d: int) -> None:
        """One action; raises AssertionError where program and model part."""
        self.log.append(f"{action} {a} {b} {c} {d}")
        getattr(self, action)(a, b, c, d)
        self.check()

    def both(self, action: str, model: Callable[[], Any], program: Callable[[], Outcome]) -> bool:
        """Runs an action on both sides and compares whether it went through."""
        outcome, refusal = program(), None
        try:
            model()
        except Refused as found:
            refusal = found
        if refusal is not None:
            assert not outcome.ok, f"{action} went through; it must be refused: {refusal}"
            return False
        assert outcome.ok, f"{action} was refused ({outcome.error}); the model allows it\n" + "\n".join(outcome.logs)
        self.done[action] = self.done.get(action, 0) + 1
        return True

    def pick(self, names: list[str], number: int) -> tuple[str, Actor]:
        name = names[number % len(names)]
        return name, self.world.actors[name]

    def anyone(self, number: int) -> tuple[str, Actor]:
        return self.pick(self.validators + self.labelers + self.buyers, number)

    def request(self, number: int) -> str | None:
        keys = list(self.posted)
        return keys[number % len(keys)] if keys else None

    # Time and stakes

    def advance(self, a: int, b: int, c: int, d: int) -> None:
        seconds = (1, 10, 60, 300, 301, 700, 2_000, 4_001)[a % 8]
        slots = 600 if c == 255 else 1 + b % 4
        self.world.advance(slots=slots, seconds=seconds if c % 3 else 1)
        self.model.wall, self.model.slot = self.world.now, self.world.slot

    def amount(self, b: int, c: int) -> int:
        return (0, 1, 50 * UNIT, 100 * UNIT, 450 * UNIT, 500 * UNIT, UNIT * c)[b % 7]

    def stake(self, a: int, b: int, c: int, d: int) -> None:
        name, actor = self.anyone(a)
        amount = self.amount(b, c)
        self.both("stake", lambda: self.model.stake(name, amount), lambda: self.world.stake(actor, amount))

    def request_unstake(self, a: int, b: int, c: int, d: int) -> None:
        name, actor = self.anyone(a)
        amount = self.model.people[name].stake if d % 2 else self.amount(b, c)
        self.both(
            "request_unstake",
            lambda: self.model.request_unstake(name, amount),
            lambda: self.world.request_unstake(actor, amount),
        )

    def cancel_unstake(self, a: int, b: int, c: int, d: int) -> None:
        name, actor = self.anyone(a)
        self.both("cancel_unstake", lambda: self.model.cancel_unstake(name), lambda: self.world.cancel_unstake(actor))

    def withdraw_stake(self, a: int, b: int, c: int, d: int) -> None:
        leaving = [name for name, person in self.model.people.items() if person.unstaking]
        name, actor = self.pick(leaving, a) if leaving and d % 4 else self.anyone(a)
        self.both("withdraw_stake", lambda: self.model.withdraw_stake(name), lambda: self.world.withdraw_stake(actor))

    def claim_owed(self, a: int, b: int, c: int, d: int) -> None:
        mint = b % 2
        due = [name for name, person in self.model.people.items() if person.owed[mint]]
        name, actor = self.pick(due, a) if due and d % 4 else self.anyone(a)
        self.both(
            "claim_owed",
            lambda: self.model.claim_owed(name, mint),
            lambda: self.world.claim_owed(actor, self.world.mints[mint]),
        )

    # The authority, and accounts that cannot receive

    def pause(self, a: int, b: int, c: int, d: int) -> None:
        self.both("pause", self.model.pause, lambda: self.world.govern("pause"))

    def unpause(self, a: int, b: int, c: int, d: int) -> None:
        self.both("unpause", self.model.unpause, lambda: self.world.govern("unpause"))

    def update_params(self, a: int, b: int, c: int, d: int) -> None:
        changes = (
            {"slash_policy": b % 2},
            {"slash_bps": 500 + 10 * b},
            {"min_validator_stake": (400 + b) * UNIT},
            {"min_labeler_stake": (80 + b % 50) * UNIT},
            {"fee_bps": b},
            {"unstake_window": 2_000 + 10 * b},
            {"dispute_bond": b * UNIT // 10},
        )[a % 7]
        params = {**self.model.params, **changes}

        def model() -> None:
            self.model.params = params

        self.both("update_params", model, lambda: self.world.govern("update_params", params=params))

    def withdraw_fees(self, a: int, b: int, c: int, d: int) -> None:
        mint = a % 2
        amount = self.model.fee_vault[mint] + 1 if d == 0 else self.model.fee_vault[mint] * (b % 3) // 2
        self.both(
            "withdraw_fees",
            lambda: self.model.withdraw_fees(mint, amount),
            lambda: self.world.withdraw_fees(amount, self.world.mints[mint]),
        )

    def freeze(self, a: int, b: int, c: int, d: int) -> None:
        self.set_frozen(a, b % 2, frozen=True)

    def thaw(self, a: int, b: int, c: int, d: int) -> None:
        frozen = sorted(self.model.frozen)
        if frozen:
            name, mint = frozen[a % len(frozen)]
            self.set_frozen([*self.model.people].index(name), mint, frozen=False)

    def set_frozen(self, a: int, mint: int, *, frozen: bool) -> None:
        name = [*self.model.people][a % len(self.model.people)]
        actor, key = self.world.actors[name], self.world.mints[mint]
        account = self.world.token_account(actor.wallet, key)
        amount = self.world.balance(account)
        self.world.write_token_account(account, owner=actor.wallet, mint=key, amount=amount, state=1 + frozen)
        (self.model.frozen.add if frozen else self.model.frozen.discard)((name, mint))

    # Requests

    def post(self, a: int, b: int, c: int, d: int) -> None:
        if len(self.posted) >= LONGEST:
            return
        name, actor = self.pick(self.buyers if d % 16 else self.labelers, a)
        self.number += 1
        mode, mint = int(b % 4 > 0), int(c % 5 == 0)
        terms: dict[str, Any] = {
            "price": (UNIT, 3, 7 * UNIT // 3)[b % 3],
            "validation_fee": (UNIT // 25, 0, 1, UNIT // 3)[c % 4],
            "premium_bps": ((0, 0, 0, 0), (0, 500, 1_000, 2_500))[d % 2],
            "records": 3 + a % 60,
            "mode": mode,
            "kind": c % 8,
            "overlap": 1 if mode else 1 + b % 3,
            "deadline": self.model.now + 500 + 20 * d,
        }
        locked = (20 + c % 80) * UNIT
        order = Order(
            name,
            mint,
            mode,
            terms["kind"],
            terms["price"],
            terms["validation_fee"],
            terms["premium_bps"],
            terms["records"],
            terms["deadline"],
            locked,
            self.model.params,
        )
        key = f"request-{self.number}"
        posted: list[Posted] = []

        def program() -> Outcome:
            found, outcome = self.world.post(actor, id=self.number, amount=locked, mint=self.world.mints[mint], **terms)
            posted.append(found)
            return outcome

        if self.both("post", lambda: self.model.post(key, order), program):
            self.posted[key] = posted[0]

    def top_up(self, a: int, b: int, c: int, d: int) -> None:
        if (key := self.request(a)) is not None:
            amount = b * UNIT // 8
            posted = self.posted[key]
            self.both("top_up", lambda: self.model.top_up(key, amount), lambda: self.world.top_up(posted, amount))

    def draw(self, a: int, b: int, c: int, d: int) -> None:
        if (key := self.request(a)) is None:
            return
        order, posted = self.model.orders[key], self.posted[key]
        self.both("draw", lambda: self.draw_model(order, posted), lambda: self.world.draw_call(posted))

    def hash_of(self, slot: int) -> bytes | None:
        return next((bytes(found) for at, found in self.world._hashes if at == slot), None)

    def candidates(self, order: Order, seed: bytes, before: int, avoided: tuple[str, ...] = ()) -> list[str]:
        """Names in the order of their keys, those to avoid last."""
        keyed = []
        for name, since in self.model.members.items():
            if since >= before:
                continue
            wallet = bytes(self.world.actors[name].wallet)
            weight = panel.weight(self.model.people[name].stake, order.params["min_validator_stake"])
            keyed.append((name in avoided, panel.key(wallet, seed=seed, weight=weight), wallet, name))
        return [one[3] for one in sorted(keyed)]

    def draw_model(self, order: Order, posted: Posted) -> None:
        self.model.draw_refused(order)
        found = self.hash_of(order.seed_slot) if order.seed_slot else None
        if found is None:
            order.seed_slot = self.model.slot + 1
            return
        domain = bytes(self.read(posted.address).domain)
        seed = hashlib.sha256(
            b"assay-panel-v1\0\0" + domain + (order.panel_round + 1).to_bytes(4, "little") + found
        ).digest()
        size = order.params["panel_size"]
        drawn = self.candidates(order, seed, order.seed_slot)[:size]
        if len(drawn) < size:
            order.seed_slot = self.model.slot + 1
            return
        order.panel, order.panel_round, order.panel_from = tuple(drawn), order.panel_round + 1, order.next_batch
        order.panel_at, order.seed_slot = self.model.now, 0

    def seat_panel(self, key: str) -> None:
        """Draws until there is a panel, if one is due."""
        for _ in range(3):
            if self.model.orders[key].panel:
                return
            number = list(self.posted).index(key)
            self.draw(number, 0, 0, 0)
            self.advance(0, 2, 0, 0)

    def tallies(self, key: str, a: int, b: int, c: int, d: int) -> tuple[list[TallyOf], Rejection | None, bytes]:
        """An honest batch: verdicts of a few answers, and the votes behind them."""
        order = self.model.orders[key]
        actors = self.world.actors
        left = order.records - order.records_done
        good, bad = min(b % 9, left), c % 5
        if good + bad == 0:
            bad = 1
        labelers = self.labelers[: 1 + d % len(self.labelers)]
        shares = [(good // len(labelers), bad // len(labelers)) for _ in labelers]
        shares[0] = (good - sum(one[0] for one in shares[1:]), bad - sum(one[1] for one in shares[1:]))
        tallies = [
            TallyOf(
                actors[name], right, wrong, gold_passed=min(right, d % 2), gold_failed=min(wrong, a % 2),
                units=0 if order.mode else a % (right + 1),
            )
            for name, (right, wrong) in zip(labelers, shares, strict=True)
            if right + wrong
        ]  # fmt: skip
        voters = list(order.panel)
        if order.mode == 1:
            wrong = min(good + bad, a % 12)
            total, spent = 2520 * (good + bad), 0
            for at, name in enumerate(voters):
                missed = wrong if at == 0 and len(voters) > 1 else 0
                units = total - spent if at == len(voters) - 1 else (total - spent) * (1 + d % 3) // 5
                spent += units
                tallies.append(TallyOf(actors[name], good + bad - missed, missed, units=units))
        rejection, root = None, bytes(32)
        loser = next((name for name, (_, wrong) in zip(labelers, shares, strict=True) if wrong), None)
        if loser is not None:
            number = self.model.orders[key].next_batch
            votes = [(name, int((a + at) % 3 == 0), bytes([at + 1]) * 32) for at, name in enumerate(voters)]
            evidence = review_evidence((bytes(actors[name].wallet), vote, salt) for name, vote, salt in votes)
            answer = hashlib.sha256(f"{key} {number}".encode()).digest()
            entry = AnswerEntry(answer, bytes(32), bytes(actors[loser].wallet), 0, 6_667, evidence)
            other = AnswerEntry(bytes([255]) * 32, bytes(32), bytes(32), 1, 10_000, bytes(32))
            entries = tuple(one.pack() for one in [entry, other][: 1 + a % 2])
            root = merkle.root(entries)
            rejection = Rejection(key, loser, entry, 0, entries, number, votes)
        return tallies, rejection, root

    def settle(self, a: int, b: int, c: int, d: int) -> None:
        if (key := self.request(a)) is None:
            return self.post(a, b, c, d)
        self.seat_panel(key)
        tallies, rejection, root = self.tallies(key, a, b, c, d)
        if self.settle_both(key, tallies, root=root) and rejection is not None:
            self.rejections.append(rejection)
        return None

    def settle_both(self, key: str, tallies: list[TallyOf], **options: Any) -> bool:
        order, posted = self.model.orders[key], self.posted[key]
        ordered = sorted(tallies, key=lambda one: bytes(one.actor.participant))
        labelers = [one for one in ordered if one.actor.role != 3]
        good = sum(one.good for one in labelers)
        answers = good + sum(one.bad for one in labelers)
        sums = {
            "records": good,
            "judged": answers if order.mode else good,
            "answers": answers,
            "votes": sum(one.good + one.bad for one in ordered if one.actor.role == 3),
            **options.get("changes", {}),
        }
        number = options.pop("number", order.next_batch)
        signers = options.pop("signers", [self.world.actors[name] for name in order.panel])
        rows = [(one.actor.name, one.good, one.bad, one.gold_passed, one.gold_failed, one.units) for one in ordered]

        def model() -> None:
            names = [one.name for one in signers]
            self.model.settle(key, rows, number=number, signers=names, sums=sums)

        return self.both(
            "settle",
            model,
            lambda: self.world.settle(posted, tallies, number=number, signers=signers, **options),
        )

    def settle_hostile(self, a: int, b: int, c: int, d: int) -> None:
        if (key := self.request(a)) is None:
            return
        self.seat_panel(key)
        order = self.model.orders[key]
        tallies, _, root = self.tallies(key, a, b, c, 0)
        panel_actors = [self.world.actors[name] for name in order.panel]
        first = tallies[0]
        options: dict[str, Any] = {"root": root}
        match d % 15:
            case 0:
                options["number"] = max(0, order.next_batch - 1) if order.next_batch else 1
            case 1:
                options["signers"] = panel_actors[: max(1, order.quorum() - 1)]
            case 2:
                outsiders = [
                    self.world.actors[name] for name in self.validators + self.labelers if name not in order.panel
                ]
                options["signers"] = [*panel_actors[1:], outsiders[b % len(outsiders)]]
            case 3:
                options["signers"] = [*panel_actors[:1], *panel_actors[:1], *panel_actors[2:]]
            case 4:
                tallies = [*tallies, first]
            case 5:
                tallies = [TallyOf(self.world.actors[order.buyer], first.good, first.bad), *tallies[1:]]
            case 6:
                options["changes"] = {"answers": first.good + first.bad + 1}
            case 7:
                options["changes"] = {"records": first.good + 1}
            case 8:
                options["changes"] = {"votes": 1 + b}
            case 9:
                tallies[-1] = TallyOf(tallies[-1].actor, tallies[-1].good, tallies[-1].bad, units=tallies[-1].units + 1)
            case 10:
                tallies[0] = TallyOf(first.actor, first.good, first.bad, gold_failed=first.bad + 1)
            case 11:
                tallies[0] = TallyOf(first.actor, 60_000, first.bad)
            case 12:
                options["changes"] = {"judged": b}
            case 13:
                buyer = next((one for one in self.buyers if one != order.buyer), order.buyer)
                tallies = [TallyOf(self.world.actors[buyer], first.good, first.bad), *tallies[1:]]
            case 14:
                tallies[0] = TallyOf(first.actor, first.good, first.bad, units=1 if order.mode else first.good + 1)
        self.settle_both(key, tallies, **options)

    def cancel(self, a: int, b: int, c: int, d: int) -> None:
        if (key := self.request(a)) is None:
            return
        posted, order = self.posted[key], self.model.orders[key]
        stranger, thief = self.anyone(b)
        mine = d % 4 > 0 or stranger == order.buyer
        other = Posted(posted.address, posted.buyer if mine else thief, posted.id, posted.mint)
        self.both(
            "cancel",
            lambda: self.model.cancel(key, by_buyer=mine),
            lambda: self.world.end_call("cancel_request", other),
        )

    def expire(self, a: int, b: int, c: int, d: int) -> None:
        if (key := self.request(a)) is not None:
            posted = self.posted[key]
            self.both("expire", lambda: self.model.expire(key), lambda: self.world.end_call("expire_request", posted))

    def close(self, a: int, b: int, c: int, d: int) -> None:
        if (key := self.request(a)) is not None:
            posted = self.posted[key]
            self.both("close", lambda: self.model.close(key), lambda: self.world.close(posted))

    def collect_fees(self, a: int, b: int, c: int, d: int) -> None:
        if (key := self.request(a)) is not None:
            posted = self.posted[key]
            self.both("collect_fees", lambda: self.model.collect_fees(key), lambda: self.world.collect_fees(posted))

    def reap(self, a: int, b: int, c: int, d: int) -> None:
        if (key := self.request(a)) is not None:
            posted = self.posted[key]
            if self.both("reap", lambda: self.model.reap(key), lambda: self.world.reap(posted)):
                del self.posted[key]
                self.rejections = [one for one in self.rejections if one.order != key]

    # Slashing

    def slash_outlier(self, a: int, b: int, c: int, d: int) -> None:
        worst = max(self.model.people, key=lambda name: self.model.people[name].strikes)
        name, actor = (worst, self.world.actors[worst]) if d % 4 else self.anyone(a)
        self.both("slash_outlier", lambda: self.model.slash_outlier(name), lambda: self.world.slash_outlier(actor))

    def slash_equivocation(self, a: int, b: int, c: int, d: int) -> None:
        name, actor = self.anyone(a)
        head = b"assay-batch-v1\0\0" + hashlib.sha256(bytes([b])).digest() + bytes([c, d]) + bytes(10)
        messages = [head + bytes([n]) * 32 for n in (1, 2)]
        used = self.__dict__.setdefault("offences", set())

        def model() -> None:
            need((name, head) not in used, "slashed before")
            self.model.slash_equivocation(name)
            used.add((name, head))

        self.both("slash_equivocation", model, lambda: self.world.slash_equivocation(actor, messages))

    # Disputes

    def open_dispute(self, a: int, b: int, c: int, d: int) -> None:
        live = [one for one in self.rejections if one.order in self.posted]
        if not live:
            return
        one = live[-1 - a % min(4, len(live))]
        posted = self.posted[one.order]
        key = one.entry.answer.hex()
        settled = posted.batches[one.batch]
        case = Case(one.order, one.labeler, 0, 0, settled.at, 0, 0, [(name, vote) for name, vote, _ in one.votes])
        thief = d % 8 == 0 and not self.single
        actor = self.world.actors[self.labelers[self.labelers.index(one.labeler) - 1] if thief else one.labeler]

        def model() -> None:
            need(not thief, "WrongProof")
            self.model.open_dispute(key, case)

        def program() -> Outcome:
            return self.world.open_dispute(posted, actor, one.entry, one.index, entries=one.entries, batch=one.batch)

        if self.both("open_dispute", model, program):
            self.disputes[key] = self.world.dispute_of(posted, one.entry.answer)
            self.cases[key] = one

    def case(self, number: int, *, open_only: bool = True) -> tuple[str, Case] | None:
        keys = [key for key in self.disputes if self.model.cases[key].state == 0 or not open_only]
        keys = [key for key in keys if self.model.cases[key].order in self.posted]
        return None if not keys else (key := keys[number % len(keys)], self.model.cases[key])

    def draw_dispute(self, a: int, b: int, c: int, d: int) -> None:
        if (found := self.case(a, open_only=d % 8 > 0)) is None:
            return
        key, case = found
        posted, dispute, order = self.posted[case.order], self.disputes[key], self.model.orders[case.order]

        def model() -> None:
            self.model.draw_dispute_refused(case)
            slot_hash = self.hash_of(case.seed_slot) if case.seed_slot else None
            if slot_hash is None:
                case.seed_slot = self.model.slot + 1
                return
            domain = bytes(self.read(posted.address).domain)
            tail = (case.panel_round + 1).to_bytes(4, "little") + slot_hash
            seed = hashlib.sha256(b"assay-dpanel-v1\0" + domain + bytes(dispute) + tail).digest()
            drawn = self.candidates(order, seed, case.seed_slot, order.panel)[: order.params["panel_size"] + 2]
            if not drawn:
                case.seed_slot = self.model.slot + 1
                return
            self.model.drawn(case, tuple(drawn))

        silent = [self.world.actors[name] for name in case.silent()]
        self.both("draw_dispute", model, lambda: self.world.draw_dispute_call(posted, dispute, silent))

    def vote_dispute(self, a: int, b: int, c: int, d: int) -> None:
        if (found := self.case(a, open_only=d % 8 > 0)) is None:
            return
        key, case = found
        if not case.panel and c < 200:  # mostly with a panel: two calls and a slot between them
            for _ in range(2):
                self.draw_dispute(a, b, c, 1)
                self.advance(0, 2, 0, 0)
        names = list(case.panel[: 1 + b % 7]) if case.panel else [self.validators[0]]
        if d == 1:
            names = [self.validators[c % len(self.validators)]]
        alike = c < 160
        votes = {name: 1 + (c % 2 if alike else int((c >> at) % 4 == 0)) for at, name in enumerate(names)}
        by_actor = {self.world.actors[name]: vote for name, vote in votes.items()}
        posted, dispute = self.posted[case.order], self.disputes[key]
        self.both(
            "vote_dispute",
            lambda: self.model.vote_dispute(case, votes),
            lambda: self.world.vote_dispute(posted, dispute, by_actor),
        )

    def end(self, action: str, number: int, rule: Callable[[Case], None], *, open_only: bool) -> None:
        if (found := self.case(number, open_only=open_only)) is None:
            return
        key, case = found
        posted, dispute = self.posted[case.order], self.disputes[key]
        self.both(action, lambda: rule(case), lambda: self.world.end_dispute(action, posted, dispute))

    def resolve_dispute(self, a: int, b: int, c: int, d: int) -> None:
        self.end("resolve_dispute", a, self.model.resolve_dispute, open_only=d % 8 > 0)

    def expire_dispute(self, a: int, b: int, c: int, d: int) -> None:
        self.end("expire_dispute", a, self.model.expire_dispute, open_only=d % 8 > 0)

    def correct_votes(self, a: int, b: int, c: int, d: int) -> None:
        upheld = [key for key in self.disputes if self.model.cases[key].state == UPHELD]
        keys = [key for key in upheld if self.model.cases[key].order in self.posted]
        if not keys or any(not self.cases[key].votes for key in keys):
            return
        key = keys[a % len(keys)]
        case, one = self.model.cases[key], self.cases[key]
        votes = [(self.world.actors[name], vote, salt) for name, vote, salt in one.votes]
        posted, dispute = self.posted[case.order], self.disputes[key]
        self.both(
            "correct_votes",
            lambda: self.model.correct_votes(case),
            lambda: self.world.correct_votes(posted, dispute, votes),
        )

    def close_dispute(self, a: int, b: int, c: int, d: int) -> None:
        keys = list(self.disputes)
        if not keys:
            return
        key = keys[a % len(keys)]
        case = self.model.cases[key]
        actor = self.world.actors[case.labeler]
        if self.both(
            "close_dispute",
            lambda: self.model.close_dispute(case),
            lambda: self.world.close_dispute(self.disputes[key], actor),
        ):
            del self.disputes[key]

    # What must hold

    def read(self, address: Pubkey) -> Any:
        """The decoded account; decoded again only when its bytes have changed."""
        account = self.world.svm.get_account(address)
        assert account is not None
        data = account.data
        known = self.cache.get(address)
        if known is None or known[0] != data:
            known = self.cache[address] = (data, self.world.codec.decode_account(data))
        return known[1]

    def name_of(self, wallet: Any) -> str:
        return self.names[bytes(wallet)]

    def check(self) -> None:
        """Every number of every account is the model's, every vault covers its books, no token appeared or vanished."""
        model, world = self.model, self.world
        for name, person in model.people.items():
            self.same(name, person, self.read(world.actors[name].participant), skip=("kinds", "harms", "owed", "role"))
        for key, order in model.orders.items():
            self.check_order(key, order)
        for key, address in self.disputes.items():
            self.check_case(key, model.cases[key], self.read(address))
        members = self.read(world.addresses.validators)
        found = {self.name_of(one.wallet): one.since_slot for one in members.entries[: members.count]}
        assert found == model.members, f"validator set {found}, model {model.members}"
        self.check_tokens()

    def same(self, name: str, mine: Any, theirs: Any, skip: tuple[str, ...]) -> None:
        for field in NAMES[type(mine)]:
            if field in skip:
                continue
            a, b = getattr(mine, field), getattr(theirs, field)
            assert a == b, f"{name}.{field} is {b}, the model says {a}"
        if isinstance(mine, Person):
            assert list(theirs.owed) == mine.owed, f"{name}.owed is {theirs.owed}, the model says {mine.owed}"
            kinds = [[one.good, one.bad] for one in theirs.kinds]
            assert kinds == mine.kinds, f"{name}.kinds is {kinds}, the model says {mine.kinds}"
            harms = [[self.by_participant.get(bytes(one.buyer)), one.loss] for one in theirs.harms]
            assert harms == mine.harms, f"{name}.harms is {harms}, the model says {mine.harms}"

    def check_order(self, key: str, order: Order) -> None:
        account = self.read(self.posted[key].address)
        skip = ("buyer", "mint", "mode", "premium_bps", "params", "reserves", "panel")
        self.same(key, order, account, skip)
        reserves = [[one.until, one.amount] for one in account.reserves]
        assert reserves == order.reserves, f"{key}.reserves is {reserves}, the model says {order.reserves}"
        seats = tuple(self.name_of(wallet) for wallet in account.panel[: account.panel_count])
        assert seats == order.panel, f"{key}.panel is {seats}, the model says {order.panel}"

    def check_case(self, key: str, case: Case, account: Any) -> None:
        for name in (
            "state",
            "bond",
            "held",
            "opened_at",
            "closable_at",
            "panel_at",
            "panel_round",
            "seed_slot",
            "corrected",
        ):
            a, b = getattr(case, name), getattr(account, name)
            assert a == b, f"dispute {key[:8]}.{name} is {b}, the model says {a}"
        seats = [self.name_of(wallet) for wallet in account.panel[: account.panel_count]]
        assert tuple(seats) == case.panel, f"dispute panel {seats}, model {case.panel}"
        for bits, names in ((account.upheld, case.upheld), (account.dismissed, case.dismissed)):
            assert {one for at, one in enumerate(seats) if bits >> at & 1} == names

    def check_tokens(self) -> None:
        world, model = self.world, self.model
        people, cases = model.people.values(), model.cases.values()
        stakes = sum(one.stake + one.unstaking for one in people) + sum(one.bond for one in cases)
        assert world.balance(world.addresses.stake_vault) == stakes, "stake vault"
        for index, mint in enumerate(world.mints):
            total = stakes if index == 0 else 0
            owed = sum(one.owed[index] for one in people)
            assert world.balance(world.addresses.owed_vault(mint)) == owed, f"owed vault {index}"
            fees = world.balance(world.addresses.fee_vault(mint))
            assert fees == model.fee_vault[index], f"fee vault {index} holds {fees}, not {model.fee_vault[index]}"
            total += owed + fees
            for key, order in model.orders.items():
                if order.mint == index:
                    held = world.balance(world.addresses.vault(self.posted[key].address))
                    assert held == order.held(), f"{key}'s vault holds {held}, the books say {order.held()}"
                    total += held
            for name in [*model.people, "authority"]:
                held = world.balance(self.accounts[name, index])
                assert held == model.wallets.get((name, index), 0), f"{name} has {held} of mint {index}"
                total += held
            burned = model.burned if index == 0 else 0
            assert world.supply(mint) == self.supply[index] - burned, f"supply of mint {index}"
            assert total == self.supply[index] - burned, f"tokens of mint {index}: {total}"

    def finish(self) -> None:
        """The same, found on the chain and not in this machine's lists."""
        invariants.check(self.world)
