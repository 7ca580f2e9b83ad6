"""Runs crowd-kit on one folder of answers and prints JSON. Needs an environment of its own (crowd-kit 1.4.2 wants
scikit-learn < 1.6):

    python -m venv PEERS && PEERS/bin/pip install crowd-kit==1.4.2 "scikit-learn<1.6"

Called by benchmarks/consensus.py; nothing of Assay is imported here.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import pandas as pd

warnings.filterwarnings("ignore")

CHOICE = ("MajorityVote", "Wawa", "DawidSkene", "OneCoinDawidSkene", "GLAD", "MACE")


def main(folder: Path, methods: list[str]) -> None:
    """One JSON line a method: {"method", "accuracy" | "error", "seconds", "peak_mb"}; the peak is the process's own so
    far.
    """
    from crowdkit.aggregation import classification

    labels = pd.read_csv(folder / "labels.csv")
    truth_file = folder / "truth.csv"
    truth = pd.read_csv(truth_file).set_index("task")["label"] if truth_file.exists() else None
    for name in methods or CHOICE:
        row: dict[str, object] = {"method": name}
        try:
            make = getattr(classification, name)
            model = make(n_iter=100) if name in ("DawidSkene", "OneCoinDawidSkene") else make()
            start = time.perf_counter()
            found = model.fit_predict(labels)
            row["seconds"] = time.perf_counter() - start
            row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            if truth is not None:
                both = truth.index.intersection(found.index)
                row["accuracy"] = float((found.loc[both].astype(str) == truth.loc[both].astype(str)).mean())
        except Exception as error:  # a peer that fails is a row of the table, not the end of the benchmark
            row["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
