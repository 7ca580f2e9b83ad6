"""A cluster that misbehaves: nothing is lost and nothing runs twice."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from assay.chain import EmbeddedChain, RpcChain
from assay.chain.rpc import websocket_url
from assay.chain.rpc_server import RpcServer
from assay.errors import BlockhashExpired, ChainError, ChainUnavailable, ConfigError, TransactionFailed


class Proxy:
    """Stands before a JSON-RPC port and does to chosen methods what networks do.

    `swallow`: sends that are answered but never arrive; `mute`: calls that arrive and are never answered;
    `refuse`: calls that get a 503. Each is a number of calls yet to be spoilt.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.swallow = self.mute = self.refuse = 0
        self.sends = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/", self.handle)
        self.session = aiohttp.ClientSession()
        self.runner = web.AppRunner(app, shutdown_timeout=1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        server: Any = site._server
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        await self.runner.cleanup()
        await self.session.close()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        sending = body["method"] == "sendTransaction"
        self.sends += sending
        if self.refuse:
            self.refuse -= 1
            return web.Response(status=503)
        if sending and self.swallow:
            self.swallow -= 1
            return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": "1" * 64})
        async with self.session.post(self.target, json=body) as answer:
            text = await answer.text()
        if sending and self.mute:
            self.mute -= 1
            request.transport.close()  # type: ignore[union-attr]
        return web.Response(text=text, content_type="application/json")


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[EmbeddedChain]:
    """A chain whose blockhashes live a third of a second."""
    async with EmbeddedChain(tmp_path, slot_ms=2) as chain:
        yield chain


@pytest.fixture
async def proxy(quick: EmbeddedChain) -> AsyncIterator[Proxy]:
    server = RpcServer(quick)
    await server.start()
    made = Proxy(server.url)
    await made.start()
    yield made
    await made.stop()
    await server.stop()


@pytest.fixture(params=["with web socket", "by polling"])
async def rpc(request: pytest.FixtureRequest, proxy: Proxy) -> AsyncIterator[RpcChain]:
    """A client of the proxy; its web socket goes past the proxy, or nowhere."""
    port = int(proxy.target.rsplit(":", 1)[1])
    ws = f"ws://127.0.0.1:{port}" if request.param == "with web socket" else "ws://127.0.0.1:9"
    async with RpcChain(proxy.url, ws_url=ws, timeout=5) as chain:
        yield chain


async def pay(rpc: RpcChain, source: Keypair, target: Pubkey, lamports: int = 10**7) -> Any:
    move = transfer(TransferParams(from_pubkey=source.pubkey(), to_pubkey=target, lamports=lamports))
    return await rpc.send([move], payer=source)


async def held(chain: EmbeddedChain, address: Pubkey) -> int:
    account = await chain.account(address)
    return 0 if account is None else account.lamports


async def test_a_send_that_never_arrives_is_signed_anew_after_expiry(
    rpc: RpcChain, proxy: Proxy, quick: EmbeddedChain
) -> None:
    target = Keypair().pubkey()
    proxy.swallow = 1
    start = time.monotonic()
    async with asyncio.timeout(30):
        receipt = await pay(rpc, quick.faucet, target)
    assert time.monotonic() - start > 0.3  # not before the old blockhash had surely expired
    assert proxy.sends >= 2
    assert await held(quick, target) == 10**7
    assert await quick.receipt(receipt.signature) == receipt


async def test_a_send_whose_answer_is_lost_runs_once(rpc: RpcChain, proxy: Proxy, quick: EmbeddedChain) -> None:
    target = Keypair().pubkey()
    proxy.mute = 1
    async with asyncio.timeout(30):
        await pay(rpc, quick.faucet, target)
    assert await held(quick, target) == 10**7


async def test_an_outage_is_waited_out(rpc: RpcChain, proxy: Proxy, quick: EmbeddedChain) -> None:
    target = Keypair().pubkey()
    proxy.refuse = 3
    async with asyncio.timeout(30):
        await pay(rpc, quick.faucet, target)
    assert await held(quick, target) == 10**7


async def test_many_at_once_under_faults_each_run_once(rpc: RpcChain, proxy: Proxy, quick: EmbeddedChain) -> None:
    targets = [Keypair().pubkey() for _ in range(40)]

    async def spoil() -> None:
        for _ in range(20):
            proxy.swallow, proxy.mute = proxy.swallow + 1, proxy.mute + 1
            await asyncio.sleep(0.02)

    async def insist(target: Pubkey) -> None:
        while True:
            with contextlib.suppress(BlockhashExpired):  # it says that there was no effect: so it may be tried again
                return await pay(rpc, quick.faucet, target)

    async with asyncio.timeout(60):
        spoiling = asyncio.create_task(spoil())
        await asyncio.gather(*(insist(target) for target in targets))
        await spoiling
    assert [await held(quick, target) for target in targets] == [10**7] * 40


async def test_alike_transactions_are_not_one(rpc: RpcChain, quick: EmbeddedChain) -> None:
    target = Keypair().pubkey()
    async with asyncio.timeout(30):
        await asyncio.gather(*(pay(rpc, quick.faucet, target) for _ in range(4)))
    assert await held(quick, target) == 4 * 10**7


async def test_failures_come_at_once(rpc: RpcChain, proxy: Proxy, quick: EmbeddedChain) -> None:
    with pytest.raises(TransactionFailed, match="instruction 0 failed") as caught:
        await pay(rpc, quick.faucet, Keypair().pubkey(), 1 << 62)
    assert caught.value.logs
    assert proxy.sends == 1
    with pytest.raises(TransactionFailed, match="no SOL"):
        await pay(rpc, Keypair(), Keypair().pubkey())


async def test_nobody_there() -> None:
    with pytest.raises(ChainUnavailable, match="does not answer"):
        async with RpcChain("http://127.0.0.1:9"):
            pass
    assert websocket_url("http://127.0.0.1:8899") == "ws://127.0.0.1:8900"
    assert websocket_url("https://api.example.org/key") == "wss://api.example.org/key"
    with pytest.raises(ConfigError, match="no address of a cluster"):
        websocket_url("localhost")


async def test_airdrops_can_be_refused(rpc: RpcChain) -> None:
    with pytest.raises(ChainError, match="gave no SOL"):
        await rpc.airdrop(Keypair().pubkey(), 10**18)
