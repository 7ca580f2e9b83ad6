"""The small market of `audited_market`, handing its tasks out by lot."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from audited_market import CID, PROGRAM, Request, World, wallet

from assay.domain import canonical, messages
from assay.domain.assignment import Circle, place, start
from assay.domain.assignment_log import Header, encode_header
from assay.domain.messages import b58


class Drawn(World):
    """A market that hands out by the rule, and keeps the log of it in `handouts`."""

    handouts: list[bytes]

    def lines(self, request: str) -> Iterator[bytes] | None:
        if request.endswith(".tasks"):
            return iter(self.handouts) if self.handouts else None
        return super().lines(request)

    def begin(self, request: Request, *, free: int = 20) -> None:
        domain = request.domain
        ids = [messages.task_id(domain=domain, index=i, cid=CID) for i in range(len(request.spec.items))]
        wanted = [item.overlap if request.spec.mode == "agreement" else 1 for item in request.spec.items]
        self.circle = Circle([place(domain=domain, task=task) for task in ids], wanted)
        self.handouts = [encode_header(Header(PROGRAM, request.address, domain, free, 20)) + b"\n"]
        self.walks: dict[str, list[int]] = {}
        self.had: dict[str, set[int]] = {}

    def write(self, *, at: int | None = None, **line: Any) -> None:
        number, previous = len(self.handouts), sha256(self.handouts[-1][:-1]).hexdigest()
        line = {**line, "line": number, "at": number if at is None else at, "previous": previous}
        self.handouts.append(canonical.dumps(line) + b"\n")

    def hand_out(self, request: Request, name: str, *, at: int | None = None) -> int:
        """One task to a labeler; its index."""
        walk = self.walks.setdefault(name, [len(self.walks) + 1, 0])
        walk[1] += 1
        begin = start(domain=request.domain, walk=walk[0], n=walk[1])
        had = self.had.setdefault(name, set())
        (index,) = self.circle.draw(begin, 1, had.__contains__)
        had.add(index)
        self.circle.take(index)
        self.write(
            type="handout", wallet=b58(wallet(name)), walk=walk[0], n=walk[1], start=begin, asked=1, point=0,
            tasks=[index], at=at,
        )  # fmt: skip
        return index
