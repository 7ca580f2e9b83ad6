"""Whom pay by information leaves unpaid, by agreement: `./assay bench unpaid [--seeds N] [--json]`.

A dozen labelers, two equally frequent classes, 400 tasks with three answers each, every tenth task gold; one labeler of
another accuracy than the rest. Answers are paid by the register in use when they are settled, as in the market.
"""

from __future__ import annotations

import argparse
import json
from hashlib import sha256

import numpy as np

from assay.domain.standing import Register, point_in_use

WORKERS, TASKS, OVERLAP, GOLD_EVERY = 12, 400, 3, 10
CROWDS = ((0.5, 0.85), (0.6, 0.85), (0.65, 0.85), (0.7, 0.85), (0.75, 0.85), (0.65, 0.75), (0.65, 0.65), (0.75, 0.75))
"""Accuracy of the one, and of the others."""


def wallet(number: int) -> bytes:
    return sha256(b"labeler %d" % number).digest()


def run(seed: int, one: float, others: float) -> tuple[int, int, int, int]:
    """Right answers of the one, those not paid, and the same of the others."""
    rng = np.random.default_rng(seed)
    accuracy = [one] + [others] * (WORKERS - 1)
    judged = []
    for index in range(TASKS):
        truth = int(rng.integers(2))
        chosen = rng.choice(WORKERS, OVERLAP, replace=False)
        votes = [(wallet(int(who)), truth if rng.random() < accuracy[who] else 1 - truth) for who in chosen]
        judged.append((votes, truth if index % GOLD_EVERY == 0 else None))
    counts = np.zeros((2, 2), int)
    point, register = -1, Register({}, None)
    for index, (votes, known) in enumerate(judged):
        if point_in_use(index) != point:
            point = point_in_use(index)
            register = Register.learn(judged[:point], classes=[0, 1])
        label = int(2 * sum(value for _, value in votes) > OVERLAP) if known is None else known
        for who, value in votes:
            if value == label:
                paid = register.accepts(who, answer=sha256(who + index.to_bytes(4, "little")).digest())
                counts[int(who != wallet(0))] += (1, not paid)
    return counts[0, 0], counts[0, 1], counts[1, 0], counts[1, 1]


def measure(seeds: int) -> list[dict[str, float]]:
    """A row a crowd: shares of right answers that are not paid, and of runs in which the one was hit at all."""
    rows = []
    for one, others in CROWDS:
        found = np.array([run(seed, one, others) for seed in range(seeds)], float)
        right, unpaid, right_others, unpaid_others = found.sum(axis=0)
        rows.append(
            {
                "accuracy": one,
                "others": others,
                "unpaid": round(unpaid / right, 4),
                "unpaid_others": round(unpaid_others / right_others, 4),
                "hit": round(float((found[:, 1] > 0).mean()), 3),
            }
        )
    return rows


def main() -> None:
    """Print the rows as a table, or with --json as an object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.seeds)
    if options.json:
        print(json.dumps({"seeds": options.seeds, "tasks": TASKS, "rows": rows}))
        return
    print("| accuracy | others' | its right answers not paid | others' | runs that hit it |\n|---|---|---|---|---|")
    for row in rows:
        shares = (f"{100 * row[name]:.1f} %" for name in ("unpaid", "unpaid_others", "hit"))
        print(f"| {row['accuracy']} | {row['others']} | " + " | ".join(shares) + " |")


if __name__ == "__main__":
    main()
