"""A settlement that a test can bend at any joint before it is sent."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flows import Flows
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from world import VALIDATOR, Actor, Outcome, Posted, TallyOf

from assay.chain.ed25519 import signatures_instruction

FIGURES = ("records", "judged", "answers", "votes")


@dataclass
class Draft:
    """Arguments, accounts and signatures of one `settle_batch`; everything may be replaced."""

    world: Flows
    posted: Posted
    args: dict[str, Any]
    tallies: list[TallyOf]
    signers: list[Actor]
    accounts: dict[str, Pubkey]
    pairs: list[AccountMeta] = field(default_factory=list)
    message: bytes | None = None
    """Signed instead of the right one."""

    def digest(self) -> bytes:
        head = self.args["root"] + struct.pack("<HHHI", *(self.args[name] for name in FIGURES))
        tallies = zip(self.pairs[0::2], self.tallies, strict=False)
        return hashlib.sha256(head + b"".join(bytes(meta.pubkey) + tally.pack() for meta, tally in tallies)).digest()

    def right_message(self) -> bytes:
        request = self.world.request(self.posted)
        head = b"assay-batch-v1\0\0" + bytes(request.domain)
        return head + struct.pack("<QI", self.args["batch"], request.panel_round) + self.digest()

    def settle(self) -> Instruction:
        args = {**self.args, "tallies": [tally.args() for tally in self.tallies]}
        return self.world.build("settle_batch", accounts=self.accounts, args=args, remaining=self.pairs)

    def signatures(self) -> Instruction:
        message = self.message or self.right_message()
        return signatures_instruction(
            message, [(one.wallet, bytes(one.key.sign_message(message))) for one in self.signers]
        )

    def send(self, *instructions: Instruction) -> Outcome:
        """Sends the two instructions, or the given ones."""
        chosen = instructions or (self.signatures(), self.settle())
        return self.world.send(*chosen, signers=[self.world.authority])


def draft(
    world: Flows, posted: Posted, tallies: Sequence[TallyOf], *, signers: Sequence[Actor], **changes: Any
) -> Draft:
    """The settlement that these tallies make; `changes` replace arguments (and are signed)."""
    request = world.request(posted)
    ordered = sorted(tallies, key=lambda tally: bytes(tally.actor.participant))
    labelers = [tally for tally in ordered if tally.actor.role != VALIDATOR]
    votes = sum(tally.good + tally.bad for tally in ordered if tally.actor.role == VALIDATOR)
    good = sum(tally.good for tally in labelers)
    answers = good + sum(tally.bad for tally in labelers)
    args: dict[str, Any] = {
        "batch": request.next_batch,
        "root": bytes(32),
        "records": good,
        "judged": answers if request.mode == 1 else good,
        "answers": answers,
        "votes": votes,
        **changes,
    }
    made = Draft(world, posted, args, ordered, list(signers), {"request": posted.address, **world.money(posted)})
    paid = [tally.actor for tally in ordered] + (list(signers) if request.mode == 0 else [])
    for actor in paid:
        for key in (actor.participant, world.payout_of(actor, posted.mint)):
            made.pairs.append(AccountMeta(key, False, True))
    return made
