"""The way of one long answer from the thread that writes it to its client.

The thread writes at its own speed: it hands over pieces and never waits for the client as long as there is room for what
is unsent, so that no slow client holds a connection to the database, or its view of the data, open. The event loop sends
them at the client's speed. An answer begins with its first piece; whatever goes wrong after that can no longer be said in
it, so the connection is cut: the body's last chunk is missing, and the client knows that it has not got all of it.

What is unsent is bounded, for one answer and for all of an event loop together. A thread that finds no room waits for it a
few seconds in all, then the answer is cut, or refused with 503 if it has not begun. A client that goes away is noticed at
once, and its answer is not written on. (docs/decisions/0025)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import anyio
from starlette.types import Receive, Send

from adjourn import runtime
from adjourn.errors import Busy

PIECE_BYTES = 64 * 1024
"""An answer that is complete before it has so many bytes is sent as one, with its length."""
UNSENT_BYTES_MAX = 128 * 1024 * 1024
"""Of one answer: 5,000 rows of 26 KiB for a client that takes none of them."""
UNSENT_TOGETHER_BYTES_MAX = 256 * 1024 * 1024
"""Of all answers of one event loop."""
ROOM_SECONDS_MAX = 5.0
"""How long the writing of one answer may wait for room, in all: its view of the data is open meanwhile."""
TAKING_SECONDS_MAX = 600.0
"""How long a client may take over an answer that lies in memory."""
_GATHERED_BYTES = 512 * 1024
_GATHERED_SECONDS = 0.01
"""The loop is called when so much is there for it, or so long after its last call: each call takes Python's lock from the
thread, and pieces of 128 KiB called one by one cost a fifth of a page's time."""
_LOOK_SECONDS = 0.05
"""How often a thread that waits looks whether others have left room."""

Piece = bytes | bytearray


class Headed(Protocol):
    """An answer as far as its head goes: of an `exchange.Answer`, and of nothing else here."""

    @property
    def status(self) -> int: ...


class NoRoom(Busy):
    """Too much is unsent, of this answer or of all together."""

    retry_after_seconds = 5


def no_room() -> NoRoom:
    """What is said when there is none."""
    return NoRoom(
        "Too much of the answers under way has not been taken by those who asked; try again, or ask for fewer records a "
        "page (Prefer: odata.maxpagesize)."
    )


class ClientLeft(Exception):
    """Nobody is there any more to take the answer."""


class Unsent:
    """The bytes that all answers of one event loop hold. Changed by threads and by the loop."""

    def __init__(self) -> None:
        self._guard = runtime.lock()
        self.held = 0

    def take(self, size: int) -> bool:
        """Hold so many bytes more; False where there is no room for them."""
        with self._guard:
            if self.held and self.held + size > UNSENT_TOGETHER_BYTES_MAX:
                return False
            self.held += size
            return True

    def hold(self, size: int) -> None:
        """Hold so many bytes more, whether there is room or not."""
        with self._guard:
            self.held += size

    def give(self, size: int) -> None:
        """Let go of them."""
        with self._guard:
            self.held -= size


class Watch:
    """Notices that a client goes away. To be used once its request has been read; `stop` ends it."""

    def __init__(self, receive: Receive, left: Callable[[], None]) -> None:
        self._receive = receive
        self._left = left
        self._task = asyncio.get_running_loop().create_task(self._look())

    def stop(self) -> None:
        self._task.cancel()

    async def _look(self) -> None:
        # Behind the request, of which at most its empty body has not been asked for, there is only its end.
        for _ in range(2):
            if (await self._receive())["type"] == "http.disconnect":
                self._left()
                return


class Outlet:
    """One answer's. Its thread calls `begin`, then `put`, then `end`; the loop whose it is awaits `finished`.

    opening: makes the headers that an answer begins with, from its head; called in the loop.
    """

    def __init__(
        self, receive: Receive, send: Send, unsent: Unsent, opening: Callable[[Any], list[tuple[bytes, bytes]]]
    ) -> None:
        self.begun = False
        self._receive = receive
        self._send = send
        self._together = unsent
        self._opening = opening
        self._loop = asyncio.get_running_loop()
        self._guard = runtime.lock()
        self._bell = runtime.bell()
        self._arrived = asyncio.Event()
        self._pieces: list[Piece] = []
        self._gathered = 0
        self._called = False
        self._called_at = 0.0
        self._unsent = 0
        self._patience = ROOM_SECONDS_MAX
        self._complete = False
        self._over = False
        self._task: asyncio.Task[None] | None = None

    # In the thread

    def begin(self, head: Headed, pieces: Iterable[Piece]) -> None:
        """Answer with this head; the content begins with these pieces. Raises NoRoom; then nothing has begun."""
        first = list(pieces)
        self._take(sum(map(len, first)))
        self._pieces = first
        self.begun = self._called = True
        self._called_at = runtime.monotonic()
        self._loop.call_soon_threadsafe(self._start, head)

    def put(self, piece: Piece) -> None:
        """Hand over a piece. Raises ClientLeft, and NoRoom when too little was taken for too long."""
        self._take(len(piece))
        self._hand(piece, last=False)

    def end(self, piece: Piece) -> None:
        """Hand over the last piece: the answer is complete."""
        self._take(len(piece))
        self._hand(piece, last=True)

    def _take(self, size: int) -> None:
        while True:
            with self._guard:
                if self._over:
                    raise ClientLeft
                fits = not self._unsent or self._unsent + size <= UNSENT_BYTES_MAX
                if fits and self._together.take(size):
                    self._unsent += size
                    return
            if self._patience <= 0:
                raise no_room()
            self._call()  # what has been gathered must not be what there is no room for
            began = runtime.monotonic()
            self._bell.wait(min(_LOOK_SECONDS, self._patience))
            self._patience -= runtime.monotonic() - began

    def _hand(self, piece: Piece, *, last: bool) -> None:
        with self._guard:
            self._pieces.append(piece)
            self._gathered += len(piece)
            self._complete = last
            gathered = self._gathered
        if last or gathered >= _GATHERED_BYTES or runtime.monotonic() - self._called_at > _GATHERED_SECONDS:
            self._call()

    def _call(self) -> None:
        """Have the loop take what is there for it, unless it has been called and has not come yet."""
        with self._guard:
            if self._called or not self._pieces:
                return
            self._called, self._called_at = True, runtime.monotonic()
        self._loop.call_soon_threadsafe(self._arrived.set)

    # In the loop

    def _start(self, head: Headed) -> None:
        self._arrived.set()
        self._task = self._loop.create_task(self._sending(head))

    async def _sending(self, head: Headed) -> None:
        watch = Watch(self._receive, self.abandon)
        try:
            with anyio.move_on_after(TAKING_SECONDS_MAX):
                await self._send_all(head)
        finally:
            watch.stop()
            self.abandon()

    async def _send_all(self, head: Headed) -> None:
        await self._send({"type": "http.response.start", "status": head.status, "headers": self._opening(head)})
        while not self._over:
            await self._arrived.wait()
            self._arrived.clear()
            with self._guard:
                pieces, self._pieces, complete = self._pieces, [], self._complete
                self._called, self._gathered = False, 0
            for number, piece in enumerate(pieces, 1):
                if self._over:
                    return
                last = complete and number == len(pieces)
                await self._send({"type": "http.response.body", "body": piece, "more_body": not last})
                self._sent(len(piece))
            if complete:
                return

    def _sent(self, size: int) -> None:
        with self._guard:
            if self._over:
                return  # given up already, with all the rest
            self._unsent -= size
            self._together.give(size)
        self._bell.ring()

    def abandon(self) -> None:
        """Send nothing more: the client has left, or the answer cannot be completed."""
        with self._guard:
            self._over = True
            unsent, self._unsent, self._pieces = self._unsent, 0, []
        self._together.give(unsent)
        self._bell.ring()
        self._arrived.set()

    async def finished(self) -> None:
        """When all of it was sent, or never will be. Cancelled, it sends nothing more."""
        if self._task is None:
            return
        try:
            await self._task
        finally:
            self.abandon()
