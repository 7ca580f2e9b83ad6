"""A labeler disputes a rejection on the page, and reads what it costs before it signs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from support.waiting import until

from assay.demo.markets import MarketProcesses
from assay.domain.tally import Role
from assay.settings import load

pytest.importorskip("sklearn", reason="the market's validators read digits with scikit-learn")

SECONDS = 60_000
BOND = 10


@pytest.mark.timeout(280)
async def test_a_rejection_is_disputed_on_the_page(page: Any, tmp_path: Path) -> None:
    page.set_default_timeout(SECONDS)
    lines: list[str] = []
    async with MarketProcesses(load(home=tmp_path / "home"), validators=3, say=lines.append) as market:
        buyer, *labelers = [Keypair() for _ in range(4)]
        await market.enrol([buyer], Role.BUYER, stake=0, spend=100)
        await market.enrol(labelers, Role.LABELER, stake=100, spend=50)
        async with market.client(buyer) as client:
            item = await client.upload(b"miaow", media_type="text/plain; charset=utf-8")
            spec = {
                "title": "Animals", "instructions": "Which?", "kind": "choice", "schema": {"classes": ["cat", "dog"]},
                "mode": "agreement", "overlap": 3, "items": [{"cid": item["cid"], "media_type": item["media_type"]}],
            }  # fmt: skip
            address = str((await client.post({"spec": spec, "price": "1", "validation_fee": "0.04"}))["address"])
            await until(client, address, lambda now: now["request"]["state"] == "open")
            for key, label in zip(labelers, ("cat", "dog", "dog"), strict=True):
                async with market.client(key) as labeler:
                    (lease,) = await labeler.claim(request=address)
                    await labeler.submit(lease, {"value": label})
            await until(client, address, lambda now: now["settled"] == 3)

        saved = tmp_path / "key.json"
        saved.write_text(json.dumps(list(bytes(labelers[0]))))
        await page.goto(f"{market.url}/#/wallet")
        await page.get_by_label("Import a key file").set_input_files(saved)
        await page.get_by_text("At stake").wait_for()
        async with market.client(labelers[0]) as labeler:
            before = (await labeler.balance())["tokens"]
            (answer,) = await labeler.answers()
            await page.get_by_role("link", name="Earnings").click()
            await page.get_by_role("button", name="Dispute").click()
            question = page.get_by_role("dialog")
            await question.get_by_text(f"answer {answer['answer'][:8]}").wait_for()
            assert f"{BOND} tokens" in await question.inner_text()
            await question.get_by_role("button", name="Sign and send").click()
            await page.get_by_text("The dispute is open").wait_for()
            assert (await labeler.disputed(answer["answer"]))["dispute"]
            assert float((await labeler.balance())["tokens"][0]) == float(before[0]) - BOND
            await page.get_by_role("button", name="Dispute").click()
            await page.get_by_text("was disputed before").wait_for()
