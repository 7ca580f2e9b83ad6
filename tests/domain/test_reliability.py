"""Agreement of a request's raters, kind by kind: against figures worked by hand and the definitions pair by pair."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from assay.consensus.agreement import cohen_kappa
from assay.domain import reliability
from assay.domain.reliability import VOTE, Ratings

Row = tuple[Any, str, Any]
CHOICE = {"classes": ["cat", "dog", "owl"]}


@dataclass
class Found:
    """A measurement with its arrays by name."""

    level: str | None
    ratings: int
    alpha: float | None
    kappa: float | None
    observed: float | None
    by_task: dict[Any, float | None]
    agreement: dict[str, float | None]
    cohen: dict[str, float | None]


def measure(kind: str, schema: dict[str, Any], rows: list[Row], labels: dict[Any, Any] | None = None) -> Found:
    ratings = Ratings(json.loads)
    for task, rater, value in rows:
        known = labels is not None and task in labels
        ratings.add(task, rater.encode(), json.dumps(value), label=json.dumps(labels[task]) if known else None)
    found = reliability.measure(kind, schema, ratings)
    raters = [rater.decode() for rater in ratings.raters]

    def named(names: Iterable[Any], values: Any) -> dict[Any, float | None]:
        return dict(zip(names, map(reliability.shown, values), strict=True))

    return Found(
        found.level, found.ratings, found.alpha, found.kappa, found.observed, named(ratings.things, found.by_thing),
        named(raters, found.by_rater), named(raters, found.rater_kappa),
    )  # fmt: skip


def rows(table: dict[int, dict[str, Any]]) -> list[Row]:
    return [(task, who, value) for task, answers in table.items() for who, value in answers.items()]


def test_choice_by_hand() -> None:
    """Three tasks, two raters, one disagreement: D_o = 2/6; values a×3, b×3: D_e = 1 − (6 + 6) / 30 = 0.6."""
    table = {0: {"x": "cat", "y": "cat"}, 1: {"x": "dog", "y": "dog"}, 2: {"x": "cat", "y": "dog"}}
    found = measure("choice", CHOICE, rows(table), {0: "cat", 1: "dog", 2: "cat"})
    assert (found.level, found.ratings) == ("nominal", 6)
    assert found.alpha == pytest.approx(1 - (2 / 6) / 0.6, abs=1e-4)
    assert found.kappa == pytest.approx((2 / 3 - 0.5) / 0.5, abs=1e-4)
    assert found.observed == pytest.approx(2 / 3, abs=1e-4)
    assert found.by_task == {0: 1.0, 1: 1.0, 2: pytest.approx(1 - 1 / 0.6, abs=1e-4)}
    assert found.cohen["x"] == 1.0
    assert found.cohen["y"] == pytest.approx(cohen_kappa([0, 1, 1], [0, 1, 0]), abs=1e-4)
    assert [found.agreement[who] for who in ("x", "y")] == [pytest.approx(1 - (1 / 3) / 0.6, abs=1e-4)] * 2


def test_the_order_of_answers_does_not_matter() -> None:
    draw = random.Random(3)
    one = [(t, w, draw.choice(CHOICE["classes"])) for t in range(40) for w in draw.sample("abcdefgh", 3)]
    other = draw.sample(one, len(one))
    assert measure("choice", CHOICE, one).alpha == measure("choice", CHOICE, other).alpha
    assert measure("choice", CHOICE, one).by_task == measure("choice", CHOICE, other).by_task


def pairwise(table: dict[int, dict[str, Any]], difference: Any) -> float:
    """Krippendorff's alpha straight from its definition."""
    values = [value for answers in table.values() if len(answers) > 1 for value in answers.values()]
    within = sum(
        difference(a, b) / (len(answers) - 1)
        for answers in table.values()
        for a, b in itertools.permutations(answers.values(), 2)
    ) / len(values)
    between = sum(difference(a, b) for a, b in itertools.permutations(values, 2)) / (len(values) * (len(values) - 1))
    return float(1 - within / between)


def test_numbers_by_their_distance() -> None:
    table = {0: {"x": "1", "y": "1.5"}, 1: {"x": "7", "y": "6.25", "z": "7"}, 2: {"x": "3"}, 3: {"y": "3", "z": "9"}}
    found = measure("number", {}, rows(table), {0: "1", 1: "7"})
    assert found.level == "interval"
    assert found.alpha == pytest.approx(pairwise(table, lambda a, b: (float(a) - float(b)) ** 2), abs=1e-4)
    assert (found.kappa, found.observed, found.by_task[2]) == (None, None, None)
    assert found.cohen["x"] is None


def test_several_classes_are_compared_one_by_one() -> None:
    schema = {"classes": ["cat", "dog"]}
    table = {0: {"x": ["cat"], "y": ["cat", "dog"]}, 1: {"x": [], "y": []}, 2: {"x": ["dog"], "y": ["dog"]}}
    found = measure("multi-choice", schema, rows(table), {0: ["cat"], 1: [], 2: ["dog"]})
    each = {
        2 * task + i: {who: name in value for who, value in answers.items()}
        for task, answers in table.items()
        for i, name in enumerate(schema["classes"])
    }
    assert found.alpha == pytest.approx(pairwise(each, lambda a, b: a != b), abs=1e-4)
    assert found.by_task[1] == 1.0
    assert found.by_task[0] is not None
    assert found.by_task[0] < 1
    assert found.cohen["x"] == 1.0


def test_rankings_by_the_places_of_their_items() -> None:
    schema = {"items": ["a", "b", "c"]}
    same = {task: {"x": order, "y": order} for task, order in enumerate((["a", "b", "c"], ["c", "a", "b"]))}
    assert measure("ranking", schema, rows(same)).alpha == 1.0
    near = {0: {"x": ["a", "b", "c"], "y": ["b", "a", "c"]}, 1: {"x": ["c", "b", "a"], "y": ["c", "b", "a"]}}
    far = {0: {"x": ["a", "b", "c"], "y": ["c", "b", "a"]}, 1: {"x": ["c", "b", "a"], "y": ["c", "b", "a"]}}
    values = [measure("ranking", schema, rows(table)).alpha for table in (near, far)]
    assert values[0] is not None
    assert values[1] is not None
    assert 1 > values[0] > values[1]
    assert measure("ranking", schema, rows(near)).level == "ordinal"


def test_texts_are_compared_as_their_likeness_is() -> None:
    table = {0: {"x": "The  Fox", "y": "the fox"}, 1: {"x": "dog", "y": "dog"}}
    assert measure("text", {}, rows(table)).alpha == 1.0


def test_votes() -> None:
    table = {0: {"x": 1, "y": 1, "z": 1}, 1: {"x": 0, "y": 0, "z": 1}, 2: {"x": 1, "y": 1, "z": 1}}
    found = measure(VOTE, {}, rows(table), {0: 1, 1: 0, 2: 1})
    assert found.alpha == pytest.approx(pairwise(table, lambda a, b: a != b), abs=1e-4)
    assert found.cohen["x"] == 1.0
    assert found.cohen["z"] == 0.0, "always accepting is what chance gives"


@pytest.mark.parametrize(("kind", "value"), [("boxes", []), ("mask", {}), ("keypoints", {}), ("file", {"cid": "x"})])
def test_other_kinds_have_no_coefficient(kind: str, value: Any) -> None:
    found = measure(kind, {}, rows({0: {"x": value, "y": value}}))
    assert (found.level, found.alpha, found.ratings, found.by_task) == (None, None, 2, {0: None})
    assert found.agreement == {"x": None, "y": None}


def test_nothing_to_compare() -> None:
    assert measure("choice", CHOICE, []).alpha is None
    lonely = measure("choice", CHOICE, rows({0: {"x": "cat"}, 1: {"y": "dog"}}), {0: "cat", 1: "dog"})
    assert (lonely.alpha, lonely.kappa, lonely.by_task) == (None, None, {0: None, 1: None})
    assert lonely.agreement == {"x": None, "y": None}
    assert measure("choice", CHOICE, rows({0: {"x": "cat", "y": "cat"}})).alpha == 1.0


def test_what_an_answer_costs_to_compare() -> None:
    assert reliability.parts("choice", CHOICE) == 1
    assert reliability.parts("multi-choice", CHOICE) == 3
    assert reliability.parts("ranking", {"items": ["a", "b"]}) == 2
    assert reliability.parts("number", {}) == 1
