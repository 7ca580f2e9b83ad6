"""Starts, watches and ends the processes of a market; each writes its log under `HOME/logs`."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Self

from assay.errors import AssayError

MESSAGES = ("assay", "assay-validator")
"""What a command's message to its user begins with, in the last line that it wrote."""
STOP_SECONDS = 10.0
"""How long a process may take to end by itself before it is killed."""


def _end_with_parent() -> None:
    """Asks the kernel for a SIGTERM when the parent is gone, so that a `kill -9` of it leaves nobody on its home."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class ProcessFailed(AssayError):
    """A process of the market ended before it should."""

    code = "process_failed"


class Processes:
    """The child processes of a run, by name. Leaving the block ends all of them, last started first."""

    def __init__(self, home: Path) -> None:
        self.logs = home / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.running: dict[str, asyncio.subprocess.Process] = {}
        self._from: dict[str, int] = {}  # where in its log each began

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(reversed(self.running)):
            await self.stop(name)

    async def start(self, name: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        """Run `python -m ARGUMENTS` as the process `name`; its output goes to `logs/NAME.log`.

        Raises `ValueError` if a process of that name still runs.
        """
        if name in self.running and self.running[name].returncode is None:
            raise ValueError(f"{name} runs already")
        with open(self.logs / f"{name}.log", "ab") as log:
            self._from[name] = log.tell()
            self.running[name] = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                start_new_session=True,  # Ctrl-C reaches us alone, who then end them in order
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    async def stop(self, name: str) -> int:
        """End `name` by SIGTERM, after `STOP_SECONDS` by SIGKILL; its exit code."""
        process = self.running[name]
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode

    async def kill(self, name: str) -> None:
        """End `name` at once (SIGKILL), as a crash would; it is no longer watched."""
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    def check(self) -> None:
        """Raise `ProcessFailed` if a process is gone: with its message where it said one, else the end of its log."""
        for name, process in self.running.items():
            if process.returncode is not None:
                tag, _, said = self.tail(name, lines=1).partition(": ")
                if tag in MESSAGES and process.returncode == 1:
                    raise ProcessFailed(f"{said} [{name}]")
                raise ProcessFailed(f"{name} ended with {process.returncode}; the end of its log:\n{self.tail(name)}")

    def tail(self, name: str, *, lines: int = 15) -> str:
        """The last lines that `name` wrote since it was started here."""
        path = self.logs / f"{name}.log"
        if not path.exists():
            return ""
        written = path.read_bytes()[self._from.get(name, 0) :].decode(errors="replace")
        return "\n".join(written.splitlines()[-lines:])

    async def until_up(self, name: str, path: Path, *, seconds: float) -> dict[str, Any]:
        """Wait until the process `name` has written its state (JSON with its `pid`) to `path`; that state.

        What another process wrote there, dead or alive, is left alone. Raises `ProcessFailed` if a process ends
        meanwhile or the time is over.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            with contextlib.suppress(FileNotFoundError):
                state: dict[str, Any] = json.loads(path.read_text())
                if state["pid"] == self.running[name].pid:
                    return state
            self.check()
            if asyncio.get_running_loop().time() > deadline:
                tails = "\n".join(f"-- {name}\n{self.tail(name)}" for name in self.running)
                raise ProcessFailed(f"{name} did not come up within {seconds:.0f} s\n{tails}")
            await asyncio.sleep(0.02)
