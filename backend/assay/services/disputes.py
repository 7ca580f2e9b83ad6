"""Disputes driven to their end: panels drawn, their votes collected and shown, outcomes carried out, accounts closed.

Nothing is kept here: what a dispute needs next follows from its account, and a vote is on chain before its voter is
told that it was taken. So it may be killed at any point, and anyone else may do any of it first.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain.ed25519 import signatures_instruction
from assay.chain.instructions import Instructions
from assay.domain import dispute as disputes
from assay.domain import entries, messages
from assay.domain.dispute import Act, Dispute
from assay.domain.messages import b58
from assay.errors import AlreadyDone, AssayError, Conflict, Forbidden, Gone, NotFound
from assay.services.hub import Hub

if TYPE_CHECKING:
    from assay.services.keeper import Watch
    from assay.services.market import Market

log = structlog.get_logger(__name__)

TICK = 0.25
"""Seconds between looks at what is due; a dispute's own next look may be later."""
RELOAD = 10.0
"""Seconds after which the list of disputes is read anew though no event was heard."""
HEARD = 1.0
"""Seconds for which it is read at each look once one was: an event is written down a moment after it is heard."""
SLOT_WAIT = 0.1
POLL = 2.0
"""Seconds between looks at a panel that votes: others may show votes too."""
LINGER = 5.0
"""Seconds in which the rest of a panel may still vote once a quorum has: each vote shown is judged."""
FIRST_AGAIN, LAST_AGAIN = 0.5, 60.0
"""Seconds until what failed is tried again; doubled each time."""
MISSES, MISSED = 5, 5.0
"""Looks, and seconds between them, until an account that is not there is gone: a node may be behind its events."""
AT_ONCE = 8
SHOWN = 5.0
"""Seconds for which a proof is shown again as it is."""
UNITS = 400_000
"""Compute units asked for: an end judges up to nine seats and moves tokens twice."""


@dataclass(frozen=True, slots=True)
class Known:
    """A dispute over an answer that this market took. `labeler` is its wallet."""

    address: Pubkey
    request: bytes
    answer: bytes
    labeler: bytes


class Disputes:
    """Drives all disputes of the market; `run` for as long as this engine leads."""

    def __init__(self, market: Market, *, hub: Hub, operator: Keypair, watch: Watch) -> None:
        self._market = market
        self._watch = watch
        self._hub = hub
        self._operator = operator
        self._build = Instructions(market.chain.program)
        self._known: dict[Pubkey, Known] = {}
        self._closed: set[Pubkey] = set()
        self._voting: dict[Pubkey, Dispute] = {}
        self._shown: dict[tuple[Pubkey, int], tuple[float, dict[str, Any]]] = {}
        self._told: set[tuple[Pubkey, int]] = set()
        self._decided: dict[Pubkey, float] = {}
        self._next: dict[Pubkey, float] = {}
        self._failures: dict[Pubkey, int] = {}
        self._missing: dict[Pubkey, int] = {}
        self._look = asyncio.Event()
        self._reload_at = self._heard_until = 0.0
        self._turns = asyncio.Semaphore(AT_ONCE)

    # -- the loop -----------------------------------------------------------------------------------------------------

    def wake(self, request: bytes) -> None:
        """The chain changed a request: disputes of it may have been opened, or ended."""
        for one in self._known.values():
            if one.request == request and one.address not in self._failures:
                self._next.pop(one.address, None)
        self._heard_until = time.monotonic() + HEARD
        self._look.set()

    async def run(self) -> None:
        """Until cancelled."""
        self._told.clear()  # whoever led before may not have told anybody
        self._reload_at = 0.0
        while True:
            self._look.clear()
            if time.monotonic() >= self._reload_at or time.monotonic() < self._heard_until:
                await self._load()
            now = time.monotonic()
            due = [one for one in self._known.values() if self._next.get(one.address, 0.0) <= now]
            await asyncio.gather(*(self._step(one) for one in due))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._look.wait()

    async def _load(self) -> None:
        """The disputes that were opened."""
        self._reload_at = time.monotonic() + RELOAD
        for row in await self._market.db.fetch("disputes_opened"):
            address = Pubkey.from_string(row["dispute"])
            if address not in self._known and address not in self._closed:
                self._known[address] = Known(address, row["request"], row["id"], row["labeler"])

    async def _step(self, one: Known) -> None:
        """Does what is due about a dispute, and says when to look again."""
        async with self._turns:
            try:
                wait = await self._act(one)
                self._failures.pop(one.address, None)
            except AssayError as error:
                count = self._failures[one.address] = self._failures.get(one.address, 0) + 1
                wait = min(FIRST_AGAIN * 2 ** min(count - 1, 10), LAST_AGAIN)
                log.info("dispute waits", dispute=str(one.address), code=error.code, error=str(error))
            except Exception:
                self._failures[one.address] = self._failures.get(one.address, 0) + 1
                wait = LAST_AGAIN
                log.exception("dispute failed", dispute=str(one.address))
        self._next[one.address] = time.monotonic() + wait
        if one.address in self._closed:
            del self._next[one.address]

    async def _act(self, one: Known) -> float:
        """Seconds until the next look."""
        found, account = await self._read(one.address)
        if found is None:
            return self._gone(one)
        self._missing.pop(one.address, None)
        now = await self._market.terms.now()
        act = found.due(now)
        if act is not Act.VOTES:
            self._voting.pop(one.address, None)
        match act:
            case Act.DRAW:
                return await self._draw(one, found)
            case Act.VOTES:
                self._voting[one.address] = found
                await self._tell(one, found)
                return min(POLL, max(found.panel_at + found.timeout - now, TICK))
            case Act.RESOLVE:
                decided = self._decided.setdefault(one.address, time.monotonic())
                if found.seats(voted=False) and time.monotonic() < decided + LINGER:
                    self._voting[one.address] = found
                    return TICK
                await self._end(one, found, account, seats=found.seats(voted=True))
            case Act.EXPIRE:
                seats = found.seats(voted=False) if found.timed_out(now) else ()
                await self._end(one, found, account, expired=True, seats=seats)
            case Act.CORRECT if (votes := await self._votes(one, found)) is not None:
                await self._correct(one, votes)
            case Act.CLOSE | Act.CORRECT if now >= found.closable_at:
                close = self._build.close_dispute(dispute=one.address, labeler=Pubkey(one.labeler))
                await self._send(one, "closed", [close])
            case _:
                return max(float(found.closable_at - now), TICK)
        return 0.0

    async def _read(self, address: Pubkey) -> tuple[Dispute | None, Any]:
        """A dispute, and its request's account, as the chain has them."""
        dispute = await self._market.rejections.account(address)
        if dispute is None:
            return None, None
        request = await self._market.requests.account(bytes(dispute.request))
        return Dispute.of(dispute, request), request

    async def _answer(self, one: Known) -> Any:
        row = await self._market.db.row("answer_by_id", one.answer)
        if row is None:
            raise NotFound(f"there is no answer {one.answer.hex()}")
        return row

    def _gone(self, one: Known) -> float:
        """Its account is not there: closed, once that is sure. Seconds until the next look."""
        count = self._missing[one.address] = self._missing.get(one.address, 0) + 1
        if count >= MISSES:
            self._closed.add(one.address)
            for kept in (self._known, self._decided, self._missing):
                kept.pop(one.address, None)
        self._voting.pop(one.address, None)
        return MISSED

    # -- acts ---------------------------------------------------------------------------------------------------------

    async def _send(self, one: Known, done: str, steps: Sequence[Instruction]) -> None:
        receipt = await self._market.chain.send([set_compute_unit_limit(UNITS), *steps], payer=self._operator)
        log.info(f"dispute {done}", dispute=str(one.address), answer=one.answer.hex(), transaction=receipt.signature)

    def _seats(self, wallets: Sequence[bytes]) -> list[Pubkey]:
        return [self._market.participants.address(wallet) for wallet in wallets]

    async def _draw(self, one: Known, found: Dispute) -> float:
        """The first call fixes the slot, the second draws; in between that slot has to pass."""
        if found.seed_slot and await self._market.chain.slot() <= found.seed_slot:
            return SLOT_WAIT
        self._decided.pop(one.address, None)
        draw = self._build.draw_dispute_panel(
            dispute=one.address, request=Pubkey(one.request), seats=self._seats(found.seats(voted=False))
        )
        await self._send(one, "panel called", [draw])
        return SLOT_WAIT

    async def _end(
        self, one: Known, found: Dispute, request: Any, *, seats: Sequence[bytes], expired: bool = False
    ) -> None:
        pay, bond = await self._market.terms.mint(request.mint_index), await self._market.terms.mint(0)
        mint, bond_mint = ((Pubkey(bytes(x.mint)), Pubkey(bytes(x.token_program))) for x in (pay, bond))
        end = self._build.end_dispute(
            expired=expired,
            dispute=one.address,
            request=Pubkey(one.request),
            labeler=Pubkey(one.labeler),
            mint=mint,
            bond_mint=bond_mint,
            remaining=[AccountMeta(key, False, True) for key in self._seats(seats)],
        )
        await self._send(one, "expired" if expired else "resolved", [end])

    async def _votes(self, one: Known, found: Dispute) -> list[tuple[bytes, int, bytes]] | None:
        """The votes (voter, vote, salt) behind the rejection; None where this market does not have them."""
        row = await self._answer(one)
        rows = await self._market.db.fetch("votes_of_rounds", [one.answer], [row["round"]])
        votes = sorted((vote["voter"], int(vote["vote"]), vote["salt"]) for vote in rows if vote["vote"] is not None)
        return votes if entries.review_evidence(votes) == found.evidence else None

    async def _correct(self, one: Known, votes: Sequence[tuple[bytes, int, bytes]]) -> None:
        correct = self._build.correct_votes(
            dispute=one.address,
            request=Pubkey(one.request),
            votes=[{"voter": Pubkey(voter), "vote": vote, "salt": salt} for voter, vote, salt in votes],
            voters=[Pubkey(voter) for voter, _, _ in votes],
        )
        await self._send(one, "votes corrected", [correct])

    # -- votes --------------------------------------------------------------------------------------------------------

    async def _tell(self, one: Known, found: Dispute) -> None:
        """Gives a new panel its work; reminders do it for who connects later."""
        key = (one.address, found.round)
        if key not in self._told:
            log.info("dispute panel drawn", dispute=str(one.address), round=found.round, panel=[*map(b58, found.panel)])
            self._hub.push(found.seats(voted=False), await self._message(one, found))
            self._told.add(key)

    async def open_for(self, wallet: bytes) -> list[dict[str, Any]]:
        """Messages of type ``dispute``: what `wallet` still has to vote on in panels of disputes."""
        waiting = [(self._known[key], one) for key, one in self._voting.items() if wallet in one.seats(voted=False)]
        told: list[dict[str, Any]] = []
        for one, found in waiting:
            try:
                told.append(await self._message(one, found))
            except AssayError as error:  # what else the wallet has to do is told all the same
                log.warning("dispute not told", dispute=str(one.address), code=error.code, error=str(error))
        return told

    async def _message(self, one: Known, found: Dispute) -> dict[str, Any]:
        """What a seat is shown: the answer, and the proof of its rejection. No votes: each is to judge by itself."""
        key = (one.address, found.round)
        until, message = self._shown.get(key, (0.0, {}))
        if until > time.monotonic():
            return message
        row = await self._answer(one)
        request = await self._market.requests.account(one.request)
        if request is None:
            raise NotFound("the request is not on chain any more")
        proof = await self._market.rejections.proof(one.request, one.answer, batches=request.next_batch)
        left = found.panel_at + found.timeout - await self._market.terms.now()
        message = {
            "type": "dispute",
            "request": b58(one.request),
            "dispute": str(one.address),
            "panel_round": found.round,
            "answer": one.answer.hex(),
            "index": row["index"],
            "labeler": b58(one.labeler),
            "content": row["content"],
            "signature": row["signature"].hex(),
            "vote_until": int(time.time()) + left,
            "confidence": proof.confidence,
            "place": proof.index,
            "digest": proof.digest.hex(),
            "proof": [sibling.hex() for sibling in proof.proof],
            "log_proof": [sibling.hex() for sibling in proof.log_proof],
        }
        if len(self._shown) > len(self._voting) + AT_ONCE:
            self._shown.clear()
        self._shown[key] = (time.monotonic() + SHOWN, message)
        return message

    async def vote(self, wallet: bytes, *, dispute: bytes, panel_round: int, outcome: int, signature: bytes) -> None:
        """Shows the vote of a seat on chain; the same again is fine. `outcome`: 1 upheld, 2 dismissed.

        Raises `NotFound`, `Gone` (it has ended), `Conflict` (another panel is in office), `Forbidden` (no seat),
        `SignatureInvalid`, `AlreadyDone` (another vote of this seat stands: with it this one is kept as evidence), and
        what the chain refuses with.
        """
        address = Pubkey(dispute)
        found, account = await self._read(address)
        if found is None or account is None:
            raise NotFound(f"there is no dispute {address}", field="dispute")
        if found.round != panel_round:
            raise Conflict(f"the panel of round {found.round} is in office", field="panel_round")
        if wallet not in found.panel:
            raise Forbidden("this wallet is not on the dispute's panel", field="voter")
        message = messages.dispute(
            domain=bytes(account.domain), dispute=dispute, panel_round=panel_round, upheld=outcome == disputes.UPHELD
        )
        messages.verify(signature, key=wallet, message=message)
        await self._watch.keep_vote(
            wallet, request=found.request, dispute=dispute, panel_round=panel_round, outcome=outcome,
            signature=signature,
        )  # fmt: skip
        stands = found.vote_of(wallet)
        if stands is not None:
            if stands != outcome:
                raise AlreadyDone("another vote of this seat was shown before, and stands", field="outcome")
            return
        if found.state != disputes.OPEN:
            raise Gone("the dispute has ended")
        show = self._build.vote_dispute(dispute=address, request=Pubkey(found.request))
        await self._market.chain.send(
            [signatures_instruction(message, [(Pubkey(wallet), signature)]), show], payer=self._operator
        )
        log.info("dispute vote shown", dispute=str(address), round=panel_round, voter=b58(wallet), outcome=outcome)
        self._next.pop(address, None)
        self._look.set()
