"""Real crowd answers beside the checkout, for tests that are skipped where the folder is absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.consensus import Answers, encode
from assay.consensus_kinds import in_order
from assay.csvfile import read_csv, read_pairs

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CHOICE = ("bluebird", "dog", "rte", "web", "d_product", "d_possent", "s_adult", "cf", "zencrowd_us")


def load(name: str) -> tuple[Answers, Any]:
    """Answers and int[n_tasks] truth (-1 unknown)."""
    if not (DATA / name / "labels.csv").exists():
        pytest.skip(f"the real answers of {name} are not beside the checkout")
    rows: Any = read_csv(DATA / name / "labels.csv", ("task", "worker", "label"), field="labels")
    truth = read_pairs(DATA / name / "truth.csv", field="truth")
    answers, codes = encode(rows, classes=in_order({row[2] for row in rows}))
    place = {value: code for code, value in enumerate(codes.classes)}
    known = [place.get(truth[str(task)], -2) if str(task) in truth else -1 for task in codes.tasks]
    return answers, np.array(known)
