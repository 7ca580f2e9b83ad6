"""Sets up the environment beside the checkout (`.venv`) from a committed lock file. Standard library only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 11)


def python() -> Path:
    """The environment's interpreter."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ensure(lock_name: str) -> Path:
    """Return the interpreter of an environment that holds `lock_name`; install it first where it does not.

    Idempotent and safe against a set-up that was interrupted: the stamp is written last, and one process sets up
    at a time. A second call reads one small file.
    """
    lock = ROOT / lock_name
    wanted = hashlib.sha256(lock.read_bytes() + str(ROOT).encode() + str(sys.version_info[:2]).encode()).hexdigest()
    stamp = VENV / f"{lock_name}.installed"
    if _read(stamp) == wanted and python().exists():
        return python()
    with _alone():
        if _read(stamp) == wanted and python().exists():
            return python()
        _install(lock)
        stamp.write_text(wanted)
    return python()


def _install(lock: Path) -> None:
    interpreter = _interpreter()
    if not python().exists() or _version(str(python())) != _version(interpreter):
        _say(f"making an environment in {VENV.name}/")
        shutil.rmtree(VENV, ignore_errors=True)
        made = subprocess.run([interpreter, "-m", "venv", str(VENV)], capture_output=True, text=True)
        if made.returncode != 0:
            shutil.rmtree(VENV, ignore_errors=True)
            sys.exit(
                "Python's venv module does not work here (on Debian: apt install python3-venv):\n"
                + made.stderr
                + made.stdout
            )
    _say(f"installing what {lock.name} lists (about a minute, once)")
    command = [str(python()), "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
    command += ["--only-binary", ":all:", "--progress-bar", "on" if sys.stderr.isatty() else "off", "-r", str(lock)]
    if not sys.stderr.isatty():
        command.append("--quiet")
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        sys.exit(f"Could not install {lock.name}; see pip's message above. Run the command again to go on.")
    purelib = subprocess.run(
        [str(python()), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # The checkout itself is what runs, so that an edit takes effect at once.
    Path(purelib, "assay-checkout.pth").write_text(f"{ROOT / 'backend'}\n{ROOT / 'validators'}\n")


def _interpreter() -> str:
    """The Python that runs this, or a newer one on the PATH if it is too old."""
    if sys.version_info >= OLDEST:
        return sys.executable
    for minor in range(14, OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    sys.exit(f"Assay needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable}).")


def _version(interpreter: str) -> str:
    code = "import sys; print(sys.version_info[:2])"
    result = subprocess.run([interpreter, "-c", code], capture_output=True, text=True)
    return result.stdout.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _say(text: str) -> None:
    print(f"assay: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold off a second set-up of the same checkout until the first is done."""
    with open(ROOT / ".venv.lock", "w") as handle:
        if os.name != "nt":
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
