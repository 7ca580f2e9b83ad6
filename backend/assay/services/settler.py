"""The settler of one request: from verdicts that stand to tokens in accounts, one batch at a time.

Safe to stop anywhere. What is proposed is written down first; signatures are kept as they come; whether a batch landed
is read from the chain, which takes each batch number once. So a settler that starts again, or a second one, can only
finish what was begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from assay.chain.base import Receipt
from assay.domain import messages
from assay.errors import (
    AccountMissing,
    AssayError,
    BlockhashExpired,
    ChainUnavailable,
    Conflict,
    TransactionFailed,
)
from assay.services.panels import View
from assay.services.proposals import Proposal, cost

if TYPE_CHECKING:
    from assay.domain.batch import Batch
    from assay.services.settlement import Settlement

log = structlog.get_logger(__name__)

REST_OF_PANEL = 0.015
"""Seconds that a quorum waits for the rest of the panel in agreement mode, where who co-signs is paid."""
ANSWERS = 256
"""Answers in a batch at most."""
IDLE = 1.0
"""Seconds after which a request is looked at again though nothing was heard."""
LOOK = 0.02
"""Seconds between looks at whether a batch is full, while its oldest verdict is still young."""
RETRY = 0.2


class Settler:
    """Settles one request for as long as there is something to settle."""

    def __init__(self, request: bytes, owner: Settlement) -> None:
        self.request = request
        self._owner = owner
        self._market = owner.market
        self.wake = asyncio.Event()
        self.news = asyncio.Event()
        self._told: tuple[int, int, tuple[str, ...]] | None = None
        self._landed = 0.0
        self._took = 0.0
        """When the last batch landed (monotonic), and how long the panel took to sign it: the next is begun so much
        earlier.
        """

    async def run(self) -> None:
        """Until cancelled, or the request is closed."""
        wait = RETRY
        while True:
            try:
                if not await self._step():
                    return
                wait = RETRY
            except AccountMissing:
                await self._market.requests.sync(self.request)
                return
            except AssayError as error:
                log.warning("settlement held up", request=messages.b58(self.request), code=error.code, error=str(error))
                with contextlib.suppress(AssayError):
                    await self._owner.recheck(self.request)
                await asyncio.sleep(wait)
                wait = min(2 * wait, 5.0)

    async def _step(self) -> bool:
        """Settles what is due, or waits for it. False when the request is closed."""
        view = await self._owner.panels.view(self.request)
        if view.closed:
            await self._market.requests.sync(self.request)
            self._owner.tables.forget(self.request)
            self._owner.proposals.forget(self.request)
            return False
        begun = await self._owner.proposals.open(self.request)
        proposal = begun if begun is not None else await self._propose(view)
        if proposal is not None:
            await self._settle(proposal, begun=begun is not None)
        return True

    # -- proposing ----------------------------------------------------------------------------------------------------

    async def _propose(self, view: View) -> Proposal | None:
        """Waits until a batch is due and writes it down."""
        self.wake.clear()
        info = await self._market.requests.info(self.request)
        if info.confidence_bps is not None:
            await self._owner.proposals.grow(self.request, batch=view.next_batch)
        due = await self._owner.proposals.due(self.request, mode=info.mode, closing=info.state == "closing")
        if due.since is None:
            await self._wait(IDLE)
            return None
        settings = self._market.settings
        left = (due.since + timedelta(milliseconds=settings.batch_ms) - datetime.now(UTC)).total_seconds()
        left = max(left, self._landed + self._market.chain.pace - self._took - time.monotonic())
        if left > 0 and due.waiting < settings.batch_records:
            await asyncio.sleep(min(left, LOOK))
            return None
        view = await self._owner.panels.view(self.request)
        if view.account.panel_count == 0:
            view = await self._owner.panels.draw(self.request)
            if view.account.panel_count == 0:
                await self._wait(IDLE)
                return None
        rows = await self._market.db.fetch("labelers_of_request", self.request, 0)
        builder = await self._owner.builder(view, wallets=[row["wallet"] for row in rows])
        made = await self._owner.proposals.make(
            self.request,
            batch=view.next_batch,
            participant=builder.participant,
            room=lambda wallets: builder.room(wallets),
            budget=lambda found: self._affordable(view, found),
            most=ANSWERS,
            places=view.places,
        )
        if made is None:
            # The escrow is short until reserves end, or the accounts await their place in a lookup table.
            log.info("nothing can be settled yet", request=messages.b58(self.request), free=view.free)
            self._owner.panels.forget(self.request)
            await asyncio.sleep(RETRY)
        return made

    @staticmethod
    def _affordable(view: View, found: Batch) -> bool:
        one = view.account
        most = cost(
            found,
            price=one.price,
            validation_fee=one.validation_fee,
            fee_bps=one.terms.params.fee_bps,
            premium_bps=max(one.terms.premium_bps),
        )
        return most <= view.free and len(found.records) <= view.places

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0.001)):
                await self.wake.wait()
        except TimeoutError:
            return

    # -- signatures ---------------------------------------------------------------------------------------------------

    async def _settle(self, proposal: Proposal, *, begun: bool) -> None:
        """Asks the panel, submits, confirms. Returns when the batch is settled, raises to be called again.

        `begun`: an earlier try may have submitted it already.
        """
        view = await self._owner.panels.view(self.request)
        if view.next_batch > proposal.batch:
            await self._owner.confirmer.landed(proposal, None)
            return
        if view.next_batch < proposal.batch:
            raise Conflict(f"batch {proposal.batch} is ahead of the chain's {view.next_batch}")
        if proposal.records > view.places:
            # A dispute was won meanwhile and took a record's place, for good. Whoever signed this signs nothing else in
            # the panel's round, so the next proposal may have to wait for the next panel.
            log.warning("proposal withdrawn", request=messages.b58(self.request), batch=proposal.batch)
            await self._owner.proposals.withdraw(proposal)
            return
        signatures = await self._submitted(proposal, view) if begun else None
        asked = time.monotonic()
        signatures = signatures or await self._signatures(proposal, view)
        self._took = time.monotonic() - asked
        if signatures is None:
            await self._no_quorum(proposal)
            return
        try:
            receipt = await self._submit(proposal, view, signatures)
        except (TransactionFailed, BlockhashExpired, ChainUnavailable) as error:
            view = await self._owner.panels.view(self.request, fresh=True)
            if view.next_batch <= proposal.batch:
                raise  # it had no effect: again, with what the chain says now
            log.info(
                "settled by another submission",
                request=messages.b58(self.request),
                batch=proposal.batch,
                code=error.code,
            )
            receipt = None
        self._landed = time.monotonic()
        self._owner.panels.forget(self.request)
        await self._owner.confirmer.landed(proposal, receipt, signatures=signatures)

    async def _submitted(self, proposal: Proposal, view: View) -> list[tuple[bytes, bytes]] | None:
        """The signatures that an earlier try submitted to this panel: whichever try lands, the same validators are
        paid and stand in the log."""
        row = await self._market.db.row("batch_by_number", self.request, proposal.batch)
        if row is None or not row["signers"] or row["panel_round"] != view.panel_round:
            return None
        rows = await self._market.db.fetch("batch_signatures_of", self.request, proposal.batch, view.panel_round)
        found = {one["validator"]: one["signature"] for one in rows if one["signature"] is not None}
        if not all(wallet in found for wallet in row["signers"]):
            return None
        return [(wallet, found[wallet]) for wallet in row["signers"]]

    async def _signatures(self, proposal: Proposal, view: View) -> list[tuple[bytes, bytes]] | None:
        """A quorum of the panel's signatures, in the panel's order; None if none came together in time."""
        panel, quorum = view.panel, view.quorum
        paid = [one.wallet for one in proposal.tallies]
        seats = (await self._owner.builder(view, wallets=paid)).seats(paid)

        def chosen(found: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
            """As many as a transaction carries. Who is left out, where they are too many, goes round by batch."""
            first = proposal.batch % len(panel)
            taken = [member for member in (*panel[first:], *panel[:first]) if member in found][:seats]
            return [(member, found[member]) for member in panel if member in taken]

        message = messages.batch(
            domain=view.domain, batch=proposal.batch, panel_round=view.panel_round, digest=proposal.digest
        )
        deadline = time.monotonic() + self._market.settings.sign_timeout
        asked = False
        while True:
            self.news.clear()
            rows = await self._market.db.fetch("batch_signatures_of", self.request, proposal.batch, view.panel_round)
            found = {
                row["validator"]: row["signature"]
                for row in rows
                if row["signature"] is not None
                and row["validator"] in panel
                and messages.verified(row["signature"], key=row["validator"], message=message)
            }
            refused = {row["validator"] for row in rows if row["refusal"] is not None}
            silent = [member for member in panel if member not in found]
            if len(found) == len(panel):
                return chosen(found)
            if len(found) >= quorum:
                deadline = min(deadline, time.monotonic() + REST_OF_PANEL)
                expected = [one for one in silent if one not in refused and self._owner.hub.connected(one)]
                if view.account.mode != 0 or not expected or not asked or time.monotonic() >= deadline:
                    return chosen(found)
            if not asked:
                asked = True
                self._owner.hub.push(silent, proposal.message(view.panel_round))
            left = deadline - time.monotonic()
            if left <= 0:
                return chosen(found) if len(found) >= quorum else None
            try:
                async with asyncio.timeout(left):
                    await self.news.wait()
            except TimeoutError:
                if len(found) < quorum:
                    return None

    async def _no_quorum(self, proposal: Proposal) -> None:
        """Too few signed: another panel as soon as the chain allows it, else the same one again."""
        rows = await self._market.db.fetch(
            "batch_signatures_of",
            self.request,
            proposal.batch,
            (await self._owner.panels.view(self.request)).panel_round,
        )
        refusals = [f"{messages.b58(row['validator'])}: {row['refusal']}" for row in rows if row["refusal"]]
        signed = sum(row["signature"] is not None for row in rows)
        told, self._told = self._told, (proposal.batch, signed, tuple(refusals))
        log.log(
            logging.DEBUG if told == self._told else logging.WARNING,
            "no quorum",
            request=messages.b58(self.request),
            batch=proposal.batch,
            signed=signed,
            refusals=refusals,
        )
        if await self._owner.panels.due(self.request):
            await self._owner.panels.draw(self.request)
        else:
            await self._owner.panels.view(self.request, fresh=True)
            await self._wait(RETRY)

    # -- submitting ---------------------------------------------------------------------------------------------------

    async def _submit(self, proposal: Proposal, view: View, signatures: Sequence[tuple[bytes, bytes]]) -> Receipt:
        """Sends the batch and waits until it has landed."""
        builder = await self._owner.builder(view, wallets=[one.wallet for one in proposal.tallies])
        instructions = builder.settle(proposal, view, signatures)
        signers = [wallet for wallet, _ in signatures]
        await self._market.db.execute("batch_submitted", self.request, proposal.batch, view.panel_round, signers)
        return await self._market.chain.send(instructions, payer=self._owner.operator, lookup_tables=builder.tables)
