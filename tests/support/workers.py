"""A validator's worker as a process of its own, forked from one that has imported what every worker imports.

The import takes a worker longer than the work of most tests. `python -m assay_validator` from the start is what the
demo's tests run.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_SECONDS = 60
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["assay_validator.cli", "httpcore2", "anyio._backends._asyncio"])  # its HTTP client's


class WorkerProcess:
    """`await WorkerProcess.start([...], ...)` runs `python -m assay_validator ARGUMENTS`."""

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process = process

    @classmethod
    async def start(
        cls, arguments: Sequence[str], *, log: Path, path: Path, environment: Mapping[str, str]
    ) -> WorkerProcess:
        """Output goes to `log`; modules are found in `path` too; `environment` is added to ours."""
        given = (list(arguments), str(log), str(path), {**os.environ, **environment})
        process = _forks.Process(target=_run, args=given, daemon=True)
        await asyncio.to_thread(process.start)  # the first waits for the imports
        return cls(process)

    async def stop(self, how: signal.Signals) -> int:
        """Sends the signal and waits for the end; the exit code, negative where a signal ended it."""
        if self._process.is_alive():
            assert self._process.pid is not None
            os.kill(self._process.pid, how)
        await asyncio.to_thread(self._process.join, STOP_SECONDS)
        code = self._process.exitcode
        assert code is not None, f"the worker did not end within {STOP_SECONDS} s"
        return code


def _run(arguments: list[str], log: str, path: str, environment: dict[str, str]) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, path)
    sys.argv[1:] = arguments
    runpy.run_module("assay_validator", run_name="__main__", alter_sys=True)
