"""What a worker checks before it signs or reveals anything. Every check ends in `Refused` with a code and the reason.

The chain says what the request is: domain, specification's hash, mode, buyer, panel, batch number. The evidence must
then lead, by its own signatures alone, to exactly the root, tallies and digest that were proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from assay.domain import batch as batches
from assay.domain import growth, merkle, messages, quorum, tally, votelog
from assay.domain.batch import Batch
from assay.domain.history import History
from assay.domain.spec import Spec
from assay.domain.tally import Role
from assay.domain.work import Task
from assay.errors import AssayError, FieldError
from assay_validator import once
from assay_validator.settled import Content
from assay_validator.state import Refused, State


@dataclass(frozen=True, slots=True)
class OnChain:
    """A request as this worker read it from the chain. Wallets, hashes and domain are raw bytes.

    `since`: wall time of its last batch, or of its posting; `panel_at`: market time of its last batch or drawing.
    """

    address: bytes
    buyer: bytes
    domain: bytes
    spec_hash: bytes
    mode: int
    state: int
    next_batch: int
    records: int
    records_done: int
    panel: tuple[bytes, ...]
    panel_round: int
    quorum_bps: int
    kind: int = 0
    since: int = 0
    panel_at: int = 0
    log_head: bytes = merkle.ZERO
    peaks: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, address: bytes, account: Any) -> OnChain:
        """From the decoded `Request` account."""
        return cls(
            address=address,
            buyer=bytes(account.buyer),
            domain=bytes(account.domain),
            spec_hash=bytes(account.spec_hash),
            mode=account.mode,
            state=account.state,
            next_batch=account.next_batch,
            records=account.records,
            records_done=account.records_done,
            panel=tuple(bytes(member) for member in account.panel[: account.panel_count]),
            panel_round=account.panel_round,
            quorum_bps=account.terms.params.quorum_bps,
            kind=account.kind,
            since=max(account.last_settled_at, account.posted_at),
            panel_at=account.panel_at,
            log_head=bytes(account.log_head),
            peaks=tuple(bytes(peak) for peak in account.peaks),
        )


@dataclass(frozen=True, slots=True)
class Signable:
    """A proposal that was found right: what is to be signed, and what it settles."""

    message: bytes
    content: Content
    tasks: tuple[Task, ...]


def _refuse(condition: bool, code: str, detail: str) -> None:
    if condition:
        raise Refused(code, detail)


def panel(request: OnChain, *, voter: bytes, panel_round: int, members: Sequence[bytes], state: State) -> None:
    """The panel that was named is the one on chain (or was, when this worker saw it), and `voter` is on it."""
    known = request.panel if panel_round == request.panel_round else state.panel(request.domain, round=panel_round)
    _refuse(
        known is None, "unknown_panel", f"panel {panel_round} was never seen on chain; it has {request.panel_round}"
    )
    _refuse(tuple(members) != known, "wrong_panel", f"panel {panel_round} is another one on chain")
    _refuse(voter not in members, "not_on_panel", "this validator is not on the panel")


def proposal(
    message: dict[str, Any],
    *,
    request: OnChain,
    spec: Spec,
    signer: bytes,
    state: State,
    participant: Callable[[bytes], bytes],
    history: History | None = None,
) -> Signable:
    """Recomputes a proposal from its evidence. Raises `Refused` naming the first thing that is not right.

    `state.settled` and `history` (for a specification that learns) must hold all earlier batches: `Past.upto`.
    """
    try:
        return _proposal(message, request, spec, signer, state, participant, history)
    except Refused:
        raise
    except FieldError as error:
        raise Refused("bad_evidence", str(error)) from error
    except AssayError as error:
        raise Refused(error.code, str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise Refused("malformed", f"{type(error).__name__}: {error}") from error


def _proposal(
    message: dict[str, Any],
    request: OnChain,
    spec: Spec,
    signer: bytes,
    state: State,
    participant: Callable[[bytes], bytes],
    history: History | None,
) -> Signable:
    number, panel_round = message["batch"], message["panel_round"]
    _refuse(request.state == 2, "request_closed", "the request is closed")
    _refuse(panel_round != request.panel_round, "wrong_panel", f"the panel's round is {request.panel_round}")
    _refuse(signer not in request.panel, "not_on_panel", "this validator is not on the panel")
    _refuse(
        number != request.next_batch,
        "wrong_batch",
        f"the chain's next batch is {request.next_batch}, not {number}",
    )
    _refuse(spec.hash != request.spec_hash, "wrong_specification", "it is not what the chain has the hash of")
    tasks = votelog.decode_tasks(message["tasks"])
    batches.verify(spec, domain=request.domain, tasks=tasks, buyer=request.buyer)
    _complete(spec, tasks, closing=request.state == 1)
    _grown(spec, tasks, history, closing=request.state == 1)
    _votes(tasks, request, spec, signer, state)
    found = batches.assemble(spec, domain=request.domain, tasks=tasks, participant=participant, history=history)
    tallies = [{"wallet": messages.b58(one.wallet), "tally": one.pack().hex()} for one in found.tallies]
    _unpaid(found, message["tallies"])
    _refuse(found.root.hex() != message["root"], "wrong_root", f"the entries' root is {found.root.hex()}")
    counts = (len(found.records), found.judged, len(found.answers), found.votes)
    claimed = tuple(message[name] for name in ("records", "judged", "answers", "votes"))
    _refuse(counts != claimed, "wrong_counts", f"records, judged, answers, votes are {counts}, not {claimed}")
    _refuse(tallies != message["tallies"], "wrong_tallies", "the tallies do not follow from the evidence")
    content = Content.of(found, spec=spec, participant=participant)
    digest = content.digest
    _refuse(digest.hex() != message["digest"], "wrong_digest", f"the digest is {digest.hex()}")
    once.check(found, content, spec=spec, domain=request.domain, tasks=tasks, settled=state.settled)
    _refuse(
        request.records_done + len(found.records) > request.records,
        "too_many_records",
        f"{request.records_done} of {request.records} records are done, the batch has {len(found.records)}",
    )
    return Signable(
        message=messages.batch(domain=request.domain, batch=number, panel_round=panel_round, digest=digest),
        content=content,
        tasks=tasks,
    )


def _unpaid(found: Batch, claimed: Any) -> None:
    """Labelers are left unpaid by the rule, and only by it. (Which answers it hits is in the root.)"""
    if not isinstance(claimed, list):
        return  # no tallies at all: refused as such
    said = {one["wallet"]: bytes.fromhex(one["tally"]) for one in claimed}
    for one in found.tallies:
        name, right = messages.b58(one.wallet), one.pack()
        other = said.get(name, right)
        differs = one.role is Role.LABELER and other != right and other[:8] == right[:8]
        units = int.from_bytes(other[8:], "little")
        detail = f"{units} of the {one.good} right answers of {name} are not paid; by the rule it is {one.units}"
        _refuse(differs, "wrong_pay", detail)


def _complete(spec: Spec, tasks: Sequence[Task], *, closing: bool) -> None:
    """In agreement a verdict rests on all answers: leaving some out would let the settler choose the label."""
    if spec.mode != "agreement" or closing:
        return
    for task in tasks:
        overlap = spec.items[task.index].overlap
        _refuse(
            len(task.answers) < overlap,
            "answers_missing",
            f"task {task.index} has {len(task.answers)} answers of {overlap}, and the request is open",
        )


def _grown(spec: Spec, tasks: Sequence[Task], history: History | None, *, closing: bool) -> None:
    """With dynamic overlap, each answer beyond the overlap was due when it was asked for, and no other is now."""
    try:
        growth.check(spec, tasks, history=history, closing=closing, begun=() if history is None else history.begun)
    except FieldError as error:
        raise Refused("growth_wrong", str(error)) from error


def _votes(tasks: Sequence[Task], request: OnChain, spec: Spec, signer: bytes, state: State) -> None:
    """Every answer by review has enough votes of a panel that the chain showed, ours among them if we revealed one."""
    if spec.mode != "review":
        return
    quorum.check_votes(tasks, panels=panels(request, state), quorum_bps=request.quorum_bps)
    for i, task in enumerate(tasks):
        task_id = messages.task_id(domain=request.domain, index=task.index, cid=spec.items[task.index].cid)
        for j, answer in enumerate(task.answers):
            answer_id, round = answer.id(domain=request.domain, task=task_id), answer.votes[0].round
            ours = state.vote(request.domain, answer_id, round=round)
            left_out = ours is not None and ours.revealed and signer not in {vote.voter for vote in answer.votes}
            detail = f"tasks[{i}].answers[{j}].votes: ours was revealed and is not among them"
            _refuse(left_out, "vote_left_out", detail)
            if ours is not None and (shown := state.shown(request.domain, answer_id, round=round)) is not None:
                for vote in answer.votes:
                    late = shown.get(vote.voter) != vote.commitment(domain=request.domain, answer=answer_id)
                    detail = f"{messages.b58(vote.voter)} had not committed to this vote when ours was opened"
                    _refuse(late, "late_vote", f"tasks[{i}].answers[{j}].votes: {detail}")


def panels(request: OnChain, state: State) -> list[tuple[bytes, ...]]:
    """The request's panels as far as they are known, the one in office first."""
    return [request.panel, *state.panels(request.domain)]


def openings(
    message: dict[str, Any],
    *,
    voter: bytes,
    domain: bytes,
    commitment: bytes,
    until: float,
    now: datetime,
    quorum_bps: int,
) -> dict[bytes, bytes]:
    """The commitments that are shown, by voter: the commits are closed, at least a quorum stands there, one's own as it
    was sent, all signed by their voters.

    `until`: the end of the commits as it was told when the work was given (seconds since 1970); no earlier one counts.
    Raises `Refused`: a vote is revealed only once nobody can commit any more, and never to fewer than can decide.
    """
    try:
        answer, round = bytes.fromhex(message["answer"]), message["round"]
        members = [messages.unb58(member, field="panel") for member in message["panel"]]
        found: dict[bytes, bytes] = {}
        for one in message["commits"]:
            wallet, said = messages.unb58(one["voter"], field="voter"), bytes.fromhex(one["commitment"])
            _refuse(wallet not in members, "not_on_panel", f"{one['voter']} committed without being on the panel")
            signed = messages.commit(domain=domain, answer=answer, round=round, voter=wallet, commitment=said)
            valid = messages.verified(bytes.fromhex(one["signature"]), key=wallet, message=signed)
            _refuse(not valid, "bad_signature", f"the commitment of {one['voter']} is not signed by it")
            _refuse(wallet in found, "twice", f"{one['voter']} committed twice")
            found[wallet] = said
        until = max(until, message["commit_until"])
    except (FieldError, KeyError, TypeError, ValueError) as error:
        raise Refused("malformed", f"{type(error).__name__}: {error}") from error
    _refuse(
        found.get(voter) != commitment, "commitment_missing", "our own commitment does not stand there as it was sent"
    )
    _refuse(
        len(found) < len(members) and now.timestamp() < until,
        "commits_open",
        f"{len(found)} of {len(members)} have committed and the time to commit is not over",
    )
    needed = tally.quorum(len(members), quorum_bps)
    _refuse(
        len(found) < needed,
        "too_few_commits",
        f"{len(found)} have committed, and {needed} make a verdict: the round has failed, and our vote stays closed",
    )
    return found
