"""Judges for tests."""

from __future__ import annotations

import asyncio

from assay_validator.judge import Work


async def judge(work: Work) -> bool:
    """Takes only cats, after a look at the item."""
    assert (await work.item_bytes()).startswith(b"text ")
    return bool(work.content["value"] == "cat")


async def contrary(work: Work) -> bool:
    """Takes everything but cats."""
    return bool(work.content["value"] != "cat")


async def slow(work: Work) -> bool:
    """Takes cats, after a second."""
    await asyncio.sleep(1)
    return await judge(work)
