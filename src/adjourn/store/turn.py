"""The writer's turn: who may write to a SQLite file now.

SQLite has one writer. Waiting for it by its sleeping busy handler is unfair and slow, so waiting is made explicit: a fair
lock among the threads of this process, then a flock on `<file>-turn` among processes, which the kernel hands over as
soon as it is free. The lock file holds the pid of its holder, for people.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from adjourn import config, runtime
from adjourn.errors import Busy


class Turn:
    """Held by one thread of one process at a time."""

    def __init__(self, database: Path) -> None:
        self._path = Path(f"{database}-turn")
        self._lock = runtime.lock()
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        self._owner: int | None = None
        self._stamped = False
        self.label: str | None = None
        self.since = 0.0

    def held_here(self) -> bool:
        """Whether the calling thread holds it."""
        return self._owner == runtime.current()

    def acquire(self, label: str, seconds: float = config.TURN_WAIT_SECONDS_MAX) -> None:
        """Wait for the turn at most `seconds`. Raises Busy, naming who has it."""
        if not self._lock.acquire(seconds):
            raise Busy(f"The writer's turn is held by '{self.label}' for over {seconds:.0f} s; try again.")
        try:
            self._lock_file(seconds)
        except BaseException:
            self._lock.release()
            raise
        self._owner = runtime.current()
        self.label = label
        self.since = runtime.monotonic()

    def release(self) -> None:
        self._owner = None
        self.label = None
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._lock.release()

    def close(self) -> None:
        os.close(self._file)

    def _lock_file(self, seconds: float) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait_for_other(seconds)
        if not self._stamped:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)
            self._stamped = True

    def _wait_for_other(self, seconds: float) -> None:
        """Queue in the kernel; a blocking flock knows no time-out, so it waits on a thread of its own."""
        self._stamped = False
        outcome = runtime.future()
        descriptor = os.open(self._path, os.O_RDWR)

        def wait() -> None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            outcome.set_result(None)

        runtime.spawn(wait, name="adjourn-turn-wait")
        try:
            outcome.result(seconds)
        except TimeoutError:
            # The thread goes on waiting; once it has the lock, nobody wants it: its descriptor is closed then.
            runtime.spawn(lambda: (outcome.result(), os.close(descriptor))[0], name="adjourn-turn-drop")
            holder = os.pread(self._file, 20, 0).decode(errors="replace") or "unknown"
            raise Busy(f"Process {holder} has held the database's write turn for over {seconds:.0f} s; try again.") from None
        previous, self._file = self._file, descriptor
        os.close(previous)
