"""Judges: what decides whether an answer is right. A judge is any callable ``async def judge(work: Work) -> bool``.

`--judge module:function` names one; `accept-valid` is built in and checks the schema only, which is no judgement of a
label: it is for requests whose schema says all there is to say, and for trials.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from assay.domain.spec import Spec
from assay.errors import FieldError
from assay_validator.state import Refused

LEAST = 60.0
"""Seconds that a judge has at least."""


@dataclass(frozen=True, slots=True)
class Work:
    """One answer to judge.

    `spec`: the request's specification, checked against the chain. `item`: `{"cid", "media_type"}`. `content`: the
    labeler's answer, checked against its signature. `item_bytes()` fetches the item, checked against its CID.
    `disputed`: it was rejected, its labeler disputes that, and this validator sits on the panel that decides, whose
    number `round` is.
    """

    request: str
    answer_id: bytes
    task_id: bytes
    index: int
    round: int
    spec: Spec
    item: dict[str, Any]
    content: Any
    item_bytes: Callable[[], Awaitable[bytes]] = field(repr=False)
    disputed: bool = False


Judge = Callable[[Work], Awaitable[bool]]


class JudgeUnusable(ValueError):
    """The judge cannot be loaded or does not have the right form."""


async def accept_valid(work: Work) -> bool:
    """Accept what fits the request's schema. Says nothing about whether a label is true."""
    try:
        return bool(work.spec.answer(work.content) == work.content)
    except FieldError:
        return False


async def judged(judge: Judge, work: Work, *, until: float) -> bool:
    """Whether `judge` accepts. `until`: the end of the commits, seconds since 1970; a vote after it counts for nothing.

    Raises `Refused` (``judge_too_slow``) where it has not answered by then, nor within `LEAST` seconds: clocks differ.
    """
    seconds = max(LEAST, until - time.time())
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            return bool(await judge(work))
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise Refused("judge_too_slow", f"it has not judged the answer in {seconds:.0f} s") from error


BUILT_IN: dict[str, Judge] = {"accept-valid": accept_valid}


def load(name: str) -> Judge:
    """The judge called `name`: a built-in one, or ``module:function`` (a coroutine function, or a function making one).

    Raises `JudgeUnusable` saying what is wrong and what would be right.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    module, separator, attribute = name.partition(":")
    if not separator or not module or not attribute:
        raise JudgeUnusable(f"judge must be one of {', '.join(BUILT_IN)} or module:function, got {name!r}")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise JudgeUnusable(f"judge {name!r} cannot be imported: {error}") from error
    if inspect.isclass(found):
        found = found()
    call = found if inspect.iscoroutinefunction(found) else getattr(found, "__call__", None)  # noqa: B004
    if not inspect.iscoroutinefunction(call):
        raise JudgeUnusable(f"judge {name!r} must be `async def judge(work) -> bool`")
    return found  # type: ignore[no-any-return]
