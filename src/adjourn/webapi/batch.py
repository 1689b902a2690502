"""`$batch`: many requests in one, change sets all or nothing.

Outside change sets each request is its own operation; the first failure stops the batch and makes the outer status 400,
unless the client prefers to continue. A change set runs in one transaction; if one of its requests fails, nothing of it
remains and its answer is that failure. All of it is the batch's caller's; a request may name another user on whose behalf
that one request is made. Source: webapi.md §15.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping

from adjourn import errors, runtime
from adjourn.errors import AdjournError, InvalidRequest
from adjourn.query.security import Caller
from adjourn.service import Service
from adjourn.webapi import addresses, dispatch, envelope, failures, multipart, prefer, url, write
from adjourn.webapi.auth import ACTING_HEADERS
from adjourn.webapi.exchange import Answer, Exchange, check_encoding
from adjourn.webapi.multipart import ChangeSet, PartRequest

URL_CHARACTERS_MAX = 65_536
"""A GET in a batch may be twice as long as one of its own (webapi.md §1)."""

CallerOf = Callable[[Mapping[str, str]], Caller]
"""Who calls, going by a request's own headers; raises what `auth.Authenticator.caller` does."""


class _Refused(Exception):
    """A request of a change set failed: carries its answer out of the transaction."""

    def __init__(self, answer: Answer, content_id: str | None) -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.content_id = content_id


def run(exchange: Exchange, service: Service, caller_of: CallerOf) -> Answer:
    """Answer a POST to `$batch`. Raises InvalidRequest if the body cannot be read at all."""
    if exchange.options:
        raise InvalidRequest(f"A $batch takes no query options, found '{next(iter(exchange.options))[:100]}'.")
    parts = multipart.parse(exchange.body, exchange.headers.get("content-type", ""))
    name = f"batchresponse_{runtime.new_id()}"
    pieces: list[bytes] = []
    size, status = 0, 200
    for part in parts:
        if isinstance(part, ChangeSet):
            failed = _change_set(part, exchange, service, caller_of, pieces, name)
        else:
            answer = _made(part, exchange, service, caller_of)
            piece = multipart.piece(answer, part.content_id, name)
            size += len(piece)
            if size > envelope.KEPT_BYTES_MAX and part.method == "GET":  # what was changed must be told
                size -= len(piece)
                answer = failures.failed(envelope.too_long(), part.method, part.target, part.headers)
                piece = multipart.piece(answer, part.content_id, name)
            pieces.append(piece)
            failed = answer.status >= 400
        if failed and not exchange.preferences.continue_on_error:
            status = 400
            break
    pieces.append(f"--{name}--\r\n".encode())
    operations = sum(len(part.requests) if isinstance(part, ChangeSet) else 1 for part in parts)
    return Answer(
        status,
        b"",
        (),
        f"multipart/mixed; boundary={name}",
        rest=tuple(pieces),
        operations=operations,
        reading=all(isinstance(part, PartRequest) and part.method == "GET" for part in parts),
    )


def _made(part: PartRequest, exchange: Exchange, service: Service, caller_of: CallerOf) -> Answer:
    """The answer of a request outside change sets, errors included."""
    try:
        caller = _caller(part, exchange, caller_of)
    except AdjournError as error:
        return failures.failed(error, part.method, part.target, part.headers)
    return _answer(part, _by(caller, exchange), service)


def _caller(part: PartRequest, exchange: Exchange, caller_of: CallerOf) -> Caller:
    """Who makes a request: the batch's caller, unless it names somebody itself."""
    if any(header in part.headers for header in ACTING_HEADERS):
        return caller_of(part.headers)
    return exchange.call.caller


def _by(caller: Caller, exchange: Exchange) -> Exchange:
    return exchange.within(call=dataclasses.replace(exchange.call, caller=caller))


def _change_set(
    part: ChangeSet, exchange: Exchange, service: Service, caller_of: CallerOf, pieces: list[bytes], outer: str
) -> bool:
    """Run a change set and append its answer; whether it failed."""
    answers: list[tuple[Answer, str | None]] = []
    references: dict[str, str] = {}
    try:
        # Before the transaction: looking users up reads the store.
        callers = [_caller(request, exchange, caller_of) for request in part.requests]
        with write.one_unit(service, exchange.call, "change set") as call:
            for request, caller in zip(part.requests, callers, strict=True):
                if request.content_id is not None and request.content_id in references:
                    raise InvalidRequest(f"Content-ID '{request.content_id}' stands twice in a change set.")
                inside = _by(caller, exchange.within(call=call, references=dict(references)))
                answer = _answer(request, inside, service)
                if answer.status >= 400:
                    raise _Refused(answer, request.content_id)
                made = answer.header("OData-EntityId")
                if made is not None and request.method == "POST":
                    answer = answer.plus(("Location", made))
                if made is not None and request.content_id is not None:
                    references[request.content_id] = url.relative(made, exchange.root)
                answers.append((answer, request.content_id))
    except _Refused as refused:
        pieces.append(multipart.piece(refused.answer, refused.content_id, outer))
        return True
    except AdjournError as error:
        pieces.append(multipart.piece(failures.failed(error, "POST", exchange.path, exchange.headers), None, outer))
        return True
    pieces.append(multipart.compose_change_set(answers, f"changesetresponse_{runtime.new_id()}", outer))
    return False


def _answer(part: PartRequest, exchange: Exchange, service: Service) -> Answer:
    """One request's answer, errors included."""
    try:
        return dispatch.answer(_exchange(part, exchange), service)
    except Exception as error:
        if not isinstance(error, AdjournError) and exchange.call.transaction is not None:
            # The transaction may be broken: nothing more can run in it.
            raise _Refused(failures.failed(error, part.method, part.target, part.headers), part.content_id) from error
        return failures.failed(error, part.method, part.target, part.headers)


def _exchange(part: PartRequest, outer: Exchange) -> Exchange:
    if part.body:
        check_encoding(part.headers)
    target = part.target
    if target.startswith("$") and not target.startswith(("$batch", "$metadata")):
        target = addresses.referred(target, outer.references)
    target = target.partition("#")[0]
    _check_host(target, outer.root)
    path, _, query = url.relative(target, outer.root).partition("?")
    url.check_length(path, query, URL_CHARACTERS_MAX)
    return dataclasses.replace(
        outer,
        method=part.method,
        path=path,
        query=query,
        segments=url.parse_path(path),
        options=url.parse_query(query),
        headers=part.headers,
        body=part.body,
        preferences=prefer.parse(part.headers),
        outlet=None,
    )


def _check_host(target: str, root: str) -> None:
    """An absolute address must be of the host that was asked: nothing is passed on to another one."""
    host = re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//([^/?]*)", target)
    asked = root.partition("//")[2].partition("/")[0]
    if host is not None and host[1].lower() != asked.lower():
        raise InvalidRequest(
            f"A request of the batch is for host '{host[1][:100]}', the batch itself for '{asked}'.",
            code=errors.ODATA_BAD_PAYLOAD,
        )
