#!/usr/bin/env python3
"""Makes docs/images/label.png, the README's picture of the page: `.venv/bin/python scripts/picture.py`.

A real market in a temporary folder, a real browser (Chromium), three answers to the sample request, a fourth on its
way. Needs what the tests need: `./test --collect-only` sets that up.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page, async_playwright

from assay.demo import digits, serve
from assay.demo.markets import MarketProcesses
from assay.settings import load

OUT = Path(__file__).resolve().parent.parent / "docs" / "images" / "label.png"
ANSWERS = 3
WIDTH, HEIGHT = 820, 790


async def main() -> None:
    """Works as a person would, then takes the picture."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("picture: there is no Chromium here (Debian: apt install chromium)")
    truth = {item.png: item.truth for item in digits.items(serve.SAMPLE_RECORDS, seed=11)}
    with tempfile.TemporaryDirectory() as home:
        market = MarketProcesses(load(home=Path(home)), validators=3, say=lambda line: print(line, file=sys.stderr))
        async with market, async_playwright() as playwright:
            await serve.sample(market)
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox"])
            page = await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.set_default_timeout(60_000)
            await page.goto(market.url)
            await page.get_by_role("button", name="Make a wallet").click()
            await page.get_by_role("button", name="Get test tokens").click()
            await page.get_by_role("button", name="Register and stake").click()
            await page.get_by_role("button", name="Sign and send").click()
            await page.get_by_role("link", name="Label", exact=True).click()
            for _ in range(ANSWERS):
                heading = await read(market, page, truth)
                await page.keyboard.press("Enter")
                await page.locator("main h3").filter(has_not_text=re.compile(rf"^{heading}$")).wait_for()
            await page.get_by_role("status").filter(has_text="Paid").wait_for()
            await read(market, page, truth)
            await page.screenshot(path=OUT)
            await browser.close()
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


async def read(market: MarketProcesses, page: Page, truth: dict[bytes, str]) -> str:
    """Chooses the right digit for the image on the page; the heading above it."""
    image = page.locator(".item img")
    await image.wait_for()
    source = await image.get_attribute("src") or ""
    png = await market.client(market.validators[0]).content(source.rpartition("/")[2])
    await page.keyboard.press(truth[png])
    return await page.locator("main h3").inner_text()


asyncio.run(main())
