"""File columns over HTTP: `<set>(<id>)/<column>` takes a file by PATCH or PUT, `…/$value` gives it back.

    PATCH  Content-Type: application/octet-stream, x-ms-file-name                    a file in one request: 204
    PATCH  x-ms-transfer-mode: chunked                                               200 with Location and x-ms-chunk-size
    PATCH  <Location>, Content-Range: bytes 0-4194303/25870370                       206, and 204 when all bytes are there
    GET    …/$value, also with Range                                                 200, 206
    DELETE                                                                           204

Chunks may come in any order, and again. Source: the page "Use file column data".
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote
from uuid import UUID

from adjourn import config
from adjourn.errors import InvalidRequest, NotFound, UnknownResource, nearest
from adjourn.metadata import values
from adjourn.metadata.model import Column, Reference
from adjourn.pipeline import files as uploads
from adjourn.pipeline.call import Call
from adjourn.query import files
from adjourn.query.files import Piece, Stored
from adjourn.service import Service
from adjourn.webapi import failures
from adjourn.webapi.exchange import Answer, Exchange, Stream, condition, no_content
from adjourn.webapi.resource import Resource

_OPTIONS = ("x-ms-file-name", "sessiontoken", "tag")
_CHUNK = re.compile(r"bytes\s+(\d{1,15})-(\d{1,15})/(\d{1,15})")
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_EXPOSED = "x-ms-file-size, x-ms-file-name, x-ms-chunk-size, mimetype"


def takes_files(column: Column | None) -> bool:
    """Whether callers may put files into a column."""
    return column is not None and column.size_kb_max is not None


def upload(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """A file, the beginning of one, or a chunk. Raises the documented errors."""
    target, column = _place(resource)
    for option in exchange.options:
        if option not in _OPTIONS:
            raise InvalidRequest(
                f"Query option '{option[:100]}' cannot be used with a file.{nearest(option, _OPTIONS)}"
            )
    headers = exchange.headers
    token = exchange.options.get("sessiontoken")
    if token is not None:
        return _chunk(exchange, service, target, values.guid(token, "sessiontoken"))
    call, only_if_empty = _conditions(exchange)
    name = headers.get("x-ms-file-name") or exchange.options.get("x-ms-file-name", "")
    mode = headers.get("x-ms-transfer-mode", "")
    if mode.lower() not in ("", "chunked"):
        raise InvalidRequest(f"x-ms-transfer-mode must be 'chunked' or left out, found '{mode[:60]}'.")
    kind = headers.get("content-type", uploads.OCTETS).partition(";")[0].strip().lower()
    if not mode and kind == "application/json":
        raise InvalidRequest(
            f"File column '{column.logical}' takes the file itself, with Content-Type {uploads.OCTETS}, not JSON."
        )
    if not mode:
        uploads.check_size(column, len(exchange.body))
    upload_id = uploads.begin(service.pipeline, call, target, column, name)
    if mode:
        location = f"{exchange.root}{exchange.path.lstrip('/')}?sessiontoken={upload_id}"
        return Answer(
            200,
            b"",
            (
                ("Location", location),
                ("Accept-Ranges", "bytes"),
                ("x-ms-chunk-size", str(config.FILE_PIECE_BYTES)),
                ("Access-Control-Expose-Headers", "x-ms-chunk-size"),
            ),
            "",
        )
    # Piece by piece, so that no unit holds the writer for as long as a large file takes.
    size = config.FILE_PIECE_BYTES
    for start in range(0, len(exchange.body), size):
        uploads.put(service.pipeline, call, upload_id, str(start), exchange.body[start : start + size])
    mime_type = None if kind == uploads.OCTETS else kind
    uploads.commit(
        service.pipeline, call, upload_id, _in_place, mime_type=mime_type, only_if_empty=only_if_empty, target=target
    )
    return no_content()


def remove(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """DELETE of a file column's file."""
    target, column = _place(resource)
    uploads.remove(service.pipeline, _conditions(exchange)[0], target, column)
    return no_content()


def download(exchange: Exchange, service: Service, file_id: UUID, content_type: str) -> Answer:
    """A stored file, or the range of it that was asked for. Raises NotFound."""
    found, pieces = located(service, exchange.call, file_id)
    headers: tuple[tuple[str, str], ...] = (
        ("Accept-Ranges", "bytes"),
        ("x-ms-file-size", str(found.size)),
        ("x-ms-file-name", quote(found.name, safe=" !#$&'()+,;=@[]{}~^`")),
        ("mimetype", found.mime_type),
        ("Access-Control-Expose-Headers", _EXPOSED),
    )
    wanted = _range(exchange.headers.get("range", ""), found.size)
    if wanted is None:
        return _content(
            service, exchange.call, found, pieces, (0, found.size - 1), Answer(200, b"", headers, content_type)
        )
    first, last = wanted
    if first > last:
        refused = failures.answer(
            416, "0x80040203", f"The file has {found.size:,} bytes, of which none were asked for."
        )
        return refused.plus(("Content-Range", f"bytes */{found.size}"))
    headers = (
        *headers,
        ("x-ms-chunk-size", str(config.FILE_PIECE_BYTES)),
        ("Content-Range", f"bytes {first}-{last}/{found.size}"),
    )
    return _content(service, exchange.call, found, pieces, wanted, Answer(206, b"", headers, content_type))


def located(service: Service, call: Call, file_id: UUID) -> tuple[Stored, list[Piece]]:
    """What a file is made of. The file that a job was made with is one piece, under the file's own id. Raises NotFound."""
    if call.transaction is not None:
        found, pieces = files.stored(call.transaction, file_id), files.pieces(call.transaction, file_id)
    else:
        with service.store.read() as reader:
            found, pieces = files.stored(reader, file_id), files.pieces(reader, file_id)
    if found is None:
        raise NotFound(f"File {file_id} does not exist.")
    if not pieces and found.size:
        pieces = [Piece(file_id, "", 0, found.size)]
    return found, pieces


def read(service: Service, call: Call, pieces: Sequence[Piece], first: int, last: int) -> Iterator[bytes]:
    """The bytes from `first` to `last`, a piece at a time. Raises NotFound when the file went away meanwhile."""
    for piece, begin, end in uploads.slices(pieces, first, last):
        # A job's file is one piece, however large: what is in memory at a time is not.
        for start in range(begin, end, config.FILE_PIECE_BYTES):
            yield service.read_file(piece, call, start, min(config.FILE_PIECE_BYTES, end - start))


def _content(
    service: Service, call: Call, found: Stored, pieces: Sequence[Piece], wanted: tuple[int, int], answer: Answer
) -> Answer:
    first, last = wanted
    parts = read(service, call, pieces, first, last)
    if last - first < config.FILE_PIECE_BYTES:
        return dataclasses.replace(answer, body=b"".join(parts))
    return dataclasses.replace(answer, stream=Stream(last + 1 - first, parts))


def _chunk(exchange: Exchange, service: Service, target: Reference, upload_id: UUID) -> Answer:
    text = exchange.headers.get("content-range", "")
    match = _CHUNK.fullmatch(text.strip())
    if match is None:
        raise InvalidRequest(f"A chunk needs Content-Range: bytes <first>-<last>/<size>, found '{text[:100]}'.")
    first, last, total = map(int, match.groups())
    if last - first + 1 != len(exchange.body) or last >= total:
        raise InvalidRequest(
            f"Content-Range says bytes {first} to {last} of {total}; the body has {len(exchange.body):,} bytes."
        )
    held = uploads.put(
        service.pipeline, exchange.call, upload_id, str(first), exchange.body, target=target, total=total
    )
    if held > total:
        raise InvalidRequest(f"The chunks have {held:,} bytes together, more than the {total:,} of the file.")
    if held < total:
        return Answer(206, b"", (), "")
    uploads.commit(service.pipeline, _conditions(exchange)[0], upload_id, _in_place, target=target)
    return no_content()


def _in_place(found: Sequence[Piece]) -> list[str]:
    """The order of chunks that are named by their first byte. Raises InvalidRequest for gaps and overlaps."""
    sizes: dict[int, int] = {}
    for piece in found:
        sizes[int(piece.block)] = sizes.get(int(piece.block), 0) + piece.size
    expected = 0
    for start in sorted(sizes):
        if start != expected:
            raise InvalidRequest(f"The chunks do not fit together: one should begin at byte {expected}, not {start}.")
        expected += sizes[start]
    return [str(start) for start in sorted(sizes)]


def _range(text: str, size: int) -> tuple[int, int] | None:
    """The first and the last byte that a Range header wants; None for the whole file, first > last for none of it."""
    match = _RANGE.fullmatch(text.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return (max(size - int(match[2]), 0), size - 1) if int(match[2]) else (1, 0)
    first, last = int(match[1]), int(match[2] or size)
    if match[2] and last < first:
        return None
    return (first, min(last, size - 1)) if first < size else (1, 0)


def _conditions(exchange: Exchange) -> tuple[Call, bool]:
    """If-Match goes to the record's update; If-None-Match: * wants an empty column."""
    call = dataclasses.replace(exchange.call, if_match=condition(exchange, "if-match"))
    return call, exchange.headers.get("if-none-match", "").strip() == "*"


def _place(resource: Resource) -> tuple[Reference, Column]:
    if resource.key is None or resource.hops or resource.column is None:
        raise UnknownResource("A file is addressed by its record's own key: <set>(<id>)/<column>.")
    return Reference(resource.table.logical, resource.key), resource.column
