"""Dawid-Skene with shrinkage."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .latent import ClassPrior, LatentClass


class DawidSkene(LatentClass):
    """Each worker has a confusion matrix, shrunk towards a one-coin worker of its own accuracy (see `LatentClass`).

    P(t, k) ∝ π_k ∏_n V[worker n, k, label n]; A. P. Dawid and A. M. Skene, *Maximum Likelihood Estimation of Observer
    Error-Rates Using the EM Algorithm*, Applied Statistics 28 (1979), eq. 2.3 to 2.5; the prior makes the M-step (2.3)
    a posterior mode.
    """

    def __init__(
        self,
        *,
        strength: float = 4.0,
        class_prior: ClassPrior = "estimated",
        tolerance: float = 1e-4,
        max_iterations: int = 200,
        weights: NDArray[Any] | None = None,
    ) -> None:
        super().__init__(
            strength=strength,
            class_prior=class_prior,
            tolerance=tolerance,
            max_iterations=max_iterations,
            weights=weights,
            name="dawid_skene",
        )
