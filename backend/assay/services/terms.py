"""The market's terms as the chain has them: parameters, mints, market time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from solders.pubkey import Pubkey

from assay.domain import messages
from assay.domain.keeping import market_time
from assay.errors import FieldError, Unavailable

if TYPE_CHECKING:
    from assay.services.market import Market

BELIEVED = 2.0  # seconds


class Terms:
    """Reads the Market account, and believes it for two seconds."""

    def __init__(self, market: Market) -> None:
        self._chain = market.chain
        self._market: tuple[float, Any] | None = None

    @property
    def program_id(self) -> Pubkey:
        """The program."""
        return self._chain.program.id

    def pda(self, *seeds: bytes) -> Pubkey:
        """An address of the program (docs/protocol.md, Addresses)."""
        return Pubkey.find_program_address(list(seeds), self.program_id)[0]

    async def market(self, *, fresh: bool = False) -> Any:
        """The decoded Market account. Raises `Unavailable` where the market is not initialized."""
        now = time.monotonic()
        if fresh or self._market is None or self._market[0] < now:
            account = await self._chain.account(self.pda(b"market"))
            if account is None:
                raise Unavailable("this cluster has no market yet", hint="initialize_market creates it")
            decoded = self._chain.program.codec.decode_account(bytes(account.data), name="Market")
            self._market = (now + BELIEVED, decoded)
        return self._market[1]

    async def now(self) -> int:
        """Market time in seconds: the chain's clock without the market's pauses (docs/protocol.md, Time)."""
        market = await self.market()
        wall = (await self._chain.clock()).unix_timestamp
        return market_time(market, wall)

    async def mint(self, index: int) -> Any:
        """Entry `index` of the market's mints. Raises `FieldError`."""
        market = await self.market()
        if not 0 <= index < market.mint_count:
            raise FieldError("mint", f"there is no mint {index}", hint=f"0 to {market.mint_count - 1}")
        return market.mints[index]

    async def mint_index(self, text: str | None, *, disabled: bool = False) -> int:
        """Index of the mint at a base58 address; 0, the market's first, for None. Raises `FieldError`.

        `disabled`: one that takes no new requests will do, as for money that was earned in it.
        """
        if text is None:
            return 0
        market = await self.market()
        wanted = messages.unb58(text, field="mint")
        for index in range(market.mint_count):
            if bytes(market.mints[index].mint) == wanted:
                if not (disabled or market.mints[index].enabled):
                    raise FieldError("mint", "takes no new requests")
                return index
        known = ", ".join(messages.b58(bytes(market.mints[i].mint)) for i in range(market.mint_count))
        raise FieldError("mint", "is not allowed in this market", hint=f"one of {known}")

    async def decimals(self, index: int = 0) -> int:
        """Decimals of mint `index`."""
        return int((await self.mint(index)).decimals)
