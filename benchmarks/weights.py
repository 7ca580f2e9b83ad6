"""What a record is worth where fees are shared by information: `./assay bench weights [--seeds N] [--json]`.

Two equally frequent classes, 100 voters, twenty of each accuracy, seven votes a task, no gold; standings of all votes
together, learned as the market's register is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from assay.consensus import Answers, resolve
from assay.consensus.collusion import detect
from assay.consensus.suspects import suspect
from assay.domain.incentives import Standings, explain, standings
from assay.domain.standing import METHOD

ACCURACIES = (0.5, 0.6, 0.7, 0.8, 0.9)
EACH, OVERLAP = 20, 7
LENGTHS = (20, 50, 140)
"""Votes of each voter, on the mean."""
SHOWN = 3 * EACH
"""Whose explanation is printed: the first of accuracy 0.8, at the longest record."""


def crowd(seed: int, length: int) -> Standings:
    """The standings of one crowd's voters, in order of accuracy."""
    rng = np.random.default_rng(seed)
    accuracy = np.repeat(ACCURACIES, EACH)
    tasks = round(length * accuracy.size / OVERLAP)
    truth = rng.integers(2, size=tasks)
    task = np.repeat(np.arange(tasks), OVERLAP)
    worker = np.concatenate([rng.choice(accuracy.size, OVERLAP, replace=False) for _ in range(tasks)])
    right = rng.random(task.size) < accuracy[worker]
    answers = Answers(task, worker, np.where(right, truth[task], 1 - truth[task]), tasks, accuracy.size, 2)
    suspects = suspect(answers, detect(answers))
    return standings(answers, resolve(METHOD, answers).worker_skill, suspects.group_of)


def measure(seeds: int) -> Iterator[dict[str, Any]]:
    """A row a length: the mean weight of each accuracy's voters."""
    for length in LENGTHS:
        weights = np.mean([crowd(seed, length).weight.reshape(-1, EACH).mean(axis=1) for seed in range(seeds)], axis=0)
        yield {"votes": length, "weights": dict(zip(map(str, ACCURACIES), weights.round(1).tolist(), strict=True))}


def main() -> None:
    """Print the weights as a table and one voter's explanation, or with --json as an object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = list(measure(options.seeds))
    text = explain(crowd(0, LENGTHS[-1]), SHOWN)
    if options.json:
        print(json.dumps({"seeds": options.seeds, "rows": rows, "explained": text}))
        return
    print("| accuracy | " + " | ".join(f"{one['votes']} votes" for one in rows) + " |\n|" + "---|" * (1 + len(rows)))
    for accuracy in map(str, ACCURACIES):
        print(f"| {accuracy} | " + " | ".join(f"{one['weights'][accuracy]:.0f}" for one in rows) + " |")
    print(f"\n{text}")


if __name__ == "__main__":
    main()
