"""Answers on their way to the server's protocol: headers as they are to be written, bodies, files that are read meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import anyio
import anyio.to_thread
import structlog
from anyio.lowlevel import RunVar
from starlette.types import Receive, Send

from adjourn.errors import AdjournError
from adjourn.webapi import outlet
from adjourn.webapi.exchange import Answer, Stream
from adjourn.webapi.outlet import Unsent, Watch

log = structlog.get_logger("adjourn.webapi")
_UNSENT: RunVar[Unsent] = RunVar("unsent")


class Wire(NamedTuple):
    """A request's connection. in_pieces: its answer may be sent without its length."""

    receive: Receive
    send: Send
    in_pieces: bool


async def send(answer: Answer, wire: Wire, more: tuple[tuple[str, str], ...] = (), *, close: bool = False) -> None:
    """Send a whole answer. more: its last headers. close: and end the connection."""
    headers = [*answer.headers, *more]
    if answer.content_type:
        headers.append(("Content-Type", answer.content_type))
    if answer.status not in (204, 304):
        headers.append(("Content-Length", str(answer.length)))
    if close:
        headers.append(("Connection", "close"))
    await wire.send({"type": "http.response.start", "status": answer.status, "headers": raw(headers)})
    if answer.stream is not None and not await _read_out(answer.stream, wire):
        return
    if answer.stream is None and answer.length > outlet.PIECE_BYTES:
        with anyio.move_on_after(outlet.TAKING_SECONDS_MAX):
            await _send_slices(answer.pieces, wire)
            await wire.send({"type": "http.response.body", "body": b""})
        return
    *before, last = answer.pieces
    for piece in before:
        await wire.send({"type": "http.response.body", "body": piece, "more_body": True})
    await wire.send({"type": "http.response.body", "body": last})


async def _send_slices(pieces: Iterable[bytes | bytearray], wire: Wire) -> None:
    """The server keeps all that it is given, and says only at the next piece that it is not taken."""
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), outlet.PIECE_BYTES):
            part = view[start : start + outlet.PIECE_BYTES]
            await wire.send({"type": "http.response.body", "body": part, "more_body": True})


async def _read_out(stream: Stream, wire: Wire) -> bool:
    """Send what is read meanwhile, piece by piece; False if the client left before the end, or it could not be read."""
    left = anyio.Event()
    watch = Watch(wire.receive, left.set)
    try:
        # In a thread: each piece is read from the store as the one before it is on its way.
        while (part := await anyio.to_thread.run_sync(next, stream.pieces, None)) is not None:
            await _send_slices((part,), wire)
            if left.is_set():
                log.info("a client left before it had its file")
                return False
        return True
    except AdjournError as error:
        log.warning("an answer was cut", reason=error.message)
        return False
    finally:
        watch.stop()


def raw(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers as the server takes them."""
    return [(_header_name(name), value.encode("latin-1", "replace")) for name, value in headers]


class _Name(bytes):
    """A header's name that the server sends as it is written: Microsoft's asynchronous client looks up `OData-EntityId` so."""

    def lower(self) -> _Name:
        return self


@cache
def _header_name(name: str) -> bytes:
    """As the server wants it: those that it must know itself in lower case."""
    return name.lower().encode() if name in ("Content-Length", "Connection") else _Name(name.encode("latin-1"))


def unsent() -> Unsent:
    """What is unsent of the event loop that asks."""
    try:
        return _UNSENT.get()
    except LookupError:
        _UNSENT.set(found := Unsent())
        return found
