"""Who is paid as one: groups that are flagged, and groups that are only likely.

Pay that was withheld in error comes back with the next standings, a flag in error does harm: so pay goes by milder
levels than flags, labels and hand-outs do, and by a search (`blocks`) that finds copies with fewer answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .answers import Answers, Ints
from .blocks import find_blocks
from .collusion import Collusion, coarse, independent
from .groups import Group

ALPHA = 1e-2
"""The chance that a crowd without a group shows one."""
OWN = math.log(50)
"""What a member's answers must add (ln LR): of fifty others one does at most."""
EVEN = 0.0
"""Standard errors by which a likely group must agree more than independent workers would: whichever is likelier."""


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """`groups` that are paid as one; `group_of`: int32[n_workers], the index of each worker's or -1."""

    groups: tuple[Group, ...]
    group_of: Ints


def suspect(answers: Answers, found: Collusion) -> Suspects:
    """The flagged groups of `found`, with members that they lack, and the likely ones beside them."""
    flagged = [group for group in found.groups if group.as_one]
    answers = coarse(answers)
    likely = [group for one in find_blocks(answers, flagged, alpha=ALPHA) if (group := one.group(ALPHA, OWN))]
    groups = tuple(_joined(flagged, [group for group in likely if not independent(answers, group, proof=EVEN)]))
    group_of = np.full(answers.n_workers, -1, np.int32)
    for index, group in enumerate(groups):
        group_of[list(group.workers)] = index
    return Suspects(groups, group_of)


def _joined(groups: Sequence[Group], likely: Sequence[Group]) -> list[Group]:
    """Both as disjoint groups, strongest first: a likely group takes in the others of which it holds half, and leaves
    the rest alone.
    """
    rest, joined = list(groups), []
    for one in likely:
        mine = set(one.workers)
        inside = [group for group in rest if 2 * len(mine & set(group.workers)) >= len(group.workers)]
        rest = [group for group in rest if group not in inside]
        mine = mine.union(*(group.workers for group in inside)).difference(*(group.workers for group in rest))
        if len(mine) > 1:
            joined.append(replace(one, workers=tuple(sorted(mine))))
    return sorted((*rest, *joined), key=lambda group: group.bound - group.z)
