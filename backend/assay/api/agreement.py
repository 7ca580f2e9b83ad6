"""How far the raters of a request agree: for its buyer."""

from __future__ import annotations

from typing import Annotated

import msgspec

from assay.api.requests import visible
from assay.api.routing import Context, Model, Routes, View
from assay.domain.messages import b58
from assay.errors import Forbidden, NotFound

routes = Routes("agreement")

RATERS = 1000
"""Raters that are shown, those with most ratings first."""


class RaterView(View):
    """One labeler, or (review) validator. `agreed`: its ratings that agree with what was decided; `agreement`: 1 less
    observed over expected disagreement with the others; `cohen_kappa`: with the labels, which its own answers helped to
    make.
    """

    wallet: str
    ratings: int
    agreed: int
    agreement: float | None
    cohen_kappa: float | None


class RatedView(View):
    """A record, or (review) an answer to it, and how far its ratings agree: 1 is perfect, 0 what any ratings of this
    request would.
    """

    index: int
    answer: str | None
    ratings: int
    agreement: float | None


class AgreementView(View):
    """Agreement over all that is decided. Coefficients: 1 is perfect, 0 what chance gives, null undefined.

    `level`: how answers are compared (null: this kind has no coefficient); `complete`: false where the request is too
    large and only its first records were compared; `next`: where the next page of `records` starts, null at the end.
    """

    raters: str
    level: str | None
    ratings: int
    rated: int
    complete: bool
    krippendorff_alpha: float | None
    fleiss_kappa: float | None
    observed_agreement: float | None
    by_rater: list[RaterView]
    records: list[RatedView]
    next: int | None


class Page(Model):
    """Records from this place on."""

    start: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    limit: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 1000


@routes.get("/v1/requests/{address}/agreement", auth=True, errors=(NotFound, Forbidden))
async def agreement(context: Context, query: Page) -> AgreementView:
    """How far raters agree: Krippendorff's alpha, Fleiss' kappa, each record's and each rater's (for the buyer)."""
    info = await visible(context)
    if info.buyer != context.wallet:
        raise Forbidden("agreement is shown to the request's buyer")
    found = await context.market.agreements.of(info.address)
    end = query.start + query.limit
    things = len(found.things)
    return AgreementView(
        **found.summary(),
        by_rater=[
            RaterView(
                wallet=b58(one.wallet), ratings=one.ratings, agreed=one.agreed, agreement=one.agreement,
                cohen_kappa=one.kappa,
            )
            for one in found.raters[:RATERS]
        ],
        records=[
            RatedView(
                index=one.index, answer=None if one.answer is None else one.answer.hex(), ratings=one.ratings,
                agreement=one.agreement,
            )
            for one in found.rated(query.start, end)
        ],
        next=end if end < things else None,
    )  # fmt: skip
