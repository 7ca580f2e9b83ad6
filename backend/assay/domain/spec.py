"""The specification of a request: what a buyer asks for, checked and in its one canonical form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

from assay.domain import canonical, methods, reputation, schema
from assay.domain.canonical import Json
from assay.errors import FieldError, field

VERSION = 2
VERSIONS = (1, VERSION)
"""Documents of every version parse: requests on chain keep the hash they were posted with."""
MAX_ITEMS = 1_000_000
MAX_OVERLAP = 64
MAX_SCORE = reputation.score(reputation.MEMORY, 0)
"""No score is above it."""
ITEM_TYPES = ("image/png", "image/jpeg", "image/webp", "text/plain; charset=utf-8", "application/json")

Mode = Literal["agreement", "review"]
Pay = Literal["equal", "information"]
MODES: Mapping[str, int] = {"agreement": 0, "review": 1}


@dataclass(frozen=True, slots=True)
class Item:
    """One item to be answered, by the content address of its bytes."""

    cid: str
    media_type: str
    overlap: int


@dataclass(frozen=True, slots=True)
class More:
    """Dynamic overlap (`domain.growth`): a task asks for one more answer at a time while its confidence is below
    `confidence_bps`, up to `most` answers.
    """

    most: int
    confidence_bps: int


@dataclass(frozen=True)
class Spec:
    """A checked specification. `document` is its canonical form, what `spec_hash` on chain is the hash of."""

    version: int
    title: str
    instructions: str
    kind: str
    schema: Mapping[str, Any]
    mode: Mode
    overlap: int
    assignment: Literal["random", "open"]
    items: tuple[Item, ...]
    method: str
    gold_root: bytes | None
    gold_count: int
    lease_seconds: int
    min_score: int
    pay: Pay
    more: More | None
    document: Mapping[str, Json]

    @cached_property
    def hash(self) -> bytes:
        """`spec_hash`: sha256 of the canonical document."""
        return canonical.digest(dict(self.document))

    @property
    def kind_number(self) -> int:
        """The kind on chain."""
        return schema.KINDS[self.kind]

    @property
    def mode_number(self) -> int:
        """The mode on chain."""
        return MODES[self.mode]

    @property
    def learns(self) -> bool:
        """Whether a batch depends on the request's earlier ones: labels by a statistical method, pay by information.

        Whoever makes or checks a batch of such a request needs its `history.History`.
        """
        return self.pay == "information" or (self.mode == "agreement" and self.method != methods.MAJORITY)

    @property
    def weighs(self) -> bool:
        """Whether votes count by reputation: every answer then names its labeler's counters (`domain.weights`)."""
        return self.mode == "agreement" and self.method == methods.WEIGHTED

    @cached_property
    def max_overlap(self) -> int:
        """The most answers that any item can get: the request's `overlap` on chain."""
        return self.more.most if self.more is not None else max(item.overlap for item in self.items)

    @cached_property
    def least_answers(self) -> int:
        """Answers if every item gets its overlap and none asks for more."""
        return sum(item.overlap for item in self.items)

    @cached_property
    def max_answers(self) -> int:
        """Answers if every item gets as many as it can: what the escrow has to hold."""
        return self.least_answers if self.more is None else self.more.most * len(self.items)

    def answer(self, content: object) -> dict[str, Json]:
        """The normal form of an answer's content; `FieldError` names what is wrong."""
        return schema.validate(self.kind, self.schema, content)


def _item(value: object, at: str, overlap: int) -> tuple[Item, dict[str, Json]]:
    one = schema.fields(value, at, needed=["cid", "media_type"], optional=["overlap"])
    cid = schema.cid_text(one["cid"], f"{at}.cid")
    if one["media_type"] not in ITEM_TYPES:
        raise FieldError(f"{at}.media_type", f"is {one['media_type']!r}", hint=f"one of {', '.join(ITEM_TYPES)}")
    document: dict[str, Json] = {"cid": cid, "media_type": one["media_type"]}
    if "overlap" in one:
        overlap = schema.whole(one["overlap"], f"{at}.overlap", low=1, high=MAX_OVERLAP)
        document["overlap"] = overlap
    return Item(cid, str(one["media_type"]), overlap), document


def _method(value: object, *, kind: str, mode: object) -> str:
    """The consensus method's one name ("dawid-skene" and "dawid_skene" are one)."""
    known = methods.names(kind) if mode == "agreement" else (methods.MAJORITY,)
    name = value.replace("-", "_") if isinstance(value, str) else value
    if name not in known:
        raise FieldError("consensus.method", f"is {value!r}", hint=f"one of {', '.join(known)}")
    return str(name)


def _version(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value not in VERSIONS:
        raise FieldError("version", f"is {value!r}", hint=" or ".join(map(str, VERSIONS)))
    return value


def _tells(version: int, *, mode: object, kind: str) -> bool:
    """Whether pay can follow information: by review there are votes, by agreement it takes classes to compare."""
    return mode == "review" or (version > 1 and kind == "choice")


def _default_pay(version: int, *, mode: object, kind: str, gold: bool) -> Pay:
    """By information where gold helps to tell who looks; version 1 had to ask for it."""
    return "information" if version > 1 and gold and _tells(version, mode=mode, kind=kind) else "equal"


def _pay(value: object, *, version: int, mode: object, kind: str) -> Pay:
    """Whether the validation fee (review) is shared, or a right answer (agreement) paid, by information."""
    pay = schema.fields(value, "validation", needed=["pay"])["pay"]
    if pay not in ("equal", "information"):
        raise FieldError("validation.pay", f"is unknown: {pay!r}", hint="equal or information")
    if pay == "information" and not _tells(version, mode=mode, kind=kind):
        what = f"by agreement with the kind {kind}" if version > 1 else "by agreement in version 1"
        hint = "equal: whether a labeler looks shows in how its classes agree with others', which takes the kind choice"
        raise FieldError("validation.pay", f"cannot be information {what}", hint=hint if version > 1 else "equal")
    return cast(Pay, pay)


def _more(value: object, *, mode: object, overlap: int) -> More:
    """How far overlap may grow; `overlap`: the largest of any item."""
    given = schema.fields(value, "more", needed=["most", "confidence_bps"])
    if mode != "agreement":
        raise FieldError("more", "is for the mode agreement", hint="leave it out: in review each record has one answer")
    if overlap >= MAX_OVERLAP:
        raise FieldError("more", "cannot be where an item has the largest overlap already", hint="a smaller overlap")
    most = schema.whole(given["most"], "more.most", low=overlap + 1, high=MAX_OVERLAP)
    return More(most, schema.whole(given["confidence_bps"], "more.confidence_bps", low=1, high=10_000))


def parse(value: object) -> Spec:
    """Checks a specification and fills its defaults in. Raises `FieldError` naming the first field that is wrong."""
    given = schema.fields(
        value,
        "",
        needed=["title", "instructions", "kind", "schema", "mode", "items"],
        optional=["version", "overlap", "assignment", "consensus", "gold", "limits", "validation", "more"],
    )
    version = _version(given.get("version", VERSION))
    title = schema.text(given["title"], "title")
    instructions = schema.text(given["instructions"], "instructions", low=0, high=20_000)
    kind = given["kind"]
    if not isinstance(kind, str) or kind not in schema.KINDS:
        raise FieldError("kind", f"is unknown: {kind!r}", hint=f"one of {', '.join(schema.KINDS)}")
    with field("schema"):
        form = schema.validate_schema(kind, given["schema"])
    mode = given["mode"]
    if mode not in MODES:
        raise FieldError("mode", f"is unknown: {mode!r}", hint="agreement or review")
    if kind == "file" and mode == "agreement":
        raise FieldError("mode", "cannot be agreement for files", hint="review: files are judged by validators")
    overlap = schema.whole(given.get("overlap", 3 if mode == "agreement" else 1), "overlap", low=1, high=MAX_OVERLAP)
    assignment = given.get("assignment", "random")
    if assignment not in ("random", "open"):
        raise FieldError("assignment", f"is unknown: {assignment!r}", hint="random or open")
    items = [
        _item(one, f"items[{i}]", overlap)
        for i, one in enumerate(schema.sequence(given["items"], "items", low=1, high=MAX_ITEMS))
    ]
    consensus = schema.fields(given.get("consensus", {"method": "majority"}), "consensus", needed=["method"])
    method = _method(consensus["method"], kind=kind, mode=mode)
    gold_root, gold_count = None, 0
    gold: dict[str, Json] | None = None
    if given.get("gold") is not None:
        gold = schema.fields(given["gold"], "gold", needed=["root", "count"])
        gold_root = schema_root(gold["root"])
        gold_count = schema.whole(gold["count"], "gold.count", low=1, high=len(items))
    limits = schema.fields(given.get("limits", {}), "limits", needed=[], optional=["lease_seconds", "min_score_bps"])
    lease = schema.whole(limits.get("lease_seconds", 600), "limits.lease_seconds", low=5, high=7 * 24 * 3600)
    min_score = 0
    if "min_score_bps" in limits:
        min_score = schema.whole(limits["min_score_bps"], "limits.min_score_bps", low=1, high=MAX_SCORE)
    default = {"pay": _default_pay(version, mode=mode, kind=kind, gold=gold is not None)}
    pay = _pay(given.get("validation", default), version=version, mode=mode, kind=kind)
    more = None
    if given.get("more") is not None:
        more = _more(given["more"], mode=mode, overlap=max(item.overlap for item, _ in items))
    document: dict[str, Json] = {
        "version": version,
        "title": title,
        "instructions": instructions,
        "kind": kind,
        "schema": form,
        "mode": mode,
        "overlap": overlap,
        "assignment": assignment,
        "items": [document for _, document in items],
        "consensus": {"method": method},
        "gold": gold,
        "limits": {"lease_seconds": lease, **({"min_score_bps": min_score} if min_score else {})},
    }
    if version > 1 or pay != "equal":  # version 1 leaves it out where it is equal
        document["validation"] = {"pay": pay}
    if more is not None:
        document["more"] = {"most": more.most, "confidence_bps": more.confidence_bps}
    return Spec(
        version=version,
        title=title,
        instructions=instructions,
        kind=kind,
        schema=form,
        mode=cast(Mode, mode),
        overlap=overlap,
        assignment=cast(Literal["random", "open"], assignment),
        items=tuple(item for item, _ in items),
        method=method,
        gold_root=gold_root,
        gold_count=gold_count,
        lease_seconds=lease,
        min_score=min_score,
        pay=pay,
        more=more,
        document=document,
    )


def schema_root(value: object) -> bytes:
    """The root over the gold labels, from 64 hexadecimal digits."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise FieldError("gold.root", f"is {value!r}", hint="64 lower-case hexadecimal digits")
    return bytes.fromhex(value)
