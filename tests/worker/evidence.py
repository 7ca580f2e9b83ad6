"""Signed evidence, and the proposals that follow from it, for tests of what a worker signs."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

from solders.keypair import Keypair

from assay.domain import batch, canonical, messages, spec, votelog
from assay.domain.spec import Spec
from assay.domain.work import Answer, Task, Vote
from assay_validator.checks import OnChain

DOMAIN = b"\7" * 32
BUYER = bytes(Keypair().pubkey())
PANEL = [Keypair() for _ in range(3)]
LABELERS = [Keypair() for _ in range(3)]
CID = "bafkrei" + "a" * 52


def participant(wallet: bytes) -> bytes:
    return sha256(b"participant" + wallet).digest()


def wallet(key: Keypair) -> bytes:
    return bytes(key.pubkey())


def make_spec(mode: str, **changes: Any) -> Spec:
    return spec.parse(
        {
            "title": "t", "instructions": "", "kind": "choice", "schema": {"classes": ["cat", "dog"]}, "mode": mode,
            "overlap": 3 if mode == "agreement" else 1,
            "items": [{"cid": CID, "media_type": "image/png"} for _ in range(2)],
        }
        | changes
    )  # fmt: skip


def answer(asked: Spec, index: int, labeler: Keypair, label: str, votes: tuple[int, ...] = ()) -> Answer:
    task = messages.task_id(domain=DOMAIN, index=index, cid=asked.items[index].cid)
    content = {"value": label}
    content_hash = canonical.digest(content)
    signed = messages.answer(domain=DOMAIN, task=task, labeler=wallet(labeler), content_hash=content_hash)
    made = Answer(wallet(labeler), content, messages.sign(labeler, signed))
    cast = tuple(
        vote_on(made.id(domain=DOMAIN, task=task), voter, vote) for voter, vote in zip(PANEL, votes, strict=False)
    )
    return replace(made, votes=cast)


def vote_on(answer_id: bytes, voter: Keypair, vote: int, *, round: int = 0) -> Vote:
    salt = sha256(answer_id + wallet(voter)).digest()
    commitment = messages.commitment(
        domain=DOMAIN, answer=answer_id, round=round, voter=wallet(voter), vote=vote, salt=salt
    )
    message = messages.commit(domain=DOMAIN, answer=answer_id, round=round, voter=wallet(voter), commitment=commitment)
    return Vote(wallet(voter), round, vote, salt, messages.sign(voter, message))


def on_chain(asked: Spec) -> OnChain:
    return OnChain(
        address=b"\1" * 32, buyer=BUYER, domain=DOMAIN, spec_hash=asked.hash, mode=asked.mode_number, state=0,
        next_batch=4, records=2, records_done=0, panel=tuple(map(wallet, PANEL)), panel_round=2, quorum_bps=6666,
    )  # fmt: skip


def proposal(asked: Spec, tasks: list[Task]) -> dict[str, Any]:
    made = batch.assemble(asked, domain=DOMAIN, tasks=tasks, participant=participant)
    return {
        "type": "proposal", "request": messages.b58(b"\1" * 32), "batch": 4, "panel_round": 2,
        "root": made.root.hex(), "digest": made.digest(participant).hex(), "records": len(made.records),
        "judged": made.judged, "answers": len(made.answers), "votes": made.votes,
        "tallies": [{"wallet": messages.b58(one.wallet), "tally": one.pack().hex()} for one in made.tallies],
        "tasks": votelog.encode_tasks(tasks),
    }  # fmt: skip
