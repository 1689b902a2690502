"""A soak: the real service with four executor processes, real people, real kills, for minutes; then the history checker.

`python -m tests.simulation.soak --database sqlite --minutes 10`. On SQLite one service has all four executors, on PostgreSQL
the service has two and a second host has two more. Processes are killed, stopped as by a person, and frozen at random;
whatever is gone is started anew. It ends with what was done and the list of violations, which must be empty.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from tests.proof import audit
from tests.proof.checker import violations
from tests.proof.violations import Effect, Log
from tests.simulation import handlers
from tests.simulation.people import People
from tests.support import postgres
from tests.support.serving import ROOT, Serving

from adjourn import runtime
from adjourn.metadata.values import moment_text
from adjourn.service import Service

_MODULES = ("tests.simulation.handlers", "tests.simulation.isolated_handlers")
_PLUGINS = [word for module in _MODULES for word in ("--plugins", module)]
_KILL_SECONDS = (1.5, 8.0)
_FROZEN_SECONDS = (0.5, 7.0)
"""At times longer than a worker may be silent."""
_END_SECONDS_MAX = 240.0
_PACE, _TOKENS = 1.5, 12
"""As fast as the executors can run it."""
_LARGE_CHARACTERS, _LARGE_SHARE = 4_300_000, 0.005
_OPEN = (
    "SELECT count(*) FROM asyncoperation WHERE recurrencepattern IS NULL AND "
    "(statecode IN (0, 2) OR (statecode = 1 AND NOT blocked AND postponeuntil < :soon))"
)
"""What has to end; the platform's schedules go on for ever."""


class Host:
    """`adjourn work`: a second host on PostgreSQL."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "adjourn.cli", "work", "--database", url, "--processes", "2", *_PLUGINS]
        self._process = subprocess.Popen(
            [*command, "--concurrency", "2"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._process.pid

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()


class Soak:
    """One run on one database."""

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._dice = random.Random(f"{seed} soak")
        self._postgres = url.startswith("postgres")
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []
        self._over = threading.Event()
        self._service = Service.open(url)
        for module in _MODULES:
            self._service.register(module)
        audit.begin(self._service.store)
        self.people = People(
            random.Random(f"{seed} people"),
            batches=1 << 60,
            acts=1 << 60,
            pace=_PACE,
            tokens=[f"token {number}" for number in range(_TOKENS)],
            large=_LARGE_CHARACTERS,
            large_share=_LARGE_SHARE,
        )
        self._serving: Serving | None = None
        self._host: Host | None = None

    def run(self, seconds: float) -> list[str]:
        """Everything that was violated."""
        self._ensure()
        threads = [
            self._thread(work, self._service)
            for work in (self.people.produce, self.people.produce, self.people.operate, self.people.operate)
        ]
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until and not self.failed:
                time.sleep(min(self._dice.uniform(*_KILL_SECONDS), max(0.0, until - time.monotonic())))
                self._disturb()
                self._ensure()
            self.people.batches = self.people.acts = 0
            for thread in threads:
                thread.join(60)
            left = self._settle()
            self._stop()
            return [*left, *self.failed, *self._violations()]
        finally:
            for process in (self._serving, self._host):
                if process is not None:
                    process.kill()
            self._service.close()

    def _thread(self, work: Callable[[Service], None], service: Service) -> threading.Thread:
        def run() -> None:
            try:
                work(service)
            except BaseException as error:
                self.failed.append(f"{type(error).__name__}: {error}")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _ensure(self) -> None:
        """Whatever is gone is there again."""
        if self._serving is None:
            processes = "2" if self._postgres else "4"
            self._serving = Serving(self._url, "--processes", processes, "--concurrency", "2", *_PLUGINS)
        if self._postgres and self._host is None:
            self._host = Host(self._url)

    def _disturb(self) -> None:
        serving, host = self._serving, self._host
        assert serving is not None
        what = self._dice.choice(
            ("kill an executor", "kill an executor", "freeze an executor", "kill", "stop", "freeze")
        )
        on_host = host is not None and self._dice.random() < 0.5
        if "executor" in what:
            executors = serving.executors()
            if not executors:
                return
            pid = self._dice.choice(executors)
            with suppress(ProcessLookupError):
                if what.startswith("kill"):
                    os.kill(pid, signal.SIGKILL)
                else:
                    self._freeze(pid)
        elif what == "freeze":
            # On SQLite nobody takes anything from a frozen process: it only holds up the others.
            self._freeze(host.pid if on_host and host is not None else serving.pid)
        elif on_host and host is not None:
            getattr(host, what)()
            self._host = None
        else:
            getattr(serving, what)()
            self._serving = None
        self.done[f"{what}{' of the second host' if on_host and 'executor' not in what else ''}"] += 1

    def _freeze(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self._dice.uniform(*_FROZEN_SECONDS))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def _settle(self) -> list[str]:
        """Let everything run that can."""
        until = time.monotonic() + _END_SECONDS_MAX
        count = -1
        while time.monotonic() < until:
            soon = moment_text(runtime.now().replace(year=runtime.now().year + 1))
            with self._service.store.read() as reader:
                count = reader.rows(_OPEN, {"soon": soon})[0][0]
            if count == 0:
                return []
            time.sleep(0.3)
        return [f"{count} jobs had not ended after {_END_SECONDS_MAX:g} s"]

    def _stop(self) -> None:
        if self._serving is not None:
            self._serving.stop()
        if self._host is not None:
            self._host.stop()
        self._serving = self._host = None

    def _violations(self) -> list[str]:
        store, memory = self._service.store, self.people.memory
        time.sleep(5)  # what a host that died last has left is gone after four
        for worker in store.dead_workers(runtime.now()):
            store.release_worker(UUID(worker))
        store.sweep_files(runtime.now())
        with store.read() as reader:
            sql = "SELECT description FROM contact WHERE lastname = :label"
            effects = [row[0].partition("/") for row in reader.rows(sql, {"label": handlers.EFFECT})]
            entries = audit.read(reader)
        self.done["jobs"] = sum(entry.was is None for entry in entries)
        self.done["changes of a job"] = len(entries)
        self.done["acknowledged acts"] = len(memory.acts)
        log = Log(
            batches=[wish.batch() for wish in memory.wishes],
            acts=memory.acts,
            deletions_tried=memory.deletions_tried,
            effects=[Effect(UUID(job), int(part)) for job, _, part in effects],
        )
        return [str(found) for found in violations(store, log)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.soak", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="adjourn-soak-"))
    name = None
    url = f"sqlite:///{folder}/adjourn.db"
    if options.database == "postgres":
        name = postgres.cluster().create()
        url = postgres.cluster().url_of(name)
    try:
        soak = Soak(url, options.seed)
        found = soak.run(options.minutes * 60)
    finally:
        if name is not None:
            postgres.cluster().drop(name)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{options.minutes:g} minutes on {options.database}:")
    for what, count in sorted(soak.done.items()):
        print(f"  {count:>9,}  {what}")
    print("\n".join(f"VIOLATION: {text}" for text in found[:50]))
    print(f"{len(found)} violations")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
