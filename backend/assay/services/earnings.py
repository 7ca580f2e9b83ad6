"""What a wallet has earned: paid, due, possible, and owed on chain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from assay.domain import messages, money

if TYPE_CHECKING:
    from assay.services.market import Market


@dataclass(slots=True)
class Balance:
    """Of one mint, base units. `paid`: settled in payments; `due`: accepted, its batch not settled yet (premiums not
    counted); `possible`: if all undecided answers were accepted; `owed`: settled, yet undeliverable until claimed."""

    mint: str
    decimals: int
    paid: int = 0
    due: int = 0
    possible: int = 0
    owed: int = 0

    def tokens(self, amount: int) -> str:
        """`amount` as a decimal string."""
        return money.format(amount, self.decimals)


class Earnings:
    """Reads payments and answers."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db

    async def of(self, wallet: bytes) -> list[Balance]:
        """Balances of `wallet`, one for each of the market's mints."""
        terms = await self._market.terms.market()
        balances = [
            Balance(messages.b58(bytes(terms.mints[i].mint)), int(terms.mints[i].decimals))
            for i in range(terms.mint_count)
        ]
        for row in await self._db.fetch("earnings_settled", wallet):
            balances[row["mint_index"]].paid = row["amount"]
        for row in await self._db.fetch("earnings_pending", wallet):
            balances[row["mint_index"]].due = row["due"]
            balances[row["mint_index"]].possible = row["possible"]
        participant = await self._market.participants.find(wallet, fresh=True)
        if participant is not None:
            for balance, owed in zip(balances, participant.owed, strict=False):
                balance.owed = owed
        return balances

    async def counts(self, wallet: bytes) -> dict[str, int]:
        """Answers of a labeler: all, accepted, unpaid (of these, right and not paid), rejected."""
        row = await self._db.row("answer_counts", wallet)
        return {} if row is None else dict(row)

    async def payments(self, wallet: bytes, *, before: datetime | None = None, limit: int = 100) -> list[Any]:
        """Payments to `wallet`, newest first, each with its transaction."""
        return await self._db.fetch("payments_of", wallet, before or datetime.max.replace(tzinfo=UTC), limit)
