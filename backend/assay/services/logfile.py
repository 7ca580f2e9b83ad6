"""Files of whole lines that only grow: appended with a wait for the disk, mended after a crash, read from a line on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO

import structlog

log = structlog.get_logger(__name__)

CHUNK = 1 << 20
"""Bytes of a log that are read at a time."""


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


def last_line(path: Path) -> bytes:
    """The last line of a file that `mend` has seen; empty where there is none."""
    if not path.exists():
        return b""
    data = path.read_bytes()
    return data[data.rfind(b"\n", 0, -1) + 1 :]


async def lines_after(path: Path, after: int) -> AsyncGenerator[bytes, None]:
    """The whole lines of a file without the first `after`, in pieces of at most `CHUNK` bytes, however long it is."""
    found = await asyncio.to_thread(_place, path, after)
    if found is None:
        return
    file, left = found
    try:
        while left > 0 and (part := await asyncio.to_thread(file.read, min(CHUNK, left))):
            left -= len(part)
            yield part
    finally:
        file.close()


def _place(path: Path, after: int) -> tuple[BinaryIO, int] | None:
    """The file behind its first `after` lines, and the bytes from there to the end of its last whole line."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    for _ in range(after):
        if not file.readline().endswith(b"\n"):
            file.close()
            return None
    start, end = file.tell(), file.seek(0, os.SEEK_END)
    while end > start:
        begin = max(start, end - CHUNK)
        file.seek(begin)
        whole = file.read(end - begin).rfind(b"\n") + 1
        end = begin + whole
        if whole:
            break
    file.seek(start)
    return file, end - start
