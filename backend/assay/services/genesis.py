"""The market of an embedded chain: its token, its Market account, and a faucet for those who try it out.

On a cluster the market's authority does this once and by hand; nothing here runs there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain import setup
from assay.chain.base import Chain
from assay.chain.keys import ensure_key
from assay.chain.tokens import associated_address, held
from assay.domain import money, tally
from assay.errors import ConfigError, FieldError, Unavailable
from assay.services.transactions import MOST_SIGNATURES
from assay.settings import Settings

DECIMALS = 6
TOKENS = 10**DECIMALS
DAY = 24 * 3600
FAUCET_TOKENS = 1_000_000 * TOKENS
FAUCET_LAMPORTS = 10 * 10**9
OPERATOR_LAMPORTS = 1_000_000 * 10**9

PARAMS: Mapping[str, Any] = {
    "min_labeler_stake": 100 * TOKENS,  # the source paper's minimum
    "min_validator_stake": 1000 * TOKENS,
    "dispute_bond": 10 * TOKENS,
    "unstake_window": 7 * DAY,
    "dispute_window": 3 * DAY,
    "grace": 3600,
    "panel_timeout": 60,
    "panel_term": 1000,
    "fee_bps": 0,
    "quorum_bps": 6666,  # two of three, five of seven
    "slash_bps": 1000,
    "equivocation_bps": 10_000,
    "panel_size": 3,
    "error_rate": 3,
    "slash_policy": 0,
    "reserved": [0] * 9,
}


async def ensure_market(
    chain: Chain, settings: Settings, *, params: Mapping[str, Any] | None = None
) -> tuple[Keypair, Keypair]:
    """Makes token and Market where there are none; keys of the operator (authority) and of the token's mint.

    `params` replace those of `PARAMS`. Raises `ConfigError` for terms under which nothing could ever be settled.
    """
    terms = {**PARAMS, **(params or {})}
    _check(terms)
    operator = ensure_key(settings.operator_file)
    mint = ensure_key(settings.keys_dir / "mint.json")
    await setup.ensure_sol(chain, operator.pubkey(), least=1, give=OPERATOR_LAMPORTS)
    await setup.initialize(chain, authority=operator, mint=mint, params=terms, decimals=DECIMALS)
    return operator, mint


def _check(terms: Mapping[str, Any]) -> None:
    quorum = tally.quorum(terms["panel_size"], terms["quorum_bps"])
    if quorum > MOST_SIGNATURES:
        raise ConfigError(
            f"asks for {quorum} of {terms['panel_size']} signatures, and a settlement has room for {MOST_SIGNATURES}",
            field="quorum_bps",
            hint=f"at most {MOST_SIGNATURES * money.BPS // terms['panel_size']} with this panel_size",
        )


class Faucet:
    """Gives SOL and tokens of the embedded chain away."""

    def __init__(self, chain: Chain, *, authority: Keypair, mint: Pubkey) -> None:
        self._chain = chain
        self._authority = authority
        self.mint = mint
        self._turn = asyncio.Lock()

    async def give(self, wallet: bytes, *, tokens: int) -> str:
        """Fills `wallet` up to ten SOL and adds `tokens` base units; the signature of the transfer.

        Raises `FieldError` beyond a million tokens at once.
        """
        if not 0 < tokens <= FAUCET_TOKENS:
            raise FieldError("tokens", f"is {tokens} base units", hint=f"1 to {FAUCET_TOKENS}")
        owner = Pubkey(wallet)
        await setup.ensure_sol(self._chain, owner, least=FAUCET_LAMPORTS // 2, give=FAUCET_LAMPORTS)
        target = associated_address(owner, self.mint)
        async with self._turn:  # two alike with one blockhash would be one transaction: wait until it shows
            before = await self._balance(target)
            receipt = await setup.fund_wallet(self._chain, owner, payer=self._authority, mint=self.mint, amount=tokens)
            if await self._balance(target) < before + tokens:
                raise Unavailable("the faucet was asked twice at once", retry_after=1)
        return receipt.signature

    async def _balance(self, address: Pubkey) -> int:
        return held(await self._chain.account(address))
