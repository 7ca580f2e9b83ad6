"""A thousand classes, as a request may have: a thousand by a thousand cells for each worker would fill the machine."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from assay.consensus import METHODS, resolve
from assay.consensus.collusion import detect
from assay.consensus.latent import matrices_fit
from assay.simulate.crowd import make_crowd

CROWD = make_crowd({"shared_coin": 0.1}, seed=1, n_tasks=1000, n_workers=60, n_classes=1000, overlap=5)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_a_thousand_classes(method: str) -> None:
    tracemalloc.start()
    result = resolve(method, CROWD.answers)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6
    assert result.method == method
    assert (result.labels == CROWD.truth).mean() > 0.95
    if method in ("dawid_skene", "correlated"):
        assert result.details["chosen"] == "one_coin"
    if method in ("auto", "correlated"):
        assert np.flatnonzero(result.flagged).tolist() == np.flatnonzero(CROWD.colluder).tolist()


def test_groups_are_found_among_a_thousand_classes() -> None:
    (group,) = detect(CROWD.answers).groups
    assert list(group.workers) == np.flatnonzero(CROWD.colluder).tolist()


def test_where_matrices_pay() -> None:
    def fit(tasks: int, classes: int) -> bool:
        return matrices_fit(make_crowd({}, seed=0, n_tasks=tasks, n_workers=50, n_classes=classes).answers)

    assert fit(10, 100), "few cells always are"
    assert not fit(1000, 200)
    assert fit(10_000, 200), "where there are answers for them"
    assert not fit(30_000, 500), "not more than memory holds"
