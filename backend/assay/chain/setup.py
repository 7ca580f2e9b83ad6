"""What a market needs on a chain: the program, its Market account, a token, and funds. On the embedded chain and on
test clusters it is made here; on a foreign cluster `missing` says exactly what is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from assay.chain import tokens
from assay.chain.addresses import Addresses
from assay.chain.base import Chain, Receipt
from assay.chain.genesis import upgrade_authority
from assay.chain.instructions import Instructions
from assay.errors import ConfigError

ENOUGH_LAMPORTS = 100_000_000
"""Lamports that an operator should hold: some thousand transactions' fees and the rent of a few accounts."""
PER_TRANSACTION = 4
"""Wallets that one funding transaction fits."""
AT_ONCE = 8
"""Funding transactions under way side by side."""


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that a cluster lacks, and what brings it there. `kind`: what it is, for those who can mend it."""

    kind: Literal["funds", "program", "market"]
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


async def missing(chain: Chain, *, operator: Pubkey | None = None, url: str = "URL") -> list[Missing]:
    """What keeps the market from working on `chain`, in the order in which it is to be set right; empty if nothing."""
    addresses = Addresses(chain.program.id)
    wanted = [chain.program.id, addresses.program_data, addresses.market, addresses.validators]
    program, code, market, validators = await chain.accounts(wanted)
    found: list[Missing] = []
    if operator is not None:
        payer = await chain.account(operator)
        held = 0 if payer is None else payer.lamports
        if held < ENOUGH_LAMPORTS:
            found.append(
                Missing(
                    "funds",
                    f"the operator {operator} holds {held / 1e9:.4f} SOL, less than {ENOUGH_LAMPORTS / 1e9}",
                    f"solana airdrop 2 {operator} --url {url}, or send it SOL",
                )
            )
    if program is None or not program.executable:
        found.append(
            Missing(
                "program",
                f"the program {chain.program.id} is not deployed",
                f"solana program deploy programs/assay.so --program-id KEYFILE --url {url}; or start a test validator "
                f"of your own with --bpf-program {chain.program.id} programs/assay.so (docs/deploy.md)",
            )
        )
        return found
    if market is None or validators is None:
        who = _initializer(None if code is None else upgrade_authority(code.data))
        found.append(Missing("market", "the market is not initialised", f"{who} must send initialize_market"))
    return found


def _initializer(authority: Pubkey | None) -> str:
    if authority is None:
        return "the key fixed at the program's build"
    if authority == Pubkey.default():
        return "anybody (the program stands in the genesis; `./assay demo --rpc` does)"
    return f"the program's upgrade authority {authority}"


async def require(
    chain: Chain,
    *,
    operator: Pubkey | None = None,
    url: str = "URL",
    besides: Collection[str] = (),
    field: str = "rpc_url",
) -> None:
    """Raises `ConfigError` naming all that is missing, but for the kinds `besides`, which the caller brings itself."""
    found = [entry for entry in await missing(chain, operator=operator, url=url) if entry.kind not in besides]
    if found:
        raise ConfigError("; ".join(str(entry) for entry in found), field=field)


async def ensure_sol(chain: Chain, wallet: Pubkey, *, least: int, give: int) -> None:
    """Has the faucet send `give` lamports to a wallet that holds fewer than `least`.

    Raises `ChainError` where the cluster has no faucet.
    """
    account = await chain.account(wallet)
    if account is None or account.lamports < least:
        await chain.airdrop(wallet, give)


async def initialize(
    chain: Chain,
    *,
    authority: Keypair,
    mint: Keypair,
    params: Mapping[str, Any],
    decimals: int = 6,
    token_program: Pubkey = tokens.TOKEN,
) -> Receipt | None:
    """Makes the mint (its authority is `authority`) and the Market where there are none; None if it was there.

    `authority` must be the program's upgrade authority and hold SOL. May be called again after it was interrupted.
    """
    instructions = Instructions(chain.program)
    if await chain.account(mint.pubkey()) is None:
        made = tokens.create_mint(
            authority.pubkey(),
            mint.pubkey(),
            authority=authority.pubkey(),
            decimals=decimals,
            rent=await chain.minimum_rent(tokens.MINT_SIZE),
            token_program=token_program,
        )
        await chain.send(made, payer=authority, signers=[mint])
    if await chain.account(instructions.addresses.market) is not None:
        return None
    made_market = instructions.initialize_market(
        authority=authority.pubkey(), mint=mint.pubkey(), token_program=token_program, params=params
    )
    return await chain.send([made_market], payer=authority)


def funding(
    wallet: Pubkey,
    *,
    payer: Pubkey,
    lamports: int = 0,
    mint: Pubkey | None = None,
    amount: int = 0,
    token_program: Pubkey = tokens.TOKEN,
) -> list[Instruction]:
    """Instructions that give `wallet` SOL, and `amount` base units of `mint` (`payer` is its authority) in its ATA."""
    steps = []
    if lamports:
        steps.append(transfer(TransferParams(from_pubkey=payer, to_pubkey=wallet, lamports=lamports)))
    if mint is not None:
        account = tokens.associated_address(wallet, mint, token_program=token_program)
        steps.append(tokens.create_associated(payer, wallet, mint, token_program=token_program))
        if amount:
            steps.append(tokens.mint_to(mint, account, authority=payer, amount=amount, token_program=token_program))
    return steps


async def fund_wallet(
    chain: Chain, wallet: Pubkey, *, payer: Keypair, lamports: int = 0, mint: Pubkey | None = None, amount: int = 0
) -> Receipt:
    """`funding` as a transaction of its own."""
    return await chain.send(
        funding(wallet, payer=payer.pubkey(), lamports=lamports, mint=mint, amount=amount), payer=payer
    )


async def fund_wallets(
    chain: Chain, wallets: Sequence[Pubkey], *, payer: Keypair, lamports: int, mint: Pubkey, amount: int
) -> None:
    """`funding` for each wallet that holds fewer than `amount` base units; the rest are left alone, so it may be called
    again after a failure."""
    accounts = await chain.accounts([tokens.associated_address(wallet, mint) for wallet in wallets])
    held = [tokens.held(account) for account in accounts]
    wanting = [wallet for wallet, has in zip(wallets, held, strict=True) if has < amount]
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(part: Sequence[Pubkey]) -> None:
        steps = [
            step
            for wallet in part
            for step in funding(wallet, payer=payer.pubkey(), lamports=lamports, mint=mint, amount=amount)
        ]
        async with gate:
            await chain.send(steps, payer=payer)

    await asyncio.gather(*(one(wanting[at : at + PER_TRANSACTION]) for at in range(0, len(wanting), PER_TRANSACTION)))
