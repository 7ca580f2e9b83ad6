"""Canonical JSON: one byte string a value, so that hashes and signatures mean the same everywhere.

UTF-8, keys sorted by code point, no white space, strings in NFC and escaped as RFC 8785 section 3.2.2.2 says, integers
within ±(2^53 − 1), no floats: a measurement is a decimal string such as ``"0.25"``.
"""

from __future__ import annotations

import json
import unicodedata
from hashlib import sha256
from typing import TypeAlias

from assay.errors import FieldError

Json: TypeAlias = "bool | int | str | list[Json] | tuple[Json, ...] | dict[str, Json] | None"

MAX_INT = 2**53 - 1  # larger ones lose digits in languages whose only number is a double
MAX_DEPTH = 32


def _check(value: object, path: str, depth: int) -> Json:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = value if value.isascii() else unicodedata.normalize("NFC", value)
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            raise FieldError(path, "holds half of a surrogate pair", hint="valid Unicode text")
        return text
    if isinstance(value, int):
        if abs(value) > MAX_INT:
            raise FieldError(path, f"is beyond ±{MAX_INT}", hint="send large numbers as decimal strings")
        return value
    if isinstance(value, float):
        raise FieldError(path, "is a floating-point number", hint='send measurements as decimal strings such as "0.25"')
    if depth >= MAX_DEPTH:
        raise FieldError(path, f"is nested deeper than {MAX_DEPTH}")
    if isinstance(value, list | tuple):
        return [_check(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, dict):
        out: dict[str, Json] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise FieldError(path, f"has a key that is no text: {key!r}")
            name = str(_check(key, path, depth))
            if name in out:
                raise FieldError(path, f"has the key {name!r} twice")
            out[name] = _check(item, f"{path}.{name}" if path else name, depth + 1)
        return out
    raise FieldError(path, f"is a {type(value).__name__}, which JSON does not have")


def normalise(value: object, *, path: str = "") -> Json:
    """`value` with its text in NFC and tuples as lists; `FieldError` names what canonical JSON cannot hold."""
    return _check(value, path, 0)


def dumps(value: object) -> bytes:
    """The canonical bytes of `value`."""
    return json.dumps(normalise(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def digest(value: object) -> bytes:
    """sha256 of the canonical bytes: content hash, label hash, specification hash (32 bytes)."""
    return sha256(dumps(value)).digest()


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise FieldError("", "has a key twice")
    return out


def _no_float(text: str) -> Json:
    raise FieldError("", f"holds the number {text}", hint='send measurements as decimal strings such as "0.25"')


def _int(text: str) -> Json:
    if len(text) > 17:
        raise FieldError("", f"holds a number beyond ±{MAX_INT}", hint="send large numbers as decimal strings")
    return int(text)


def loads(data: bytes | str) -> Json:
    """Parses JSON in any spacing or order of keys into a value that `dumps` takes; refuses floats and doubled keys."""
    try:
        text = data.decode() if isinstance(data, bytes) else data
        value = json.loads(
            text, parse_float=_no_float, parse_int=_int, parse_constant=_no_float, object_pairs_hook=_pairs
        )
    except FieldError:
        raise
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise FieldError("", f"is no JSON: {error}", hint="UTF-8 encoded JSON") from error
    return normalise(value)
