"""The HTTP application: the edge, where asynchronous code ends.

Each request is read (its body up to a limit), handed to a thread, answered by synchronous code, and sent. The number of
threads and of requests waiting for one is bounded; beyond it the answer is 503 with Retry-After.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from adjourn import config, runtime
from adjourn.errors import AdjournError, Busy, InvalidRequest, Throttled, TooLarge, UnknownResource
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.webapi import batch, dispatch, failures, job_data, observe, prefer, url
from adjourn.webapi.auth import Authenticator, Bearer
from adjourn.webapi.bodies import Bodies, Body, Full
from adjourn.webapi.exchange import Answer, Exchange
from adjourn.webapi.oidc import Issuer
from adjourn.webapi.protection import Protection
from adjourn.webapi.remembered import Remembered

THREADS = 64
"""Requests answered at a time. Writers mostly wait for the disk together, one group commit for many."""
WAITING_MAX = 1_000
"""Requests that may wait for a thread; `bodies` bounds the memory that they hold."""
API_PATH = "/api/data"
_VERSION = re.compile(r"/v9\.\d{1,3}(?:/|$)")
_HOST = re.compile(r"[A-Za-z0-9._\-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")
_ODATA = (("OData-Version", "4.0"), ("Cache-Control", "no-cache"))
_LIMITER: RunVar[anyio.CapacityLimiter] = RunVar("limiter")
_BODIES: RunVar[Bodies] = RunVar("bodies")
T = TypeVar("T")


def create_app(
    service: Service, admin_token: str, *, issuer: Issuer | None = None, protection: Protection | None = None
) -> ASGIApp:
    """The Web API of an organization, with health and metrics, as an ASGI application.

    issuer: whose tokens are accepted besides our own. protection: the limits that users are held to; None for none.
    """
    edge = Edge(service, Authenticator(service, admin_token, issuer), protection)
    others = Starlette(
        routes=[
            Route("/healthz", edge.health),
            Route("/readyz", edge.ready),
            Route("/metrics", edge.metrics),
            Route("/", edge.page),
        ],
        exception_handlers={HTTPException: _refused, Exception: _crashed},
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # The API finds its way and answers its errors by itself: a router and its layers cost a fifth of a short answer.
        below = scope["type"] == "http" and (scope["path"].startswith(f"{API_PATH}/") or scope["path"] == API_PATH)
        await (edge.api if below else others)(scope, receive, send)

    return app


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request before its body. origin: scheme and host as the client knows them; None for a host that is none."""

    method: str
    origin: str | None
    path: str
    query: str
    headers: dict[str, str]

    @classmethod
    def of(cls, scope: Scope) -> Incoming:
        headers = url.header_map([(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]])
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]
        return cls(scope["method"], _origin(scope, headers), path, scope["query_string"].decode("latin-1"), headers)


class Edge:
    """The application's endpoints and what they share."""

    def __init__(self, service: Service, authenticator: Authenticator, protection: Protection | None) -> None:
        self.service = service
        self.authenticator = authenticator
        self.protection = protection
        self.measured = observe.Metrics(service)
        self.remembered = Remembered(service.store)
        self.waiting = 0

    async def api(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything below /api/data."""
        began = runtime.monotonic()
        request = Incoming.of(scope)
        try:
            if request.origin is None:
                raise InvalidRequest(f"Host '{request.headers.get('host', '')[:100]}' is no host name.")
            # Nobody without a token makes us read a body.
            bearer = self.authenticator.known(request.headers)
            if bearer is None:
                bearer = await self._in_thread(lambda: self.authenticator.bearer(request.headers))
            if self.protection is None:
                answer = await self._admitted(request, bearer, receive)
            else:
                answer = await self._counted(request, bearer, receive, self.protection)
        except Exception as error:
            answer = self._refused(error, request)
        self.measured.observe(request.method, answer.status, runtime.monotonic() - began)
        await _send(answer, send, _ODATA, close=answer.status == 413)

    async def _counted(self, request: Incoming, bearer: Bearer, receive: Receive, protection: Protection) -> Answer:
        """The answer to an admitted request under service protection."""
        try:
            protection.enter(bearer.user_id)
        except Throttled as error:
            return self._refused(error, request).plus(*protection.left(bearer.user_id))
        began = runtime.monotonic()
        operations = 1
        try:
            answer = await self._admitted(request, bearer, receive)
            operations = answer.operations
        except Exception as error:
            answer = self._refused(error, request)
        finally:
            left = protection.leave(bearer.user_id, runtime.monotonic() - began, operations)
        return answer.plus(*left)

    async def _admitted(self, request: Incoming, bearer: Bearer, receive: Receive) -> Answer:
        if job_data.arrives(request.method, request.path):
            return await self._taken(request, bearer, receive)
        length = _announced(request.headers, config.BODY_BYTES_MAX)
        if length == 0:
            return await self._answered(request, bearer, b"")
        bodies = _bodies()
        kept = bodies.body(length)
        try:
            body = await _body(receive, kept)
            async with bodies.at_work(len(body)):
                return await self._answered(request, bearer, body)
        finally:
            kept.give_up()

    async def _taken(self, request: Incoming, bearer: Bearer, receive: Receive) -> Answer:
        """The answer to a request whose body is stored as it arrives; no thread waits for the client meanwhile."""
        length = _announced(request.headers)
        kept = _bodies().body(min(length, job_data.HELD_BYTES_MAX) if length is not None else None)
        try:
            answer = await self._in_thread(lambda: self._answer(request, bearer, b"", arriving=True))
            taker = answer.taker
            if taker is None:
                return answer
            try:
                async for piece in _pieces(receive, kept):
                    await self._in_thread(partial(taker.write, piece))
                await self._in_thread(taker.finish)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(taker.abandon, limiter=_limiter())
                raise
            return answer
        finally:
            kept.give_up()

    async def _answered(self, request: Incoming, bearer: Bearer, body: bytes) -> Answer:
        question = None
        if request.method == "GET" and not body:
            question = self.remembered.question(
                bearer, request.origin or "", request.path, request.query, request.headers
            )
        known = self.remembered.find(question) if question is not None else None
        if known is not None:
            return known
        answer = await self._in_thread(lambda: self._answer(request, bearer, body))
        if question is not None:
            self.remembered.keep(question, answer)
        return answer

    def _refused(self, error: Exception, request: Incoming) -> Answer:
        answer = failures.failed(error, request.method, request.path, request.headers)
        if isinstance(error, Full):
            # What it did not read of the body is not waited for.
            return answer.plus(("Connection", "close"))
        if answer.status != 401:
            return answer
        return answer.plus(("WWW-Authenticate", self.authenticator.challenge(request.origin or "http://localhost")))

    async def health(self, request: Request) -> Response:
        return Response('{"status":"ok"}', media_type="application/json")

    async def ready(self, request: Request) -> Response:
        headers = Incoming.of(request.scope).headers
        return _response(
            await self._in_thread(lambda: observe.ready(self.service, details=self._refusal(headers) is None))
        )

    async def metrics(self, request: Request) -> Response:
        incoming = Incoming.of(request.scope)

        def measured() -> Answer:
            bearer = self.authenticator.bearer(incoming.headers)
            return self.measured.answer(self.authenticator.caller(bearer, incoming.headers))

        try:
            return _response(await self._in_thread(measured))
        except AdjournError as refusal:
            return _response(self._refused(refusal, incoming))

    async def page(self, request: Request) -> Response:
        return Response(observe.PAGE, media_type="text/html")

    def _refusal(self, headers: dict[str, str]) -> AdjournError | None:
        """Why a request is not let in; None for one that is."""
        try:
            self.authenticator.bearer(headers)
        except AdjournError as error:
            return error
        return None

    async def _in_thread(self, core: Callable[[], T]) -> T:
        if self.waiting >= WAITING_MAX:
            raise Busy(f"More than {WAITING_MAX} requests are waiting; try again.", status=503)
        self.waiting += 1
        try:
            return await anyio.to_thread.run_sync(core, limiter=_limiter())
        finally:
            self.waiting -= 1

    def _answer(self, request: Incoming, bearer: Bearer, body: bytes, *, arriving: bool = False) -> Answer:
        """The synchronous part of a request. Raises the documented errors."""
        below = request.path.removeprefix(API_PATH)
        version = _VERSION.match(below)
        if version is None:
            raise UnknownResource(
                f"Resource not found for the segment '{below.strip('/')[:100]}'. The API is at "
                f"{API_PATH}/{config.API_VERSION}/; every v9.x is served."
            )
        rest = below[version.end() :]
        url.check_length(request.path, request.query)
        options = url.parse_query(request.query)
        call = Call(
            caller=self.authenticator.caller(bearer, request.headers),
            shared_variables={"tag": options["tag"]} if "tag" in options else {},
        )
        exchange = Exchange(
            method=request.method,
            root=f"{request.origin}{API_PATH}{version[0].rstrip('/')}/",
            path=rest,
            query=request.query,
            segments=url.parse_path(rest),
            options=options,
            headers=request.headers,
            body=body,
            call=call,
            preferences=prefer.parse(request.headers),
            skiptoken_key=self.authenticator.skiptoken_key,
            arriving=arriving,
        )
        if request.method == "POST" and len(exchange.segments) == 1 and exchange.segments[0].name == "$batch":
            return batch.run(exchange, self.service, lambda headers: self.authenticator.caller(bearer, headers))
        return dispatch.answer(exchange, self.service)


def _origin(scope: Scope, headers: dict[str, str]) -> str | None:
    host = headers.get("host", "")
    if not host:
        server = scope.get("server") or ("localhost", 80)
        host = f"{server[0]}:{server[1]}"
    return f"{scope['scheme']}://{host}" if _HOST.fullmatch(host) else None


def _limiter() -> anyio.CapacityLimiter:
    """Of the event loop that asks: HTTP and HTTPS have one each."""
    try:
        return _LIMITER.get()
    except LookupError:
        _LIMITER.set(found := anyio.CapacityLimiter(THREADS))
        return found


def _bodies() -> Bodies:
    """Those of the event loop that asks."""
    try:
        return _BODIES.get()
    except LookupError:
        _BODIES.set(found := Bodies())
        return found


def _announced(headers: dict[str, str], most: int | None = None) -> int | None:
    """The length that a request announces; None for none. Raises TooLarge for one beyond the limit."""
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        return None if "transfer-encoding" in headers else 0
    if most is not None and int(length[:20]) > most:
        raise _too_large()
    return int(length[:20])


async def _body(receive: Receive, kept: Body) -> bytes:
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


async def _pieces(receive: Receive, kept: Body) -> AsyncIterator[bytes]:
    """A body in pieces of 1 MiB or a little more, but for the last one. Raises Busy where there is no memory for them.

    kept: as much as has arrived, up to what a taker holds at most; its share stays until the request ends.
    """
    held = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("The connection was closed before the body was complete.")
        content = message.get("body", b"")
        kept.take(min(len(content), job_data.HELD_BYTES_MAX - kept.size))
        held += content
        more = message.get("more_body", False)
        if len(held) >= job_data.PIECE_BYTES or not more:
            yield bytes(held)
            held.clear()
        if not more:
            return


def _too_large() -> TooLarge:
    return TooLarge(f"The body of a request is at most {config.BODY_BYTES_MAX:,} bytes.")


async def _send(answer: Answer, send: Send, more: tuple[tuple[str, str], ...] = (), *, close: bool = False) -> None:
    headers = [*answer.headers, *more]
    if answer.content_type:
        headers.append(("Content-Type", answer.content_type))
    if answer.status not in (204, 304):
        headers.append(("Content-Length", str(answer.length)))
    if close:
        headers.append(("Connection", "close"))
    raw = [(_header_name(name), value.encode("latin-1", "replace")) for name, value in headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    if answer.stream is not None:
        # In a thread, piece by piece: each is read from the store as the one before it is on its way.
        while (part := await anyio.to_thread.run_sync(next, answer.stream.pieces, None)) is not None:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    *before, last = answer.pieces
    for piece in before:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": last})


class _Name(bytes):
    """A header's name that the server sends as it is written: Microsoft's asynchronous client looks up `OData-EntityId` so."""

    def lower(self) -> _Name:
        return self


@cache
def _header_name(name: str) -> bytes:
    """As the server wants it: those that it must know itself in lower case."""
    return name.lower().encode() if name in ("Content-Length", "Connection") else _Name(name.encode("latin-1"))


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers), answer.content_type or None)


async def _refused(request: Request, error: Exception) -> Response:
    """A path or verb outside the API."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = tuple((error.headers or {}).get("Allow", "GET").split(", "))
        return _response(failures.wrong_verb(request.method, allowed))
    path = request.url.path
    text = f"There is nothing at '{path[:200]}'. The Web API is at {API_PATH}/{config.API_VERSION}/."
    return _response(failures.answer(error.status_code, "0x8006088a", text))


async def _crashed(request: Request, error: Exception) -> Response:
    return _response(failures.failed(error, request.method, request.url.path))
