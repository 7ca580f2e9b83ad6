"""Chains to test against: the embedded one, its JSON-RPC port, and a real validator where its binary is cached."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from support.validator import solana_validator

from assay.chain import Chain, EmbeddedChain, RpcChain, load_program, setup
from assay.chain.ed25519 import signatures_instruction
from assay.chain.instructions import Instructions
from assay.chain.program import ROOT
from assay.chain.rpc_server import RpcServer
from assay.chain.tokens import TOKEN, associated_address, decode_token_account

UNIT = 1_000_000
SLOT_MS = 20
PARAMS: dict[str, Any] = {
    "min_labeler_stake": 100 * UNIT,
    "min_validator_stake": 500 * UNIT,
    "dispute_bond": 5 * UNIT,
    "unstake_window": 7 * 86_400,
    "dispute_window": 3 * 86_400,
    "grace": 3_600,
    "panel_timeout": 600,
    "panel_term": 1_000,
    "fee_bps": 0,
    "quorum_bps": 6_666,
    "slash_bps": 1_000,
    "equivocation_bps": 5_000,
    "panel_size": 3,
    "error_rate": 3,
    "slash_policy": 0,
}


def key(name: str) -> Keypair:
    """The same key for the same name."""
    return Keypair.from_seed(hashlib.sha256(name.encode()).digest())


OPERATOR = key("operator")


def write_key(home: Path) -> None:
    """Makes `OPERATOR` the operator of a home."""
    (home / "keys").mkdir(parents=True, exist_ok=True)
    (home / "keys" / "operator.json").write_text(json.dumps(list(bytes(OPERATOR))))


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real validator's JSON-RPC, with the program deployed; it ends with these tests."""
    program = [str(load_program().id), str(ROOT / "programs" / "assay.so"), str(OPERATOR.pubkey())]
    arguments = ["--ticks-per-slot", "8", "--upgradeable-program", *program]
    with solana_validator(tmp_path_factory.mktemp("ledger"), arguments) as url:
        yield url


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[EmbeddedChain]:
    """An embedded chain with short slots."""
    write_key(tmp_path)
    async with EmbeddedChain(tmp_path, slot_ms=SLOT_MS) as chain:
        yield chain


@pytest.fixture
async def server(embedded: EmbeddedChain) -> AsyncIterator[RpcServer]:
    """The embedded chain's JSON-RPC port."""
    running = RpcServer(embedded)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture(params=["embedded", "port", "validator"])
async def chain(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Chain]:
    """Each of the three chains in turn."""
    async with AsyncExitStack() as stack:
        if request.param == "validator":
            url = request.getfixturevalue("validator")
            yield await stack.enter_async_context(RpcChain(url))
            return
        write_key(tmp_path)
        embedded = await stack.enter_async_context(EmbeddedChain(tmp_path, slot_ms=SLOT_MS))
        if request.param == "embedded":
            yield embedded
            return
        running = RpcServer(embedded)
        await running.start()
        stack.push_async_callback(running.stop)
        yield await stack.enter_async_context(RpcChain(running.url, ws_url=running.ws_url))


@pytest.fixture
async def wallet(chain: Chain) -> Keypair:
    """A new wallet with 10 SOL."""
    made = Keypair()
    await chain.airdrop(made.pubkey(), 10 * 10**9)
    return made


@dataclass
class Market:
    """A market on a chain, with what its actors do, one method a transaction."""

    chain: Chain
    mint: Keypair
    ix: Instructions
    wallets: dict[str, Keypair] = field(default_factory=dict)

    def ata(self, wallet: Keypair) -> Pubkey:
        """A wallet's token account."""
        return associated_address(wallet.pubkey(), self.mint.pubkey())

    async def balance(self, wallet: Keypair) -> int:
        """Tokens of a wallet."""
        account = await self.chain.account(self.ata(wallet))
        return 0 if account is None else decode_token_account(account.data).amount

    async def join(self, role: int, *, stake: int = 0, tokens: int = 0) -> Keypair:
        """A new wallet in a role, with a payout account, a stake and some tokens over."""
        wallet = Keypair()
        await setup.fund_wallet(
            self.chain, wallet.pubkey(), payer=OPERATOR, lamports=10**9, mint=self.mint.pubkey(), amount=stake + tokens
        )
        me, mint = wallet.pubkey(), self.mint.pubkey()
        steps = [
            self.ix.register(payer=me, wallet=me, role=role),
            self.ix.set_payout(wallet=me, mint=mint, payout=self.ata(wallet)),
        ]
        if stake:
            steps.append(
                self.ix.stake(wallet=me, mint=mint, source=self.ata(wallet), token_program=TOKEN, amount=stake)
            )
        await self.chain.send(steps, payer=wallet)
        return wallet

    async def state(self, name: str, address: Pubkey) -> Any:
        """A decoded account of the program."""
        account = await self.chain.account(address)
        assert account is not None
        return self.chain.program.codec.decode_account(account.data, name=name)

    async def post(self, buyer: Keypair, *, request_id: int, **changes: Any) -> Pubkey:
        """Posts a review request: 500 tokens, 1 a record, 0.04 for its validators."""
        clock = await self.chain.clock()
        args = {
            "spec_hash": bytes(range(32)), "amount": 500 * UNIT, "price": UNIT, "validation_fee": UNIT // 25,
            "deadline": clock.unix_timestamp + 86_400, "records": 500, "overlap": 1, "premium_bps": [0, 0, 0, 0],
            "mode": 1, "kind": 0, "min_tier": 0, **changes,
        }  # fmt: skip
        posted = self.ix.post_request(
            buyer=buyer.pubkey(), request_id=request_id, mint=self.mint.pubkey(), source=self.ata(buyer),
            token_program=TOKEN, args=args,
        )  # fmt: skip
        await self.chain.send([posted], payer=buyer)
        return self.ix.addresses.request(buyer.pubkey(), request_id)

    async def draw(self, request: Pubkey, payer: Keypair) -> Any:
        """Draws the request's panel; gives the Request."""
        await self.chain.send([self.ix.draw_panel(request=request)], payer=payer)
        seed_slot = (await self.state("Request", request)).seed_slot
        async with asyncio.timeout(30):
            while await self.chain.slot() <= seed_slot:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await self.chain.send([self.ix.draw_panel(request=request)], payer=payer)
        return await self.state("Request", request)

    def settlement(
        self,
        request: Pubkey,
        state: Any,
        tallies: dict[Pubkey, tuple[int, int, int]],
        panel: list[Keypair],
        **changes: Any,
    ) -> list[Any]:
        """Instructions of a batch. `tallies`: by wallet (good, bad, units); `panel` signs."""
        participant = self.ix.addresses.participant
        order = sorted(tallies, key=lambda wallet: bytes(participant(wallet)))
        entries = [
            dict(zip(("good", "bad", "gold_passed", "gold_failed", "units"), (g, b, 0, 0, u), strict=True))
            for g, b, u in (tallies[wallet] for wallet in order)
        ]
        labelers = [entry for entry in entries if not entry["units"]]
        voters = [entry for entry in entries if entry["units"]]
        judged = sum(entry["good"] + entry["bad"] for entry in labelers)
        args = {
            "batch": state.next_batch, "root": b"\x07" * 32, "records": sum(entry["good"] for entry in labelers),
            "judged": judged, "answers": judged, "votes": sum(entry["good"] + entry["bad"] for entry in voters),
            "tallies": entries, **changes,
        }  # fmt: skip
        digest = hashlib.sha256(
            args["root"] + b"".join(args[n].to_bytes(w, "little") for n, w in
                                    (("records", 2), ("judged", 2), ("answers", 2), ("votes", 4)))
        )  # fmt: skip
        for wallet, entry in zip(order, entries, strict=True):
            digest.update(bytes(participant(wallet)))
            digest.update(
                b"".join(entry[n].to_bytes(2, "little") for n in ("good", "bad", "gold_passed", "gold_failed"))
            )
            digest.update(entry["units"].to_bytes(4, "little"))
        message = (
            b"assay-batch-v1\0\0" + state.domain + args["batch"].to_bytes(8, "little")
            + state.panel_round.to_bytes(4, "little") + digest.digest()
        )  # fmt: skip
        signed = [(member.pubkey(), bytes(member.sign_message(message))) for member in panel]
        mint = self.mint.pubkey()
        return [
            signatures_instruction(message, signed),
            self.ix.settle_batch(
                request=request, mint=mint, token_program=TOKEN, args=args,
                paid=[(participant(wallet), associated_address(wallet, mint)) for wallet in order],
            ),
        ]  # fmt: skip


async def found(chain: Chain, **changes: Any) -> Market:
    mint = key("mint")
    await chain.airdrop(OPERATOR.pubkey(), 100 * 10**9)
    await setup.initialize(chain, authority=OPERATOR, mint=mint, params={**PARAMS, **changes})
    return Market(chain, mint, Instructions(chain.program))


@pytest.fixture
async def market(chain: Chain) -> Market:
    """A market on each chain; the validator's is made once."""
    return await found(chain)


@pytest.fixture
def found_market() -> Any:
    """Makes a market on a chain without one: `await found_market(chain, grace=1)`."""
    return found


@pytest.fixture
def begin() -> Any:
    """Makes the market of a home: `await begin(home)`."""

    async def make(home: Path) -> None:
        async with EmbeddedChain(home, slot_ms=SLOT_MS) as chain:
            await chain.airdrop(chain.operator.pubkey(), 100 * 10**9)
            await setup.initialize(chain, authority=chain.operator, mint=key("mint"), params=PARAMS)

    return make
