"""What the rules make of the signed-in wallet, in words and numbers. Nobody is shown another's."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from assay.api.routing import ADDRESS, Context, Model, Routes, View
from assay.api.session import ScoreView, score_views
from assay.domain import money
from assay.domain.messages import b58, unb58
from assay.domain.strikes import EQUIVOCATION, OUTLIER, explain_slash
from assay.errors import NotFound
from assay.services.standings import InRequest, Slash

routes = Routes("standing")

REASONS = {OUTLIER: "outlier", EQUIVOCATION: "equivocation"}


class TierView(View):
    """A labeler's tier. `next`: the one above (null from the highest), which `accepted_needed` more answers reach if
    all are accepted.
    """

    tier: int
    next: int | None
    accepted_needed: int | None
    text: str


class SlashView(View):
    """A slash of the wallet's stake: for what (`outlier`, `equivocation`), by which figures, `amount` and what of it
    went to harmed buyers (`repaid`) in tokens, the transaction, when the market saw it, and the rule in words.
    """

    reason: str
    judgements: int
    strikes: int
    amount: str
    repaid: str
    transaction: str
    at: datetime
    text: str


class StrikesView(View):
    """Since the last slash. `convicts_at`: the fewest strikes that convict at this number of judgements (null: none
    do); `strikes_left`: how many more in a row do; `stake_at_risk`: what a conviction takes, in tokens; `slashes`: how
    many there were; `slashed`: the latest of them, newest first.
    """

    judgements: int
    strikes: int
    slashes: int
    convicts_at: int | None
    strikes_left: int
    stake_at_risk: str
    text: str
    slashed: list[SlashView]


class InRequestView(View):
    """The wallet in one request. `settled`: its settled answers, or votes; `unpaid`: how many of its answers were right
    and not paid; `weight` of `full` (null where all count alike); `group_size`: members of the group that it is
    suspected to belong to (1: of none).
    """

    request: str
    mode: str
    method: str
    pay: str
    settled: int
    unpaid: int
    weight: float | None
    full: float | None
    group_size: int
    text: str


class StandingView(View):
    """What the rules make of a wallet. `tier` is null for others than labelers, `request` unless one is named."""

    wallet: str
    role: str
    tier: TierView | None
    scores: list[ScoreView]
    strikes: StrikesView
    request: InRequestView | None


class OfRequest(Model):
    """In which request."""

    request: Annotated[str, msgspec.Meta(pattern=ADDRESS)] | None = None


def _in_request(found: InRequest) -> InRequestView:
    return InRequestView(
        request=b58(found.request), mode=found.mode, method=found.method, pay=found.pay, settled=found.settled,
        unpaid=found.unpaid, weight=found.weight, full=found.full, group_size=found.group_size, text=found.text,
    )  # fmt: skip


def _slash(one: Slash, decimals: int) -> SlashView:
    taken, repaid = money.format(one.amount, decimals), money.format(one.repaid, decimals)
    return SlashView(
        reason=REASONS[one.reason], judgements=one.judgements, strikes=one.strikes, amount=taken, repaid=repaid,
        transaction=one.transaction, at=one.at,
        text=explain_slash(one.reason, one.strikes, one.judgements, taken=taken, repaid=repaid),
    )  # fmt: skip


@routes.get("/v1/me/standing", auth=True, errors=(NotFound,))
async def standing(context: Context, query: OfRequest) -> StandingView:
    """Explains to the signed-in wallet its tier, scores and strikes, and its weight and any suspicion in a request."""
    market = context.market
    found = await market.standings.of(context.wallet)
    decimals = await market.terms.decimals()
    inside = None
    if query.request is not None:
        info = await market.requests.ensure_posted(unb58(query.request, field="request"))
        if info.state == "draft" and info.buyer != context.wallet:
            raise NotFound("there is no such request", field="request")
        inside = _in_request(await market.standings.in_request(context.wallet, info.address))
    return StandingView(
        wallet=b58(context.wallet),
        role=found.role.name.lower(),
        tier=None
        if found.tier is None
        else TierView(
            tier=found.tier, next=found.next_tier, accepted_needed=found.accepted_needed, text=found.tier_text or ""
        ),
        scores=score_views(found.kinds),
        strikes=StrikesView(
            judgements=found.judgements, strikes=found.strikes, slashes=found.slashes, convicts_at=found.convicts_at,
            strikes_left=found.strikes_left,
            stake_at_risk=money.format(found.stake_at_risk, decimals), text=found.strikes_text,
            slashed=[_slash(one, decimals) for one in found.slashed],
        ),
        request=inside,
    )  # fmt: skip
