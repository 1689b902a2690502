"""Something that happens on another thread, beside the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adjourn import runtime


def beside(action: Callable[[], Any]) -> Any:
    """Do something on a thread of its own; a future of what it returns, or raises."""
    future = runtime.future()

    def do() -> None:
        try:
            future.set_result(action())
        except BaseException as error:
            future.set_exception(error)

    runtime.spawn(do, name="beside")
    return future
