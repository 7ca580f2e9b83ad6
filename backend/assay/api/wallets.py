"""A wallet's own affairs on chain: register, stake, leave, claim. Each gives a transaction for the wallet to sign."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from assay.api.buyers import UnsignedView, unsigned
from assay.api.routing import ADDRESS, Context, Model, Routes, View
from assay.domain import money
from assay.domain.tally import Role
from assay.errors import Conflict, FieldError, NotFound

routes = Routes("participants")

Tokens = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]*)(\.[0-9]+)?$", description="tokens, such as 100")]


class Enrolment(Model):
    """In which role, and what to stake at once."""

    role: Literal["buyer", "labeler", "validator"]
    stake: Tokens = "0"


class Amount(Model):
    """Tokens of the market's first mint."""

    amount: Tokens


class OfMint(Model):
    """Of which mint (default: the market's first)."""

    mint: Annotated[str, msgspec.Meta(pattern=ADDRESS)] | None = None


class FundsView(View):
    """What a wallet holds: lamports, and tokens of each of the market's mints in its associated token accounts."""

    lamports: int
    tokens: list[str]


async def _amount(context: Context, text: str) -> int:
    amount = money.parse(text, await context.market.terms.decimals(), field="amount")
    if amount == 0:
        raise FieldError("amount", "is 0", hint="tokens, such as 100")
    return amount


@routes.get("/v1/balance", auth=True)
async def balance(context: Context) -> FundsView:
    """What the signed-in wallet holds on chain."""
    lamports, amounts = await context.market.relay.funds(context.wallet)
    decimals = [await context.market.terms.decimals(index) for index in range(len(amounts))]
    return FundsView(
        lamports=lamports, tokens=[money.format(one, places) for one, places in zip(amounts, decimals, strict=True)]
    )


@routes.post("/v1/participants", auth=True, errors=(Conflict,))
async def enrol(context: Context, body: Enrolment) -> UnsignedView:
    """Gives the transaction that registers the wallet in a role, sets where it is paid, and stakes."""
    stake = money.parse(body.stake, await context.market.terms.decimals(), field="stake")
    role = Role[body.role.upper()]
    if role is Role.BUYER and stake:
        raise FieldError("stake", "is not for buyers", hint="leave it out")
    return await unsigned(context, await context.market.relay.enrol(context.wallet, role=role, stake=stake))


@routes.post("/v1/stake", auth=True, errors=(NotFound,))
async def stake(context: Context, body: Amount) -> UnsignedView:
    """Gives the transaction that adds to the wallet's stake."""
    await context.market.participants.get(context.wallet)
    amount = await _amount(context, body.amount)
    return await unsigned(context, [await context.market.relay.stake(context.wallet, amount)])


@routes.post("/v1/unstake", auth=True, errors=(NotFound,))
async def unstake(context: Context, body: Amount) -> UnsignedView:
    """Gives the transaction that begins to take stake out; it can be withdrawn after the window."""
    await context.market.participants.get(context.wallet)
    amount = await _amount(context, body.amount)
    return await unsigned(context, [await context.market.relay.unstake(context.wallet, amount)])


@routes.post("/v1/withdraw", auth=True, errors=(NotFound,))
async def withdraw(context: Context) -> UnsignedView:
    """Gives the transaction that withdraws stake whose window is over."""
    await context.market.participants.get(context.wallet)
    return await unsigned(context, await context.market.relay.withdraw(context.wallet))


@routes.post("/v1/owed", auth=True, errors=(NotFound,))
async def claim_owed(context: Context, body: OfMint) -> UnsignedView:
    """Gives the transaction that claims what was earned and could not be delivered."""
    await context.market.participants.get(context.wallet)
    index = await context.market.terms.mint_index(body.mint, disabled=True)
    return await unsigned(context, await context.market.relay.claim_owed(context.wallet, mint_index=index))
