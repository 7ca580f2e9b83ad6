"""Standings by wallet, from a request's log: what settler, validators and auditors all compute alike.

Standings are learned anew after 32, 40, 50, 62, … judged answers, each time a quarter more, from exactly that many
first ones of the log: everybody who has the log has the same register whenever it looks, and nobody has to learn at
each batch. What is learned from p answers is used once there are an eighth more, so that no batch waits for it: nobody
is judged by less than seven tenths of what is known of it. Before the first everybody is on trust, and fees are shared
alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import Any, TypeAlias

import numpy as np

from assay.consensus import Answers, resolve
from assay.consensus.collusion import detect
from assay.consensus.suspects import Suspects, suspect
from assay.domain.incentives import TRUST, Standings, explain, may_be_accepted, standings

FIRST_REFIT = 32
METHOD = "dawid_skene"
LEAD = 8
"""What is learned from p records is used once there are p / LEAD more."""


def refit_points(judged: int) -> Iterator[int]:
    """32, 40, 50, 62, … up to `judged`: each the one before and a quarter of it, rounded down."""
    point = FIRST_REFIT
    while point <= judged:
        yield point
        point += point // 4


def refit_point(judged: int) -> int:
    """How many of the first judged answers can be learned from: the largest of 32, 40, … not above `judged`, or 0."""
    return max(refit_points(judged), default=0)


def point_in_use(judged: int) -> int:
    """How many of the first judged answers (or records) what is learned in use is made of: 0 for nothing yet, else the
    largest refit point that the log has outgrown by an eighth, so that it could be learned beforehand.
    """
    return refit_point(judged - -(-judged // (LEAD + 1)))


FIRST_USE = next(judged for judged in count(FIRST_REFIT) if point_in_use(judged))
"""Judged answers (or records) from which on anything learned is used."""

Judged: TypeAlias = Sequence[tuple[Sequence[tuple[bytes, Any]], Any | None]]
"""Judged answers (or tasks) in the order of the log: each its votes (wallet, value), and the known value or None."""


def coded(judged: Judged, *, classes: Sequence[Any]) -> tuple[dict[bytes, int], Answers | None]:
    """Votes as integers: each wallet's code (by its bytes), and the answers; None where there are none.

    Raises ValueError for a value that is not of `classes`.
    """
    wallets = sorted({wallet for votes, _ in judged for wallet, _ in votes})
    place = {wallet: code for code, wallet in enumerate(wallets)}
    code = {value: index for index, value in enumerate(classes)}
    rows = [(task, place[wallet], value) for task, (votes, _) in enumerate(judged) for wallet, value in sorted(votes)]
    for value in (*(value for _, _, value in rows), *(known for _, known in judged if known is not None)):
        if value not in code:
            raise ValueError(f"value: {value!r} is not one of {list(classes)!r}")
    if not rows:
        return {}, None
    return place, Answers(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int32),
        np.array([code[row[2]] for row in rows], np.int32),
        len(judged),
        len(wallets),
        len(code),
        np.array([-1 if known is None else code[known] for _, known in judged], np.int32),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Register:
    """Standings by wallet. A wallet that is not in it is a newcomer."""

    place: dict[bytes, int]
    standing: Standings | None
    suspects: Suspects | None = None

    @classmethod
    def learn(
        cls,
        judged: Sequence[tuple[Sequence[tuple[bytes, Any]], Any | None]],
        *,
        classes: Sequence[Any],
    ) -> Register:
        """From judged answers (or tasks) in the order of the log: each its votes (wallet, value), and the known value
        or None.

        `judged` may be longer than a refit point: the rest is left out. Values are of `classes`; raises ValueError
        for any other.
        """
        place, answers = coded(judged[: refit_point(len(judged))], classes=classes)
        if answers is None:
            return cls({}, None)
        suspects = suspect(answers, detect(answers))
        return cls(place, standings(answers, resolve(METHOD, answers).worker_skill, suspects.group_of), suspects)

    def weight(self, wallet: bytes) -> int:
        """What its share of fees goes by: 0 to 1000."""
        at = self.place.get(wallet)
        return TRUST if at is None or self.standing is None else int(self.standing.weight[at])

    def weights(self, wallets: Iterable[bytes]) -> dict[bytes, int]:
        """The weights of several, for `verdict.review`."""
        return {wallet: self.weight(wallet) for wallet in wallets}

    def accepts(self, wallet: bytes, *, answer: bytes) -> bool:
        """Whether an answer (its id) of this labeler that agrees with the label is accepted; the id's hash is the lot
        of a group's members.
        """
        at = self.place.get(wallet)
        if at is None or self.standing is None:
            return True
        lot = int.from_bytes(sha256(b"assay-lot-v1\0\0\0\0" + answer).digest()[:8], "little")
        return may_be_accepted(self.standing, at, lot)

    def explain(self, wallet: bytes) -> str:
        """The rule's findings on this wallet in words."""
        at = self.place.get(wallet)
        if self.standing is None:
            return f"You are new here: paid on trust (weight {TRUST}) until {FIRST_USE} answers are judged."
        if at is None:
            return (
                f"You are new here: paid on trust (weight {TRUST}) until standings are learned again, as the judged "
                "answers of the request grow by a quarter."
            )
        text = explain(self.standing, at)
        if self.suspects is not None and self.group_size(wallet) > 1:
            text += f" Of your group: {self.suspects.groups[int(self.suspects.group_of[at])].explain()}"
        return text

    def group_size(self, wallet: bytes) -> int:
        """Members of the group that this wallet is suspected to belong to; 1: of none."""
        at = self.place.get(wallet)
        return 1 if at is None or self.standing is None else int(self.standing.group_size[at])
