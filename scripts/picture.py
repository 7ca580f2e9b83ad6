#!/usr/bin/env python3
"""Makes the docs' pictures of the page, docs/images/label.png and post.png: `.venv/bin/python scripts/picture.py`.

A real market in a temporary folder, a real browser (Chromium): three answers to the sample request and a fourth on its
way; a buyer's request before its signature. Needs what the tests need: `./test --collect-only` sets that up.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from assay.demo import digits, serve
from assay.demo.markets import MarketProcesses
from assay.settings import load

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
ANSWERS = 3
WIDTH, HEIGHT = 820, 790
REVIEWS = ("A good film.", "Dreadful, all of it.", "I laughed.", "I slept.", "Twice!", "Never again.")


async def main() -> None:
    """Works as a person would, then takes the pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("picture: there is no Chromium here (Debian: apt install chromium)")
    truth = {item.png: item.truth for item in digits.items(serve.SAMPLE_RECORDS, seed=11)}
    with tempfile.TemporaryDirectory() as home:
        market = MarketProcesses(load(home=Path(home)), validators=3, say=lambda line: print(line, file=sys.stderr))
        async with market, async_playwright() as playwright:
            await serve.sample(market)
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox"])
            page = await joined(browser, market.url, "Register and stake")
            await page.get_by_role("link", name="Label", exact=True).click()
            for _ in range(ANSWERS):
                heading = await read(market, page, truth)
                await page.keyboard.press("Enter")
                await page.locator("main h3").filter(has_not_text=re.compile(rf"^{heading}$")).wait_for()
            await page.get_by_role("status").filter(has_text="Paid").wait_for()
            await read(market, page, truth)
            await page.screenshot(path=IMAGES / "label.png")
            page = await joined(browser, f"{market.url}/#/post", "Register as a buyer")
            await order(page)
            await page.screenshot(path=IMAGES / "post.png")
            await browser.close()
    for name in ("label.png", "post.png"):
        print(f"{IMAGES / name}: {(IMAGES / name).stat().st_size // 1000} kB")


async def joined(browser: Browser, url: str, register: str) -> Page:
    """A page of a new wallet that is funded and registered by the button `register`."""
    page = await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.set_default_timeout(60_000)
    await page.goto(url)
    await page.get_by_role("button", name="Make a wallet").click()
    await page.get_by_role("button", name="Get test tokens").click()
    await page.get_by_role("button", name=register).click()
    await page.get_by_role("button", name="Sign and send").click()
    return page


async def order(page: Page) -> None:
    """Fills the form of a request and asks for its signature."""
    fields = {"Title": "Film reviews", "Instructions": "Is the reviewer pleased?", "Classes": "pleased\nnot pleased"}
    for label, text in {**fields, "Price": "0.05", "Validation": "0.01", "Texts, one": "\n".join(REVIEWS)}.items():
        await page.get_by_role("textbox", name=label).fill(text)
    await page.get_by_label("More answers where in doubt").check()
    await page.get_by_role("button", name="Add these texts").click()
    await page.locator("#sum").filter(has_text="are locked").wait_for()
    await page.get_by_role("button", name="Post the request").click()
    await page.get_by_role("dialog").wait_for()


async def read(market: MarketProcesses, page: Page, truth: dict[bytes, str]) -> str:
    """Chooses the right digit for the image on the page; the heading above it."""
    image = page.locator(".item img")
    await image.wait_for()
    source = await image.get_attribute("src") or ""
    png = await market.client(market.validators[0]).content(source.rpartition("/")[2])
    await page.keyboard.press(truth[png])
    return await page.locator("main h3").inner_text()


asyncio.run(main())
