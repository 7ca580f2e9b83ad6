"""The slashing rule: its constants, its false positives (exactly), and that splitting a stake gains nothing."""

from __future__ import annotations

import importlib.util
import math
import random
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from assay.domain import strikes

ROOT = Path(__file__).parents[2]
RATES = range(len(strikes.ERROR_RATES))


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """benchmarks/slashing.py as a module."""
    spec = importlib.util.spec_from_file_location("bench_slashing", ROOT / "benchmarks" / "slashing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_constants_are_the_rounded_logarithms() -> None:
    assert math.ceil(1e6 * math.log(strikes.BOUND * strikes.ALTERNATIVES)) == strikes.THRESHOLD
    assert tuple(strikes.compute_lines(p0) for p0 in strikes.ERROR_RATES) == strikes.LINES
    assert all(len(strikes.alternatives(p0)) == strikes.ALTERNATIVES for p0 in strikes.ERROR_RATES)


def test_the_program_has_the_same_constants() -> None:
    source = (ROOT / "programs" / "assay" / "src" / "strikes.rs").read_text()
    table = source[source.index("const LINES") :].partition("\n];")[0]
    pairs = [(int(a), int(b)) for a, b in re.findall(r"\((\d+), (\d+)\)", table)]
    assert pairs == [(line.gain, line.cost) for row in strikes.LINES for line in row]
    for name in ("THRESHOLD", "MIN_JUDGEMENTS"):
        found = re.search(rf"const {name}: \w+ = ([\d_]+);", source)
        assert found is not None
        assert int(found[1].replace("_", "")) == getattr(strikes, name)


@pytest.mark.parametrize("index", RATES)
def test_an_honest_participant_is_convicted_less_than_once_in_a_thousand(bench: ModuleType, index: int) -> None:
    rate = strikes.ERROR_RATES[index] / 1000
    assert bench.convicted_at(rate, error_rate=index, horizon=1000).sum() < 0.001


@pytest.mark.parametrize("index", RATES)
def test_the_binomial_tail_is_below_a_thousandth_at_every_look(index: int) -> None:
    rate = strikes.ERROR_RATES[index] / 1000
    for judgements in (20, 21, 30, 50, 100, 300):
        least = strikes.least_strikes(judgements, error_rate=index)
        assert least is not None
        tail = math.fsum(
            math.comb(judgements, k) * rate**k * (1 - rate) ** (judgements - k) for k in range(least, judgements + 1)
        )
        assert tail < 0.001


def test_coins_and_liars_are_caught(bench: ModuleType) -> None:
    for row in bench.rates():
        assert row.judgements_to_catch_always_wrong == 20
        assert row.judgements_to_catch_coin < 410


def test_more_strikes_never_help() -> None:
    for index in RATES:
        fires = [strikes.is_outlier(k, 60, error_rate=index) for k in range(61)]
        assert fires == sorted(fires)


def test_nothing_under_twenty_judgements() -> None:
    assert not strikes.is_outlier(19, 19, error_rate=0)
    assert strikes.is_outlier(20, 20, error_rate=7)


def test_bad_input_names_the_field() -> None:
    with pytest.raises(ValueError, match="strikes"):
        strikes.is_outlier(3, 2, error_rate=0)
    with pytest.raises(ValueError, match="error_rate"):
        strikes.is_outlier(2, 3, error_rate=8)


def test_splitting_a_stake_does_not_pay(bench: ModuleType) -> None:
    rows = bench.splitting()
    assert len({row["minimum"] for row in rows}) == 1
    assert max(row["own"] for row in rows) > 10 * min(row["own"] for row in rows)


def test_repayments_are_the_losses_or_shares_of_a_smaller_slash() -> None:
    assert strikes.repayments([], 10) == ()
    assert strikes.repayments([3, 4], 7) == (3, 4)
    assert strikes.repayments([3, 4], 1000) == (3, 4)
    assert strikes.repayments([30, 10], 20) == (15, 5)
    draw = random.Random(3)
    for _ in range(500):
        losses = [draw.randrange(1, 2 ** draw.randrange(1, 64)) for _ in range(draw.randrange(1, 5))]
        amount = draw.randrange(1, 2 ** draw.randrange(1, 64))
        shares = strikes.repayments(losses, amount)
        assert sum(shares) <= amount
        assert all(share <= loss for share, loss in zip(shares, losses, strict=True))
        if sum(losses) > amount > 10**6:  # 32 bits of the losses are looked at
            assert sum(shares) >= amount * (1 - 2**-20)
