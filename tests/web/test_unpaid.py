"""A labeler whose right answers are not paid reads it, and why, on the page; the others read nothing of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from support.waiting import until

from assay.demo.markets import MarketProcesses
from assay.domain.standing import FIRST_USE
from assay.domain.tally import Role
from assay.settings import load

pytest.importorskip("sklearn", reason="the market's validators read digits with scikit-learn")

CLASSES = ["cat", "dog", "owl"]
ITEMS = FIRST_USE + 6
SECONDS = 60_000


async def label(market: MarketProcesses, key: Keypair, address: str, labels: list[str], *, start: int) -> None:
    """Answers the tasks from number `start` on, as many as `labels` are."""
    async with market.client(key) as client:
        tasks = [bytes.fromhex(one["task"]) for one in await client.tasks(address)][start : start + len(labels)]
        leases = {lease.task: lease for lease in await client.claim(limit=len(tasks), request=address, tasks=tasks)}
        answers = [(leases[task], {"value": one}) for task, one in zip(tasks, labels, strict=True)]
        assert not [one for one in await client.submit_many(answers) if one.get("problem")]


@pytest.mark.timeout(280)
async def test_what_is_right_and_not_paid_is_shown_with_its_reason(browser: Any, page: Any, tmp_path: Path) -> None:
    page.set_default_timeout(SECONDS)
    lines: list[str] = []
    async with MarketProcesses(load(home=tmp_path / "home"), validators=3, say=lines.append) as market:
        buyer, idle, *honest = [Keypair() for _ in range(4)]
        await market.enrol([buyer], Role.BUYER, stake=0, spend=1_000)
        await market.enrol([idle, *honest], Role.LABELER, stake=200)  # its strikes cost the idle one a part of it
        async with market.client(buyer) as client:
            items = [await client.upload(b"%d" % i, media_type="text/plain; charset=utf-8") for i in range(ITEMS)]
            spec = {
                "title": "Animals", "instructions": "Which?", "kind": "choice", "schema": {"classes": CLASSES},
                "mode": "agreement", "overlap": 3, "assignment": "open",
                "items": [{"cid": one["cid"], "media_type": one["media_type"]} for one in items],
                "validation": {"pay": "information"},
            }  # fmt: skip
            address = str((await client.post({"spec": spec, "price": "1", "validation_fee": "0.04"}))["address"])
            await until(client, address, lambda now: now["request"]["state"] == "open")
            truth = [CLASSES[i % 3] for i in range(ITEMS)]
            for start, end in ((0, FIRST_USE), (FIRST_USE, ITEMS)):
                for key in honest:
                    await label(market, key, address, truth[start:end], start=start)
                await label(market, idle, address, ["cat"] * (end - start), start=start)
                now = await until(client, address, lambda now, all=3 * end: now["settled"] == all)
            unpaid = now["unpaid"]
        assert unpaid == truth[FIRST_USE:].count("cat")

        for key, expected in ((idle, unpaid), (honest[0], 0)):
            saved = tmp_path / "key.json"
            saved.write_text(json.dumps(list(bytes(key))))
            async with await browser.new_context() as context:
                own = await context.new_page()
                own.set_default_timeout(SECONDS)
                await own.goto(f"{market.url}/#/wallet")
                await own.get_by_label("Import a key file").set_input_files(saved)
                await own.get_by_text("At stake").wait_for()
                await own.get_by_role("link", name="Earnings").click()
                await own.get_by_role("cell", name="accepted").first.wait_for()
                assert await own.get_by_role("cell", name="right, not paid").count() == expected
                if expected:
                    await own.locator("#unpaid", has_text="your right answers are not paid until later ones").wait_for()
                    assert "Of these right, not paid" in await own.locator("#sums").inner_text()
                else:
                    assert await own.locator("#unpaid").inner_text() == ""
        await page.goto(f"{market.url}/#/requests/{address}")
        await page.get_by_text(f"({unpaid} not paid)").wait_for()
