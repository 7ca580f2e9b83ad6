"""What a landed transaction did to a labeler's counters, taken off again (validation/test_weighted.py has a chain)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from solders.pubkey import Pubkey

from assay.chain import load_program
from assay.chain.base import Call, Landed
from assay_validator import counters
from assay_validator.state import Refused

CHAIN: Any = SimpleNamespace(program=load_program())
ME, OTHER, REQUEST, ELSEWHERE = (Pubkey.new_unique() for _ in range(4))
KINDS = {bytes(REQUEST): 0, bytes(ELSEWHERE): 3}


def settled(request: Pubkey, **tallies: tuple[int, int]) -> tuple[Call, SimpleNamespace]:
    """A call that settles a batch, with the event it leaves."""
    who = {"me": ME, "other": OTHER}
    paid = [account for name in tallies for account in (who[name], Pubkey.new_unique())]
    fixed = [Pubkey.new_unique(), request, *(Pubkey.new_unique() for _ in range(5))]
    args = {"tallies": tuple(SimpleNamespace(good=good, bad=bad) for good, bad in tallies.values())}
    return Call("settle_batch", args, (*fixed, *paid)), SimpleNamespace(name="BatchSettled", data=None)


def ended(labeler: Pubkey, outcome: int, *, call: str = "resolve_dispute") -> tuple[Call, SimpleNamespace]:
    names = [account["name"] for account in CHAIN.program.codec.instructions[call].accounts]
    accounts = tuple(labeler if name == "labeler" else Pubkey.new_unique() for name in names)
    data = SimpleNamespace(outcome=outcome, request=bytes(REQUEST))
    return Call(call, {}, accounts), SimpleNamespace(name="DisputeEnded", data=data)


def landed(*parts: tuple[Call, SimpleNamespace], complete: bool = True) -> Landed:
    receipt: Any = SimpleNamespace(
        signature="s", logs_complete=complete, events=tuple(event for _, event in parts), block_time=1
    )
    return Landed(receipt, tuple(call for call, _ in parts))


async def undone(one: Landed, state: tuple[int, int] = (10, 5)) -> tuple[int, int]:
    return await counters._undone(CHAIN, one, ME, state, kind=0, kinds=dict(KINDS))


@pytest.mark.parametrize(
    ("parts", "before"),
    [
        ([settled(REQUEST, me=(3, 1))], (7, 4)),
        ([settled(REQUEST, other=(3, 1), me=(2, 0))], (8, 5)),
        ([settled(REQUEST, other=(3, 1))], (10, 5)),
        ([settled(ELSEWHERE, me=(3, 1))], (10, 5)),
        ([settled(REQUEST, me=(3, 1)), settled(ELSEWHERE, me=(2, 2)), settled(REQUEST, me=(1, 1))], (6, 3)),
        ([ended(ME, 1)], (9, 6)),
        ([ended(ME, 2)], (10, 5)),
        ([ended(ME, 3, call="expire_dispute")], (10, 5)),
        ([ended(OTHER, 1)], (10, 5)),
        ([], (10, 5)),
    ],
)
async def test_what_was_before(parts: list[tuple[Call, SimpleNamespace]], before: tuple[int, int]) -> None:
    assert await undone(landed(*parts)) == before


async def test_what_cannot_be_told_is_refused() -> None:
    """Logs that were cut, and a settlement that another program called."""
    call, event = settled(REQUEST, me=(3, 1))
    for one in (landed((call, event), complete=False), Landed(landed((call, event)).receipt, ())):
        with pytest.raises(Refused, match="cannot be told") as refused:
            await undone(one)
        assert refused.value.code == "counters_wrong"
