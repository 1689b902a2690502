"""The HTTP application: the edge, where asynchronous code ends.

Each request is read (its body up to a limit), handed to a thread, answered by synchronous code, and sent. The number of
threads and of requests waiting for one is bounded; beyond it the answer is 503 with Retry-After.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from adjourn import config, runtime
from adjourn.errors import Busy, InvalidRequest, TooLarge, UnknownResource
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.webapi import batch, dispatch, failures, observe, prefer, url
from adjourn.webapi.auth import Authenticator
from adjourn.webapi.exchange import Answer, Exchange
from adjourn.webapi.remembered import Remembered

THREADS = 64
"""Requests answered at a time. Writers mostly wait for the disk together, one group commit for many."""
WAITING_MAX = 1_000
"""Requests that may wait for a thread; their bodies lie in memory."""
API_PATH = "/api/data"
_VERSION = re.compile(r"/v9\.\d{1,3}(?:/|$)")
_HOST = re.compile(r"[A-Za-z0-9._\-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")
_ODATA = (("OData-Version", "4.0"), ("Cache-Control", "no-cache"))
Core = Callable[[], Answer]


def create_app(service: Service, admin_token: str) -> ASGIApp:
    """The Web API of an organization, with health and metrics, as an ASGI application."""
    edge = Edge(service, admin_token)
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


class Edge:
    """The application's endpoints and what they share."""

    def __init__(self, service: Service, admin_token: str) -> None:
        self.service = service
        self.authenticator = Authenticator(service, admin_token)
        self.measured = observe.Metrics(service)
        self.remembered = Remembered(service.store)
        self.waiting = 0
        self._limiter: anyio.CapacityLimiter | None = None

    async def api(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything below /api/data."""
        began = runtime.monotonic()
        headers = url.header_map([(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]])
        host = _origin(scope, headers)
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]
        method = scope["method"]
        try:
            if host is None:
                raise InvalidRequest(f"Host '{headers.get('host', '')[:100]}' is no host name.")
            # Nobody without a token makes us read a body.
            who = self.authenticator.require(headers)
            body = await _body(receive, headers)
            query = scope["query_string"].decode("latin-1")
            question = self.remembered.question(who, host, path, query, headers) if method == "GET" else None
            known = self.remembered.find(question) if question is not None else None
            if known is not None:
                answer = known
            else:
                answer = await self._in_thread(lambda: self._answer(method, host, path, query, headers, body))
                if question is not None:
                    self.remembered.keep(question, answer)
        except Exception as error:
            answer = failures.failed(error, host or "http://localhost", method, path)
        self.measured.observe(method, answer.status, runtime.monotonic() - began)
        await _send(answer, send, _ODATA, close=answer.status == 413)

    async def health(self, request: Request) -> Response:
        return Response('{"status":"ok"}', media_type="application/json")

    async def ready(self, request: Request) -> Response:
        details = self.authenticator.admits(url.header_map(list(request.headers.items())))
        return _response(await self._in_thread(lambda: observe.ready(self.service, details=details)))

    async def metrics(self, request: Request) -> Response:
        headers = url.header_map(list(request.headers.items()))
        if not self.authenticator.admits(headers):
            host = _origin(request.scope, headers) or ""
            return _response(failures.failed(_unauthenticated(self.authenticator, headers), host, "GET", "/metrics"))
        return _response(await self._in_thread(self.measured.answer))

    async def page(self, request: Request) -> Response:
        return Response(observe.PAGE, media_type="text/html")

    async def _in_thread(self, core: Core) -> Answer:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(THREADS)
        if self.waiting >= WAITING_MAX:
            raise Busy(f"More than {WAITING_MAX} requests are waiting; try again.", status=503)
        self.waiting += 1
        try:
            return await anyio.to_thread.run_sync(core, limiter=self._limiter)
        finally:
            self.waiting -= 1

    def _answer(self, method: str, host: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        """The synchronous part of a request. Raises the documented errors."""
        below = path.removeprefix(API_PATH)
        version = _VERSION.match(below)
        if version is None:
            raise UnknownResource(
                f"Resource not found for the segment '{below.strip('/')[:100]}'. The API is at "
                f"{API_PATH}/{config.API_VERSION}/; every v9.x is served."
            )
        rest = below[version.end() :]
        url.check_length(path, query)
        options = url.parse_query(query)
        call = Call(
            caller=self.authenticator.caller(headers),
            shared_variables={"tag": options["tag"]} if "tag" in options else {},
        )
        exchange = Exchange(
            method=method,
            root=f"{host}{API_PATH}{version[0].rstrip('/')}/",
            path=rest,
            query=query,
            segments=url.parse_path(rest),
            options=options,
            headers=headers,
            body=body,
            call=call,
            preferences=prefer.parse(headers),
            skiptoken_key=self.authenticator.skiptoken_key,
        )
        if method == "POST" and len(exchange.segments) == 1 and exchange.segments[0].name == "$batch":
            return batch.run(exchange, self.service, host)
        return dispatch.answer(exchange, self.service)


def _unauthenticated(authenticator: Authenticator, headers: dict[str, str]) -> Exception:
    try:
        authenticator.require(headers)
    except Exception as error:
        return error
    raise AssertionError("the request was admitted before")


def _origin(scope: Scope, headers: dict[str, str]) -> str | None:
    """Scheme and host as the client knows them; None for a host that is none."""
    host = headers.get("host", "")
    if not host:
        server = scope.get("server") or ("localhost", 80)
        host = f"{server[0]}:{server[1]}"
    return f"{scope['scheme']}://{host}" if _HOST.fullmatch(host) else None


async def _body(receive: Receive, headers: dict[str, str]) -> bytes:
    """The whole body. Raises TooLarge as soon as it is known to be, without reading on."""
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > config.BODY_BYTES_MAX:
        raise _too_large()
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("The connection was closed before the body was complete.")
        piece = message.get("body", b"")
        size += len(piece)
        if size > config.BODY_BYTES_MAX:
            raise _too_large()
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large() -> TooLarge:
    return TooLarge(f"The body of a request is at most {config.BODY_BYTES_MAX:,} bytes.")


async def _send(answer: Answer, send: Send, more: tuple[tuple[str, str], ...] = (), *, close: bool = False) -> None:
    headers = [*answer.headers, *more]
    if answer.content_type:
        headers.append(("Content-Type", answer.content_type))
    if answer.status not in (204, 304):
        headers.append(("Content-Length", str(sum(map(len, answer.pieces)))))
    if close:
        headers.append(("Connection", "close"))
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    *before, last = answer.pieces
    for piece in before:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": last})


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
    return _response(failures.failed(error, "", request.method, request.url.path))
