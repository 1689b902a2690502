"""The writer's turn: who may write to a SQLite file now.

SQLite has one writer. Waiting for it by its sleeping busy handler is unfair and slow, so waiting is made explicit, in
two steps: a fair lock among the threads of this process, then a flock on `<file>-turn` among processes. A flock given
back goes to whoever asks first, which is the process that has just held it; so one has to hold `<file>-next` while one
waits for the turn, and a process that comes back finds itself behind the one that waits there.

The lock file itself is shared as memory:

    0   the pid of the last holder, for people      12   `1` while some process waits
    16  how many commits there were, 64 bits, so that other processes notice them without a system call
    24  since when it is held (the machine's monotonic clock), and at 32 by what: so that any process can say what it waits for

Nobody waiting is the usual case, and then neither `-next` nor, between two groups that follow each other at once, the
flock itself is touched: each such call would give other threads the interpreter, which takes 0.2 ms under load.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from pathlib import Path

from adjourn import config, runtime
from adjourn.errors import Busy

_OVERDUE_SECONDS = 1.0
"""How long after its limit a holder is taken to wait for somebody who waits for it."""
_PID_CHARACTERS = 12
_WAITING = _PID_CHARACTERS
_YES, _NO = ord("1"), ord("0")
_COMMITS = struct.Struct("<Q")
_COMMITS_AT = 16
_SINCE = struct.Struct("<d")
_SINCE_AT = 24
_LABEL_AT, _LABEL_BYTES = 32, 224


class Turn:
    """Held by one thread of one process at a time."""

    def __init__(self, database: Path) -> None:
        self._path = Path(f"{database}-turn")
        self._next_path = Path(f"{database}-next")
        self._lock = runtime.lock()
        self._file = _open(self._path)
        self._next = _open(self._next_path)
        self._stamp = str(os.getpid()).ljust(_PID_CHARACTERS).encode()
        self._shared = _shared(self._file)
        self._kept = False
        self._own_commits = 0
        self._owner: int | None = None
        self._waiting: dict[int, bool] = {}
        """Threads of this process that wait; by identity, because a count would need a lock of its own."""
        self._limit_seconds = config.TURN_WAIT_SECONDS_MAX
        self.label: str | None = None
        self.since = 0.0

    def waited_for(self) -> bool:
        """Whether another thread, or another process, waits for it."""
        return bool(self._waiting) or self._others_wait()

    def held_here(self) -> bool:
        """Whether the calling thread holds it."""
        return self._owner == runtime.current()

    def acquire(
        self,
        label: str,
        limit_seconds: float = config.TURN_WAIT_SECONDS_MAX,
        *,
        wait_seconds: float = config.TURN_WAIT_SECONDS_MAX,
    ) -> None:
        """Wait for the turn at most `wait_seconds`.

        limit_seconds: how long we may hold it. Raises Busy, naming who has it.
        """
        until = runtime.monotonic() + wait_seconds
        self._acquire_lock(until, wait_seconds)
        try:
            if self._kept and self._others_wait():
                fcntl.flock(self._file, fcntl.LOCK_UN)
                self._kept = False
            if not self._kept:
                self._lock_file(max(0.0, until - runtime.monotonic()))
        except BaseException:
            self._lock.release()
            raise
        self._kept = False
        self.since = runtime.monotonic()
        self._limit_seconds = limit_seconds
        self._owner = runtime.current()
        self.label = label
        _SINCE.pack_into(self._shared, _SINCE_AT, self.since)
        self._shared[_LABEL_AT : _LABEL_AT + _LABEL_BYTES] = label.encode(errors="replace")[: _LABEL_BYTES - 1].ljust(
            _LABEL_BYTES, b"\0"
        )

    def release(self, *, back_at_once: bool = False) -> None:
        """Let the next one write. back_at_once: the caller will acquire it again without waiting for anything else."""
        self._owner = None
        self.label = None
        self._shared[_LABEL_AT] = 0
        self._kept = back_at_once and not self._others_wait()
        if not self._kept:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._lock.release()

    def holder(self, over_seconds: float = 0.0) -> str | None:
        """What holds the turn, in whatever process, if it has held it that long."""
        text = bytes(self._shared[_LABEL_AT : _LABEL_AT + _LABEL_BYTES]).partition(b"\0")[0]
        since: float = _SINCE.unpack_from(self._shared, _SINCE_AT)[0]
        if not text or runtime.monotonic() - since < over_seconds:
            return None
        pid = bytes(self._shared[:_PID_CHARACTERS]).strip(b"\0 ")
        if pid.isdigit() and int(pid) != os.getpid() and not Path(f"/proc/{int(pid)}").exists():
            return None  # it died with the turn, which is free
        return text.decode(errors="replace")

    def committed(self) -> None:
        """By the holder: a commit changed the database."""
        self._own_commits += 1  # first, so that `others_commits` never counts ours
        _COMMITS.pack_into(self._shared, _COMMITS_AT, _COMMITS.unpack_from(self._shared, _COMMITS_AT)[0] + 1)

    def commits(self) -> int:
        """A number that rises with every commit of any process; by any thread, without the turn."""
        found: int = _COMMITS.unpack_from(self._shared, _COMMITS_AT)[0]
        return found

    def others_commits(self) -> int:
        """The same for commits of other processes."""
        return self.commits() - self._own_commits

    def close(self) -> None:
        # The shared memory stays: a thread that still waits for a lock will write to it.
        os.close(self._file)
        os.close(self._next)

    def _acquire_lock(self, until: float, wait_seconds: float) -> None:
        """The lock among threads.

        A thread that its own parent waits for, inside a lone unit, would wait for ever: whoever finds a holder beyond
        its limit gives up, which sets that parent free.
        """
        if self._lock.acquire(0):
            return
        me = runtime.current()
        self._waiting[me] = True
        try:
            self._wait_for_lock(until, wait_seconds)
        finally:
            self._waiting.pop(me, None)

    def _wait_for_lock(self, until: float, wait_seconds: float) -> None:
        while True:
            label, since, now = self.label, self.since, runtime.monotonic()
            overdue = since + self._limit_seconds + _OVERDUE_SECONDS if label is not None else until
            if self._lock.acquire(max(0.001, min(until, overdue) - now)):
                return
            now = runtime.monotonic()
            stuck = label is not None and self.label == label and self.since == since and now >= overdue
            if stuck or now >= until:
                held = f"'{label}'" if label else "another thread"
                seconds = now - since if stuck else wait_seconds
                raise Busy(
                    f"The database's one writer was not free within {seconds:.0f} s: {held} holds it. Try again; a "
                    "thread started inside a synchronous step cannot write before the step has ended."
                )

    def _others_wait(self) -> bool:
        return self._shared[_WAITING] == _YES

    def _lock_file(self, wait_seconds: float) -> None:
        try:
            if self._others_wait():
                fcntl.flock(self._next, fcntl.LOCK_EX | fcntl.LOCK_NB)
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                finally:
                    fcntl.flock(self._next, fcntl.LOCK_UN)
                self._shared[_WAITING] = _NO  # whoever said so died, or waits for `-next` and will say it again
            else:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait_for_others(wait_seconds)
        self._shared[:_PID_CHARACTERS] = self._stamp

    def _wait_for_others(self, wait_seconds: float) -> None:
        """Queue in the kernel; a blocking flock knows no time-out, so it is waited for on a thread of its own."""
        outcome = runtime.future()
        abandoned = runtime.bell()

        def wait() -> None:
            following, turn = _open(self._next_path), _open(self._path)
            fcntl.flock(following, fcntl.LOCK_EX)
            if not abandoned.wait(0):
                self._shared[_WAITING] = _YES
                fcntl.flock(turn, fcntl.LOCK_EX)
                self._shared[_WAITING] = _NO
            os.close(following)
            outcome.set_result(turn)

        def drop() -> None:
            os.close(outcome.result())

        runtime.spawn(wait, name="adjourn-turn-wait")
        try:
            turn = outcome.result(wait_seconds)
        except TimeoutError:
            # The thread goes on waiting; what it gets then, nobody wants any more.
            abandoned.ring()
            runtime.spawn(drop, name="adjourn-turn-drop")
            holder = self._shared[:_PID_CHARACTERS].decode(errors="replace").strip("\0 ") or "unknown"
            raise Busy(
                f"Process {holder} holds the database's write turn for over {wait_seconds:.0f} s; try again."
            ) from None
        previous, self._file = self._file, turn
        os.close(previous)


def _shared(descriptor: int) -> mmap.mmap:
    if os.fstat(descriptor).st_size < mmap.PAGESIZE:
        os.ftruncate(descriptor, mmap.PAGESIZE)
    return mmap.mmap(descriptor, mmap.PAGESIZE)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
