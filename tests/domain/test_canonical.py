"""Canonical JSON: one byte string a value."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.domain import canonical
from assay.errors import FieldError

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-canonical.MAX_INT, canonical.MAX_INT) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


def unique_keys(value: Any) -> bool:
    if isinstance(value, dict):
        keys = {unicodedata.normalize("NFC", key) for key in value}
        return len(keys) == len(value) and all(map(unique_keys, value.values()))
    return all(map(unique_keys, value)) if isinstance(value, list) else True


@given(values.filter(unique_keys))
def test_round_trip(value: Any) -> None:
    data = canonical.dumps(value)
    assert canonical.dumps(canonical.loads(data)) == data
    assert canonical.dumps(canonical.loads(json.dumps(value, indent=3))) == data
    assert canonical.loads(data) == canonical.normalise(value)


def test_bytes() -> None:
    value = {"b": [1, -2, True, None], "a": {"é": "\u00e9", "e\u0301x": '\n\t"\\\u0001\u007f/'}}
    expected = '{"a":{"é":"é","éx":"\\n\\t\\"\\\\\\u0001\x7f/"},"b":[1,-2,true,null]}'
    assert canonical.dumps(value) == expected.encode()


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"a": [1, {"b": 0.5}]}, "a[1].b"),
        ({"a": 2**53}, "a"),
        ({1: "a"}, ""),
        ({"a": b"bytes"}, "a"),
        ({"a": "\ud800"}, "a"),
        ({"e\u0301": 1, "é": 2}, ""),
        ({"a": float("nan")}, "a"),
    ],
)
def test_refused_values(value: Any, field: str) -> None:
    with pytest.raises(FieldError) as failure:
        canonical.dumps(value)
    assert failure.value.field == field


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"1.0",
        b"1e5",
        b"NaN",
        b'{"a":1,"a":2}',
        b"\xff",
        b"9" * 5000,
        b"[" * 100_000,
        b'"\\ud800"',
        b"",
        b"-Infinity",
    ],
)
def test_refused_texts(data: bytes) -> None:
    with pytest.raises(FieldError):
        canonical.loads(data)


def test_depth_is_bounded() -> None:
    value: Any = 1
    for _ in range(40):
        value = [value]
    with pytest.raises(FieldError, match="nested deeper"):
        canonical.dumps(value)
