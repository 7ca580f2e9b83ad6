"""How often the slashing rule convicts, exactly: honest and dishonest validators, one stake over many wallets.

    python benchmarks/slashing.py [--json]

No sampling: the distribution of strikes is carried from one judgement to the next by dynamic programming, and what the
rule convicts is taken out. It is the chance for a caller who looks after every single judgement.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from assay.domain.strikes import ERROR_RATES, LINES, MIN_JUDGEMENTS, THRESHOLD, slash_amount

HORIZON = 1000


@dataclass(frozen=True)
class Rate:
    """Convictions at one honest error rate of the market. `skill` is per mille of right judgements."""

    error_rate: int
    honest_convicted_1000: float
    half_as_bad_convicted_1000: float
    judgements_to_catch_coin: float
    judgements_to_catch_mostly_wrong: float
    judgements_to_catch_always_wrong: float


def convicted_at(true_rate: float, *, error_rate: int, horizon: int) -> NDArray[np.float64]:
    """P(first convicted at judgement n) for n = 0 … `horizon`, for a validator that errs at `true_rate`."""
    alive = np.zeros(horizon + 2)
    alive[0] = 1.0
    strikes = np.arange(horizon + 2, dtype=np.int64)
    out = np.zeros(horizon + 1)
    for n in range(1, horizon + 1):
        alive[1 : n + 1] = alive[1 : n + 1] * (1 - true_rate) + alive[:n] * true_rate
        alive[0] *= 1 - true_rate
        if n < MIN_JUDGEMENTS:
            continue
        fires = np.zeros(n + 1, dtype=bool)
        for line in LINES[error_rate]:
            fires |= strikes[: n + 1] * line.gain >= (n - strikes[: n + 1]) * line.cost + THRESHOLD
        out[n] = float(alive[: n + 1][fires].sum())
        alive[: n + 1][fires] = 0.0
    return out


def mean_judgements(true_rate: float, *, error_rate: int) -> float:
    """Expected judgements until conviction; the horizon doubles until less than 10⁻⁹ is left."""
    horizon = 250
    while True:
        at = convicted_at(true_rate, error_rate=error_rate, horizon=horizon)
        if 1 - at.sum() < 1e-9:
            return float(at @ np.arange(horizon + 1))
        horizon *= 2
        if horizon > 20_000:
            return math.inf


def rates() -> list[Rate]:
    """The table of conviction rates, one row an honest error rate."""
    return [
        Rate(
            error_rate=p0,
            honest_convicted_1000=float(convicted_at(p0 / 1000, error_rate=i, horizon=HORIZON).sum()),
            half_as_bad_convicted_1000=float(convicted_at(p0 / 2000, error_rate=i, horizon=HORIZON).sum()),
            judgements_to_catch_coin=mean_judgements(0.5, error_rate=i),
            judgements_to_catch_mostly_wrong=mean_judgements(0.75, error_rate=i),
            judgements_to_catch_always_wrong=mean_judgements(1.0, error_rate=i),
        )
        for i, p0 in enumerate(ERROR_RATES)
    ]


def skills(error_rate: int = 3) -> dict[str, float]:
    """P(convicted within 1000 judgements) by true error rate, where the market allows `ERROR_RATES[error_rate]`."""
    return {
        f"{p / 10:g}%": float(convicted_at(p / 1000, error_rate=error_rate, horizon=HORIZON).sum())
        for p in (10, 50, 100, 150, 180, 200, 220, 250, 300, 400, 500)
    }


def splitting(*, error_rate: int = 3, slash_bps: int = 1000, minimum: int = 100) -> list[dict[str, float]]:
    """Loss per wrong judgement of a coin-tossing owner of `total` minimum stakes, over `wallets` equal wallets.

    Seats follow stake, so the owner's judgements are as many however they are split; each wallet is convicted by its
    own. `own` takes ρ of the wallet's own stake, `minimum` is the rule in force: ρ of the minimum stake.
    """
    judgements = mean_judgements(0.5, error_rate=error_rate)
    rows = []
    for total in (1, 2, 5, 10, 50):
        for wallets in (1, 2, 5, 10, 50):
            if wallets > total:
                continue
            each = total * minimum // wallets
            wrong = judgements * 0.5
            rows.append(
                {
                    "total_stake": total * minimum,
                    "wallets": wallets,
                    "own": each * slash_bps / 10_000 / wrong,
                    "minimum": slash_amount(each, minimum=minimum, slash_bps=slash_bps) / wrong,
                }
            )
    return rows


def main() -> None:
    """Print the tables, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    table, by_skill, split = rates(), skills(), splitting()
    if arguments.json:
        print(json.dumps({"rates": [asdict(row) for row in table], "skills": by_skill, "splitting": split}))
        return
    titles = ("honest error rate", "ever convicted in 1,000 judgements", "at half that rate")
    show(
        (*titles, "caught after: coin", "75 % wrong", "always wrong"),
        [
            (
                f"{row.error_rate / 10:g} %",
                f"{row.honest_convicted_1000:.2e}",
                f"{row.half_as_bad_convicted_1000:.1e}",
                f"{row.judgements_to_catch_coin:.1f}",
                f"{row.judgements_to_catch_mostly_wrong:.1f}",
                f"{row.judgements_to_catch_always_wrong:.1f}",
            )
            for row in table
        ],
    )
    show(
        ("true error rate, where the market allows 20 %", "convicted within 1,000 judgements"),
        [(name, f"{chance:.3g}") for name, chance in by_skill.items()],
    )
    show(
        ("total stake", "wallets", "loss per wrong judgement: ρ of the own stake", "ρ of the minimum stake"),
        [
            (f"{item['total_stake']:g}", f"{item['wallets']:g}", f"{item['own']:.3f}", f"{item['minimum']:.3f}")
            for item in split
        ],
    )


def show(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print one Markdown table."""
    for row in (titles, ("---",) * len(titles), *rows):
        print("| " + " | ".join(row) + " |")
    print()


if __name__ == "__main__":
    main()
