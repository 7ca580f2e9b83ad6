"""Environments for peers whose requirements exclude ours: made once from a lock file, kept in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

INSTALL_SECONDS = 180


def environment(lock: Path) -> Path:
    """The interpreter of an environment that holds what `lock` lists; skips the test where it cannot be made."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "assay"
    version = "{}.{}".format(*sys.version_info)
    folder = cache / f"{lock.stem}-{hashlib.sha256(lock.read_bytes() + version.encode()).hexdigest()[:16]}"
    python, stamp = folder / "bin" / "python", folder / "installed"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)  # another run makes it already
        if not stamp.exists():
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
            _run(lock, [sys.executable, "-m", "venv", "--clear", str(folder)])
            _run(lock, [*pip, "--no-deps", "--prefer-binary", "--requirement", str(lock)])
            stamp.touch()
    return python


def _run(lock: Path, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the environment of {lock.name} was not made within {INSTALL_SECONDS} s")
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()] or ["no message"]
        pytest.skip(f"the environment of {lock.name} cannot be made: {said[-1]}")
