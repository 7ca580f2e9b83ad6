"""How alike two answers are: basis points, in exact arithmetic, so that every validator finds the same number.

choice        equal or not
multi-choice  Jaccard index of the two sets
number        1 − |a − b| / (2 · tolerance), at least 0: half at the tolerance
ranking       (Kendall's τ + 1) / 2: the share of pairs in the same order
text          1 − Levenshtein distance / longer length, after case folding and squeezing of white space
boxes         mean IoU of a greedy one-to-one matching within classes, unmatched boxes counting 0
mask          IoU of the foregrounds
keypoints     share of points within the radius of each other (or absent in both)
file          same content or not
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from assay.consensus.text import edit_distance

BPS = 10_000


def _equal(a: Any, b: Any, schema: Mapping[str, Any]) -> Fraction:
    return Fraction(a == b)


def _jaccard(a: Sequence[str], b: Sequence[str], schema: Mapping[str, Any]) -> Fraction:
    first, second = set(a), set(b)
    union = first | second
    return Fraction(len(first & second), len(union)) if union else Fraction(1)


def _number(a: str, b: str, schema: Mapping[str, Any]) -> Fraction:
    distance, tolerance = abs(Fraction(Decimal(a)) - Fraction(Decimal(b))), Fraction(Decimal(schema["tolerance"]))
    if tolerance == 0:
        return Fraction(distance == 0)
    return max(Fraction(0), 1 - distance / (2 * tolerance))


def _ranking(a: Sequence[str], b: Sequence[str], schema: Mapping[str, Any]) -> Fraction:
    place = {name: i for i, name in enumerate(b)}
    order = [place[name] for name in a]
    pairs = len(order) * (len(order) - 1) // 2
    same = sum(order[i] < order[j] for i in range(len(order)) for j in range(i + 1, len(order)))
    return Fraction(same, pairs) if pairs else Fraction(1)


def folded(text: str) -> str:
    """A text as texts are compared: without case, white space squeezed."""
    return " ".join(text.casefold().split())


def _text(a: str, b: str, schema: Mapping[str, Any]) -> Fraction:
    first, second = folded(a), folded(b)
    longer = max(len(first), len(second))
    return 1 - Fraction(edit_distance(first, second), longer) if longer else Fraction(1)


def box_iou(a: Mapping[str, Any], b: Mapping[str, Any]) -> Fraction:
    """Intersection over union of two boxes."""
    width = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
    height = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
    if width <= 0 or height <= 0:
        return Fraction(0)
    common = width * height
    return Fraction(common, a["width"] * a["height"] + b["width"] * b["height"] - common)


def _boxes(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> Fraction:
    pairs = sorted(
        (
            (-box_iou(one, two), i, j)
            for i, one in enumerate(a)
            for j, two in enumerate(b)
            if one["class"] == two["class"]
        ),
    )
    left, right, total = set(range(len(a))), set(range(len(b))), Fraction(0)
    for negative, i, j in pairs:
        if negative and i in left and j in right:
            left.remove(i)
            right.remove(j)
            total -= negative
    size = max(len(a), len(b))
    return total / size if size else Fraction(1)


def _spans(runs: Sequence[int]) -> list[tuple[int, int]]:
    spans, at = [], 0
    for i, run in enumerate(runs):
        if i & 1:
            spans.append((at, at + run))
        at += run
    return spans


def _mask(a: Mapping[str, Any], b: Mapping[str, Any], schema: Mapping[str, Any]) -> Fraction:
    first, second = _spans(a["runs"]), _spans(b["runs"])
    areas = sum(end - start for start, end in first) + sum(end - start for start, end in second)
    i = j = common = 0
    while i < len(first) and j < len(second):
        common += max(0, min(first[i][1], second[j][1]) - max(first[i][0], second[j][0]))
        if first[i][1] <= second[j][1]:
            i += 1
        else:
            j += 1
    return Fraction(common, areas - common) if areas else Fraction(1)


def _keypoints(a: Mapping[str, Any], b: Mapping[str, Any], schema: Mapping[str, Any]) -> Fraction:
    def near(one: Any, two: Any) -> bool:
        if one is None or two is None:
            return one is two
        return bool((one["x"] - two["x"]) ** 2 + (one["y"] - two["y"]) ** 2 <= schema["radius"] ** 2)

    return Fraction(sum(near(a[name], b[name]) for name in schema["points"]), len(schema["points"]))


_MEASURES: Mapping[str, Callable[[Any, Any, Mapping[str, Any]], Fraction]] = {
    "choice": _equal,
    "multi-choice": _jaccard,
    "number": _number,
    "ranking": _ranking,
    "text": _text,
    "boxes": _boxes,
    "mask": _mask,
    "keypoints": _keypoints,
    "file": _equal,
}


def similarity(kind: str, schema: Mapping[str, Any], a: Any, b: Any) -> int:
    """How alike the values `a` and `b` (normal forms) are, 0 to 10000, rounded down."""
    return int(BPS * _MEASURES[kind](a, b, schema))


def agrees(kind: str, schema: Mapping[str, Any], value: Any, label: Any) -> bool:
    """Whether an answer's value agrees with a label: what makes it accepted."""
    if value == label:
        return True
    if kind == "number":
        return similarity(kind, schema, value, label) >= BPS // 2 and Decimal(schema["tolerance"]) > 0
    return similarity(kind, schema, value, label) >= int(schema.get("agreement_bps", BPS))
