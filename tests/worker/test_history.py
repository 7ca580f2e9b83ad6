"""What a worker knows of earlier batches is what the chain's log head commits to, whoever says it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from evidence import CID, DOMAIN, LABELERS, PANEL, answer, on_chain, participant, wallet

from assay.domain import batch, canonical, merkle, messages, spec, votelog
from assay.domain.history import History
from assay.domain.spec import Spec
from assay.domain.work import Task, commit_gold
from assay_validator import history
from assay_validator.checks import OnChain
from assay_validator.history import Past
from assay_validator.settled import Content
from assay_validator.state import Refused, State

ITEMS = 12
GOLD_ROOT, GOLD = commit_gold((index, {"value": "cat"}, bytes([index]) * 32) for index in (1, 3))


def specification(**changes: Any) -> Spec:
    return spec.parse(
        {
            "title": "t", "instructions": "", "kind": "choice", "schema": {"classes": ["cat", "dog"]},
            "mode": "agreement", "overlap": 3, "gold": {"root": GOLD_ROOT.hex(), "count": len(GOLD)},
            "items": [{"cid": CID, "media_type": "image/png"}] * ITEMS,
        } | changes
    )  # fmt: skip


PLAIN = specification()
LEARNS = specification(consensus={"method": "dawid-skene"})
REVIEW = specification(mode="review", overlap=1)
ALL = pytest.mark.parametrize("asked", [PLAIN, LEARNS, REVIEW], ids=["majority", "learns", "review"])


def task(asked: Spec, index: int, labels: str = "cat") -> Task:
    if asked.mode == "review":
        return Task(index, (answer(asked, index, LABELERS[index % 3], labels, (1, 1, 0)),), GOLD.get(index))
    return Task(index, tuple(answer(asked, index, one, labels) for one in LABELERS), GOLD.get(index))


class Settling:
    """A request whose batches are settled: the log as it is published, the account as the chain has it. It is also the
    link that the log comes over; `read` counts how often it was asked for.
    """

    def __init__(self, asked: Spec) -> None:
        self.asked = asked
        self.history = History(asked)
        self.lines: list[bytes] = []
        self.account = replace(on_chain(asked), next_batch=0, panel_at=5)
        self.read = 0

    def content(self, tasks: list[Task]) -> Content:
        made = batch.assemble(self.asked, domain=DOMAIN, tasks=tasks, participant=participant, history=self.history)
        return Content.of(made, spec=self.asked, participant=participant)

    def settle(self, *tasks: Task) -> Content:
        """The next batch."""
        made = batch.assemble(self.asked, domain=DOMAIN, tasks=tasks, participant=participant, history=self.history)
        content = Content.of(made, spec=self.asked, participant=participant)
        number, at = self.account.next_batch, self.account.panel_at + 3
        line = votelog.Line(
            number, 1, tasks, len(made.records), made.judged, len(made.answers), made.votes, made.root,
            content.digest, made.tallies, ((wallet(PANEL[0]), bytes(64)),), bytes(64), at,
        )  # fmt: skip
        self.lines.append(votelog.encode_batch(line))
        self.history.add(tasks)
        head = merkle.next_head(self.account.log_head, content.leaf(number, at))
        self.account = replace(self.account, next_batch=number + 1, panel_at=at, since=at, log_head=head)
        return content

    async def log(self, request: str, *, after: int) -> AsyncGenerator[bytes, None]:
        assert request == messages.b58(self.account.address)
        self.read += 1
        for line in self.lines[after - 1 :]:
            yield line


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LOOKS", 2)
    monkeypatch.setattr(history, "PAUSE", 0.0)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(tmp_path / "state.sqlite")
    yield opened
    opened.close()


def past(settling: Settling, state: State, account: OnChain | None = None) -> Past:
    return Past(account or settling.account, settling.asked, participant=participant, state=state)


async def upto(known: Past, settling: Settling) -> History:
    return await known.upto(settling.account, settling)  # type: ignore[arg-type]


def settled(state: State, content: Content) -> list[int | None]:
    return [state.settled.batch_of(DOMAIN, one) for one in (*content.answers, *content.records)]


def three(asked: Spec) -> tuple[Settling, list[Content]]:
    settling = Settling(asked)
    contents = [settling.settle(task(asked, 0), task(asked, 1)), settling.settle(task(asked, 2, "dog"))]
    return settling, [*contents, settling.settle(task(asked, 3))]


@ALL
async def test_a_newcomer_learns_everything_from_the_log(asked: Spec, state: State) -> None:
    settling, contents = three(asked)
    found = await upto(past(settling, state), settling)
    for number, content in enumerate(contents):
        assert set(settled(state, content)) == {number}
    assert state.settled.head(DOMAIN) == (3, settling.account.log_head)
    assert settling.read == 1
    assert [one.index for one in found] == [one.index for one in settling.history]


@ALL
async def test_what_was_signed_needs_no_log(asked: Spec, state: State) -> None:
    settling = Settling(asked)
    known = past(settling, state)
    for number in range(4):
        found = await upto(known, settling)
        assert [one.index for one in found] == [one.index for one in settling.history]
        tasks = [task(asked, number)]
        known.shown(number, settling.content(tasks), tasks)
        settling.settle(*tasks)
    await upto(known, settling)
    assert settling.read == 0
    # A panel was drawn since: the time of the last batch is the wall's, where the market was never paused.
    tasks = [task(asked, 5)]
    known.shown(4, settling.content(tasks), tasks)
    settling.settle(*tasks)
    settling.account = replace(settling.account, panel_at=settling.account.panel_at + 40)
    await upto(known, settling)
    assert settling.read == 0
    # And where it was paused before, only the log says the time.
    tasks = [task(asked, 6)]
    known.shown(5, settling.content(tasks), tasks)
    settling.settle(*tasks)
    settling.account = replace(settling.account, panel_at=10**6, since=10**6)
    await upto(known, settling)
    assert settling.read == 1
    assert state.settled.head(DOMAIN) == (6, settling.account.log_head)


@ALL
async def test_what_was_signed_and_did_not_land_is_not_settled(asked: Spec, state: State) -> None:
    """A proposal that another panel was shown otherwise: the chain's head decides between them."""
    settling = Settling(asked)
    known = past(settling, state)
    await upto(known, settling)
    first, second = [task(asked, 0), task(asked, 1)], [task(asked, 0)]
    for tasks in (first, second):
        known.shown(0, settling.content(tasks), tasks)
    landed = settling.settle(*second)
    await upto(known, settling)
    assert settling.read == 0
    assert set(settled(state, landed)) == {0}
    assert None in settled(state, Settling(asked).content(first)), "what else it held may be settled yet"
    third = [task(asked, 2)]
    known.shown(1, settling.content(third), third)
    landed = settling.settle(task(asked, 1))
    await upto(known, settling)
    assert settling.read == 1, "neither was it"
    assert set(settled(state, landed)) == {1}


async def test_who_came_too_late_to_sign_needs_no_log(state: State) -> None:
    settling = Settling(LEARNS)
    known = past(settling, state)
    tasks = [task(LEARNS, 0)]
    settling.settle(*tasks)
    known.landed(settling.account, [task(LEARNS, 2)])
    assert state.settled.head(DOMAIN)[0] == 0, "it was not this"
    known.landed(settling.account, tasks)
    assert state.settled.head(DOMAIN)[0] == 1
    await upto(known, settling)
    assert settling.read == 0


@ALL
async def test_after_a_restart_only_what_is_missing_is_read(asked: Spec, state: State) -> None:
    settling, contents = three(asked)
    await upto(past(settling, state), settling)
    settling.lines[:3] = [] if asked.learns else [b"never read again\n"] * 3
    if asked.learns:
        settling, contents = three(asked)  # a method that learns needs the tasks again
    more = settling.settle(task(asked, 4))
    await upto(past(settling, state), settling)
    assert set(settled(state, more)) == {3}
    assert set(settled(state, contents[0])) == {0}


async def test_a_reading_that_was_cut_off_leaves_nothing(state: State) -> None:
    settling, contents = three(PLAIN)
    state.settled.note(DOMAIN, batch=1, content=Content(bytes(32), bytes(32), (b"a" * 32,), ()))
    await upto(past(settling, state), settling)
    assert state.settled.batch_of(DOMAIN, b"a" * 32) is None
    assert set(settled(state, contents[1])) == {1}


@ALL
async def test_a_fork_that_was_given_up(asked: Spec, state: State) -> None:
    settling, contents = three(asked)
    known = past(settling, state)
    await upto(known, settling)
    other = Settling(asked)
    other.settle(task(asked, 0), task(asked, 1))
    kept = other.settle(task(asked, 5))
    await upto(known, other)  # a batch less, and another one
    assert set(settled(state, kept)) == {1}
    assert set(settled(state, contents[2])) == {None}
    third = other.settle(task(asked, 6))
    await upto(known, other)
    assert set(settled(state, third)) == {2}


def document(line: bytes) -> dict[str, Any]:
    found = canonical.loads(line)
    assert isinstance(found, dict)
    return found


def edit(number: int, change: Callable[[dict[str, Any]], object]) -> Callable[[Settling], None]:
    def apply(settling: Settling) -> None:
        found = document(settling.lines[number])
        change(found)
        settling.lines[number] = canonical.dumps(found) + b"\n"

    return apply


def forge(settling: Settling) -> None:
    """Another batch 1 that fits itself: the answers that were settled in it seem free."""
    other = Settling(settling.asked)
    other.settle(task(settling.asked, 0), task(settling.asked, 1))
    other.settle(task(settling.asked, 7))
    settling.lines[1] = other.lines[1]


def swap(settling: Settling) -> None:
    lines = settling.lines
    for number, line in ((1, lines[2]), (2, lines[1])):
        found = document(line)
        found["batch"] = number
        lines[number] = canonical.dumps(found) + b"\n"


FORGED: dict[str, tuple[Callable[[Settling], Any], str]] = {
    "another batch that fits itself": (forge, "history_wrong"),
    "a wrong time": (edit(1, lambda one: one.update(at=one["at"] + 1)), "history_wrong"),
    "no time": (edit(1, lambda one: one.pop("at")), "history_wrong"),
    "two batches in the other order": (swap, "history_wrong"),
    "a line left out": (lambda one: one.lines.pop(1), "history_wrong"),
    "an answer left out": (edit(0, lambda one: one["tasks"].pop()), "history_wrong"),
    "another root": (edit(1, lambda one: one.update(root="00" * 32)), "history_wrong"),
    "another digest": (edit(1, lambda one: one.update(digest="00" * 32)), "history_wrong"),
    "another label": (
        edit(1, lambda one: one["tasks"][0]["answers"][0].update(content={"value": "cat"})), "history_wrong"),
    "a content of another kind": (
        edit(1, lambda one: one["tasks"][0]["answers"][0].update(content=7)), "history_wrong"),
    "gold that was never committed": (
        edit(1, lambda one: one["tasks"][0].update(gold=document_gold(1))), "history_wrong"),
    "gold kept back": (edit(0, lambda one: one["tasks"][1].pop("gold")), "history_wrong"),
    "a task that is not there": (edit(1, lambda one: one["tasks"][0].update(index=99)), "history_wrong"),
    "no JSON": (lambda one: one.lines.__setitem__(1, b"{\n"), "history_wrong"),
    "cut short": (lambda one: one.lines.pop(), "history_missing"),
    "empty": (lambda one: one.lines.clear(), "history_missing"),
}  # fmt: skip


def document_gold(index: int) -> dict[str, Any]:
    encoded = votelog.encode_tasks([Task(index, (), GOLD[index])])[0]
    assert isinstance(encoded, dict)
    return dict(encoded["gold"])  # type: ignore[arg-type]


@ALL
@pytest.mark.parametrize("name", FORGED)
async def test_a_log_that_is_not_the_chains_is_not_believed(asked: Spec, name: str, state: State) -> None:
    change, code = FORGED[name]
    settling, contents = three(asked)
    right = list(settling.lines)
    change(settling)
    known = past(settling, state)
    with pytest.raises(Refused, match="log") as refused:
        await upto(known, settling)
    assert refused.value.code == code, refused.value.detail
    assert state.settled.head(DOMAIN) == (0, merkle.ZERO)
    assert {one for content in contents for one in settled(state, content)} == {None}
    settling.lines = right
    found = await upto(known, settling)  # the log is mended: the same process goes on
    assert set(settled(state, contents[2])) == {2}
    assert [one.index for one in found] == [one.index for one in settling.history]


async def test_a_task_of_several_batches_rests_on_the_same_answers(state: State) -> None:
    settling = Settling(PLAIN)
    whole = task(PLAIN, 0)
    settling.settle(replace(whole, settles=frozenset([wallet(LABELERS[0])]), record=False))
    await upto(past(settling, state), settling)
    task_id = messages.task_id(domain=DOMAIN, index=0, cid=CID)
    ids = [one.id(domain=DOMAIN, task=task_id) for one in whole.answers]
    assert [state.settled.batch_of(DOMAIN, one) for one in ids] == [0, None, None]
    assert state.settled.batch_of(DOMAIN, task_id) is None
    assert state.settled.part(DOMAIN, task_id) == sha256(b"".join(sorted(ids))).digest()
    settling.settle(replace(whole, settles=frozenset(map(wallet, LABELERS[1:]))))
    await upto(past(settling, state), settling)
    assert [state.settled.batch_of(DOMAIN, one) for one in (*ids, task_id)] == [0, 1, 1, 1]
