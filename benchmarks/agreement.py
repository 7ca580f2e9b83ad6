"""Krippendorff's alpha of many answers: seconds and extra memory. `./assay bench agreement [--answers N] [--json]`."""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc

import numpy as np

from assay.consensus.agreement import LEVELS, krippendorff_alpha


def measure(answers: int) -> list[dict[str, float | str]]:
    """A row a level: best of five runs, and the peak beyond the input arrays of one run of its own."""
    rng = np.random.default_rng(0)
    task = rng.integers(0, answers // 5, answers)
    worker = rng.integers(0, 1000, answers)
    truth = rng.integers(0, 5, answers // 5)
    label = np.where(rng.random(answers) < 0.7, truth[task], rng.integers(0, 5, answers))
    rows: list[dict[str, float | str]] = []
    for level in LEVELS:
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            value = krippendorff_alpha(task, worker, label, level=level).value
            seconds.append(time.perf_counter() - start)
        tracemalloc.start()
        krippendorff_alpha(task, worker, label, level=level)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        rows.append(
            {"level": level, "alpha": round(value, 4), "seconds": round(min(seconds), 4), "peak_mb": round(peak, 1)}
        )
    return rows


def main() -> None:
    """Print the rows as a table, or with --json as an object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.answers)
    if options.json:
        print(json.dumps({"answers": options.answers, "krippendorff": rows}))
        return
    print(f"{'level':<10} {'alpha':>7} {'seconds':>8} {'peak MB':>8}   ({options.answers:,} answers)")
    for row in rows:
        print(f"{row['level']:<10} {row['alpha']:>7} {row['seconds']:>8} {row['peak_mb']:>8}")


if __name__ == "__main__":
    main()
