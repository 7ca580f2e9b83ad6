"""Money for work by review: nobody is given a task whose answer could not be paid any more.

A request by review is posted with the money for one answer a record. A rejected answer takes its validation fee for
good and, until no dispute can reach it, its pay as a reserve; so its task waits (`rejected`) until there is money for
another answer: from a top-up, from reserves that ended, from money locked beyond the least. Two guards, both by what
answers can cost at most (`Bound`): `again` puts tasks back only as far as all open ones could be paid, and `take` stops
handing out where what is in hand could use up the rest, whatever became of the escrow meanwhile (a dispute that is won
takes the place of a record). Leases that lapse or are given back make room again by themselves: what is in hand is
counted anew each second.

In agreement the escrow holds the pay of every answer and record from the start, so neither is needed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from assay.domain import messages, money
from assay.errors import AssayError
from assay.services.panels import OPEN, View

if TYPE_CHECKING:
    from assay.services.market import Market
    from assay.services.requests import RequestInfo

log = structlog.get_logger(__name__)

REVIEW = 1
BELIEVED = 1.0
"""Seconds for which what is in hand is believed before it is counted anew."""
ROOMS = 10_000
PAUSE, LONG_PAUSE = 0.25, 5.0
"""Seconds between two looks at the rejected tasks of a request, and after one that found no money for any."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How many answers an escrow can still pay: `free` base units for at most `places` more records."""

    free: int
    places: int
    price: int
    validation_fee: int
    fee_bps: int
    premium_bps: int

    @classmethod
    def of(cls, view: View) -> Bound:
        """Of a request by review as the chain has it. A dispute that is won takes the place of a record: while it is
        open nobody works for that.
        """
        one = view.account
        return cls(
            free=view.free,
            places=view.places - view.disputes,
            price=one.price,
            validation_fee=one.validation_fee,
            fee_bps=one.terms.params.fee_bps,
            premium_bps=max(one.terms.premium_bps),
        )

    def more(self, *, accepted: int, rejected: int, live: int) -> int:
        """Answers that can be paid besides those accepted and rejected but not settled, and `live` ones without a
        verdict yet, each of which may turn out either way: accepted costs the most. Never below 0."""
        owed = money.labeler_pay(rejected, self.price, self.premium_bps) + rejected * self.validation_fee
        known = accepted + live
        low, high = 0, max(0, self.places - known)
        while low < high:
            middle = (low + high + 1) // 2
            if self._cost(known + middle) + owed <= self.free:
                low = middle
            else:
                high = middle - 1
        return low

    def _cost(self, answers: int) -> int:
        pay = money.labeler_pay(answers, self.price, self.premium_bps)
        return pay + money.market_fee(pay, self.fee_bps) + answers * self.validation_fee


@dataclass(slots=True)
class _Room:
    """What may still be handed out of a request, less `taken` by claims that are under way."""

    left: int = 0
    until: float = 0.0
    taken: int = 0
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)


class Funding:
    """The two guards of one process; any number of processes may put tasks back, one at a time a request."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._rooms: dict[bytes, _Room] = {}
        self._next: dict[bytes, float] = {}

    async def _view(self, request: bytes) -> View | None:
        account = await self._market.requests.account(request)
        return None if account is None else View(request, account, await self._market.terms.now())

    # -- handing out --------------------------------------------------------------------------------------------------

    async def take(self, info: RequestInfo, limit: int) -> int:
        """How many of `limit` tasks may be handed out; say with `taken` what became of them."""
        if info.mode != REVIEW:
            return limit
        if len(self._rooms) >= ROOMS:
            self._rooms.clear()
        room = self._rooms.setdefault(info.address, _Room())
        async with room.counting:
            if room.until < time.monotonic():
                under_way = room.taken  # whether the count sees them or not: it may not while they commit
                room.left = await self._count(info.address) - under_way
                room.until = time.monotonic() + BELIEVED
        count = max(0, min(limit, room.left))
        room.left -= count
        room.taken += count
        return count

    def taken(self, info: RequestInfo, count: int, *, handed: int) -> None:
        """Of `count` tasks that `take` allowed, `handed` were handed out."""
        room = self._rooms.get(info.address)
        if room is not None and info.mode == REVIEW:
            room.taken = max(0, room.taken - count)
            room.left += count - handed

    async def _count(self, request: bytes) -> int:
        row = await self._db.row("review_in_hand", request)  # before the chain: what settles meanwhile counts twice
        view = await self._view(request)
        if row is None or view is None or view.account.state != OPEN:
            return 0
        return Bound.of(view).more(accepted=row["accepted"], rejected=row["rejected"], live=row["live"])

    # -- rejected tasks -----------------------------------------------------------------------------------------------

    async def again(self, request: bytes) -> int:
        """Puts tasks whose answers were all rejected back, as far as the escrow can pay; how many.

        Does nothing shortly after the last look: `again_everywhere` is called all the time.
        """
        if self._next.get(request, 0.0) > time.monotonic():
            return 0
        self._next[request] = time.monotonic() + PAUSE
        async with self._db.transaction() as tx:
            await tx.execute("request_alone", request)
            row = await tx.row("review_commitments", request)
            view = await self._view(request)
            if row is None or view is None or view.account.state != OPEN:
                return 0
            most = Bound.of(view).more(accepted=row["accepted"], rejected=row["rejected"], live=row["live"])
            count = 0 if most == 0 else int((await tx.execute("tasks_again", request, most)).split()[-1])
        if count:
            self._market.tasks.opened()
            self._recount(request)
        else:
            self._next[request] = time.monotonic() + LONG_PAUSE
            log.info("rejected tasks wait: the escrow is used up", request=messages.b58(request), free=view.free)
        return count

    def changed(self, request: bytes) -> None:
        """The chain changed a request's money: look anew at once."""
        self._next.pop(request, None)
        self._recount(request)

    def _recount(self, request: bytes) -> None:
        if (room := self._rooms.get(request)) is not None:
            room.until = 0.0

    async def again_everywhere(self) -> None:
        """`again` for every request that has such tasks: escrows grow, reserves end."""
        for row in await self._db.fetch("requests_rejected"):
            try:
                await self.again(row["address"])
            except AssayError as error:
                log.warning("tasks not put back", request=messages.b58(row["address"]), error=str(error))
