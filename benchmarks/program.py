"""What the program costs: compute units of every instruction, settlement a record, rent of every account.

    ./assay bench program [--json]

The committed ``.so`` in the real SVM, on the market that the program's tests use. Verifying signatures is the
precompile's work: it is charged by the signature, not in compute units. Rent comes back when an account is closed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "program"), str(ROOT / "backend")]

from cases import panel, rejected, strikes  # noqa: E402
from flows import UNITS, Flows  # noqa: E402
from solders.instruction import Instruction  # noqa: E402
from world import UNIT, Outcome, TallyOf, keypair  # noqa: E402

SIZES = (1, 4, 16, 64, 256, 1024)
LABELERS = 8
MANY = 24
"""Labelers that fit one transaction beside a panel of three: it may lock 64 accounts."""


class Metered(Flows):
    """Notes the compute units of each instruction when it first goes through."""

    def __init__(self, **options: Any) -> None:
        self.units: dict[str, int] = {}
        super().__init__(**options)

    def send(self, *instructions: Instruction, signers: Any) -> Outcome:
        outcome = super().send(*instructions, signers=signers)
        data = bytes(instructions[-1].data)
        if outcome.ok and instructions[-1].program_id == self.id:
            name = next(one.name for one in self.codec.instructions.values() if data.startswith(one.discriminator))
            # Of the two calls of a drawing the second is the dear one.
            self.units[name] = (
                max(outcome.units, self.units.get(name, 0)) if "draw" in name else self.units.get(name, outcome.units)
            )
        return outcome


def tour() -> dict[str, int]:
    """Compute units of every instruction, in the order of the IDL."""
    world = Metered(params={"error_rate": 0, "quorum_bps": 5_001})
    second = world.make_mint("mint-1")
    world.allow_mint(second)
    for number in range(8):
        world.validator(f"validator-{number}")
    world.advance(slots=3)
    leaver = world.actors["validator-7"]
    world.request_unstake(leaver, 500 * UNIT)
    world.cancel_unstake(leaver)
    world.request_unstake(leaver, 500 * UNIT)
    world.advance(seconds=4_000)
    world.withdraw_stake(leaver)
    case = rejected(world=world)
    world.top_up(case.posted, UNIT)
    case.open()
    seats = world.draw_dispute(case.posted, case.dispute)
    world.vote_dispute(case.posted, case.dispute, {seat: 1 for seat in seats})
    world.end_dispute("resolve_dispute", case.posted, case.dispute)
    world.correct_votes(case.posted, case.dispute, case.votes)
    world.claim_owed(case.labeler)
    strikes(world, case.posted, case.labeler, bad=30)
    world.slash_outlier(case.labeler)
    head = b"assay-batch-v1\0\0" + bytes(44)
    world.slash_equivocation(world.actors["validator-0"], [head + bytes([n]) * 32 for n in (1, 2)])
    world.collect_fees(case.posted)
    world.withdraw_fees(1)
    lapsing = rejected(world=world, id=3)
    lapsing.open()
    world.advance(seconds=1_500)
    world.end_dispute("expire_dispute", lapsing.posted, lapsing.dispute)
    world.end_call("cancel_request", case.posted)
    world.advance(seconds=200_000)
    world.end_call("expire_request", lapsing.posted)
    world.close(case.posted)
    world.close_dispute(case.dispute, case.labeler)
    world.reap(case.posted)
    world.govern("update_params", params=world.params)
    world.govern("pause")
    world.govern("unpause")
    heir = keypair("heir")
    world.fund(heir.pubkey())
    world.govern("propose_authority", pending=heir.pubkey())
    world.govern("accept_authority", signer=heir)
    disable = world.build("disable_mint", accounts={"authority": heir.pubkey(), "mint": second})
    world.send(disable, signers=[heir])
    missing = set(world.codec.instructions) - world.units.keys()
    if missing:
        raise RuntimeError(f"not measured: {sorted(missing)}")
    return {name: world.units[name] for name in world.codec.instructions}


def settlement(size: int, labelers: int) -> int:
    """Compute units of settling `size` accepted answers of up to `labelers` labelers, reviewed by a panel of three."""
    world = Flows()
    for number in range(3):
        world.validator(f"validator-{number}")
    world.advance(slots=3)
    people = [world.labeler(f"labeler-{number}") for number in range(min(size, labelers))]
    posted, outcome = world.post(world.buyer(), records=size, amount=2 * (size + 10) * UNIT)
    assert outcome.ok, outcome
    voters = panel(world, posted)
    share, left = divmod(size, len(people))
    tallies = [TallyOf(one, share + (at < left), 0) for at, one in enumerate(people)]
    tallies += [TallyOf(one, size, 0, units=UNITS * size // len(voters)) for one in voters]
    outcome = world.settle(posted, tallies)
    assert outcome.ok, outcome
    return outcome.units


def rent(world: Flows) -> dict[str, int]:
    """Rent-exempt lamports of each account type, and of a vault."""
    sizes = {name: world.codec.account_size(name) for name in sorted(world.codec.accounts)}
    sizes["vault (token account)"] = 165
    return {
        name: world.svm.minimum_balance_for_rent_exemption(size) for name, size in sizes.items() if size is not None
    }


def measure() -> dict[str, Any]:
    """All figures, as `--json` prints them."""
    world = Flows(initialize=False)
    few = {str(size): round(settlement(size, LABELERS) / size, 1) for size in SIZES}
    many = {str(size): round(settlement(size, MANY) / size, 1) for size in SIZES}
    return {
        "instructions": tour(),
        "settle_cu_per_record": few,
        "settle_cu_per_record_24_labelers": many,
        "rent_lamports": rent(world),
        "program_bytes": len(world.program.elf),
    }


def main() -> None:
    """Print tables, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true")
    arguments, result = parser.parse_args(), measure()
    if arguments.json:
        print(json.dumps(result))
        return
    print("| instruction | compute units |\n|---|---|")
    for name, units in result["instructions"].items():
        print(f"| {name} | {units:,} |")
    print(f"\n| records in a batch | units a record, {LABELERS} labelers | {MANY} labelers |\n|---|---|---|")
    for size, units in result["settle_cu_per_record"].items():
        print(f"| {size} | {units:,} | {result['settle_cu_per_record_24_labelers'][size]:,} |")
    print("\n| account | rent, lamports |\n|---|---|")
    for name, lamports in result["rent_lamports"].items():
        print(f"| {name} | {lamports:,} |")
    print(f"\nprogram: {result['program_bytes']:,} bytes")


if __name__ == "__main__":
    main()
