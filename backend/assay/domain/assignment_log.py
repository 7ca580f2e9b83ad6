"""The published log of hand-outs: one JSON Lines file a request, each line with the sha256 of the line before.

The first line is the header; each further one a change of who may get what: a hand-out, leases that ended without an
answer, a task that wants more answers, owners that were learned. Every line is canonical JSON (docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, TypeAlias

from assay.domain import canonical
from assay.domain.assignment import CIRCLE
from assay.domain.canonical import MAX_INT, Json
from assay.domain.messages import b58, unb58, unhex
from assay.domain.schema import fields, sequence, whole
from assay.errors import FieldError, field

VERSION = 1
U32 = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Header:
    """The first line. `free` and `share` (percent of answers): what a wallet may give back without answering."""

    program: bytes
    request: bytes
    domain: bytes
    free: int
    share: int


@dataclass(frozen=True, slots=True)
class HandOut:
    """The `n`-th hand-out of a wallet: up to `asked` tasks (indices) from `start` on. `point`: the owners it knew."""

    line: int
    at: int
    wallet: bytes
    walk: int
    n: int
    start: int
    asked: int
    point: int
    tasks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """Leases that ended without an answer: (line of the hand-out, task index) each."""

    line: int
    at: int
    how: Literal["skipped", "lapsed"]
    leases: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class More:
    """A task wants `more` answers than before (less, where negative)."""

    line: int
    at: int
    task: int
    more: int


@dataclass(frozen=True, slots=True)
class Owners:
    """What was learned from the first `point` records by rule `rule`: groups of wallets, each from now on one owner."""

    line: int
    at: int
    point: int
    rule: int
    groups: tuple[tuple[bytes, ...], ...]


Entry: TypeAlias = Header | HandOut | Ended | More | Owners


def encode_header(header: Header) -> bytes:
    """The first line, without a line feed: what the next line's `previous` is the sha256 of."""
    return canonical.dumps(
        {
            "type": "assignment",
            "version": VERSION,
            "program": b58(header.program),
            "request": b58(header.request),
            "domain": header.domain.hex(),
            "skips": {"free": header.free, "share": header.share},
        }
    )


def encode_groups(groups: Iterable[Sequence[bytes]]) -> bytes:
    """Groups of wallets as JSON, as they stand in a line."""
    return canonical.dumps([[b58(wallet) for wallet in group] for group in groups])


def decode(line: bytes, *, number: int, previous: bytes) -> Entry:
    """Line `number` (from 0), without its line feed. Raises `FieldError` for what is none, or not the next one."""
    value = canonical.loads(line)
    if canonical.dumps(value) != line:
        raise FieldError("", "is not in its canonical form")
    if number == 0:
        return _header(value)
    kind = str(value.get("type")) if isinstance(value, dict) else ""
    if kind not in _DECODERS:
        raise FieldError("type", f"is {kind!r}", hint=f"one of {', '.join(_DECODERS)}")
    needed, build = _DECODERS[kind]
    one = fields(value, "", needed=["type", "at", "line", "previous", *needed])
    if unhex(str(one["previous"]), field="previous") != previous:
        raise FieldError("previous", f"is not the sha256 of line {number - 1}")
    if _count(one["line"], "line") != number:
        raise FieldError("line", f"is {one['line']}", hint=f"{number}")
    return build(number, _count(one["at"], "at", high=MAX_INT), one)


def _count(value: Json, at: str, *, low: int = 0, high: int = MAX_INT) -> int:
    return whole(value, at, low=low, high=high)


def _header(value: Json) -> Header:
    one = fields(value, "", needed=["type", "version", "program", "request", "domain", "skips"])
    if (one["type"], one["version"]) != ("assignment", VERSION):
        raise FieldError("type", "is not that of a hand-out log of this version", hint=f'"assignment", {VERSION}')
    skips = fields(one["skips"], "skips", needed=["free", "share"])
    return Header(
        program=unb58(str(one["program"]), field="program"),
        request=unb58(str(one["request"]), field="request"),
        domain=unhex(str(one["domain"]), field="domain"),
        free=_count(skips["free"], "skips.free", high=U32),
        share=_count(skips["share"], "skips.share", high=100),
    )


def _hand_out(line: int, at: int, one: dict[str, Json]) -> HandOut:
    tasks = sequence(one["tasks"], "tasks", low=1, high=U32)
    return HandOut(
        line=line,
        at=at,
        wallet=unb58(str(one["wallet"]), field="wallet"),
        walk=_count(one["walk"], "walk", low=1, high=U32),
        n=_count(one["n"], "n", low=1, high=U32),
        start=_count(one["start"], "start", high=CIRCLE - 1),
        asked=_count(one["asked"], "asked", low=len(tasks), high=U32),
        point=_count(one["point"], "point", high=U32),
        tasks=tuple(_count(index, f"tasks[{i}]", high=U32) for i, index in enumerate(tasks)),
    )


def _ended(line: int, at: int, one: dict[str, Json]) -> Ended:
    leases = []
    for i, pair in enumerate(sequence(one["leases"], "leases", low=1, high=U32)):
        of, index = sequence(pair, f"leases[{i}]", low=2, high=2)
        leases.append((_count(of, f"leases[{i}][0]", low=1), _count(index, f"leases[{i}][1]", high=U32)))
    return Ended(line, at, "skipped" if one["type"] == "skipped" else "lapsed", tuple(leases))


def _more(line: int, at: int, one: dict[str, Json]) -> More:
    return More(line, at, _count(one["task"], "task", high=U32), _count(one["more"], "more", low=-U32, high=U32))


def _owners(line: int, at: int, one: dict[str, Json]) -> Owners:
    groups = tuple(
        tuple(
            unb58(str(wallet), field=f"groups[{i}][{j}]")
            for j, wallet in enumerate(sequence(group, f"groups[{i}]", low=2, high=U32))
        )
        for i, group in enumerate(sequence(one["groups"], "groups", low=0, high=U32))
    )
    point = _count(one["point"], "point", low=1, high=U32)
    return Owners(line, at, point, _count(one["rule"], "rule", high=U32), groups)


_DECODERS: dict[str, tuple[list[str], Callable[[int, int, dict[str, Json]], Entry]]] = {
    "handout": (["wallet", "walk", "n", "start", "asked", "point", "tasks"], _hand_out),
    "skipped": (["leases"], _ended),
    "lapsed": (["leases"], _ended),
    "more": (["task", "more"], _more),
    "owners": (["point", "rule", "groups"], _owners),
}


def read(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The header, then each line. A last line without line feed is one being written when the reader came: left out.

    Raises `FieldError` whose field starts with the line's number, the header being 0 (``line 3.previous``).
    """
    previous = b""
    for number, raw in enumerate(lines):
        if not raw.endswith(b"\n"):
            return
        with field(f"line {number}"):
            yield decode(raw[:-1], number=number, previous=previous)
        previous = sha256(raw[:-1]).digest()
