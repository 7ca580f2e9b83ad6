"""From answer to payment: supervises the loops that judge, settle, index and publish.

Everything it knows is in PostgreSQL, and for money the chain is the truth; so it may be stopped or killed at any point
and started again. Of several engines on one database one leads; the others wait until its connection is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain.keys import ensure_key
from assay.domain.messages import b58
from assay.domain.tally import Role
from assay.errors import AssayError, Unavailable
from assay.services import votes
from assay.services.confirm import Confirmer
from assay.services.disputes import Disputes
from assay.services.handouts import HandOuts
from assay.services.hub import Hub
from assay.services.indexer import Indexer
from assay.services.keeper import Evidence, Watch
from assay.services.panels import Panels
from assay.services.publish import Publisher
from assay.services.settlement import Settlement
from assay.services.tables import POOL, Tables
from assay.services.verdicts import Verdicts

if TYPE_CHECKING:
    from assay.services.market import Market
    from assay.services.participants import Participant

log = structlog.get_logger(__name__)

LEADER = 0x61737361795F6531
"""Key of the advisory lock that the leading engine holds."""
TAKE_LEAD = 0.5
GATHER = 0.005
"""Seconds in which answers gather before rounds are opened for them."""
REMIND = 5.0
TICK = 0.25
"""Seconds after which a loop looks again though it heard nothing."""
HOUSEKEEPING = 0.5
CHORE_SECONDS = 60.0
"""Seconds between looks at lookup tables of ended requests, and at logs that could not be written."""
LIKELY = 100
"""Labelers who are put into a new request's lookup tables before they work on it."""
BELIEVED = 30.0
"""Seconds for which a wallet is believed to be a validator."""


class Engine:
    """`Engine(market)`; `await start()`, `await stop()`. `hub` carries the live connections of validators."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.hub = Hub()
        self.running = False
        self._tasks: list[asyncio.Task[None]] = []
        self._answers = asyncio.Event()
        self._validators: dict[bytes, float] = {}
        self._lock: asyncpg.Connection | None = None
        self._parts: _Parts | None = None
        self._joined: set[asyncio.Task[None]] = set()
        self._prepared: dict[bytes, set[bytes]] = {}

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts leading, or waiting to lead. Raises `AssayError` where database or chain are not there."""
        if self._tasks:
            return
        operator = ensure_key(self.market.settings.operator_file)
        self._parts = _Parts(self.market, self.hub, operator, self._request_changed)
        self.hub.on_join = self._on_join
        if await self._try_lead():
            await self._lead()
        else:
            log.info("another engine leads on this database")
        self._tasks.append(asyncio.create_task(self._keep_lead(), name="engine-lead"))

    async def stop(self) -> None:
        """Stops everything where it is; nothing is lost by that."""
        self.running = False
        tasks, self._tasks = [*self._tasks, *self._joined], []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.hub.close()
        if self._parts is not None:
            with contextlib.suppress(ValueError):
                self.market.answered.disconnect(self._on_answers)
            await self._parts.close()
            self._parts = None
        if self._lock is not None:
            with contextlib.suppress(asyncpg.PostgresError, OSError):
                await self._lock.close(timeout=2)
            self._lock = None

    @property
    def parts(self) -> _Parts:
        """The parts of a started engine. Raises `Unavailable` before."""
        if self._parts is None:
            raise Unavailable("settlement does not run here", retry_after=1)
        return self._parts

    async def _try_lead(self) -> bool:
        try:
            self._lock = await asyncpg.connect(self.market.db.url, timeout=10)
            if await self._lock.fetchval("select pg_try_advisory_lock($1)", LEADER):
                return True
            await self._lock.close(timeout=2)
        except (asyncpg.PostgresError, OSError, TimeoutError) as error:
            log.warning("no lead", error=str(error))
        self._lock = None
        return False

    async def _lead(self) -> None:
        """Starts the loops: first what a crash may have left, then the new."""
        parts = self.parts
        with contextlib.suppress(ValueError):
            self.market.answered.disconnect(self._on_answers)
        self.market.answered.connect(self._on_answers)
        await self.market.db.listen("assay_answers", lambda _: self._answers.set())
        self.running = True
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "indexer": parts.indexer.run,
            "verdicts": self._judge,
            "rounds": self._close_rounds,
            "hand-outs": parts.handouts.run,
            "housekeeping": self._keep_house,
            "reminders": self._remind,
            "disputes": parts.disputes.run,
        }
        if self.market.settings.keeper:
            loops["keeper"] = parts.watch.run
        self._tasks += [asyncio.create_task(_forever(name, loop), name=name) for name, loop in loops.items()]
        for row in await self.market.db.fetch("requests_unsettled"):
            parts.settlement.wake(row["address"])
        log.info("engine leads")

    async def _keep_lead(self) -> None:
        """Takes the lead when it is free; gives it up when the connection that holds it is gone."""
        while True:
            await asyncio.sleep(TAKE_LEAD)
            if self.running and self._lock is not None and not self._lock.is_closed():
                continue
            try:
                if self.running:
                    log.warning("lead lost")
                    await self._give_up()
                if await self._try_lead():
                    await self._lead()
            except Exception as error:
                # Whatever it was: without a leader nobody is paid, so the next try must come.
                log.warning("lead not taken", error=f"{type(error).__name__}: {error}")
                await self._give_up()

    async def _give_up(self) -> None:
        """Ends the loops and lets the lead go, for another or for the next try."""
        self.running = False
        mine = asyncio.current_task()
        others = [task for task in self._tasks if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._tasks = [task for task in self._tasks if task is mine]
        await self.parts.settlement.close()
        self.hub.close()
        if self._lock is not None:
            self._lock.terminate()
            self._lock = None

    # -- loops --------------------------------------------------------------------------------------------------------

    def _on_answers(self, request: bytes) -> None:
        self._answers.set()
        if self.running:
            self.parts.settlement.wake(request)

    def _request_changed(self, request: bytes) -> None:
        """The chain changed a request: look at it anew."""
        self.market.funding.changed(request)
        self.parts.panels.forget(request)
        self._answers.set()
        if self.running:
            self.parts.settlement.wake(request)
            self.parts.disputes.wake(request)

    async def _judge(self) -> None:
        """Opens rounds for new answers and wakes the settlers of requests that have something due."""
        while True:
            self._answers.clear()
            for row in await self.market.db.fetch("requests_unsettled"):
                self.parts.settlement.wake(row["address"])
            while await self.parts.verdicts.open_rounds():
                pass
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._answers.wait()
            await asyncio.sleep(GATHER)

    async def _close_rounds(self) -> None:
        while True:
            for request in await self.parts.verdicts.close_overdue():
                self.parts.settlement.wake(request)
            await asyncio.sleep(TICK)

    async def _remind(self) -> None:
        """Tells validators again what they still have to do: a message may have been lost, or come too early."""
        while True:
            await asyncio.sleep(REMIND)
            for wallet in self.hub.wallets():
                await self._catch_up(wallet)

    async def _keep_house(self) -> None:
        """Panels for requests that have none, lookup tables for those who work, tasks back, logs complete."""
        await self.parts.publisher.publish_all()
        for row in await self.market.db.fetch("participants_working", POOL // 2):
            address = self.market.participants.address(row["wallet"])
            if not await self.parts.tables.strangers([address]):
                continue  # from an earlier run: nothing has to be read
            if (one := await self.market.participants.find(row["wallet"])) is not None:
                await self.parts.pool(one)
        chores_at = 0.0
        while True:
            for row in await self.market.db.fetch("requests_to_draw"):
                with contextlib.suppress(AssayError):
                    await self._prepare(row["address"])
            await self.market.funding.again_everywhere()
            if time.monotonic() > chores_at:
                chores_at = time.monotonic() + CHORE_SECONDS
                self.parts.publisher.publish_again()
                with contextlib.suppress(AssayError):
                    await self.parts.tables.retire()
            await asyncio.sleep(HOUSEKEEPING)

    async def _prepare(self, request: bytes) -> None:
        """A request's panel and lookup tables, before anybody waits for them."""
        parts = self.parts
        view = await parts.panels.view(request)
        if not view.panel or view.term_over:
            view = await parts.panels.draw(request)
        prepared = self._prepared.setdefault(request, set())
        rows = await self.market.db.fetch("labelers_of_request", request, LIKELY)
        wallets = [wallet for wallet in (*view.panel, *(row["wallet"] for row in rows)) if wallet not in prepared]
        if not wallets:
            return
        builder = await parts.settlement.builder(view, wallets=wallets)
        await parts.tables.join([*builder.common(), *(key for one in view.panel for key in builder.accounts(one))])
        strangers = await parts.tables.strangers(key for one in wallets for key in builder.accounts(one))
        if strangers:
            await parts.tables.want(request, [*builder.own(), *strangers])
        prepared.update(wallets)

    # -- what validators do -------------------------------------------------------------------------------------------

    async def is_validator(self, wallet: bytes) -> bool:
        """Whether `wallet` is registered as a validator."""
        if self._validators.get(wallet, 0.0) > time.monotonic():
            return True
        found = await self.market.participants.find(wallet)
        if found is None or found.role is not Role.VALIDATOR:
            return False
        self._validators[wallet] = time.monotonic() + BELIEVED
        return True

    def reaches(self, one: Participant) -> bool:
        """Whether a settlement can pay `one` through lookup tables already (`Tables`)."""
        return self._parts is not None and all(map(self._parts.tables.reach, self._parts.accounts(one)))

    async def commit(self, wallet: bytes, *, answer: bytes, round: int, commitment: bytes, signature: bytes) -> None:
        """Takes a commitment to a vote; raises as `votes.commit` does."""
        await self.parts.verdicts.commit(wallet, answer=answer, round=round, commitment=commitment, signature=signature)

    async def reveal(self, wallet: bytes, *, answer: bytes, round: int, vote: int, salt: bytes) -> None:
        """Takes a reveal; raises as `votes.reveal` does."""
        request = await self.parts.verdicts.reveal(wallet, answer=answer, round=round, vote=vote, salt=salt)
        if request is not None:
            self.parts.settlement.wake(request)

    async def sign(
        self, wallet: bytes, *, request: bytes, batch: int, panel_round: int, digest: bytes, signature: bytes
    ) -> None:
        """Takes a signature of a batch."""
        await self.parts.settlement.sign(
            wallet, request=request, batch=batch, panel_round=panel_round, digest=digest, signature=signature
        )

    async def refuse(
        self, wallet: bytes, *, request: bytes, batch: int, panel_round: int, reason: str, detail: str
    ) -> None:
        """Takes a refusal to sign a batch."""
        await self.parts.settlement.refuse(
            wallet, request=request, batch=batch, panel_round=panel_round, reason=reason, detail=detail
        )

    async def proposals(self, wallet: bytes) -> list[dict[str, Any]]:
        """Batches that wait for the signature of `wallet`, as pushed."""
        return await self.parts.settlement.open_for(wallet)

    async def disputes(self, wallet: bytes) -> list[dict[str, Any]]:
        """Disputes that wait for the vote of `wallet`, as pushed."""
        return await self.parts.disputes.open_for(wallet)

    async def decide(self, wallet: bytes, *, dispute: bytes, panel_round: int, outcome: int, signature: bytes) -> None:
        """Takes a vote on a dispute; raises as `Disputes.vote` does."""
        await self.parts.disputes.vote(
            wallet, dispute=dispute, panel_round=panel_round, outcome=outcome, signature=signature
        )

    async def log_lines(self, request: bytes, *, after: int = 0) -> AsyncGenerator[bytes, None]:
        """The published log of a request without its first `after` lines, in pieces. Raises `NotFound`."""
        await self.market.requests.info(request)
        return self.parts.publisher.lines(request, after=after)

    async def handout_lines(self, request: bytes, *, after: int = 0) -> AsyncGenerator[bytes, None]:
        """The published log of hand-outs without its first `after` lines, in pieces. Raises `NotFound`."""
        await self.market.requests.info(request)
        return self.parts.handouts.lines(request, after=after)

    def _on_join(self, wallet: bytes) -> None:
        """A validator connected: tell it what it still has to do."""
        task = asyncio.create_task(self._catch_up(wallet), name="validator-catch-up")
        self._joined.add(task)
        task.add_done_callback(self._joined.discard)

    async def _catch_up(self, wallet: bytes) -> None:
        try:
            found = [
                *await votes.work(self.market.db, wallet),
                *await votes.openings(self.market.db, wallet),
                *await self.proposals(wallet),
                *await self.disputes(wallet),
            ]
        except AssayError as error:
            log.warning("validator not told its work", wallet=b58(wallet), error=str(error))
            return
        for message in found:
            self.hub.push([wallet], message)

    async def rebuild(self) -> dict[str, int]:
        """Makes the projections anew from the chain; see `Indexer.rebuild`."""
        return await self.parts.indexer.rebuild()


class _Parts:
    """What an engine is made of."""

    def __init__(self, market: Market, hub: Hub, operator: Keypair, changed: Callable[[bytes], None]) -> None:
        self.market = market
        self.operator = operator
        self.panels = Panels(market, operator)
        self.tables = Tables(market, operator)
        self.handouts = HandOuts(market)
        self.publisher = Publisher(market, self.handouts)
        self.confirmer = Confirmer(market, self.publisher)
        self.verdicts = Verdicts(market, hub=hub, panels=self.panels)
        self.watch = Watch(market, operator, Evidence(market))
        self.disputes = Disputes(market, hub=hub, operator=operator, watch=self.watch)
        self.settlement = Settlement(
            market, hub=hub, panels=self.panels, operator=operator, tables=self.tables, confirmer=self.confirmer,
            watch=self.watch,
        )  # fmt: skip
        self.indexer = Indexer(
            market, self.confirmer, on_request=changed, on_participant=self._changed, on_judged=self.watch.consider,
            on_settled=self.watch.settled, on_voted=self.watch.voted,
        )  # fmt: skip
        self.hub = hub

    async def _changed(self, one: Participant) -> None:
        """The chain changed a participant, by something else than a batch."""
        await self.pool(one)
        self.watch.consider(one)
        self.hub.push([one.wallet], {"type": "standing"})

    async def pool(self, one: Participant) -> None:
        """Who works in the market is in its lookup tables from the first day."""
        if one.role in (Role.LABELER, Role.VALIDATOR):
            await self.tables.join(self.accounts(one))

    def accounts(self, one: Participant) -> list[Pubkey]:
        """What settlements name of a participant: its account, and where it is paid."""
        payouts = [Pubkey(address) for address in one.payout if any(address)]
        return [self.market.participants.address(one.wallet), *payouts]

    async def close(self) -> None:
        await self.settlement.close()
        await self.tables.close()
        await self.publisher.close()


async def _forever(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Runs a loop for ever: what it raises is logged, and it starts again."""
    while True:
        try:
            await loop()
        except AssayError as error:
            log.warning("loop interrupted", loop=name, code=error.code, error=str(error))
        except Exception:
            log.exception("loop failed", loop=name)
        await asyncio.sleep(TICK)
