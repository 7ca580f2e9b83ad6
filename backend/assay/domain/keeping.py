"""What anyone may do for the market, and when it is due: the program's own conditions over its accounts.

Accounts are decoded ones (fields of the IDL), times seconds, amounts base units. The program decides again when it is
called; these conditions only say when a call would go through.
"""

from __future__ import annotations

from typing import Any

from assay.domain import strikes
from assay.domain.tally import Role

OPEN, CLOSING, CLOSED = 0, 1, 2
REST = 60
"""Seconds of market time for which a request that has all its records rests at least before it is closed: a last batch
may still be on its way."""


def market_time(market: Any, wall: int) -> int:
    """Market time at wall time `wall`: it stands still while the market is paused (docs/protocol.md, Time)."""
    return int((market.paused_at if market.paused else wall) - market.paused_total)


def minimum_stake(role: Role, params: Any) -> int:
    """What a role must have at stake to work, and what a conviction is a share of; 0 for buyers."""
    least = {Role.LABELER: params.min_labeler_stake, Role.VALIDATOR: params.min_validator_stake}
    return int(least.get(role, 0))


def outlier(person: Any, params: Any) -> int:
    """What `slash_outlier` would take of a Participant now; 0: it is no outlier, or has nothing at stake."""
    if not strikes.is_outlier(person.strikes, person.judgements, error_rate=params.error_rate):
        return 0
    return strikes.slash_amount(
        person.stake + person.unstaking,
        minimum=minimum_stake(Role(person.role), params),
        slash_bps=params.slash_bps,
    )


def harmed(person: Any) -> list[bytes]:
    """The buyers' Participants that a slash must name, in order."""
    return [bytes(harm.buyer) for harm in person.harms if harm.loss > 0]


def request_due(one: Any, *, now: int, wall: int) -> tuple[str, str] | None:
    """The instruction that a Request waits for at market time `now`, and why; None: nothing is due."""
    if one.state == OPEN:
        if now >= one.deadline:
            return "expire_request", f"its deadline passed {now - one.deadline} s ago"
        quiet = now - one.panel_at
        if one.records_done >= one.records and quiet >= max(one.terms.params.grace, REST):
            return "close_request", f"it has all its {one.records} records, the last for {quiet} s"
        return None
    if one.state == CLOSING:
        return ("close_request", "its grace is over") if now >= one.grace_until else None
    if free := _free(one, now):
        return "close_request", f"{free} base units can go back to its buyer"
    if one.fees > one.fees_collected:
        return "collect_fees", f"{one.fees - one.fees_collected} base units of fees lie in its vault"
    held = one.locked - one.paid_labelers - one.paid_validators - one.fees_collected - one.refunded
    evidence_until = one.last_settled_at + one.terms.params.unstake_window
    if held == 0 and (one.next_batch == 0 or wall >= evidence_until):
        return "reap_request", "it is swept and no longer needed as evidence: its rent can go back to its buyer"
    return None


def _free(one: Any, now: int) -> int:
    """What the buyer could have back now: reserves that ended are freed first."""
    reserved = sum(reserve.amount for reserve in one.reserves if reserve.until > now)
    spent = one.paid_labelers + one.paid_validators + one.fees + one.refunded + one.bonds
    return int(one.locked - spent - reserved)
