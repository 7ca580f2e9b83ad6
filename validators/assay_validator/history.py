"""What a request's earlier batches settled, before this worker signs the next one.

The chain's log head decides: it commits to root, digest, number and market time of every batch, in order. What this
worker has just signed (or was shown) it knows, and if that leads to the head the log is not asked for; else it reads
the published log, recomputes root and digest of each line from its tasks, and believes none of it unless all of it
leads to the head. So no earlier panel has to be known, and it does not matter who served the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

from assay.domain import batch as batches
from assay.domain import merkle, messages, votelog
from assay.domain.history import History
from assay.domain.spec import Spec
from assay.domain.votelog import Line
from assay.domain.work import Task
from assay.errors import AssayError, FieldError
from assay_validator.checks import OnChain
from assay_validator.link import Link
from assay_validator.settled import Content
from assay_validator.state import Refused, State

LOOKS, PAUSE = 30, 0.1
"""The log is written a moment after its batch has landed: how often, and how many seconds apart, it is looked at."""
SHOWN = 8
"""Contents of the next batch that are remembered: a panel drawn anew may be shown another one."""

Shown = tuple[Content, tuple[Task, ...]]


class Past:
    """One request's batches so far. Hold `lock` from `upto` until the next batch is signed: both read and change it.

    Of a specification that learns the votes (or tasks) stay in memory, of any other ids alone, on disk.
    """

    def __init__(self, request: OnChain, spec: Spec, *, participant: Callable[[bytes], bytes], state: State) -> None:
        self.lock = asyncio.Lock()
        self._address = request.address
        self._domain = request.domain
        self._spec = spec
        self._participant = participant
        self._settled = state.settled
        self._shown: dict[bytes, Shown] = {}  # by digest, of batch `_next`
        self._begin()

    def _begin(self) -> None:
        """From what is on disk; from the first batch where the specification learns, since tasks are not kept."""
        if self._spec.learns:
            self._settled.discard(self._domain, all=True)
        self._next, self._head = self._settled.head(self._domain)
        self._history = History(self._spec)
        self._shown.clear()

    def forget(self) -> None:
        """Drop everything, on disk too."""
        self._settled.discard(self._domain, all=True)
        self._begin()

    def shown(self, batch: int, content: Content, tasks: Sequence[Task]) -> None:
        """`content` was found right for `batch` (and may be what will be settled)."""
        if batch == self._next:
            self._shown.pop(content.digest, None)
            self._shown[content.digest] = content, tuple(tasks) if self._spec.learns else ()
            while len(self._shown) > SHOWN:
                del self._shown[next(iter(self._shown))]

    def landed(self, request: OnChain, tasks: Sequence[Task]) -> None:
        """`request` has just settled what `tasks` came too late for: if it is this, the log need not be read."""
        if self._next == request.next_batch - 1:
            try:
                self.shown(self._next, self._content(tasks), tasks)
            except (AssayError, KeyError, TypeError, ValueError):
                return
            self._recall(request)

    async def upto(self, request: OnChain, link: Link) -> History:
        """All batches before the chain's next one. Raises `Refused` (``history_missing``, ``history_wrong``)."""
        count = request.next_batch
        if self._next > count or (self._next == count and self._head != request.log_head):
            # A fork that the cluster gave up, or a node that is behind: what this node says is what will be settled on.
            self.forget()
        if self._next < count and not self._recall(request):
            try:
                await self._read(request, link)
            except BaseException:
                self._settled.discard(self._domain)
                self._begin()
                raise
        return self._history

    def _recall(self, request: OnChain) -> bool:
        """Whether the chain's last batch is one that was shown; takes it in. Its time is that of the request's last
        act, or of its last settlement where a panel was drawn since and the market was never paused.
        """
        if self._next != request.next_batch - 1:
            return False
        for content, tasks in self._shown.values():
            for at in {request.panel_at, request.since}:
                if merkle.next_head(self._head, content.leaf(self._next, at)) == request.log_head:
                    self._history.add(tasks)
                    self._believe(request, last=content)
                    return True
        return False

    def _believe(self, request: OnChain, *, last: Content | None = None) -> None:
        self._next, self._head = request.next_batch, request.log_head
        self._shown.clear()
        self._settled.believe(self._domain, request=self._address, batches=self._next, head=self._head, last=last)

    async def _read(self, request: OnChain, link: Link) -> None:
        """The published log from the first batch that is missing."""
        self._settled.discard(self._domain)
        count, number, head = request.next_batch, self._next, self._head
        for _ in range(LOOKS):
            async with aclosing(link.log(messages.b58(self._address), after=number + 1)) as lines:
                async for raw in lines:
                    line, content = await asyncio.to_thread(self._checked, raw, number)
                    self._settled.note(self._domain, batch=number, content=content)
                    head = merkle.next_head(head, content.leaf(number, line.at))
                    number += 1
                    if number == count:
                        break
            if number == count:
                break
            await asyncio.sleep(PAUSE)
        else:
            raise Refused("history_missing", f"the published log ends before batch {number}; the chain has {count}")
        if head != request.log_head:
            raise Refused(
                "history_wrong",
                f"log: batches 0 to {count - 1} lead to head {head.hex()}, the chain's is {request.log_head.hex()}: "
                "a task, a time (`at`) or the order is not what was settled",
            )
        self._believe(request)

    def _checked(self, raw: bytes, number: int) -> tuple[Line, Content]:
        """A line of the log that fits itself, and what it settles. Runs beside the event loop."""
        try:
            line = votelog.decode_batch(raw)
            if line.batch != number:
                raise FieldError("batch", f"is {line.batch}", hint=str(number))
            content = self._content(line.tasks)
            for name in ("root", "digest"):
                found, right = getattr(line, name), getattr(content, name)
                if found != right:
                    raise FieldError(name, f"is {found.hex()}", hint=f"{right.hex()}, as its tasks give it")
        except (AssayError, KeyError, TypeError, ValueError) as error:
            raise Refused("history_wrong", f"log: batch {number}: {error}") from error
        self._history.add(line.tasks)
        return line, content

    def _content(self, tasks: Sequence[Task]) -> Content:
        """What `tasks` settle. The head commits to answers and votes by their hashes; so only gold, which stands in no
        entry, has to be checked beside it. (The signatures are the auditor's: what is settled stays so without them.)
        """
        for i, task in enumerate(tasks):
            if task.gold is not None:
                root = self._spec.gold_root
                if root is None:
                    raise FieldError(f"tasks[{i}].gold", "is there though the specification commits to none")
                task.gold.verify(index=task.index, root=root, field=f"tasks[{i}].gold")
        made = batches.assemble(
            self._spec, domain=self._domain, tasks=tasks, participant=self._participant, history=self._history
        )
        return Content.of(made, spec=self._spec, participant=self._participant)
