"""Krippendorff's alpha of many answers: seconds and extra memory. `python benchmarks/agreement.py [answers]`."""

from __future__ import annotations

import sys
import time
import tracemalloc

import numpy as np

from assay.consensus.agreement import LEVELS, krippendorff_alpha


def main(answers: int) -> None:
    """Print a row a level: best of five runs, and the peak beyond the input arrays of one run of its own."""
    rng = np.random.default_rng(0)
    task = rng.integers(0, answers // 5, answers)
    worker = rng.integers(0, 1000, answers)
    truth = rng.integers(0, 5, answers // 5)
    label = np.where(rng.random(answers) < 0.7, truth[task], rng.integers(0, 5, answers))
    print(f"{'level':<10} {'alpha':>7} {'seconds':>8} {'peak MB':>8}   ({answers:,} answers)")
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
        print(f"{level:<10} {value:>7.4f} {min(seconds):>8.3f} {peak:>8.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
