"""Runs crowd-kit on one folder of answers and prints JSON. Needs an environment of its own (crowd-kit 1.4.2 wants
scikit-learn < 1.6):

    python -m venv PEERS && PEERS/bin/pip install crowd-kit==1.4.2 "scikit-learn<1.6"

Called by benchmarks/consensus.py; nothing of Assay is imported here.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

warnings.filterwarnings("ignore")

CHOICE = ("MajorityVote", "Wawa", "DawidSkene", "OneCoinDawidSkene", "GLAD", "MACE")


def main(folder: Path, methods: list[str]) -> None:
    """One JSON line a method: {"method", "accuracy" | "error", "seconds", "peak_mb"}; the peak is what the method takes
    beyond its input, as with Assay's own: each runs in a process of its own, forked once the answers are read.
    """
    from crowdkit.aggregation import classification

    labels = pd.read_csv(folder / "labels.csv")
    truth_file = folder / "truth.csv"
    truth = pd.read_csv(truth_file).set_index("task")["label"] if truth_file.exists() else None
    for name in methods or CHOICE:
        if child := os.fork():
            os.waitpid(child, 0)
            continue
        print(json.dumps(row(classification, name, labels, truth)), flush=True)
        os._exit(0)


def row(library: Any, name: str, labels: pd.DataFrame, truth: pd.Series | None) -> dict[str, object]:
    """One method's row. The process is a fresh one."""
    found: dict[str, object] = {"method": name}
    try:
        make = getattr(library, name)
        options = {"n_iter": 100} if name in ("DawidSkene", "OneCoinDawidSkene") else {}
        with contextlib.suppress(Exception):
            make(**options).fit_predict(labels.head(20))  # what is imported on first use is no part of the method
        model = make(**options)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        labelled = model.fit_predict(labels)
        found["seconds"] = time.perf_counter() - start
        found["peak_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e6
        if truth is not None:
            both = truth.index.intersection(labelled.index)
            found["accuracy"] = float((labelled.loc[both].astype(str) == truth.loc[both].astype(str)).mean())
    except Exception as error:  # a peer that fails is a row of the table, not the end of the benchmark
        found["error"] = f"{type(error).__name__}: {error}"
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
