"""Are the votes that a verdict rests on those of a panel, and enough of it? The same for validators and auditor."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from assay.domain import tally
from assay.domain.messages import b58
from assay.domain.work import Answer, Task
from assay.errors import Conflict

Panels = Collection[Collection[bytes]]
"""Panels of a request, each the wallets of its members."""


def _answers(tasks: Iterable[Task]) -> Iterator[tuple[str, Answer]]:
    for i, task in enumerate(tasks):
        for j, answer in enumerate(task.answers):
            yield f"tasks[{i}].answers[{j}].votes", answer


def _panel(answer: Answer, panels: Panels) -> Collection[bytes] | None:
    voters = {vote.voter for vote in answer.votes}
    return next((panel for panel in panels if voters.issubset(panel)), None)


def all_known(tasks: Iterable[Task], panels: Panels) -> bool:
    """Whether the voters on each answer are all of one of `panels`."""
    return all(_panel(answer, panels) is not None for _, answer in _answers(tasks))


def check_votes(tasks: Iterable[Task], *, panels: Panels, quorum_bps: int) -> None:
    """Every answer (by review) has the votes of at least a quorum of one of `panels`, all of one round, one a voter.

    Raises `Conflict` with the field and the code ``mixed_rounds``, ``voted_twice``, ``unknown_voters`` or
    ``too_few_votes``. Signatures are checked elsewhere (`batch.verify`).
    """
    for field, answer in _answers(tasks):
        rounds = {vote.round for vote in answer.votes}
        if len(rounds) > 1:
            raise Conflict(f"are of {len(rounds)} rounds", field=field, hint="one", code="mixed_rounds")
        voters = [vote.voter for vote in answer.votes]
        if len(set(voters)) != len(voters):
            twice = next(voter for voter in voters if voters.count(voter) > 1)
            raise Conflict(f"hold two of {b58(twice)}", field=field, hint="one a voter", code="voted_twice")
        panel = _panel(answer, panels)
        if panel is None:
            detail = f"are of {', '.join(b58(voter) for voter in voters)}, who were never a panel of this request"
            raise Conflict(detail, field=field, code="unknown_voters")
        needed = tally.quorum(len(panel), quorum_bps)
        if len(voters) < needed:
            raise Conflict(
                f"are {len(voters)}", field=field, hint=f"{needed} of the panel's {len(panel)}", code="too_few_votes"
            )
