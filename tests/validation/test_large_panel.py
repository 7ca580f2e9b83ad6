"""The largest panel: more signatures than a transaction carries beside what it pays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from assay.services import settler

SEATS = 7
QUORUM = 5


async def test_a_panel_of_seven_settles(stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A settlement carries a quorum and no more than fits; who is left out goes round, and those who stand are paid."""
    monkeypatch.setattr(settler, "REST_OF_PANEL", 10.0)  # the turns are looked at, not who is fast
    market = await stage(validators=SEATS, params={"panel_size": SEATS})
    await market.start_workers()
    buyer = await market.client("buyer")
    labelers = [await market.client("labeler", stake="100") for _ in range(3)]
    address = await market.post(buyer, items=8)
    for done in range(1, 9):
        for labeler in labelers:
            await market.label(labeler, address, ["cat"] * done)
        await market.until_settled(buyer, address, 3 * done)
    batches = await market.market.db.fetch("batches_all")
    signed = Counter(signer for batch in batches for signer in batch["signers"])
    assert all(QUORUM <= len(batch["signers"]) < SEATS for batch in batches)
    assert len(signed) == SEATS, "everybody's turn comes"
    chain = (await buyer.progress(address))["chain"]
    assert (chain["records_done"], chain["paid_validators"]) == (8, "0.32")
    report = await market.audit(address)
    assert report.ok, report.finding
