"""An agreement with gold, paid by information, with real workers: who answers at random is not paid for chance hits."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from assay.domain import entries, merkle
from assay.domain.standing import refit_point
from assay.standing_cli import text

CLASSES = ["cat", "dog", "owl"]
TOKEN = 10**6
ITEMS, KNOWN = 72, 60
"""Tasks in all, and those that are settled before the rest are answered."""


async def test_chance_hits_are_settled_and_not_paid(stage: Callable[..., Any]) -> None:
    market = await stage()
    await market.start_workers()
    buyer = await market.client("buyer")
    # More than the least: its strikes cost the idle one a part of its stake on the way.
    *honest, idle = [await market.client("labeler", stake="200") for _ in range(4)]
    truth = [CLASSES[i % 3] for i in range(ITEMS)]
    gold = [{"index": i, "label": {"value": truth[i]}} for i in range(0, ITEMS, 8)]
    address = await market.post(buyer, items=ITEMS, overlap=4, gold=gold)
    assert (await buyer.spec(address))["validation"] == {"pay": "information"}
    draw = random.Random(0)
    coin = [draw.choice(CLASSES) for _ in range(ITEMS)]
    erring = [label if i % 11 else CLASSES[(i + 1) % 3] for i, label in enumerate(truth)]
    given = [truth, truth, erring, coin]
    before = [await market.balance(one) for one in (*honest, idle)]
    for done in (KNOWN, ITEMS):
        for labeler, labels in zip((*honest, idle), given, strict=True):
            await market.label(labeler, address, labels[:done])
        await market.until_settled(buyer, address, 4 * done)
        if done == KNOWN:
            assert refit_point(KNOWN) > 0
            await market.stop_worker(1)  # it learns anew, from the published log
            await market.start_worker(1)
            await market.until(lambda: market.connected(1), what="the worker is back")
            await market.stop_worker(2)  # its signature is needed now

    records = [json.loads(line) for line in (await buyer.dataset(address)).splitlines()]
    found = [record["label"]["value"] for record in records]
    assert sum(one == other for one, other in zip(found, truth, strict=True)) >= ITEMS - 4, "two may outvote two"
    answers = [(record["index"], one) for record in records for one in record["answers"]]
    right = {wallet: 0 for wallet in (one.wallet for one in (*honest, idle))}
    unpaid = dict.fromkeys(right, 0)
    for index, one in answers:
        assert one["verdict"] is (one["content"]["value"] == found[index])
        assert one["paid"] == (TOKEN if one["verdict"] and not one["unpaid"] else 0)
        entry = entries.AnswerEntry.unpack(bytes.fromhex(one["proof"]["entry"]))
        assert entry.unpaid is one["unpaid"]
        assert merkle.verify(
            entry.pack(), one["proof"]["index"], [bytes.fromhex(sibling) for sibling in one["proof"]["siblings"]],
            bytes.fromhex(one["proof"]["root"]),
        )  # fmt: skip
        right[one["labeler"]] += one["verdict"]
        unpaid[one["labeler"]] += one["unpaid"]
        if index >= KNOWN:
            assert one["unpaid"] is (one["labeler"] == idle.wallet and one["verdict"])
    assert unpaid[idle.wallet] >= sum(coin[i] == found[i] for i in range(KNOWN, ITEMS)) > 0
    assert [unpaid[one.wallet] for one in honest] == [0, 0, 0]

    gained = [await market.balance(one) - start for one, start in zip((*honest, idle), before, strict=True)]
    assert gained == [TOKEN * (right[one.wallet] - unpaid[one.wallet]) for one in (*honest, idle)]
    progress = await buyer.progress(address)
    books = progress["chain"]
    assert (progress["accepted"], progress["unpaid"]) == (sum(right.values()), unpaid[idle.wallet])
    assert books["answers_accepted"] == sum(right.values()), "right, on chain too"
    assert Decimal(books["paid_labelers"]) == Decimal(sum(gained)) / TOKEN
    spoken = ("paid_labelers", "paid_validators", "fees", "reserved", "refundable", "refunded")
    assert sum(Decimal(books[name]) for name in spoken) == Decimal(books["locked"])
    chain = await market.market.participants.get(bytes(idle.key.pubkey()), fresh=True)
    assert chain.counters["accepted"] == right[idle.wallet], "no right answer is a strike"
    assert chain.counters["rejected"] == ITEMS - right[idle.wallet] >= chain.counters["strikes"]

    report = await market.audit(address)
    assert report.ok, report.finding
    assert report.answers_unpaid == unpaid[idle.wallet]
    await the_labeler_is_told(market, idle, honest[0], address, unpaid[idle.wallet])


async def the_labeler_is_told(market: Any, idle: Any, honest: Any, address: str, unpaid: int) -> None:
    """Each its own, with the reason and the numbers: by the API, and by the command."""
    mine = await idle.answers(request=address, limit=100)
    assert sum(one["unpaid"] for one in mine) == unpaid
    assert all(one["verdict"] and one["paid"] == 0 for one in mine if one["unpaid"])
    earned = await idle.earnings()
    assert (earned["unpaid"], earned["balances"][0]["due"]) == (unpaid, "0")
    told, other = [(await one.standing(request=address))["request"] for one in (idle, honest)]
    assert (told["pay"], told["unpaid"], other["unpaid"]) == ("information", unpaid, 0)
    assert "your right answers are not paid until later ones" in told["text"]
    assert "no strike" in told["text"]
    assert "25 % is asked for: your right answers are paid." in other["text"]
    assert f"({ITEMS} settled, {unpaid} right and not paid)" in text(await idle.standing(request=address))
