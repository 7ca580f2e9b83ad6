"""After a batch has landed: answers settled, payments recorded, the log grown, buyers and labelers told. Once each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import Counter, Histogram

from assay.chain.base import Event, Landed, Receipt
from assay.domain import messages
from assay.domain.tally import Role
from assay.errors import ChainUnavailable, Conflict
from assay.services.proposals import Proposal, settled_event
from assay.services.publish import Publisher

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)

LOOKS = 50
LOOK_SECONDS = 0.1

LATENCY = Histogram(
    "assay_settlement_seconds",
    "From deciding vote to confirmed payment",
    buckets=(0.025, 0.05, 0.075, 0.1, 0.148, 0.2, 0.3, 0.5, 1, 2, 5, 10, 60),
)
BATCHES = Counter("assay_batches_settled", "Batches settled")
ANSWERS = Counter("assay_answers_settled", "Answers settled", ["verdict"])


Signatures = Sequence[tuple[bytes, bytes]]
"""Who signed a batch and how (wallet, signature), in the order of the settlement's Ed25519 instruction."""


class Confirmer:
    """Writes down what the chain did."""

    def __init__(self, market: Market, publisher: Publisher) -> None:
        self._market = market
        self._db = market.db
        self._publisher = publisher

    async def landed(self, proposal: Proposal, receipt: Receipt | None, *, signatures: Signatures = ()) -> None:
        """Records that `proposal` is settled: by a transaction of ours with these signatures, or, without a receipt,
        by another's, which is looked up, and with it whose signatures it carried: they are paid.

        Raises `ChainUnavailable` if it is not to be had yet, `Conflict` if the chain settled another content.
        """
        event = settled_event(receipt, proposal) if receipt is not None else None
        if event is not None and receipt is not None:
            await self._record(proposal, event, receipt.compute_units, signatures, ours=True)
        else:
            await self._record(proposal, *await self._find(proposal))
        self._publisher.kick(proposal.request)
        self._market.changed.send(proposal.request)

    async def rebuild(self) -> int:
        """Writes payments and settlements anew from the chain's events, for every batch the market knows; how many."""
        count = 0
        for row in await self._db.fetch("batches_all"):
            proposal = Proposal.of_row(row)
            found = await self._look(proposal)
            if found is not None:
                await self._record(proposal, *found, again=True)
                count += 1
        return count

    async def _find(self, proposal: Proposal) -> tuple[Event, int, Signatures]:
        """As `_look`, when the indexer has met it. Raises `ChainUnavailable` if it does not soon."""
        for _ in range(LOOKS):
            if (found := await self._look(proposal)) is not None:
                return found
            await asyncio.sleep(LOOK_SECONDS)
        raise ChainUnavailable(f"batch {proposal.batch} is settled, its transaction is not known yet", retry_after=1)

    async def _look(self, proposal: Proposal) -> tuple[Event, int, Signatures] | None:
        """Event, compute units and signatures of the settlement, from the transaction itself."""
        row = await self._db.row("settled_event", messages.b58(proposal.request), proposal.batch)
        landed = await self._market.chain.landed(row["signature"]) if row is not None else None
        event = settled_event(landed.receipt, proposal) if landed is not None else None
        if row is None or landed is None or event is None:
            return None
        info = await self._market.requests.info(proposal.request)
        assert info.domain is not None
        message = messages.batch(
            domain=info.domain,
            batch=proposal.batch,
            panel_round=event.data.panel_round,
            digest=bytes(event.data.digest),
        )
        return event, landed.receipt.compute_units, _signatures(landed, message)

    async def _record(
        self,
        proposal: Proposal,
        event: Event,
        units: int,
        signatures: Signatures,
        *,
        ours: bool = False,
        again: bool = False,
    ) -> None:
        if bytes(event.data.digest) != proposal.digest:
            raise Conflict(
                f"batch {proposal.batch} was settled on chain with digest {bytes(event.data.digest).hex()}, which this "
                f"market never proposed (its own: {proposal.digest.hex()})"
            )
        async with self._db.transaction() as tx:
            await tx.execute("commit_without_waiting")
            row = await tx.row("batch_by_number", proposal.request, proposal.batch)
            if row is None or (row["state"] == "settled" and not again):
                return
            paid = list(event.data.payments)
            payees = [(one.wallet, int(one.role)) for one in proposal.tallies]
            cosigners = [wallet for wallet, _ in signatures]
            payees += [(wallet, int(Role.VALIDATOR)) for wallet in cosigners[: len(paid) - len(payees)]]
            await tx.execute(
                "batch_settled", proposal.request, proposal.batch, event.data.panel_round, event.signature, event.slot,
                units, cosigners, event.data.at,
            )  # fmt: skip
            if not ours:
                await tx.execute(
                    "batch_cosigned", proposal.request, proposal.batch, event.data.panel_round,
                    cosigners, [signature for _, signature in signatures],
                )  # fmt: skip
            amounts = {wallet: payment.amount for (wallet, _), payment in zip(payees, paid, strict=False)}
            answers = await tx.fetch("answers_of_batch", proposal.request, proposal.batch)
            shares = _shares(answers, amounts)
            await tx.execute("answers_settled", proposal.request, proposal.batch, list(shares), list(shares.values()))
            await tx.execute(
                "payments_insert", proposal.request, proposal.batch, event.signature, event.slot,
                [wallet for wallet, _ in payees], [role for _, role in payees],
                [payment.amount for payment in paid[: len(payees)]], [bool(one.owed) for one in paid[: len(payees)]],
            )  # fmt: skip
        if not again:
            self._measure(proposal, answers)

    def _measure(self, proposal: Proposal, answers: Sequence[Any]) -> None:
        now = time.time()
        BATCHES.inc()
        for one in answers:
            ANSWERS.labels("unpaid" if one["unpaid"] else "accepted" if one["verdict"] else "rejected").inc()
            if one["decided_at"] is not None:
                LATENCY.observe(max(0.0, now - one["decided_at"].timestamp()))
        log.info("batch settled", request=messages.b58(proposal.request), batch=proposal.batch, answers=len(answers))


def _signatures(landed: Landed, message: bytes) -> Signatures:
    """Those over `message` that the program read: of several Ed25519 instructions the one right before the settlement,
    or any where another program called for it.
    """
    found = [one for one in landed.signed if one.message == message]
    found.sort(key=lambda one: one.before != "settle_batch")
    return found[0].signatures if found else ()


def _shares(answers: Sequence[Any], amounts: dict[bytes, int]) -> dict[bytes, int]:
    """What each answer was paid: a labeler's payment in equal parts over its paid ones, the rest to the first."""
    accepted: dict[bytes, list[bytes]] = {}
    shares = {one["id"]: 0 for one in answers}
    for one in answers:
        if one["verdict"] and not one["unpaid"]:
            accepted.setdefault(one["labeler"], []).append(one["id"])
    for labeler, ids in accepted.items():
        each, rest = divmod(amounts.get(labeler, 0), len(ids))
        for place, answer in enumerate(ids):
            shares[answer] = each + (rest if place == 0 else 0)
    return shares
