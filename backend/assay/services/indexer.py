"""The indexer: follows the program's events, once each, and keeps the projections of the chain's state.

Idempotent on (signature, event index); the cursor moves in the transaction that writes the event down, once it has been
projected. What an event means is read from the accounts it names, as they are now, so an event that a crash or an
outage brings a second time does no harm, and none is passed over. `rebuild` makes every projection anew from the chain.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import structlog
from solders.pubkey import Pubkey

from assay.chain.base import Cursor, Event
from assay.domain import messages
from assay.errors import AssayError, ChainUnavailable, Unavailable
from assay.services import judgements

if TYPE_CHECKING:
    from assay.services.confirm import Confirmer
    from assay.services.market import Market
    from assay.services.participants import Participant

log = structlog.get_logger(__name__)

CURSOR = "events"
AGAIN = 1.0
PARTICIPANT = {
    "Registered", "Staked", "UnstakeRequested", "UnstakeCancelled", "StakeWithdrawn", "PayoutSet", "OwedClaimed",
    "Slashed",
}  # fmt: skip
REQUEST = {
    "RequestClosing", "RequestClosed", "RequestReaped", "RequestToppedUp", "PanelDrawn", "PanelSeeded", "DisputeOpened",
    "DisputeEnded",
}  # fmt: skip


class Indexer:
    """Follows events until cancelled. `on_request` is called with the address of each request that changed,
    `on_participant` with each participant that did, batches aside, `on_judged` with each that a batch judged,
    `on_settled` with the event of each batch, `on_voted` with each of votes on a dispute.
    """

    def __init__(
        self,
        market: Market,
        confirmer: Confirmer,
        *,
        on_request: Callable[[bytes], None],
        on_participant: Callable[[Participant], Awaitable[None]],
        on_judged: Callable[[Participant], None],
        on_settled: Callable[[Event], Awaitable[None]],
        on_voted: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._market = market
        self._db = market.db
        self._confirmer = confirmer
        self._on_request = on_request
        self._on_participant = on_participant
        self._on_judged = on_judged
        self._on_settled = on_settled
        self._on_voted = on_voted
        self._taking = asyncio.Lock()
        """Held while an event is taken, and for all of a rebuild: an event half taken would move the cursor over those
        that are to be read again.
        """

    async def run(self) -> None:
        """Until cancelled; what fails is tried again from the cursor."""
        while True:
            try:
                async with self._taking:
                    await self._market.judgements.begin()
                async for event in self._market.chain.events(after=await self.cursor()):
                    await self.take(event)
            except AssayError as error:
                log.warning("indexer interrupted", error=str(error))
            await asyncio.sleep(AGAIN)

    async def catch_up(self) -> int:
        """Takes all events there are now; how many were new."""
        async with self._taking:
            return await self._catch_up()

    async def _catch_up(self, *, judge: bool = True) -> int:
        count = 0
        async for event in self._market.chain.events(after=await self.cursor(), follow=False):
            count += await self._take(event, judge=judge)
        return count

    async def cursor(self) -> Cursor | None:
        """The last event taken."""
        value = await self._db.value("cursor_get", CURSOR)
        return None if value is None else Cursor(value["slot"], value["signature"], value["index"])

    async def take(self, event: Event) -> bool:
        """Projects what one event is about and writes it down; whether it was new.

        Raises `ChainUnavailable` or `Unavailable` where that has to be tried again: the cursor has not moved.
        """
        async with self._taking:
            return await self._take(event)

    async def _take(self, event: Event, *, judge: bool = True) -> bool:
        try:
            await self._project(event)
        except (ChainUnavailable, Unavailable):
            raise
        except Exception:  # the same at every try: whoever can post it must not stop all others
            log.exception("event not projected", event=event.name, signature=event.signature)
        place = {"slot": event.slot, "signature": event.signature, "index": event.index}
        async with self._db.transaction() as tx:
            new = await tx.value(
                "event_insert", event.signature, event.index, event.slot, event.name, plain(event.data)
            )
            await tx.execute("cursor_set", CURSOR, place)
            if judge and new is not None and event.name in judgements.EVENTS:
                await self._market.judgements.take(tx, event.name, plain(event.data))
        return new is not None

    async def _project(self, event: Event) -> None:
        data = event.data
        if event.name == "RequestPosted":
            await self._market.requests.activate(bytes(data.request), signature=event.signature)
            self._on_request(bytes(data.request))
        elif event.name in REQUEST:
            await self._market.requests.sync(bytes(data.request))
            self._on_request(bytes(data.request))
        elif event.name == "BatchSettled":
            await self._on_settled(event)
            await self._refresh_payees(bytes(data.request), data.batch)
        elif event.name == "DisputeVoted":
            await self._on_voted(event)
        elif event.name in PARTICIPANT:
            await self._refresh(data)

    async def _refresh(self, data: Any) -> None:
        wallet = getattr(data, "wallet", None)
        if wallet is None:
            wallet = await self._wallet_of(bytes(data.participant))
        if wallet is not None:
            found = await self._market.participants.refresh(bytes(wallet))
            if found is not None:
                await self._on_participant(found)

    async def _wallet_of(self, participant: bytes) -> bytes | None:
        """The wallet of a Participant account."""
        account = await self._market.chain.account(Pubkey(participant))
        if account is None or not account.data:
            return None
        decoded = self._market.chain.program.codec.decode_account(bytes(account.data), name="Participant")
        return bytes(decoded.wallet)

    async def _refresh_payees(self, request: bytes, batch: int) -> None:
        row = await self._db.row("batch_by_number", request, batch)
        if row is None:
            return
        for wallet in dict.fromkeys([*row["participants"], *(row["signers"] or ())]):
            if (found := await self._market.participants.refresh(wallet)) is not None:
                self._on_judged(found)

    async def rebuild(self) -> dict[str, int]:
        """Makes every projection anew from the chain's events and accounts; counts by kind.

        What only the market knows – specifications, answers, votes, proposals – is left as it is; what the chain says
        of it – states, settlements, payments, participants – is written anew.
        """
        async with self._taking:
            return await self._rebuild()

    async def _rebuild(self) -> dict[str, int]:
        await self._db.execute("projections_clear")
        await self._db.execute("cursor_delete", CURSOR)
        await self._db.execute("cursor_delete", judgements.CURSOR)  # counted anew, also where this is interrupted
        counts = {"events": await self._catch_up(judge=False), "participants": 0, "batches": 0}
        await self._market.judgements.recount()
        for _, account in await self._market.chain.program_accounts():
            try:
                decoded = self._market.chain.program.codec.decode_account(bytes(account.data))
            except AssayError:
                continue
            if type(decoded).__name__ == "Participant":
                await self._market.participants.refresh(bytes(decoded.wallet))
                counts["participants"] += 1
        counts["batches"] = await self._confirmer.rebuild()
        log.info("rebuilt", **counts)
        return counts


def plain(value: Any) -> Any:
    """An event's data as JSON: addresses base58, other bytes hexadecimal, numbers beyond 2^53 as text."""
    if isinstance(value, Pubkey):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex()
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    if dataclasses.is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return messages.b58(bytes(value))
