"""Answers: checked against their schema and signature, kept under their CID, recorded once.

Answers that arrive while a group is being written gather and go together in the next one, so that many labelers share
the cost of a commit. An answer is acknowledged when it is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from assay.domain import canonical, messages
from assay.errors import AlreadyDone, AssayError, FieldError, Gone, LeaseLost, NotFound, Unavailable, field
from assay.storage.cid import of as content_id

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)

GROUP = 256
WRITERS = 2  # one group is written while the next is
MAX_BATCH = 200
MAX_BYTES = 256 * 1024  # of an answer's canonical content
RETRIES = 5
TASKS_KNOWN = 200_000
STORED_KNOWN = 100_000


@dataclass(frozen=True, slots=True)
class Submission:
    """What a labeler sends: the answer's content and its signature over the answer message (docs/protocol.md)."""

    task: bytes
    content: Any
    signature: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """A recorded answer. `again`: it had been recorded before."""

    answer: bytes
    task: bytes
    state: str
    again: bool


@dataclass(frozen=True, slots=True)
class _Row:
    id: bytes
    task: bytes
    request: bytes
    labeler: bytes
    content: dict[str, Any]
    data: bytes
    content_hash: bytes
    signature: bytes
    done: asyncio.Future[Taken]


class Answers:
    """Takes answers. `start` before the first, `stop` after the last."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._queue: asyncio.Queue[_Row] = asyncio.Queue(maxsize=20_000)
        self._writers: list[asyncio.Task[None]] = []
        self._stored: set[str] = set()
        self._tasks: dict[bytes, tuple[bytes, int]] = {}  # task: its request and index; never changes

    async def start(self) -> None:
        """Starts writing."""
        if not self._writers:
            self._writers = [asyncio.create_task(self._write(), name=f"answers-{i}") for i in range(WRITERS)]

    async def stop(self) -> None:
        """Writes what waits, then stops."""
        if self._writers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._queue.join(), 10)
        for task in self._writers:
            task.cancel()
        await asyncio.gather(*self._writers, return_exceptions=True)
        self._writers = []
        while not self._queue.empty():
            _fail([self._queue.get_nowait()], Unavailable("the market is stopping", retry_after=1))

    async def submit(self, labeler: bytes, submission: Submission) -> Taken:
        """Records one answer; the very same one again gives the same result.

        Raises `NotFound` (no such task), `FieldError` (content against the schema), `SignatureInvalid`, `AlreadyDone`
        (another answer of this wallet stands), `LeaseLost`, `Gone` (request or task ended).
        """
        row = await self._check(labeler, submission)
        if not self._writers:
            raise Unavailable("the market is not started", retry_after=1)
        try:
            self._queue.put_nowait(row)
        except asyncio.QueueFull as error:
            raise Unavailable("too many answers wait to be written", retry_after=1) from error
        return await asyncio.wait_for(row.done, 60)

    async def submit_many(self, labeler: bytes, submissions: Sequence[Submission]) -> list[Taken | AssayError]:
        """Records several; each is taken or refused by itself."""
        if not 1 <= len(submissions) <= MAX_BATCH:
            raise FieldError("answers", f"has {len(submissions)} answers", hint=f"1 to {MAX_BATCH}")
        await self._locate([submission.task for submission in submissions])
        results = await asyncio.gather(
            *(self.submit(labeler, submission) for submission in submissions), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, AssayError):
                raise result
        return results  # type: ignore[return-value]

    async def of(
        self, labeler: bytes, *, request: bytes | None = None, before: datetime | None = None, limit: int = 100
    ) -> list[Any]:
        """Answers of a labeler, newest first."""
        before = before or datetime.max.replace(tzinfo=UTC)
        return await self._db.fetch("answers_of_labeler", labeler, request, before, limit)

    async def get(self, answer: bytes) -> Any:
        """One answer with its task. Raises `NotFound`."""
        row = await self._db.row("answer_by_id", answer)
        if row is None:
            raise NotFound("there is no such answer", field="answer")
        return row

    # -- on the way ---------------------------------------------------------------------------------------------------

    async def _locate(self, tasks: Sequence[bytes]) -> None:
        unknown = [task for task in tasks if task not in self._tasks]
        if not unknown:
            return
        if len(self._tasks) > TASKS_KNOWN:
            self._tasks.clear()
        for row in await self._db.fetch("tasks_by_ids", unknown):
            self._tasks[row["id"]] = (row["request"], row["index"])

    def learn(self, task: bytes, *, request: bytes, index: int) -> None:
        """Remembers where a task that was just handed out belongs, so that its answer needs no look-up."""
        if len(self._tasks) > TASKS_KNOWN:
            self._tasks.clear()
        self._tasks[task] = (request, index)

    async def _check(self, labeler: bytes, submission: Submission) -> _Row:
        task = submission.task
        if task not in self._tasks:
            await self._locate([task])
        if task not in self._tasks:
            raise NotFound("there is no such task", field="task")
        request, _index = self._tasks[task]
        info = await self._market.requests.info(request)
        if info.domain is None:
            raise NotFound("there is no such task", field="task")
        spec = await self._market.requests.spec(request)
        with field("content"):
            content = spec.answer(submission.content)
        data = canonical.dumps(content)
        if len(data) > MAX_BYTES:
            raise FieldError("content", f"has {len(data)} bytes", hint=f"at most {MAX_BYTES}")
        digest = canonical.digest(content)
        message = messages.answer(domain=info.domain, task=task, labeler=labeler, content_hash=digest)
        messages.verify(submission.signature, key=labeler, message=message)
        return _Row(
            id=messages.answer_id(domain=info.domain, task=task, labeler=labeler, content_hash=digest),
            task=task,
            request=request,
            labeler=labeler,
            content=content,
            data=data,
            content_hash=digest,
            signature=submission.signature,
            done=asyncio.get_running_loop().create_future(),
        )

    async def _write(self) -> None:
        while True:
            rows = [await self._queue.get()]
            while len(rows) < GROUP and not self._queue.empty():
                rows.append(self._queue.get_nowait())
            try:
                await self._record(rows)
            except AssayError as error:
                _fail(rows, error)
            except Exception:
                log.exception("answers not recorded", answers=len(rows))
                _fail(rows, Unavailable("the answer could not be recorded", retry_after=1))
            finally:
                for _ in rows:
                    self._queue.task_done()

    async def _record(self, rows: list[_Row]) -> None:
        # The content is in the store before the answer is on record: an answer's CID can always be followed.
        cids = await self._store([row.data for row in rows])
        for attempt in range(RETRIES):
            try:
                outcomes = await self._db.fetch(
                    "answers_submit",
                    [row.id for row in rows],
                    [row.task for row in rows],
                    [row.labeler for row in rows],
                    [row.content for row in rows],
                    [row.content_hash for row in rows],
                    list(cids),
                    [row.signature for row in rows],
                )
                break
            except (asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError):
                await asyncio.sleep(0.005 * (attempt + 1))
        else:
            raise Unavailable("the tasks are contended", retry_after=0.1)
        fresh: set[bytes] = set()
        for row, outcome in zip(rows, outcomes, strict=True):
            _settle(row, outcome)
            if outcome["outcome"] == "new":
                fresh.add(row.request)
        for request in fresh:
            self._market.answered.send(request)
            self._market.changed.send(request)

    async def _store(self, contents: Sequence[bytes]) -> list[str]:
        """Keeps `contents`; their CIDs. Many answers are alike: what was stored lately is not stored again."""
        cids = [content_id(data) for data in contents]
        fresh = {cid: data for cid, data in zip(cids, contents, strict=True) if cid not in self._stored}
        if fresh:
            # The database has it too, so the store need not wait for the disk.
            await asyncio.gather(*(self._market.store.put(data, durable=False) for data in fresh.values()))
            if len(self._stored) > STORED_KNOWN:
                self._stored.clear()
            self._stored.update(fresh)
        return cids


def _settle(row: _Row, outcome: Any) -> None:
    if row.done.done():
        return
    match outcome["outcome"]:
        case "new" | "again" as kind:
            row.done.set_result(Taken(outcome["answer"], row.task, outcome["state"], kind == "again"))
        case "other":
            row.done.set_exception(
                AlreadyDone(
                    "this wallet has answered this task otherwise", field="content", hint="the first answer stands"
                )
            )
        case "ended":
            row.done.set_exception(Gone("the task or its request has ended", field="task"))
        case _:
            row.done.set_exception(
                LeaseLost("this wallet holds no lease of this task", field="task", hint="POST /v1/claims gives one")
            )


def _fail(rows: Sequence[_Row], error: AssayError) -> None:
    for row in rows:
        if not row.done.done():
            row.done.set_exception(error)
