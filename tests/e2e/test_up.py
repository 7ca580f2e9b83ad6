"""`./assay up`: says where one can label, ends on Ctrl-C, and goes on where it was."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

pytest.importorskip("sklearn", reason="the sample request needs scikit-learn")


async def up(home: Path) -> str:
    """Runs it until it is up, looks at the page, interrupts it; what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "assay", "up", "--home", str(home), "--port", "0", stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    said = ""
    try:
        async with asyncio.timeout(120):
            while not (found := re.search(r"^up: label at (\S+) ", said, re.MULTILINE)):
                line = await process.stderr.readline()
                assert line, said
                said += line.decode()
        async with aiohttp.ClientSession() as http, http.get(found[1]) as response:
            assert "<title>Assay</title>" in await response.text()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        rest, code = await process.stderr.read(), await process.wait()
    assert code == 0, said + rest.decode()
    return said


@pytest.mark.timeout(280)
async def test_it_names_the_page_and_finds_its_sample_again(tmp_path: Path) -> None:
    first = re.search(r"sample request: (\w+), 100 handwritten digits", await up(tmp_path))
    assert first is not None
    assert f"sample request: {first[1]} is open" in await up(tmp_path)
