"""Verdicts by review: rounds opened for the panel, closed when all have voted or their time is over.

Verdicts by agreement need no rounds: they are made when a batch is put together (`proposals`), from all answers to
a task.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from assay.db.pool import Session
from assay.domain import canonical, entries, messages, tally, verdict
from assay.domain.similarity import agrees
from assay.domain.spec import Spec
from assay.domain.work import Vote
from assay.errors import AccountMissing, AssayError, ChainError
from assay.services import votes
from assay.services.hub import Hub
from assay.services.panels import Panels, View

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)

ROUNDS = 500
"""Rounds of a request opened at once."""
LAST_ROUND = 255


class Verdicts:
    """The rounds of requests by review."""

    def __init__(self, market: Market, *, hub: Hub, panels: Panels) -> None:
        self._market = market
        self._db = market.db
        self._hub = hub
        self._panels = panels

    # -- opening ------------------------------------------------------------------------------------------------------

    async def open_rounds(self) -> int:
        """Opens a round for every answer that waits for one and whose request has a panel; how many."""
        by_request: dict[bytes, list[Any]] = {}
        for row in await self._db.fetch("review_waiting", ROUNDS):
            by_request.setdefault(row["request"], []).append(row)
        opened = 0
        for request, rows in by_request.items():
            try:
                opened += await self._open(request, rows)
            except AssayError as error:
                log.warning("rounds not opened", request=messages.b58(request), error=str(error))
        return opened

    async def _open(self, request: bytes, rows: Iterable[Any]) -> int:
        view = await self._panels.view(request)
        if not view.panel:
            view = await self._panels.draw(request)
        if not view.panel:
            return 0
        ready = []
        for row in rows:
            failed = row["failed_panel"]
            if row["round"] > LAST_ROUND:
                continue
            if failed is not None and failed == view.panel_round:
                view = await self._after_failure(view)
                if failed == view.panel_round and not self._enough_connected(view):
                    continue
            ready.append((row["id"], row["round"], request, view.panel_round, list(view.panel)))
        if not ready:
            return 0
        seconds = float(self._market.settings.vote_seconds)
        async with self._db.transaction() as tx:
            await tx.many("round_open", [(*one, seconds) for one in ready])
            await tx.execute("answers_judging", [one[0] for one in ready])
        for answer, *_ in ready:
            await self._push_work(answer, view.panel)
        return len(ready)

    async def _after_failure(self, view: View) -> View:
        """A panel let a round pass: another one as soon as the chain allows it."""
        return await self._panels.draw(view.address) if await self._panels.due(view.address) else view

    def _enough_connected(self, view: View) -> bool:
        return sum(self._hub.connected(member) for member in view.panel) >= view.quorum

    async def _push_work(self, answer: bytes, panel: tuple[bytes, ...]) -> None:
        for member in panel:
            found = await votes.work(self._db, member, answer=answer)
            for message in found:
                self._hub.push(panel, message)
            if found:
                return

    # -- votes --------------------------------------------------------------------------------------------------------

    async def commit(self, voter: bytes, *, answer: bytes, round: int, commitment: bytes, signature: bytes) -> None:
        """Takes a commitment; see `votes.commit`."""
        step = await votes.commit(
            self._db, voter=voter, answer=answer, round=round, commitment=commitment, signature=signature,
            reveal_seconds=self._market.settings.vote_seconds,
        )  # fmt: skip
        if step.all_committed:
            await self._push_openings(answer, round)

    async def reveal(self, voter: bytes, *, answer: bytes, round: int, vote: int, salt: bytes) -> bytes | None:
        """Takes a reveal; see `votes.reveal`. The request's address when that made the verdict."""
        step = await votes.reveal(self._db, voter=voter, answer=answer, round=round, vote=vote, salt=salt)
        return await self._decide(answer, round) if step.all_revealed else None

    async def _push_openings(self, answer: bytes, round: int) -> None:
        for vote in await self._db.fetch("votes_of_round", answer, round):
            for message in await votes.openings(self._db, vote["voter"], answer=answer):
                self._hub.push([vote["voter"]], message)

    # -- closing ------------------------------------------------------------------------------------------------------

    async def close_overdue(self) -> list[bytes]:
        """Closes what is over: commits that are enough are opened, reveals that are enough decide, the rest fails.

        Requests that got verdicts.
        """
        decided = []
        for row in await self._db.fetch("rounds_overdue"):
            answer, round = row["answer"], row["round"]
            try:
                request = await self._close(answer, round)
            except AccountMissing:  # its request is gone from the chain: nothing of it is judged any more
                await self._db.execute("round_failed", answer, round)
            except ChainError as error:  # those of other requests must not wait for it
                log.warning("round not closed", answer=answer.hex(), round=round, error=str(error))
            else:
                if request is not None:
                    decided.append(request)
        return decided

    async def _close(self, answer: bytes, round: int) -> bytes | None:
        """Takes a round that is over a step on; its request's address if that made a verdict."""
        state = await self._db.row("round_state", answer, round)
        if state is None:
            return None
        if state["state"] != "commit":
            return await self._decide(answer, round)
        if state["commits"] >= await self._needed(state):
            await self._db.execute("round_close_commits", answer, round, float(self._market.settings.vote_seconds))
            await self._push_openings(answer, round)
        else:
            await self._db.execute("round_failed", answer, round)
            log.warning("round failed", answer=answer.hex(), round=round, commits=state["commits"])
        return None

    async def _needed(self, row: Any) -> int:
        """Votes that make a verdict: as many as signatures make a quorum."""
        view = await self._panels.view(row["request"])
        return tally.quorum(len(row["panel"]), view.account.terms.params.quorum_bps)

    async def _decide(self, answer: bytes, round: int) -> bytes | None:
        """The verdict of the revealed votes, once; the request's address if it was made now."""
        async with self._db.transaction() as tx:
            row = await tx.row("round_lock", answer, round)
            if row is None or row["state"] != "reveal":
                return None
            revealed = [one for one in await tx.fetch("votes_of_round", answer, round) if one["vote"] is not None]
            if len(revealed) < await self._needed(row):
                await tx.execute("round_failed", answer, round)
                log.warning("round failed", answer=answer.hex(), round=round, reveals=len(revealed))
                return None
            rejected = not await self._record(tx, row, revealed)
            await tx.execute("round_decided", answer, round)
        request: bytes = row["request"]
        if rejected:
            await self._market.funding.again(request)
        self._market.changed.send(request)
        return request

    async def _record(self, tx: Session, row: Any, revealed: list[Any]) -> bool:
        """Writes the verdict: the answer's, and where it is accepted its task's label. Whether it is accepted."""
        answer = await tx.row("answer_by_id", row["answer"])
        assert answer is not None  # its rounds would have gone with it
        task = (await tx.fetch("task_gold", answer["task"]))[0]
        spec = await self._market.requests.spec(row["request"])
        known = _matches(spec, answer["content"], task["gold"]) if task["gold"] is not None else None
        cast = [Vote(one["voter"], row["round"], int(one["vote"]), one["salt"], one["signature"]) for one in revealed]
        found = verdict.review(cast, gold=known)
        evidence = entries.review_evidence((vote.voter, vote.vote, vote.salt) for vote in cast)
        decided_at = max((one["revealed_at"] for one in revealed), default=datetime.now(UTC))
        await tx.execute(
            "verdict_review", row["answer"], bool(found.verdict), found.confidence, evidence, row["round"], decided_at
        )
        if found.verdict:
            label = {"value": verdict.value_of(answer["content"])}
            await tx.execute(
                "task_accepted", answer["task"], label, canonical.digest(label), found.confidence, decided_at
            )
        else:
            await tx.execute("task_rejected", answer["task"])
        return bool(found.verdict)


def _matches(spec: Spec, content: Any, gold: Any) -> bool:
    """Whether an answer agrees with its task's known label."""
    return agrees(spec.kind, spec.schema, verdict.value_of(content), verdict.value_of(gold["label"]))
