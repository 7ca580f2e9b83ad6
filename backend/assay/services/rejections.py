"""What a labeler needs to dispute the rejection of an answer: the proof, the bond, until when.

The chain is the judge of all of it; what is checked here is checked so that a refusal says what is wrong, before a fee
is paid for hearing it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from solders.pubkey import Pubkey

from assay.chain.addresses import Addresses
from assay.domain import entries, merkle, money
from assay.domain.entries import ACCEPTED, REJECTED, UNPAID, AnswerEntry, RecordEntry
from assay.domain.messages import b58
from assay.errors import AccountMalformed, AlreadyDone, Conflict, Forbidden, Gone, NotFound, Unavailable

if TYPE_CHECKING:
    from assay.services.market import Market

Outcome = Literal["open", "upheld", "dismissed", "lapsed"]
OUTCOMES: tuple[Outcome, ...] = ("open", "upheld", "dismissed", "lapsed")
"""States of a dispute, by their number on chain."""
LEAVES = 1 << 18
"""Leaves of the trees that are remembered, about 130 bytes each; two trees always are."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A rejection's entry, and its way to the peaks that the request keeps on chain: `open_dispute`'s arguments.

    `settled_at`: market time of the batch. `proof` leads from the entry to the batch's root, `log_proof` from the
    batch's leaf to its peak as it was when `batches` batches were settled.
    """

    answer: bytes
    task: bytes
    confidence: int
    evidence: bytes
    batch: int
    index: int
    settled_at: int
    digest: bytes
    proof: tuple[bytes, ...]
    log_proof: tuple[bytes, ...]
    batches: int

    def arguments(self) -> dict[str, Any]:
        """For `Instructions.open_dispute`."""
        return {
            "answer_id": self.answer,
            "task_id": self.task,
            "confidence": self.confidence,
            "evidence": self.evidence,
            "batch": self.batch,
            "index": self.index,
            "settled_at": self.settled_at,
            "digest": self.digest,
            "proof": list(self.proof),
            "log_proof": list(self.log_proof),
        }


@dataclass(frozen=True, slots=True)
class Disputable:
    """A rejection that can be disputed: the dispute's address, the bond (base units of the market's first mint), and
    the market time until which.
    """

    request: bytes
    dispute: bytes
    bond: int
    until: int
    proof: Proof


@dataclass(frozen=True, slots=True)
class _Span:
    """What a tree is over: the batches from `first` on before `end`; without `end`, the entries of batch `first`."""

    request: bytes
    first: int
    end: int = 0


_Made = tuple[merkle.Tree, Mapping[bytes, int]]
"""A tree, and of a batch's the place of each answer by its id."""


class Rejections:
    """Proofs of rejections, and what became of disputes."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._addresses = Addresses(market.chain.program.id)
        self._turn = asyncio.Lock()  # one tree at a time, so that many who ask cannot take the machine
        self._made: OrderedDict[_Span, _Made] = OrderedDict()

    async def disputable(self, wallet: bytes, answer: bytes) -> Disputable:
        """What `wallet` needs to dispute the rejection of its answer.

        Raises `NotFound` (no such answer), `Forbidden` (another's), `Conflict` (not settled yet, not rejected, no
        disputes, no reserve, the bond is more than the wallet has), `AlreadyDone` (disputed), `Gone` (too late).
        """
        row = await self._answer(wallet, answer)
        if row["state"] != "settled":
            raise Conflict("this answer is not settled yet: only a rejection that stands on chain can be disputed")
        if row["verdict"]:
            said = "right, and not paid" if row["unpaid"] else "accepted"
            raise Conflict(f"this answer was {said}: only a rejection can be disputed", field="answer")
        request = row["request"]
        account = await self._market.requests.account(request)
        if account is None:
            raise Gone("the request was closed and its account is no longer kept: nothing can be proven against it")
        dispute = self.address(request, answer)
        if (found := await self.account(dispute)) is not None:
            raise AlreadyDone(f"this answer was disputed before: dispute {dispute}, {OUTCOMES[found.state]}")
        terms = account.terms.params
        if terms.dispute_window == 0:
            raise Conflict("this request's terms have no disputes")
        proof = await self.proof(request, answer, batches=account.next_batch)
        until = proof.settled_at + terms.dispute_window
        now = await self._market.terms.now()
        if now >= until:
            raise Gone(f"the time to dispute this answer was over {now - until} s ago", field="answer")
        pay = money.labeler_pay(1, account.price, max(account.terms.premium_bps))
        if not any(one.until >= until and one.amount >= pay for one in account.reserves):
            raise Conflict("nothing is reserved for this rejection any more: other disputes hold it")
        _, tokens = await self._market.relay.funds(wallet)
        if tokens[0] < terms.dispute_bond:
            places = await self._market.terms.decimals()
            bond, held = money.format(terms.dispute_bond, places), money.format(tokens[0], places)
            raise Conflict(f"the bond is {bond} tokens, and this wallet holds {held}", field="bond")
        return Disputable(request, bytes(dispute), terms.dispute_bond, until, proof)

    async def dispute(self, wallet: bytes, answer: bytes) -> tuple[Pubkey, Any]:
        """Address and account of the dispute over an answer of `wallet`. Raises `NotFound`, `Forbidden`."""
        row = await self._answer(wallet, answer)
        address = self.address(row["request"], answer)
        found = await self.account(address)
        if found is None:
            raise NotFound("this answer is not disputed, or its dispute was closed long ago", field="answer")
        return address, found

    def address(self, request: bytes, answer: bytes) -> Pubkey:
        """Where the dispute over an answer is, or would be."""
        return self._addresses.dispute(Pubkey(request), answer)

    async def proof(self, request: bytes, answer: bytes, *, batches: int) -> Proof:
        """The proof of a settled answer's entry against the peaks of the first `batches` batches.

        Raises `NotFound`, and `Unavailable` where the market does not know all of these batches yet.
        """
        row = await self._db.row("answer_by_id", answer)
        if row is None or row["batch"] is None or row["request"] != request:
            raise NotFound("no batch has settled this answer", field="answer")
        number = row["batch"]
        if number >= batches:
            raise Unavailable(f"batch {number} is not on chain yet", retry_after=1)
        height, first = merkle.locate(number, batches)
        async with self._turn:
            peak, _ = await self._tree(_Span(request, first, first + (1 << height)), self._read_peak)
            tree, places = await self._tree(_Span(request, number), self._read_batch)
        mine = await self._db.row("batch_leaves", request, number, number + 1)
        if mine is None:
            raise Unavailable("the market is learning the request's batches anew", retry_after=1)
        return Proof(
            answer=answer,
            task=row["task"],
            confidence=row["confidence"],
            evidence=row["evidence"],
            batch=number,
            index=places[answer],
            settled_at=mine["settled_time"],
            digest=mine["digest"],
            proof=tree.proof(places[answer]),
            log_proof=peak.proof(number - first),
            batches=batches,
        )

    async def _answer(self, wallet: bytes, answer: bytes) -> Any:
        row = await self._db.row("answer_by_id", answer)
        if row is None:
            raise NotFound(f"there is no answer {answer.hex()}", field="answer")
        if row["labeler"] != wallet:
            raise Forbidden(f"this answer is not yours: {b58(row['labeler'])} gave it", field="answer")
        return row

    async def account(self, dispute: Pubkey) -> Any:
        """The decoded dispute; None where there is none."""
        account = await self._market.chain.account(dispute)
        if account is None or account.owner != self._market.chain.program.id:
            return None
        try:
            return self._market.chain.program.codec.decode_account(bytes(account.data), name="Dispute")
        except AccountMalformed:  # another of the program's accounts
            return None

    async def _tree(self, span: _Span, read: Callable[[_Span], Awaitable[Callable[[], _Made]]]) -> _Made:
        """The tree over `span`, made in a thread and remembered: what is settled never changes."""
        made = self._made.get(span)
        if made is None:
            made = self._made[span] = await asyncio.to_thread(await read(span))
        self._made.move_to_end(span)
        while len(self._made) > 2 and sum(tree.count for tree, _ in self._made.values()) > LEAVES:
            self._made.popitem(last=False)
        return made

    async def _read_peak(self, span: _Span) -> Callable[[], _Made]:
        """The peak over batches: what makes its tree. Raises `Unavailable`."""
        rows = await self._db.fetch("batch_leaves", span.request, span.first, span.end)
        if [one["batch"] for one in rows if one["settled_time"] is not None] != list(range(span.first, span.end)):
            raise Unavailable("the market does not know all of the request's batches yet", retry_after=1)

        def make() -> _Made:
            leaves = [
                merkle.batch_leaf(batch=one["batch"], root=one["root"], at=one["settled_time"], digest=one["digest"])
                for one in rows
            ]
            return merkle.Tree(leaves), {}

        return make

    async def _read_batch(self, span: _Span) -> Callable[[], _Made]:
        """A batch's entries: what makes their tree, and the place of each answer in it. Raises `Unavailable`."""
        answers = await self._db.fetch("entries_of_answers", span.request, span.first)
        records = await self._db.fetch("entries_of_records", span.request, span.first)
        batch = await self._db.row("batch_leaves", span.request, span.first, span.first + 1)

        def make() -> _Made:
            said = [
                AnswerEntry(
                    one["id"], one["task"], one["labeler"],
                    REJECTED if not one["verdict"] else UNPAID if one["unpaid"] else ACCEPTED,
                    one["confidence"], one["evidence"],
                )
                for one in answers
            ]  # fmt: skip
            labels = [RecordEntry(one["id"], one["label_hash"], one["confidence"]) for one in records]
            tree = merkle.Tree.of(entries.ordered(said, labels))
            if batch is None or tree.root != batch["root"]:
                raise Unavailable("the batch's entries do not lead to its root: the published log has them")
            return tree, {one.answer: place for place, one in enumerate(said)}

        return make
