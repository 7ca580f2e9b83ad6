"""A seat on a dispute's panel: what is checked, on the chain that this worker trusts, before it judges the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from solders.pubkey import Pubkey

from assay.chain.base import Chain
from assay.domain import dispute as domain
from assay.domain import merkle, messages
from assay.domain.dispute import Dispute
from assay.domain.entries import REJECTED, AnswerEntry
from assay.errors import AccountMalformed
from assay_validator.checks import OnChain
from assay_validator.requests import Requests
from assay_validator.state import Refused

MAX_TREE = 20
"""Siblings of an entry at most, as the program has it."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A dispute in whose panel this worker sits. `address` and `answer` are raw bytes."""

    address: bytes
    request: OnChain
    dispute: Dispute

    @property
    def answer(self) -> bytes:
        """Id of the answer that was rejected."""
        return self.dispute.answer

    def message(self, *, upheld: bool) -> bytes:
        """What a vote signs."""
        return messages.dispute(
            domain=self.request.domain, dispute=self.address, panel_round=self.dispute.round, upheld=upheld
        )


async def seat(message: dict[str, Any], *, wallet: bytes, chain: Chain, requests: Requests) -> Seat:
    """The dispute as the chain has it. Raises `Refused` unless it is open and `wallet` sits in the panel in office."""
    address, key = (messages.unb58(message[name], field=name) for name in ("dispute", "request"))
    account = await chain.account(Pubkey(address))
    if account is None or account.owner != chain.program.id:
        raise Refused("unknown_dispute", "there is no such dispute on this chain")
    try:
        decoded = chain.program.codec.decode_account(bytes(account.data), name="Dispute")
    except AccountMalformed as error:
        raise Refused("unknown_dispute", str(error)) from error
    request, terms = await requests.read(key)
    found = Dispute.of(decoded, terms)
    if found.request != key:
        raise Refused("wrong_request", f"the dispute is over an answer to request {messages.b58(found.request)}")
    if found.state != domain.OPEN:
        raise Refused("dispute_over", "the dispute has ended")
    if found.round != message["panel_round"]:
        raise Refused("wrong_panel", f"the dispute's panel on chain is of round {found.round}")
    if wallet not in found.panel:
        raise Refused("not_on_panel", "this validator is not on the dispute's panel")
    return Seat(address, request, found)


def proven(seat: Seat, message: dict[str, Any], *, task: bytes, labeler: bytes, participant: bytes) -> None:
    """The disputed answer is one that the request's log on chain has as a rejection of this labeler's.

    `participant`: the labeler's account. Raises `Refused` (``wrong_answer``, ``wrong_proof``).
    """
    one, request = seat.dispute, seat.request
    if one.labeler != participant:
        raise Refused("wrong_answer", "the dispute is another labeler's")
    siblings, log_siblings = ([bytes.fromhex(x) for x in message[name]] for name in ("proof", "log_proof"))
    place = message["place"]
    entry = AnswerEntry(one.answer, task, labeler, REJECTED, message["confidence"], one.evidence)
    if len(siblings) > MAX_TREE or not 0 <= place < 1 << len(siblings) or one.batch >= request.next_batch:
        raise Refused("wrong_proof", "there is no such place in a batch")
    root = merkle.climb(merkle.leaf(entry.pack()), place, siblings)
    leaf = merkle.batch_leaf(batch=one.batch, root=root, at=one.settled_at, digest=bytes.fromhex(message["digest"]))
    height, first = merkle.locate(one.batch, request.next_batch)
    proof = merkle.MountainProof(one.batch, height, tuple(log_siblings))
    if not merkle.verify_mountain(leaf, proof, count=request.next_batch, peaks=request.peaks):
        raise Refused(
            "wrong_proof",
            f"entry, proof and digest do not lead to peak {height} of the {request.next_batch} batches on chain "
            f"(batches up to {first + (1 << height) - 1})",
        )
