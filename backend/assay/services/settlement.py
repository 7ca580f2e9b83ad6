"""All settlers of this process, and what validators say to them: signatures and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.domain import messages
from assay.errors import ChainError, Conflict, Forbidden, NotFound
from assay.services.confirm import Confirmer
from assay.services.hub import Hub
from assay.services.keeper import Watch
from assay.services.panels import Panels, View
from assay.services.proposals import Proposal, Proposals
from assay.services.settler import Settler
from assay.services.tables import Tables
from assay.services.transactions import Builder

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)


class Settlement:
    """All settlers of this process."""

    def __init__(
        self, market: Market, *, hub: Hub, panels: Panels, operator: Keypair, tables: Tables, confirmer: Confirmer,
        watch: Watch,
    ) -> None:  # fmt: skip
        self.market = market
        self.hub = hub
        self.panels = panels
        self.operator = operator
        self.tables = tables
        self.confirmer = confirmer
        self.watch = watch
        self.proposals = Proposals(market)
        self._payouts: dict[tuple[bytes, int], Pubkey] = {}
        self._settlers: dict[bytes, Settler] = {}
        self._tasks: dict[bytes, asyncio.Task[None]] = {}

    async def builder(self, view: View, *, wallets: Sequence[bytes] = ()) -> Builder:
        """What puts a settlement's transaction together now."""
        return await Builder.ready(
            self.market,
            view,
            operator=self.operator.pubkey(),
            tables=await self.tables.active(view.address),
            wallets=wallets,
            known=self._payouts,
        )

    async def recheck(self, request: bytes) -> None:
        """Something did not go through: read panel, payouts and lookup tables anew."""
        self.panels.forget(request)
        self._payouts.clear()
        await self.tables.recheck(request)

    def wake(self, request: bytes) -> None:
        """Something may be due in `request`."""
        task = self._tasks.get(request)
        if task is None or task.done():
            settler = self._settlers[request] = Settler(request, self)
            self._tasks[request] = asyncio.create_task(settler.run(), name=f"settler-{messages.b58(request)}")
        self._settlers[request].wake.set()

    def news(self, request: bytes) -> None:
        """A signature or a refusal came in."""
        settler = self._settlers.get(request)
        if settler is not None:
            settler.news.set()

    async def close(self) -> None:
        """Stops all settlers where they are."""
        tasks = [task for task in self._tasks.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._settlers.clear()

    # -- what validators say ------------------------------------------------------------------------------------------

    async def _open(
        self, request: bytes, batch: int, panel_round: int, wallet: bytes, row: Any
    ) -> tuple[bytes, View] | None:
        """Digest of the proposal (`row`: its head) that is being signed; None if it has been settled meanwhile."""
        if row is None:
            raise NotFound(f"there is no proposal {batch} of this request", field="batch")
        if row["state"] != "proposed":
            return None
        view = await self.panels.view(request)
        if view.panel_round != panel_round:
            view = await self.panels.view(request, fresh=True)
        if view.panel_round != panel_round:
            raise Conflict(f"the panel's round is {view.panel_round}", field="panel_round")
        if wallet not in view.panel:
            raise Forbidden("this wallet is not on the panel", field="wallet")
        return row["digest"], view

    async def sign(
        self, wallet: bytes, *, request: bytes, batch: int, panel_round: int, digest: bytes, signature: bytes
    ) -> None:
        """Takes a signature. Raises `NotFound`, `Conflict`, `Forbidden`, `SignatureInvalid`."""
        row = await self.market.db.row("batch_head", request, batch)
        found = await self._open(request, batch, panel_round, wallet, row)
        if found is None:
            return
        proposed, view = found
        if digest != proposed:
            # Of the panel in office alone: numbers and rounds that nobody settles by would fill the table.
            await self.watch.keep(
                wallet, request=request, batch=batch, panel_round=panel_round, digest=digest, signature=signature
            )
            raise Conflict("the signature is over another digest than was proposed", field="digest")
        message = messages.batch(domain=view.domain, batch=batch, panel_round=panel_round, digest=digest)
        messages.verify(signature, key=wallet, message=message)
        await self.market.db.execute("batch_signature", request, batch, panel_round, wallet, signature, None, None)
        self.news(request)

    async def refuse(
        self, wallet: bytes, *, request: bytes, batch: int, panel_round: int, reason: str, detail: str
    ) -> None:
        """Takes a refusal and its reason. Raises `NotFound`, `Conflict`, `Forbidden`."""
        row = await self.market.db.row("batch_head", request, batch)
        if await self._open(request, batch, panel_round, wallet, row) is None:
            return
        log.warning(
            "refused",
            request=messages.b58(request),
            batch=batch,
            validator=messages.b58(wallet),
            reason=reason,
            detail=detail,
        )
        await self.market.db.execute("batch_signature", request, batch, panel_round, wallet, None, reason, detail)
        self.news(request)

    async def open_for(self, wallet: bytes) -> list[dict[str, Any]]:
        """Proposals that wait for the signature of `wallet`."""
        found = []
        for row in await self.market.db.fetch("proposals_open"):
            try:
                view = await self.panels.view(row["request"])
            except ChainError:
                continue
            if wallet not in view.panel:
                continue
            signed = await self.market.db.fetch("batch_signatures_of", row["request"], row["batch"], view.panel_round)
            if not any(one["validator"] == wallet and one["signature"] is not None for one in signed):
                found.append(Proposal.of_row(row).message(view.panel_round))
        return found
