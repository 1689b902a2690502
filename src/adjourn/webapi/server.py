"""Serving an application over HTTP in a thread of its own: uvicorn with uvloop and httptools.

`run` returns when the socket listens; `stop` lets requests under way end. httptools sets no limit on the length of a
request's head, nor uvicorn on the time that a client takes to send one, so the protocol here does.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from adjourn import config, runtime
from adjourn.errors import InvalidRequest
from adjourn.webapi import failures
from adjourn.webapi.exchange import JSON

HEAD_BYTES_MAX = config.URL_CHARACTERS_MAX + 65_536
"""Request line and headers together: the longest address, and room for large tokens."""
STOP_SECONDS = 10
CLOSE_SECONDS = 0.5
"""For the client of an idle connection to answer that it closes."""
START_SECONDS = 30
KEEP_ALIVE_SECONDS = 75
BACKLOG = 2048
SILENCE_SECONDS_MAX = 30.0
"""For a head to be complete, and between two pieces of a body: a client that stops sending gives up its connection."""
REQUEST_SECONDS_MAX = 600.0
"""For a whole request to arrive, and for its answer to be taken: 64 MiB over a slow line."""
WATCH_SECONDS = 10.0
"""How often a connection is looked at."""
_DATE_SECONDS = 1.0
"""How often the Date of answers is written anew."""


class _HeadTooLong(Exception):
    pass


class Stalled:
    """An answer that its client does not take as fast as it comes. began: when; left: bytes that wait to be sent."""

    def __init__(self, began: float, left: int) -> None:
        self._began = self._moved = began
        self._left = left

    def too_long(self, now: float, left: int) -> bool:
        """Whether nothing of it was taken for too long, or all of it takes too long. To be asked again and again."""
        if left != self._left:
            self._left, self._moved = left, now
        return now - self._moved > SILENCE_SECONDS_MAX or now - self._began > REQUEST_SECONDS_MAX


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a request whose head does not end: the parser's callback raises, and uvicorn answers 400 and closes.

    A client that does not go on with its request, or does not take its answer, loses the connection.
    """

    _head_bytes = 0
    _waiting_since: float | None = None
    _stalled: Stalled | None = None
    _began = 0.0
    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._began = self._waiting_since = self.loop.time()
        self._watch = self.loop.call_later(WATCH_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The service ends. A connection without a request closes; over TLS its client need not agree (it may be asleep)."""
        super().shutdown()
        if self.transport.is_closing():
            self.loop.call_later(CLOSE_SECONDS, self._drop)

    def _drop(self) -> None:
        if self.transport.get_write_buffer_size() == 0:
            self.transport.abort()

    def _look(self) -> None:
        """Close a connection whose client has begun a request and does not go on with it."""
        now = self.loop.time()
        if self._waiting_since is not None and (
            now - self._waiting_since > SILENCE_SECONDS_MAX or now - self._began > REQUEST_SECONDS_MAX
        ):
            self.transport.close()  # it lives on as long as the answer before is not taken, so it is looked at further
        if self._stalled is not None and self._stalled.too_long(now, self.transport.get_write_buffer_size()):
            self.transport.abort()  # closing would wait for what is not taken
            return
        self._watch = self.loop.call_later(WATCH_SECONDS, self._look)

    def pause_writing(self) -> None:
        if self._stalled is None:
            self._stalled = Stalled(self.loop.time(), self.transport.get_write_buffer_size())
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stalled = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused as everything else is, and its connection closed."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()  # an answer is under way: another one in its middle would be taken for a part of it
            return
        if self._head_bytes > HEAD_BYTES_MAX:
            msg = f"The head of a request is at most {HEAD_BYTES_MAX:,} bytes."
        content = failures.answer(400, "0x0", msg).body
        head = (
            "HTTP/1.1 400 Bad Request",
            f"Content-Type: {JSON}",
            f"Content-Length: {len(content)}",
            "OData-Version: 4.0",
            "Connection: close",
        )
        self.transport.write("\r\n".join((*head, "", "")).encode() + content)
        self.transport.close()

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        self._began = self._waiting_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._waiting_since = self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._waiting_since = self.loop.time()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._waiting_since = None
        super().on_message_complete()

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name)
        self._count(value)
        super().on_header(name, value)

    def _count(self, piece: bytes) -> None:
        self._head_bytes += len(piece) + 2
        if self._head_bytes > HEAD_BYTES_MAX:
            raise _HeadTooLong(f"the head of a request is at most {HEAD_BYTES_MAX} bytes")


class Server:
    """A running server. `port` is the one that it listens on, also when any free one was asked for."""

    def __init__(self, server: _Quiet, listening: socket.socket) -> None:
        self.port: int = listening.getsockname()[1]
        self._server = server
        self._socket = listening
        self._thread = runtime.spawn(self._serve, name="http")

    def wait(self) -> None:
        """Return when requests are answered. Raises RuntimeError if the server ends instead."""
        deadline = runtime.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or runtime.monotonic() > deadline:
                raise RuntimeError("the HTTP server did not start; the log says why")
            runtime.sleep(0.005)

    def refuse(self) -> None:
        """Take no new requests from now on; those under way go on. `stop` waits for them."""
        self._server.refuse()

    def stop(self) -> None:
        """End: no new connections, requests under way get STOP_SECONDS."""
        self.refuse()
        self._thread.join(STOP_SECONDS + 5)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


def run(app: Any, host: str, port: int, *, certificate: Path | None = None, key: Path | None = None) -> Server:
    """Serve in a thread; port 0 takes any free one.

    certificate: PEM file for HTTPS, with the key in it or in `key`. Raises InvalidRequest if the address cannot be had or
    the certificate cannot be used.
    """
    if certificate is not None:
        _check(certificate, key)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise InvalidRequest(f"Cannot listen on {host}:{port}: {error.strerror or error}.") from error
    settings = uvicorn.Config(
        app,
        http=BoundedProtocol,
        loop="uvloop" if _has_uvloop() else "asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # X-Forwarded-* come from whoever likes to send them
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        backlog=BACKLOG,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    server = _Quiet(settings)
    started = Server(server, listening)
    started.wait()
    return started


def _check(certificate: Path, key: Path | None) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidRequest(f"The certificate {certificate} cannot be used: {error}.") from error


class _Quiet(uvicorn.Server):
    """Leaves signals alone: they are the command's affair, and can only be caught in the main thread.

    Once the time for requests under way is over, connections end as they are: what their clients do not take would
    otherwise be waited for.
    """

    def __init__(self, settings: uvicorn.Config) -> None:
        super().__init__(settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()

    def refuse(self) -> None:
        """Take no new connections from now on. By any thread."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._ended.set)

    async def main_loop(self) -> None:
        # uvicorn's own looks ten times a second whether it is to end, which is most of what an idle service would do.
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):  # writes the Date header, too
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _DATE_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        last = asyncio.get_running_loop().call_later(STOP_SECONDS, self._break_off)
        try:
            await super().shutdown(sockets)
        finally:
            last.cancel()

    def _break_off(self) -> None:
        for connection in list(self.server_state.connections):
            assert isinstance(connection, BoundedProtocol)
            connection.transport.abort()

    def install_signal_handlers(self) -> None:
        return None

    def capture_signals(self) -> Any:
        return nullcontext()


def _has_uvloop() -> bool:
    return find_spec("uvloop") is not None
