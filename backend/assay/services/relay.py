"""Transactions for others to sign, and what the market learns from those it relays.

The market never holds a participant's key: it builds what the wallet signs, and sends what was signed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
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
from assay.chain.tokens import associated_address, create_associated, held
from assay.domain.tally import Role
from assay.errors import Conflict, FieldError, Forbidden
from assay.services.requests import Draft, RequestInfo

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A transaction that lacks its signatures. `transaction` is base64; it lands up to that block height."""

    transaction: str
    last_valid_block_height: int


class Relay:
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

    async def funds(self, wallet: bytes) -> tuple[int, list[int]]:
        """Lamports of `wallet`, and base units of each of the market's mints in its associated token accounts."""
        mints = (await self._market.terms.market()).mint_count
        own = [(await self._token(wallet, index))[0] for index in range(mints)]
        account, *accounts = await self._market.chain.accounts([Pubkey(wallet), *own])
        return (
            0 if account is None else account.lamports,
            [held(one) for one in accounts],
        )

    async def post(self, draft: Draft) -> Instruction:
        """`post_request` of a draft, paid out of the buyer's associated token account."""
        source, mint, program = await self._token(draft.info.buyer, draft.info.mint_index)
        return self.build.build(
            "post_request",
            accounts={"buyer": Pubkey(draft.info.buyer), "mint": mint, "source": source, "token_program": program},
            args={"id": draft.info.id, "args": draft.arguments},
        )

    async def top_up(self, info: RequestInfo, funder: bytes, amount: int) -> Instruction:
        """`top_up_request` of `amount` base units out of the funder's associated token account."""
        source, mint, program = await self._token(funder, info.mint_index)
        return self.build.top_up_request(
            funder=Pubkey(funder), request=Pubkey(info.address), source=source, mint=mint, token_program=program,
            amount=amount,
        )  # fmt: skip

    async def end(self, info: RequestInfo, *, cancel: bool) -> Instruction:
        """`cancel_request`, or `close_request`, whose refund goes to the buyer's payout account (owed while unset)."""
        if cancel:
            accounts = {"buyer": Pubkey(info.buyer), "request": Pubkey(info.address)}
            return self.build.build("cancel_request", accounts=accounts)
        own, mint, program = await self._token(info.buyer, info.mint_index)
        buyer = await self._market.participants.find(info.buyer, fresh=True)
        payout = buyer.payout[info.mint_index] if buyer is not None else b""
        return self.build.build(
            "close_request",
            accounts={
                "request": Pubkey(info.address),
                "participant": self._market.participants.address(info.buyer),
                "payout": Pubkey(payout) if any(payout) else own,
                "mint": mint,
                "token_program": program,
            },
        )

    async def enrol(self, wallet: bytes, *, role: Role, stake: int) -> list[Instruction]:
        """What `wallet` still has to sign to work in `role`: registration, payout account, `stake` base units more.

        Raises `Conflict` where it is registered in another role, or nothing is left to do.
        """
        owner = Pubkey(wallet)
        participant = await self._market.participants.find(wallet, fresh=True)
        own, mint, program = await self._token(wallet, 0)
        todo: list[Instruction] = []
        if participant is None:
            todo.append(self.build.register(payer=owner, wallet=owner, role=int(role)))
        elif participant.role is not role:
            raise Conflict(f"this wallet is registered as a {participant.role.name.lower()}; a wallet has one role")
        if participant is None or not any(participant.payout[0]):
            todo.append(create_associated(owner, owner, mint, token_program=program))
            todo.append(self.build.build("set_payout", accounts={"wallet": owner, "mint": mint, "payout": own}))
        if stake:
            todo.append(await self.stake(wallet, stake))
        if not todo:
            raise Conflict(f"this wallet is a {role.name.lower()} already, and no stake was named")
        return todo

    async def stake(self, wallet: bytes, amount: int) -> Instruction:
        """`stake` of `amount` base units out of the wallet's associated token account."""
        own, mint, program = await self._token(wallet, 0)
        return self.build.build(
            "stake",
            accounts={"wallet": Pubkey(wallet), "mint": mint, "source": own, "token_program": program},
            args={"amount": amount},
        )

    async def unstake(self, wallet: bytes, amount: int) -> Instruction:
        """`request_unstake`: the waiting time begins."""
        return self.build.build("request_unstake", accounts={"wallet": Pubkey(wallet)}, args={"amount": amount})

    async def withdraw(self, wallet: bytes) -> list[Instruction]:
        """`withdraw_stake`: what has waited long enough, to the wallet's associated token account."""
        return await self._take("withdraw_stake", wallet, 0)

    async def claim_owed(self, wallet: bytes, *, mint_index: int = 0) -> list[Instruction]:
        """`claim_owed`: what could not be delivered, to the wallet's associated token account."""
        return await self._take("claim_owed", wallet, mint_index)

    async def dispute(self, wallet: bytes, request: bytes, args: Mapping[str, Any]) -> Instruction:
        """`open_dispute` with these proofs, its bond out of the wallet's associated token account."""
        own, mint, program = await self._token(wallet, 0)
        return self.build.open_dispute(
            wallet=Pubkey(wallet), request=Pubkey(request), source=own, mint=mint, token_program=program, args=args
        )

    async def _take(self, name: str, wallet: bytes, mint_index: int) -> list[Instruction]:
        """Tokens to the wallet's associated account, which is opened where it is not: mostly why they were owed."""
        owner = Pubkey(wallet)
        own, mint, program = await self._token(wallet, mint_index)
        accounts = {"wallet": owner, "mint": mint, "destination": own, "token_program": program}
        return [
            create_associated(owner, owner, mint, token_program=program),
            self.build.build(name, accounts=accounts),
        ]

    async def send(self, text: str) -> Receipt:
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
