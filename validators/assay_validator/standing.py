"""What the rules make of this validator, told in its own log. Worked out from chain and vote log, not heard from the
market, and of nobody else.
"""

from __future__ import annotations

import structlog
from solders.pubkey import Pubkey

from assay.chain.addresses import Addresses
from assay.chain.base import Chain
from assay.domain import strikes
from assay.domain.messages import b58
from assay.domain.standing import Register

log = structlog.get_logger(__name__)


class Standing:
    """One validator's; says a thing again only when it has changed."""

    def __init__(self, wallet: bytes) -> None:
        self._wallet = wallet
        self._weights: dict[bytes, int] = {}
        self._judged: tuple[int, int] | None = None

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
        """Logs its strikes since the last slash, and from where on the program's rule convicts."""
        addresses = Addresses(chain.program.id)
        found = await chain.accounts([addresses.participant(Pubkey(self._wallet)), addresses.market])
        person, market = (
            None if account is None else chain.program.codec.decode_account(bytes(account.data), name=name)
            for account, name in zip(found, ("Participant", "Market"), strict=True)
        )
        if person is None or market is None:
            log.warning("not registered on this chain", wallet=b58(self._wallet))
            return
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
