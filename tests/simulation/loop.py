"""The event loop of `async def` handlers in a simulated process: asyncio's own, on the scheduler's clock and bells.

Everything above the waiting is asyncio's: tasks, their cancellation, call_later. Only what would block the one real
thread, read its clock or start another one is the scheduler's. What asyncio remembers for the running thread belongs to
the green thread that runs, so the scheduler puts it aside with that one (`Aside`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from adjourn import runtime


class Loop(asyncio.BaseEventLoop):
    """One event loop; make it on a green thread of the process that is to have it."""

    def __init__(self) -> None:
        super().__init__()
        self._bell = runtime.bell()
        self._selector = _Selector(self._bell)

    def time(self) -> float:
        return runtime.monotonic()

    def run_in_executor(self, executor: Any, function: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        future = self.create_future()

        def run() -> None:
            try:
                result, error = function(*args), None
            except BaseException as raised:
                result, error = None, raised
            self.call_soon_threadsafe(_set, future, result, error)

        runtime.spawn(run, name="asyncio-thread")
        return future

    def _write_to_self(self) -> None:
        self._bell.ring()

    def _process_events(self, events: Any) -> None:
        """There are none: nothing here reads a socket."""


class Aside:
    """What asyncio holds for the real thread, while another green thread runs on it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: Any = None

    def put(self) -> None:
        """The green thread stops running."""
        self._loop = asyncio._get_running_loop()
        if self._loop is not None:
            self._task = _swapped(self._loop, None)
            asyncio._set_running_loop(None)

    def take(self) -> None:
        """It goes on."""
        if self._loop is not None:
            asyncio._set_running_loop(self._loop)
            _swapped(self._loop, self._task)


class _Selector:
    def __init__(self, bell: Any) -> None:
        self._bell = bell

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None or timeout > 0:
            self._bell.wait(timeout)
        return []


def _swapped(loop: asyncio.AbstractEventLoop, task: Any) -> Any:
    """The task that runs on a loop, exchanged. Before Python 3.12 it is kept with its loop, so nothing has to be done."""
    swap = getattr(asyncio.tasks, "_swap_current_task", None)
    return swap(loop, task) if swap is not None else None


def _set(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # who waited for it was canceled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
