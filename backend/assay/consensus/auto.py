"""`auto`: an average of experts, chosen for the data at hand."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .answers import Answers, Choice, choice_from_posterior, choice_labels
from .collusion import Collusion, detect
from .groups import evidence_weights
from .latent import LatentClass, matrices_fit
from .majority import Majority, count_votes, vote_posterior
from .numeric import largest
from .one_coin import OneCoin

PRIOR = {"structure": 3.0, "one_coin": 1.0, "uniform": 1.0, "majority": 1.0}
"""Voices of a crowd that is known well. The structural model explains most; the others are there because each is right
where it drifts: `uniform` where class shares mislead, `one_coin` where workers have few answers for their matrices,
`majority` where they have next to none.
"""

KNOWN = 4.0
"""Answers at which a row of a worker's matrix, or its accuracy, is half its own and half the prior's: the strength of
the models' own shrinkage (`LatentClass`)."""

LEAST_GAIN = 0.1
"""The experts overrule the vote only if together they expect to spare at least this share of its errors: less than
that is less than models err about themselves."""

LARGE = 300_000
"""Above this many answers the held-out comparison takes one fold of as many answers of tasks drawn at random, and
the fits stop a little earlier: the differences are many standard errors by then."""


class Auto:
    """Average the posteriors of four experts; the data choose the structure of the first and, with gold, their weights.

    1. Groups who answer as one are found and their copies count once (`collusion`).
    2. `structure` is Dawid-Skene or the model with subtypes, whichever gives held-out answers the higher likelihood:
       a third of the answers is predicted from the rest, three times. It needs no truth, and more parameters alone
       cannot win it.
    3. Experts: `structure`, Dawid-Skene with uniform class prior, one-coin and majority, with the weights `PRIOR`. What
       a matrix cannot know, its rows having few answers, is one-coin's to say; what an accuracy cannot know is the
       majority's (`voices`).
    4. With gold, each weight is multiplied by the likelihood that the expert gave to gold labels hidden from it (two
       folds): the posterior of a mixture in which one expert is right. It is taken at the expert's own best
       temperature, since models with matrices are too sure of themselves, which says nothing against their labels.
    5. The posterior is the weighted mean of theirs; with gold, sharpened or flattened to the temperature that fits the
       hidden gold best.
    6. If they expect to spare less than `LEAST_GAIN` of the vote's errors (whatever gold says of their weights), the
       vote stands.

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
        self.voices_ = voices(answers)
        self.weights_, self.temperature_ = self._weigh(answers, weights)
        skill = self.experts_["structure"].worker_skill_
        self.worker_skill_ = np.asarray(skill, np.float64)
        posteriors = self._posteriors(answers, weights, self.experts_)
        mixture = self._mix(posteriors, self.weights_)
        # By the weights before and after gold: a few gold tasks may favour the vote by luck.
        views = (mixture, self._mix(posteriors, self.voices_)) if self.weights_ != self.voices_ else (mixture,)
        self.gain_ = max(expected_gain(answers, view, posteriors["majority"]) for view in views)
        self._seen = (answers, posteriors)
        return self

    def predict(self, answers: Answers) -> Choice:
        """The weighted mean of the experts' posteriors of these answers, or the vote, as the fit decided."""
        posteriors = self._seen[1] if answers is self._seen[0] else self._predicted(answers)
        mixture = self._mix(posteriors, self.weights_)
        gain, overrules = self.gain_, self.gain_ >= LEAST_GAIN
        structure = {0: "one_coin", 1: "dawid_skene"}.get(self.subtypes_, f"subtypes_{self.subtypes_}")
        return choice_from_posterior(
            answers,
            _temper(mixture, self.temperature_) if overrules else posteriors["majority"],
            self.worker_skill_,
            method=self.name,
            flagged=self.collusion_.flagged,
            iterations=self.experts_["structure"].iterations_,
            converged=self.experts_["structure"].converged_,
            details={
                "chosen": structure if overrules else "majority",
                "expected_gain": gain,
                "held_out": {str(key): value for key, value in self.held_out_.items()},
                "weights": dict(self.weights_),
                "temperature": self.temperature_,
                "groups": [group.workers for group in self.collusion_.groups],
            },
        )

    def _predicted(self, answers: Answers) -> dict[str, NDArray[np.float32]]:
        return self._posteriors(answers, evidence_weights(answers, self.collusion_.groups), self.experts_)

    def _held_out(self, answers: Answers, weights: NDArray[Any]) -> dict[int, float]:
        """Mean log-likelihood of held-out answers for each number of subtypes; of none where matrices do not fit."""
        if not matrices_fit(answers):
            return {0: 0.0}
        if answers.n_classes < 2 or len(answers) < 10:
            return {1: 0.0}
        draw = np.random.default_rng(self.seed)
        folds = 3
        if len(answers) > LARGE:
            chosen = (draw.random(answers.n_tasks) < LARGE / len(answers))[answers.task]
            answers, weights, folds = answers.take(chosen), weights[chosen], 1
        fold = np.empty(len(answers), np.int64)
        fold[np.lexsort((answers.label, answers.worker, answers.task))] = draw.permutation(len(answers)) % 3
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
        one_coin = OneCoin(weights=weights, tolerance=tolerance).fit(answers)
        majority = Majority().fit(answers)
        if self.subtypes_ == 0:
            return {"structure": one_coin, "uniform": one_coin, "one_coin": one_coin, "majority": majority}
        structure = LatentClass(subtypes=self.subtypes_, weights=weights, tolerance=tolerance, max_iterations=rounds)
        uniform = LatentClass(class_prior="uniform", weights=weights, tolerance=tolerance)
        return {
            "structure": structure.fit(answers),
            "uniform": uniform.fit(answers),
            "one_coin": one_coin,
            "majority": majority,
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
        """Weights of the experts and the temperature, from gold hidden in two folds; without gold the voices and 1."""
        prior = self.voices_
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
        evidence = {name: _best_temperature(row, truth)[1] for name, row in rows.items()}
        best = max(evidence.values())
        raw = {name: prior[name] * float(np.exp(evidence[name] - best)) for name in prior}
        found = {name: voice / sum(raw.values()) for name, voice in raw.items()}
        return found, _best_temperature(self._mix(rows, found), truth)[0]


def _best_temperature(posterior: NDArray[np.float32], truth: NDArray[Any]) -> tuple[float, float]:
    """The temperature that fits the true labels best, and their log-likelihood at it.

    A log-normal prior around 1 keeps a handful of gold tasks from claiming certainty.
    """
    temperatures = np.exp(np.linspace(-1.0, 1.0, 21))
    fit = [_log_likelihood(_temper(posterior, t), truth) - 2 * float(np.log(t)) ** 2 for t in temperatures]
    best = int(np.argmax(fit))
    return float(temperatures[best]), fit[best]


def voices(answers: Answers) -> dict[str, float]:
    """The experts' weights before any gold, summing to 1: `PRIOR`, less what their workers' answers are too few for.

    A row of a matrix with n answers is n / (n + KNOWN) its own. What the mean answer's row lacks, the two models with
    matrices pass on to one-coin; what its worker's accuracy lacks, one-coin passes on to the majority.
    """
    given = np.bincount(answers.worker, minlength=answers.n_workers)[answers.worker].astype(np.float64)
    row, own = ((given / (given + KNOWN * share)).mean() if given.size else 0.0 for share in (answers.n_classes, 1))
    one_coin = PRIOR["one_coin"] + (PRIOR["structure"] + PRIOR["uniform"]) * (1 - row)
    raw = {
        "structure": PRIOR["structure"] * row,
        "one_coin": one_coin * own,
        "uniform": PRIOR["uniform"] * row,
        "majority": PRIOR["majority"] + one_coin * (1 - own),
    }
    return {name: float(voice) / sum(PRIOR.values()) for name, voice in raw.items()}


def expected_gain(answers: Answers, mixture: NDArray[Any], vote: NDArray[Any]) -> float:
    """The share of the vote's errors that the mixture's labels spare, as the mixture expects it: Σ (P(its label) −
    P(the vote's)) over Σ (1 − P(the vote's)), over answered tasks that are not gold. 0 where the vote cannot err.
    """
    judged = np.bincount(answers.task, minlength=answers.n_tasks) > 0
    judged &= answers.gold < 0
    best = largest(mixture)[judged].astype(np.float64)
    of_vote = mixture[judged, choice_labels(vote)[judged]].astype(np.float64)
    errors = float((1 - of_vote).sum())
    return float((best - of_vote).sum()) / errors if errors > 0 else 0.0


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
