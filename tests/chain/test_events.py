"""The stream of events over restarts of the chain and of its reader."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from solders.keypair import Keypair

from assay.chain import Cursor, EmbeddedChain, Event, RpcChain
from assay.chain.instructions import Instructions
from assay.chain.rpc_server import RpcServer


async def register(chain: EmbeddedChain, count: int) -> None:
    """Transactions of three events each: three wallets registered at once."""
    ix = Instructions(chain.program)
    for _ in range(count):
        wallets = [Keypair() for _ in range(3)]
        payer = chain.faucet
        steps = [ix.register(payer=payer.pubkey(), wallet=wallet.pubkey(), role=2) for wallet in wallets]
        await chain.send(steps, payer=payer, signers=wallets)


async def test_each_event_once_over_restarts(tmp_path: Path, begin: Any) -> None:
    told: list[Event] = []
    cursor: Cursor | None = None
    await begin(tmp_path)
    async with EmbeddedChain(tmp_path) as chain:
        async for event in chain.events(follow=False):
            cursor = event.cursor
    for _ in range(3):
        async with EmbeddedChain(tmp_path, slot_ms=5) as chain:
            server = RpcServer(chain)
            await server.start()
            async with RpcChain(server.url, ws_url=server.ws_url) as rpc, asyncio.timeout(60):
                writing = asyncio.create_task(register(chain, 8))
                for reader in (chain, rpc, chain, rpc):
                    count = 0
                    async for event in reader.events(after=cursor):
                        told.append(event)
                        cursor = event.cursor
                        count += 1
                        if count == 6 - (reader is rpc):  # within a transaction, and between two
                            break
                await writing
                left = 24 - 22
                async for event in rpc.events(after=cursor, follow=False):
                    told.append(event)
                    cursor = event.cursor
                    left -= 1
                assert left == 0
            await server.stop()
    async with EmbeddedChain(tmp_path) as chain:
        everything = [event async for event in chain.events(follow=False)]
    assert told == everything[1:]
    assert len(told) == 72
