"""What a request's consensus method has learned of its labelers, from exactly the first records of the vote log.

A method is fitted anew as the log grows (`standing.point_in_use`) and judges everything between two fits by the last
one: a batch costs what its own answers cost, however long the log is. Who has the log has the same models: settler,
validators, auditors.
"""

from __future__ import annotations

from collections.abc import Sequence

from assay.domain import methods
from assay.domain.spec import Spec
from assay.domain.verdict import evidence
from assay.domain.work import Task

RECENT = 500
"""Where nothing that is learned carries over (`methods.CARRIES_OVER`), so many of the last records are judged anew with
each batch.
"""


def learns(spec: Spec) -> bool:
    """Whether batches of this specification are judged by models."""
    return spec.mode == "agreement" and spec.method != methods.MAJORITY and spec.kind in methods.CARRIES_OVER


class Model:
    """The request's method, fitted to `tasks`: the first records of its log."""

    def __init__(self, spec: Spec, tasks: Sequence[Task]) -> None:
        self._spec = spec
        rows, gold, weights = evidence(spec, tasks)
        self._fitted = methods.Fitted(
            spec.method, kind=spec.kind, schema=spec.schema, rows=rows, gold=gold, weights=weights
        )

    def labels(self, tasks: Sequence[Task]) -> methods.Labels:
        """Value and confidence of each of `tasks` by its index; each by its own answers alone."""
        rows, gold, weights = evidence(self._spec, tasks)
        return self._fitted.labels(rows, gold=gold, weights=weights)
