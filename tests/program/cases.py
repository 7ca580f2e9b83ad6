"""Situations that several tests begin with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from flows import UNITS, Flows
from solders.pubkey import Pubkey
from world import UNIT, Actor, Outcome, Posted, TallyOf

from assay.domain import merkle
from assay.domain.entries import AnswerEntry, ordered, review_evidence


def market(*, validators: int = 3, params: dict[str, Any] | None = None, **options: Any) -> Flows:
    """A market with `validators` validators that have been in the set for a while."""
    world = Flows(params=params, **options)
    for number in range(validators):
        world.validator(f"validator-{number}")
    world.advance(slots=3, seconds=10)
    return world


def panel(world: Flows, posted: Posted) -> list[Actor]:
    """Draws the request's panel and returns its members."""
    wallets = world.draw(posted)
    by_wallet = {actor.wallet: actor for actor in world.actors.values()}
    return [by_wallet[wallet] for wallet in wallets]


def strikes(world: Flows, posted: Posted, victim: Actor, *, bad: int, good: int = 0) -> Outcome:
    """A batch in which a validator disagreed `bad` times with two others, or a labeler was rejected `bad` times."""
    voters = [one for one in world.actors.values() if one.role == 3]
    labeler = next(one for one in world.actors.values() if one.role == 2)
    if victim.role == 2:
        return world.settle(posted, world.review({victim: (good, bad)}, voters))
    total = good + bad
    others = [one for one in voters if one is not victim]
    units, left = divmod(UNITS * bad, len(others))
    shared, extra = divmod(UNITS * good, len(voters))
    tallies = [TallyOf(labeler, total, 0), TallyOf(victim, good, bad, units=shared)]
    for at, one in enumerate(others):
        more = left + extra if at == 0 else 0
        tallies.append(TallyOf(one, total, 0, units=units + shared + more))
    return world.settle(posted, tallies)


@dataclass
class Rejected:
    """A batch with one answer accepted and one rejected, the votes behind it, and who may dispute it."""

    world: Flows
    posted: Posted
    labeler: Actor
    other: Actor
    entry: AnswerEntry
    index: int
    entries: tuple[bytes, ...]
    votes: list[tuple[Actor, int, bytes]]
    batch: int = 0

    def open(self, **changes: Any) -> Outcome:
        options = {"entries": self.entries, "batch": self.batch, **changes}
        return self.world.open_dispute(self.posted, self.labeler, self.entry, self.index, **options)

    @property
    def dispute(self) -> Pubkey:
        return self.world.dispute_of(self.posted, self.entry.answer)

    def state(self) -> Any:
        return self.world.read("Dispute", self.dispute)


def rejected(
    *,
    validators: int = 8,
    params: dict[str, Any] | None = None,
    before: int = 0,
    world: Flows | None = None,
    **post: Any,
) -> Rejected:
    """A settled rejection by all of the panel but its last member, after `before` other batches."""
    world = world or market(validators=validators, params=params)
    labeler, other = world.labeler("labeler"), world.labeler("other")
    posted, outcome = world.post(world.buyer(), **post)
    assert outcome.ok, outcome
    voters = panel(world, posted)
    for _ in range(before):
        assert world.settle(posted, world.review({other: (1, 0)}, voters)).ok
    last = len(voters) - 1
    votes = [(one, int(at == last), bytes([at]) * 32) for at, one in enumerate(voters)]
    evidence = review_evidence((bytes(one.wallet), vote, salt) for one, vote, salt in votes)
    seed = hashlib.sha256(b"rejected").digest()
    entry = AnswerEntry(seed, bytes([1]) * 32, bytes(labeler.wallet), 0, 6_667, evidence)
    fine = AnswerEntry(bytes([255]) * 32, bytes([2]) * 32, bytes(other.wallet), 1, 10_000, bytes(32))
    entries = ordered([entry, fine], [])
    tallies = [TallyOf(labeler, 0, 1), TallyOf(other, 1, 0)]
    for at, one in enumerate(voters):
        right = 2 if at < last else 1
        units = UNITS // len(voters) + (UNITS // last if at < last else 0)
        tallies.append(TallyOf(one, right, 2 - right, units=units))
    outcome = world.settle(posted, tallies, root=merkle.root(entries))
    assert outcome.ok, outcome
    index = list(entries).index(entry.pack())
    return Rejected(world, posted, labeler, other, entry, index, entries, votes, before)


def books(world: Flows) -> dict[str, tuple[int, int]]:
    """(what a vault holds, what the books owe from it) for every vault of the first mint; see `invariants.py`."""
    from invariants import vaults

    return vaults(world)


__all__ = ["UNIT", "Rejected", "books", "market", "panel", "rejected", "strikes"]
