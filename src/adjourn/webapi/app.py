"""The HTTP application: the edge, where asynchronous code ends.

Each request is read (its body up to a limit), handed to a thread, answered by synchronous code, and sent. The number of
threads and of requests waiting for one is bounded; beyond it the answer is 503 with Retry-After.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread
import structlog
from anyio.lowlevel import RunVar
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from adjourn import config, runtime
from adjourn.errors import AdjournError, Busy, InvalidRequest, Throttled, UnknownResource
from adjourn.pipeline.call import Call
from adjourn.query.security import Caller
from adjourn.service import Service
from adjourn.webapi import batch, dispatch, failures, job_data, observe, prefer, receiving, sending, url
from adjourn.webapi.auth import Authenticator, Bearer
from adjourn.webapi.bodies import Full
from adjourn.webapi.exchange import Answer, Exchange, check_encoding
from adjourn.webapi.oidc import Issuer
from adjourn.webapi.outlet import PIECE_BYTES, ClientLeft, Outlet, no_room
from adjourn.webapi.protection import Protection
from adjourn.webapi.remembered import Remembered
from adjourn.webapi.sending import Wire

log = structlog.get_logger("adjourn.webapi")
THREADS = 64
"""Requests answered at a time. Writers mostly wait for the disk together, one group commit for many."""
WAITING_MAX = 1_000
"""Requests that may wait for a thread; `bodies` bounds the memory that they hold."""
API_PATH = "/api/data"
_VERSION = re.compile(r"/v9\.\d{1,3}(?:/|$)")
_HOST = re.compile(r"[A-Za-z0-9._\-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")
_ODATA = (("OData-Version", "4.0"), ("Cache-Control", "no-cache"))
_LIMITER: RunVar[anyio.CapacityLimiter] = RunVar("limiter")
_CLIENT_LEFT = 499
"""How the metrics call an answer that nobody was there any more to take; nginx counts them under this number."""
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
        request, wire = Incoming.of(scope), Wire(receive, send, scope["http_version"] != "1.0")
        try:
            if request.origin is None:
                raise InvalidRequest(f"Host '{request.headers.get('host', '')[:100]}' is no host name.")
            # Nobody without a token makes us read a body.
            bearer = self.authenticator.known(request.headers)
            if bearer is None:
                bearer = await self._in_thread(lambda: self.authenticator.bearer(request.headers))
            if self.protection is None:
                answer = await self._admitted(request, bearer, wire)
            else:
                answer = await self._counted(request, bearer, wire, self.protection)
        except Exception as error:
            answer = self._refused(error, request)
        self.measured.observe(request.method, answer.status, runtime.monotonic() - began)
        if answer.outlet is not None:
            await answer.outlet.finished()
        else:
            await self._sent(answer, request, wire)

    async def _counted(self, request: Incoming, bearer: Bearer, wire: Wire, protection: Protection) -> Answer:
        """The answer to an admitted request under service protection."""
        try:
            protection.enter(bearer.user_id)
        except Throttled as error:
            return self._refused(error, request).plus(*protection.left(bearer.user_id))
        began = runtime.monotonic()
        operations = 1
        try:
            answer = await self._admitted(request, bearer, wire)
            operations = answer.operations
        except Exception as error:
            answer = self._refused(error, request)
        finally:
            left = protection.leave(bearer.user_id, runtime.monotonic() - began, operations)
        return answer.plus(*left)

    async def _admitted(self, request: Incoming, bearer: Bearer, wire: Wire) -> Answer:
        if job_data.arrives(request.method, request.path):
            return await self._taken(request, bearer, wire)
        length = receiving.announced(request.headers, config.BODY_BYTES_MAX)
        if length == 0:
            return await self._answered(request, bearer, b"", wire)
        check_encoding(request.headers)
        shared = receiving.bodies()
        kept = shared.body(length)
        try:
            body = await receiving.body(wire.receive, kept)
            async with shared.at_work(len(body)):
                return await self._answered(request, bearer, body, wire)
        finally:
            kept.give_up()

    async def _taken(self, request: Incoming, bearer: Bearer, wire: Wire) -> Answer:
        """The answer to a request whose body is stored as it arrives; no thread waits for the client meanwhile."""
        length = receiving.announced(request.headers)
        kept = receiving.bodies().body(min(length, job_data.HELD_BYTES_MAX) if length is not None else None)
        try:
            answer = await self._in_thread(lambda: self._answer(request, bearer, b"", arriving=True))
            taker = answer.taker
            if taker is None:
                return answer
            try:
                async for piece in receiving.pieces(wire.receive, kept, job_data.PIECE_BYTES, job_data.HELD_BYTES_MAX):
                    await self._in_thread(partial(taker.write, piece))
                await self._in_thread(taker.finish)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(taker.abandon, limiter=_limiter())
                raise
            return answer
        finally:
            kept.give_up()

    async def _answered(self, request: Incoming, bearer: Bearer, body: bytes, wire: Wire) -> Answer:
        question = None
        if request.method == "GET" and not body:
            question = self.remembered.question(
                bearer, request.origin or "", request.path, request.query, request.headers
            )
        known = self.remembered.find(question) if question is not None else None
        if known is not None:
            return known
        if request.method == "GET" and wire.in_pieces:
            answer = await self._let_out(request, bearer, body, wire)
        else:
            answer = await self._in_thread(lambda: self._answer(request, bearer, body))
        if question is not None:
            self.remembered.keep(question, answer)
        return answer

    async def _let_out(self, request: Incoming, bearer: Bearer, body: bytes, wire: Wire) -> Answer:
        """An answer that may begin before it is complete; then what it returns says so, and whether it went well."""

        def opening(head: Answer) -> list[tuple[bytes, bytes]]:
            # What is left is told as it was before this request's time counts.
            left = self.protection.left(bearer.user_id) if self.protection is not None else ()
            return sending.raw((*head.headers, *left, *_ODATA, ("Content-Type", head.content_type)))

        outlet = Outlet(wire.receive, wire.send, sending.unsent(), opening)
        try:
            answer = await self._in_thread(lambda: self._answer(request, bearer, body, outlet=outlet))
        except BaseException as error:
            outlet.abandon()
            if not outlet.begun or not isinstance(error, Exception):
                raise
            if isinstance(error, ClientLeft):
                log.info("a client left before it had its answer", path=request.path[:500])
                answer = Answer(_CLIENT_LEFT)
            else:
                log.warning("an answer was cut", path=request.path[:500], reason=str(error)[:500])
                answer = self._refused(error, request)
        return dataclasses.replace(answer, outlet=outlet) if outlet.begun else answer

    async def _sent(self, answer: Answer, request: Incoming, wire: Wire) -> None:
        """Send an answer that is complete. A long one counts among what is unsent, as those in pieces do."""
        held = 0
        if answer.stream is None and answer.length > PIECE_BYTES:
            refusable = request.method == "GET" or answer.reading
            if refusable and not sending.unsent().take(answer.length):
                answer = self._refused(no_room(), request)
            else:
                held = answer.length
                if not refusable:
                    sending.unsent().hold(held)  # what was changed must be told
        try:
            await sending.send(answer, wire, _ODATA, close=answer.status in (413, 415))
        finally:
            if held:
                sending.unsent().give(held)

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
        return _response(await self._in_thread(lambda: observe.ready(self.service, self._who_asks(headers))))

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

    def _who_asks(self, headers: dict[str, str]) -> Caller | None:
        """Who makes a request; None for one that is not let in."""
        try:
            return self.authenticator.caller(self.authenticator.bearer(headers), headers)
        except AdjournError:
            return None

    async def _in_thread(self, core: Callable[[], T]) -> T:
        if self.waiting >= WAITING_MAX:
            raise Busy(f"More than {WAITING_MAX} requests are waiting; try again.", status=503)
        self.waiting += 1
        try:
            return await anyio.to_thread.run_sync(core, limiter=_limiter())
        finally:
            self.waiting -= 1

    def _answer(
        self, request: Incoming, bearer: Bearer, body: bytes, *, outlet: Outlet | None = None, arriving: bool = False
    ) -> Answer:
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
            outlet=outlet,
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
