"""A dispute as the market drives it, for tests: opened by its labeler, followed on chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from solders.pubkey import Pubkey

from assay.domain import messages
from assay.domain.dispute import Dispute as State

UNIT = 10**6


class Dispute:
    """The dispute of the first rejection in batch 0 of a request. Workers with the judge `truth:patient` vote on it
    once `decide` says how.
    """

    def __init__(self, market: Any, labeler: Any, address: str) -> None:
        self.market = market
        self.labeler = labeler
        self.request = messages.unb58(address)
        self.answer = ""
        self.address = Pubkey.default()

    async def open(self) -> None:
        """Through the labeler's client."""
        answers = await self.labeler.answers(request=messages.b58(self.request))
        self.answer = min(one["answer"] for one in answers if one["verdict"] is False and one["batch"] == 0)
        self.address = Pubkey.from_string((await self.labeler.dispute(self.answer))["dispute"])

    async def state(self) -> State:
        """As the chain has it."""
        account = await self.market.market.rejections.account(self.address)
        return State.of(account, await self.market.market.requests.account(self.request))

    async def until(self, what: str, ready: Callable[[State], bool]) -> State:
        """Waits until the dispute on chain is as `ready` wants it."""

        async def done() -> bool:
            return ready(await self.state())

        await self.market.until(done, what=f"dispute {what}")
        return await self.state()

    def decide(self, *, uphold: bool) -> None:
        """Lets its panel vote."""
        (self.market.home / "gate").write_text("uphold" if uphold else "dismiss")

    async def uphold(self) -> None:
        """Has its panel vote for the labeler, and waits for the end."""
        self.decide(uphold=True)
        await self.until("upheld", lambda one: one.state == 1)

    async def correct(self) -> None:
        """Waits until the votes behind the rejection are set right."""
        await self.until("corrected", lambda one: one.corrected)


async def rejected(market: Any, *, items: int, wrong: int) -> tuple[Any, Any, str, Dispute]:
    """A request by review with rejected answers; buyer, another labeler, its address, the dispute of the first."""
    await market.start_workers(judge="truth:patient")
    buyer = await market.client("buyer")
    first, second = [await market.client("labeler", stake="100") for _ in range(2)]
    address = await market.post(buyer, mode="review", items=items)
    await market.label(first, address, ["dog"] * wrong)  # the judge takes only cats
    await market.until_settled(buyer, address, wrong)
    return buyer, second, address, Dispute(market, first, address)
