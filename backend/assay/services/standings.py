"""Each rule explained to whom it hits: a wallet's tier, scores and strikes, and what a request's log says of it.

Nobody is shown another's: every method takes the wallet that asks. What rests on a request's log is computed from
settled batches alone, which are published, off the event loop, once for each state of the log.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from assay.domain import pay, reputation, strikes, weights
from assay.domain.history import History
from assay.domain.incentives import FULL
from assay.domain.keeping import minimum_stake
from assay.domain.learned import Learned
from assay.domain.messages import b58
from assay.domain.methods import MAJORITY
from assay.domain.spec import Spec
from assay.domain.tally import Role
from assay.domain.verdict import value_of
from assay.domain.work import Task
from assay.services.judgements import KindScore
from assay.services.proposals import Proposal

if TYPE_CHECKING:
    from assay.services.market import Market

LINES = 50
"""Batches that are read at a time."""
LOGS = 8
"""Requests whose log is kept."""
ANSWERS = 50_000
"""Answers that a learned method's view is computed from at most: the first of the log."""
SLASHES = 20
"""Slashes shown, the newest."""
REST = 19.0
"""Such a view is believed for this many times as long as it took, whatever was settled meanwhile."""

EQUAL = "The fee of a record is shared equally by the validators who voted with the verdict."
SAME = "Every answer counts the same: the label is what most say."


@dataclass(frozen=True, slots=True)
class Slash:
    """One slash as the program's event had it, and when the market saw it. `reason`: 1 outlier, 2 equivocation; amounts
    in base units of the first mint.
    """

    reason: int
    judgements: int
    strikes: int
    amount: int
    repaid: int
    transaction: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What the chain's counters mean for their wallet. `tier` and what follows it: of labelers; `next_tier` None from
    the highest. `convicts_at`: the fewest strikes that convict at this number of judgements, None: none do;
    `strikes_left`: how many more in a row do; `stake_at_risk`: what a conviction takes, base units; `slashed`: the
    latest slashes, newest first.
    """

    role: Role
    tier: int | None
    next_tier: int | None
    accepted_needed: int | None
    tier_text: str | None
    kinds: tuple[KindScore, ...]
    judgements: int
    strikes: int
    slashes: int
    convicts_at: int | None
    strikes_left: int
    stake_at_risk: int
    strikes_text: str
    slashed: tuple[Slash, ...]


@dataclass(frozen=True, slots=True)
class InRequest:
    """A wallet in one request. `settled`: its answers (labelers) or votes (validators) in settled batches; `unpaid`:
    how many of its answers were right and not paid; `weight` of at most `full`, None where none is reckoned with;
    `group_size`: members of the group it is suspected to belong to.
    """

    request: bytes
    mode: str
    method: str
    pay: str
    settled: int
    unpaid: int
    weight: float | None
    full: float | None
    group_size: int
    text: str


@dataclass(slots=True)
class _Log:
    """The settled batches of a request so far, and what was learned of them."""

    history: History
    batches: int = 0
    judged: Counter[bytes] = field(default_factory=Counter)
    rows: list[tuple[int, bytes, Any]] = field(default_factory=list)
    gold: dict[int, Any] = field(default_factory=dict)
    learned: Learned | None = None
    learned_of: int = 0  # answers
    believed: float = 0.0


class Standings:
    """Explains. One log at a time, so that many who ask cannot take the machine."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._turn = asyncio.Lock()
        self._logs: OrderedDict[bytes, _Log] = OrderedDict()

    async def of(self, wallet: bytes) -> Standing:
        """A participant's standing by the chain as it is now. Raises `NotFound`."""
        found = await self._market.participants.get(wallet, fresh=True)
        params = (await self._market.terms.market()).params
        counters = found.counters
        accepted, rejected = counters["accepted"], counters["rejected"]
        above = reputation.next_tier(accepted, rejected) if found.role is Role.LABELER else None
        labeler = found.role is Role.LABELER
        judgements, struck, rate = counters["judgements"], counters["strikes"], params.error_rate
        return Standing(
            role=found.role,
            tier=reputation.tier(accepted, rejected) if labeler else None,
            next_tier=above[0] if above else None,
            accepted_needed=above[1] if above else None,
            tier_text=reputation.explain_tier(accepted, rejected) if labeler else None,
            kinds=tuple(await self._market.judgements.scores(found)),
            judgements=judgements,
            strikes=struck,
            slashes=counters["slashes"],
            convicts_at=strikes.least_strikes(judgements, error_rate=rate),
            strikes_left=strikes.margin(struck, judgements, error_rate=rate),
            stake_at_risk=strikes.slash_amount(
                found.stake + found.unstaking, minimum=minimum_stake(found.role, params), slash_bps=params.slash_bps
            ),
            strikes_text=strikes.explain(struck, judgements, error_rate=rate),
            slashed=await self._slashed(wallet) if counters["slashes"] else (),
        )

    async def _slashed(self, wallet: bytes) -> tuple[Slash, ...]:
        rows = await self._db.fetch("slashes_of", b58(wallet), SLASHES)
        return tuple(
            Slash(
                reason=int(row["data"]["reason"]),
                judgements=int(row["data"]["judgements"]),
                strikes=int(row["data"]["strikes"]),
                amount=int(row["data"]["amount"]),
                repaid=int(row["data"]["repaid"]),
                transaction=row["signature"],
                at=row["received_at"],
            )
            for row in rows
        )

    async def in_request(self, wallet: bytes, request: bytes) -> InRequest:
        """What a request's rules make of this wallet. Raises `NotFound`."""
        spec = await self._market.requests.spec(request)
        settled, unpaid, weight, full, size = 0, 0, None, None, 1
        if not await self._db.value("took_part", request, wallet):
            text = "You have neither answered nor voted in this request."
        elif not spec.learns:
            settled = await self._db.value("settled_of", request, wallet)
            text = SAME if spec.mode == "agreement" else EQUAL
        else:
            async with self._turn:
                try:
                    log = await self._log(request, spec)
                    settled = log.judged[wallet]
                    weight, full, size, text = await self._by_log(wallet, spec, log)
                    if spec.mode == "agreement" and spec.pay == "information":
                        unpaid = await self._db.value("unpaid_of", request, wallet)
                        register = await asyncio.to_thread(lambda: log.history.register)
                        size, text = register.group_size(wallet), f"{text} {pay.explain(register, wallet)}"
                    elif spec.mode == "agreement" and size > 1:
                        text += " It costs no pay either."
                except BaseException:
                    self._logs.pop(request, None)  # a thread may still be at it
                    raise
        return InRequest(request, spec.mode, spec.method, spec.pay, settled, unpaid, weight, full, size, text)

    async def _by_log(self, wallet: bytes, spec: Spec, log: _Log) -> tuple[float | None, float | None, int, str]:
        """Weight, full weight, size of the suspected group and the words."""
        if spec.mode == "review":
            register = await asyncio.to_thread(lambda: log.history.register)
            return register.weight(wallet), FULL, register.group_size(wallet), register.explain(wallet)
        if spec.method == MAJORITY:
            return None, None, 1, SAME
        if spec.weighs:
            weight, text = await self._weighted(wallet, spec, log)
            return weight, weights.FULL, 1, text
        if spec.kind == "choice":
            learned = log.learned
            if learned is None or (log.learned_of < len(log.rows) and time.monotonic() > log.believed):
                begun = time.monotonic()
                learned = log.learned = await asyncio.to_thread(_learn, spec, log)
                log.learned_of = len(log.rows)
                log.believed = time.monotonic() + REST * (time.monotonic() - begun)
            return None, None, learned.group_size(wallet), learned.explain(wallet)
        return None, None, 1, f"The method {spec.method} compares all answers of the request with each other."

    async def _weighted(self, wallet: bytes, spec: Spec, log: _Log) -> tuple[float, str]:
        counters = log.history.counters.get(wallet)
        if counters is None:
            counters = (await self._market.participants.get(wallet, fresh=True)).kinds[spec.kind_number]
            when = "If it is settled next, your vote counts"
        else:
            when = "In this request your vote counts"
        weight = weights.weight(counters)
        text = (
            f"{when} {weight:.4f} (1 to 2): 1 more than your score by the record on chain that you came with. "
            f"{reputation.explain(*counters)} Within a task it counts at most 1.9 times the median voter's."
        )
        return weight, text

    async def _log(self, request: bytes, spec: Spec) -> _Log:
        """The request's log, up to its last settled batch."""
        log = self._logs.setdefault(request, _Log(History(spec)))
        self._logs.move_to_end(request)
        while len(self._logs) > LOGS:
            self._logs.popitem(last=False)
        while rows := await self._db.fetch("batches_settled", request, log.batches, LINES):
            proposals = [Proposal.of_row(row) for row in rows]
            await asyncio.to_thread(_add, log, [one.tasks for one in proposals], spec)
        return log


def _add(log: _Log, batches: Sequence[Any], spec: Spec) -> None:
    for batch in batches:
        tasks: tuple[Task, ...] = batch()
        log.history.add(tasks)
        for task in tasks:
            for answer in task.answers:
                if spec.mode == "review":
                    log.judged.update(vote.voter for vote in answer.votes)
                if task.settles is None or answer.labeler in task.settles:
                    log.judged[answer.labeler] += 1
                    if len(log.rows) < ANSWERS and spec.mode == "agreement" and spec.method != MAJORITY:
                        log.rows.append((task.index, answer.labeler, value_of(answer.content)))
            if task.gold is not None:
                log.gold[task.index] = value_of(task.gold.label)
        log.batches += 1


def _learn(spec: Spec, log: _Log) -> Learned:
    rows = sorted(log.rows, key=lambda row: row[:2])
    return Learned.learn(spec.method, rows, classes=spec.schema["classes"], gold=log.gold)
