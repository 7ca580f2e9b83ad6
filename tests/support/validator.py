"""A real Solana validator for tests, where its binary is there."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

BINARY = Path(
    os.environ.get("ASSAY_TEST_VALIDATOR", "~/.cache/solana-validator/bin/solana-test-validator")
).expanduser()
START_SECONDS = 90
STOP_SECONDS = 20
PORTS = 64
SPINS = "solBnkTxSched"
SPINS_SECONDS = 5
"""When it has begun, at the latest."""


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports that are free.

    Below those that systems give to whoever asks for any; processes side by side begin at ports of their own.
    """
    for start in range(10_000 + os.getpid() * count % 20_000, 32_000, count):
        taken = []
        try:
            for port in range(start, start + count):
                taken.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue
        finally:
            for server in taken:
                server.close()
        return start
    raise RuntimeError("no free ports")


@contextmanager
def solana_validator(ledger: Path, arguments: Sequence[str]) -> Iterator[str]:
    """Run one and give the address of its JSON-RPC; skips the test where there is no binary."""
    if not BINARY.is_file():
        pytest.skip(f"no solana-test-validator at {BINARY}")
    ports = free_ports(PORTS)
    url = f"http://127.0.0.1:{ports}"
    command = [
        str(BINARY), "--reset", "--quiet", "--bind-address", "127.0.0.1", "--ledger", str(ledger),
        "--rpc-port", str(ports), "--faucet-port", str(ports + 2), "--gossip-port", str(ports + 3),
        "--dynamic-port-range", f"{ports + 4}-{ports + PORTS}", *arguments,
    ]  # fmt: skip
    with (ledger / "output").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _healthy(url):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the validator did not start: {(ledger / 'output').read_text()[-2000:]}")
            time.sleep(0.2)
        _go_last(process.pid)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _go_last(pid: int) -> None:
    """Its scheduler of transactions spins for as long as it runs: it leaves the core to whoever has work (on Linux)."""
    threads, deadline = Path(f"/proc/{pid}/task"), time.monotonic() + SPINS_SECONDS
    while threads.is_dir() and time.monotonic() < deadline:
        for thread in threads.iterdir():
            with suppress(OSError):
                if (thread / "comm").read_text().strip() == SPINS:
                    return os.setpriority(os.PRIO_PROCESS, int(thread.name), 10)
        time.sleep(0.1)


def _healthy(url: str) -> bool:
    body = b'{"jsonrpc":"2.0","id":1,"method":"getHealth"}'
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=2) as response:
            return bool(json.load(response).get("result") == "ok")
    except OSError:
        return False
