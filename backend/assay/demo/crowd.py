"""Labelers as clients of the HTTP API, each with its own wallet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from assay.client import Client, Lease
from assay.demo.digits import Reader

CHUNK = 2
"""Tasks that a labeler takes at once."""
BACKLOG = 48
"""Judged answers that await their payment before the crowd takes a breath. Classifiers and files answer thousands of
times faster than people: without it the latency shown would be the length of a queue that they made themselves."""
READING = 0.15
"""Seconds that a labeler looks at an image. People take seconds; without any the crowd would be its own queue."""
PAUSE = 0.05
"""How long one waits that found nothing to do, seconds."""

Done = Callable[[], bool]


class Pace:
    """Holds a crowd back while many of its answers are judged and not yet paid."""

    def __init__(self) -> None:
        self._free = asyncio.Event()
        self._free.set()

    def note(self, *, judged: int, paid: int) -> None:
        """What the market says of the request now."""
        if judged - paid > BACKLOG:
            self._free.clear()
        else:
            self._free.set()

    async def turn(self) -> None:
        """Wait until the crowd may go on."""
        await self._free.wait()


async def read_images(client: Client, read: Reader, *, request: str, done: Done, pace: Pace) -> int:
    """Claim images at random, read them, submit, until `done()`; how many answers were taken."""
    taken = 0
    while not done():
        await pace.turn()
        leases = await client.claim(limit=CHUNK, request=request)
        if not leases:
            await asyncio.sleep(PAUSE)
            continue
        images = await asyncio.gather(*(client.content(lease.item) for lease in leases))
        values = await asyncio.to_thread(_read_all, read, images)
        await asyncio.sleep(READING * len(leases))
        taken += await submit(client, [(lease, {"value": value}) for lease, value in zip(leases, values, strict=True)])
    return taken


async def give_answers(
    client: Client, answers: Mapping[bytes, str], *, request: str, gate: asyncio.Semaphore, pace: Pace, chunk: int = 10
) -> int:
    """Give the known answers (label by task id) of one worker to a request of open assignment; how many were taken."""
    taken = 0
    tasks = list(answers)
    for start in range(0, len(tasks), chunk):
        async with gate:
            await pace.turn()
            part = tasks[start : start + chunk]
            leases = await client.claim(limit=len(part), request=request, tasks=part)
            taken += await submit(client, [(lease, {"value": answers[lease.task]}) for lease in leases])
    return taken


@dataclass
class Asked:
    """The tasks that ask for answers now, as the market says."""

    tasks: set[bytes] = field(default_factory=set)


async def offer_answers(
    client: Client, answers: dict[bytes, str], asked: Asked, *, request: str, gate: asyncio.Semaphore, done: Done
) -> int:
    """Give those of one worker's answers that are asked for, until `done()`; what was handed out is taken out of
    `answers`. How many were taken.
    """
    taken = 0
    while not done():
        wanted = [task for task in answers if task in asked.tasks][:CHUNK]
        leases = []
        if wanted:
            async with gate:
                leases = await client.claim(limit=len(wanted), request=request, tasks=wanted)
                taken += await submit(client, [(lease, {"value": answers.pop(lease.task)}) for lease in leases])
        if not leases:
            await asyncio.sleep(2 * PAUSE)
    return taken


async def submit(client: Client, answers: Sequence[tuple[Lease, Mapping[str, str]]]) -> int:
    """Submit together; how many were taken. A refusal of one leaves the others standing."""
    results = await client.submit_many(answers) if answers else []
    return sum(result.get("taken") is not None for result in results)


async def all_of(work: Sequence[Awaitable[int]]) -> int:
    """Run labelers side by side; the first error ends all of them."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_plain(one)) for one in work]
    return sum(task.result() for task in tasks)


def _read_all(read: Reader, images: Sequence[bytes]) -> list[str]:
    return [read(image) for image in images]


async def _plain(work: Awaitable[int]) -> int:
    return await work
