"""Reputation from the counters on chain: a score with its uncertainty, and the tier that the program grants.

The score is the lower bound of a Beta posterior: how good this participant is at least, with 95 % certainty, after
`good` right and `bad` wrong judgements, starting from a prior worth a few average ones. It rises with every right
judgement and falls with every wrong one, and a newcomer's is low because little is known, not because anything is
wrong.

    good 0, bad 0  ->  0.3684        good 20, bad 0  ->  0.8778
    good 8, bad 2  ->  0.5899        good 95, bad 5  ->  0.9006
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache

PRIOR_GOOD, PRIOR_BAD = 3, 1
"""The prior: worth four judgements, three of them good (honest labelers of the public data sets are right 75 % up)."""

RISK = 20
"""The true rate is below the score with a chance of at most 1 / RISK."""

SCALE = 10_000

MEMORY = 500
"""Judgements that count at most; of a longer history its share, so that a lasting change shows within this many."""

TIER_RULES = ((3, 95, 500), (2, 90, 100), (1, 80, 20))
"""`(tier, per cent, answers)` as in the program: that many judged, Wilson's lower bound (z = 2) at the per cent."""


def tier(accepted: int, rejected: int) -> int:
    """The reputation tier, 0 to 3: the program's `tier` in math.rs, step by step.

    Wilson's bound reaches t when p̂ ≥ t and (p̂ − t)²·n ≥ z²·t·(1 − t); in integers with t in per cent,
    x = 100·accepted − t·n and z = 2: x ≥ 0 and x² ≥ 4·t·(100 − t)·n.
    """
    judged = accepted + rejected
    for number, percent, least in TIER_RULES:
        margin = 100 * accepted - percent * judged
        if judged >= least and margin >= 0 and margin * margin >= 4 * percent * (100 - percent) * judged:
            return number
    return 0


@lru_cache(maxsize=65_536)
def score(good: int, bad: int) -> int:
    """The lower 95 % bound of the Beta(good + 3, bad + 1) posterior, in basis points, exactly (rounded down).

    For whole a and b the distribution function of Beta(a, b) at x is the chance of at least a successes in a + b − 1
    trials of chance x (Abramowitz and Stegun 26.5.24), a sum of integers over SCALE^n: no floating point anywhere.
    """
    if good < 0 or bad < 0:
        raise ValueError("counters are never negative")
    if good + bad > MEMORY:
        good = good * MEMORY // (good + bad)
        bad = MEMORY - good
    wins, trials = good + PRIOR_GOOD, good + PRIOR_GOOD + bad + PRIOR_BAD - 1
    low, high = 0, SCALE
    while high - low > 1:
        middle = (low + high) // 2
        if _tail(wins, trials, middle) * RISK <= SCALE**trials:
            low = middle
        else:
            high = middle
    return low


def _tail(wins: int, trials: int, chance: int) -> int:
    """The chance of at least `wins` successes, times SCALE^trials; `chance` in basis points."""
    other = SCALE - chance
    losses = trials - wins
    # Σ C(n, k) p^k q^(n−k) over k ≥ wins, by Horner: p^wins · Σ_j C(n, n−j) p^(losses−j) q^j with j = n − k.
    total, ways, power = 0, 1, 1
    for j in range(losses + 1):
        total = total * chance + ways * power
        ways = ways * (trials - j) // (j + 1)
        power *= other
    return int(total * chance**wins)


def next_tier(accepted: int, rejected: int) -> tuple[int, int] | None:
    """The tier above, and how many further answers, all accepted, reach it; None from the highest."""
    wanted = tier(accepted, rejected) + 1
    if wanted > max(number for number, _, _ in TIER_RULES):
        return None
    high = 1
    while tier(accepted + high, rejected) < wanted:  # it is reached at last: each rule's margin grows with n²
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tier(accepted + middle, rejected) >= wanted else (middle, high)
    return wanted, high


def explain_tier(accepted: int, rejected: int) -> str:
    """A labeler's tier and what the next one takes, in words."""
    judged = accepted + rejected
    text = f"{accepted} of {judged} answers accepted: tier {tier(accepted, rejected)}."
    above = next_tier(accepted, rejected)
    if above is None:
        return text + " There is none above."
    _, percent, least = next(rule for rule in TIER_RULES if rule[0] == above[0])
    return text + (
        f" Tier {above[0]} asks for {least} judged answers and an accepted share of {percent} %, surely (the lower "
        f"Wilson bound at z = 2): {above[1]} more if all are accepted."
    )


def explain(good: int, bad: int) -> str:
    """A score with the numbers it comes from, in words."""
    found = score(good, bad)
    text = f"{good} good and {bad} bad judgements"
    if good + bad > MEMORY:
        kept = good * MEMORY // (good + bad)
        text += f", counted in share as {kept} and {MEMORY - kept} (at most {MEMORY} count)"
        good, bad = kept, MEMORY - kept
    return text + (
        f": right in at least {found / 100:.2f} %, with 95 % certainty (the lower bound of Beta({good} + {PRIOR_GOOD}, "
        f"{bad} + {PRIOR_BAD}): everybody starts as if with {PRIOR_GOOD} good and {PRIOR_BAD} bad)."
    )


HALF_LIFE = 90 * 24 * 3600
"""Seconds in which a judgement comes to count half: who was good a year ago is mostly unknown today, not bad."""

_PARTS = 1_000_000


def faded(age: int, half_life: int = HALF_LIFE) -> int:
    """How much a judgement of `age` seconds counts, in millionths: halved every half-life, in a straight line between.

    Integers only, never rising with age. Raises ValueError for an age below 0.
    """
    if age < 0 or half_life <= 0:
        raise ValueError(f"age: {age} s and half-life {half_life} s; an age is never negative, a half-life above 0")
    halvings, rest = divmod(age, half_life)
    return (_PARTS >> min(halvings, 64)) * (2 * half_life - rest) // (2 * half_life)


def aged(tallies: Iterable[tuple[int, int, int]], *, now: int, half_life: int = HALF_LIFE) -> tuple[int, int]:
    """Good and bad judgements that still count, from `(time, good, bad)` of each batch (of one kind of task, or of
    all).

    Good ones are rounded down and bad ones up: fading never flatters. Both fade alike, so a score that nothing is added
    to falls back towards a newcomer's.
    """
    good = bad = 0
    for time, one, other in tallies:
        part = faded(max(now - time, 0), half_life)
        good, bad = good + part * one, bad + part * other
    return good // _PARTS, -(-bad // _PARTS)


DAY = 24 * 3600
"""Seconds that judgements are gathered by: those of one day of market time fade together, from its end on."""

MEMORY_DAYS = 20 * HALF_LIFE // DAY
"""Days after which nothing of a judgement is left: it then counts less than a millionth."""


def current(days: Iterable[tuple[int, int, int]], *, today: int) -> tuple[int, int]:
    """What still counts on day `today`, from `(day, good, bad)` with days of market time (seconds / DAY).

    What was judged today counts whole; all day long the result is the same.
    """
    return aged(((day * DAY, good, bad) for day, good, bad in days), now=today * DAY)


def explain_current(good: int, bad: int) -> str:
    """The score of what still counts, in words."""
    return (
        f"Of these {good} good and {bad} bad still count today (a judgement counts half after {HALF_LIFE // DAY} days; "
        f"good ones rounded down, bad ones up): a score of {score(good, bad) / 100:.2f} %."
    )


def needed(least: int) -> int:
    """The fewest right judgements, and no wrong one, that give a score of `least` basis points. Raises ValueError for
    one that there is not.
    """
    found = bisect_left(range(MEMORY + 1), least, key=lambda good: score(good, 0))
    if found > MEMORY:
        raise ValueError(f"no score is above {score(MEMORY, 0)}")
    return found
