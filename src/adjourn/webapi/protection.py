"""Service protection: how much one user may ask of one serving process.

Three limits over a window that slides along with the time: requests, seconds of execution, and requests at the same time.
Whoever is over one is told when to come back. A window is a ring of slices of three seconds; the oldest leaves it whole, so
a request counts for 297 to 300 seconds, and keeping the window costs the same whatever happened in it.
Source: webapi.md §19, semantics.md §13.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from adjourn import runtime
from adjourn.errors import InvalidRequest, Throttled

WINDOW_SECONDS = 300
SLICES = 100
SLICE_SECONDS = WINDOW_SECONDS / SLICES
USERS_MAX = 10_000
"""Users whose windows are kept, a few kilobytes each; beyond it the one who has been silent longest is forgotten."""
REQUESTS_CODE, TIME_CODE, CONCURRENCY_CODE = 0x80072322, 0x80072321, 0x80072326


@dataclass(frozen=True, slots=True)
class Limits:
    """What a user may ask within a window, and at a time."""

    requests: int = 6_000
    seconds: float = 1_200.0
    concurrent: int = 52

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """ADJOURN_USER_REQUESTS, ADJOURN_USER_SECONDS, ADJOURN_USER_CONCURRENT. Raises InvalidRequest for no number.

        Not ADJOURN_LIMIT_…: ADJOURN_LIMIT_REQUESTS is how many jobs of the class requests run at a time.
        """
        found = []
        for name in ("REQUESTS", "SECONDS", "CONCURRENT"):
            text = environment.get(f"ADJOURN_USER_{name}", "")
            if text and not (text.isascii() and text.isdigit() and int(text[:12]) > 0):
                raise InvalidRequest(f"ADJOURN_USER_{name} must be a whole number from 1, found '{text[:40]}'.")
            found.append(int(text[:12]) if text else None)
        usual = cls()
        return cls(found[0] or usual.requests, found[1] or usual.seconds, found[2] or usual.concurrent)


@dataclass(slots=True)
class Window:
    """What happened within the last window; `now` in seconds of any clock that does not go back."""

    counts: list[int] = field(default_factory=lambda: [0] * SLICES)
    spent: list[float] = field(default_factory=lambda: [0.0] * SLICES)
    slice: int = 0
    """The number of the newest slice, counted from the clock's beginning."""
    requests: int = 0
    seconds: float = 0.0

    def advance(self, now: float) -> None:
        """Let go of what is older than the window."""
        current = int(now / SLICE_SECONDS)
        for number in range(max(self.slice + 1, current - SLICES + 1), current + 1):
            place = number % SLICES
            self.requests -= self.counts[place]
            self.seconds -= self.spent[place]
            self.counts[place], self.spent[place] = 0, 0.0
        self.slice = max(self.slice, current)
        if not self.requests:
            self.seconds = max(0.0, self.seconds)

    def add(self, now: float, requests: int = 0, seconds: float = 0.0) -> None:
        self.advance(now)
        place = self.slice % SLICES
        self.counts[place] += requests
        self.spent[place] += seconds
        self.requests += requests
        self.seconds += seconds

    def wait(self, now: float, requests_max: int, seconds_max: float) -> float:
        """Seconds until both are below their limits, if nothing is added meanwhile."""
        requests, seconds = self.requests, self.seconds
        for age in range(SLICES - 1, -1, -1):
            if requests < requests_max and seconds < seconds_max:
                break
            number = self.slice - age
            requests -= self.counts[number % SLICES]
            seconds -= self.spent[number % SLICES]
            leaves = (number + SLICES) * SLICE_SECONDS
            if requests < requests_max and seconds < seconds_max:
                return max(0.0, leaves - now)
        return 0.0


@dataclass(slots=True)
class _User:
    window: Window = field(default_factory=Window)
    running: int = 0


class Protection:
    """The windows of all users of one process. Used from the event loops alone, but several of them: it locks."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._users: dict[Hashable, _User] = {}
        self._lock = runtime.lock()

    def enter(self, user: Hashable) -> None:
        """A request begins. Raises Throttled with the documented code when the user is over a limit."""
        limits, now = self._limits, runtime.monotonic()
        with self._lock:
            found = self._user(user)
            found.window.advance(now)
            if found.running >= limits.concurrent:
                raise _throttled(
                    f"Number of concurrent requests exceeded the limit of {limits.concurrent}.", CONCURRENCY_CODE, 1
                )
            if found.window.requests >= limits.requests:
                text = f"Number of requests exceeded the limit of {limits.requests} over time window of {WINDOW_SECONDS} seconds."
                raise _throttled(text, REQUESTS_CODE, found.window.wait(now, limits.requests, float("inf")))
            if found.window.seconds >= limits.seconds:
                text = (
                    f"Combined execution time of incoming requests exceeded limit of {limits.seconds * 1000:.0f} milliseconds "
                    f"over time window of {WINDOW_SECONDS} seconds. Decrease number of concurrent requests or reduce the "
                    "duration of requests and try again later."
                )
                raise _throttled(text, TIME_CODE, found.window.wait(now, 1 << 62, limits.seconds))
            found.window.add(now, requests=1)
            found.running += 1

    def leave(self, user: Hashable, seconds: float, operations: int = 1) -> tuple[tuple[str, str], ...]:
        """A request that was let in has ended; the headers that say what is left.

        operations: how many requests it held, when it was a batch.
        """
        with self._lock:
            found = self._user(user)
            found.running = max(0, found.running - 1)
            found.window.add(runtime.monotonic(), operations - 1, seconds)
            return self._left(found.window)

    def left(self, user: Hashable) -> tuple[tuple[str, str], ...]:
        """The headers that say what is left, for a request that was not let in."""
        with self._lock:
            found = self._user(user)
            found.window.advance(runtime.monotonic())
            return self._left(found.window)

    def _left(self, window: Window) -> tuple[tuple[str, str], ...]:
        requests = max(0, self._limits.requests - window.requests)
        left = max(0.0, self._limits.seconds - window.seconds)
        return (
            ("x-ms-ratelimit-burst-remaining-xrm-requests", str(requests)),
            ("x-ms-ratelimit-time-remaining-xrm-requests", f"{left:.2f}"),
        )

    def _user(self, user: Hashable) -> _User:
        found = self._users.pop(user, None)
        if found is None:
            found = _User()
            while len(self._users) >= USERS_MAX:
                silent = (name for name, one in self._users.items() if not one.running)
                del self._users[next(silent, next(iter(self._users)))]
        self._users[user] = found  # to the end: the one silent longest goes first
        return found


def _throttled(text: str, code: int, seconds: float) -> Throttled:
    error = Throttled(text, code=code)
    error.retry_after_seconds = max(1, int(seconds) + 1)
    return error
