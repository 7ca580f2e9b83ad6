"""The hand-outs of a request, replayed from its published log: every start, every walk, every owner, every answer.

The log has one order, in which each line stands for one transaction; so a hand-out is recomputed from the lines before
it and compared exactly. What the lines say is checked against the vote log at the end: answers, and learned owners.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any

from assay.domain import learning, messages, owners
from assay.domain.assignment import Circle, place, start
from assay.domain.assignment_log import Ended, HandOut, Header, More, Owners, read
from assay.domain.messages import b58
from assay.domain.spec import Spec
from assay.domain.standing import point_in_use
from assay.domain.verdict import value_of
from assay.domain.votelog import Line
from assay.domain.work import Later
from assay.errors import FieldError
from assay.services.audit.reader import ChainEvent, Logs
from assay.services.audit.report import Mismatch, Scope
from assay.services.audit.scores import Scores

GRACE_MS = 600_000
"""How long after the settlement that reached a point hand-outs may still go by older owners, and after its own
settlement an answer's hand-out may be dated: learning takes a while, and the clocks of chain and database differ.
"""
EARLY_MS = 60_000
"""How much earlier than its lease says a lapse may come: a lease begins when its claim reaches the database, where it
waits for its turn, a minute at most, before the line is written.
"""
CHECK = "assignment"


@dataclass(slots=True)
class _Settled:
    """What a request's vote log says of it. `answers`: task, labeler, and when it was settled; `reached`: point → when,
    both in milliseconds of wall time. `grown`: where tasks may grow, by index a task's later answers, and whether it
    was settled with what it had; `models`: point → since when its model decides that, at the earliest and the latest.
    """

    answers: list[tuple[int, bytes, float]] = field(default_factory=list)
    records: list[tuple[list[tuple[bytes, Any]], Any | None]] = field(default_factory=list)
    count: int = 0
    reached: dict[int, int] = field(default_factory=dict)
    grown: dict[int, tuple[Later, bool]] = field(default_factory=dict)
    models: dict[int, tuple[float, float]] = field(default_factory=lambda: {0: (0, 0)})


class AssignmentAudit:
    """`take` every event and `settled` every batch, in the chain's order, `scores` too; then `check` each request."""

    def __init__(self) -> None:
        self.scores = Scores()
        self._paused = 0
        self._pausing = False
        self._requests: dict[bytes, _Settled] = {}

    def take(self, event: ChainEvent) -> None:
        """Learns how long the market was paused: a settlement's time leaves that out."""
        if event.name == "Paused":
            self._pausing = True
            self.scores.paused(event.data.at)
        elif event.name == "Unpaused":
            self._paused, self._pausing = event.data.paused_total, False
            self.scores.unpaused(event.data.at, total=self._paused)

    def settled(self, request: bytes, spec: Spec, line: Line, *, at: int, closing: bool = False) -> None:
        """A batch of a request, settled at market time `at`; `closing`: when it handed out nothing more."""
        if spec.assignment != "random":
            return
        one = self._requests.setdefault(request, _Settled())
        wall = inf if self._pausing else (at + self._paused) * 1000  # in a pause the market's time stands still
        for task in sorted(line.tasks, key=lambda task: task.index):
            for answer in task.answers:
                if task.settles is None or answer.labeler in task.settles:
                    one.answers.append((task.index, answer.labeler, wall))
            if spec.more is not None:
                one.grown.setdefault(task.index, (task.later, closing))
            if not task.record or not owners.learns(spec):
                continue
            one.count += 1
            if one.count <= owners.LAST_POINT:
                known = None if task.gold is None else value_of(task.gold.label)
                one.records.append(([(a.labeler, value_of(a.content)) for a in task.answers], known))
            if owners.owners_point(one.count) == one.count:
                one.reached[one.count] = (at + self._paused) * 1000
        if spec.more is not None and learning.learns(spec) and not spec.weighs:
            one.models.setdefault(point_in_use(len(one.grown)), ((at + self._paused) * 1000, wall))

    def check(self, request: bytes, *, program: bytes, domain: bytes, spec: Spec, logs: Logs, scope: Scope) -> int:
        """How many hand-outs there were; raises `Mismatch` at the first thing that does not fit.

        `<request>.tasks.jsonl` has to be there where answers are settled.
        """
        if spec.assignment != "random":
            return 0
        settled = self._requests.pop(request, _Settled())
        lines = logs.lines(f"{b58(request)}.tasks")
        if lines is None:
            if settled.answers:
                raise scope.fail(CHECK, f"{b58(request)}.tasks.jsonl is missing")
            return 0
        replayed = _Replay(spec, domain, settled, scope, self.scores)
        header = Header(program, request, domain, 0, 0)
        try:
            replayed.run(lines, header)
        except FieldError as error:
            raise scope.fail(CHECK, str(error)) from error
        seen: set[tuple[int, bytes]] = set()
        for index, labeler, at in settled.answers:
            if (index, labeler) in seen:
                raise scope.fail(CHECK, f"{b58(labeler)} answered task {index} twice")
            seen.add((index, labeler))
            if index not in replayed.hands.get(labeler, {}):
                if replayed.beyond is not None:
                    raise replayed.beyond
                raise scope.fail(CHECK, f"{b58(labeler)} answered task {index}, which it was not handed")
            if replayed.times[line := replayed.hands[labeler][index]] > at + GRACE_MS:
                raise scope.fail(CHECK, f"line {line}: task {index} was handed out after its answer was settled")
        replayed.check_growth()
        return replayed.handouts


@dataclass(slots=True)
class _Wallet:
    """What a wallet had: its walk, tasks, leases that ended without an answer, and hand-outs."""

    walk: int
    tasks: int = 0
    given_back: int = 0
    asked: list[_Asked] = field(default_factory=list)


@dataclass(slots=True)
class _Asked:
    """A hand-out, and what the wallet had before it. `held`: of that, what was in hand and came back later."""

    line: int
    at: int
    asked: int
    tasks: int
    given_back: int
    held: int = 0


class _Replay:
    """The lines of one log, one after the other. `hands`: wallet → task index → line of its hand-out."""

    def __init__(self, spec: Spec, domain: bytes, settled: _Settled, scope: Scope, scores: Scores) -> None:
        self._scores = scores
        self._domain, self._spec, self._settled, self._scope = domain, spec, settled, scope
        ids = [messages.task_id(domain=domain, index=i, cid=item.cid) for i, item in enumerate(spec.items)]
        wanted = [item.overlap if spec.mode == "agreement" else 1 for item in spec.items]
        self._circle = Circle([place(domain=domain, task=task) for task in ids], wanted)
        self._wallets: dict[bytes, _Wallet] = {}
        self._skipped: dict[bytes, set[int]] = {}
        self._leases: dict[tuple[int, int], tuple[bytes, _Asked]] = {}  # by (line, task)
        self._owner: dict[bytes, tuple[bytes, ...]] = {}
        self._point = self._at = self._line = 0
        self._limits = Header(b"", b"", b"", 0, 0)
        self._more_lines: dict[int, list[More]] = {}
        self.hands: dict[bytes, dict[int, int]] = {}
        self.times: dict[int, int] = {}  # of the hand-outs, by line
        self.handouts = 0
        self.beyond: Mismatch | None = None  # why the rest is later than the vote log, or made up

    def _fail(self, detail: str) -> Mismatch:
        return self._scope.fail(CHECK, f"line {self._line}: {detail}")

    def _equal(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            raise self._fail(f"{what}: {found} instead of {expected}")

    def run(self, lines: Iterable[bytes], expected: Header) -> None:
        """Raises `Mismatch`, or `FieldError` for a line that is none or not the next one."""
        entries = read(lines)
        header = next(entries, None)
        if not isinstance(header, Header):
            raise self._fail("the log has no header")
        for name in ("program", "request", "domain"):
            self._equal(name, getattr(header, name).hex(), getattr(expected, name).hex())
        self._limits = header
        for entry in entries:
            assert not isinstance(entry, Header)
            self._line = entry.line
            if isinstance(entry, Owners) and entry.point > len(self._settled.records):
                # The market went on while it was audited, and lines from here on are later than the vote log that was
                # read: no answer in it may rest on them.
                self.beyond = self._fail(f"point: {entry.point} records are not in the vote log")
                return
            if isinstance(entry, HandOut) and self._spec.min_score and (low := self._too_low(entry)) is not None:
                if entry.at // 1000 <= self._scores.until:
                    raise low
                self.beyond = low
                return
            if entry.at < self._at:
                raise self._fail(f"at: {entry.at} is before the line before")
            self._at = entry.at
            match entry:
                case HandOut():
                    self._hand_out(entry)
                case Ended():
                    self._ended(entry)
                case Owners():
                    self._owners(entry)
                case More():
                    self._more(entry)

    def _too_low(self, entry: HandOut) -> Mismatch | None:
        """Whether the wallet lacked the score that the request asks for."""
        best = self._scores.best(entry.wallet, kind=self._spec.kind_number, at=entry.at // 1000)
        if best >= self._spec.min_score:
            return None
        return self._fail(f"{b58(entry.wallet)} had a score of {best} instead of {self._spec.min_score} or more")

    def _task(self, index: int) -> int:
        if index >= len(self._circle):
            raise self._fail(f"there is no task {index}")
        return index

    def _hand_out(self, entry: HandOut) -> None:
        self.handouts += 1
        self.times[entry.line] = entry.at
        known = self._wallets.get(entry.wallet)
        wallet = known or _Wallet(len(self._wallets) + 1)
        self._wallets[entry.wallet] = wallet
        self._equal("walk", entry.walk, wallet.walk)
        self._equal("n", entry.n, len(wallet.asked) + 1)
        self._equal("start", entry.start, start(domain=self._domain, walk=entry.walk, n=entry.n))
        self._equal("point", entry.point, self._point)
        due = max((point for point, at in self._settled.reached.items() if at + GRACE_MS < entry.at), default=0)
        if self._point < due:
            raise self._fail(f"goes by the owners of point {self._point}, though point {due} was reached long before")
        asked = _Asked(entry.line, entry.at, entry.asked, wallet.tasks, wallet.given_back)
        self._allowed(asked)
        group = self._owner.get(entry.wallet, (entry.wallet,))
        had = [self.hands.get(member, {}) for member in group]
        gone = [self._skipped.get(member, set()) for member in group]
        drawn = self._circle.draw(
            entry.start, entry.asked, lambda i: any(i in one for one in had) or any(i in one for one in gone)
        )
        self._equal("tasks", list(entry.tasks), drawn)
        mine = self.hands.setdefault(entry.wallet, {})
        for index in entry.tasks:
            self._circle.take(index)
            mine[index] = entry.line
            self._leases[entry.line, index] = entry.wallet, asked
        wallet.asked.append(asked)
        wallet.tasks += len(entry.tasks)

    def _spare(self, tasks: int, given_back: int) -> int:
        """What may still be given back at most: as if all else had been answered."""
        return self._limits.free + self._limits.share * (tasks - given_back) // 100 - given_back

    def _allowed(self, one: _Asked) -> None:
        """A wallet holds no more than it may give back, or one task. What it held and answered, nobody can tell."""
        if one.asked > max(self._spare(one.tasks, one.given_back + one.held), 0 if one.held else 1):
            more = f" and {one.held} in hand that came back later, in line {one.line}" if one.held else ""
            raise self._fail(f"{one.asked} tasks asked for, with {one.given_back} given back{more}")

    def _ended(self, entry: Ended) -> None:
        for line, task in entry.leases:
            if (line, task) not in self._leases:
                raise self._fail(f"no lease of task {task} from line {line} is there to end")
            holder, given = self._leases.pop((line, task))
            if self._spec.more is not None and line < max(
                (one.line for one in self._more_lines.get(task, ())), default=0
            ):
                raise self._fail(f"task {task} asked for more answers while its lease from line {line} was in hand")
            del self.hands[holder][task]
            self._circle.give(task)
            wallet = self._wallets[holder]
            wallet.given_back += 1
            for later in reversed(wallet.asked):
                if later.line <= line:
                    break
                later.held += 1
                self._allowed(later)
            if entry.how == "lapsed":
                after = entry.at - given.at
                if after < self._spec.lease_seconds * 1000 - EARLY_MS:
                    raise self._fail(f"the lease of task {task} from line {line} lapsed after {after / 1000:.0f} s")
                continue
            self._skipped.setdefault(holder, set()).add(task)
            if self._spare(wallet.tasks, wallet.given_back) < 0:
                raise self._fail(f"{b58(holder)} has given back {wallet.given_back} tasks, more than it may")

    def _more(self, entry: More) -> None:
        index = self._task(entry.task)
        lines = self._more_lines.setdefault(index, [])
        may_grow = self._spec.mode == "review" or (
            self._spec.more is not None and self._spec.items[index].overlap + len(lines) < self._spec.more.most
        )
        if not may_grow or entry.more != 1 or self._circle.room(index) != 0:
            raise self._fail(f"task {index} wants {entry.more} more answers, which nothing explains")
        lines.append(entry)
        self._circle.give(index, entry.more)

    def check_growth(self) -> None:
        """Each later answer was handed out between the line that asked for it and the next such line, by the model of
        that time; and none was asked for that the vote log does not have, but for the last where the request ended.
        """
        for index, (later, closing) in self._settled.grown.items():
            lines = self._more_lines.get(index, [])
            if len(lines) - len(later) not in ((0, 1) if closing else (0,)):
                raise self._scope.fail(
                    CHECK, f"task {index} asked for {len(lines)} more answers, the vote log has {len(later)}"
                )
            ends = [*(one.line for one in lines[1:]), None]
            for (labeler, point), asked, end in zip(later, lines, ends, strict=False):
                handed = self.hands.get(labeler, {}).get(index)
                if handed is None or handed < asked.line or (end is not None and handed > end):
                    detail = f"was not handed task {index} when line {asked.line} asked for one more answer"
                    raise self._scope.fail(CHECK, f"{b58(labeler)} {detail}")
                self._in_use(point, asked)

    def _in_use(self, point: int, asked: More) -> None:
        """The model of `point` was the newest when a task asked for more, or had been until shortly before."""
        since = self._settled.models
        due = max((one for one, (_, latest) in since.items() if latest + GRACE_MS < asked.at), default=0)
        if point < due or point not in since or since[point][0] > asked.at + GRACE_MS:
            detail = f"asked for more by the model of point {point}; that of {due} was there"
            raise self._scope.fail(CHECK, f"line {asked.line}: task {asked.task} {detail}")

    def _owners(self, entry: Owners) -> None:
        if entry.point <= self._point or owners.owners_point(entry.point) != entry.point:
            raise self._fail(f"point: {entry.point} does not follow {self._point}")
        if entry.rule != owners.RULE:
            raise self._fail(f"rule: owners learned by rule {entry.rule}; this auditor knows rule {owners.RULE}")
        learned = owners.groups(self._settled.records[: entry.point], classes=self._spec.schema["classes"])
        if entry.groups != learned:
            raise self._fail(f"groups: {len(entry.groups)}, not the {len(learned)} that the vote log shows")
        self._point = entry.point
        self._owner = {wallet: group for group in learned for wallet in group}
