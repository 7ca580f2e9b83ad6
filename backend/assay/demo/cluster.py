"""Brings up market and wallets on a chain: the embedded one through its RPC port, or any cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain import setup
from assay.chain.addresses import Addresses
from assay.chain.base import Chain, Memcmp
from assay.chain.keys import ensure_key
from assay.chain.tokens import TOKEN, TOKEN_2022, decode_mint, decode_token_account
from assay.errors import ChainError, ConfigError, TransactionFailed
from assay.services.genesis import ensure_market
from assay.settings import Settings

SOL = 10**9
WALLET_SOL = SOL // 10
"""Rent and fees of a participant many times over."""
OPERATOR_LEAST, OPERATOR_SOL = SOL, 50 * SOL
"""Below which the operator asks the cluster's faucet, and for how much."""


async def prepare(chain: Chain, settings: Settings, *, params: Mapping[str, Any] | None = None) -> None:
    """Make sure that a cluster has the program, and a market whose token this home may mint.

    Deploys nothing. Raises `ConfigError` that says what is missing and how to get it.
    """
    operator = ensure_key(settings.operator_file)
    with contextlib.suppress(ChainError):  # no faucet: then `require` says what to do
        await setup.ensure_sol(chain, operator.pubkey(), least=OPERATOR_LEAST, give=OPERATOR_SOL)
    url = str(settings.rpc_url)
    await setup.require(chain, operator=operator.pubkey(), url=url, besides=("market",), field="--rpc")
    try:
        await ensure_market(chain, settings, params=params)
    except TransactionFailed as error:
        lacking = await setup.missing(chain, url=url)
        raise ConfigError(
            "; ".join(str(entry) for entry in lacking) or str(error),
            field="--rpc",
            hint=f"put that key's file into {settings.operator_file} (docs/deploy.md)",
        ) from error
    await _own_market(chain, operator)


async def _own_market(chain: Chain, operator: Keypair) -> None:
    mint = await market_mint(chain)
    account = await chain.account(mint)
    if account is None or decode_mint(bytes(account.data)).authority != operator.pubkey():
        raise ConfigError(
            f"the market's token {mint} is not ours to give away, so the demo cannot fund its wallets",
            field="--home",
            hint="run with the home that initialised this market, or on a cluster of its own",
        )


async def market_mint(chain: Chain) -> Pubkey:
    """The market's first mint."""
    account = await chain.account(Addresses(chain.program.id).market)
    if account is None:
        raise ConfigError("there is no market on this chain", field="--rpc")
    market = chain.program.codec.decode_account(bytes(account.data), name="Market")
    return Pubkey.from_bytes(bytes(market.mints[0].mint))


async def fund(chain: Chain, settings: Settings, wallets: Sequence[Pubkey], *, tokens: int) -> None:
    """Give each wallet SOL for its fees and `tokens` base units, from the operator that owns the mint.

    A wallet that has them already is left alone, so it may be called again after a failure.
    """
    operator, mint = ensure_key(settings.operator_file), await market_mint(chain)
    await setup.fund_wallets(chain, wallets, payer=operator, lamports=WALLET_SOL, mint=mint, amount=tokens)


async def token_sum(chain: Chain, mint: Pubkey) -> tuple[int, int]:
    """(tokens in all accounts of the mint together, the mint's supply): equal unless tokens were lost."""
    account = await chain.account(mint)
    assert account is not None
    program = account.owner if account.owner in (TOKEN, TOKEN_2022) else TOKEN
    holders = await chain.program_accounts(program, memcmp=[Memcmp(0, bytes(mint))], size=165)
    held = sum(decode_token_account(bytes(holder.data)).amount for _, holder in holders)
    return held, decode_mint(bytes(account.data)).supply
