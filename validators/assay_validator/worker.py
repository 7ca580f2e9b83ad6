"""The worker: one live connection, one keypair, and a durable record of everything it has bound itself to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import structlog
from solders.keypair import Keypair

from assay.chain.base import Chain
from assay.domain import canonical, messages
from assay.errors import AssayError
from assay_validator import checks, disputes
from assay_validator.checks import OnChain
from assay_validator.judge import Judge, Work, judged
from assay_validator.link import Link, Rejected
from assay_validator.metrics import Metrics
from assay_validator.requests import Requests
from assay_validator.signing import Signing
from assay_validator.standing import Standing
from assay_validator.state import Refused, State, Vote

log = structlog.get_logger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.1, 15.0
"""Seconds between attempts to connect; doubled each time, with jitter."""
JUDGEMENTS = 16
"""Judgements at a time."""
LOST = (ConnectionError, aiohttp.ClientError, AssayError, TimeoutError, OSError)


class Worker:
    """Votes, recomputes, co-signs. `run()` lasts until cancelled; everything it does can be repeated."""

    def __init__(
        self, key: Keypair, *, link: Link, chain: Chain, state: State, judge: Judge, metrics: Metrics | None = None
    ) -> None:
        self.key = key
        self.wallet = bytes(key.pubkey())
        self._link = link
        self._chain = chain
        self._state = state
        self._judge = judge
        self._metrics = metrics or Metrics()
        self._standing = Standing(self.wallet)
        self._requests = Requests(chain, link=link, state=state)
        self._signing = Signing(
            self.wallet, link=link, chain=chain, state=state, requests=self._requests, standing=self._standing
        )
        self._busy: dict[tuple[Any, ...], asyncio.Task[None]] = {}
        self._judging = asyncio.Semaphore(JUDGEMENTS)
        self._deciding = asyncio.Semaphore(JUDGEMENTS)  # disputes have hours: those under way keep no vote waiting

    async def run(self) -> None:
        """Connect, work, connect again, until cancelled."""
        wait = FIRST_WAIT
        await self._link.open()
        try:
            while True:
                try:
                    async with self._link.connected() as incoming:
                        async for message in incoming:
                            wait = FIRST_WAIT
                            self._take(message)
                    log.info("disconnected")
                except LOST as error:
                    log.warning("connection failed", error=str(error) or type(error).__name__, wait=round(wait, 2))
                self._metrics.connected(False)
                await asyncio.sleep(wait * random.uniform(0.5, 1))
                wait = min(2 * wait, LONGEST_WAIT)
        finally:
            for task in list(self._busy.values()):
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)
            await self._link.close()

    def _take(self, message: dict[str, Any]) -> None:
        """Start on a message, unless the same is being worked on already."""
        kind = str(message.get("type"))
        if kind == "ready":
            log.info("connected", wallet=message.get("wallet"))
            self._metrics.connected(True)
            kind, message = "ready", {}
        handlers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "work": self._vote,
            "openings": self._reveal,
            "dispute": self._decide,
            "proposal": self._sign,
            "ready": self._begin,
            "standing": self._judged,
        }
        if kind not in handlers:
            return
        names = {"proposal": ("batch", "panel_round", "request"), "dispute": ("dispute", "panel_round")}
        key = (kind, *(message.get(name) for name in names.get(kind, ("answer", "round", "request"))))
        if key in self._busy:
            return
        task = asyncio.create_task(self._handle(kind, handlers[kind], message))
        self._busy[key] = task
        task.add_done_callback(lambda _: self._busy.pop(key, None))

    async def _handle(self, kind: str, handler: Callable[[dict[str, Any]], Any], message: dict[str, Any]) -> None:
        try:
            with self._metrics.timed(kind):
                await handler(message)
        except Refused as refused:
            self._metrics.refused(refused.code)
            log.warning("refused", what=kind, code=refused.code, detail=refused.detail, request=message.get("request"))
        except Rejected as error:
            log.warning("not taken", what=kind, code=error.code, detail=str(error))
        except LOST as error:
            log.warning("failed", what=kind, error=str(error) or type(error).__name__)
        except (KeyError, TypeError, ValueError) as error:
            log.warning("malformed message", what=kind, error=f"{type(error).__name__}: {error}")
        except Exception:
            log.exception("judge or worker failed", what=kind)

    async def _begin(self, _: dict[str, Any]) -> None:
        """At each connection: how this validator stands, and room for what is to come."""
        await self._standing.judged(self._chain)
        await self._standing.scored(self._link)
        await self._signing.tidy()

    async def _judged(self, _: dict[str, Any]) -> None:
        """Something changed this validator's account: what that means is read from the chain."""
        await self._standing.judged(self._chain)

    # -- votes --------------------------------------------------------------------------------------------------------

    async def _vote(self, message: dict[str, Any]) -> None:
        """Judge an answer and commit to the vote; the same vote again where it was given before."""
        address = messages.unb58(message["request"], field="request")
        request = await self._requests.panel_request(address, message["panel_round"])
        members = [messages.unb58(member, field="panel") for member in message["panel"]]
        checks.panel(request, voter=self.wallet, panel_round=message["panel_round"], members=members, state=self._state)
        answer, round = messages.unhex(message["answer"], field="answer"), int(message["round"])
        vote = self._state.vote(request.domain, answer, round=round)
        if vote is None:
            work = await self._work(request, message, answer, round)
            async with self._judging:
                accept = await judged(self._judge, work, until=float(message["commit_until"]))
            salt = os.urandom(32)
            commitment = messages.commitment(
                domain=request.domain, answer=answer, round=round, voter=self.wallet, vote=int(accept), salt=salt
            )
            vote = self._state.keep_vote(
                request.domain,
                answer,
                round=round,
                vote=Vote(int(accept), salt, commitment, float(message["commit_until"])),
            )
        signed = messages.commit(
            domain=request.domain, answer=answer, round=round, voter=self.wallet, commitment=vote.commitment
        )
        await self._link.send(
            {
                "type": "commit",
                "answer": answer.hex(),
                "round": round,
                "commitment": vote.commitment.hex(),
                "signature": messages.sign(self.key, signed).hex(),
            }
        )
        self._metrics.voted(bool(vote.vote))
        log.debug("committed", answer=answer.hex(), round=round)

    async def _work(self, request: OnChain, message: dict[str, Any], answer: bytes, round: int) -> Work:
        """What the judge gets: everything in it follows from the chain's hash and the labeler's signature."""
        spec = await self._requests.specification(request)
        index = int(message["index"])
        if not 0 <= index < len(spec.items):
            raise Refused("unknown_task", f"the specification has no item {index}")
        item = spec.items[index]
        task = messages.task_id(domain=request.domain, index=index, cid=item.cid)
        labeler = messages.unb58(message["labeler"], field="labeler")
        content_hash = canonical.digest(message["content"])
        signed = messages.answer(domain=request.domain, task=task, labeler=labeler, content_hash=content_hash)
        messages.verify(bytes.fromhex(message["signature"]), key=labeler, message=signed)
        if messages.answer_id(domain=request.domain, task=task, labeler=labeler, content_hash=content_hash) != answer:
            raise Refused("wrong_answer", "the content is not that of this answer")
        if labeler in (self.wallet, request.buyer) or request.buyer == self.wallet:
            raise Refused("own_work", "nobody judges oneself")

        async def item_bytes() -> bytes:
            return await self._link.content(item.cid)

        return Work(
            request=message["request"],
            answer_id=answer,
            task_id=task,
            index=index,
            round=round,
            spec=spec,
            item={"cid": item.cid, "media_type": item.media_type},
            content=message["content"],
            item_bytes=item_bytes,
        )

    async def _reveal(self, message: dict[str, Any]) -> None:
        """Open our commitment, once nobody can commit any more."""
        request = await self._requests.panel_request(
            messages.unb58(message["request"], field="request"), message["panel_round"]
        )
        members = [messages.unb58(member, field="panel") for member in message["panel"]]
        checks.panel(request, voter=self.wallet, panel_round=message["panel_round"], members=members, state=self._state)
        answer, round = messages.unhex(message["answer"], field="answer"), int(message["round"])
        vote = self._state.vote(request.domain, answer, round=round)
        if vote is None:
            raise Refused("no_vote", "there is no vote of ours to open")
        shown = checks.openings(
            message,
            voter=self.wallet,
            domain=request.domain,
            commitment=vote.commitment,
            until=vote.until,
            now=datetime.now(UTC),
            quorum_bps=request.quorum_bps,
        )
        self._state.keep_shown(request.domain, answer, round=round, commits=shown)
        await self._link.send(
            {
                "type": "reveal",
                "answer": answer.hex(),
                "round": round,
                "vote": vote.vote,
                "salt": vote.salt.hex(),
            }
        )
        self._state.mark_revealed(request.domain, answer, round=round)
        log.debug("revealed", answer=answer.hex(), round=round)

    async def _decide(self, message: dict[str, Any]) -> None:
        """Judge a disputed answer anew and sign the vote; the same vote again where it was given before."""
        seat = await disputes.seat(message, wallet=self.wallet, chain=self._chain, requests=self._requests)
        domain, round = seat.request.domain, seat.dispute.round
        upheld = self._state.dispute_vote(domain, seat.address, round=round)
        if upheld is None:
            work = replace(await self._work(seat.request, message, seat.answer, round), disputed=True)
            labeler = messages.unb58(message["labeler"], field="labeler")
            participant = self._requests.participant(labeler)
            disputes.proven(seat, message, task=work.task_id, labeler=labeler, participant=participant)
            async with self._deciding:
                accept = await judged(self._judge, work, until=float(message["vote_until"]))
            upheld = self._state.keep_dispute_vote(domain, seat.address, round=round, upheld=accept)
        await self._link.send(
            {
                "type": "dispute_vote",
                "dispute": messages.b58(seat.address),
                "panel_round": round,
                "outcome": 1 if upheld else 2,
                "signature": messages.sign(self.key, seat.message(upheld=upheld)).hex(),
            }
        )
        self._metrics.decided(upheld)
        log.info("dispute voted", dispute=messages.b58(seat.address), round=round, upheld=upheld)

    # -- settlement ---------------------------------------------------------------------------------------------------

    async def _sign(self, message: dict[str, Any]) -> None:
        """Recompute a batch; sign it if it is right, say why if it is not."""
        where = {name: message[name] for name in ("request", "batch", "panel_round")}
        try:
            found = await self._signing.signable(message)
        except Refused as refused:
            with contextlib.suppress(Rejected):
                reply = {"type": "refuse", **where, "reason": refused.code, "detail": refused.detail[:2000]}
                await self._link.send(reply)
            raise
        signature = messages.sign(self.key, found.message)
        digest = found.content.digest
        await self._link.send({"type": "sign", **where, "digest": digest.hex(), "signature": signature.hex()})
        self._metrics.signed()
        log.info("signed", **where, answers=len(found.content.answers))
