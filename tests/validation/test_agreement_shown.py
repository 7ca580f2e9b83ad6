"""What the buyer is shown of its raters' agreement: by the API, and with the data set."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow.parquet
import pytest

from assay.errors import FieldError, Forbidden, Unauthenticated
from assay.services import agreement


async def labelled(stage: Callable[..., Any], **post: Any) -> tuple[Any, Any, list[Any], str]:
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3)]
    return market, buyer, labelers, await market.post(buyer, **post)


async def test_labelers_agreement(stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    market, buyer, labelers, address = await labelled(stage, items=4)
    nothing = await buyer.agreement(address)
    assert (nothing["ratings"], nothing["krippendorff_alpha"], nothing["complete"]) == (0, None, True)
    rows = [["cat", "dog", "owl", "cat"], ["cat", "dog", "owl", "cat"], ["cat", "dog", "owl", "dog"]]
    for labeler, row in zip(labelers, rows, strict=True):
        await market.label(labeler, address, row)
    await market.until_settled(buyer, address, 12)
    found = await buyer.agreement(address)
    # cat 5, dog 4, owl 3 of 12: D_e = 1 - (20 + 12 + 6) / 132; one pair in three differs on one record of four
    alpha = 1 - (2 / 3 / 4) / (1 - 38 / 132)
    assert found["krippendorff_alpha"] == pytest.approx(alpha, abs=1e-4)
    assert (found["raters"], found["level"], found["ratings"], found["rated"]) == ("labelers", "nominal", 12, 4)
    assert found["observed_agreement"] == pytest.approx(1 - 1 / 6, abs=1e-4)
    assert found["fleiss_kappa"] == pytest.approx(1 - (1 / 6) / (1 - 50 / 144), abs=1e-4)
    assert [one["agreement"] == 1.0 for one in found["records"]] == [True, True, True, False]
    raters = {one["wallet"]: one for one in found["by_rater"]}
    assert [raters[one.wallet]["agreed"] for one in labelers] == [4, 4, 3]
    assert [raters[one.wallet]["cohen_kappa"] for one in labelers[:2]] == [1.0, 1.0]
    assert raters[labelers[2].wallet]["cohen_kappa"] < 1
    assert raters[labelers[2].wallet]["agreement"] < raters[labelers[0].wallet]["agreement"]
    page = await buyer.agreement(address, start=1, limit=2)
    assert ([one["index"] for one in page["records"]], page["next"]) == ([1, 2], 3)
    assert (await buyer.agreement(address, start=3))["next"] is None

    for stranger in labelers:
        with pytest.raises(Forbidden, match="buyer"):
            await stranger.agreement(address)
    with pytest.raises(Unauthenticated):
        await buyer.call("GET", f"/v1/requests/{address}/agreement", auth=False)
    with pytest.raises(FieldError, match="limit"):
        await buyer.agreement(address, limit=10_001)

    records = [json.loads(line) for line in (await buyer.dataset(address)).splitlines()]
    assert [one["agreement"] / 10_000 for one in records] == [one["agreement"] for one in found["records"]]
    table = list(csv.DictReader(io.StringIO((await buyer.dataset(address, form="csv")).decode())))
    assert [int(one["agreement"]) for one in table] == [one["agreement"] for one in records]
    parquet = pyarrow.parquet.read_table(io.BytesIO(await buyer.dataset(address, form="parquet")))
    told = json.loads(parquet.schema.metadata[b"assay.agreement"])
    assert told["krippendorff_alpha"] == found["krippendorff_alpha"]
    assert parquet.column("agreement").to_pylist() == [one["agreement"] for one in records]

    monkeypatch.setattr(agreement, "RATINGS", 7)  # a request too large to compare
    market.market.agreements._known.clear()
    part = await buyer.agreement(address)
    assert (part["complete"], part["ratings"], part["rated"]) == (False, 6, 2)
    assert [one["agreement"] for one in map(json.loads, (await buyer.dataset(address)).splitlines())][2:] == [None] * 2


async def test_validators_agreement(stage: Callable[..., Any]) -> None:
    """In review it is the votes that are compared."""
    market, buyer, labelers, address = await labelled(stage, items=3, mode="review")
    await market.label(labelers[0], address, ["cat", "dog", "owl"])
    await market.until_settled(buyer, address, 3)
    found = await buyer.agreement(address)
    assert (found["raters"], found["ratings"], found["rated"]) == ("validators", 9, 3)
    assert (found["krippendorff_alpha"], found["observed_agreement"]) == (1.0, 1.0)
    assert {one["wallet"] for one in found["by_rater"]} == {str(one.pubkey()) for one in market.validators}
    assert [one["agreed"] for one in found["by_rater"]] == [3, 3, 3]
    assert all(one["answer"] for one in found["records"])
    records = [json.loads(line) for line in (await buyer.dataset(address)).splitlines()]
    assert [one["agreement"] for one in records] == [10_000] * 3
