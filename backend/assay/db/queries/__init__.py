"""Named queries, read once from the ``.sql`` files beside this module: each starts with a line ``-- name``."""

from __future__ import annotations

import re
from importlib import resources

HEADER = re.compile(r"^-- ([a-z][a-z0-9_]*)$", re.MULTILINE)


def load() -> dict[str, str]:
    """Text of every query by name. Raises `ValueError` for a name used twice."""
    found: dict[str, str] = {}
    for file in sorted(resources.files(__name__).iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        parts = HEADER.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            if name in found:
                raise ValueError(f"query {name} of {file.name} exists already")
            found[name] = text.strip().rstrip(";")
    return found


QUERIES: dict[str, str] = load()
