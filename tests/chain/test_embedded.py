"""The embedded chain: durable, bounded like a cluster, and of one owner."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from assay.chain import EmbeddedChain, genesis
from assay.chain.base import compile_transaction
from assay.chain.lookup import LookupTables, fetch_table
from assay.errors import BadRequest, BlockhashExpired, ChainUnavailable, ConfigError, TransactionFailed


def pay(source: Keypair, target: Pubkey, lamports: int) -> list:
    return [transfer(TransferParams(from_pubkey=source.pubkey(), to_pubkey=target, lamports=lamports))]


async def raw_transfer(chain: EmbeddedChain, source: Keypair, target: Pubkey, lamports: int) -> bytes:
    blockhash = (await chain.latest_blockhash()).hash
    made = compile_transaction(
        pay(source, target, lamports), payer=source, signers=(), lookup_tables=(), blockhash=blockhash
    )
    return bytes(made)


async def lamports(chain: EmbeddedChain, address: Pubkey) -> int:
    account = await chain.account(address)
    return 0 if account is None else account.lamports


CHILD = """
    import asyncio, sys
    from pathlib import Path
    from solders.keypair import Keypair
    from solders.pubkey import Pubkey
    from solders.system_program import TransferParams, transfer
    from assay.chain import EmbeddedChain

    async def main(home, target):
        async with EmbeddedChain(home, slot_ms=20) as chain:
            payer = chain.faucet
            async def worker(number):
                for i in range(1, 100_000):
                    move = transfer(TransferParams(
                        from_pubkey=payer.pubkey(), to_pubkey=target, lamports=1_000_000 * (1 + number) + i))
                    receipt = await chain.send([move], payer=payer)
                    print(receipt.signature, 1_000_000 * (1 + number) + i, receipt.slot, flush=True)
            await asyncio.gather(*(worker(n) for n in range(8)))

    asyncio.run(main(Path(sys.argv[1]), Pubkey.from_string(sys.argv[2])))
"""


async def test_what_was_acknowledged_survives_kill(tmp_path: Path) -> None:
    target = Keypair().pubkey()
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path), str(target)]
    acknowledged: list[tuple[str, int, int]] = []
    for round_ in (1, 2, 3):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
        assert child.stdout is not None
        for line in child.stdout:
            words = line.split()
            if len(words) == 3 and line.endswith("\n"):
                acknowledged.append((words[0], int(words[1]), int(words[2])))
            if len(acknowledged) >= 200 * round_:
                break
        child.send_signal(signal.SIGKILL)
        for line in child.stdout:  # what it had said before it died counts too
            words = line.split()
            if len(words) == 3 and line.endswith("\n"):
                acknowledged.append((words[0], int(words[1]), int(words[2])))
        child.wait()
        child.stdout.close()
    assert len(acknowledged) >= 600
    async with EmbeddedChain(tmp_path) as chain:
        for name, _, slot in acknowledged:
            receipt = await chain.receipt(name)
            assert receipt is not None
            assert receipt.slot == slot
        records = await chain.journal.records(0, limit=1_000_000)
        assert [record.seq for record in records] == list(range(1, len(records) + 1))
        assert [record.slot for record in records] == sorted(record.slot for record in records)
        # accounts are of the very same moment as the transactions: nothing of an unwritten one shows
        told = sum(amount for _, amount, _ in acknowledged)
        arrived = await lamports(chain, target)
        assert arrived >= told
        left = await lamports(chain, chain.faucet.pubkey())
        assert left + arrived + 5000 * len(records) == genesis.FAUCET_LAMPORTS


async def test_blockhashes_expire_after_150_slots(tmp_path: Path) -> None:
    async with EmbeddedChain(tmp_path, slot_ms=10) as chain:
        target = Keypair().pubkey()
        late = await raw_transfer(chain, chain.faucet, target, 10**6)
        blockhash = await chain.latest_blockhash()
        assert chain.blockhash_valid(blockhash.hash)
        async with asyncio.timeout(60):
            while await chain.slot() <= blockhash.last_valid_block_height:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not chain.blockhash_valid(blockhash.hash)
        with pytest.raises(BlockhashExpired):
            await chain.send_raw(late)
        assert await chain.account(target) is None


async def test_a_signature_runs_once(tmp_path: Path) -> None:
    target = Keypair().pubkey()
    async with EmbeddedChain(tmp_path) as chain:
        raw = await raw_transfer(chain, chain.faucet, target, 10**6)
        receipts = [await chain.send_raw(raw) for _ in range(3)]
        assert receipts[0] == receipts[1] == receipts[2]
        assert await lamports(chain, target) == 10**6
    async with EmbeddedChain(tmp_path) as chain:  # its blockhash is still young: the restart must not forget it
        assert await chain.send_raw(raw) == receipts[0]
        assert await lamports(chain, target) == 10**6
        # two that are alike, sent at once, are two
        await asyncio.gather(*(chain.send(pay(chain.faucet, target, 10**6), payer=chain.faucet) for _ in range(2)))
        assert await lamports(chain, target) == 3 * 10**6


async def test_time_never_goes_back(tmp_path: Path) -> None:
    wall = 1_800_000_000.0
    async with EmbeddedChain(tmp_path, slot_ms=5, now=lambda: wall) as chain:
        first = await chain.clock()
        assert first.unix_timestamp == wall
        await chain.advance_clock(3600)
        await chain.airdrop(Keypair().pubkey(), 10**6)
        await asyncio.sleep(0.05)
        before = await chain.clock()
        assert before.slot > first.slot
        assert before.unix_timestamp == wall + 3600
    async with EmbeddedChain(tmp_path, slot_ms=5, now=lambda: wall - 10_000) as chain:
        after = await chain.clock()
        assert after.slot > before.slot
        assert after.unix_timestamp == before.unix_timestamp
        with pytest.raises(BadRequest, match="cannot go back"):
            await chain.advance_clock(-1)


async def test_slot_hashes_are_those_of_past_slots(tmp_path: Path) -> None:
    async with EmbeddedChain(tmp_path, slot_ms=2) as chain:
        await asyncio.sleep(0.05)
        chain.runtime.sync()
        entries = chain.runtime.svm.get_slot_hashes()
        slot = chain.runtime.svm.get_clock().slot
        assert [entry[0] for entry in entries] == list(range(slot - 1, -1, -1))[:512]
        assert len({entry[1] for entry in entries}) == len(entries)
        kept = dict(entries)
    async with EmbeddedChain(tmp_path, slot_ms=2) as chain:
        chain.runtime.sync()
        again = dict(chain.runtime.svm.get_slot_hashes())
        assert all(again[number] == found for number, found in kept.items() if number in again)


async def test_one_owner(tmp_path: Path) -> None:
    async with EmbeddedChain(tmp_path):
        with pytest.raises(ChainUnavailable, match="in use by process"):
            await EmbeddedChain(tmp_path).open()
    async with EmbeddedChain(tmp_path) as chain:
        await chain.slot()
    with pytest.raises(ChainUnavailable, match="closed"):
        await chain.slot()
    await chain.close()
    with pytest.raises(ConfigError, match="slot_ms"):
        EmbeddedChain(tmp_path, slot_ms=0)


async def test_program_has_the_operator_as_its_authority(tmp_path: Path) -> None:
    async with EmbeddedChain(tmp_path) as chain:
        code = await chain.account(genesis.program_data_address(chain.program.id))
        assert code is not None
        assert genesis.upgrade_authority(code.data) == chain.operator.pubkey()
        assert code.data[45:] == chain.program.elf
        program = await chain.account(chain.program.id)
        assert program is not None
        assert program.executable


async def test_refusals(tmp_path: Path) -> None:
    async with EmbeddedChain(tmp_path, slot_ms=20) as chain:
        poor, target = Keypair(), Keypair().pubkey()
        with pytest.raises(TransactionFailed, match="no SOL"):
            await chain.send(pay(poor, target, 10**6), payer=poor)
        with pytest.raises(TransactionFailed, match="signature of"):
            await chain.send(pay(poor, target, 10**6), payer=chain.faucet)
        many = [step for _ in range(30) for step in pay(chain.faucet, Keypair().pubkey(), 10**6)]
        with pytest.raises(TransactionFailed, match="over what a packet carries"):
            await chain.send(many, payer=chain.faucet)
        with pytest.raises(TransactionFailed, match="no transaction"):
            await chain.send_raw(b"\x01" * 100)
        forged = bytearray(await raw_transfer(chain, chain.faucet, target, 10**6))
        forged[5] ^= 1
        with pytest.raises(TransactionFailed, match="does not verify"):
            await chain.send_raw(bytes(forged))
        assert await chain.account(target) is None
        # one that fails when executed is on the chain, has cost its fee, and says why
        before = await lamports(chain, chain.faucet.pubkey())
        with pytest.raises(TransactionFailed, match="instruction 0 failed") as caught:
            await chain.send(pay(chain.faucet, target, 1 << 62), payer=chain.faucet)
        assert caught.value.signature is not None
        assert before - await lamports(chain, chain.faucet.pubkey()) == 5000
        with pytest.raises(TransactionFailed, match="instruction 0 failed"):
            await chain.receipt(caught.value.signature)


async def test_lookup_tables_outlive_a_restart(tmp_path: Path) -> None:
    wanted = [Keypair().pubkey() for _ in range(70)]
    async with EmbeddedChain(tmp_path, slot_ms=10) as chain:
        tables = LookupTables(chain, chain.faucet)
        async with asyncio.timeout(60):
            cover = await tables.cover(wanted[:40])
            assert await tables.cover(wanted[:3]) == cover
            cover = await tables.cover(wanted)
        assert len(cover) == 1
        steps = [step for key in wanted[:30] for step in pay(chain.faucet, key, 10**6)]
        await chain.send(steps, payer=chain.faucet, lookup_tables=cover)
        known = tables.addresses
    async with EmbeddedChain(tmp_path, slot_ms=10) as chain:
        assert await lamports(chain, wanted[29]) == 10**6
        again = LookupTables(chain, chain.faucet, known=known)
        assert await again.cover(wanted) == cover
        assert await fetch_table(chain, known[0]) == cover[0]


async def test_a_full_disk_stops_the_chain_and_a_restart_heals_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Keypair().pubkey()
    chain = EmbeddedChain(tmp_path)
    async with chain:
        await chain.send(pay(chain.faucet, target, 10**6), payer=chain.faucet)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(chain.store, "commit", full)
        with pytest.raises(ChainUnavailable, match="No space left"):
            await chain.send(pay(chain.faucet, target, 10**6), payer=chain.faucet)
        with pytest.raises(ChainUnavailable, match="No space left"):
            await chain.account(target)
        with pytest.raises(ChainUnavailable, match="No space left"):
            await chain.send(pay(chain.faucet, target, 10**6), payer=chain.faucet)
    monkeypatch.undo()
    async with EmbeddedChain(tmp_path) as healed:
        assert await lamports(healed, target) == 10**6
