"""Brings up market and wallets on a chain: the embedded one through its RPC port, or any cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from assay.chain.addresses import Addresses
from assay.chain.base import Chain, Memcmp
from assay.chain.keys import ensure_key
from assay.chain.tokens import (
    TOKEN,
    TOKEN_2022,
    associated_address,
    create_associated,
    decode_mint,
    decode_token_account,
    mint_to,
)
from assay.errors import AssayError, ConfigError
from assay.services.genesis import ensure_market
from assay.settings import Settings

SOL = 10**9
WALLET_SOL = SOL // 10
"""Rent and fees of a participant many times over."""
OPERATOR_SOL = 50 * SOL
PER_TRANSACTION = 4
"""Wallets that one funding transaction fits."""
AT_ONCE = 8


async def prepare(chain: Chain, settings: Settings, *, params: Mapping[str, Any] | None = None) -> None:
    """Make sure that a cluster has the program, and a market whose token this home may mint.

    Deploys nothing. Raises `ConfigError` that says what is missing and how to get it.
    """
    program = await chain.account(chain.program.id)
    if program is None or not program.executable:
        raise ConfigError(
            f"the program {chain.program.id} is not deployed on {settings.rpc_url}",
            field="--rpc",
            hint="docs/deploy.md; for a test validator: "
            f"solana-test-validator --reset --bpf-program {chain.program.id} programs/assay.so",
        )
    operator = ensure_key(settings.operator_key or settings.keys_dir / "operator.json")
    account = await chain.account(operator.pubkey())
    if account is None or account.lamports < SOL:
        try:
            await chain.airdrop(operator.pubkey(), OPERATOR_SOL)
        except AssayError as error:
            raise ConfigError(
                f"the operator {operator.pubkey()} has no SOL and the cluster gives none ({error})",
                field="--rpc",
                hint="send it a few SOL and run the command again",
            ) from error
    try:
        await ensure_market(chain, settings, params=params)
    except AssayError as error:
        raise ConfigError(
            f"the market is not initialised, and {operator.pubkey()} may not do it ({error})",
            field="--rpc",
            hint="put the deployer's key file into HOME/keys/operator.json (docs/deploy.md)",
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


async def fund(chain: Chain, keys_dir: Path, wallets: Sequence[Pubkey], *, tokens: int) -> None:
    """Give each wallet SOL for its fees and `tokens` base units, from the operator that owns the mint.

    A wallet that has them already is left alone, so it may be called again after a failure.
    """
    operator, mint = ensure_key(keys_dir / "operator.json"), await market_mint(chain)
    accounts = await chain.accounts([associated_address(wallet, mint) for wallet in wallets])
    held = [0 if account is None else decode_token_account(bytes(account.data)).amount for account in accounts]
    wanting = [wallet for wallet, amount in zip(wallets, held, strict=True) if amount < tokens]
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(part: Sequence[Pubkey]) -> None:
        payer = operator.pubkey()
        instructions = []
        for wallet in part:
            instructions += [
                transfer(TransferParams(from_pubkey=payer, to_pubkey=wallet, lamports=WALLET_SOL)),
                create_associated(payer, wallet, mint),
                mint_to(mint, associated_address(wallet, mint), authority=payer, amount=tokens),
            ]
        async with gate:
            await chain.send(instructions, payer=operator)

    parts = [wanting[start : start + PER_TRANSACTION] for start in range(0, len(wanting), PER_TRANSACTION)]
    await asyncio.gather(*(one(part) for part in parts))


async def token_sum(chain: Chain, mint: Pubkey) -> tuple[int, int]:
    """(tokens in all accounts of the mint together, the mint's supply): equal unless tokens were lost."""
    account = await chain.account(mint)
    assert account is not None
    program = account.owner if account.owner in (TOKEN, TOKEN_2022) else TOKEN
    holders = await chain.program_accounts(program, memcmp=[Memcmp(0, bytes(mint))], size=165)
    held = sum(decode_token_account(bytes(holder.data)).amount for _, holder in holders)
    return held, decode_mint(bytes(account.data)).supply
