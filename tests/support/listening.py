"""Real servers on free ports for applications of the tests: one that a test has done with serves the next test's application.

To start and to stop one takes a quarter of a second, nearly all of it uvicorn's own pauses; an application behind one that
listens already costs nothing. Between two tests no connection and no request is left.
"""

from __future__ import annotations

import atexit
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from adjourn.webapi.server import run

_REST_SECONDS_MAX = 15
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak plain HTTP: by default each would read the certificates of all the world anew, for 20 ms."""


def client(port: int, token: str | None = None, *, seconds: float = 30) -> httpx.Client:
    """A client whose base address is the root of the Web API on a port of this machine."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}/api/data/v9.2/",
        headers={"Authorization": f"Bearer {token}"} if token is not None else {},
        timeout=seconds,
        verify=_NO_TLS,
    )


class _Listener:
    """A server, and the application that stands behind it at present."""

    def __init__(self) -> None:
        self.application: Any = None
        self.server = run(self, "127.0.0.1", 0)
        atexit.register(self.server.stop)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.application(scope, receive, send)

    def rest(self) -> None:
        """Close the connections that clients left open, and wait for requests under way."""
        state = self.server._server.server_state
        deadline = time.monotonic() + _REST_SECONDS_MAX
        while connections := list(state.connections):
            for connection in connections:
                connection.loop.call_soon_threadsafe(connection.transport.abort)
            assert time.monotonic() < deadline, f"{len(connections)} connections stay open"
            time.sleep(0.001)
        while state.tasks:
            assert time.monotonic() < deadline, f"{len(state.tasks)} requests do not end"
            time.sleep(0.001)
        self.application = None


_resting: list[_Listener] = []


@contextmanager
def listening(application: Any) -> Iterator[int]:
    """Serve an application on a port, which is given."""
    listener = _resting.pop() if _resting else _Listener()
    listener.application = application
    try:
        yield listener.server.port
    finally:
        listener.rest()
        _resting.append(listener)
