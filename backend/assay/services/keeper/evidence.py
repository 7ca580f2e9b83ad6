"""Signatures of batches beside the proposal: kept until the chain has the Offence that they prove.

A signature comes here only when it was verified, so nobody can be framed; and only under a number that is being settled
by the panel in office, or was settled with it, two of a key at most, so nobody can fill the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from assay.domain import messages
from assay.domain.equivocation import Proof

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)

AT_ONCE = 50
"""Proofs looked at together."""


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

    async def proofs(self) -> list[tuple[Proof, tuple[bytes, int, int, bytes]]]:
        """Pairs of signatures that are not slashed yet, and where they are kept: request, batch, round, wallet."""
        found = []
        for row in await self._db.fetch("evidence_pairs", AT_ONCE):
            place = (row["request"], row["batch"], row["panel_round"], row["validator"])
            first, second = (
                messages.batch(domain=row["domain"], batch=row["batch"], panel_round=row["panel_round"], digest=digest)
                for digest in (row["digest"], row["other_digest"])
            )
            proof = Proof(row["validator"], first, row["signature"], second, row["other_signature"])
            found.append((proof, place))
        return found

    async def tried(self, place: tuple[bytes, int, int, bytes]) -> None:
        """Nothing could be taken for it now: others first."""
        await self._db.execute("evidence_tried", *place)

    async def slashed(self, place: tuple[bytes, int, int, bytes]) -> None:
        """The chain has the Offence: the evidence has done its work."""
        await self._db.execute("evidence_done", *place)
