"""Lookup tables: what can be used when, and what a doubtful extension leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from assay.chain import EmbeddedChain
from assay.chain.lookup import CAPACITY, LookupTables, fetch_table, retire_table
from assay.chain.rpc import RpcChain
from assay.chain.rpc_server import RpcServer
from assay.errors import AccountMalformed, ChainUnavailable


def keys(count: int) -> list[Pubkey]:
    return [Keypair().pubkey() for _ in range(count)]


class Slow(EmbeddedChain):
    """A chain that finalizes when it is told to, and may lose its answer to a transaction that landed."""

    final = -1
    lost = False

    async def table_slot(self) -> int:
        return self.final

    async def send(self, instructions: Sequence[Any], **more: Any) -> Any:
        receipt = await super().send(instructions, **more)
        if self.lost:
            self.lost = False
            raise ChainUnavailable("the connection was lost", retry_after=0)
        return receipt


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Slow]:
    async with Slow(tmp_path, slot_ms=10) as chain:
        yield chain


async def test_only_what_is_final_is_used(slow: Slow) -> None:
    first, second = keys(40), keys(5)
    tables = LookupTables(slow, slow.faucet)
    await tables.extend(first)
    assert await tables.usable() == []
    assert tables.pending
    slow.final = await slow.slot()
    (table,) = await tables.usable()
    assert table.addresses == first
    assert not tables.pending
    slow.final -= 1
    while await slow.slot() <= slow.final + 2:
        pass
    await tables.extend([*first, *second])
    (table,) = await tables.usable()
    assert table.addresses == first, "what was there before can be used on"
    slow.final = await slow.slot()
    assert (await tables.usable())[0].addresses == [*first, *second]


async def test_an_earlier_runs_pending_addresses_wait_as_well(slow: Slow) -> None:
    wanted = keys(3)
    tables = LookupTables(slow, slow.faucet)
    await tables.extend(wanted)
    again = LookupTables(slow, slow.faucet, known=tables.addresses)
    assert [table.addresses for table in await again.usable()] == [[]]
    assert again.held == set(wanted)
    slow.final = await slow.slot()
    assert [table.addresses for table in await again.usable()] == [wanted]


async def test_a_lost_answer_does_not_shift_places(slow: Slow) -> None:
    """An extension that landed though its answer was lost: places are counted from what the chain has."""
    first, second = keys(3), keys(2)
    tables = LookupTables(slow, slow.faucet)
    await tables.extend(keys(1))
    slow.lost = True
    with pytest.raises(ChainUnavailable):
        await tables.extend(first)
    await tables.extend([*first, *second])
    slow.final = await slow.slot()
    (table,) = await tables.usable()
    assert table.addresses[1:] == [*first, *second]
    assert (await fetch_table(slow, table.key)).addresses == table.addresses


async def test_what_another_process_appended_is_seen_after_a_doubt(slow: Slow) -> None:
    mine, others, more = keys(2), keys(2), keys(2)
    tables = LookupTables(slow, slow.faucet)
    await tables.extend(mine)
    await LookupTables(slow, slow.faucet, known=tables.addresses).extend(others)
    await tables.doubt()
    await tables.extend(more)
    slow.final = await slow.slot()
    (table,) = await tables.usable()
    assert table.addresses == [*mine, *others, *more]


async def test_a_full_table_is_followed_by_another(embedded: EmbeddedChain) -> None:
    wanted = keys(CAPACITY + 3)
    tables = LookupTables(embedded, embedded.faucet)
    first, second = await tables.cover(wanted)
    assert [*first.addresses, *second.addresses] == wanted
    assert await tables.cover(wanted[-1:]) == [second]
    assert len(first.addresses) == CAPACITY
    move = [
        transfer(TransferParams(from_pubkey=embedded.faucet.pubkey(), to_pubkey=key, lamports=10**6))
        for key in (wanted[0], wanted[CAPACITY - 1], wanted[-1])
    ]
    await embedded.send(move, payer=embedded.faucet, lookup_tables=[first, second])
    account = await embedded.account(wanted[-1])
    assert account is not None
    assert account.lamports == 10**6


async def test_over_json_rpc(embedded: EmbeddedChain, server: RpcServer) -> None:
    """Through the port, `table_slot` is the finalized slot: never the one that is being filled."""
    async with RpcChain(server.url, ws_url=server.ws_url) as chain:
        assert await chain.table_slot() < await embedded.slot()
        (table,) = await LookupTables(chain, embedded.faucet).cover(wanted := keys(30))
        assert table.addresses == wanted


async def test_a_table_is_retired_and_its_rent_comes_back(tmp_path: Path) -> None:
    async with EmbeddedChain(tmp_path, slot_ms=5) as chain:
        authority = Keypair()
        await chain.airdrop(authority.pubkey(), 10**9)
        tables = LookupTables(chain, authority)
        await tables.cover(keys(30))
        (address,) = tables.addresses
        before = await lamports(chain, authority.pubkey())
        rent = await lamports(chain, address)
        assert rent > 0
        assert not await retire_table(chain, address, authority=authority)
        assert not await retire_table(chain, address, authority=authority), "513 slots are not over"
        with pytest.raises(AccountMalformed, match="deactivated"):
            await fetch_table(chain, address)
        async with asyncio.timeout(60):
            while not await retire_table(chain, address, authority=authority):  # noqa: ASYNC110  the chain's slots pass
                await asyncio.sleep(0.05)
        assert await retire_table(chain, address, authority=authority), "once more does no harm"
        assert await chain.account(address) is None
        assert await lamports(chain, authority.pubkey()) > before + 0.9 * rent


async def lamports(chain: EmbeddedChain, address: Pubkey) -> int:
    account = await chain.account(address)
    return 0 if account is None else account.lamports
