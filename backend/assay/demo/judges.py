"""Judges of the demo's validators: each reads the digit itself and accepts an answer that says the same."""

from __future__ import annotations

import asyncio
import os
from functools import cached_property
from typing import TYPE_CHECKING

from assay.demo import digits

if TYPE_CHECKING:
    from assay_validator.judge import Work


class Digits:
    """`--judge assay.demo.judges:Digits`. Which of the readers it is, `ASSAY_DEMO_JUDGE` says (0 by default)."""

    @cached_property
    def _read(self) -> digits.Reader:
        return digits.validator(int(os.environ.get("ASSAY_DEMO_JUDGE", "0")))

    async def __call__(self, work: Work) -> bool:
        """Whether this validator reads the same digit."""
        png = await work.item_bytes()
        return bool(work.content["value"] == await asyncio.to_thread(self._read, png))
