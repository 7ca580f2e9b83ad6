"""Transactions for others to sign, and what the market learns from those it relays.

The market never holds a participant's key: it builds what the wallet signs, and sends what was signed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from solders.instruction import Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from assay.chain.base import PACKET, Event, Receipt
from assay.chain.instructions import Instructions
from assay.chain.tokens import associated_address
from assay.errors import FieldError, Forbidden
from assay.services.requests import Draft, RequestInfo

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A transaction that lacks its signatures. `transaction` is base64; it lands up to that block height."""

    transaction: str
    last_valid_block_height: int


class Transactions:
    """Builds and relays."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self.build = Instructions(market.chain.program)

    async def unsigned(self, instructions: Sequence[Instruction], *, payer: bytes) -> Unsigned:
        """`instructions` as a transaction for `payer` to sign."""
        fresh = await self._market.chain.latest_blockhash()
        message = MessageV0.try_compile(Pubkey(payer), list(instructions), [], fresh.hash)
        blank = [Signature.default()] * message.header.num_required_signatures
        raw = bytes(VersionedTransaction.populate(message, blank))
        if len(raw) > PACKET:
            raise FieldError("transaction", f"would have {len(raw)} bytes", hint=f"at most {PACKET}")
        return Unsigned(base64.b64encode(raw).decode(), fresh.last_valid_block_height)

    async def _token(self, wallet: bytes, mint_index: int) -> tuple[Pubkey, Pubkey, Pubkey]:
        """A wallet's associated token account of a mint, the mint, its token program."""
        entry = await self._market.terms.mint(mint_index)
        mint, program = Pubkey(bytes(entry.mint)), Pubkey(bytes(entry.token_program))
        return associated_address(Pubkey(wallet), mint, token_program=program), mint, program

    async def post(self, draft: Draft) -> Instruction:
        """`post_request` of a draft, paid out of the buyer's associated token account."""
        source, mint, program = await self._token(draft.info.buyer, draft.info.mint_index)
        return self.build.build(
            "post_request",
            accounts={"buyer": Pubkey(draft.info.buyer), "mint": mint, "source": source, "token_program": program},
            args={"id": draft.info.id, "args": draft.arguments},
        )

    async def end(self, info: RequestInfo, *, cancel: bool) -> Instruction:
        """`close_request` or `cancel_request`; what is left goes to the buyer's associated token account."""
        destination, mint, program = await self._token(info.buyer, info.mint_index)
        return self.build.build(
            "cancel_request" if cancel else "close_request",
            accounts={
                "buyer": Pubkey(info.buyer),
                "request": Pubkey(info.address),
                "destination": destination,
                "mint": mint,
                "token_program": program,
            },
        )

    async def relay(self, text: str) -> Receipt:
        """Sends a signed transaction (base64) that calls the market's program, and takes notice of what it did.

        Raises `FieldError`, `Forbidden` (it is not about this market), `ProgramError`, `TransactionFailed`,
        `BlockhashExpired`.
        """
        try:
            raw = base64.b64decode(text, validate=True)
            transaction = VersionedTransaction.from_bytes(raw)
        except (binascii.Error, ValueError) as error:
            raise FieldError("transaction", "is no signed transaction", hint="base64 of its bytes") from error
        if len(raw) > PACKET:
            raise FieldError("transaction", f"has {len(raw)} bytes", hint=f"at most {PACKET}")
        if self._market.terms.program_id not in transaction.message.account_keys:
            raise Forbidden("the transaction does not call this market's program", field="transaction")
        receipt = await self._market.chain.send_raw(raw)
        for event in receipt.events:
            await self.observe(event)
        return receipt

    async def observe(self, event: Event) -> None:
        """Brings the projections up to date with an event. Idempotent: the indexer may tell it again."""
        data: Any = event.data
        if (participant := getattr(data, "participant", None)) is not None:
            await self._market.participants.refresh_at(bytes(participant))
        if event.name == "RequestPosted":
            await self._market.requests.activate(bytes(data.request), signature=event.signature)
        elif event.name.startswith("Request") and hasattr(data, "request"):
            await self._market.requests.sync(bytes(data.request))
