"""A real `adjourn serve` in a process group of its own, for tests that talk to it over a socket and kill it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.listening import client

TOKEN = "token-of-the-tests"
ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS_MAX = 40


class Serving:
    """A running service. `http` is a client with its token; `pid` is also its process group."""

    def __init__(self, url: str, *options: str, own_token: bool = False) -> None:
        """own_token: let the service make its token and keep it beside the database."""
        self.url = url
        environment = {**os.environ, "ADJOURN_ADMIN_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}
        if own_token:
            del environment["ADJOURN_ADMIN_TOKEN"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "adjourn.cli", "serve", "--database", url, "--http", "127.0.0.1:0", *options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.printed = ""
        self.port = self._ready()
        # Somebody must read what it prints: with a full pipe it would stop in the middle of logging.
        self._reader = threading.Thread(target=self._read_on, daemon=True)
        self._reader.start()
        self.http = client(self.port, TOKEN, seconds=60)

    def _ready(self) -> int:
        assert self._process.stdout is not None
        deadline = time.monotonic() + _START_SECONDS_MAX
        port = 0
        while time.monotonic() < deadline:
            line = self._process.stdout.readline()
            self.printed += line
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
            if found:
                port = int(found[1])
            if line.startswith("Ready"):
                return port
            if not line:
                break
        raise AssertionError(f"the service did not start:\n{self.printed}")

    def _read_on(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                self.printed += line

    def kill(self) -> None:
        """kill -9 of the whole process group, executors (in groups of their own) included by their closed sockets."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(10)
        self.http.close()

    def stop(self) -> str:
        """End it as a person would; what it printed."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)
        self._reader.join(10)
        self.http.close()
        return self.printed

    def executors(self) -> list[int]:
        """The pids of its executor processes."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[1]) == self.pid:
                    found.append(int(entry.name))
        return found

    def until(self, path: str, accepted: object, seconds: float = 60) -> None:
        """Wait until a `$apply` count at `path` gives a number."""
        deadline = time.monotonic() + seconds
        found: object = None
        while time.monotonic() < deadline:
            found = self.http.get(path).json()["value"][0]["n"]
            if found == accepted:
                return
            time.sleep(0.05)
        raise AssertionError(f"{path} gives {found}, not {accepted}, after {seconds} s")


@contextmanager
def serving(url: str, *options: str) -> Iterator[Serving]:
    """A service that is ended with the block, however that ends."""
    service = Serving(url, *options)
    try:
        yield service
    finally:
        if service._process.poll() is None:
            service.stop()


OPEN_JOBS = "asyncoperations?$apply=filter(statecode lt 3 and recurrencepattern eq null)/aggregate($count as n)"
"""Without schedules, which stay open: those of the platform are always there."""
LOCKED_JOBS = "asyncoperations?$apply=filter(statecode eq 2)/aggregate($count as n)"
ALL_JOBS = "asyncoperations?$apply=aggregate($count as n)"
