"""The published vote log: a file a request, a line a settled batch, from which anybody can replay it.

A line is written after its batch is settled and recorded. Whatever a crash leaves unwritten is written at the next
start, and a line that was cut off is taken away first; so the file is always a prefix of what the database can give.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from assay.domain import messages, votelog
from assay.domain.votelog import Header, Line
from assay.errors import AssayError, ChainUnavailable, FieldError
from assay.services.handouts import HandOuts
from assay.services.logfile import append, lines_after, mend
from assay.services.proposals import Proposal, settled_event

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)

LINES = 50


class Publisher:
    """Writes the logs under `settings.log_dir`."""

    def __init__(self, market: Market, handouts: HandOuts) -> None:
        self._market = market
        self._handouts = handouts
        self._db = market.db
        self._folder = market.settings.log_dir
        self._next: dict[bytes, int] = {}
        self._locks: dict[bytes, asyncio.Lock] = {}
        self._tasks: dict[bytes, asyncio.Task[None]] = {}
        self._behind: set[bytes] = set()

    def path(self, request: bytes) -> Path:
        """The log of a request."""
        return self._folder / f"{messages.b58(request)}.jsonl"

    async def publish(self, request: bytes) -> int:
        """Appends what is settled and not in the file; how many batches."""
        written = 0
        async with self._locks.setdefault(request, asyncio.Lock()):
            if first := request not in self._next:
                self._next[request] = await self._begin(request)
            while True:
                rows = await self._db.fetch("batches_settled", request, self._next[request], LINES)
                lines: list[bytes] = []
                for row in rows:
                    if row["batch"] != self._next[request] + len(lines):
                        break
                    lines.append(await self._line(row))
                if not lines:
                    if written or first:
                        self._handouts.grown(request, batches=self._next[request])
                    return written
                await self._handouts.publish(request)  # no answer is published before its hand-out
                await asyncio.to_thread(append, self.path(request), b"".join(lines))
                self._next[request] += len(lines)
                written += len(lines)

    def kick(self, request: bytes) -> None:
        """`publish` in the background: nobody's payment waits for the log."""
        task = self._tasks.get(request)
        if task is None or task.done():
            self._tasks[request] = asyncio.create_task(self._quietly(request), name="publisher")

    async def _quietly(self, request: bytes) -> None:
        try:
            while await self.publish(request):
                pass
        except (AssayError, OSError) as error:
            self._behind.add(request)
            log.warning("log not written", request=messages.b58(request), error=str(error))
        else:
            self._behind.discard(request)

    def lines(self, request: bytes, *, after: int = 0) -> AsyncGenerator[bytes, None]:
        """The log without its first `after` lines; only whole lines, in pieces."""
        return lines_after(self.path(request), after)

    async def close(self) -> None:
        """Waits for what is being written."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def publish_all(self) -> None:
        """`publish` for every request that has settled batches: what a crash left unwritten."""
        for row in await self._db.fetch("requests_with_batches"):
            await self._quietly(row["request"])

    def publish_again(self) -> None:
        """Has those written whose log could not be."""
        for request in self._behind:
            self.kick(request)

    async def _begin(self, request: bytes) -> int:
        """Makes or mends the file; the number of the next batch."""
        path = self.path(request)
        await asyncio.to_thread(_retire, path)
        count = await asyncio.to_thread(mend, path)
        if count == 0:
            info = await self._market.requests.info(request, fresh=True)
            assert info.domain is not None
            header = Header(
                program=bytes(self._market.chain.program.id),
                request=request,
                buyer=info.buyer,
                domain=info.domain,
                spec=await self._market.requests.spec(request),
            )
            await asyncio.to_thread(append, path, votelog.encode_header(header))
            count = 1
        return count - 1

    async def _line(self, row: object) -> bytes:
        one: dict[str, object] = dict(row)  # type: ignore[call-overload]
        proposal = Proposal.of_row(row)
        signed = await self._db.fetch("batch_signatures_of", proposal.request, proposal.batch, one["panel_round"])
        by_wallet = {vote["validator"]: vote["signature"] for vote in signed if vote["signature"] is not None}
        signers = one["signers"] or sorted(by_wallet)
        assert isinstance(signers, list)
        return votelog.encode_batch(
            Line(
                batch=proposal.batch,
                panel_round=int(str(one["panel_round"])),
                tasks=proposal.tasks(),
                records=proposal.records,
                judged=proposal.judged,
                answers=proposal.answers,
                votes=proposal.votes,
                root=proposal.root,
                digest=proposal.digest,
                tallies=proposal.tallies,
                signatures=tuple((wallet, by_wallet[wallet]) for wallet in signers if wallet in by_wallet),
                transaction=messages.unb58(str(one["signature"]), size=64, field="transaction"),
                at=await self._settled_time(proposal, one),
            )
        )

    async def _settled_time(self, proposal: Proposal, row: dict[str, object]) -> int:
        """Market time of the settlement: as it was recorded, or as the chain has it."""
        if row["settled_time"] is not None:
            return int(str(row["settled_time"]))
        receipt = await self._market.chain.receipt(str(row["signature"]))
        event = settled_event(receipt, proposal) if receipt is not None else None
        if event is None:
            raise ChainUnavailable(f"the chain does not give the settlement of batch {proposal.batch}", retry_after=1)
        return int(event.data.at)


def _retire(path: Path) -> None:
    """Takes away a log of an earlier version: all of it is written anew from the database."""
    if not path.exists():
        return
    with path.open("rb") as file:
        first = file.readline()
    try:
        if first.endswith(b"\n"):
            votelog.decode_header(first)
    except FieldError as error:
        log.warning("log is written anew", file=path.name, reason=str(error))
        path.unlink()
