"""Labelers as clients of the HTTP API, each with its own wallet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

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


async def offer(
    buyer: Client, left: Mapping[Client, dict[bytes, str]], *, request: str, check: Callable[[], None]
) -> int:
    """Give the known answers (by client, label by task id) that a request asks for, until it asks for none of them;
    what is given is taken out of `left`. How many tasks still ask for one. `check` may raise what ends it.
    """
    asked: set[bytes] = set()
    gate, ended = asyncio.Semaphore(4), asyncio.Event()

    async def give(client: Client, mine: dict[bytes, str]) -> int:
        taken = 0
        while not ended.is_set():
            wanted = [task for task in mine if task in asked][:CHUNK]
            leases = []
            if wanted:
                async with gate:
                    leases = await client.claim(limit=len(wanted), request=request, tasks=wanted)
                    taken += await submit(client, [(lease, {"value": mine.pop(lease.task)}) for lease in leases])
            if not leases:
                await asyncio.sleep(2 * PAUSE)
        return taken

    giving = asyncio.ensure_future(all_of([give(client, mine) for client, mine in left.items()]))
    try:
        while True:
            check()
            if giving.done():
                giving.result()
            open_ = [one for one in await buyer.tasks(request) if one["state"] != "done"]
            asked.clear()
            asked.update(bytes.fromhex(one["task"]) for one in open_ if one["answers_done"] < one["answers_wanted"])
            if len(open_) == len(asked) and not any(asked & mine.keys() for mine in left.values()):
                break
            await asyncio.sleep(2 * PAUSE)
        ended.set()
        await giving
    finally:
        giving.cancel()
        await asyncio.gather(giving, return_exceptions=True)
    return len(asked)


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
