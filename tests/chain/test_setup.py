"""What a foreign cluster is told that it lacks, and keys on disk."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from assay.chain import EmbeddedChain, Program, RpcChain, load_program, setup
from assay.chain.keys import ensure_key, read_key
from assay.chain.rpc_server import RpcServer
from assay.chain.tokens import associated_address, decode_token_account
from assay.errors import ConfigError
from assay.services.genesis import PARAMS, ensure_market
from assay.settings import load


async def test_each_thing_missing_is_named(server: RpcServer, embedded: EmbeddedChain, begin: Any) -> None:
    idl: dict[str, Any] = dict(load_program().codec.idl)
    elsewhere = Program(idl, program_id=Keypair().pubkey())
    nobody = Keypair().pubkey()
    async with RpcChain(server.url, ws_url=server.ws_url, program=elsewhere) as chain:
        found = await setup.missing(chain, operator=nobody, url=server.url)
        assert [entry.what.split(",")[0] for entry in found] == [
            f"the operator {nobody} holds 0.0000 SOL",
            f"the program {elsewhere.id} is not deployed",
        ]
        with pytest.raises(ConfigError, match="is not deployed: solana program deploy"):
            await setup.require(chain, url=server.url)
        assert [entry.kind for entry in found] == ["funds", "program"]
    async with RpcChain(server.url, ws_url=server.ws_url) as chain:
        found = await setup.missing(chain)
        assert [entry.what for entry in found] == ["the market is not initialised"]
        assert str(embedded.operator.pubkey()) in found[0].remedy
        with pytest.raises(ConfigError, match="not initialised"):
            await setup.require(chain)
        await setup.require(chain, besides=("market",))


async def test_wallets_are_funded_once(embedded: EmbeddedChain) -> None:
    operator, mint = embedded.operator, Keypair()
    await setup.ensure_sol(embedded, operator.pubkey(), least=10**9, give=10**10)
    await setup.ensure_sol(embedded, operator.pubkey(), least=10**9, give=10**10)  # holds enough: nothing given
    account = await embedded.account(operator.pubkey())
    assert account is not None
    assert account.lamports == 10**10
    await setup.initialize(embedded, authority=operator, mint=mint, params=PARAMS)
    wallets = [Keypair().pubkey() for _ in range(setup.PER_TRANSACTION * 2 + 1)]

    async def held() -> list[tuple[int, int]]:
        purses = await embedded.accounts([associated_address(wallet, mint.pubkey()) for wallet in wallets])
        return [
            (account.lamports, 0 if purse is None else decode_token_account(purse.data).amount)
            for account, purse in zip(await embedded.accounts(wallets), purses, strict=True)
            if account is not None
        ]

    some = wallets[: setup.PER_TRANSACTION]
    await setup.fund_wallets(embedded, some, payer=operator, lamports=10**8, mint=mint.pubkey(), amount=7)
    await setup.fund_wallets(embedded, wallets, payer=operator, lamports=10**8, mint=mint.pubkey(), amount=7)
    assert await held() == [(10**8, 7)] * len(wallets)


async def test_an_operator_of_another_file_owns_the_market(tmp_path: Path) -> None:
    settings = load(home=tmp_path / "home", operator_key=tmp_path / "mine.json")
    async with EmbeddedChain(settings.home, operator=settings.operator_file, slot_ms=20) as chain:
        operator, _ = await ensure_market(chain, settings)
        assert operator == read_key(tmp_path / "mine.json")
        assert await setup.missing(chain, operator=operator.pubkey()) == []


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "operator.json"
    made = ensure_key(path)
    assert ensure_key(path) == made == read_key(path)
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text()) == list(bytes(made))
    assert [entry.name for entry in path.parent.iterdir()] == ["operator.json"]
    with pytest.raises(ConfigError, match="no key file"):
        read_key(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[1, 2]")
    with pytest.raises(ConfigError, match="is no key file"):
        read_key(tmp_path / "bad.json")


async def test_keys_made_at_once_are_one(tmp_path: Path) -> None:
    path = tmp_path / "operator.json"
    keys = await asyncio.gather(*(asyncio.to_thread(ensure_key, path) for _ in range(8)))
    assert len({bytes(key) for key in keys}) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["operator.json"]


async def test_terms_that_nothing_could_be_settled_under_are_refused(embedded: EmbeddedChain, tmp_path: Path) -> None:
    settings = load(home=tmp_path)
    for params, quorum in (({"panel_size": 7, "quorum_bps": 8000}, 6), ({"panel_size": 6, "quorum_bps": 10_000}, 6)):
        with pytest.raises(ConfigError, match=f"asks for {quorum} of") as caught:
            await ensure_market(embedded, settings, params=params)
        assert caught.value.field == "quorum_bps"
        least = int(str(caught.value.hint).split()[2])
        assert -(-params["panel_size"] * least // 10_000) == 5
    await ensure_market(embedded, settings, params={"panel_size": 7})
