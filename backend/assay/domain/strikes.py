"""When strikes are more than chance explains: the slashing rule, as the program computes it.

A participant has `strikes` among `judgements` since its last slash; an honest one errs at a rate of at most p0.
For an alternative rate p1 > p0 the likelihood ratio (p1/p0)^k · ((1-p1)/(1-p0))^(n-k) is a supermartingale for every
true rate ≤ p0, so by Ville's inequality (Ville 1939; Howard et al., "Time-uniform Chernoff bounds", 2020, Lemma 1)
the chance that it EVER reaches x is at most 1/x. The rule fires when one of `len(ALTERNATIVES)` ratios reaches 1000
times their number: by the union bound an honest participant is convicted with a chance below 1/1000, over all times
together. So whoever calls the slash gains nothing by choosing the moment; and at each single n the one-sided binomial
tail is below 1/1000 too (Markov). In logarithms the rule is linear, and on chain it is integers: k·a − (n−k)·b ≥ c in
micro-nats, each constant rounded against conviction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MIN_JUDGEMENTS = 20
"""Fewer judgements convict nobody, however they went."""

ERROR_RATES = (50, 100, 150, 200, 250, 300, 350, 400)
"""Honest error rates p0, per mille; `Params.error_rate` is an index into this."""

BOUND = 1000
"""An honest participant is ever convicted with a chance of at most 1 / BOUND."""

ALTERNATIVES = 4

OUTLIER, EQUIVOCATION = 1, 2
"""Why somebody was slashed, as `Slashed.reason` has it."""


def alternatives(p0: int) -> tuple[int, ...]:
    """Alternative error rates for `p0`, per mille: half way to a coin, a coin, mostly wrong, nearly always wrong."""
    return ((p0 + 500) // 2, 500, 750, 950)


@dataclass(frozen=True)
class Line:
    """One linear condition strikes · `gain` ≥ (judgements − strikes) · `cost` + THRESHOLD, in micro-nats."""

    gain: int
    cost: int


THRESHOLD = 8_294_050
"""⌈10⁶ · ln(BOUND · ALTERNATIVES)⌉ micro-nats."""

# ⌊10⁶ · ln(p1/p0)⌋ and ⌈10⁶ · ln((1−p0)/(1−p1))⌉ for each p0 of ERROR_RATES and its alternatives; the same table stands
# in programs/assay/src/strikes.rs, and a test recomputes both.
LINES: tuple[tuple[Line, ...], ...] = (
    (Line(1704748, 270291), Line(2302585, 641854), Line(2708050, 1335002), Line(2944438, 2944439)),
    (Line(1098612, 251315), Line(1609437, 587787), Line(2014903, 1280934), Line(2251291, 2890372)),
    (Line(773189, 230524), Line(1203972, 530629), Line(1609437, 1223776), Line(1845826, 2833214)),
    (Line(559615, 207640), Line(916290, 470004), Line(1321755, 1163151), Line(1558144, 2772589)),
    (Line(405465, 182322), Line(693147, 405466), Line(1098612, 1098613), Line(1335001, 2708051)),
    (Line(287682, 154151), Line(510825, 336473), Line(916290, 1029620), Line(1152679, 2639058)),
    (Line(194156, 122603), Line(356674, 262365), Line(762140, 955512), Line(998528, 2564950)),
    (Line(117783, 87012), Line(223143, 182322), Line(628608, 875469), Line(864997, 2484907)),
)


def compute_lines(p0: int) -> tuple[Line, ...]:
    """The row of `LINES` for `p0` (per mille), from the logarithms."""
    return tuple(
        Line(
            gain=math.floor(1_000_000 * math.log(p1 / p0)),
            cost=math.ceil(1_000_000 * math.log((1000 - p0) / (1000 - p1))),
        )
        for p1 in alternatives(p0)
    )


def is_outlier(strikes: int, judgements: int, *, error_rate: int) -> bool:
    """Whether `strikes` of `judgements` are beyond chance for the honest error rate `ERROR_RATES[error_rate]`.

    Raises ValueError when there are more strikes than judgements or the index is unknown.
    """
    if not 0 <= strikes <= judgements:
        raise ValueError(f"strikes: {strikes} of {judgements} judgements; must be between 0 and the judgements")
    if not 0 <= error_rate < len(ERROR_RATES):
        raise ValueError(f"error_rate: {error_rate}; must be an index below {len(ERROR_RATES)}")
    if judgements < MIN_JUDGEMENTS:
        return False
    right = judgements - strikes
    return any(strikes * line.gain >= right * line.cost + THRESHOLD for line in LINES[error_rate])


def least_strikes(judgements: int, *, error_rate: int) -> int | None:
    """The fewest strikes of `judgements` that convict, or None when none do: what a participant is shown."""
    least = min(-(-(judgements * line.cost + THRESHOLD) // (line.gain + line.cost)) for line in LINES[error_rate])
    return least if judgements >= MIN_JUDGEMENTS and least <= judgements else None


def margin(strikes: int, judgements: int, *, error_rate: int) -> int:
    """How many more strikes in a row convict; 0: convicted now. Raises as `is_outlier` does."""
    if is_outlier(strikes, judgements, error_rate=error_rate):
        return 0
    right = judgements - strikes
    needed = min(-(-(right * line.cost + THRESHOLD) // line.gain) for line in LINES[error_rate])
    return max(needed - strikes, MIN_JUDGEMENTS - judgements)


def explain(strikes: int, judgements: int, *, error_rate: int) -> str:
    """The rule, and where one participant stands by it: shown to whom it may hit."""
    left, least = (
        margin(strikes, judgements, error_rate=error_rate),
        least_strikes(judgements, error_rate=error_rate),
    )
    text = (
        f"{strikes} of {judgements} judgements since the last slash went against you (a rejected answer, a vote beside "
        f"the verdict, a failed gold task). The rule allows an honest rate of {ERROR_RATES[error_rate] / 10:g} % and "
        f"convicts only beyond what chance explains: an honest participant ever with a chance below 1 in {BOUND}, and "
        f"nobody before {MIN_JUDGEMENTS} judgements."
    )
    if least is not None:
        text += f" With {judgements} judgements it takes {least} strikes."
    if left == 0:
        return (
            text
            + " You are beyond it: anybody may call slash_outlier now. A dispute that is upheld takes back its strike."
        )
    return text + f" From here {left} strikes in a row would be beyond it; each good judgement between moves that away."


def slash_amount(stake: int, *, minimum: int, slash_bps: int) -> int:
    """What a conviction takes of `stake` (with what is being withdrawn), base units: Δs = ρ·s, at most all of it.

    s is the stake that one seat stands for, the role's `minimum`, for everybody. Seats follow stake, so a larger stake
    is judged, and convicted, in proportion more often: over time it does lose ρ of itself. Taking ρ of each wallet's
    own stake at each conviction would count the stake twice, and w wallets of 1/w of it would pay 1/w for each wrong
    judgement (docs/decisions/slashing.md).
    """
    return min(stake, minimum * slash_bps // 10_000)


def equivocation_amount(stake: int, *, equivocation_bps: int) -> int:
    """What two signatures under one number take of all stake (with what is being withdrawn), base units."""
    return stake * equivocation_bps // 10_000


def repayments(losses: Sequence[int], amount: int) -> tuple[int, ...]:
    """What each harmed buyer gets of a slash, as the program computes it: its loss, or its share of a smaller slash.

    `losses` are positive. Scaled to 32 bits for the division, with a divisor that is rounded up, so that the shares
    never come to more than `amount`.
    """
    total = min(sum(losses), 2**64 - 1)
    if total <= amount:
        return tuple(losses)
    shift = 0
    while total >> shift > 2**32 - 2:
        shift += 1
    divisor = (total >> shift) + ((total >> shift) << shift != total)
    return tuple(amount * (loss >> shift) // divisor for loss in losses)


def explain_slash(reason: int, strikes: int, judgements: int, *, taken: str, repaid: str) -> str:
    """One slash in words, for whom it hit. `taken` and `repaid`: tokens, as text."""
    if reason == EQUIVOCATION:
        why = (
            "You signed two different decisions under one number (a batch of a request, or a round of a dispute). "
            "Both signatures were shown to the program."
        )
    else:
        why = (
            f"{strikes} of {judgements} judgements went against you, which is beyond what chance explains: an honest "
            f"participant is ever convicted with a chance below 1 in {BOUND}."
        )
    rest = f"{repaid} of them went to the buyers whom that harmed." if repaid != "0" else "No buyer had a loss by it."
    return f"{why} The program took {taken} tokens of your stake. {rest} Your count began anew at 0."
