"""How much memory the bodies of all requests may take together, while they arrive and while they are answered.

Two limits. What lies in memory: a piece that would pass `IN_MEMORY_BYTES_MAX` is not kept, its request is refused with 503
and Retry-After, and so is one that announces more than is left before it has sent anything. Small bodies have a share of
their own, so that those who send much do not shut out those who send little. What is worked on: reading JSON takes many
times its length, so bodies of more than `LARGE_BYTES` wait until those before them leave room among `AT_WORK_BYTES_MAX`.

An object belongs to one event loop; nothing here is shared between threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from adjourn import config
from adjourn.errors import Busy

IN_MEMORY_BYTES_MAX = 2 * config.BODY_BYTES_MAX
"""Of all bodies that are not small: 128 MiB."""
SMALL_BYTES = 64 * 1024
SMALL_IN_MEMORY_BYTES_MAX = 64 * 1024 * 1024
"""Of all bodies that are announced to be small: a thousand of the longest."""
LARGE_BYTES = 1024 * 1024
AT_WORK_BYTES_MAX = config.BODY_BYTES_MAX
"""Of the large bodies that are answered at a time: one of the longest, or two of 30 MB."""


class Full(Busy):
    """There is no memory left for a body."""

    retry_after_seconds = 5


class Share:
    """A part of the memory. `left`: bytes that may still be kept."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def check(self, size: int) -> None:
        """Raises Full if so many bytes would not fit now."""
        if size > self.left:
            raise Full(
                f"The bodies of the requests under way fill the {self.most:,} bytes that they may take together; try again."
            )

    def take(self, size: int) -> None:
        """Keep so many bytes more. Raises Full."""
        self.check(size)
        self.left -= size


class Body:
    """The bytes of one request. `size` is what it holds of its share until it is given up."""

    def __init__(self, share: Share, announced: int) -> None:
        share.check(announced)
        self._share = share
        self.size = 0

    def take(self, size: int) -> None:
        self._share.take(size)
        self.size += size

    def give_up(self) -> None:
        self._share.left += self.size
        self.size = 0


class Bodies:
    """The bodies of all requests of one event loop."""

    def __init__(self) -> None:
        self._small = Share(SMALL_IN_MEMORY_BYTES_MAX)
        self._large = Share(IN_MEMORY_BYTES_MAX)
        self._room = AT_WORK_BYTES_MAX
        self._waiting: deque[tuple[int, anyio.Event]] = deque()

    def body(self, announced: int | None) -> Body:
        """A body that is about to arrive. announced: its length, None if the client does not say. Raises Full."""
        small = announced is not None and announced <= SMALL_BYTES
        return Body(self._small if small else self._large, announced or 0)

    @asynccontextmanager
    async def at_work(self, size: int) -> AsyncIterator[None]:
        """While a body of this size is answered; large ones first wait for their turn."""
        if size <= LARGE_BYTES:
            yield
            return
        await self._turn(size)
        try:
            yield
        finally:
            self._room += size
            self._admit()

    async def _turn(self, size: int) -> None:
        turn = (size, anyio.Event())
        self._waiting.append(turn)
        self._admit()
        try:
            await turn[1].wait()
        except BaseException:
            # The client left: what it had, or stood in the way of, is the others'.
            if turn in self._waiting:
                self._waiting.remove(turn)
            else:
                self._room += size
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._room:
            size, event = self._waiting.popleft()
            self._room -= size
            event.set()
