"""What an open request's labels will be, as it looks now: for its buyer."""

from __future__ import annotations

from typing import Annotated

import msgspec

from assay.api.requests import visible
from assay.api.routing import Context, Model, Routes, View
from assay.domain.messages import b58
from assay.errors import Conflict, Forbidden, NotFound

routes = Routes("estimates")

LABELERS = 1000
"""Labelers that are shown, those with most answers first."""
NOTE = "An estimate from the answers so far. Nothing is decided or paid by it."


class GuessView(View):
    """A task that is not settled yet: the label that its answers speak for, and how probably it is right."""

    index: int
    label: str
    confidence: int


class SkillView(View):
    """A labeler's answers, the share of right ones expected of it, and two standard deviations around."""

    wallet: str
    answers: int
    skill: int
    low: int
    high: int


class EstimateView(View):
    """An estimate; nothing is decided or paid by it. Shares in basis points.

    `answers` were taken; `complete`: false where there are more, which are taken when it is asked for again, or left
    out of a request that is too large; `expected_right`: the share of right labels over all `unsettled` tasks with
    answers (null without any); `next`: the index that the next page of `tasks` starts with, null at the end.
    """

    note: str
    answers: int
    complete: bool
    unsettled: int
    expected_right: int | None
    labelers: list[SkillView]
    tasks: list[GuessView]
    next: int | None


class Unsettled(Model):
    """Tasks from this index on."""

    start: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    limit: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 1000


@routes.get("/v1/requests/{address}/estimate", auth=True, errors=(NotFound, Forbidden, Conflict))
async def estimate(context: Context, query: Unsettled) -> EstimateView:
    """Live estimates while a request of single choice by agreement runs: labels, expected quality, skills (buyer)."""
    info = await visible(context)
    if info.buyer != context.wallet:
        raise Forbidden("a live estimate is shown to the request's buyer")
    found = await context.market.estimates.of(info.address)
    tasks, following = found.page(query.start, query.limit)
    return EstimateView(
        note=NOTE, answers=found.answers, complete=found.complete, unsettled=len(found.tasks),
        expected_right=found.expected_right,
        labelers=[
            SkillView(wallet=b58(one.wallet), answers=one.answers, skill=one.skill, low=one.low, high=one.high)
            for one in found.skills[:LABELERS]
        ],
        tasks=[GuessView(index=one.index, label=one.label, confidence=one.confidence) for one in tasks],
        next=following,
    )  # fmt: skip
