"""`auto`: an average of experts, chosen for the data at hand."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .answers import Answers, Choice, choice_from_posterior
from .collusion import Collusion, detect, evidence_weights
from .latent import LatentClass
from .majority import Majority, count_votes, vote_posterior
from .one_coin import OneCoin

PRIOR = {"structure": 3.0, "one_coin": 1.0, "uniform": 1.0, "majority": 1.0}
"""Voices before any evidence. The structural model explains most; the others are there because each is right where it
drifts: `uniform` where class shares mislead, `one_coin` where workers have few answers for their matrices, `majority`
where they have next to none.
"""

LARGE = 300_000
"""Above this many answers the held-out comparison takes one fold of as many answers of tasks drawn at random, and
the fits stop a little earlier: the differences are many standard errors by then."""


class Auto:
    """Average the posteriors of four experts; the data choose the structure of the first and, with gold, their weights.

    1. Groups who answer as one are found and their copies count once (`collusion`).
    2. `structure` is Dawid-Skene or the model with subtypes, whichever gives held-out answers the higher likelihood:
       a third of the answers is predicted from the rest, three times. It needs no truth, and more parameters alone
       cannot win it.
    3. Experts: `structure`, Dawid-Skene with uniform class prior, one-coin and majority, with the weights `PRIOR`.
    4. With gold, each weight is multiplied by the likelihood that the expert gave to gold labels hidden from it (two
       folds): the posterior of a mixture in which one expert is right.
    5. The posterior is the weighted mean of theirs; with gold, sharpened or flattened to the temperature that fits the
       hidden gold best.

    A linear mean keeps a confidence low that the experts dispute. Nothing is random but the folds, which `seed` fixes.
    """

    name = "auto"
    worker_skill_: NDArray[np.float64]

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, answers: Answers) -> Self:
        """Find groups, choose the structure, fit and weigh the experts."""
        self.collusion_: Collusion = detect(answers)
        weights = evidence_weights(answers, self.collusion_.groups)
        self.held_out_ = self._held_out(answers, weights)
        self.subtypes_ = max(self.held_out_, key=lambda subtypes: self.held_out_[subtypes])
        self.experts_ = self._fit_experts(answers, weights)
        self.weights_, self.temperature_ = self._weigh(answers, weights)
        skill = self.experts_["structure"].worker_skill_
        self.worker_skill_ = np.asarray(skill, np.float64)
        return self

    def predict(self, answers: Answers) -> Choice:
        """The weighted mean of the experts' posteriors of these answers."""
        weights = evidence_weights(answers, self.collusion_.groups)
        mixture = self._mix(self._posteriors(answers, weights, self.experts_), self.weights_)
        structure = "dawid_skene" if self.subtypes_ == 1 else f"subtypes_{self.subtypes_}"
        return choice_from_posterior(
            answers,
            _temper(mixture, self.temperature_),
            self.worker_skill_,
            method=self.name,
            flagged=self.collusion_.flagged,
            iterations=self.experts_["structure"].iterations_,
            converged=self.experts_["structure"].converged_,
            details={
                "chosen": structure,
                "held_out": {str(key): value for key, value in self.held_out_.items()},
                "weights": dict(self.weights_),
                "temperature": self.temperature_,
                "groups": [group.workers for group in self.collusion_.groups],
            },
        )

    def _held_out(self, answers: Answers, weights: NDArray[Any]) -> dict[int, float]:
        """Mean log-likelihood of held-out answers for each number of subtypes."""
        if answers.n_classes < 2 or len(answers) < 10:
            return {1: 0.0}
        draw = np.random.default_rng(self.seed)
        folds = 3
        if len(answers) > LARGE:
            chosen = (draw.random(answers.n_tasks) < LARGE / len(answers))[answers.task]
            answers, weights, folds = answers.take(chosen), weights[chosen], 1
        fold = draw.permutation(len(answers)) % 3
        result = {}
        for subtypes in (1, 3):
            total, count = 0.0, 0
            for out in range(folds):
                kept = fold != out
                model = LatentClass(subtypes=subtypes, weights=weights[kept], tolerance=1e-3, max_iterations=100)
                model.fit(answers.take(kept))
                held = answers.take(~kept)
                total += float(np.log(np.maximum(model.predictive(held), 1e-9)).sum())
                count += len(held)
            result[subtypes] = total / max(count, 1)
        return result

    def _fit_experts(self, answers: Answers, weights: NDArray[Any]) -> dict[str, Any]:
        tolerance = 1e-3 if len(answers) > LARGE else 1e-4
        rounds = 50 if len(answers) > LARGE else 200
        structure = LatentClass(subtypes=self.subtypes_, weights=weights, tolerance=tolerance, max_iterations=rounds)
        uniform = LatentClass(class_prior="uniform", weights=weights, tolerance=tolerance)
        return {
            "structure": structure.fit(answers),
            "uniform": uniform.fit(answers),
            "one_coin": OneCoin(weights=weights, tolerance=tolerance).fit(answers),
            "majority": Majority().fit(answers),
        }

    @staticmethod
    def _posteriors(answers: Answers, weights: NDArray[Any], experts: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
        result = {}
        for name, expert in experts.items():
            if name == "majority":
                result[name] = vote_posterior(count_votes(answers, weights), expert.accuracy_)
            else:
                expert.weights = weights
                result[name] = expert.predict(answers).posterior
        return result

    @staticmethod
    def _mix(posteriors: dict[str, NDArray[np.float32]], weights: dict[str, float]) -> NDArray[np.float32]:
        mixture = np.zeros_like(next(iter(posteriors.values())))
        for name, posterior in posteriors.items():
            mixture += np.float32(weights[name]) * posterior
        return mixture

    def _weigh(self, answers: Answers, weights: NDArray[Any]) -> tuple[dict[str, float], float]:
        """Weights of the experts and the temperature, from gold hidden in two folds; without gold the prior weights
        and 1.
        """
        total = sum(PRIOR.values())
        prior = {name: voice / total for name, voice in PRIOR.items()}
        answered = np.bincount(answers.task, minlength=answers.n_tasks) > 0
        known = np.flatnonzero((answers.gold >= 0) & answered)
        if known.size < 4 or answers.n_classes < 2:
            return prior, 1.0
        known = np.random.default_rng(self.seed).permutation(known)
        hidden_rows, hidden_truth = [], []
        for half in (known[::2], known[1::2]):
            gold = answers.gold.copy()
            gold[half] = -1
            blind = answers.with_gold(gold)
            posteriors = self._posteriors(blind, weights, self._fit_experts(blind, weights))
            hidden_rows.append({name: posterior[half] for name, posterior in posteriors.items()})
            hidden_truth.append(answers.gold[half])
        truth = np.concatenate(hidden_truth)
        rows = {name: np.concatenate([part[name] for part in hidden_rows]) for name in prior}
        evidence = {name: _log_likelihood(row, truth) for name, row in rows.items()}
        best = max(evidence.values())
        raw = {name: prior[name] * float(np.exp(evidence[name] - best)) for name in prior}
        found = {name: voice / sum(raw.values()) for name, voice in raw.items()}
        mixture = self._mix(rows, found)
        # A log-normal prior around 1 keeps a handful of gold tasks from claiming certainty.
        temperatures = np.exp(np.linspace(-1.0, 1.0, 21))
        fit = [_log_likelihood(_temper(mixture, t), truth) - 2 * float(np.log(t)) ** 2 for t in temperatures]
        return found, float(temperatures[int(np.argmax(fit))])


def _log_likelihood(posterior: NDArray[Any], truth: NDArray[Any]) -> float:
    """Log-likelihood of the true labels, with 1 % of doubt so that one surprise is not infinite."""
    classes = posterior.shape[1]
    probability = 0.99 * posterior[np.arange(truth.size), truth] + 0.01 / classes
    return float(np.log(probability).sum())


def _temper(posterior: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """posterior^(1 / temperature), normalised; above 1 it is less sure."""
    if temperature == 1.0:
        return posterior
    power = np.maximum(posterior, np.float32(1e-12)) ** np.float32(1 / temperature)
    power /= power.sum(axis=1, keepdims=True)
    return np.asarray(power, np.float32)
