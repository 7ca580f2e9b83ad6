"""Judges for tests."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

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


async def patient(work: Work) -> bool:
    """Takes cats; of disputed answers, once the file $ASSAY_TEST_GATE is there, what is written in it."""
    if not work.disputed:
        return await judge(work)
    gate = Path(os.environ["ASSAY_TEST_GATE"])
    while not gate.exists():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return gate.read_text() == "uphold"
