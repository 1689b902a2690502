"""Multipart bodies of a `$batch`: taken apart, and put together again.

    --batch_x                                   one part: MIME headers, a blank line, an HTTP request
    Content-Type: application/http
    Content-Transfer-Encoding: binary

    GET accounts?$select=name HTTP/1.1          or POST, PATCH, …, with headers, a blank line and a body
    Accept: application/json

    --batch_x--

Lines end in CRLF or in LF (Dataverse refuses LF; some clients send it). Stray blank lines before the request line and
after its headers are accepted. A change set is a part that is itself multipart/mixed. Source: webapi.md §15.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from adjourn import config, errors
from adjourn.errors import InvalidRequest
from adjourn.webapi import failures, url
from adjourn.webapi.exchange import Answer

_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;,"]{1,200}))', re.IGNORECASE)
_BLANK_LINE = re.compile(rb"\r?\n[ \t]*\r?\n")
_LINE_END = re.compile(rb"[ \t]*\r?\n")
HEADERS_BYTES_MAX = 32_768
_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")


@dataclass(frozen=True, slots=True)
class PartRequest:
    """One request of a batch. target: the address as written; latin-1, as HTTP servers give it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    content_id: str | None


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Requests that succeed or fail together."""

    requests: tuple[PartRequest, ...]


def boundary(content_type: str) -> str:
    """The boundary of a multipart content type. Raises InvalidRequest."""
    match = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/mixed") or match is None:
        raise _unreadable(f"Content-Type must be multipart/mixed; boundary=…, found '{content_type[:200]}'")
    return match[1] or match[2]


def parse(body: bytes, content_type: str) -> list[PartRequest | ChangeSet]:
    """The parts of a batch in their order. Raises InvalidRequest (0x80048d19)."""
    found: list[PartRequest | ChangeSet] = []
    count = 0
    for part in _parts(body, boundary(content_type)):
        headers, rest = _headers(part.lstrip(b"\r\n"))
        kind = headers.get("content-type", "")
        if kind.lower().startswith("multipart/mixed"):
            inner = [_request(*_headers(found_piece.lstrip(b"\r\n"))) for found_piece in _parts(rest, boundary(kind))]
            for request in inner:
                if request.method == "GET":
                    raise _unreadable("a GET stands in a change set; GETs stand outside")
            found.append(ChangeSet(tuple(inner)))
            count += len(inner)
        else:
            found.append(_request(headers, rest))
            count += 1
        if count > config.BATCH_REQUESTS_MAX:
            raise InvalidRequest(
                f"The number of requests in a batch is limited to {config.BATCH_REQUESTS_MAX}.",
                code=errors.ODATA_BAD_PAYLOAD,
            )
    if not found:
        raise _unreadable("it has no part; each begins with --<boundary> on a line of its own")
    return found


def compose(answers: Sequence[tuple[Answer, str | None]], name: str) -> bytes:
    """Answers, each with the Content-ID of its request, as a multipart body with this boundary."""
    pieces = [piece(answer, content_id, name) for answer, content_id in answers]
    return b"".join([*pieces, f"--{name}--\r\n".encode()])


def compose_change_set(answers: Sequence[tuple[Answer, str | None]], name: str, outer: str) -> bytes:
    """One part of the outer body that holds a change set's answers."""
    head = f"--{outer}\r\nContent-Type: multipart/mixed; boundary={name}\r\n\r\n".encode()
    return head + compose(answers, name)


def piece(answer: Answer, content_id: str | None, name: str) -> bytes:
    """One answer as a part, its delimiter in front."""
    if answer.stream is not None:
        answer = failures.answer(
            400, "0x80040203", f"The file has {answer.length:,} bytes: fetch it outside of a $batch, or a Range of it."
        )
    lines = [f"--{name}", "Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id is not None:
        lines.append(f"Content-ID: {content_id}")
    lines += ["", f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    if answer.content_type:
        lines.append(f"Content-Type: {answer.content_type}")
    lines.append("OData-Version: 4.0")
    lines += [f"{key}: {value}" for key, value in answer.headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + b"".join(answer.pieces) + b"\r\n"


def _parts(body: bytes, name: str) -> list[bytes]:
    """What stands between the delimiter lines; the line end before a delimiter belongs to the delimiter."""
    delimiter = re.compile(
        rb"(?:^|\r?\n)--" + re.escape(name.encode("latin-1", "replace")) + rb"(--)?[ \t]*(?=\r?\n|$)"
    )
    found: list[bytes] = []
    start: int | None = None
    for match in delimiter.finditer(body):
        if start is not None:
            found.append(body[start : match.start()])
        start = None if match[1] else match.end()
        if match[1]:
            return found
    if start is not None:
        raise _unreadable(f"its end is missing: --{name}--")
    return found


def _headers(part: bytes) -> tuple[dict[str, str], bytes]:
    """Headers, up to the first blank line, and what follows it."""
    end = _BLANK_LINE.search(part)
    block, rest = (part[: end.start()], part[end.end() :]) if end else (part, b"")
    if len(block) > HEADERS_BYTES_MAX:
        raise _unreadable(f"a part's headers are longer than {HEADERS_BYTES_MAX:,} bytes")
    found: list[tuple[str, str]] = []
    for line in block.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if line.strip() and not colon:
            raise _unreadable(f"'{line[:100]}' is no header")
        if line.strip():
            found.append((name.strip(), value))
    return url.header_map(found), rest


def _request(mime: dict[str, str], rest: bytes) -> PartRequest:
    if not mime.get("content-type", "").lower().startswith("application/http"):
        raise _unreadable(
            f"a part's Content-Type must be application/http, found '{mime.get('content-type', '')[:100]}'"
        )
    line, _, after = rest.lstrip(b"\r\n").partition(b"\n")
    # The first and the last word: the address between them may hold blanks as they are.
    words = line.decode("latin-1").strip().split(" ", 1)
    target, _, version = words[1].rpartition(" ") if len(words) == 2 else ("", "", "")
    if not version.upper().startswith("HTTP/"):
        target = words[1] if len(words) == 2 else ""
    if words[0] not in _METHODS or not target.strip():
        raise _unreadable(f"'{line[:100].decode('latin-1')}' is no request line such as GET accounts HTTP/1.1")
    # A blank line at once: the request has no headers.
    bare = _LINE_END.match(after)
    headers, body = ({}, after[bare.end() :]) if bare else _headers(after)
    content_id = mime.get("content-id", headers.get("content-id"))
    if content_id is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", content_id):
        raise _unreadable(f"Content-ID '{content_id[:100]}' must be letters, digits, '.', '_' and '-'")
    return PartRequest(words[0], target.strip(), headers, body.strip(b"\r\n"), content_id)


def _unreadable(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The batch could not be read: {reason}.", code=errors.ODATA_BAD_PAYLOAD)
