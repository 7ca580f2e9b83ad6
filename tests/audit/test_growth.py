"""The auditor tells of each answer beyond the overlap that it was due when it was asked for, and that no other was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from audited_market import CID, Request, wallet
from drawn_market import Drawn

from assay.domain.work import Task
from assay.services.audit import Finding, replay

ITEM = {"cid": CID, "media_type": "image/png"}
MORE = {"most": 4, "confidence_bps": 7000}


class Growing(Drawn):
    """One task by agreement, for two answers and up to four."""

    def open(self, **changes: Any) -> Request:
        self.handed = 0
        terms = {"mode": "agreement", "assignment": "random", "overlap": 2, "items": [ITEM], "more": MORE}
        request = self.post(**terms | changes)
        self.draw(request)
        self.begin(request)
        return request

    def hand(self, request: Request, count: int = 1) -> None:
        for _ in range(count):
            assert self.hand_out(request, f"labeler {self.handed}") == 0
            self.handed += 1

    def more(self) -> None:
        self.write(type="more", task=0, more=1)
        self.circle.give(0)

    def task(self, request: Request, labels: Sequence[Any], later: Sequence[int] | None = None, **part: Any) -> Task:
        """Answered by labelers 0, 1, …; `later`: which of them came later, in this order."""
        answers = tuple(self.answer(request, 0, f"labeler {i}", label) for i, label in enumerate(labels))
        order = range(2, len(labels)) if later is None else later
        return Task(0, answers, later=tuple((wallet(f"labeler {i}"), 0) for i in order), **part)


async def finding(world: Growing) -> Finding | None:
    return (await replay(world, world)).finding


def grown(labels: Sequence[str], later: Sequence[int] | None = None, **changes: Any) -> Growing:
    """A task that was asked for, answered and settled like this."""
    world = Growing()
    request = world.open(**changes)
    world.hand(request, 2)
    for _ in labels[2:]:
        world.more()
        world.hand(request)
    world.settle(request, [world.task(request, labels, later)])
    return world


@pytest.mark.parametrize("labels", [["cat", "cat"], ["cat", "dog", "dog", "dog"], ["cat", "dog", "owl", "cat"]])
async def test_what_grew_as_it_should_fits(labels: list[str]) -> None:
    report = await replay(world := grown(labels), world)
    assert report.finding is None
    assert (report.answers, report.handouts) == (len(labels), len(labels))


@pytest.mark.parametrize(
    ("labels", "later", "said"),
    [
        (["cat", "dog"], None, "answers: are 2, and another was due before it could be settled"),
        (["cat", "dog", "cat"], None, "answers: are 3, and another was due"),
        (["cat", "cat", "dog"], None, "was asked at a confidence of 10000"),
        (["cat", "cat", "dog", "dog"], [3, 2], "was asked at a confidence of 10000"),
    ],
)
async def test_what_did_not_is_found(labels: list[str], later: list[int] | None, said: str) -> None:
    found = await finding(grown(labels, later))
    assert found is not None
    assert (found.check, found.batch) == ("overlap", 0)
    assert said in found.detail


async def test_an_answer_more_than_the_most() -> None:
    found = await finding(grown(["cat", "dog", "owl", "cat", "cat"]))
    assert found is not None
    assert (found.check, "at most 4" in found.detail) == ("evidence", True)


def in_vain(world: Growing, request: Request) -> Task:
    """One more was asked for, and left out of the vote log."""
    world.hand(request, 2)
    world.more()
    return world.task(request, ["cat", "cat"])


def other_order(world: Growing, request: Request) -> Task:
    """The labels would allow either order; the log of hand-outs has one."""
    world.hand(request, 2)
    for _ in range(2):
        world.more()
        world.hand(request)
    return world.task(request, ["cat", "dog", "owl", "owl"], [3, 2])


def too_soon(world: Growing, request: Request) -> Task:
    """It asked for more while somebody held it, who then did not answer."""
    world.hand(request, 2)
    world.more()
    world.write(type="skipped", leases=[[2, 0]])
    return world.task(request, ["cat", "cat"])


def beyond(world: Growing, request: Request) -> Task:
    world.hand(request, 2)
    for _ in range(3):
        world.more()
        world.hand(request)
    return world.task(request, ["cat", "dog", "owl", "cat"])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (in_vain, "task 0 asked for 1 more answers, the vote log has 0"),
        (other_order, "was not handed task 0 when line 3 asked for one more answer"),
        (too_soon, "line 4: task 0 asked for more answers while its lease from line 2 was in hand"),
        (beyond, "line 7: task 0 wants 1 more answers, which nothing explains"),
    ],
)
async def test_a_log_of_hand_outs_that_says_otherwise_is_found(
    made: Callable[[Growing, Request], Task], said: str
) -> None:
    world = Growing()
    request = world.open()
    world.settle(request, [made(world, request)])
    found = await finding(world)
    assert found is not None
    assert found.check == "assignment"
    assert said in found.detail


async def test_no_other_request_asks_for_more() -> None:
    world = Growing()
    request = world.open(more=None)
    world.hand(request, 2)
    world.more()
    world.settle(request, [world.task(request, ["cat", "dog"])])
    found = await finding(world)
    assert found is not None
    assert "task 0 wants 1 more answers, which nothing explains" in found.detail


@pytest.mark.parametrize("labels", [["cat"], ["cat", "dog"], ["cat", "dog", "owl"]])
async def test_a_request_that_ends_settles_what_is_there(labels: list[str]) -> None:
    for closing in (True, False):
        world = Growing()
        request = world.open()
        world.hand(request, min(2, len(labels)))
        for _ in labels[1:]:
            world.more()  # the last one in vain
            if world.handed < len(labels):
                world.hand(request)
        if closing:
            world.emit("RequestClosing", request=request.address, expired=0, grace_until=0)
        world.settle(request, [world.task(request, labels)])
        found = await finding(world)
        assert (found is None) == closing, found


async def test_the_model_of_its_time_decides() -> None:
    """A point that was long passed when a task asked for more is found, in whose favour it may be."""
    for point, fits in ((32, True), (0, False), (40, False)):
        world = Growing()
        request = world.open(
            kind="multi-choice", schema={"classes": ["cat", "dog"], "min": 1}, items=[ITEM] * 41,
            consensus={"method": "dawid_skene"},
        )  # fmt: skip
        for labeler in ("labeler 0", "labeler 1"):
            for _ in range(41):
                world.hand_out(request, labeler)
        tasks = [
            Task(i, tuple(world.answer(request, i, f"labeler {j}", [("cat", "dog")[i % 2]]) for j in range(2)))
            for i in range(1, 41)
        ]
        world.settle(request, tasks)
        assert request.history.point == 32
        world.write(type="more", task=0, more=1, at=10**9)
        world.circle.give(0)
        world.hand_out(request, "labeler 2", at=10**9)
        world.emit("RequestClosing", request=request.address, expired=0, grace_until=0)
        world.slot += 10**6
        task = world.task(request, [["cat"], ["dog"], ["cat"]])
        world.settle(request, [replace(task, later=((wallet("labeler 2"), point),))])
        found = await finding(world)
        assert (found is None) == fits, found
        if found is not None:
            assert found.check == ("assignment" if point == 0 else "overlap")
            assert f"point {point}" in found.detail


async def test_all_parts_of_a_task_rest_on_one_growth() -> None:
    world = Growing()
    request = world.open(assignment="open")
    labels = ["cat", "dog", "owl", "owl"]
    first = frozenset([wallet("labeler 0")])
    rest = frozenset(wallet(f"labeler {i}") for i in (1, 2, 3))
    world.settle(request, [world.task(request, labels, settles=first, record=False)])
    world.settle(request, [world.task(request, labels, [3, 2], settles=rest)])
    found = await finding(world)
    assert found is not None
    assert (found.batch, "task 0: same answers" in found.detail) == (1, True)
