"""Sign-in, and who one is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from assay.api.routing import ADDRESS, SIGNATURE, Context, Model, Routes, View
from assay.domain import money
from assay.domain.messages import b58, unb58
from assay.errors import NotFound, SignatureInvalid, Unauthenticated
from assay.services.judgements import KindScore
from assay.services.participants import Participant

routes = Routes("session")

Wallet = Annotated[str, msgspec.Meta(pattern=ADDRESS, description="a wallet, base58")]


class ChallengeFor(Model):
    """Who wants to sign in."""

    wallet: Wallet


class ChallengeView(View):
    """The text to sign, as UTF-8 bytes."""

    nonce: str
    message: str
    expires_at: datetime


class SignIn(Model):
    """A signed challenge."""

    wallet: Wallet
    nonce: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    signature: Annotated[str, msgspec.Meta(pattern=SIGNATURE, description="Ed25519 over the message, base58")]


class SessionView(View):
    """A bearer token, shown this once."""

    token: str
    wallet: str
    expires_at: datetime


class ScoreView(View):
    """Judgements in a kind of task, as the chain counts them, and by `current_…` those that still count today.

    `score`: how good the wallet is at least, basis points; `weight`: what a vote counts where votes are weighted.
    """

    kind: str
    good: int
    bad: int
    score: int
    weight: float
    text: str
    current_good: int
    current_bad: int
    current_score: int
    current_text: str


class ParticipantView(View):
    """A participant as the chain has it. Amounts in tokens of the market's first mint; `tier` 0 to 3.

    `in_lookup_table`: whether settlements can name it in two bytes. On a cluster that is so about 13 seconds after it
    registered; before, fewer fit a transaction, and a payment may wait for its turn.
    """

    wallet: str
    role: str
    stake: str
    unstaking: str
    joined_at: int
    tier: int
    owed: list[str]
    payout: list[str | None]
    counters: dict[str, int]
    scores: list[ScoreView]
    in_lookup_table: bool


class Me(View):
    """Who is signed in; `participant` is null until the wallet is registered."""

    wallet: str
    participant: ParticipantView | None


@routes.post("/v1/session/challenge")
async def challenge(context: Context, body: ChallengeFor) -> ChallengeView:
    """Gives a one-time text for a wallet to sign within five minutes."""
    made = await context.market.sessions.challenge(unb58(body.wallet, field="wallet"))
    return ChallengeView(nonce=made.nonce, message=made.message, expires_at=made.expires_at)


@routes.post("/v1/session", status=201, errors=(Unauthenticated, SignatureInvalid))
async def sign_in(context: Context, body: SignIn) -> SessionView:
    """Opens a session for a signed challenge; a challenge is used up by the first attempt, right or wrong."""
    opened = await context.market.sessions.open(
        wallet=unb58(body.wallet, field="wallet"),
        nonce=body.nonce,
        signature=unb58(body.signature, size=64, field="signature"),
    )
    return SessionView(token=opened.token, wallet=b58(opened.wallet), expires_at=opened.expires_at)


@routes.delete("/v1/session", auth=True)
async def sign_out(context: Context) -> None:
    """Ends the session of this token."""
    _, _, token = context.request.headers["Authorization"].partition(" ")
    await context.market.sessions.close(token.strip())


def score_views(scores: Sequence[KindScore]) -> list[ScoreView]:
    """Scores for the outside."""
    return [ScoreView(**{name: getattr(one, name) for name in ScoreView.__struct_fields__}) for one in scores]


async def participant_view(context: Context, participant: Participant) -> ParticipantView:
    """A participant for the outside."""
    terms = await context.market.terms.market()
    first = int(terms.mints[0].decimals)
    return ParticipantView(
        wallet=b58(participant.wallet),
        role=participant.role.name.lower(),
        stake=money.format(participant.stake, first),
        unstaking=money.format(participant.unstaking, first),
        joined_at=participant.joined_at,
        tier=participant.tier(),
        owed=[money.format(participant.owed[i], int(terms.mints[i].decimals)) for i in range(terms.mint_count)],
        payout=[b58(one) if any(one) else None for one in participant.payout[: terms.mint_count]],
        counters=participant.counters,
        scores=score_views(await context.market.judgements.scores(participant)),
        in_lookup_table=context.market.engine is not None and context.market.engine.reaches(participant),
    )


@routes.get("/v1/me", auth=True)
async def me(context: Context) -> Me:
    """Who is signed in."""
    found = await context.market.participants.find(context.wallet, fresh=True)
    return Me(wallet=b58(context.wallet), participant=await participant_view(context, found) if found else None)


@routes.get("/v1/participants/{wallet}", errors=(NotFound,))
async def participant(context: Context) -> ParticipantView:
    """A participant's stake, reputation and what it is owed."""
    return await participant_view(context, await context.market.participants.get(context.address("wallet")))
