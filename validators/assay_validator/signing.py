"""From a proposal to what may be signed of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import structlog
from solders.pubkey import Pubkey

from assay.chain.base import Chain
from assay.domain import messages, quorum, votelog
from assay.domain.history import History
from assay.domain.spec import Spec
from assay.errors import FieldError
from assay_validator import checks, counters
from assay_validator.checks import OnChain, Signable
from assay_validator.history import Past
from assay_validator.link import Link
from assay_validator.requests import Requests
from assay_validator.standing import Standing
from assay_validator.state import Refused, State

log = structlog.get_logger(__name__)

CLOSED = 2


def _learn(message: dict[str, Any], spec: Spec, history: History) -> None:
    """Learns what a proposal is judged and paid by, and what its tasks grew by: it is there already, as a rule."""
    history.ready()
    if spec.more is not None:
        with contextlib.suppress(FieldError, KeyError):
            for task in votelog.decode_tasks(message["tasks"]):
                for _, point in task.later:
                    history.model_at(point)


class Signing:
    """Checks one validator's proposals, request by request."""

    def __init__(
        self, wallet: bytes, *, link: Link, chain: Chain, state: State, requests: Requests, standing: Standing
    ) -> None:
        self._wallet = wallet
        self._link = link
        self._chain = chain
        self._state = state
        self._requests = requests
        self._standing = standing
        self._past: dict[bytes, Past] = {}

    async def signable(self, message: dict[str, Any]) -> Signable:
        """A proposal that is right, given all that the chain settled before it; that it will be signed is on disk.

        Raises `Refused`.
        """
        address, batch = messages.unb58(message["request"], field="request"), message["batch"]
        known = await self._requests.request(address)
        spec = await self._requests.specification(known)
        past = self._past.get(address)
        if past is None:
            past = Past(known, spec, participant=self._requests.participant, state=self._state)
            self._past[address] = past
        async with past.lock:
            request = await self._requests.request(address, fresh=True)
            if batch != request.next_batch:
                if batch == request.next_batch - 1:
                    with contextlib.suppress(FieldError, KeyError):
                        past.landed(request, votelog.decode_tasks(message["tasks"]))
                raise Refused("wrong_batch", f"the chain's next batch is {request.next_batch}, not {batch}")
            history = await past.upto(request, self._link)
            if spec.learns:
                await asyncio.to_thread(_learn, message, spec, history)
                if (learn := history.prepare()) is not None:
                    asyncio.get_running_loop().run_in_executor(None, learn)
            found = await self._checked(message, request, spec, history)
            self._state.keep_signature(
                request.domain, batch=batch, round=message["panel_round"], digest=found.content.digest
            )
            past.shown(batch, found.content, found.tasks)
            return found

    async def _checked(self, message: dict[str, Any], request: OnChain, spec: Spec, history: History) -> Signable:
        """The proposal, recomputed; where votes are of panels that were never seen, the chain is asked for them."""

        def check() -> Signable:
            return checks.proposal(
                message,
                request=request,
                spec=spec,
                signer=self._wallet,
                state=self._state,
                participant=self._requests.participant,
                history=history,
            )

        try:
            found = check()
        except Refused as refused:
            if refused.code != "unknown_voters":
                raise
            tasks = votelog.decode_tasks(message["tasks"])
            await self._requests.panels.learn(request, enough=lambda known: quorum.all_known(tasks, known))
            found = check()
        if spec.weighs:
            await counters.check(
                self._chain,
                request=request,
                tasks=found.tasks,
                known=history.counters,
                participant=self._requests.participant,
            )
        if spec.mode == "review" and spec.pay == "information":
            self._standing.weigh(request.address, history.register)
        return found

    async def tidy(self) -> None:
        """Forget what was kept of requests that have ended: a closed one settles nothing more."""
        kept = self._state.settled.requests()
        accounts = await self._chain.accounts([Pubkey(address) for address, _ in kept])
        for (address, domain), account in zip(kept, accounts, strict=True):
            if account is not None and account.owner == self._chain.program.id:
                decoded = self._chain.program.codec.decode_account(bytes(account.data), name="Request")
                if decoded.state != CLOSED:
                    continue
            past = self._past.pop(address, None)
            if past is None:
                self._state.settled.discard(domain, all=True)
            else:
                async with past.lock:
                    past.forget()  # whoever still waits for it begins anew
            log.debug("ended request forgotten", request=messages.b58(address))
