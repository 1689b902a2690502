"""One request on its way to an answer, free of any HTTP library: what the core of the Web API takes and gives.

A part of a `$batch` is an exchange like any other, so that nothing in a batch can behave differently.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from adjourn import config
from adjourn.errors import InvalidRequest, NotSupported, TooLarge
from adjourn.pipeline.call import Call
from adjourn.webapi.outlet import Outlet
from adjourn.webapi.prefer import Preferences
from adjourn.webapi.url import Segment

JSON = "application/json; odata.metadata=minimal"
ENCODER = msgspec.json.Encoder(decimal_format="number")
ETAGS_MAX = 100
_ETAG = re.compile(r'\s*(?:W/)?"?(\d{1,19})"?\s*')
_BRACKETS = re.compile(rb"[\[\]{}]|\"(?:[^\"\\]|\\.)*+\"", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, read as far as its address and its headers go.

    root: the absolute address of the API that was used, up to and with `v9.2/`; every address in an answer begins with it.
    path, query: behind the root, as sent, percent-encoded. options: the decoded query options. headers: by lower-case
    name. call: the caller and his circumstances.
    """

    method: str
    root: str
    path: str
    query: str
    segments: tuple[Segment, ...]
    options: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    call: Call
    preferences: Preferences
    skiptoken_key: bytes = b""
    references: Mapping[str, str] = field(default_factory=dict)
    """In a batch: what `$1` stands for, an address relative to the root, by Content-ID."""
    outlet: Outlet | None = None
    """By which a long answer may be handed over before it is complete; None where it has to be kept as a whole."""
    arriving: bool = False
    """The body is not there yet: it goes to the answer's `taker` as it arrives."""

    def within(self, **changes: Any) -> Exchange:
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Stream:
    """A long content that is read while it is sent. length: in bytes; it is announced, so all of it must come."""

    length: int
    pieces: Iterator[bytes]


class Taker(Protocol):
    """What takes a body in as it arrives. `finish` comes at its end, `abandon` when it breaks off or is refused."""

    def write(self, content: bytes) -> None: ...
    def finish(self) -> None: ...
    def abandon(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. headers: beside Content-Type and those that every response has.

    rest: what follows `body`, in pieces, so that a long answer is never copied into one text.
    lasting: the same request has the same answer until something is committed.
    operations: how many requests it answers, for service protection.
    reading: nothing was changed by a request that might have, so that it may be refused when it is there.
    stream: what is read while it is sent, instead of a body.
    outlet: what sends it: it has begun already. Then there is no body here.
    taker: who takes the request's body first, if the exchange says that it is still arriving.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = JSON
    rest: tuple[bytes | bytearray, ...] = ()
    lasting: bool = False
    operations: int = 1
    reading: bool = False
    stream: Stream | None = None
    outlet: Outlet | None = None
    taker: Taker | None = None

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def length(self) -> int:
        return self.stream.length if self.stream is not None else sum(map(len, self.pieces))

    @property
    def pieces(self) -> tuple[bytes | bytearray, ...]:
        return (self.body, *self.rest)

    def plus(self, *headers: tuple[str, str]) -> Answer:
        return dataclasses.replace(self, headers=(*self.headers, *headers))


def condition(exchange: Exchange, header: str) -> frozenset[int] | str | None:
    """The versions of which a header demands one; "*" for any; None for none. Raises InvalidRequest for what is no ETag."""
    text = exchange.headers.get(header, "").strip()
    if text in ("", "null"):
        return None
    if text == "*":
        return "*"
    found = [_ETAG.fullmatch(part) for part in text.split(",")]
    if len(found) > ETAGS_MAX or not all(found):
        raise InvalidRequest(
            f"{header} must be * or at most {ETAGS_MAX} ETags such as W/\"1234\", found '{text[:100]}'."
        )
    return frozenset(int(match[1]) for match in found if match is not None)


def check_encoding(headers: Mapping[str, str]) -> None:
    """Raises NotSupported (415, 501) for a body that would have to be unpacked before it could be read."""
    found = headers.get("content-encoding", "").strip()
    if found.lower() not in ("", "identity"):
        raise NotSupported(
            f"Content-Encoding '{found[:60]}' is not supported: bodies are not unpacked. Send the body as it is, without "
            "this header.",
            status=415,
        )
    sent = headers.get("transfer-encoding", "").strip()
    if sent.lower() not in ("", "chunked"):
        raise NotSupported(f"Transfer-Encoding '{sent[:60]}' is not supported: only chunked is.", status=501)


def json_answer(status: int, value: Any, *headers: tuple[str, str]) -> Answer:
    return Answer(status, ENCODER.encode(value), headers)


def no_content(*headers: tuple[str, str]) -> Answer:
    return Answer(204, b"", headers, "")


def json_object(body: bytes, decoder: msgspec.json.Decoder[Any], what: str = "request") -> dict[str, Any]:
    """A body that must be one JSON object. Raises InvalidRequest with the place of the mistake.

    A name that stands twice counts with its last value, as everywhere in JSON.
    """
    if len(body) > config.BODY_BYTES_MAX:
        raise TooLarge(f"The body of a {what} is at most {config.BODY_BYTES_MAX:,} bytes.")
    if body.startswith(b"\xef\xbb\xbf"):
        body = body[3:]
    if not body.strip():
        raise InvalidRequest(f"The {what} needs a body: one JSON object.", code=0x80048D19)
    if not _shallow(body):
        # Before the parser: it would not be stopped by depth, only by memory.
        raise InvalidRequest(f"The JSON body is nested deeper than {config.NESTING_MAX} levels.", code=0x80048D19)
    try:
        found = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidRequest(f"The body is no valid JSON: {error}.", code=0x80048D19) from None
    except ArithmeticError:
        raise InvalidRequest("The JSON body holds a number beyond all measure.", code=0x80048D19) from None
    if not isinstance(found, dict):
        raise InvalidRequest(f"The body must be one JSON object, found {type(found).__name__}.", code=0x80048D19)
    return found


def _shallow(body: bytes) -> bool:
    """Whether no more than NESTING_MAX brackets are open anywhere; those inside strings do not count."""
    if body.count(b"{") + body.count(b"[") <= config.NESTING_MAX:
        return True
    depth = 0
    for piece in _BRACKETS.finditer(body):
        found = piece[0][0]
        if found in b"{[":
            depth += 1
            if depth > config.NESTING_MAX:
                return False
        elif found in b"}]":
            depth -= 1
    return True
