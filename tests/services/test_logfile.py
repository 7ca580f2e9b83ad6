"""Log files: read from a line on in pieces, whole lines alone, however long they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.services import logfile

LINES = [b"a\n", b"b" * 50 + b"\n", b"\n", b"c" * 9 + b"\n"]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("cut", [b"", b"half a line that is just being writt"])
async def test_whole_lines_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, cut: bytes) -> None:
    monkeypatch.setattr(logfile, "CHUNK", chunk)
    path = tmp_path / "log"
    path.write_bytes(b"".join(LINES) + cut)
    for after in (*range(len(LINES) + 2), 2**53):
        pieces = [piece async for piece in logfile.lines_after(path, after)]
        assert all(0 < len(piece) <= chunk for piece in pieces)
        assert b"".join(pieces) == b"".join(LINES[after:])


async def test_what_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert [piece async for piece in logfile.lines_after(tmp_path / "none", 0)] == []
    assert logfile.last_line(tmp_path / "none") == b""
    (tmp_path / "cut").write_bytes(b"no end")
    assert [piece async for piece in logfile.lines_after(tmp_path / "cut", 0)] == []


def test_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for count in range(1, len(LINES) + 1):
        path.write_bytes(b"".join(LINES[:count]))
        assert logfile.last_line(path) == LINES[count - 1]
