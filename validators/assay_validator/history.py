"""Earlier batches of a request, for specifications that learn from them.

What this worker signed it knows; what it missed it reads from the published log, and believes a line only if it
recomputes to the line's digest and a quorum of a panel that the chain showed has signed that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from assay.domain import batch as batches
from assay.domain import messages, votelog
from assay.domain.history import History
from assay.domain.spec import Spec
from assay.domain.work import Task
from assay.errors import AssayError
from assay_validator.checks import OnChain
from assay_validator.link import Link
from assay_validator.state import Refused, State

LOOKS, PAUSE = 30, 0.1
"""The log is written a moment after its batch has landed: how often, and how many seconds apart, it is looked at."""


class Past:
    """One request's batches so far."""

    def __init__(self, request: OnChain, spec: Spec, participant: Callable[[bytes], bytes]) -> None:
        self._request = request
        self._spec = spec
        self._participant = participant
        self._next = 0
        self._history = History(spec)
        self._signed: dict[int, tuple[Task, ...]] = {}

    def signed(self, batch: int, tasks: Sequence[Task]) -> None:
        """This worker is about to sign `tasks` as `batch`."""
        self._signed[batch] = tuple(tasks)

    async def before(self, batch: int, *, link: Link, state: State) -> History:
        """All batches before `batch`. Raises `Refused` (``history_missing``, ``history_wrong``)."""
        for _ in range(LOOKS):
            while self._next < batch and self._next in self._signed:
                self._take(self._signed.pop(self._next))
            if self._next >= batch:
                return self._history
            lines = await link.log(messages.b58(self._request.address), after=self._next + 1)
            for line in lines.splitlines(keepends=True):
                if self._next < batch:
                    self._take(self._checked(votelog.decode_batch(line), state))
            if self._next < batch:
                await asyncio.sleep(PAUSE)
        raise Refused("history_missing", f"the published log does not reach batch {batch - 1}")

    def _take(self, tasks: Sequence[Task]) -> None:
        self._history.add(tasks)
        self._next += 1

    def _checked(self, line: votelog.Line, state: State) -> tuple[Task, ...]:
        """The tasks of a line that is what a quorum signed."""
        request, spec = self._request, self._spec
        if line.batch != self._next:
            raise Refused("history_wrong", f"the log has batch {line.batch} where {self._next} should be")
        panel = state.panel(request.domain, round=line.panel_round)
        if panel is None:
            raise Refused("history_missing", f"panel {line.panel_round} of batch {line.batch} was never seen on chain")
        try:
            batches.verify(spec, domain=request.domain, tasks=line.tasks, buyer=request.buyer)
            made = batches.assemble(
                spec,
                domain=request.domain,
                tasks=line.tasks,
                participant=self._participant,
                history=self._history,
            )
            digest = made.digest(self._participant)
            message = messages.batch(
                domain=request.domain, batch=line.batch, panel_round=line.panel_round, digest=digest
            )
            batches.check_quorum(line.signatures, message=message, panel=panel, quorum_bps=request.quorum_bps)
        except AssayError as error:
            raise Refused("history_wrong", f"batch {line.batch} of the log: {error}") from error
        return line.tasks
