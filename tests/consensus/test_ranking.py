"""Comparisons and rankings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.consensus import InvalidAnswers
from assay.consensus.pairwise import BradleyTerry, Comparisons, resolve_pairwise
from assay.consensus.ranking import RANKING_METHODS, RankingAnswers, encode_rankings, kendall_tau, resolve_rankings


def compare(seed, *, items=30, workers=20, each=60, careless=0.0):
    rng = np.random.default_rng(seed)
    score = rng.normal(0, 1.5, items)
    worker = np.repeat(np.arange(workers), each)
    pair = np.array([rng.choice(items, 2, replace=False) for _ in worker])
    chance = 1 / (1 + np.exp(score[pair[:, 1]] - score[pair[:, 0]]))
    chance[worker < workers * careless] = 0.5
    first = rng.random(worker.size) < chance
    return Comparisons(
        worker, np.where(first, pair[:, 0], pair[:, 1]), np.where(first, pair[:, 1], pair[:, 0]), workers, items
    ), score


def test_two_items_have_the_odds_of_their_wins():
    """Hunter (2004): for two items the maximum likelihood is the log odds of the wins; here with the prior's half
    wins.
    """
    rows = Comparisons([0] * 10, [0] * 7 + [1] * 3, [1] * 7 + [0] * 3, 1, 2)
    result = resolve_pairwise(rows, noise=False)
    assert result.converged
    assert result.preference(0, 1) == pytest.approx(0.7, abs=0.02)
    assert result.ranking().tolist() == [0, 1]


def test_scores_are_at_the_likelihoods_maximum():
    rows, _ = compare(0, items=8, workers=3, each=30)
    result = resolve_pairwise(rows, noise=False)

    def loss(scores):
        data = np.log1p(np.exp(scores[rows.loser] - scores[rows.winner])).sum()
        return data + 0.5 * (np.log1p(np.exp(scores)) + np.log1p(np.exp(-scores))).sum()

    best = loss(result.scores)
    for item, step in itertools.product(range(8), (-1e-3, 1e-3)):
        moved = result.scores.copy()
        moved[item] += step
        assert loss(moved) >= best


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_careless_workers_are_found_and_discounted(seed):
    rows, score = compare(seed, careless=0.5, each=80)
    noisy, plain = resolve_pairwise(rows), resolve_pairwise(rows, noise=False)
    assert noisy.worker_skill[:10].max() < noisy.worker_skill[10:].mean()
    assert np.corrcoef(noisy.scores, score)[0, 1] > 0.93
    # Tosses flatten the plain model's scores; the reliabilities give the spread back.
    assert abs(noisy.scores.std() - score.std()) < abs(plain.scores.std() - score.std())


def test_gold_pairs_place_what_nobody_compared():
    rows = Comparisons([0], [0], [1], 1, 3, gold=np.array([[2, 0], [2, 1]]))
    assert resolve_pairwise(rows).ranking().tolist() == [2, 0, 1]


def test_a_tie_is_half_a_win_each_way():
    rows = Comparisons([0, 0], [0, 1], [1, 0], 1, 2, np.array([0.5, 0.5]))
    result = resolve_pairwise(rows)
    assert result.preference(0, 1) == pytest.approx(0.5)
    assert result.ranking().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        (([0], [1], [1]), "loser"),
        (([0], [0], [5]), "loser"),
        (([0], [0], [1, 2]), "worker"),
        (([7], [0], [1]), "worker"),
    ],
)
def test_bad_comparisons_name_the_field(columns, field):
    with pytest.raises(InvalidAnswers, match=rf"^{field}"):
        Comparisons(*columns, 1, 3)


def rank(seed, *, tasks=60, workers=15, items=6, overlap=5, careless=0.4):
    rng = np.random.default_rng(seed)
    score = rng.normal(0, 1, (tasks, items))
    task = np.repeat(np.arange(tasks), overlap)
    worker = np.concatenate([rng.choice(workers, overlap, replace=False) for _ in range(tasks)])
    noise = np.where(worker < workers * careless, 20.0, 0.6)
    order = np.argsort(-(score[task] + rng.normal(size=(task.size, items)) * noise[:, None]), axis=1)
    return RankingAnswers(task, worker, order, tasks, workers), np.argsort(-score, axis=1).astype(np.int32)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_reliabilities_beat_mean_place(seed):
    answers, truth = rank(seed)
    tau = {name: kendall_tau(resolve_rankings(name, answers).order, truth).mean() for name in RANKING_METHODS}
    assert tau["bradley_terry"] > tau["borda"] + 0.02
    skill = resolve_rankings("bradley_terry", answers).worker_skill
    assert skill[:6].max() < skill[6:].min()


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.permutations([0, 1, 2])), max_size=12),
    method=st.sampled_from(RANKING_METHODS),
)
def test_order_of_answers_and_missing(rows, method):
    task, worker = (np.array([row[i] for row in rows], np.int64) for i in (0, 1))
    order = np.array([row[2] for row in rows], np.int32).reshape(len(rows), 3)
    result = resolve_rankings(method, RankingAnswers(task, worker, order, 4, 3))
    turned = resolve_rankings(method, RankingAnswers(task[::-1], worker[::-1], order[::-1], 4, 3))
    np.testing.assert_array_equal(turned.order, result.order)
    assert (result.order[3] == -1).all()
    assert result.confidence[3] == 0
    for code in range(3):
        mine = order[task == code]
        if len(mine) and (mine == mine[0]).all():
            np.testing.assert_array_equal(result.order[code], mine[0], "all agree")


def test_gold_orders_are_kept_and_names_come_back():
    rows = [("q", "x", ["b", "a", "c"]), ("q", "y", ["b", "c", "a"]), ("r", "x", ["a", "b", "c"])]
    answers, codes = encode_rankings(rows, items=["a", "b", "c"], gold={"q": ["c", "b", "a"]})
    result = resolve_rankings("bradley_terry", answers)
    assert [codes.classes[i] for i in result.order[0]] == ["c", "b", "a"]
    assert result.confidence[0] == 1
    with pytest.raises(InvalidAnswers, match="order"):
        encode_rankings([("q", "x", ["a", "a", "c"])], items=["a", "b", "c"])


@given(st.permutations(range(5)), st.permutations(range(5)))
def test_kendall_is_its_definition(a, b):
    pairs = list(itertools.combinations(range(5), 2))
    same = sum((a.index(i) < a.index(j)) == (b.index(i) < b.index(j)) for i, j in pairs)
    found = kendall_tau(np.array([a], np.int32), np.array([b], np.int32))[0]
    assert found == pytest.approx(2 * same / len(pairs) - 1)


@pytest.mark.parametrize("noise", [False, True])
def test_scores_of_many_comparisons_converge_soon(noise):
    """Also their level, which only the virtual opponent holds: plain steps of Hunter's need thousands."""
    rng = np.random.default_rng(0)
    score = rng.normal(0, 1.5, 40)
    first = rng.integers(40, size=1500)
    second = (first + rng.integers(1, 40, 1500)) % 40
    wins = rng.random(1500) < 1 / (1 + np.exp(score[second] - score[first]))
    winner, loser = np.where(wins, first, second), np.where(wins, second, first)
    answers = Comparisons(rng.integers(25, size=1500), winner, loser, 25, 40)
    soon = BradleyTerry(noise=noise).fit(answers)
    late = BradleyTerry(noise=noise, iterations=5000, tolerance=1e-10).fit(answers)
    assert soon.converged_
    assert soon.iterations_ <= 200
    np.testing.assert_allclose(soon.scores_, late.scores_, atol=0.01)


def test_confidence_is_the_chance_of_the_right_order():
    """Not of winning once more, which stays near one half however well two close items are known."""
    many = 400
    close = Comparisons([0] * many, [0] * 240 + [1] * 160, [1] * 240 + [0] * 160, 1, 2)
    known = resolve_pairwise(close, noise=False)
    assert known.preference(0, 1) == pytest.approx(0.6, abs=0.01)
    assert known.better(0, 1) > 0.99
    assert known.better(1, 0) == pytest.approx(1 - known.better(0, 1))
    assert known.worker_skill[0] == pytest.approx(0.6, abs=0.01), "what goes with the scores"


@pytest.mark.parametrize("method", RANKING_METHODS)
def test_a_lone_ranking_is_not_certain(method):
    alone = RankingAnswers(range(30), [0] * 30, [[0, 1, 2]] * 30, 30, 1)
    assert (resolve_rankings(method, alone).confidence < 0.9).all()
    answers, truth = rank(0)
    found = resolve_rankings(method, answers)
    right = (kendall_tau(found.order, truth).mean() + 1) / 2
    assert found.confidence.mean() == pytest.approx(right, abs=0.06)
