"""Panels that this worker never saw in office: read from the chain's record of their drawing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import cast

import structlog
from solders.pubkey import Pubkey

from assay.chain.base import Chain, Landed
from assay_validator import checks
from assay_validator.checks import OnChain
from assay_validator.state import State

log = structlog.get_logger(__name__)


class Panels:
    """Looks earlier panels up, newest first, and keeps them in `state`."""

    def __init__(self, chain: Chain, state: State) -> None:
        self._chain = chain
        self._state = state
        self._searched: set[bytes] = set()

    async def learn(self, request: OnChain, *, enough: Callable[[Sequence[tuple[bytes, ...]]], bool]) -> None:
        """Reads the request's transactions back until `enough(panels known)`, or until all rounds are known.

        A record is read through to its beginning once at most: where it lacks a round it will not have it later.
        """
        missing = {
            round for round in range(1, request.panel_round) if self._state.panel(request.domain, round=round) is None
        }
        if not missing or request.domain in self._searched:
            return
        transactions = cast(AsyncGenerator[Landed, None], self._chain.history(Pubkey(request.address)))
        async with aclosing(transactions):
            async for landed in transactions:
                for event in landed.receipt.events:
                    if event.name != "PanelDrawn" or bytes(event.data.request) != request.address:
                        continue
                    members = [bytes(member) for member in event.data.panel]
                    self._state.keep_panel(request.domain, round=event.data.round, members=members)
                    missing.discard(event.data.round)
                    log.info("earlier panel found", request=str(Pubkey(request.address)), round=event.data.round)
                    if not missing or enough(checks.panels(request, self._state)):
                        return
        self._searched.add(request.domain)
