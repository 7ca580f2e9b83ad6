"""Specifications: one canonical form, bounds, and clear words."""

from __future__ import annotations

from typing import Any

import pytest

from assay.domain import canonical, spec
from assay.errors import FieldError

CID = "bafkrei" + "a" * 52
ITEM = {"cid": CID, "media_type": "image/png"}
GOOD: dict[str, Any] = {
    "title": "Animals",
    "instructions": "Which?",
    "kind": "choice",
    "schema": {"classes": ["cat", "dog"]},
    "mode": "agreement",
    "overlap": 3,
    "items": [ITEM, {**ITEM, "overlap": 7}],
}


def test_defaults_and_the_canonical_form() -> None:
    parsed = spec.parse(GOOD)
    assert (parsed.kind_number, parsed.mode_number, parsed.max_overlap, parsed.max_answers) == (0, 0, 7, 10)
    assert (parsed.method, parsed.assignment, parsed.lease_seconds) == ("majority", "random", 600)
    again = spec.parse(canonical.loads(canonical.dumps(parsed.document)))
    assert again.hash == parsed.hash == canonical.digest(parsed.document)
    assert again.document == parsed.document
    assert spec.parse(GOOD | {"consensus": {"method": "weighted"}}).method == "weighted"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": None}, "title"),
        ({"kind": "dance"}, "kind"),
        ({"kind": ["choice"]}, "kind"),
        ({"schema": {"classes": ["cat"]}}, "schema.classes"),
        ({"schema": {"classes": ["cat", ""]}}, "schema.classes[1]"),
        ({"schema": 5}, "schema"),
        ({"mode": "vote"}, "mode"),
        ({"overlap": 65}, "overlap"),
        ({"overlap": True}, "overlap"),
        ({"items": []}, "items"),
        ({"items": [ITEM, {**ITEM, "cid": "x"}]}, "items[1].cid"),
        ({"items": [{**ITEM, "media_type": "text/html"}]}, "items[0].media_type"),
        ({"items": [{**ITEM, "overlap": 0}]}, "items[0].overlap"),
        ({"consensus": {"method": "oracle"}}, "consensus.method"),
        ({"consensus": {}}, "consensus.method"),
        ({"gold": {"root": "00", "count": 1}}, "gold.root"),
        ({"gold": {"root": "0" * 64, "count": 3}}, "gold.count"),
        ({"limits": {"lease_seconds": 1}}, "limits.lease_seconds"),
        ({"limits": {"min_score_bps": 0}}, "limits.min_score_bps"),
        ({"limits": {"min_score_bps": 9941}}, "limits.min_score_bps"),
        ({"limits": {"min_score_bps": "8500"}}, "limits.min_score_bps"),
        ({"limits": {"speed": 1}}, "limits.speed"),
        ({"assignment": "mine"}, "assignment"),
        ({"version": 3}, "version"),
        ({"version": True}, "version"),
        ({"version": 2.0}, "version"),
        ({"version": "2"}, "version"),
        ({"colour": "red"}, "colour"),
        ({"kind": "file", "schema": {"media_types": ["image/png"]}}, "mode"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldError) as failure:
        spec.parse(GOOD | change)
    assert failure.value.field == field


def test_overlap_that_grows() -> None:
    """The most counts on chain and for the escrow; a request without it keeps its hash."""
    parsed = spec.parse(GOOD | {"more": {"most": 9, "confidence_bps": 9000}})
    assert parsed.more == spec.More(9, 9000)
    assert (parsed.max_overlap, parsed.least_answers, parsed.max_answers) == (9, 10, 18)
    assert parsed.document["more"] == {"most": 9, "confidence_bps": 9000}
    assert spec.parse(parsed.document).hash == parsed.hash
    plain = spec.parse(GOOD)
    assert plain.more is None
    assert "more" not in plain.document
    assert spec.parse(GOOD | {"more": None}).hash == plain.hash


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"most": 7}, "more.most"),  # an item's own overlap is 7
        ({"most": 65}, "more.most"),
        ({"most": "9"}, "more.most"),
        ({"confidence_bps": 0}, "more.confidence_bps"),
        ({"confidence_bps": 10_001}, "more.confidence_bps"),
        ({"confidence_bps": None}, "more.confidence_bps"),
        ({"least": 1}, "more.least"),
    ],
)
def test_what_is_wrong_with_growth_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldError) as failure:
        spec.parse(GOOD | {"more": {"most": 9, "confidence_bps": 9000} | change})
    assert failure.value.field == field


def test_growth_is_for_agreement_and_for_what_can_grow() -> None:
    more = {"more": {"most": 64, "confidence_bps": 9000}}
    for change in ({"mode": "review", "overlap": 1}, {"overlap": 64}):
        with pytest.raises(FieldError) as failure:
            spec.parse(GOOD | more | change)
        assert failure.value.field == "more"


@pytest.mark.parametrize("name", ["title", "instructions", "kind", "schema", "mode", "items"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(FieldError, match="is missing") as failure:
        spec.parse({key: value for key, value in GOOD.items() if key != name})
    assert failure.value.field == name


GOLD = {"gold": {"root": "0" * 64, "count": 1}}
OLD: dict[str, Any] = GOOD | {"version": 1}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "8b25eeb9b3c0358c"),
        (GOLD, "cc56454629d76c80"),
        ({"mode": "review", "overlap": 1}, "1633cd868768e096"),
        ({"mode": "review", "overlap": 1, **GOLD}, "7ddd2da1d9a68220"),
        ({"mode": "review", "overlap": 1, "validation": {"pay": "equal"}}, "1633cd868768e096"),
        ({"mode": "review", "overlap": 1, "validation": {"pay": "information"}}, "de5e1896de3764d4"),
    ],
)
def test_version_1_keeps_its_hashes(changes: dict[str, Any], expected: str) -> None:
    """The hashes are those that the parser of version 1 gave: they stand on chain."""
    parsed = spec.parse(OLD | changes)
    assert parsed.hash.hex().startswith(expected)
    assert parsed.pay == changes.get("validation", {"pay": "equal"})["pay"]
    assert ("validation" in parsed.document) is (parsed.pay == "information")
    assert spec.parse(parsed.document).hash == parsed.hash


@pytest.mark.parametrize(
    ("changes", "pay"),
    [
        ({}, "equal"),
        (GOLD, "information"),
        ({**GOLD, "validation": {"pay": "equal"}}, "equal"),
        ({"validation": {"pay": "information"}}, "information"),
        ({**GOLD, "kind": "text", "schema": {}}, "equal"),
        ({**GOLD, "kind": "text", "schema": {}, "mode": "review"}, "information"),
        ({"mode": "review"}, "equal"),
        ({"mode": "review", **GOLD}, "information"),
        ({"mode": "review", **GOLD, "validation": {"pay": "equal"}}, "equal"),
        ({"mode": "review", "validation": {"pay": "information"}}, "information"),
    ],
)
def test_version_2_says_how_it_pays(changes: dict[str, Any], pay: str) -> None:
    parsed = spec.parse(GOOD | changes)
    assert parsed.document["version"] == 2
    assert parsed.document["validation"] == {"pay": pay}
    assert parsed.pay == pay
    assert parsed.learns is (pay == "information")
    assert spec.parse(GOOD | changes | {"version": 2}).hash == parsed.hash


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kind": "text", "schema": {}}, "by agreement with the kind text.*takes the kind choice"),
        ({"kind": "multi-choice"}, "by agreement with the kind multi-choice"),
        ({"version": 1}, "by agreement in version 1"),
        ({"version": 1, **GOLD}, "by agreement in version 1"),
    ],
)
def test_pay_by_information_needs_something_to_compare(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(FieldError, match=why) as failure:
        spec.parse(GOOD | changes | {"validation": {"pay": "information"}})
    assert failure.value.field == "validation.pay"


def test_a_score_that_is_asked_for_stands_in_the_document_and_none_does_not() -> None:
    asked = spec.parse(GOOD | {"limits": {"lease_seconds": 60, "min_score_bps": 8500}})
    assert (asked.min_score, asked.document["limits"]) == (8500, {"lease_seconds": 60, "min_score_bps": 8500})
    assert spec.parse(dict(asked.document)).hash == asked.hash
    none = spec.parse(GOOD)
    assert none.min_score == 0
    assert "min_score_bps" not in none.document["limits"]
