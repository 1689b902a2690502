"""Time, ids, randomness, threads and waiting: the only module that touches them.

Everything else asks here, so that the whole service also runs under a seeded scheduler with a virtual clock, where a
kill is a green thread that is never resumed. `use` swaps the implementation; `threads` is the real one. Blocking code
is the same under both.
"""

from __future__ import annotations

import random as _random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from adjourn.runtime.threads import ThreadRuntime


class Bell(Protocol):
    """A wake-up that is remembered: a ring while nobody waits lets the next wait return at once."""

    def ring(self) -> None: ...
    def wait(self, timeout: float | None = None) -> bool:
        """True if rung, False after `timeout` seconds."""
        ...


class Lock(Protocol):
    """Mutual exclusion, first come first served."""

    def acquire(self, timeout: float | None = None) -> bool: ...
    def release(self) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *details: object) -> None: ...


class Queue(Protocol):
    """A bounded queue. `put` and `get` return False and None when the timeout (seconds) passes first."""

    def put(self, item: Any, timeout: float | None = None) -> bool: ...
    def get(self, timeout: float | None = None) -> Any: ...
    def __len__(self) -> int: ...


class Future(Protocol):
    """One value or exception, set once by one side and awaited by the other."""

    def set_result(self, value: Any) -> None: ...
    def set_exception(self, error: BaseException) -> None: ...
    def result(self, timeout: float | None = None) -> Any: ...
    def done(self) -> bool: ...


class Thread(Protocol):
    """A running function."""

    def join(self, timeout: float | None = None) -> None: ...
    def is_alive(self) -> bool: ...


class Runtime(Protocol):
    """What an implementation offers; the functions below hand over to the one in use."""

    def timestamp(self) -> float: ...
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    def spawn(self, function: Callable[..., None], args: tuple[Any, ...], name: str) -> Thread: ...
    def bell(self) -> Bell: ...
    def lock(self) -> Lock: ...
    def queue(self, size: int) -> Queue: ...
    def future(self) -> Future: ...
    def new_id(self) -> UUID: ...
    def random(self) -> _random.Random: ...
    def secret(self, bytes_: int) -> str: ...
    def current(self) -> int: ...


_active: Runtime = ThreadRuntime()


@contextmanager
def use(runtime: Runtime) -> Iterator[None]:
    """Run a block under another implementation (the simulation's)."""
    global _active
    before, _active = _active, runtime
    try:
        yield
    finally:
        _active = before


def now() -> datetime:
    """The moment, aware and in UTC, with microseconds."""
    return datetime.fromtimestamp(_active.timestamp(), UTC)


def monotonic() -> float:
    """Seconds that never run backwards, for durations and deadlines."""
    return _active.monotonic()


def sleep(seconds: float) -> None:
    """Wait. Loops that somebody may want to wake use a Bell instead."""
    _active.sleep(seconds)


def spawn(function: Callable[..., None], *args: Any, name: str) -> Thread:
    """Start a daemon thread; its name shows up in logs and profiles."""
    return _active.spawn(function, args, name)


def bell() -> Bell:
    return _active.bell()


def lock() -> Lock:
    return _active.lock()


def queue(size: int) -> Queue:
    return _active.queue(size)


def future() -> Future:
    return _active.future()


def new_id() -> UUID:
    """A time-ordered id (UUID version 7): random ones made the SQLite writer five times slower."""
    return _active.new_id()


def random() -> _random.Random:
    """Randomness for back-off and sampling, never for secrets."""
    return _active.random()


def secret(bytes_: int = 32) -> str:
    """An unguessable URL-safe text of `bytes_` random bytes."""
    return _active.secret(bytes_)


def current() -> int:
    """An identity of the calling thread, to find out that a lock would wait for its own holder."""
    return _active.current()
