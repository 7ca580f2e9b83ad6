"""Waiting for a request of a running market."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from assay.client import Client


async def until(
    client: Client, address: str, ready: Callable[[dict[str, Any]], bool], *, seconds: float = 60
) -> dict[str, Any]:
    """The request's progress once it is `ready`."""
    end = asyncio.get_running_loop().time() + seconds
    while not ready(now := await client.progress(address)):
        assert asyncio.get_running_loop().time() < end, now
        await asyncio.sleep(0.05)
    return now
