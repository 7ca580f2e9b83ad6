"""Votes of review panels: commit, then reveal. Every step is idempotent; none shows a vote before the commits close.

A round is locked while it changes, so that the last of several commits that come at once closes the commits, and no
commit is taken after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from assay.db.pool import Database, Session
from assay.domain import messages
from assay.errors import AlreadyDone, Conflict, FieldError, Forbidden, Gone, NotFound

WORK = 200
"""Rounds told to a validator at once."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a commit or reveal led to: `all_committed` and `all_revealed` are true for the one that completed it."""

    answer: bytes
    round: int
    all_committed: bool = False
    all_revealed: bool = False


async def _locked(tx: Session, answer: bytes, *, round: int, voter: bytes) -> Any:
    row = await tx.row("round_lock", answer, round)
    if row is None:
        raise NotFound(f"answer {answer.hex()} has no round {round}", field="round")
    if voter not in row["panel"]:
        raise Forbidden("this wallet is not on the panel of this round", field="voter")
    return row


async def commit(
    db: Database,
    *,
    voter: bytes,
    answer: bytes,
    round: int,
    commitment: bytes,
    signature: bytes,
    reveal_seconds: float,
) -> Step:
    """Takes a signed commitment; the same one again is fine. The last of a panel closes the commits.

    Raises `NotFound`, `Forbidden` (not on the panel), `SignatureInvalid`, `Gone` (commits are closed), `AlreadyDone`
    (this voter committed to something else).
    """
    if commitment == bytes(32):
        raise FieldError("commitment", "is all zero", hint="sha256 of vote and salt as docs/protocol.md says")
    async with db.transaction() as tx:
        row = await _locked(tx, answer, round=round, voter=voter)
        message = messages.commit(domain=row["domain"], answer=answer, round=round, voter=voter, commitment=commitment)
        messages.verify(signature, key=voter, message=message)
        votes = {vote["voter"]: vote for vote in await tx.fetch("votes_of_round", answer, round)}
        if voter in votes:
            if votes[voter]["commitment"] != commitment:
                raise AlreadyDone("this voter committed to another vote in this round", field="commitment")
            return Step(answer, round)
        if row["state"] != "commit" or row["commit_until"] <= datetime.now(UTC):
            raise Gone(f"the commits of round {round} are closed")
        await tx.execute("vote_commit", answer, round, voter, commitment, signature)
        complete = len(votes) + 1 == len(row["panel"])
        if complete:
            await tx.execute("round_close_commits", answer, round, reveal_seconds)
        return Step(answer, round, all_committed=complete)


async def reveal(db: Database, *, voter: bytes, answer: bytes, round: int, vote: int, salt: bytes) -> Step:
    """Opens a commitment; the same opening again is fine.

    Raises `NotFound`, `Forbidden`, `Conflict` (commits are still open, or the voter never committed), `Gone` (the round
    is closed), `FieldError` (it does not open the commitment).
    """
    async with db.transaction() as tx:
        row = await _locked(tx, answer, round=round, voter=voter)
        votes = {one["voter"]: one for one in await tx.fetch("votes_of_round", answer, round)}
        mine = votes.get(voter)
        if mine is None:
            raise Conflict("this voter did not commit in this round", field="voter")
        expected = messages.commitment(
            domain=row["domain"], answer=answer, round=round, voter=voter, vote=vote, salt=salt
        )
        if expected != mine["commitment"]:
            raise FieldError(
                "salt", "vote and salt do not open the commitment", hint=f"sha256 {mine['commitment'].hex()}"
            )
        if mine["vote"] is not None:
            return Step(answer, round)
        if row["state"] == "commit":
            raise Conflict("the commits of this round are still open: reveal when all of the panel have committed")
        if row["state"] != "reveal":
            raise Gone(f"round {round} is closed")
        await tx.execute("vote_reveal", answer, round, voter, bool(vote), salt)
        complete = all(one["vote"] is not None for key, one in votes.items() if key != voter)
        return Step(answer, round, all_revealed=complete)


async def work(db: Database, voter: bytes, *, answer: bytes | None = None) -> list[dict[str, Any]]:
    """Messages of type ``work``: what `voter` has to judge now (of `answer` only, if given)."""
    return [
        {
            "type": "work",
            **_round(row),
            "spec_cid": row["spec_cid"],
            "index": row["index"],
            "item": {"cid": row["item"], "media_type": row["media_type"]},
            "labeler": messages.b58(row["labeler"]),
            "content": row["content"],
            "signature": row["signature"].hex(),
        }
        for row in await _assigned(db, "work_assigned", voter, answer)
    ]


async def openings(db: Database, voter: bytes, *, answer: bytes | None = None) -> list[dict[str, Any]]:
    """Messages of type ``openings``: rounds whose commits have closed and which wait for the reveal of `voter`."""
    rows = await _assigned(db, "openings_due", voter, answer)
    commits = await _commits(db, rows)
    return [
        {
            "type": "openings",
            **_round(row),
            "commits": commits.get((row["answer"], row["round"]), []),
        }
        for row in rows
    ]


async def _assigned(db: Database, query: str, voter: bytes, answer: bytes | None) -> list[Any]:
    if answer is None:
        return await db.fetch(query, voter, WORK)
    return await db.fetch(f"{query}_of", voter, answer)


def _round(row: Any) -> dict[str, Any]:
    """What both messages say of a round."""
    return {
        "request": messages.b58(row["request"]),
        "domain": row["domain"].hex(),
        "answer": row["answer"].hex(),
        "round": row["round"],
        "panel_round": row["panel_round"],
        "panel": [messages.b58(member) for member in row["panel"]],
        "commit_until": row["commit_until"].timestamp().__trunc__(),
    }


async def _commits(db: Database, rows: Sequence[Any]) -> dict[tuple[bytes, int], list[dict[str, str]]]:
    """The commitments of some rounds, without votes or salts."""
    found: dict[tuple[bytes, int], list[dict[str, str]]] = {}
    if not rows:
        return found
    votes = await db.fetch("votes_of_rounds", [row["answer"] for row in rows], [row["round"] for row in rows])
    for vote in votes:
        found.setdefault((vote["answer"], vote["round"]), []).append(
            {
                "voter": messages.b58(vote["voter"]),
                "commitment": vote["commitment"].hex(),
                "signature": vote["signature"].hex(),
            }
        )
    return found
