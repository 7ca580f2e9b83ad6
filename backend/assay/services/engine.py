"""From answer to payment: supervises the loops that judge, settle, index and publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assay.services.hub import Hub

if TYPE_CHECKING:
    from assay.services.market import Market


class Engine:
    """`Engine(market)`; `start()` and `stop()`; `market.engine` is set to it. Restartable at any point."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.hub = Hub()
        self.running = False

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def proposals(self, wallet: bytes) -> list[dict[str, Any]]: ...
