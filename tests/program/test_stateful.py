"""Random sequences of everything anybody can do, over the real program, beside a model of it in Python.

After every step: the transaction went through exactly when the model allows it, every number in every account is the
model's, every vault holds what the books owe, and no token came or went but by a burn that the books record.

    ASSAY_STATEFUL_STEPS=200000 ASSAY_STATEFUL_SEED=7 python -m pytest tests/program/test_stateful.py -s

The seed is printed and makes the same sequences again. ASSAY_STATEFUL_SHRINK=1 shrinks a failure, which takes minutes.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from machine import ACTIONS, Machine

STEPS = int(os.environ.get("ASSAY_STATEFUL_STEPS", "20000"))
SEED = int(os.environ.get("ASSAY_STATEFUL_SEED", str(struct.unpack("<I", hashlib.sha256(b"assay").digest()[:4])[0])))
LENGTH = 250


def machine_class(make: Callable[[], Machine], counter: list[int]) -> type[RuleBasedStateMachine]:
    """A hypothesis machine that drives one `Machine`: an action and four numbers that say how."""

    class Driver(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.market = make()

        @rule(action=st.sampled_from(ACTIONS), how=st.binary(min_size=4, max_size=4))
        def step(self, action: str, how: bytes) -> None:
            counter[0] += 1
            self.market.step(action, *how)

        def teardown(self) -> None:
            self.market.finish()

    return Driver


def explore(make: Callable[[], Machine], steps: int) -> int:
    """Runs at least `steps` steps; returns how many there were."""
    counter = [0]
    number = SEED
    shrink = os.environ.get("ASSAY_STATEFUL_SHRINK") == "1"
    while counter[0] < steps:
        examples = max(1, (steps - counter[0]) // LENGTH)
        options = settings(
            max_examples=examples,
            stateful_step_count=LENGTH,
            deadline=None,
            database=None,
            print_blob=False,
            phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        run: Any = seed(number)(machine_class(make, counter))
        run_state_machine_as_test(run, settings=options)
        number += 1
    return counter[0]


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(("people", "share"), [("many", 0.8), ("one", 0.2)])
def test_no_token_is_ever_lost(people: str, share: float, capsys: pytest.CaptureFixture[str]) -> None:
    """`one`: a single buyer, labeler and validator, so that nobody's deposit hides a shortfall."""
    with capsys.disabled():
        print(f"\nstateful {people}: ASSAY_STATEFUL_SEED={SEED}", end=" ", flush=True)
    done: dict[str, int] = {}
    steps = explore(lambda: Machine(single=people == "one", done=done), int(STEPS * share))
    with capsys.disabled():
        print(f"{steps} steps, {sum(done.values())} of them went through: {dict(sorted(done.items()))}", flush=True)
    assert steps >= int(STEPS * share)
    wanted = {"settle", "open_dispute", "resolve_dispute", "slash_outlier", "close", "withdraw_stake", "claim_owed"}
    # A single participant of each role has too few steps to be sure of every kind.
    assert people == "one" or STEPS < 20_000 or wanted <= done.keys(), f"never went through: {wanted - done.keys()}"
