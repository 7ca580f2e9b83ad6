"""The panel of each request: read from the chain, drawn when it is due, redrawn when it does not act."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain.instructions import Instructions
from assay.domain import messages, money, tally
from assay.errors import AccountMissing, AssayError

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)

OPEN, CLOSING, CLOSED = 0, 1, 2
SLOT_WAIT = 0.1
"""Seconds between looks at whether the seed's slot has passed."""
FUTILE = ("program_not_enough_validators", "program_not_settling")
"""Refusals that waiting for a slot does not change."""
LATER = 1.0
"""Seconds after one of those until it is tried again: whoever draws has other requests to look after."""


@dataclass(frozen=True, slots=True)
class View:
    """A request as the chain has it: `account` is the decoded account, read at market time `now`."""

    address: bytes
    account: Any
    now: int = 0

    @property
    def panel(self) -> tuple[bytes, ...]:
        """Wallets of the panel in office."""
        return tuple(bytes(member) for member in self.account.panel[: self.account.panel_count])

    @property
    def buyer(self) -> bytes:
        """The buyer's Participant account."""
        return bytes(self.account.buyer)

    @property
    def panel_round(self) -> int:
        """Number of the panel in office; 0 while there was none."""
        return int(self.account.panel_round)

    @property
    def next_batch(self) -> int:
        """Number of the next batch."""
        return int(self.account.next_batch)

    @property
    def quorum(self) -> int:
        """Signatures that settle a batch."""
        return tally.quorum(self.account.panel_count, self.account.terms.params.quorum_bps)

    @property
    def domain(self) -> bytes:
        """Names the request in signed messages."""
        return bytes(self.account.domain)

    @property
    def closed(self) -> bool:
        """Whether nothing can be settled any more, whatever the time."""
        return bool(self.account.state == CLOSED)

    @property
    def free(self) -> int:
        """What the escrow can still pay, bonds and reserves left alone that had not ended when it was read: the program
        frees those before it pays."""
        one = self.account
        spoken_for = one.paid_labelers + one.paid_validators + one.fees + one.refunded + one.bonds
        reserved = sum(reserve.amount for reserve in one.reserves if reserve.until > self.now)
        return int(one.locked - spoken_for - reserved)

    @property
    def places(self) -> int:
        """Records that the program would still take."""
        return int(self.account.records - self.account.records_done)

    @property
    def disputes(self) -> int:
        """Open disputes: the program holds the dearest pay of one answer for each."""
        one = self.account
        return int(one.bonds // money.labeler_pay(1, one.price, max(one.terms.premium_bps)))

    @property
    def term_over(self) -> bool:
        """Whether the panel has served its batches: it goes on until another is drawn."""
        one = self.account
        return bool(one.panel_count and one.next_batch >= one.panel_from + one.terms.params.panel_term)

    def due(self, now: int) -> bool:
        """Whether the program would draw a panel at market time `now`."""
        one, params = self.account, self.account.terms.params
        return bool(
            one.panel_count == 0
            or one.next_batch >= one.panel_from + params.panel_term
            or now >= one.panel_at + params.panel_timeout
        )


class Panels:
    """Reads requests and draws their panels. What was read is kept until `forget`."""

    def __init__(self, market: Market, operator: Keypair) -> None:
        self._market = market
        self._operator = operator
        self._instructions = Instructions(market.chain.program)
        self._views: dict[bytes, View] = {}
        self._drawing: dict[bytes, asyncio.Lock] = {}
        self._again: dict[bytes, float] = {}

    async def view(self, request: bytes, *, fresh: bool = False) -> View:
        """The request on chain. Raises `AccountMissing` where it is not there (any more)."""
        known = self._views.get(request)
        if known is None or fresh:
            account = await self._market.requests.account(request)
            if account is None:
                raise AccountMissing(f"request {messages.b58(request)} is not on chain")
            if len(self._views) >= 10_000:
                self._views.clear()
            reserves = any(reserve.amount for reserve in account.reserves)
            now = await self._market.terms.now() if reserves else 0
            known = self._views[request] = View(request, account, now)
        return known

    def forget(self, request: bytes) -> None:
        """Read it anew next time."""
        self._views.pop(request, None)

    async def due(self, request: bytes) -> bool:
        """Whether a panel may be drawn now."""
        view = await self.view(request, fresh=True)
        return view.account.state != CLOSED and view.due(await self._market.terms.now())

    async def draw(self, request: bytes, *, seconds: float = 30.0) -> View:
        """Draws a panel if one is due, and waits for the slot that decides it. Gives the request as it is then.

        Does nothing where a panel is in office or somebody else was faster. Gives up after `seconds`, and at once where
        the program says that there is nobody to draw, or nothing to draw for.
        """
        lock = self._drawing.setdefault(request, asyncio.Lock())
        time = asyncio.get_running_loop().time
        async with lock:
            view = await self.view(request, fresh=True)
            before = view.panel_round
            end = time() + seconds
            while self._again.get(request, 0.0) < time() < end:
                view = await self.view(request, fresh=True)
                one = view.account
                pending = one.seed_slot != 0
                if view.panel_round != before or view.closed or not (pending or await self.due(request)):
                    break
                if pending and await self._market.chain.slot() <= one.seed_slot:
                    await asyncio.sleep(SLOT_WAIT)
                    continue
                refusal = await self._call(request)
                if refusal in FUTILE:
                    self._again[request] = time() + LATER
                elif refusal is not None:
                    await asyncio.sleep(4 * SLOT_WAIT)
            if view.panel_round != before:
                log.info(
                    "panel drawn",
                    request=messages.b58(request),
                    round=view.panel_round,
                    panel=[messages.b58(member) for member in view.panel],
                )
            return view

    async def _call(self, request: bytes) -> str | None:
        """Sends a call of `draw_panel`; the code of what refused it, None where it went through."""
        instruction = self._instructions.build("draw_panel", accounts={"request": Pubkey(request)})
        try:
            await self._market.chain.send([instruction], payer=self._operator)
        except AssayError as error:
            if error.code not in ("program_seed_not_ready", "program_panel_in_office"):
                log.warning("panel not drawn", request=messages.b58(request), code=error.code, error=str(error))
            return error.code
        return None
