"""After a batch has landed: answers settled, payments recorded, the log grown, buyers and labelers told. Once each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import Counter, Histogram

from assay.chain.base import Event, Receipt
from assay.domain import messages
from assay.errors import ChainUnavailable
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


class Confirmer:
    """Writes down what the chain did."""

    def __init__(self, market: Market, publisher: Publisher) -> None:
        self._market = market
        self._db = market.db
        self._publisher = publisher

    async def landed(
        self, proposal: Proposal, receipt: Receipt | None, *, signers: Sequence[bytes] | None = None
    ) -> None:
        """Records that `proposal` is settled. Without a receipt it was another's transaction: it is looked up."""
        event = settled_event(receipt, proposal) if receipt is not None else None
        units = receipt.compute_units if receipt is not None else None
        if event is None:
            event, units = await self._find(proposal)
            signers = None
        await self._record(proposal, event, units, signers)
        self._publisher.kick(proposal.request)
        self._market.changed.send(proposal.request)

    async def rebuild(self) -> int:
        """Writes payments and settlements anew from the chain's events, for every batch the market knows; how many."""
        count = 0
        for row in await self._db.fetch("batches_all"):
            proposal = Proposal.of_row(row)
            found = await self._db.row("settled_event", messages.b58(proposal.request), proposal.batch)
            receipt = await self._market.chain.receipt(found["signature"]) if found is not None else None
            event = settled_event(receipt, proposal) if receipt is not None else None
            if event is not None and receipt is not None:
                await self._record(proposal, event, receipt.compute_units, None, again=True)
                count += 1
        return count

    async def _find(self, proposal: Proposal) -> tuple[Event, int | None]:
        """The event of the settlement, from the chain's record. Raises `ChainUnavailable` if it is not there yet."""
        for _ in range(LOOKS):
            row = await self._db.row("settled_event", messages.b58(proposal.request), proposal.batch)
            if row is not None:
                receipt = await self._market.chain.receipt(row["signature"])
                event = settled_event(receipt, proposal) if receipt is not None else None
                if event is not None:
                    return event, receipt.compute_units if receipt is not None else None
            await asyncio.sleep(LOOK_SECONDS)
        raise ChainUnavailable(f"batch {proposal.batch} is settled, its transaction is not known yet", retry_after=1)

    async def _record(
        self,
        proposal: Proposal,
        event: Event,
        units: int | None,
        signers: Sequence[bytes] | None,
        *,
        again: bool = False,
    ) -> None:
        async with self._db.transaction() as tx:
            await tx.execute("commit_without_waiting")
            row = await tx.row("batch_by_number", proposal.request, proposal.batch)
            if row is None or (row["state"] == "settled" and not again):
                return
            paid = list(event.data.payments)
            payees = [(one.wallet, int(one.role)) for one in proposal.tallies]
            cosigners = list(signers if signers is not None else row["signers"] or ())
            extra = len(paid) - len(payees)
            if extra > 0:
                payees += [(wallet, 3) for wallet in cosigners[:extra]]
            await tx.execute(
                "batch_settled", proposal.request, proposal.batch, event.data.panel_round, event.signature, event.slot,
                units, cosigners or None, event.data.at,
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
            ANSWERS.labels("accepted" if one["verdict"] else "rejected").inc()
            if one["decided_at"] is not None:
                LATENCY.observe(max(0.0, now - one["decided_at"].timestamp()))
        log.info("batch settled", request=messages.b58(proposal.request), batch=proposal.batch, answers=len(answers))


def _shares(answers: Sequence[Any], amounts: dict[bytes, int]) -> dict[bytes, int]:
    """What each answer was paid: a labeler's payment in equal parts over its accepted ones, the rest to the first."""
    accepted: dict[bytes, list[bytes]] = {}
    shares = {one["id"]: 0 for one in answers}
    for one in answers:
        if one["verdict"]:
            accepted.setdefault(one["labeler"], []).append(one["id"])
    for labeler, ids in accepted.items():
        each, rest = divmod(amounts.get(labeler, 0), len(ids))
        for place, answer in enumerate(ids):
            shares[answer] = each + (rest if place == 0 else 0)
    return shares
