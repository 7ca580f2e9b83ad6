"""What the rules make of this validator, told in its own log, and of nobody else. Worked out from chain and vote log;
the scores alone are the market's word, which knows when everybody was judged.
"""

from __future__ import annotations

from typing import Any

import structlog
from solders.pubkey import Pubkey

from assay.chain.addresses import Addresses
from assay.chain.base import Chain
from assay.domain import strikes
from assay.domain.messages import b58
from assay.domain.standing import Register
from assay_validator.link import Link

log = structlog.get_logger(__name__)


class Standing:
    """One validator's; says a thing again only when it has changed."""

    def __init__(self, wallet: bytes) -> None:
        self._wallet = wallet
        self._weights: dict[bytes, int] = {}
        self._judged: tuple[int, int] | None = None
        self._scores: list[dict[str, Any]] = []
        self._slashes: int | None = None

    def weigh(self, request: bytes, register: Register) -> None:
        """Logs what its share of a request's fees goes by, and why, when that is another than before."""
        weight = register.weight(self._wallet)
        if self._weights.get(request) == weight:
            return
        self._weights[request] = weight
        log.info(
            "standing",
            request=b58(request),
            weight=weight,
            group_size=register.group_size(self._wallet),
            why=register.explain(self._wallet),
        )

    async def judged(self, chain: Chain) -> None:
        """Logs its strikes since the last slash, from where on the program's rule convicts, and a slash that is new."""
        addresses = Addresses(chain.program.id)
        found = await chain.accounts([addresses.participant(Pubkey(self._wallet)), addresses.market])
        person, market = (
            None if account is None else chain.program.codec.decode_account(bytes(account.data), name=name)
            for account, name in zip(found, ("Participant", "Market"), strict=True)
        )
        if person is None or market is None:
            log.warning("not registered on this chain", wallet=b58(self._wallet))
            return
        if person.slashes != (self._slashes or 0):
            log.warning(
                "slashed",
                times=person.slashes,
                taken=person.slashed_total,
                stake=person.stake,
                needed=market.params.min_validator_stake,
                why="`assay standing` names each slash with its figures; strikes count anew from 0",
            )
        self._slashes = person.slashes
        if self._judged == (person.strikes, person.judgements):
            return
        self._judged = (person.strikes, person.judgements)
        rate = market.params.error_rate
        log.info(
            "standing",
            strikes=person.strikes,
            judgements=person.judgements,
            convicts_at=strikes.least_strikes(person.judgements, error_rate=rate),
            why=strikes.explain(person.strikes, person.judgements, error_rate=rate),
        )

    async def scored(self, link: Link) -> None:
        """Logs its score by kind of task, by lifetime counters and by what still counts, as the market has it."""
        scores = (await link.participant(b58(self._wallet)))["scores"]
        for one in scores:
            if one not in self._scores:
                log.info(
                    "standing",
                    kind=one["kind"],
                    score=one["score"],
                    current_score=one["current_score"],
                    why=f"{one['text']} {one['current_text']}",
                )
        self._scores = scores
