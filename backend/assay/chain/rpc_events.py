"""The program's events from a cluster, in order, each once, over restarts and lost connections.

The list of signatures that name the program is the truth; the web socket only says when to look, and brings logs early.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from solana.rpc.commitment import Commitment
from solders.signature import Signature

from assay.chain.base import Cursor, Event
from assay.chain.events import decode_events
from assay.chain.program import Program
from assay.chain.rpc_client import Notifications, RpcConnection
from assay.chain.rpc_sender import RECORD_TRIES, Sender
from assay.errors import ChainUnavailable

PAGE = 1000
"""Signatures in an answer at most."""
IDLE_SECONDS = 2.0
"""Longest pause between looks while the web socket is up: a notification may have been lost."""
POLL_SECONDS = 0.4
"""Pause between looks without it: a slot."""


class EventReader:
    """Streams of one cluster. `closed` ends them."""

    def __init__(
        self,
        connection: RpcConnection,
        notifications: Notifications,
        sender: Sender,
        *,
        program: Program,
        commitment: Commitment,
    ) -> None:
        self._connection = connection
        self._client = connection.client
        self._notifications = notifications
        self._sender = sender
        self._program = program
        self._commitment = commitment if commitment != "processed" else Commitment("confirmed")
        self.closed = False

    async def stream(self, *, after: Cursor | None = None, follow: bool = True) -> AsyncIterator[Event]:
        """See `Chain.events`. A slot's events come once the next slot is confirmed, so that none can come late."""
        last: Signature | None = None
        if after is not None:
            last = Signature.from_string(after.signature)
            found = await self._sender.fetch(last)
            if found is None:
                raise ChainUnavailable(
                    f"the cluster does not know transaction {last} of the cursor", hint="start from the beginning"
                )
            for event in self._decode(
                last, found.slot, found.block_time, list(found.transaction.meta.log_messages or ())
            ):
                if event.index > after.index:
                    yield event
        if follow:
            await self._notifications.follow_logs()
        while not self.closed:
            self._notifications.news.clear()
            settled = (await self._connection.call(lambda: self._client.get_slot(self._commitment))).value
            fresh = await self._signatures_after(last)
            ready = [entry for entry in fresh if entry.slot < settled]
            for entry in ready:
                last = entry.signature
                if entry.err is not None:
                    continue
                told = self._notifications.take_logs(str(entry.signature))
                block_time = entry.block_time
                if told is None or block_time is None:
                    found = await self._landed(entry.signature)
                    told, block_time = list(found.transaction.meta.log_messages or ()), found.block_time
                for event in self._decode(entry.signature, entry.slot, block_time, told):
                    yield event
            held = len(ready) < len(fresh)
            if not follow and not held:
                return
            if held:
                await asyncio.sleep(0.05)
            elif not ready:
                await self._idle(IDLE_SECONDS if self._notifications.connected else POLL_SECONDS)

    async def _idle(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._notifications.news.wait()
        except TimeoutError:
            return

    async def _landed(self, signature: Signature) -> Any:
        for attempt in range(RECORD_TRIES):
            found = await self._sender.fetch(signature)
            if found is not None:
                return found
            await asyncio.sleep(min(0.02 * 1.3**attempt, 1))
        raise ChainUnavailable(f"the cluster lists {signature} but does not give its record")

    async def _signatures_after(self, last: Signature | None) -> list[Any]:
        """What names the program behind `last`, oldest first, however many there are."""
        found: list[Any] = []
        before: Signature | None = None
        while True:
            answer = await self._connection.call(
                lambda b=before: self._client.get_signatures_for_address(  # type: ignore[misc]
                    self._program.id, before=b, until=last, limit=PAGE, commitment=self._commitment
                )
            )
            found += answer.value
            if len(answer.value) < PAGE:
                return found[::-1]
            before = answer.value[-1].signature

    def _decode(self, signature: Signature, slot: int, block_time: int | None, logs: Sequence[str]) -> list[Event]:
        found = decode_events(self._program.codec, logs, program=self._program.id)
        return [Event(name, data, slot, str(signature), index, block_time) for index, (name, data) in enumerate(found)]
