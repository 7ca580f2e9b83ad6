"""Owners: which wallets of a request are held to be one, from its settled answers.

Nothing on the chain says who owns a wallet, so an owner is a wallet, until a group is found whose members answer as one
(`assay.consensus.collusion`). From then on its members have one voice: what one was handed, no other is. Groups are
learned from exactly the first 32, 64, 128, … records of the request's vote log, so an auditor learns the same ones.
They double, unlike the points of pay: each is a line of the published log that an auditor learns again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.consensus.collusion import detect
from assay.domain.spec import Spec
from assay.domain.standing import Judged, coded

RULE = 3
"""Number of the rule below. It changes with whatever changes the groups it finds: `detect` too."""
FIRST_POINT = 2**5
LAST_POINT = 2**15
"""Nothing is learned beyond so many records: each point costs twice the one before, and a group that was not found in
these has little left to gain.
"""


def learns(spec: Spec) -> bool:
    """Whether a request's owners are learned: by agreement on choices, assigned at random. Elsewhere owner = wallet."""
    return (spec.assignment, spec.mode, spec.kind) == ("random", "agreement", "choice")


def owners_point(records: int) -> int:
    """How many of the first `records` records the owners are learned from: 0, 32, 64, … up to `LAST_POINT`."""
    return min(1 << records.bit_length() - 1, LAST_POINT) if records >= FIRST_POINT else 0


def groups(judged: Judged, *, classes: Sequence[Any]) -> tuple[tuple[bytes, ...], ...]:
    """Groups of wallets that answer as one, each sorted, in order of their first wallet.

    `judged`: each record's answers (labeler, value) and its gold value or None, as many as the point says. Raises
    ValueError for a value that is not of `classes`.
    """
    place, answers = coded(judged, classes=classes)
    if answers is None:
        return ()
    number = detect(answers).as_one
    members: dict[int, list[bytes]] = {}
    for wallet, code in place.items():
        if number[code] >= 0:
            members.setdefault(int(number[code]), []).append(wallet)
    return tuple(sorted(tuple(sorted(group)) for group in members.values() if len(group) > 1))
