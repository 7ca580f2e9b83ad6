"""A person's way through the page, on a market of real processes: from no wallet to being paid."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from support.waiting import until

from assay.chain.keys import ensure_key
from assay.demo import digits, serve
from assay.demo.markets import MarketProcesses
from assay.demo.run import PRICE
from assay.settings import load

pytest.importorskip("sklearn", reason="the sample request needs scikit-learn")

SECONDS = 60_000  # ms that a step may take on a busy machine


@pytest.fixture(scope="module")
def truths() -> dict[bytes, str]:
    """The right digit of each image of the sample request."""
    return {item.png: item.truth for item in digits.items(serve.SAMPLE_RECORDS, seed=11)}


async def answer(page: Any, market: MarketProcesses, truths: dict[bytes, str]) -> int:
    """Reads the task on the page and answers it by keyboard; the item's number."""
    item = page.locator(".item img")
    await item.wait_for(timeout=SECONDS)
    heading = await page.get_by_role("heading", level=3).inner_text()
    png = await market.client(market.validators[0]).content((await item.get_attribute("src")).rpartition("/")[2])
    await page.keyboard.press(truths[png])
    await page.keyboard.press("Enter")
    await page.wait_for_function(
        "(old) => document.querySelector('main h3')?.textContent !== old", arg=heading, timeout=SECONDS
    )
    return int(heading.removeprefix("Item "))


async def settled(market: MarketProcesses, request: str, answers: int) -> int:
    """Waits until so many answers are judged and settled; how many of them the validators, who err, accepted."""
    now = await until(market.client(market.validators[0]), request, lambda now: bool(now["settled"] >= answers))
    return int(now["accepted"])


async def until_paid(page: Any, answers: int) -> Decimal:
    """Waits until the page says that so many answers are paid; the amount it names."""
    amount = answers * Decimal(PRICE)
    await page.locator("#paid", has_text=re.compile(rf"^{amount.normalize():f} tokens paid")).wait_for()
    return amount


@pytest.mark.timeout(280)
async def test_a_person_makes_a_wallet_labels_and_is_paid(
    browser: Any, page: Any, tmp_path: Path, truths: dict[bytes, str]
) -> None:
    page.set_default_timeout(SECONDS)
    settings = load(home=tmp_path / "home")
    lines: list[str] = []
    async with MarketProcesses(settings, validators=3, say=lines.append) as market:
        request = await serve.sample(market)
        await page.goto(market.url)

        # A wallet, money, a registration that says what it does.
        await page.get_by_role("button", name="Make a wallet").click()
        await page.get_by_role("button", name="Get test tokens").click()
        await page.get_by_role("button", name="Register and stake 100 tokens").click()
        dialog = page.get_by_role("dialog")
        assert "Stake 100 tokens" in await dialog.inner_text()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")

        # Work by keyboard; three answers judged and settled by real validators.
        await page.get_by_role("link", name="Label", exact=True).click()
        done = {await answer(page, market, truths) for _ in range(3)}
        await until_paid(page, await settled(market, request, 3))

        # The server is killed while a task is open: the page says so, keeps what was entered and goes on.
        item = page.locator(".item img")
        await item.wait_for()
        held = await page.get_by_role("heading", level=3).inner_text()
        png = await market.client(market.validators[0]).content((await item.get_attribute("src")).rpartition("/")[2])
        await market.processes.kill("server")
        await page.keyboard.press(truths[png])
        await page.keyboard.press("Enter")
        away = page.locator("#outage")
        await away.wait_for()
        assert "does not answer" in await away.inner_text()
        assert await page.get_by_role("heading", level=3).inner_text() == held
        await market.start_server()
        await away.wait_for(state="hidden")
        await page.wait_for_function("(old) => document.querySelector('main h3')?.textContent !== old", arg=held)
        done.add(int(held.removeprefix("Item ")))
        done.add(await answer(page, market, truths))
        assert len(done) == 5  # no task came twice
        accepted = await settled(market, request, 5)
        assert accepted >= 1
        total = await until_paid(page, accepted)

        # The earnings by payment, as the chain and the API have them.
        await page.get_by_role("link", name="Earnings").click()
        await page.get_by_role("cell", name="accepted").nth(accepted - 1).wait_for()
        address = await page.locator("#wallet code").get_attribute("title")
        rows = page.locator("#payments tbody tr")
        amounts = [Decimal(await rows.nth(i).locator("td").nth(1).inner_text()) for i in range(await rows.count())]
        assert sum(amounts) == total

        # The key goes out, the browser loses it, it comes back, and it is the wallet of the money.
        await page.get_by_role("link", name="Wallet").click()
        async with page.expect_download() as saving:
            await page.get_by_role("button", name="Save the key file").click()
        saved = tmp_path / "key.json"
        await (await saving.value).save_as(saved)
        key = Keypair.from_bytes(bytes(json.loads(saved.read_text())))
        assert str(key.pubkey()) == address
        own = await market.client(key).balance()
        assert Decimal(own["tokens"][0]) == total
        async with await browser.new_context() as elsewhere:
            other = await elsewhere.new_page()
            other.set_default_timeout(SECONDS)
            await other.goto(f"{market.url}/#/wallet")
            await other.get_by_label("Import a key file").set_input_files(saved)
            await other.get_by_text("At stake").wait_for()
            assert await other.locator("#address").inner_text() == address
            await other.get_by_text(f"{accepted} good and {5 - accepted} bad still count today").wait_for()
            await until_paid(other, accepted)

            # The buyer's own key on the page: progress, and the records done so far.
            buyer = settings.keys_dir / "buyer.json"
            await other.get_by_label("Import a key file").set_input_files(buyer)
            await other.get_by_role("button", name="Use another wallet here").click()
            await other.locator("#address", has_text=str(ensure_key(buyer).pubkey())).wait_for()
            await other.goto(f"{market.url}/#/requests/{request}")
            await other.get_by_text(f"{accepted} of 100 records done").wait_for()
            await other.get_by_text("The validators agree: Krippendorff's α").wait_for()
            async with other.expect_download() as loading:
                await other.get_by_role("button", name="Download CSV").click()
            table = tmp_path / "records.csv"
            await (await loading.value).save_as(table)
            assert len(table.read_text().splitlines()) == 1 + accepted, table.read_text()
