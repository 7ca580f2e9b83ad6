"""Labelers as clients of the HTTP API, each with its own wallet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from assay.client import Client, Lease
from assay.demo.digits import Reader

CHUNK = 8
"""Tasks that a labeler takes at once."""
PAUSE = 0.05
"""How long one waits that found nothing to do, seconds."""

Done = Callable[[], bool]


async def read_images(client: Client, read: Reader, *, request: str, done: Done) -> int:
    """Claim images at random, read them, submit, until `done()`; how many answers were taken."""
    taken = 0
    while not done():
        leases = await client.claim(limit=CHUNK, request=request)
        if not leases:
            await asyncio.sleep(PAUSE)
            continue
        images = await asyncio.gather(*(client.content(lease.item) for lease in leases))
        values = await asyncio.to_thread(_read_all, read, images)
        taken += await submit(client, [(lease, {"value": value}) for lease, value in zip(leases, values, strict=True)])
    return taken


async def give_answers(
    client: Client, answers: Mapping[bytes, str], *, request: str, gate: asyncio.Semaphore, chunk: int = 100
) -> int:
    """Give the known answers (label by task id) of one worker to a request of open assignment; how many were taken."""
    taken = 0
    tasks = list(answers)
    for start in range(0, len(tasks), chunk):
        async with gate:
            part = tasks[start : start + chunk]
            leases = await client.claim(limit=len(part), request=request, tasks=part)
            taken += await submit(client, [(lease, {"value": answers[lease.task]}) for lease in leases])
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
