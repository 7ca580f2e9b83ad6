"""Paid records a second, and the time from a signed batch to tokens on disk, through the embedded chain.

    python benchmarks/settlement.py [--json] [--seconds S] [--labelers N] [--slot-ms MS]

Everything real and timed: the batch's digest, three panel signatures, the transaction, its execution by the program and
the commit to disk. *Throughput* has several batches under way; *latency* sends one after the other. Every balance is
checked against what the tallies say. *A CPU s*: the same a second of processor time,
which other work on the machine changes less. Beside it: what the source paper reports for its own chain.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain import EmbeddedChain, setup
from assay.chain.base import public_key
from assay.chain.builder import unit_limit
from assay.chain.ed25519 import signatures_instruction
from assay.chain.instructions import Instructions
from assay.chain.lookup import LookupTables
from assay.chain.tokens import TOKEN, associated_address, decode_token_account
from assay.domain import messages, tally
from assay.domain.tally import Role, Tally

UNIT = 1_000_000
PRICE, FEE = 1_000, 2_520
SIZES = (16, 64, 128, 256, 1024)
PAPER = {"records_per_second": 4_750, "write_p95_ms": 148.0}
"""Logged transactions a second and write latency that the source paper reports."""
PARAMS: dict[str, Any] = {
    "min_labeler_stake": 100 * UNIT, "min_validator_stake": 500 * UNIT, "dispute_bond": UNIT,
    "unstake_window": 86_400, "dispute_window": 3_600, "grace": 3_600, "panel_timeout": 600, "panel_term": 1 << 30,
    "fee_bps": 0, "quorum_bps": 6_666, "slash_bps": 1_000, "equivocation_bps": 5_000, "panel_size": 3,
    "error_rate": 3, "slash_policy": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One batch size: how much goes through, and how long one batch takes."""

    records_per_batch: int
    records_per_second: float
    records_per_cpu_second: float
    transactions_per_second: float
    compute_units_per_record: float
    latency_p50_ms: float
    latency_p95_ms: float


class Bench:
    """A market with one request, its panel and its labelers."""

    def __init__(self, chain: EmbeddedChain, *, labelers: int) -> None:
        self.chain = chain
        self.ix = Instructions(chain.program)
        self.mint = Keypair()
        self.count = labelers
        self.paid: dict[Pubkey, int] = {}

    async def prepare(self) -> None:
        """Makes market, participants, request, panel and lookup table."""
        operator = self.chain.operator
        await self.chain.airdrop(operator.pubkey(), 10_000 * 10**9)
        await setup.initialize(self.chain, authority=operator, mint=self.mint, params=PARAMS)
        self.buyer = await self._join(1, stake=0, over=10**15)
        self.labelers = [await self._join(2, stake=100 * UNIT) for _ in range(self.count)]
        self.panel = [await self._join(3, stake=500 * UNIT) for _ in range(3)]
        clock = await self.chain.clock()
        args = {
            "spec_hash": bytes(32), "amount": 10**15, "price": PRICE, "validation_fee": FEE,
            "deadline": clock.unix_timestamp + 86_400, "records": (1 << 32) - 1, "overlap": 1,
            "premium_bps": [0] * 4, "mode": 1, "kind": 0, "min_tier": 0,
        }  # fmt: skip
        me = self.buyer.pubkey()
        post = self.ix.post_request(
            buyer=me, request_id=1, mint=public_key(self.mint), source=self._ata(me), token_program=TOKEN, args=args
        )
        await self.chain.send([post], payer=self.buyer)
        self.request = self.ix.addresses.request(me, 1)
        draw = self.ix.draw_panel(request=self.request)
        await self.chain.send([draw], payer=self.buyer)
        await asyncio.sleep(3 * self.chain.slot_ms / 1000)
        await self.chain.send([draw], payer=self.buyer)
        account = await self.chain.account(self.request)
        assert account is not None
        self.state = self.chain.program.codec.decode_account(account.data, name="Request")
        self.batch = 0
        tables = LookupTables(self.chain, operator)
        self.tables: Sequence[AddressLookupTableAccount] = await tables.cover(
            meta.pubkey for step in self.steps(records=self.count) for meta in step.accounts
        )
        self.batch, self.paid = 0, {}

    def _ata(self, wallet: Pubkey) -> Pubkey:
        return associated_address(wallet, public_key(self.mint))

    async def _join(self, role: int, *, stake: int, over: int = 0) -> Keypair:
        wallet = Keypair()
        me, mint = wallet.pubkey(), public_key(self.mint)
        await setup.fund_wallet(
            self.chain, me, payer=self.chain.operator, lamports=10**10, mint=mint, amount=stake + over
        )
        steps = [
            self.ix.register(payer=me, wallet=me, role=role),
            self.ix.set_payout(wallet=me, mint=mint, payout=self._ata(me)),
        ]
        if stake:
            steps.append(self.ix.stake(wallet=me, mint=mint, source=self._ata(me), token_program=TOKEN, amount=stake))
        await self.chain.send(steps, payer=wallet)
        return wallet

    def steps(self, *, records: int) -> list[Instruction]:
        """The next batch, signed: `records` accepted answers spread over the labelers, all votes agreeing."""
        shares = [records // self.count + (index < records % self.count) for index in range(self.count)]
        book = [
            Tally(bytes(public_key(one)), Role.LABELER, good=share)
            for one, share in zip(self.labelers, shares, strict=True)
            if share
        ]
        book += [Tally(bytes(public_key(v)), Role.VALIDATOR, good=records, units=records * 840) for v in self.panel]
        address = self.ix.addresses.participant
        book.sort(key=lambda one: bytes(address(Pubkey(one.wallet))))
        root = self.batch.to_bytes(32, "little")
        numbers = {"records": records, "judged": records, "answers": records, "votes": 3 * records}
        digest = tally.digest(root=root, tallies=book, participant=lambda w: bytes(address(Pubkey(w))), **numbers)
        message = messages.batch(
            domain=self.state.domain, batch=self.batch, panel_round=self.state.panel_round, digest=digest
        )
        signed = [(public_key(member), messages.sign(member, message)) for member in self.panel]
        settle = self.ix.settle_batch(
            request=self.request,
            mint=public_key(self.mint),
            token_program=TOKEN,
            args={"batch": self.batch, "root": root, **numbers, "tallies": book},
            paid=[(address(Pubkey(one.wallet)), self._ata(Pubkey(one.wallet))) for one in book],
        )
        for one in book:
            share = one.good * PRICE if one.role == Role.LABELER else records * FEE // 3
            wallet = Pubkey(one.wallet)
            self.paid[wallet] = self.paid.get(wallet, 0) + share
        self.batch += 1
        return [unit_limit(1_400_000), signatures_instruction(message, signed), settle]

    async def settle(self, *, records: int) -> tuple[float, int]:
        """Settles one batch; gives seconds and compute units."""
        start = time.perf_counter()
        receipt = await self.chain.send(self.steps(records=records), payer=self.buyer, lookup_tables=self.tables)
        return time.perf_counter() - start, receipt.compute_units

    async def measure(self, *, records: int, seconds: float) -> Row:
        """One row of the table."""
        alone = [await self.settle(records=records)]
        start = time.perf_counter()
        while time.perf_counter() - start < seconds / 2:
            alone.append(await self.settle(records=records))
        taken = sorted(entry[0] for entry in alone)
        done, cpu = 0, time.process_time()
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            await asyncio.gather(*(self.settle(records=records) for _ in range(32)))
            done += 32
        elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu
        return Row(
            records_per_batch=records,
            records_per_second=round(done * records / elapsed),
            records_per_cpu_second=round(done * records / cpu),
            transactions_per_second=round(done / elapsed),
            compute_units_per_record=round(sum(entry[1] for entry in alone) / len(alone) / records, 1),
            latency_p50_ms=round(1000 * taken[len(taken) // 2], 2),
            latency_p95_ms=round(1000 * taken[int(len(taken) * 0.95)], 2),
        )

    async def conserved(self) -> bool:
        """Whether every labeler and validator holds exactly what the settled tallies say."""
        for wallet, amount in self.paid.items():
            account = await self.chain.account(self._ata(wallet))
            if account is None or decode_token_account(account.data).amount != amount:
                return False
        return True


async def run(*, seconds: float, labelers: int, slot_ms: float) -> dict[str, Any]:
    """All rows, on a home of its own."""
    with tempfile.TemporaryDirectory() as home:
        async with EmbeddedChain(Path(home), slot_ms=slot_ms) as chain:
            bench = Bench(chain, labelers=labelers)
            await bench.prepare()
            rows = [await bench.measure(records=records, seconds=seconds) for records in SIZES]
            conserved = await bench.conserved()
    return {"rows": [asdict(row) for row in rows], "conserved": conserved, "labelers": labelers, "paper": PAPER}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds a row")
    parser.add_argument("--labelers", type=int, default=8, help="labelers in every batch")
    parser.add_argument("--slot-ms", type=float, default=400.0, help="length of a slot")
    chosen = parser.parse_args()
    found = asyncio.run(run(seconds=chosen.seconds, labelers=chosen.labelers, slot_ms=chosen.slot_ms))
    if chosen.json:
        print(json.dumps(found))
        return
    heads = ("records/s", "a CPU s", "tx/s", "CU/record", "p50 ms", "p95 ms")
    print(f"{'records/batch':>14} " + " ".join(f"{head:>10}" for head in heads))
    for row in found["rows"]:
        cells = [f"{value:,}" for name, value in row.items() if name != "records_per_batch"]
        print(f"{row['records_per_batch']:>14} " + " ".join(f"{cell:>10}" for cell in cells))
    print(f"{'(paper)':>14} {PAPER['records_per_second']:>10,} {'':>43} {PAPER['write_p95_ms']:>10}")
    print("every balance as the tallies say" if found["conserved"] else "BALANCES DIFFER FROM THE TALLIES")


if __name__ == "__main__":
    main()
