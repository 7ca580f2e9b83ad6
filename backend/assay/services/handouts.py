"""The published log of hand-outs, and the owners that handing out goes by.

The database writes the log's lines, each in the transaction of what it says; here they are put into a file a request,
`<request>.tasks.jsonl` beside the vote log. A hand-out's commit does not wait for the disk, so a crash of the database
may take the last ones back: the file gets a line only once it is known to be on disk, and so never says more than the
database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from assay.db.pool import Database, Session
from assay.domain import messages, owners
from assay.domain.assignment_log import Header, encode_groups, encode_header
from assay.domain.spec import Spec
from assay.domain.standing import Judged
from assay.domain.verdict import value_of
from assay.errors import AssayError
from assay.services.logfile import append, last_line, lines_after, mend

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)

LINES = 5_000  # read at a time
LOOK_SECONDS = 0.5


async def begin(tx: Database | Session, market: Market, request: bytes, *, domain: bytes, assignment: str) -> None:
    """Begins a posted request's hand-outs, once, on the terms of today; where assignment is random, with its log."""
    free, share = market.settings.skips_free, market.settings.skips_share
    first = Header(bytes(market.chain.program.id), request, domain, free, share)
    text = encode_header(first).decode() if assignment == "random" else None
    await tx.execute("assignment_begin", request, domain, free, share, text)


class HandOuts:
    """Writes the logs under `settings.log_dir`; learns owners as the vote logs grow. One runs on a database."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._next: dict[bytes, int] = {}  # lines in the file
        self._foreign: set[bytes] = set()  # whose file has other lines than the database
        self._locks: dict[bytes, asyncio.Lock] = {}
        self._grown: dict[bytes, int] = {}  # batches in the vote log, where owners may have to be learned

    def path(self, request: bytes) -> Path:
        """The log of a request."""
        return self._market.settings.log_dir / f"{messages.b58(request)}.tasks.jsonl"

    async def run(self) -> None:
        """For ever: first what a crash left undone, then what comes."""
        for row in await self._db.fetch("assignments_missing"):
            await begin(self._db, self._market, row["address"], domain=row["domain"], assignment=row["assignment"])
        for row in await self._db.fetch("assignments_logged"):
            await self.publish(row["request"])
        while True:
            for row in await self._db.fetch("assignments_behind"):
                await self.publish(row["request"])
            while self._grown:
                request, batches = self._grown.popitem()
                await self._learn(request, batches)
            await asyncio.sleep(LOOK_SECONDS)

    async def publish(self, request: bytes) -> int:
        """Puts the lines written so far into the file; how many. Where there is no log, nothing."""
        async with self._locks.setdefault(request, asyncio.Lock()):
            until = await self._db.value("assignment_keep", request)
            if request not in self._next:
                until = until or await self._db.value("assignment_kept", request)
                if until is None or not await self._begin(request):
                    return 0
            if until is None or request in self._foreign:
                return 0
            first = self._next[request]
            while self._next[request] < until:
                rows = await self._db.fetch("assignment_lines_from", request, self._next[request], until, LINES)
                data = "".join(row["text"] + "\n" for row in rows).encode()
                await asyncio.to_thread(append, self.path(request), data)
                self._next[request] += len(rows)
            return self._next[request] - first

    async def _begin(self, request: bytes) -> bool:
        """Mends the file; whether it is the database's."""
        path = self.path(request)
        count = self._next[request] = await asyncio.to_thread(mend, path)
        if count == 0:
            return True
        rows = await self._db.fetch("assignment_lines_from", request, count - 1, count, 1)
        last = await asyncio.to_thread(last_line, path)
        if [row["text"].encode() + b"\n" for row in rows] == [last]:
            return True
        # An older database was put back, perhaps. What is published stays as it is.
        log.error("the published hand-outs are not the database's: nothing is added", file=path.name, lines=count)
        self._foreign.add(request)
        return False

    def lines(self, request: bytes, *, after: int = 0) -> AsyncGenerator[bytes, None]:
        """The log without its first `after` lines; only whole lines, in pieces."""
        return lines_after(self.path(request), after)

    # -- owners -------------------------------------------------------------------------------------------------------

    def grown(self, request: bytes, *, batches: int) -> None:
        """The vote log of a request has `batches` batches now."""
        self._grown[request] = batches

    async def _learn(self, request: bytes, batches: int) -> None:
        """Learns the owners anew where the vote log has reached another point."""
        state = await self._db.row("owners_state", request)
        if state is None or state["state"] != "open":
            return
        point = owners.owners_point(await self._db.value("records_count", request, batches))
        if point <= state["point"]:
            return
        spec = await self._market.requests.spec(request)
        if not owners.learns(spec):
            return
        rows = await self._db.fetch("owners_answers", request, batches, point)
        judged = [
            (
                [(w, value_of(content)) for w, content in zip(row["labelers"], row["contents"], strict=True)],
                None if row["gold"] is None else value_of(row["gold"]["label"]),
            )
            for row in rows
        ]
        try:
            groups = await asyncio.to_thread(_groups, judged, spec)
        except (AssayError, ValueError, ArithmeticError):
            log.exception("owners not learned", request=messages.b58(request), point=point)
            return
        members = [wallet for group in groups for wallet in group]
        numbers = [number for number, group in enumerate(groups) for _ in group]
        said = encode_groups(groups).decode()
        if await self._db.value("owners_learned", request, point, members, numbers, said, owners.RULE):
            log.info("owners learned", request=messages.b58(request), point=point, groups=len(groups))


def _groups(judged: Judged, spec: Spec) -> tuple[tuple[bytes, ...], ...]:
    return owners.groups(judged, classes=spec.schema["classes"])
