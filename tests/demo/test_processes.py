"""Child processes: whose state file it is, whose log, and that none outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay.demo.processes import Processes, ProcessFailed

SLEEPER = ("timeit", "-n1", "-r1", "import time; time.sleep(60)")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def test_another_servers_state_is_neither_taken_nor_removed(tmp_path: Path) -> None:
    state = tmp_path / "server.json"
    state.write_text(json.dumps({"pid": os.getpid(), "url": "of another"}))
    async with Processes(tmp_path) as processes:
        await processes.start("server", *SLEEPER)
        with pytest.raises(ProcessFailed, match="did not come up"):
            await processes.until_up("server", state, seconds=0.2)
        assert json.loads(state.read_text())["url"] == "of another"
        state.write_text(json.dumps({"pid": processes.running["server"].pid, "url": "mine"}))
        assert (await processes.until_up("server", state, seconds=5))["url"] == "mine"


async def test_a_failure_shows_what_this_run_wrote(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        (processes.logs / "server.log").write_text("an earlier run\n")
        await processes.start("server", "timeit", "raise SystemExit('no room')")
        with pytest.raises(ProcessFailed, match="no room") as failed:
            await processes.until_up("server", tmp_path / "server.json", seconds=30)
        assert "earlier" not in str(failed.value)


async def test_a_failures_message_is_passed_on(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        await processes.start("server", "assay", "serve", "--home", str(tmp_path), "--port", "99999")
        with pytest.raises(ProcessFailed) as failed:
            await processes.until_up("server", tmp_path / "server.json", seconds=60)
        said = str(failed.value)
        assert said.startswith("--port: is 99999")
        assert said.endswith(" [server]")
        assert "\n" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to end the children")
def test_children_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from assay.demo.processes import Processes\n"
        "async def main():\n"
        "    processes = Processes(Path(sys.argv[1]))\n"
        f"    await processes.start('one', *{SLEEPER!r})\n"
        "    print(processes.running['one'].pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    child, deadline = int(done.stdout), time.monotonic() + 10
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)
