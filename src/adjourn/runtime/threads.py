"""The real implementation of the runtime: threads, the system's clock, the system's randomness."""

from __future__ import annotations

import collections
import os
import queue as _queue
import random as _random
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID


class ThreadBell:
    """threading.Event that clears itself when a waiter is let through. Not for a signal's handler, which may meet its lock."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        self._event.set()

    def wait(self, timeout: float | None = None) -> bool:
        if not self._event.wait(timeout):
            return False  # nor may a ring be cleared that comes just now: the next wait is to have it
        self._event.clear()
        return True


class FairLock:
    """A lock handed over in the order of arrival; threading.Lock lets a busy thread starve the others."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: collections.deque[threading.Event] = collections.deque()
        self._held = False

    def acquire(self, timeout: float | None = None) -> bool:
        with self._guard:
            if not self._held:
                self._held = True
                return True
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(timeout):
            return True
        with self._guard:
            if turn.is_set():  # handed over in the moment that we gave up
                return True
            self._waiting.remove(turn)
        return False

    def release(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False

    def __enter__(self) -> FairLock:
        self.acquire()
        return self

    def __exit__(self, *details: object) -> None:
        self.release()


class ThreadQueue:
    """queue.Queue with time-outs as return values."""

    def __init__(self, size: int) -> None:
        # Without a bound the C implementation will do, which costs a tenth.
        self._queue: Any = _queue.Queue(size) if size else _queue.SimpleQueue()

    def put(self, item: Any, timeout: float | None = None) -> bool:
        try:
            self._queue.put(item, block=timeout != 0, timeout=timeout)
        except _queue.Full:
            return False
        return True

    def get(self, timeout: float | None = None) -> Any:
        try:
            return self._queue.get(block=timeout != 0, timeout=timeout)
        except _queue.Empty:
            return None

    def __len__(self) -> int:
        return int(self._queue.qsize())


class ThreadFuture:
    """One value or exception behind one lock: a third of what concurrent.futures.Future costs, which every write pays."""

    __slots__ = ("_error", "_gate", "_set", "_value")

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self._set = False
        self._value: Any = None
        self._error: BaseException | None = None

    def set_result(self, value: Any) -> None:
        self._value = value
        self._open()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._open()

    def result(self, timeout: float | None = None) -> Any:
        if not self._set:
            if not self._gate.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
                raise TimeoutError
            self._gate.release()  # for whoever else waits
        if self._error is not None:
            raise self._error
        return self._value

    def done(self) -> bool:
        return self._set

    def _open(self) -> None:
        if self._set:
            raise RuntimeError("a future is set once")
        self._set = True
        self._gate.release()


class ThreadRuntime:
    """The process's own threads and clock."""

    def __init__(self) -> None:
        self._id_lock = threading.Lock()
        self._id_last = 0
        self._random = _random.Random()
        os.register_at_fork(after_in_child=self._random.seed)

    def timestamp(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def spawn(self, function: Callable[..., None], args: tuple[Any, ...], name: str) -> threading.Thread:
        thread = threading.Thread(target=function, args=args, name=name, daemon=True)
        thread.start()
        return thread

    def bell(self) -> ThreadBell:
        return ThreadBell()

    def lock(self) -> FairLock:
        return FairLock()

    def queue(self, size: int) -> ThreadQueue:
        return ThreadQueue(size)

    def future(self) -> ThreadFuture:
        return ThreadFuture()

    def new_id(self) -> UUID:
        # 48 bits of milliseconds, then 12 bits that count up within this process, so that ids made in one
        # millisecond still rise; 62 random bits keep two hosts apart. RFC 9562, version 7, method 1.
        with self._id_lock:
            moment = time.time_ns() // 1_000_000 << 12
            self._id_last = moment = max(moment, self._id_last + 1)
        random = int.from_bytes(os.urandom(8)) >> 2
        return UUID(int=(moment >> 12) << 80 | 7 << 76 | (moment & 0xFFF) << 64 | 2 << 62 | random)

    def random(self) -> _random.Random:
        return self._random

    def secret(self, bytes_: int) -> str:
        return secrets.token_urlsafe(bytes_)

    def current(self) -> int:
        return threading.get_ident()
