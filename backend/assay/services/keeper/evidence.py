"""Signatures of batches beside the proposal, and votes on disputes: kept until the chain has the Offence they prove.

A signature comes here only when it was verified, so nobody can be framed; and only under a number that is being settled
by the panel in office, or was settled with it, or of a seat in a dispute's panel; two of a key at most, so nobody can
fill the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from assay.domain import messages
from assay.domain.dispute import UPHELD
from assay.domain.equivocation import Proof

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)

AT_ONCE = 50
"""Proofs looked at together."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proof is kept: its kind, and its key: request, batch, round and wallet, or dispute, round and wallet."""

    kind: str
    key: tuple[bytes | int, ...]


class Evidence:
    """What the market keeps against validators who sign twice."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db

    async def keep(
        self, wallet: bytes, *, request: bytes, batch: int, panel_round: int, digest: bytes, signature: bytes
    ) -> bool:
        """Keeps a signature over a digest that is not the proposal's; whether it is new. On disk when this returns.

        One that does not verify is nobody's, and is not kept.
        """
        domain = (await self._market.requests.info(request)).domain
        if domain is None:
            return False
        message = messages.batch(domain=domain, batch=batch, panel_round=panel_round, digest=digest)
        if not messages.verified(signature, key=wallet, message=message):
            return False
        row = await self._db.value("evidence_keep", request, batch, panel_round, wallet, digest, signature)
        if row is not None:
            log.warning(
                "signed beside the proposal",
                request=messages.b58(request),
                batch=batch,
                panel_round=panel_round,
                validator=messages.b58(wallet),
                digest=digest.hex(),
            )
        return row is not None

    async def keep_vote(
        self, wallet: bytes, *, request: bytes, dispute: bytes, panel_round: int, outcome: int, signature: bytes
    ) -> bool:
        """Keeps a verified vote on a dispute; whether the same seat has now signed both. On disk when this returns."""
        twice = await self._db.value("dispute_vote_keep", dispute, panel_round, wallet, request, outcome, signature)
        if twice:
            log.warning(
                "voted twice on a dispute",
                dispute=messages.b58(dispute),
                panel_round=panel_round,
                validator=messages.b58(wallet),
            )
        return bool(twice)

    async def proofs(self) -> list[tuple[Proof, Place]]:
        """Pairs of signatures that are not slashed yet, and where they are kept."""
        found = []
        for row in await self._db.fetch("evidence_pairs", AT_ONCE):
            place = Place("evidence", (row["request"], row["batch"], row["panel_round"], row["validator"]))
            first, second = (
                messages.batch(domain=row["domain"], batch=row["batch"], panel_round=row["panel_round"], digest=digest)
                for digest in (row["digest"], row["other_digest"])
            )
            proof = Proof(row["validator"], first, row["signature"], second, row["other_signature"])
            found.append((proof, place))
        for row in await self._db.fetch("dispute_vote_pairs", AT_ONCE):
            place = Place("dispute_vote", (row["dispute"], row["panel_round"], row["validator"]))
            upheld = row["outcome"] == UPHELD
            first, second = (
                messages.dispute(
                    domain=row["domain"], dispute=row["dispute"], panel_round=row["panel_round"], upheld=one
                )
                for one in (upheld, not upheld)
            )
            proof = Proof(row["validator"], first, row["signature"], second, row["other_signature"])
            found.append((proof, place))
        return found

    async def tried(self, place: Place) -> None:
        """Nothing could be taken for it now: others first."""
        await self._db.execute(f"{place.kind}_tried", *place.key)

    async def slashed(self, place: Place) -> None:
        """The chain has the Offence: the evidence has done its work."""
        await self._db.execute(f"{place.kind}_done", *place.key)
