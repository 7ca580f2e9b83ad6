"""The keeper: finds what is due on chain and does it. It needs a chain and a key with some SOL, no database and no
permission; any number may run side by side, since the program takes each act once.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain.base import Chain, Memcmp, Receipt, public_key
from assay.chain.builder import unit_limit
from assay.chain.ed25519 import evidence_instruction
from assay.chain.instructions import Instructions
from assay.chain.tokens import associated_address
from assay.domain import keeping, strikes
from assay.domain.equivocation import Proof
from assay.domain.messages import b58
from assay.domain.tally import Role
from assay.errors import AccountMissing, AssayError, ChainError, TransactionFailed, Unavailable

log = structlog.get_logger(__name__)

UNITS = 300_000
"""Compute units asked for; a slash that repays four buyers takes the most."""
AT_ONCE = 20
"""Acts after one look at most."""
REFUSED, LONGEST = 30.0, 3600.0
"""Seconds until an act that was refused is tried again: doubled each time, up to the longest."""
SUBJECTS = 10_000
WORDS = {
    "slash_outlier": "slashed an outlier",
    "slash_equivocation": "slashed for two signatures",
    "expire_request": "ended a request past its deadline",
    "close_request": "closed a request",
    "collect_fees": "collected fees",
    "reap_request": "removed a request that is over",
}


@dataclass(frozen=True, slots=True)
class Due:
    """An act that is due: the instruction's name, the account (32 bytes) it is about, why in words, and figures."""

    act: str
    subject: bytes
    why: str
    figures: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: addresses base58, amounts base units."""
        return {"act": self.act, "account": b58(self.subject), "why": self.why, **self.figures}


@dataclass(frozen=True, slots=True)
class Done:
    """An act that this keeper did, in which transaction, and what that cost it (lamports). `figures`: as the chain has
    them."""

    due: Due
    transaction: str
    fee: int
    figures: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, as `Due.as_dict`."""
        return {**self.due.as_dict(), **self.figures, "transaction": self.transaction, "fee_lamports": self.fee}


class Keeper:
    """`Keeper(chain, payer)`; `look` says what is due, `do` does it. `counts` are of what was done, by act."""

    def __init__(self, chain: Chain, payer: Keypair) -> None:
        self._chain = chain
        self._codec = chain.program.codec
        self._payer = payer
        self._build = Instructions(chain.program)
        self._addresses = self._build.addresses
        self._later: dict[tuple[str, bytes], tuple[float, float]] = {}
        self.counts: Counter[str] = Counter()
        self.taken: Counter[int] = Counter()
        """Base units that slashes took, by reason."""
        self.refused = 0

    # -- looking ------------------------------------------------------------------------------------------------------

    async def market(self) -> Any:
        """The decoded Market account. Raises `Unavailable`."""
        found = await self._account(self._addresses.market, "Market")
        if found is None:
            raise Unavailable("this cluster has no market yet", hint="initialize_market creates it")
        return found

    async def look(self) -> list[Due]:
        """Everything on chain that is due now: convictions first, then requests, oldest deadline first.

        Acts that were refused lately are left out, so that one that cannot be done costs nothing all the time.
        """
        market = await self.market()
        found = []
        for address, person in await self._all("Participant"):
            if due := self._outlier(bytes(address), person, market.params):
                found.append(due)
        wall = (await self._chain.clock()).unix_timestamp
        now = keeping.market_time(market, wall)
        requests = sorted(await self._all("Request"), key=lambda one: int(one[1].deadline))
        for address, one in requests:
            if due := self._request(bytes(address), one, now=now, wall=wall):
                found.append(due)
        return [due for due in found if not self._waits(due)]

    async def look_at(self, wallet: bytes) -> Due | None:
        """Whether a participant is an outlier now."""
        address = self._addresses.participant(Pubkey(wallet))
        person = await self._account(address, "Participant")
        if person is None:
            return None
        due = self._outlier(bytes(address), person, (await self.market()).params)
        return None if due is None or self._waits(due) else due

    def _outlier(self, address: bytes, person: Any, params: Any) -> Due | None:
        amount = keeping.outlier(person, params)
        if amount == 0:
            return None
        least = strikes.least_strikes(person.judgements, error_rate=params.error_rate)
        figures = {
            "wallet": str(person.wallet), "role": Role(person.role).name.lower(), "strikes": person.strikes,
            "judgements": person.judgements, "convicts_at": least, "amount": amount,
        }  # fmt: skip
        rate = strikes.ERROR_RATES[params.error_rate] / 10
        why = (
            f"{person.strikes} strikes of {person.judgements} judgements, where chance explains fewer than {least} at "
            f"an honest rate of {rate:g} %"
        )
        return Due("slash_outlier", address, why, figures)

    @staticmethod
    def _request(address: bytes, one: Any, *, now: int, wall: int) -> Due | None:
        found = keeping.request_due(one, now=now, wall=wall)
        return None if found is None else Due(found[0], address, found[1], {"buyer": str(one.buyer)})

    def _waits(self, due: Due) -> bool:
        until, _ = self._later.get((due.act, due.subject), (0.0, 0.0))
        return until > time.monotonic()

    # -- doing --------------------------------------------------------------------------------------------------------

    async def work_off(self, dues: Sequence[Due], *, most: int = AT_ONCE) -> list[Done]:
        """Does the first `most` of `dues`, one after another. What fails is logged and left for a later look."""
        done = []
        for due in dues[:most]:
            try:
                if (one := await self.do(due)) is not None:
                    done.append(one)
            except ChainError as error:
                log.warning("not done", act=due.act, account=b58(due.subject), code=error.code, error=str(error))
                if not isinstance(error, TransactionFailed):
                    break  # the cluster, and not this act
        return done

    async def do(self, due: Due) -> Done | None:
        """Does an act, by the accounts as they are now; None where it is not due any more: another was first.

        Raises `TransactionFailed` where it is refused and still due (it then waits), else as `Chain.send` does.
        """
        for attempt in (1, 2):
            made = await self._made(due)
            if made is None:
                return None
            due, instruction = made
            try:
                receipt = await self._chain.send([unit_limit(UNITS), instruction], payer=self._payer)
            except TransactionFailed:
                # Whoever was first, or harmed buyers that came between: what the chain says now decides.
                if attempt == 1 or await self._made(due) is None:
                    continue
                self._put_off(due)
                raise
            return self._noted(due, receipt)
        return None

    async def _made(self, due: Due) -> tuple[Due, Instruction] | None:
        """The act with the figures of now, and its instruction; None where it is not due."""
        market = await self.market()
        if due.act == "slash_outlier":
            person = await self._account(Pubkey(due.subject), "Participant")
            found = None if person is None else self._outlier(due.subject, person, market.params)
            if person is None or found is None:
                return None
            entry = market.mints[0]
            return found, self._build.slash_outlier(
                wallet=person.wallet,
                mint=entry.mint,
                token_program=entry.token_program,
                harmed=[Pubkey(one) for one in keeping.harmed(person)],
            )
        one = await self._account(Pubkey(due.subject), "Request")
        if one is None:
            return None
        wall = (await self._chain.clock()).unix_timestamp
        found = self._request(due.subject, one, now=keeping.market_time(market, wall), wall=wall)
        if found is None or found.act != due.act:
            return None
        return found, await self._ending(found.act, Pubkey(due.subject), one, market.mints[one.mint_index])

    async def _ending(self, act: str, request: Pubkey, one: Any, entry: Any) -> Instruction:
        mint, program = entry.mint, entry.token_program
        if act == "expire_request":
            return self._build.expire_request(request=request)
        if act == "collect_fees":
            return self._build.collect_fees(request=request, mint=mint, token_program=program)
        if act == "reap_request":
            return self._build.reap_request(request=request, buyer=one.buyer, mint=mint, token_program=program)
        buyer = await self._account(self._addresses.participant(one.buyer), "Participant")
        if buyer is None:
            raise AccountMissing(f"the buyer {one.buyer} has no Participant account")
        payout = buyer.payout[one.mint_index]
        if payout == Pubkey.default():  # any account will do: the refund is owed
            payout = associated_address(one.buyer, mint, token_program=program)
        return self._build.close_request(
            request=request, buyer=one.buyer, payout=payout, mint=mint, token_program=program
        )

    async def convict(self, proof: Proof) -> Done | None:
        """Slashes who signed two decisions under one number; None where nothing can be taken of it now: it is no
        validator, has no stake, or was slashed for this already (`offence` tells).

        Raises as `Proof.check`, and as `do`.
        """
        proof.check()
        address = self._addresses.participant(Pubkey(proof.wallet))
        for attempt in (1, 2):
            person, market = await self._account(address, "Participant"), await self.market()
            if person is None or person.role != Role.VALIDATOR or await self.offence(proof):
                return None
            amount = strikes.equivocation_amount(
                person.stake + person.unstaking, equivocation_bps=market.params.equivocation_bps
            )
            due = Due(
                "slash_equivocation",
                bytes(address),
                "it signed two decisions under one number",
                {"wallet": b58(proof.wallet), "role": "validator", "key": proof.key.hex(), "amount": amount},
            )
            if amount == 0 or self._waits(due):
                return None
            entry, me = market.mints[0], public_key(self._payer)
            signer = Pubkey(proof.wallet)
            shown = evidence_instruction(
                [(signer, proof.first_signature, proof.first), (signer, proof.second_signature, proof.second)]
            )
            slash = self._build.slash_equivocation(
                payer=me,
                wallet=signer,
                key=proof.key,
                mint=entry.mint,
                token_program=entry.token_program,
                harmed=[Pubkey(one) for one in keeping.harmed(person)],
            )
            try:
                receipt = await self._chain.send([unit_limit(UNITS), shown, slash], payer=self._payer)
            except TransactionFailed:
                if attempt == 1 or await self.offence(proof):
                    continue
                self._put_off(due)
                raise
            return self._noted(due, receipt)
        return None

    async def offence(self, proof: Proof) -> bool:
        """Whether the chain has the Offence: this has been slashed."""
        address = self._addresses.offence(self._addresses.participant(Pubkey(proof.wallet)), proof.key)
        return await self._account(address, "Offence") is not None

    def _put_off(self, due: Due) -> None:
        if len(self._later) >= SUBJECTS:
            self._later.clear()
        _, wait = self._later.get((due.act, due.subject), (0.0, REFUSED / 2))
        wait = min(2 * wait, LONGEST)
        self._later[due.act, due.subject] = (time.monotonic() + wait, wait)
        self.refused += 1

    def _noted(self, due: Due, receipt: Receipt) -> Done:
        figures: dict[str, Any] = {}
        for event in receipt.events:
            if event.name == "Slashed":
                names = ("judgements", "strikes", "amount", "repaid", "burned", "recycled")
                figures = {name: int(getattr(event.data, name)) for name in names}
                self.taken[int(event.data.reason)] += figures["amount"]
            elif event.name == "RequestClosed":
                figures = {"refund": int(event.data.refund), "held": int(event.data.held)}
            elif event.name == "FeesCollected":
                figures = {"amount": int(event.data.amount)}
        done = Done(due, receipt.signature, receipt.fee, figures)
        self.counts[due.act] += 1
        self._later.pop((due.act, due.subject), None)
        said = log.warning if due.act.startswith("slash") else log.info
        said(WORDS[due.act], **done.as_dict())
        return done

    # -- reading ------------------------------------------------------------------------------------------------------

    async def _account(self, address: Pubkey, name: str) -> Any | None:
        account = await self._chain.account(address)
        if account is None or account.owner != self._chain.program.id:
            return None
        return self._codec.decode_account(bytes(account.data), name=name)

    async def _all(self, name: str) -> list[tuple[Pubkey, Any]]:
        """Every account of a type. Decoded a few hundred at a time, so that the loop goes on meanwhile."""
        tag = self._codec.accounts[name]
        found = []
        for place, (address, account) in enumerate(await self._chain.program_accounts(memcmp=[Memcmp(0, tag)])):
            if place % 200 == 199:
                await asyncio.sleep(0)
            try:
                found.append((address, self._codec.decode_account(bytes(account.data), name=name)))
            except AssayError as error:
                log.warning("account not read", account=str(address), error=str(error))
        return found
