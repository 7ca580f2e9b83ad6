"""Judges: loaded by name, and never waited for without end."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from assay_validator import judge as judges
from assay_validator.judge import Work
from assay_validator.state import Refused

WORK = cast(Work, SimpleNamespace())


async def never(_: Work) -> bool:
    await asyncio.Event().wait()
    return True


async def away(_: Work) -> bool:
    raise TimeoutError("the model's server")


async def yes(_: Work) -> Any:
    return 1


async def test_a_judge_that_hangs_gives_its_place_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "LEAST", 0.05)
    with pytest.raises(Refused) as caught:
        await asyncio.wait_for(judges.judged(never, WORK, until=time.time() + 0.1), 10)
    assert caught.value.code == "judge_too_slow"


async def test_it_has_its_least_time_whatever_the_market_says() -> None:
    assert await judges.judged(yes, WORK, until=0.0) is True


async def test_a_judges_own_timeout_stays_one() -> None:
    with pytest.raises(TimeoutError, match="the model"):
        await judges.judged(away, WORK, until=time.time() + 60)
