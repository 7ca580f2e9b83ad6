"""Review fees by weight."""

from __future__ import annotations

from assay.domain.messages import ACCEPT, REJECT
from assay.domain.tally import UNITS
from assay.domain.verdict import review
from assay.domain.work import Vote


def votes(*choices):
    return [Vote(bytes([i]) * 32, 0, vote, bytes(32), bytes(64)) for i, vote in enumerate(choices)]


def test_equal_without_weights_and_in_proportion_with():
    three = votes(ACCEPT, ACCEPT, ACCEPT)
    assert sorted(review(three).units.values()) == [840, 840, 840]
    weights = {vote.voter: weight for vote, weight in zip(three, (600, 300, 0), strict=True)}
    assert list(review(three, weights=weights).units.values()) == [1680, 840], "no weight, no fee"


def test_only_who_agreed_shares_and_the_sum_is_exact():
    cast = votes(ACCEPT, REJECT, ACCEPT, ACCEPT)
    weights = {vote.voter: weight for vote, weight in zip(cast, (7, 1000, 11, 13), strict=True)}
    found = review(cast, weights=weights)
    assert cast[1].voter not in found.units
    assert sum(found.units.values()) == UNITS
    assert sum(review(cast, gold=False, weights=weights).units.values()) == UNITS
    nobody = review(votes(ACCEPT, ACCEPT), gold=False)
    assert list(nobody.units.values()) == [1260, 1260], "all failed the gold task: somebody has to be paid"
