"""How alike answers are, by worked examples and by their properties."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.domain import schema, verdict
from assay.domain.similarity import agrees, edit_distance, similarity


def form(kind: str, **options: Any) -> dict[str, Any]:
    return schema.validate_schema(kind, options)


def box(x: int, y: int, width: int, height: int, name: str = "cat") -> dict[str, Any]:
    return {"class": name, "x": x, "y": y, "width": width, "height": height}


NUMBER = form("number", min="-100", max="100", tolerance="0.5")
RANKING = form("ranking", items=["a", "b", "c", "d"])
BOXES = form("boxes", classes=["cat", "dog"])
MASK = form("mask", width=4, height=2)
POINTS = form("keypoints", points=["nose", "tail"], radius=5)


@pytest.mark.parametrize(
    ("kind", "form_", "a", "b", "expected"),
    [
        ("choice", {}, "cat", "dog", 0),
        ("multi-choice", {}, ["a", "b"], ["b", "c"], 3333),
        ("multi-choice", {}, [], [], 10_000),
        ("number", NUMBER, "1", "1.5", 5000),
        ("number", NUMBER, "1", "1.500000000000000001", 4999),
        ("number", NUMBER, "1", "9", 0),
        ("ranking", RANKING, ["a", "b", "c", "d"], ["d", "c", "b", "a"], 0),
        ("ranking", RANKING, ["a", "b", "c", "d"], ["b", "a", "c", "d"], 8333),
        ("text", {}, "Hello  World", "hello world", 10_000),
        ("text", {}, "kitten", "sitting", 5714),
        ("boxes", BOXES, [box(0, 0, 10, 10)], [box(5, 0, 10, 10)], 3333),
        ("boxes", BOXES, [box(0, 0, 10, 10)], [box(0, 0, 10, 10, "dog")], 0),
        ("boxes", BOXES, [box(0, 0, 10, 10)], [box(0, 0, 10, 10), box(50, 50, 5, 5)], 5000),
        ("boxes", BOXES, [], [], 10_000),
        ("mask", MASK, {"runs": [0, 4, 4]}, {"runs": [2, 4, 2]}, 3333),
        ("mask", MASK, {"runs": [8]}, {"runs": [8]}, 10_000),
        (
            "keypoints",
            POINTS,
            {"nose": {"x": 0, "y": 0}, "tail": None},
            {"nose": {"x": 3, "y": 4}, "tail": None},
            10_000,
        ),
        ("keypoints", POINTS, {"nose": {"x": 0, "y": 0}, "tail": None}, {"nose": {"x": 4, "y": 4}, "tail": None}, 5000),
    ],
)
def test_worked_examples(kind: str, form_: dict[str, Any], a: Any, b: Any, expected: int) -> None:
    assert similarity(kind, form_, a, b) == expected == similarity(kind, form_, b, a)


@given(st.text("abc", max_size=70), st.text("abc", max_size=70))
def test_edit_distance_by_its_definition(a: str, b: str) -> None:
    @lru_cache(None)
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        change = a[i - 1] != b[j - 1]
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + change)

    for i in range(len(a)):  # fills the cache from small to large, so that recursion stays shallow
        distance(i, min(i, len(b)))
    assert edit_distance(a, b) == distance(len(a), len(b)) == edit_distance(b, a)


def test_a_number_agrees_within_the_tolerance_and_not_a_hair_beyond() -> None:
    assert agrees("number", NUMBER, "1.5", "2")
    assert not agrees("number", NUMBER, "1.499999", "2")
    exact = form("number", min="0", max="9", tolerance="0")
    assert agrees("number", exact, "3", "3")
    assert not agrees("number", exact, "3", "3.000001")


@pytest.mark.parametrize(
    ("kind", "form_", "values", "label", "confidence"),
    [
        ("choice", form("choice", classes=["a", "b", "c"]), ["c", "b", "c"], "c", 6666),
        ("choice", form("choice", classes=["a", "b", "c"]), ["c", "b"], "b", 5000),
        ("number", NUMBER, ["1", "2", "40"], "2", 3333),
        ("number", NUMBER, ["1", "1.5"], "1.25", 10_000),
        ("multi-choice", form("multi-choice", classes=["a", "b"]), [["a"], ["a", "b"], ["a"]], ["a"], 6666),
        ("multi-choice", form("multi-choice", classes=["a", "b", "c"], min=1), [["a"], ["b"], ["c"]], ["a"], 3333),
        ("text", form("text"), ["hello world", "hello wrld", "bye"], "hello world", 6666),
        ("ranking", RANKING, [["a", "b", "c", "d"], ["b", "a", "c", "d"], ["d", "c", "b", "a"]],
         ["b", "a", "c", "d"], 6666),
    ],
)  # fmt: skip
def test_majority_of_every_kind(kind: str, form_: Any, values: list[Any], label: Any, confidence: int) -> None:
    assert verdict.majority(kind, form_, values) == (label, confidence)
    assert verdict.majority(kind, form_, values[::-1]) == (label, confidence)
