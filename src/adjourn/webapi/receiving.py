"""Bodies of requests as they come from the server's protocol: announced, whole within their limit, or in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator

from anyio.lowlevel import RunVar
from starlette.types import Receive

from adjourn import config
from adjourn.errors import InvalidRequest, TooLarge
from adjourn.webapi.bodies import Bodies, Body

_BODIES: RunVar[Bodies] = RunVar("bodies")


def bodies() -> Bodies:
    """The bodies of the event loop that asks."""
    try:
        return _BODIES.get()
    except LookupError:
        _BODIES.set(found := Bodies())
        return found


def announced(headers: dict[str, str], most: int | None = None) -> int | None:
    """The length that a request announces; None if it does not say. most: bytes; raises TooLarge beyond."""
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        return None if "transfer-encoding" in headers else 0
    if most is not None and int(length[:20]) > most:
        raise _too_large()
    return int(length[:20])


async def body(receive: Receive, kept: Body) -> bytes:
    """The whole body. Raises TooLarge or Busy as soon as it is known to be, without reading on."""
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("The connection was closed before the body was complete.")
        piece = message.get("body", b"")
        if kept.size + len(piece) > config.BODY_BYTES_MAX:
            raise _too_large()
        kept.take(len(piece))
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def pieces(receive: Receive, kept: Body, size: int, held_most: int) -> AsyncIterator[bytes]:
    """A body in pieces of `size` bytes or a little more, but for the last one. Raises Busy where there is no memory for them.

    kept: as much as has arrived, up to `held_most`, which is what its taker holds at most; its share stays until the request ends.
    """
    held = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("The connection was closed before the body was complete.")
        content = message.get("body", b"")
        kept.take(min(len(content), held_most - kept.size))
        held += content
        more = message.get("more_body", False)
        if len(held) >= size or not more:
            yield bytes(held)
            held.clear()
        if not more:
            return


def _too_large() -> TooLarge:
    return TooLarge(f"The body of a request is at most {config.BODY_BYTES_MAX:,} bytes.")
