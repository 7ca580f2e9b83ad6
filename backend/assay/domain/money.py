"""Money: integers of base units. Decimal strings only at the edges, floats nowhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assay.errors import FieldError

BPS = 10_000  # basis points in one
U64 = 2**64 - 1
_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?")


def parse(text: str, decimals: int, *, field: str = "amount") -> int:
    """Base units of a decimal string: `parse("0.04", 6)` is 40000. `FieldError` for what is no exact amount."""
    match = _DECIMAL.fullmatch(text) if isinstance(text, str) and len(text) <= 64 else None
    if match is None:
        raise FieldError(field, f"is no amount: {text!r}", hint='a decimal string such as "0.04"')
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise FieldError(field, f"has more than the {decimals} decimals of the token")
    amount = int(match[1] + fraction.ljust(decimals, "0"))
    if amount > U64:
        raise FieldError(field, "is more than 64 bits of base units hold")
    return amount


def format(amount: int, decimals: int) -> str:
    """The shortest decimal string of base units: `format(40000, 6)` is "0.04"."""
    if amount < 0:
        return "-" + format(-amount, decimals)
    if not decimals:
        return str(amount)
    whole, fraction = divmod(amount, 10**decimals)
    return f"{whole}.{fraction:0{decimals}d}".rstrip("0").rstrip(".")


def labeler_pay(good: int, price: int, premium_bps: int = 0) -> int:
    """What `good` accepted answers of one labeler earn in a batch; rounded down."""
    return good * price * (BPS + premium_bps) // BPS


def market_fee(paid_labelers: int, fee_bps: int) -> int:
    """The market's fee on what a batch paid to labelers; rounded down."""
    return paid_labelers * fee_bps // BPS


def split(total: int, units: Sequence[int], whole: int | None = None) -> tuple[int, ...]:
    """Shares of `total` by `units` of `whole` (default: their sum): ⌊P·C_i/T⌋ − ⌊P·C_{i−1}/T⌋ with C the running sum.

    The shares add up to `total` exactly when the units add up to `whole`, so no rounding is ever lost or made up.
    """
    whole = sum(units) if whole is None else whole
    if whole <= 0 or any(unit < 0 for unit in units) or sum(units) > whole:
        raise ValueError("units must not be negative nor add up to more than the whole")
    shares, running, given = [], 0, 0
    for unit in units:
        running += unit
        upto = total * running // whole
        shares.append(upto - given)
        given = upto
    return tuple(shares)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a request can cost, in base units. `total` is what to lock so that it can never run dry; `least` what it
    comes to if no task asks for more answers than its first ones, and all of them are accepted.
    """

    labelers: int
    validators: int
    fee: int
    reserve: int
    records: int
    answers: int
    judgements: int
    least: int

    @property
    def total(self) -> int:
        return self.labelers + self.validators + self.fee + self.reserve


def quote(
    *,
    records: int,
    price: int,
    validation_fee: int,
    mode: str,
    answers: int | None = None,
    least_answers: int | None = None,
    overlap: int = 1,
    rejection_bps: int = 0,
    fee_bps: int = 0,
    premium_bps: Sequence[int] = (0,),
) -> Quote:
    """The most a request can cost if at most `rejection_bps` of its answers are rejected.

    `answers` is how many answers agreement collects at most (default: records · overlap), `least_answers` how many
    before any task asks for more (default: the same). There every one may be accepted, so rejections cost nothing more.
    In review, answers are judged until each record has one that stands: rejections add judgements, each with its
    validation fee, and a reserve for the disputes over them.
    """
    for name, value in (("records", records), ("overlap", overlap)):
        if value < 1:
            raise FieldError(name, "must be at least 1")
    for name, value in (("price", price), ("validation_fee", validation_fee), ("fee_bps", fee_bps)):
        if value < 0:
            raise FieldError(name, "must not be negative")
    if not 0 <= rejection_bps < BPS:
        raise FieldError("rejection_bps", f"must be from 0 to {BPS - 1}")
    premium = max(premium_bps, default=0)
    if mode == "agreement":
        accepted = records * overlap if answers is None else answers
        total_answers, judged, rejected = accepted, records, 0
    elif mode == "review":
        accepted = records
        judged = -(-records * BPS // (BPS - rejection_bps))
        total_answers, rejected = judged, judged - records
    else:
        raise FieldError("mode", f"is unknown: {mode!r}", hint="agreement or review")
    labelers = labeler_pay(accepted, price, premium)
    first = labeler_pay(accepted if least_answers is None else least_answers, price, premium)
    return Quote(
        labelers=labelers,
        validators=judged * validation_fee,
        fee=market_fee(labelers, fee_bps),
        reserve=labeler_pay(rejected, price, premium),
        records=records,
        answers=total_answers,
        judgements=judged,
        least=first + records * validation_fee + market_fee(first, fee_bps),
    )
