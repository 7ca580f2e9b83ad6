"""The keeper inside the leading engine: looks at whoever was judged after each settled batch, at the evidence kept, and
seldom at everything. What it does not finish, a restart finds again: the first look is at everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import structlog
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.domain import strikes
from assay.domain.messages import b58
from assay.errors import AssayError, BadRequest, TransactionFailed
from assay.services.keeper.evidence import Evidence
from assay.services.keeper.keeper import AT_ONCE, Keeper

if TYPE_CHECKING:
    from assay.chain.base import Event
    from assay.services.market import Market
    from assay.services.participants import Participant

log = structlog.get_logger(__name__)

GATHER = 0.25
"""Seconds in which those who were judged gather before they are looked at."""
TICK = 5.0
"""Seconds between looks at the evidence when nothing was heard."""


class Watch:
    """`consider` whoever the chain has judged; `run` does the rest."""

    def __init__(self, market: Market, payer: Keypair, evidence: Evidence) -> None:
        self._market = market
        self._evidence = evidence
        self.keeper = Keeper(market.chain, payer)
        self._judged: dict[bytes, Participant] = {}
        self._wake = asyncio.Event()

    def consider(self, one: Participant) -> None:
        """`one` is as the chain has it now: if it has strikes enough, it is looked at soon."""
        if one.counters["judgements"] >= strikes.MIN_JUDGEMENTS and one.counters["strikes"]:
            self._judged[one.wallet] = one
            self._wake.set()

    async def keep(
        self, wallet: bytes, *, request: bytes, batch: int, panel_round: int, digest: bytes, signature: bytes
    ) -> None:
        """As `Evidence.keep`; what is new is looked at soon."""
        if await self._evidence.keep(
            wallet, request=request, batch=batch, panel_round=panel_round, digest=digest, signature=signature
        ):
            self._wake.set()

    async def keep_vote(
        self, wallet: bytes, *, request: bytes, dispute: bytes, panel_round: int, outcome: int, signature: bytes
    ) -> None:
        """As `Evidence.keep_vote`; who has voted twice is looked at soon."""
        if await self._evidence.keep_vote(
            wallet, request=request, dispute=dispute, panel_round=panel_round, outcome=outcome, signature=signature
        ):
            self._wake.set()

    async def voted(self, event: Event) -> None:
        """Votes on a dispute were shown on chain, by whomever: a second one of a seat counts for nothing there."""
        dispute = bytes(event.data.dispute)
        account = await self._market.rejections.account(Pubkey(dispute))
        landed = await self._market.chain.landed(event.signature) if account is not None else None
        for one in () if landed is None else landed.signed:
            if one.before != "vote_dispute" or one.message[48:80] != dispute:
                continue
            for wallet, signature in one.signatures:
                await self.keep_vote(
                    wallet, request=bytes(account.request), dispute=dispute, panel_round=event.data.round,
                    outcome=one.message[84], signature=signature,
                )  # fmt: skip

    async def settled(self, event: Event) -> None:
        """A batch is on chain. Where that is not what the market proposed, its signatures are evidence."""
        data = event.data
        request, digest = bytes(data.request), bytes(data.digest)
        row = await self._market.db.row("batch_head", request, data.batch)
        if row is None or row["digest"] == digest:
            return
        landed = await self._market.chain.landed(event.signature)
        signed = [one for one in landed.signed if one.before == "settle_batch"] if landed is not None else []
        for wallet, signature in (pair for one in signed for pair in one.signatures):
            await self.keep(
                wallet, request=request, batch=data.batch, panel_round=data.panel_round, digest=digest,
                signature=signature,
            )  # fmt: skip

    async def run(self) -> None:
        """Until cancelled."""
        everything = 0.0
        while True:
            self._wake.clear()
            try:
                if time.monotonic() >= everything:
                    everything = time.monotonic() + self._market.settings.keeper_seconds
                    dues = await self.keeper.look()
                    await self.keeper.work_off(dues)
                    if len(dues) > AT_ONCE:
                        everything = time.monotonic() + TICK
                await self._look_at_judged()
                await self._look_at_evidence()
            except AssayError as error:
                log.warning("keeper interrupted", code=error.code, error=str(error))
            left = min(TICK, max(everything - time.monotonic(), GATHER))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()
            await asyncio.sleep(GATHER)

    async def _look_at_judged(self) -> None:
        judged, self._judged = self._judged, {}
        if not judged:
            return
        rate = (await self._market.terms.market()).params.error_rate
        for wallet, one in judged.items():
            if strikes.is_outlier(one.counters["strikes"], one.counters["judgements"], error_rate=rate):
                due = await self.keeper.look_at(wallet)
                if due is not None:
                    await self.keeper.work_off([due])

    async def _look_at_evidence(self) -> None:
        seen = set()
        for proof, place in await self._evidence.proofs():
            if place in seen:
                continue
            seen.add(place)
            await self._evidence.tried(place)
            try:
                over = await self.keeper.convict(proof) is not None or await self.keeper.offence(proof)
            except (BadRequest, TransactionFailed) as error:
                log.warning("evidence refused", validator=b58(proof.wallet), code=error.code, error=str(error))
                continue
            if over:
                await self._evidence.slashed(place)
