"""A real browser on the real page."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP market.test 127.0.0.1",  # a name that browsers do not take for this machine
]  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips the tests of this folder, before they start any server, where there is no browser to run them in."""
    if importlib.util.find_spec("playwright") is None:
        absent = "playwright (it is in requirements-test.lock)"
    elif CHROMIUM is None:
        absent = "Chromium (Debian: apt install chromium)"
    else:
        return
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.skip(reason=f"the page's tests need {absent}"))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a Chromium can be asked for contexts, each a profile of its own; it ends with the session."""
    chosen = tmp_path_factory.mktemp("chromium") / "launch.json"
    chosen.write_text(json.dumps({"executablePath": CHROMIUM, "args": ARGUMENTS}))
    command = [sys.executable, "-m", "playwright", "launch-server", "--browser", "chromium", "--config", str(chosen)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("ws://"), f"Chromium did not start: {address}{process.stdout.read()}"
        yield address
        os.killpg(process.pid, signal.SIGTERM)  # the command's Python and the Node that it runs


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Any]:
    """Chromium; contexts that are opened in it end with the test."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        running = await playwright.chromium.connect(chromium)
        yield running
        await running.close()


@pytest.fixture
async def page(browser: Any) -> AsyncIterator[Any]:
    """A page of a fresh profile; fails the test for any script error or anything that the page's policy refused."""
    context = await browser.new_context()
    opened = await context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    yield opened
    await context.close()
    # What the server refuses, and an outage, the browser logs by itself; how the page takes it the tests look at.
    assert [text for text in wrong if not text.startswith("Failed to load resource")] == []
