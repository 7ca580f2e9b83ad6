"""Who is who: the chain's Participant accounts, read through a short-lived cache and kept as a projection."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from solders.pubkey import Pubkey

from assay.domain.messages import b58
from assay.domain.reputation import tier
from assay.domain.tally import Role
from assay.domain.work import Counters
from assay.errors import ChainUnavailable, Forbidden, NotFound

if TYPE_CHECKING:
    from assay.services.market import Market

BELIEVED = 2.0  # seconds that a stake read from the chain is believed
CACHE = 100_000
TOGETHER = 99  # wallets read in one call, beside a request
COUNTERS = (
    "accepted", "rejected", "agreed", "disagreed", "gold_passed", "gold_failed",
    "disputes_won", "disputes_lost", "judgements", "strikes", "slashes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Participant:
    """One wallet in its role. Amounts in base units; `owed` by mint index; `counters` by name; `kinds` by number."""

    wallet: bytes
    role: Role
    stake: int
    unstaking: int
    joined_at: int
    owed: tuple[int, ...]
    payout: tuple[bytes, ...]
    counters: dict[str, int] = field(repr=False)
    kinds: tuple[Counters, ...] = field(repr=False, default=((0, 0),) * 8)

    def tier(self, _kind: int | None = None) -> int:
        """Reputation tier, 0 to 3."""
        return tier(self.counters["accepted"], self.counters["rejected"])


def decode(account: Any) -> Participant:
    """A decoded Participant account."""
    return Participant(
        wallet=bytes(account.wallet),
        role=Role(account.role),
        stake=account.stake,
        unstaking=account.unstaking,
        joined_at=account.joined_at,
        owed=tuple(account.owed),
        payout=tuple(bytes(address) for address in account.payout),
        counters={name: int(getattr(account, name, 0)) for name in COUNTERS},
        kinds=tuple((one.good, one.bad) for one in account.kinds),
    )


class Participants:
    """Reads and remembers participants."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._known: dict[bytes, tuple[float, Participant]] = {}
        self._addresses: dict[bytes, Pubkey] = {}

    def address(self, wallet: bytes) -> Pubkey:
        """The wallet's Participant account."""
        found = self._addresses.get(wallet)
        if found is None:
            if len(self._addresses) >= CACHE:
                self._addresses.clear()
            found = self._addresses[wallet] = self._market.terms.pda(b"participant", wallet)
        return found

    async def find(self, wallet: bytes, *, fresh: bool = False) -> Participant | None:
        """The participant as the chain has it now, or two seconds ago unless `fresh`; None: never registered."""
        now = time.monotonic()
        known = self._known.get(wallet)
        if not fresh and known is not None and known[0] > now:
            return known[1]
        account = await self._market.chain.account(self.address(wallet))
        if account is None or not account.data:  # anybody may send SOL to an address ahead
            return None
        found = decode(self._market.chain.program.codec.decode_account(bytes(account.data), name="Participant"))
        if len(self._known) >= CACHE:
            self._known.clear()
        self._known[wallet] = (now + BELIEVED, found)
        return found

    async def judged(self, wallets: Sequence[bytes], *, kind: int, request: bytes, batch: int) -> dict[bytes, Counters]:
        """Good and bad judgements of each wallet in tasks of `kind`, as the chain has them now.

        Read together with `request`, whose next batch must be `batch`: a node that lags would give counters older than
        the request's last batch, which validators do not sign. Raises `ChainUnavailable` where it does, `NotFound` for
        a wallet that is not registered.
        """
        found = {}
        codec = self._market.chain.program.codec
        for start in range(0, len(wallets), TOGETHER):
            part = wallets[start : start + TOGETHER]
            addresses = [Pubkey(request), *(self.address(wallet) for wallet in part)]
            asked, *accounts = await self._market.chain.accounts(addresses)
            if asked is None or codec.decode_account(bytes(asked.data), name="Request").next_batch != batch:
                raise ChainUnavailable("the chain, as read, is not at this batch", retry_after=1)
            for wallet, account in zip(part, accounts, strict=True):
                if account is None or not account.data:
                    raise NotFound(f"{b58(wallet)} is not registered in the market", field="wallet")
                found[wallet] = decode(codec.decode_account(bytes(account.data), name="Participant")).kinds[kind]
        return found

    async def get(self, wallet: bytes, *, fresh: bool = False) -> Participant:
        """As `find`. Raises `NotFound`."""
        found = await self.find(wallet, fresh=fresh)
        if found is None:
            raise NotFound("this wallet is not registered in the market", field="wallet")
        return found

    async def labeler(self, wallet: bytes) -> Participant:
        """A labeler with enough stake. Raises `Forbidden` saying what is missing."""
        found = await self.find(wallet)
        if found is None:
            raise Forbidden("this wallet is not registered", hint="register it as a labeler, then stake")
        if found.role is not Role.LABELER:
            raise Forbidden(
                f"this wallet is registered as a {found.role.name.lower()}; a wallet has one role",
                hint="label with another wallet",
            )
        least = (await self._market.terms.market()).params.min_labeler_stake
        if found.stake < least:
            raise Forbidden(
                f"this wallet's stake of {found.stake} is under the least a labeler needs, {least} base units",
                hint="stake more",
            )
        return found

    async def refresh_at(self, address: bytes) -> Participant | None:
        """As `refresh`, by the address of the Participant account."""
        account = await self._market.chain.account(Pubkey(address))
        if account is None or not account.data:
            return None
        decoded = self._market.chain.program.codec.decode_account(bytes(account.data), name="Participant")
        return await self.refresh(bytes(decoded.wallet))

    async def refresh(self, wallet: bytes) -> Participant | None:
        """Reads `wallet` from the chain and brings the projection up to date; what the indexer calls at its events."""
        found = await self.find(wallet, fresh=True)
        if found is not None:
            await self._market.db.execute(
                "participant_upsert", found.wallet, int(found.role), found.stake, found.unstaking, list(found.owed),
                found.counters,
            )  # fmt: skip
        return found
