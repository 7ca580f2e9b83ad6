"""What this worker knows of requests: from the chain, or checked against it."""

from __future__ import annotations

from typing import Any

from solders.pubkey import Pubkey

from assay.chain.base import Chain
from assay.domain import canonical, messages
from assay.domain import spec as specs
from assay.domain.spec import Spec
from assay_validator.checks import OnChain
from assay_validator.link import Link
from assay_validator.panels import Panels
from assay_validator.state import Refused, State


class Requests:
    """Reads requests, and remembers their panels and specifications."""

    def __init__(self, chain: Chain, *, link: Link, state: State) -> None:
        self._chain = chain
        self._link = link
        self._state = state
        self._specs: dict[bytes, Spec] = {}
        self._requests: dict[bytes, OnChain] = {}
        self._addresses: dict[bytes, bytes] = {}
        self.panels = Panels(chain, state)

    async def request(self, address: bytes, *, fresh: bool = False) -> OnChain:
        """The request as the chain has it; remembers every panel it sees."""
        known = self._requests.get(address)
        if known is None or fresh:
            known, _ = await self.read(address)
        return known

    async def read(self, address: bytes) -> tuple[OnChain, Any]:
        """The request as the chain has it now, with the decoded account. Raises `Refused` where there is none."""
        account = await self._chain.account(Pubkey(address))
        if account is None or account.owner != self._chain.program.id:
            raise Refused("unknown_request", "there is no such request on this chain")
        decoded = self._chain.program.codec.decode_account(bytes(account.data), name="Request")
        known = self._requests[address] = OnChain.of(address, decoded)
        if known.panel:
            self._state.keep_panel(known.domain, round=known.panel_round, members=known.panel)
        return known, decoded

    async def panel_request(self, address: bytes, panel_round: int) -> OnChain:
        """The request, read anew where it may have another panel than we know; an earlier panel is looked up."""
        known = await self.request(address)
        if known.panel_round != panel_round:
            known = await self.request(address, fresh=True)
            if panel_round < known.panel_round and self._state.panel(known.domain, round=panel_round) is None:
                await self.panels.learn(
                    known, enough=lambda _: self._state.panel(known.domain, round=panel_round) is not None
                )
        return known

    async def specification(self, request: OnChain) -> Spec:
        """The specification, checked against the hash on chain."""
        known = self._specs.get(request.spec_hash)
        if known is None:
            data = await self._link.specification(messages.b58(request.address))
            known = specs.parse(canonical.loads(data))
            if known.hash != request.spec_hash:
                raise Refused("wrong_specification", "it is not what the chain has the hash of")
            self._specs[request.spec_hash] = known
        return known

    def participant(self, wallet: bytes) -> bytes:
        """The address of a wallet's Participant account."""
        found = self._addresses.get(wallet)
        if found is None:
            seeds = [b"participant", wallet]
            found = bytes(Pubkey.find_program_address(seeds, self._chain.program.id)[0])
            self._addresses[wallet] = found
        return found
