from __future__ import annotations

import numpy as np
import pytest

from assay.consensus import InvalidAnswers, resolve
from assay.consensus.online import Online
from assay.simulate.crowd import make_crowd


def played(seed: int = 0, *, refit: bool = True) -> tuple[Online, np.ndarray]:
    crowd = make_crowd({"lazy": 0.3}, seed=seed, n_tasks=300, n_workers=25, overlap=5)
    answers = crowd.answers
    live = Online(2)
    for row in np.random.default_rng(seed).permutation(len(answers)):
        live.add(int(answers.task[row]), int(answers.worker[row]), int(answers.label[row]))
        if refit and live.refit_due:
            live.refit()
    return live, crowd.truth


def test_replay_equals_live_to_the_bit() -> None:
    live, _ = played()
    again = Online.replay(live.events, n_classes=2)
    assert [again.posterior(t) for t in range(300)] == [live.posterior(t) for t in range(300)]
    assert [again.skill(j) for j in range(25)] == [live.skill(j) for j in range(25)]


def test_a_replay_goes_on_as_the_live_one_does() -> None:
    """Its next refits too: they are due by the same rule."""
    crowd = make_crowd({}, seed=3, n_tasks=120, n_workers=20, overlap=5)
    columns = (crowd.answers.task, crowd.answers.worker, crowd.answers.label)
    votes = list(zip(*(column.tolist() for column in columns), strict=True))
    live = Online(2, strength=8.0, accuracy=0.6, growth=2.0)

    def go_on(state: Online, some: list[tuple[int, int, int]]) -> None:
        for vote in some:
            state.add(*vote)
            if state.refit_due:
                state.refit()

    go_on(live, votes[:300])
    again = Online.replay(live.events, n_classes=2, strength=8.0, accuracy=0.6, growth=2.0)
    for state in (live, again):
        go_on(state, votes[300:])
    assert again.events == live.events
    assert [again.posterior(t) for t in range(120)] == [live.posterior(t) for t in range(120)]


def test_online_comes_near_the_full_fit_and_a_refit_meets_it() -> None:
    live, truth = played()
    full = resolve("dawid_skene", live.answers())
    online = np.array([live.label(task) for task in range(300)])
    assert np.mean(online == full.labels) > 0.97
    live.refit()
    np.testing.assert_allclose([live.posterior(task)[1] for task in range(300)], full.posterior[:, 1], atol=1e-5)
    assert np.mean(online == truth) > 0.85


def test_gold_and_refusals() -> None:
    live = Online(3)
    live.add(0, 0, 2)
    live.set_gold(0, 1)
    assert live.label(0) == 1
    assert live.skill(0) < 0.7
    assert live.label(5) == -1
    live.refit()
    assert live.label(0) == 1
    with pytest.raises(InvalidAnswers, match="one vote each"):
        live.add(0, 0, 1)
    with pytest.raises(InvalidAnswers, match="label must lie in"):
        live.add(1, 0, 3)
    assert live.votes == 1


def test_doubt_about_a_skill_shrinks_with_votes() -> None:
    live, _ = played()
    unknown = live.spread(99)
    assert unknown == pytest.approx((0.7 * 0.3 / 5) ** 0.5), "Beta(2.8, 1.2), whose mean is 0.7"
    votes = np.bincount(live.answers().worker, minlength=25)
    most, least = int(np.argmax(votes)), int(np.argmin(votes))
    assert live.spread(most) < unknown > live.spread(least)
    assert live.spread(most) ** 2 == pytest.approx(live.skill(most) * (1 - live.skill(most)) / (votes[most] + 5))
