"""Answer schemas: normal forms, and clear words for what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.domain import canonical, schema, similarity
from assay.errors import FieldError

CID = "bafkrei" + "a" * 52
SCHEMAS: dict[str, dict[str, Any]] = {
    "choice": {"classes": ["cat", "dog"]},
    "multi-choice": {"classes": ["cat", "dog", "owl"], "max": 2},
    "number": {"min": "-10", "max": "10.50", "tolerance": "0.5", "decimals": 2},
    "ranking": {"items": ["a", "b", "c", "d"]},
    "text": {"max_length": 20},
    "boxes": {"classes": ["cat"], "width": 100, "height": 50, "max_boxes": 3},
    "mask": {"width": 4, "height": 2},
    "keypoints": {"points": ["nose", "tail"], "radius": 2, "width": 100, "height": 100},
    "file": {"media_types": ["image/png"], "max_bytes": 1000},
}
BOX = {"class": "cat", "x": 1, "y": 2, "width": 3, "height": 4}
GOOD: list[tuple[str, Any, Any]] = [
    ("choice", "cat", "cat"),
    ("multi-choice", ["owl", "cat"], ["cat", "owl"]),
    ("multi-choice", [], []),
    ("number", "3.50", "3.5"),
    ("number", "-0.0", "0"),
    ("number", 7, "7"),
    ("ranking", ["b", "a", "d", "c"], ["b", "a", "d", "c"]),
    ("text", "  e\u0301te\u0301  \n two ", "été\n two"),
    ("boxes", [{**BOX, "y": 9}, BOX], [BOX, {**BOX, "y": 9}]),
    ("mask", {"width": 4, "height": 2, "runs": [0, 3, 5]}, {"width": 4, "height": 2, "runs": [0, 3, 5]}),
    ("keypoints", {"tail": None, "nose": {"x": 1, "y": 2}}, {"nose": {"x": 1, "y": 2}, "tail": None}),
    ("file", {"cid": CID, "media_type": "image/png", "size": 9}, {"cid": CID, "media_type": "image/png", "size": 9}),
]
BAD: list[tuple[str, Any, str, str]] = [
    ("choice", "cow", "value", "one of cat, dog"),
    ("choice", None, "value", "one of cat, dog"),
    ("multi-choice", ["cat", "dog", "owl"], "value", "a list of 0 to 2"),
    ("multi-choice", ["cat", "cat"], "value", "twice"),
    ("multi-choice", "cat", "value", "a list"),
    ("number", "11", "value", "from -10 to 10.5"),
    ("number", "1.234", "value", "more than 2 decimals"),
    ("number", 1.5, "value", "decimal string"),
    ("number", "1e2", "value", "decimal string"),
    ("number", True, "value", "decimal string"),
    ("ranking", ["a", "b", "c"], "value", "a list of 4 to 4"),
    ("ranking", ["a", "b", "c", "c"], "value", "twice"),
    ("text", "x" * 21, "value", "0 to 20"),
    ("text", "bell\u0007", "value", "control characters"),
    ("boxes", [{**BOX, "width": 0}], "value[0].width", "a whole number from 1 to 99"),
    ("boxes", [BOX, {**BOX, "x": 99, "width": 2}], "value[1].width", "from 1 to 1"),
    ("boxes", [{**BOX, "colour": 1}], "value[0].colour", "unknown"),
    ("boxes", [{"class": "cat"}], "value[0].x", "missing"),
    ("boxes", [BOX] * 4, "value", "a list of 0 to 3"),
    ("mask", {"width": 4, "height": 2, "runs": [0, 3]}, "value.runs", "add up to 8"),
    ("mask", {"width": 4, "height": 2, "runs": [3, 0, 5]}, "value.runs[1]", "from 1"),
    ("mask", {"width": 5, "height": 2, "runs": [10]}, "value.width", "4, as the schema says"),
    ("keypoints", {"nose": None}, "value.tail", "missing"),
    ("keypoints", {"nose": {"x": 100, "y": 0}, "tail": None}, "value.nose.x", "from 0 to 99"),
    ("file", {"cid": "../x", "media_type": "image/png", "size": 9}, "value.cid", "no content address"),
    ("file", {"cid": CID, "media_type": "image/gif", "size": 9}, "value.media_type", "one of image/png"),
    ("file", {"cid": CID, "media_type": "image/png", "size": 1001}, "value.size", "from 1 to 1000"),
]


def form(kind: str) -> dict[str, Any]:
    return schema.validate_schema(kind, SCHEMAS[kind])


@pytest.mark.parametrize(("kind", "value", "expected"), GOOD)
def test_normal_forms(kind: str, value: Any, expected: Any) -> None:
    once = schema.validate(kind, form(kind), {"value": value})
    assert once == {"value": expected}
    assert schema.validate(kind, form(kind), once) == once
    assert canonical.loads(canonical.dumps(once)) == once
    assert similarity.similarity(kind, form(kind), once["value"], once["value"]) == 10_000


@pytest.mark.parametrize(("kind", "value", "field", "words"), BAD)
def test_what_is_wrong_is_named(kind: str, value: Any, field: str, words: str) -> None:
    with pytest.raises(FieldError) as failure:
        schema.validate(kind, form(kind), {"value": value})
    assert failure.value.field == field
    assert words in str(failure.value)


@pytest.mark.parametrize("content", [None, [], "cat", {}, {"values": "cat"}, {"value": "cat", "note": 1}])
def test_content_is_an_object_with_a_value(content: Any) -> None:
    with pytest.raises(FieldError):
        schema.validate("choice", form("choice"), content)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schemas_are_stable(kind: str) -> None:
    assert schema.validate_schema(kind, form(kind)) == form(kind)


@pytest.mark.parametrize(
    ("kind", "wrong", "field"),
    [
        ("choice", {"classes": ["cat"]}, "classes"),
        ("choice", {"classes": ["cat", "cat"]}, "classes[1]"),
        ("choice", {"classes": ["cat", 5]}, "classes[1]"),
        ("choice", {"classes": ["cat", "dog"], "colour": 1}, "colour"),
        ("choice", {}, "classes"),
        ("multi-choice", {"classes": ["a"], "min": 2}, "min"),
        ("number", {"min": "1", "max": "1", "tolerance": "0"}, "max"),
        ("number", {"min": "0", "max": "1", "tolerance": "-1"}, "tolerance"),
        ("number", {"min": "0", "max": 0.5, "tolerance": "1"}, "max"),
        ("ranking", {"items": [str(i) for i in range(101)]}, "items"),
        ("text", {"max_length": 0}, "max_length"),
        ("text", {"agreement_bps": 10_001}, "agreement_bps"),
        ("mask", {"width": 65_535, "height": 65_535}, "height"),
        ("keypoints", {"points": ["nose"]}, "radius"),
        ("file", {"media_types": ["png"]}, "media_types[0]"),
        ("dance", {}, "kind"),
        ("choice", None, ""),
    ],
)
def test_wrong_schemas(kind: str, wrong: Any, field: str) -> None:
    with pytest.raises(FieldError) as failure:
        schema.validate_schema(kind, wrong)
    assert failure.value.field == field


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(list(SCHEMAS)), json_values)
def test_junk_never_gets_past_the_error_tree(kind: str, junk: Any) -> None:
    for call in (
        lambda: schema.validate(kind, form(kind), {"value": junk}),
        lambda: schema.validate(kind, form(kind), junk),
        lambda: schema.validate_schema(kind, junk),
        lambda: schema.validate_schema(kind, {**SCHEMAS[kind], next(iter(SCHEMAS[kind])): junk}),
    ):
        try:
            out = call()
        except FieldError:
            continue
        canonical.dumps(out)
