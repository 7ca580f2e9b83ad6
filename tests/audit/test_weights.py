"""Counters that votes are weighted by: the auditor knows every state they were in, and which may be named."""

from __future__ import annotations

import pytest
from audited_market import Request, World, wallet

from assay.domain.history import History
from assay.domain.work import Answer, Counters, Task
from assay.services.audit import Finding, replay

WEIGHTED = {"mode": "agreement", "consensus": {"method": "weighted"}}


def answers(world: World, request: Request, index: int, *labels: str) -> tuple[Answer, ...]:
    return tuple(world.answer(request, index, f"labeler {i}", label) for i, label in enumerate(labels))


def with_records() -> World:
    """Labeler 0 is right seven times and then wrong three times, in a request of its own."""
    world = World()
    other = world.post("other", mode="agreement")
    world.draw(other)
    world.settle(other, [Task(i, answers(world, other, i, "cat", "cat", "cat")) for i in range(7)])
    return world


def spoil(world: World) -> None:
    other = next(one for one in world.requests.values() if one.name == "other")
    world.settle(other, [Task(7 + i, answers(world, other, 7 + i, "dog", "owl", "owl")) for i in range(3)])


async def finding(world: World) -> Finding | None:
    return (await replay(world, world)).finding


def settle(world: World, request: Request, index: int, **named: Counters) -> None:
    tasks = [Task(index, answers(world, request, index, "owl", "cat", "dog"))]
    world.settle(request, world.weigh(request, tasks, **named))


@pytest.mark.parametrize(
    ("named", "fits"),
    [((7, 3), True), ((7, 0), True), ((0, 0), False), ((8, 0), False), ((7, 2), False), ((500, 0), False)],
)
async def test_what_may_be_named(named: Counters, fits: bool) -> None:
    """The counters as they stood at the posting or at any time since: here they changed once in between."""
    world = with_records()
    request = world.post("weighted", **WEIGHTED)
    world.draw(request)
    spoil(world)
    settle(world, request, 0, labeler_0=named)
    found = await finding(world)
    if fits:
        assert found is None
        return
    assert found is not None
    assert (found.check, found.batch) == ("counters", 0)
    assert str(list(named)) in found.detail
    assert "[7, 3] or [7, 0]" in found.detail


async def test_a_record_from_before_the_last_batch_is_too_old() -> None:
    world = with_records()
    request = world.post("weighted", **WEIGHTED)
    world.draw(request)
    tasks = [Task(0, tuple(world.answer(request, 0, f"labeler {i}", "cat") for i in (3, 4, 5)))]
    world.settle(request, tasks)
    spoil(world)
    world.settle(request, [Task(1, tuple(world.answer(request, 1, f"labeler {i}", "cat") for i in (3, 4, 5)))])
    settle(world, request, 2, labeler_0=(7, 0))
    found = await finding(world)
    assert found is not None
    assert (found.check, found.batch) == ("counters", 2)
    assert "instead of [7, 3]" in found.detail


async def test_who_was_named_before_keeps_its_counters() -> None:
    world = with_records()
    request = world.post("weighted", **WEIGHTED)
    world.draw(request)
    settle(world, request, 0)
    spoil(world)
    settle(world, request, 1)
    assert await finding(world) is None
    assert request.history.counters[wallet("labeler 0")] == (7, 0)
    request.history = History(request.spec)  # a settler that names what the chain says now
    settle(world, request, 2)
    found = await finding(world)
    assert found is not None
    assert (found.check, found.batch) == ("verdicts", 2)
    assert "counters: are [" in found.detail
    assert "([7, 0], as with the labeler's first answer" in found.detail
