"""What threads of the simulation wait for: bells, locks, queues, futures. See `adjourn.runtime` for what each promises."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.scheduler import Scheduler, Task


class Bell:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._rung = False
        self._waiting: list[Task] = []

    def ring(self) -> None:
        # Never hands over: SQLite's hook after a commit rings, and a greenlet must not be left inside of SQLite.
        self._rung = True
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            self._scheduler.wake(task)

    def wait(self, timeout: float | None = None) -> bool:
        if timeout != 0:
            self._scheduler.maybe_pause()
        if not self._rung and timeout != 0:
            self._scheduler.park_in(self._waiting, timeout)
        rung, self._rung = self._rung, False
        return rung


class Lock:
    """First come, first served: handed over, not fought for."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False
        self._waiting: list[Task] = []

    def acquire(self, timeout: float | None = None) -> bool:
        self._scheduler.maybe_pause()
        if not self._held:
            self._held = True
            return True
        if timeout is not None and timeout <= 0:
            return False
        return self._scheduler.park_in(self._waiting, timeout)

    def release(self) -> None:
        while self._waiting:
            if self._scheduler.wake(self._waiting.pop(0)):  # not to one that has given up just now
                return
        self._held = False

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *details: object) -> None:
        self.release()


class Queue:
    def __init__(self, scheduler: Scheduler, size: int) -> None:
        self._scheduler = scheduler
        self._size = size
        self._items: collections.deque[Any] = collections.deque()
        self._changed: list[Task] = []

    def put(self, item: Any, timeout: float | None = None) -> bool:
        if not self._await(lambda: not self._size or len(self._items) < self._size, timeout):
            return False
        self._items.append(item)
        self._tell()
        return True

    def get(self, timeout: float | None = None) -> Any:
        if not self._await(lambda: bool(self._items), timeout):
            return None
        item = self._items.popleft()
        self._tell()
        return item

    def __len__(self) -> int:
        return len(self._items)

    def _await(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        self._scheduler.maybe_pause()
        until = None if timeout is None else self._scheduler.time + timeout
        while not ready():
            left = None if until is None else until - self._scheduler.time
            if left is not None and left <= 0:
                return False
            self._scheduler.park_in(self._changed, left)
        return True

    def _tell(self) -> None:
        changed, self._changed = self._changed, []
        for task in changed:
            self._scheduler.wake(task)


class Future:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiting: list[Task] = []

    def set_result(self, value: Any) -> None:
        self._open()
        self._value = value

    def set_exception(self, error: BaseException) -> None:
        self._open()
        self._error = error

    def result(self, timeout: float | None = None) -> Any:
        self._scheduler.maybe_pause()
        if not self._set:
            self._scheduler.park_in(self._waiting, timeout)
        if not self._set:
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._value

    def done(self) -> bool:
        return self._set

    def _open(self) -> None:
        if self._set:
            raise RuntimeError("a future is set once")
        self._set = True
        for task in self._waiting:
            self._scheduler.wake(task)
