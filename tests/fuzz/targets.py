"""What the texts are thrown at: each target reads one text as far as it can be read without a database."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tests.unit.query.core.questions import CALLER, CATALOG, NOW

from adjourn.errors import AdjournError
from adjourn.pipeline.call import Call
from adjourn.query import cookie, fetchxml, odata_options
from adjourn.query.compile import compile
from adjourn.query.tree import Query
from adjourn.webapi import definition_payload, keys, multipart, payload, prefer, resource, url
from adjourn.webapi.addresses import Addresses
from adjourn.webapi.definition_query import Filter
from adjourn.webapi.exchange import Exchange, json_object

TABLE = CATALOG.tables["account"]


class _Nowhere:
    """The service, for what a payload asks of it: the catalog. Nothing is looked up."""

    catalog = CATALOG


def _exchange(**changes: Any) -> Exchange:
    whole: dict[str, Any] = {
        "method": "POST", "root": "http://x/api/data/v9.2/", "path": "", "query": "", "segments": (), "options": {}, "headers": {},
        "body": b"", "call": Call(caller=CALLER), "preferences": prefer.NONE, "references": {"1": f"contacts({CALLER.user_id})"},
    }  # fmt: skip
    return Exchange(**(whole | changes))


def _ask(query: Query) -> None:
    for dialect in ("sqlite", "postgres"):
        compile(dataclasses.replace(query), CATALOG, CALLER, dialect, NOW)  # type: ignore[arg-type]


def odata(text: str) -> None:
    """A query string: options, their literals, the names in them, and the SQL that they become."""
    _ask(odata_options.parse(TABLE, CATALOG, url.parse_query(text)))


def fetch(text: str) -> None:
    _ask(fetchxml.parse(text, CATALOG))


def body(text: str) -> None:
    """A record's JSON, with nested records and references."""
    found = json_object(text.encode("utf-8", "surrogatepass"), payload.DECODER)
    payload.read(found, TABLE, Addresses(_exchange(), _Nowhere()))  # type: ignore[arg-type]


def definition(text: str) -> None:
    """The same JSON as that of a table and of a column."""
    found = json_object(text.encode("utf-8", "surrogatepass"), payload.DECODER)
    for read in (definition_payload.table, definition_payload.column, definition_payload.lookup):
        attempt(lambda read=read: read(found))  # type: ignore[misc]


def batch(text: str) -> None:
    for part in multipart.parse(text.encode("latin-1", "replace"), "multipart/mixed; boundary=b"):
        requests = part.requests if isinstance(part, multipart.ChangeSet) else (part,)
        for request in requests:
            attempt(lambda request=request: address(request.target))  # type: ignore[misc]
            attempt(lambda request=request: body(request.body.decode("latin-1")))  # type: ignore[misc]
            attempt(lambda request=request: prefer.parse(request.headers))  # type: ignore[misc]


def address(text: str) -> None:
    path, _, query = url.relative(text, "http://x/api/data/v9.2/").partition("?")
    segments = url.parse_path(path)
    if segments:
        resource.resolve(segments, CATALOG)
    for segment in segments:
        if segment.arguments:
            attempt(lambda segment=segment: keys.parse(url.named_arguments(segment.arguments), TABLE))  # type: ignore[misc]
    url.parse_query(query)


def small(text: str) -> None:
    """Everything that is read besides: boundaries, preferences, cookies, skip tokens, filters of definitions."""
    for read in (
        lambda: multipart.boundary(text),
        lambda: prefer.parse({"prefer": text}),
        lambda: cookie.decode_skiptoken(text, b"key"),
        lambda: Filter(text),
    ):
        attempt(read)


def attempt(read: Callable[[], object]) -> None:
    """Read, and take any of our own errors for an answer."""
    try:
        read()
    except AdjournError as error:
        if error.status >= 500:
            raise AssertionError(f"{error.status}: {error}") from error


TARGETS: dict[str, tuple[str, Callable[[str], None]]] = {
    "odata": ("odata", odata),
    "fetchxml": ("fetchxml", fetch),
    "json": ("json", body),
    "definition": ("json", definition),
    "batch": ("batch", batch),
    "address": ("address", address),
    "small": ("odata", small),
}
"""By name: the kind of texts, and what reads them."""
