"""Money: exact in, exact out, nothing lost in rounding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.domain import money
from assay.domain.tally import Role, Tally, payments, quorum
from assay.errors import FieldError

amounts = st.integers(0, money.U64)


@given(amounts, st.integers(0, 18))
def test_text_round_trip(amount: int, decimals: int) -> None:
    assert money.parse(money.format(amount, decimals), decimals) == amount


@pytest.mark.parametrize(
    ("text", "decimals", "units"), [("0.04", 6, 40_000), ("500", 6, 500_000_000), ("1.500", 2, 150), ("0", 0, 0)]
)
def test_parse(text: str, decimals: int, units: int) -> None:
    assert money.parse(text, decimals) == units


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e3", ".5", "1.", "01", "1,5", "0x10", " 1", "1.0000001", "²", "1" * 40]
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(FieldError) as failure:
        money.parse(text, 6, field="price")
    assert failure.value.field == "price"


@given(amounts, st.lists(st.integers(0, 2520), min_size=1, max_size=20).filter(any))
def test_shares_add_up(total: int, units: list[int]) -> None:
    shares = money.split(total, units)
    assert sum(shares) == total
    for share, unit in zip(shares, units, strict=True):
        exact = total * unit / sum(units)
        assert abs(share - exact) <= 1 + exact * 1e-9
        assert share >= 0


@given(amounts, st.lists(st.integers(0, 2520), max_size=20), st.integers(1, 100_000))
def test_shares_never_exceed_the_total(total: int, units: list[int], extra: int) -> None:
    assert sum(money.split(total, units, sum(units) + extra)) <= total


def test_the_reference_example() -> None:
    """500 tokens, 50 records at 1 token, 0.04 a record for three validators who agree: 50, 2, 448 remain."""
    price, fee, locked = money.parse("1", 6), money.parse("0.04", 6), money.parse("500", 6)
    voters = [Tally(bytes([i]) * 32, Role.VALIDATOR, good=50, units=50 * 840) for i in range(3)]
    tallies = [Tally(b"l" * 32, Role.LABELER, good=50), *voters]
    paid = payments(tallies, judged=50, price=price, validation_fee=fee, fee_bps=0)
    assert money.format(paid.paid_labelers, 6) == "50"
    assert money.format(paid.paid_validators, 6) == "2"
    assert money.format(locked - paid.total, 6) == "448"
    assert {amount for _, amount in paid.validators} <= {666_666, 666_667}


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 10_000)), min_size=1, max_size=8),
    st.lists(st.integers(1, 100), min_size=1, max_size=7),
    st.integers(1, 2**40),
    st.integers(0, 2**40),
    st.integers(0, 1000),
)
def test_no_batch_costs_more_than_its_parts(
    labelers: list[tuple[int, int, int]], weights: list[int], price: int, fee: int, fee_bps: int
) -> None:
    judged = sum(good + bad for good, bad, _ in labelers)
    whole = 2520 * judged
    units = money.split(whole, weights)
    tallies = [Tally(bytes([i]) * 32, Role.LABELER, good=one[0], bad=one[1]) for i, one in enumerate(labelers)]
    tallies += [Tally(bytes([100 + i]) * 32, Role.VALIDATOR, good=1, units=unit) for i, unit in enumerate(units)]
    premiums = {bytes([i]) * 32: one[2] for i, one in enumerate(labelers)}
    paid = payments(tallies, judged=judged, price=price, validation_fee=fee, fee_bps=fee_bps, premiums=premiums)
    good = sum(one[0] for one in labelers)
    assert paid.paid_validators == judged * fee
    assert good * price <= paid.paid_labelers <= 2 * good * price
    assert paid.fee * 10_000 <= paid.paid_labelers * fee_bps


@given(st.integers(1, 7), st.integers(0, 10**9), st.integers(0, 1000))
def test_cosigners_share_alike(signers: int, fee: int, judged: int) -> None:
    wallets = [bytes([i]) * 32 for i in range(signers)]
    paid = payments((), judged=judged, price=1, validation_fee=fee, fee_bps=0, cosigners=wallets)
    assert paid.paid_validators == judged * fee
    assert max(amount for _, amount in paid.validators) - min(amount for _, amount in paid.validators) <= 1


@given(st.integers(1, 7), st.integers(5001, 10_000))
def test_two_quorums_share_a_signer(panel: int, bps: int) -> None:
    assert 2 * quorum(panel, bps) > panel
    assert quorum(panel, bps) <= panel


@given(st.integers(1, 10_000), st.integers(1, 10**9), st.integers(0, 10**7), st.integers(0, 5000), st.integers(0, 1000))
def test_a_quote_suffices(records: int, price: int, fee: int, rejection: int, fee_bps: int) -> None:
    """Every answer accepted, or as many rejected as was said: what is locked covers what is paid."""
    quoted = money.quote(
        records=records, price=price, validation_fee=fee, mode="review", rejection_bps=rejection, fee_bps=fee_bps,
        premium_bps=(0, 100, 250, 1000),
    )  # fmt: skip
    assert quoted.judgements * (10_000 - rejection) >= records * 10_000
    paid = records * (price * 11_000 // 10_000)
    assert quoted.total >= paid + paid * fee_bps // 10_000 + quoted.judgements * fee
    agreement = money.quote(
        records=records, price=price, validation_fee=fee, mode="agreement", overlap=3, fee_bps=fee_bps
    )
    assert agreement.labelers == 3 * records * price
    assert agreement.reserve == 0
    assert agreement.least == agreement.total
    growing = money.quote(
        records=records, price=price, validation_fee=fee, mode="agreement", answers=9 * records,
        least_answers=3 * records, fee_bps=fee_bps,
    )  # fmt: skip
    assert growing.least == agreement.total
    assert growing.labelers == 9 * records * price


@pytest.mark.parametrize("wrong", [{"records": 0}, {"price": -1}, {"mode": "vote"}, {"rejection_bps": 10_000}])
def test_a_quote_names_what_is_wrong(wrong: dict[str, object]) -> None:
    given_: dict[str, object] = {"records": 1, "price": 1, "validation_fee": 0, "mode": "review"} | wrong
    with pytest.raises(FieldError) as failure:
        money.quote(**given_)  # type: ignore[arg-type]
    assert failure.value.field == next(iter(wrong))
