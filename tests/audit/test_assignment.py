"""The auditor asks for the hand-outs of every request whose tasks are drawn, and walks them."""

from __future__ import annotations

from audited_market import PROGRAM, Request, World
from drawn_market import Drawn

from assay.domain import canonical, owners
from assay.domain.assignment_log import Header, encode_header
from assay.domain.messages import b58
from assay.domain.work import Task
from assay.services.audit import Finding, Report, replay


def drawn() -> tuple[Drawn, Request]:
    """Six answers by three labelers, each to a task it was handed, in two batches."""
    world = Drawn()
    request = world.post(assignment="random")
    world.draw(request)
    world.begin(request)
    for _ in range(2):
        tasks = []
        for labeler in range(3):
            index = world.hand_out(request, f"labeler {labeler}")
            tasks.append(Task(index, (world.answer(request, index, f"labeler {labeler}", "cat", [1, 1, 1]),)))
        world.settle(request, tasks)
    return world, request


async def audited(world: World) -> Report:
    return await replay(world, world)


async def finding(world: World) -> Finding:
    found = (await audited(world)).finding
    assert found is not None
    assert found.check == "assignment"
    return found


async def test_what_was_drawn_fits() -> None:
    report = await audited(drawn()[0])
    assert report.finding is None
    assert (report.handouts, report.answers) == (6, 6)
    assert "6 hand-outs" in str(report)


async def test_no_log_is_a_finding() -> None:
    world, request = drawn()
    world.handouts = []
    assert f"{b58(request.address)}.tasks.jsonl is missing" in (await finding(world)).detail


async def test_an_answer_that_nobody_was_asked_for_is_found() -> None:
    world, request = drawn()
    index = next(iter(world.circle.walk(0)))
    world.settle(request, [Task(index, (world.answer(request, index, "labeler 4", "cat", [1, 1, 1]),))])
    assert f"answered task {index}, which it was not handed" in (await finding(world)).detail


async def test_an_answer_to_what_was_given_back_is_found() -> None:
    world, _ = drawn()
    first = canonical.loads(world.handouts[1])
    assert isinstance(first, dict)
    world.write(type="skipped", leases=[[1, first["tasks"][0]]])  # type: ignore[index]
    assert "which it was not handed" in (await finding(world)).detail


async def test_a_line_that_is_missing_is_found() -> None:
    world, _ = drawn()
    del world.handouts[3]
    assert "line 3.previous: is not the sha256 of line 2" in (await finding(world)).detail


async def test_the_log_of_another_request_is_found() -> None:
    world, request = drawn()
    other = encode_header(Header(PROGRAM, request.address, bytes(32), 20, 20)) + b"\n"
    world.handouts[0] = other
    assert "domain: " in (await finding(world)).detail


async def test_a_market_that_goes_on_while_it_is_audited_fits() -> None:
    """Lines that rest on more records than the vote log had when it was read are later than it."""
    world, _ = drawn()
    world.write(type="owners", point=32, rule=owners.RULE, groups=[])
    report = await audited(world)
    assert report.finding is None
    assert report.handouts == 6


def friendly(*, free: int, lease: int = 600) -> tuple[Drawn, int, int]:
    """A market whose last labeler was just handed two tasks, one by one; with one batch of others settled."""
    world = Drawn()
    request = world.post(assignment="random", limits={"lease_seconds": lease})
    world.draw(request)
    world.begin(request, free=free)
    index = world.hand_out(request, "labeler 0")
    world.settle(request, [Task(index, (world.answer(request, index, "labeler 0", "cat", [1, 1, 1]),))])
    return world, world.hand_out(request, "labeler 4"), world.hand_out(request, "labeler 4")


async def test_a_lease_that_lapses_before_its_time_is_found() -> None:
    """Else an operator could give a friend one task after the other until it likes one."""
    for at, fits in ((600_002, True), (545_000, True), (530_000, False)):
        world, _, task = friendly(free=20)
        world.write(type="lapsed", leases=[[3, task]], at=at)
        if fits:
            assert (await audited(world)).finding is None
        else:
            assert f"line 4: the lease of task {task} from line 3 lapsed after 530 s" in (await finding(world)).detail


async def test_who_holds_more_than_it_may_give_back_is_found_once_it_comes_back() -> None:
    for free, fits in ((2, True), (1, False)):
        world, first, _ = friendly(free=free)
        world.write(type="lapsed", leases=[[2, first]], at=600_002)
        if fits:
            assert (await audited(world)).finding is None
        else:
            assert "1 in hand that came back later, in line 3" in (await finding(world)).detail
