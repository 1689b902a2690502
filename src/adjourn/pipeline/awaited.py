"""An organization or a job for `async def` handlers: the same methods, to be awaited; plain values stay plain values."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any


class Awaited:
    """Stands in front of an object.

    threads: each call runs on a thread of its own, so that the loop goes on. Without, it runs where it is awaited, because a
    transaction belongs to the thread that holds it.
    """

    def __init__(self, inner: Any, *, threads: bool) -> None:
        self._inner = inner
        self._threads = threads

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not inspect.ismethod(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = await asyncio.to_thread(found, *args, **kwargs) if self._threads else found(*args, **kwargs)
            # `as_user` makes another organization.
            return Awaited(result, threads=self._threads) if type(result) is type(self._inner) else result

        return call
