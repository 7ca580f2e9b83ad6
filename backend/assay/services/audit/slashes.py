"""Slashes recomputed: whether the rule convicts by the judgements that the batches tell, what it takes, who is repaid.

What votes on disputes did to validators' counters is in no event, so after the first dispute the event's own figures
are believed for validators, and the rule is applied to them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from assay.domain import strikes
from assay.domain.equivocation import Proof
from assay.domain.keeping import minimum_stake
from assay.domain.messages import b58
from assay.domain.tally import Role, Tally
from assay.errors import AssayError
from assay.services.audit.reader import ChainEvent, Reader
from assay.services.audit.report import Scope
from assay.services.audit.validators import ValidatorSet

HARMS = 4
BURN = 0
DISPUTES = ("DisputePanelDrawn", "DisputeVoted", "DisputeEnded", "VotesCorrected")


@dataclass(slots=True)
class _Count:
    """Since the last slash. `harms`: by the buyer's Participant, in the places that the program keeps."""

    judgements: int = 0
    strikes: int = 0
    harms: list[tuple[bytes, int]] = field(default_factory=lambda: [(bytes(32), 0)] * HARMS)

    def harm(self, buyer: bytes, loss: int) -> None:
        """As `Participant::harm` of the program (state/participant.rs)."""
        if loss == 0:
            return
        known = next((place for place, (one, _) in enumerate(self.harms) if one == buyer), None)
        if known is not None:
            self.harms[known] = (buyer, self.harms[known][1] + loss)
            return
        least = min(range(HARMS), key=lambda place: self.harms[place][1])
        if self.harms[least][1] < loss:
            self.harms[least] = (buyer, loss)


class Slashes:
    """Takes the events in their order; raises `Mismatch` at a slash that the rule does not give."""

    def __init__(self, validators: ValidatorSet, reader: Reader) -> None:
        self.count = 0
        self._validators = validators
        self._reader = reader
        self._params: Any = None
        self._counts: defaultdict[bytes, _Count] = defaultdict(_Count)
        self._repaid: list[tuple[bytes, int]] = []
        self._disputed = False
        self._signed_twice: list[tuple[str, bytes]] = []

    def settled(self, posted: Any, tallies: Iterable[Tally]) -> None:
        """A batch's judgements, and what its strikes put at risk (`loss` of settle_batch.rs)."""
        buyer = self._reader.participant(bytes(posted.buyer))
        for one in tallies:
            count = self._counts[one.wallet]
            count.judgements += one.good + one.bad
            count.strikes += one.bad
            each = posted.validation_fee if one.role is Role.LABELER else posted.price
            if posted.mint_index == 0:
                count.harm(buyer, each * one.bad)

    def won(self, labeler: bytes) -> None:
        """A dispute was upheld: the strike is taken back."""
        count = self._counts[labeler]
        count.strikes = max(0, count.strikes - 1)

    def take(self, event: ChainEvent) -> None:
        """Any event, before the validator set takes it."""
        if event.name in ("MarketInitialized", "ParamsUpdated"):
            self._params = event.data.params
        elif event.name in DISPUTES:
            self._disputed = True
        elif event.name == "HarmRepaid":
            self._repaid.append((bytes(event.data.buyer), event.data.amount))
        elif event.name == "Slashed":
            self._slashed(event.data, event.signature)

    def _slashed(self, data: Any, transaction: str) -> None:
        scope, params, wallet = Scope(transaction=transaction), self._params, bytes(data.wallet)
        role = self._validators.role(wallet)
        if role is None:
            raise scope.fail("slash", f"{b58(wallet)} was never registered")
        count = self._counts.pop(wallet, _Count())
        scope.equal("slash", bytes(data.participant), self._reader.participant(wallet), "participant")
        if not (self._disputed and role is Role.VALIDATOR):
            found, expected = (data.strikes, data.judgements), (count.strikes, count.judgements)
            scope.equal("slash", found, expected, f"strikes and judgements of {b58(wallet)}")
        at_stake = self._validators.at_stake(bytes(data.participant))
        if data.reason == strikes.OUTLIER:
            amount = self._outlier(data, role, at_stake, scope)
        elif data.reason == strikes.EQUIVOCATION and role is Role.VALIDATOR:
            amount = strikes.equivocation_amount(at_stake, equivocation_bps=params.equivocation_bps)
            self._signed_twice.append((transaction, wallet))
        else:
            raise scope.fail("slash", f"reason {data.reason} for a {role.name.lower()}")
        scope.equal("slash", data.amount, amount, "amount")
        harms = [(buyer, loss) for buyer, loss in count.harms if loss]
        shares = zip(harms, strikes.repayments([loss for _, loss in harms], amount), strict=True)
        due = [(buyer, share) for (buyer, _), share in shares if share]
        repaid, self._repaid = self._repaid, []
        scope.equal("slash", repaid, due, "repaid to buyers")
        rest = amount - sum(share for _, share in due)
        where = (rest, 0) if params.slash_policy == BURN else (0, rest)
        scope.equal("slash", data.repaid, amount - rest, "repaid")
        scope.equal("slash", (data.burned, data.recycled), where, "burned, recycled")
        self.count += 1

    def _outlier(self, data: Any, role: Role, at_stake: int, scope: Scope) -> int:
        try:
            convicts = strikes.is_outlier(data.strikes, data.judgements, error_rate=self._params.error_rate)
        except ValueError as error:
            raise scope.fail("slash", str(error)) from error
        if not convicts:
            raise scope.fail(
                "slash", f"{data.strikes} strikes of {data.judgements} judgements are within what chance explains"
            )
        return strikes.slash_amount(
            at_stake, minimum=minimum_stake(role, self._params), slash_bps=self._params.slash_bps
        )

    async def close(self) -> None:
        """After the last event: who was slashed for signing twice has signed twice."""
        for transaction, wallet in self._signed_twice:
            scope = Scope(transaction=transaction)
            shown = await self._reader.evidence(transaction)
            if len(shown) != 2:
                raise scope.fail("slash", f"{len(shown)} signatures were shown instead of 2")
            (by, first, first_signature), (also, second, second_signature) = shown
            scope.equal("slash", (by, also), (wallet, wallet), "who signed")
            try:
                Proof(wallet, first, first_signature, second, second_signature).check()
            except AssayError as error:
                raise scope.fail("slash", str(error)) from error
