"""Files of whole lines that only grow: appended with a wait for the disk, mended after a crash, read from a line on."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


def append(path: Path, data: bytes) -> None:
    """Appends and waits for the disk; a file that is new is flushed with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    with open(path, "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if fresh:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def mend(path: Path) -> int:
    """Cuts off a line that has no end; how many whole lines there are."""
    if not path.exists():
        return 0
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        log.warning("cut-off line taken away", file=path.name, bytes=len(data) - whole)
        with open(path, "r+b") as file:
            file.truncate(whole)
            file.flush()
            os.fsync(file.fileno())
    return data.count(b"\n")


def read_after(path: Path, after: int) -> bytes:
    """The whole lines of a file without the first `after`."""
    if not path.exists():
        return b""
    data = path.read_bytes()
    start = 0
    for _ in range(after):
        start = data.find(b"\n", start) + 1
        if start == 0:
            return b""
    return data[start : data.rfind(b"\n") + 1]
