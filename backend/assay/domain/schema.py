"""Answer schemas: what an answer to each kind of request looks like, and its one normal form.

An answer's content is `{"value": ...}`, by kind:

    choice        "cat"                                               one of schema.classes
    multi-choice  ["cat", "dog"]                                      some of schema.classes, in their order
    number        "3.5"                                               decimal string within schema.min and schema.max
    ranking       ["b", "a", "c"]                                     all of schema.items, best first
    text          "some words"                                        at most schema.max_length characters
    boxes         [{"class", "x", "y", "width", "height"}]            whole pixels inside schema.width and schema.height
    mask          {"width", "height", "runs"}                         row-major run lengths, background first
    keypoints     {"nose": {"x", "y"}, "tail": null}                  every one of schema.points; null: not visible
    file          {"cid", "media_type", "size"}                       content in the store, of an allowed type

Equal answers have equal canonical bytes, so equal content hashes; a record's label has the same form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from assay.domain.canonical import Json
from assay.errors import FieldError

KINDS: Mapping[str, int] = {
    "choice": 0,
    "multi-choice": 1,
    "number": 2,
    "ranking": 3,
    "text": 4,
    "boxes": 5,
    "mask": 6,
    "keypoints": 7,
    "file": 7,
}
"""Kinds and their numbers on chain (7: other)."""

MAX_CLASSES = 1000
MAX_PIXELS = 2**24
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?")


def number(value: object, field: str) -> Decimal:
    """A decimal string of at most 18 digits either side of the point. No floats, no exponents."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise FieldError(field, f"is no number: {_short(value)}", hint='a decimal string such as "-3.5"')
    return Decimal(value)


def number_text(value: Decimal) -> str:
    """The one way to write a number: no trailing zeros, no "-0"."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def text(value: object, field: str, *, low: int = 1, high: int = 200) -> str:
    """Text in NFC of `low` to `high` characters, without control characters except line feeds and tabs."""
    if not isinstance(value, str):
        raise FieldError(field, f"is no text: {_short(value)}")
    value = unicodedata.normalize("NFC", value)
    if not low <= len(value) <= high:
        raise FieldError(field, f"has {len(value)} characters", hint=f"{low} to {high}")
    if any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t" for char in value):
        raise FieldError(field, "has control characters")
    return value


def whole(value: object, field: str, *, low: int, high: int) -> int:
    """An integer from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise FieldError(field, f"is {_short(value)}", hint=f"a whole number from {low} to {high}")
    return value


def fields(value: object, field: str, *, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Json]:
    """An object with exactly these fields."""
    if not isinstance(value, dict):
        raise FieldError(field, f"is {_short(value)}", hint="an object")
    for name in needed:
        if name not in value:
            raise FieldError(f"{field}.{name}" if field else name, "is missing")
    for name in value:
        if name not in needed and name not in optional:
            known = ", ".join((*needed, *optional))
            raise FieldError(f"{field}.{name}" if field else str(name), "is unknown", hint=f"one of {known}")
    return value


def sequence(value: object, field: str, *, low: int, high: int) -> list[Json]:
    """A list of `low` to `high` items."""
    if not isinstance(value, list | tuple) or not low <= len(value) <= high:
        size = len(value) if isinstance(value, list | tuple) else _short(value)
        raise FieldError(
            field, f"has {size} items" if isinstance(size, int) else f"is {size}", hint=f"a list of {low} to {high}"
        )
    return list(value)


def _names(value: object, field: str, *, low: int) -> list[Json]:
    names = [text(one, f"{field}[{i}]") for i, one in enumerate(sequence(value, field, low=low, high=MAX_CLASSES))]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise FieldError(f"{field}[{i}]", f"is there twice: {name!r}")
    return cast(list[Json], names)


def _threshold(schema: dict[str, Json], default: int) -> int:
    return whole(schema.get("agreement_bps", default), "agreement_bps", low=1, high=10_000)


# --- schemas: what a buyer may ask; each returns the schema with its defaults filled in -------------------------------


def _schema_choice(schema: dict[str, Json]) -> dict[str, Json]:
    fields(schema, "", needed=["classes"])
    return {"classes": _names(schema["classes"], "classes", low=2)}


def _schema_multi(schema: dict[str, Json]) -> dict[str, Json]:
    fields(schema, "", needed=["classes"], optional=["min", "max", "agreement_bps"])
    classes = _names(schema["classes"], "classes", low=1)
    low = whole(schema.get("min", 0), "min", low=0, high=len(classes))
    high = whole(schema.get("max", len(classes)), "max", low=max(low, 1), high=len(classes))
    return {"classes": classes, "min": low, "max": high, "agreement_bps": _threshold(schema, 10_000)}


def _schema_number(schema: dict[str, Json]) -> dict[str, Json]:
    fields(schema, "", needed=["min", "max", "tolerance"], optional=["decimals", "unit"])
    low, high = number(schema["min"], "min"), number(schema["max"], "max")
    if low >= high:
        raise FieldError("max", f"is not above min ({number_text(low)})")
    tolerance = number(schema["tolerance"], "tolerance")
    if tolerance < 0:
        raise FieldError("tolerance", "is negative", hint="how far from the consensus an accepted answer may lie")
    out: dict[str, Json] = {
        "min": number_text(low),
        "max": number_text(high),
        "tolerance": number_text(tolerance),
        "decimals": whole(schema.get("decimals", 6), "decimals", low=0, high=18),
    }
    if "unit" in schema:
        out["unit"] = text(schema["unit"], "unit", high=32)
    return out


def _schema_ranking(schema: dict[str, Json]) -> dict[str, Json]:
    fields(schema, "", needed=["items"], optional=["agreement_bps"])
    items = _names(schema["items"], "items", low=2)
    if len(items) > 100:
        raise FieldError("items", f"has {len(items)} items", hint="at most 100 can be ranked")
    return {"items": items, "agreement_bps": _threshold(schema, 8000)}


def _schema_text(schema: dict[str, Json]) -> dict[str, Json]:
    fields(schema, "", needed=[], optional=["max_length", "agreement_bps"])
    return {
        "max_length": whole(schema.get("max_length", 2000), "max_length", low=1, high=10_000),
        "agreement_bps": _threshold(schema, 8000),
    }


def _schema_boxes(schema: dict[str, Json]) -> dict[str, Json]:
    fields(schema, "", needed=["classes"], optional=["max_boxes", "width", "height", "agreement_bps"])
    return {
        "classes": _names(schema["classes"], "classes", low=1),
        "max_boxes": whole(schema.get("max_boxes", 50), "max_boxes", low=1, high=500),
        "width": whole(schema.get("width", 65_535), "width", low=1, high=65_535),
        "height": whole(schema.get("height", 65_535), "height", low=1, high=65_535),
        "agreement_bps": _threshold(schema, 5000),
    }


def _schema_mask(schema: dict[str, Json]) -> dict[str, Json]:
    fields(schema, "", needed=["width", "height"], optional=["agreement_bps"])
    width = whole(schema["width"], "width", low=1, high=65_535)
    height = whole(schema["height"], "height", low=1, high=65_535)
    if width * height > MAX_PIXELS:
        raise FieldError("height", f"makes {width * height} pixels", hint=f"at most {MAX_PIXELS}")
    return {"width": width, "height": height, "agreement_bps": _threshold(schema, 7000)}


def _schema_keypoints(schema: dict[str, Json]) -> dict[str, Json]:
    fields(schema, "", needed=["points", "radius"], optional=["width", "height", "agreement_bps"])
    return {
        "points": _names(schema["points"], "points", low=1),
        "radius": whole(schema["radius"], "radius", low=0, high=65_535),
        "width": whole(schema.get("width", 65_535), "width", low=1, high=65_535),
        "height": whole(schema.get("height", 65_535), "height", low=1, high=65_535),
        "agreement_bps": _threshold(schema, 8000),
    }


def _schema_file(schema: dict[str, Json]) -> dict[str, Json]:
    fields(schema, "", needed=["media_types"], optional=["max_bytes"])
    types = _names(schema["media_types"], "media_types", low=1)
    for i, one in enumerate(types):
        if not re.fullmatch(r"[a-z]+/[a-z0-9.+-]+(; charset=utf-8)?", str(one)):
            raise FieldError(f"media_types[{i}]", f"is no media type: {one!r}", hint='such as "image/png"')
    return {
        "media_types": types,
        "max_bytes": whole(schema.get("max_bytes", 16 * 2**20), "max_bytes", low=1, high=2**30),
    }


# --- answers: each returns the value's normal form ------------------------------------------------------------------


def _one_of(value: object, field: str, names: list[Any]) -> str:
    if not isinstance(value, str) or (value := unicodedata.normalize("NFC", value)) not in names:
        shown = ", ".join(map(str, names[:10])) + (", …" if len(names) > 10 else "")
        raise FieldError(field, f"is {_short(value)}", hint=f"one of {shown}")
    return value


def _choice(value: object, schema: Mapping[str, Any]) -> Json:
    return _one_of(value, "value", schema["classes"])


def _multi(value: object, schema: Mapping[str, Any]) -> Json:
    classes = schema["classes"]
    chosen = sequence(value, "value", low=schema["min"], high=schema["max"])
    names = [_one_of(one, f"value[{i}]", classes) for i, one in enumerate(chosen)]
    if len(set(names)) != len(names):
        raise FieldError("value", "names a class twice")
    return cast(Json, sorted(names, key=classes.index))


def _number(value: object, schema: Mapping[str, Any]) -> Json:
    parsed = number(value, "value")
    if not Decimal(schema["min"]) <= parsed <= Decimal(schema["max"]):
        raise FieldError("value", f"is {number_text(parsed)}", hint=f"from {schema['min']} to {schema['max']}")
    out = number_text(parsed)
    if len(out.partition(".")[2]) > schema["decimals"]:
        raise FieldError("value", f"has more than {schema['decimals']} decimals")
    return out


def _ranking(value: object, schema: Mapping[str, Any]) -> Json:
    items = schema["items"]
    ranked = sequence(value, "value", low=len(items), high=len(items))
    names = [_one_of(one, f"value[{i}]", items) for i, one in enumerate(ranked)]
    if len(set(names)) != len(names):
        raise FieldError("value", "ranks an item twice", hint=f"each of the {len(items)} items once")
    return cast(Json, names)


def _text(value: object, schema: Mapping[str, Any]) -> Json:
    out = text(value, "value", low=0, high=schema["max_length"])
    return "\n".join(line.rstrip() for line in out.strip().split("\n"))


def _boxes(value: object, schema: Mapping[str, Any]) -> Json:
    out = []
    for i, box in enumerate(sequence(value, "value", low=0, high=schema["max_boxes"])):
        at = f"value[{i}]"
        one = fields(box, at, needed=["class", "x", "y", "width", "height"])
        x = whole(one["x"], f"{at}.x", low=0, high=schema["width"] - 1)
        y = whole(one["y"], f"{at}.y", low=0, high=schema["height"] - 1)
        width = whole(one["width"], f"{at}.width", low=1, high=schema["width"] - x)
        height = whole(one["height"], f"{at}.height", low=1, high=schema["height"] - y)
        name = _one_of(one["class"], f"{at}.class", schema["classes"])
        out.append({"class": name, "x": x, "y": y, "width": width, "height": height})
    out.sort(key=lambda box: (box["y"], box["x"], box["height"], box["width"], box["class"]))
    return cast(Json, out)


def _mask(value: object, schema: Mapping[str, Any]) -> Json:
    one = fields(value, "value", needed=["width", "height", "runs"])
    for name in ("width", "height"):
        if one[name] != schema[name] or isinstance(one[name], bool):
            raise FieldError(f"value.{name}", f"is {_short(one[name])}", hint=f"{schema[name]}, as the schema says")
    size = schema["width"] * schema["height"]
    runs = [
        whole(run, f"value.runs[{i}]", low=0 if i == 0 else 1, high=size)
        for i, run in enumerate(sequence(one["runs"], "value.runs", low=1, high=size + 1))
    ]
    if sum(runs) != size:
        raise FieldError("value.runs", f"cover {sum(runs)} pixels", hint=f"run lengths that add up to {size}")
    return {"width": schema["width"], "height": schema["height"], "runs": cast(Json, runs)}


def _keypoints(value: object, schema: Mapping[str, Any]) -> Json:
    given = fields(value, "value", needed=schema["points"])
    out: dict[str, Json] = {}
    for name in schema["points"]:
        point = given[name]
        if point is None:
            out[name] = None
            continue
        one = fields(point, f"value.{name}", needed=["x", "y"])
        out[name] = {
            "x": whole(one["x"], f"value.{name}.x", low=0, high=schema["width"] - 1),
            "y": whole(one["y"], f"value.{name}.y", low=0, high=schema["height"] - 1),
        }
    return out


def _file(value: object, schema: Mapping[str, Any]) -> Json:
    one = fields(value, "value", needed=["cid", "media_type", "size"])
    return {
        "cid": cid_text(one["cid"], "value.cid"),
        "media_type": _one_of(one["media_type"], "value.media_type", schema["media_types"]),
        "size": whole(one["size"], "value.size", low=1, high=schema["max_bytes"]),
    }


def cid_text(value: object, field: str) -> str:
    """A CIDv1 in base32 with a sha2-256 digest, raw (bafkrei…) or dag-pb (bafybei…)."""
    if not isinstance(value, str) or not re.fullmatch(r"ba(fkrei|fybei)[a-z2-7]{52}", value):
        raise FieldError(
            field, f"is no content address: {_short(value)}", hint="a CIDv1 such as bafkrei… (59 characters)"
        )
    return value


_SCHEMAS: Mapping[str, Callable[[dict[str, Json]], dict[str, Json]]] = {
    "choice": _schema_choice,
    "multi-choice": _schema_multi,
    "number": _schema_number,
    "ranking": _schema_ranking,
    "text": _schema_text,
    "boxes": _schema_boxes,
    "mask": _schema_mask,
    "keypoints": _schema_keypoints,
    "file": _schema_file,
}
_ANSWERS: Mapping[str, Callable[[object, Mapping[str, Any]], Json]] = {
    "choice": _choice,
    "multi-choice": _multi,
    "number": _number,
    "ranking": _ranking,
    "text": _text,
    "boxes": _boxes,
    "mask": _mask,
    "keypoints": _keypoints,
    "file": _file,
}


def validate_schema(kind: str, schema: object) -> dict[str, Json]:
    """The schema with its defaults filled in. Raises `FieldError`, its field relative to the schema."""
    if kind not in _SCHEMAS:
        raise FieldError("kind", f"is unknown: {_short(kind)}", hint=f"one of {', '.join(KINDS)}")
    if not isinstance(schema, dict):
        raise FieldError("", f"is {_short(schema)}", hint="an object")
    return _SCHEMAS[kind](schema)


def validate(kind: str, schema: Mapping[str, Json], content: object) -> dict[str, Json]:
    """The normal form of an answer's content. Raises `FieldError`, such as `value[2].width: is 0`."""
    given = fields(content, "", needed=["value"])
    return {"value": _ANSWERS[kind](given["value"], schema)}
