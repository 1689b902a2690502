"""Expanded collections in an answer: their records written, and the addresses at which each can be asked alone.

Every expanded collection is followed by its `@odata.nextLink`: the collection's own address with the same options. Where
expands are nested and the client asked for a page size, its records are a page too, and the link leads to the rest; of a
collection without records it leads to the whole. Source: webapi.md §9.
"""

from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import quote

from adjourn.metadata.model import Catalog, Table
from adjourn.metadata.timezones import zone
from adjourn.query import cookie, result
from adjourn.query.cookie import Position
from adjourn.query.result import Children, Rows
from adjourn.query.tree import NEVER, Attribute, Link, Page, Query, collections_of, with_collections
from adjourn.webapi import render
from adjourn.webapi.envelope import Envelope, SingleRecord, writing
from adjourn.webapi.exchange import Exchange
from adjourn.webapi.render import Style

_SAFE = "$(),;:='/@*!~-._"
"""What stands as it is in the options of a link: nothing that ends an option, or an address."""


def context(query: Query, catalog: Catalog) -> str:
    """The part of a context address that says which columns and which related records were asked for."""
    found = ",".join(_names(query, catalog))
    return f"({found})" if found else ""


def _names(node: Query | Link, catalog: Catalog) -> list[str]:
    table = catalog.tables[node.table]
    referred = {link.to: str(link.expand) for link in node.links if link.reference}
    names: list[str] = []
    for attribute in () if node.all_columns else node.columns:
        if attribute.position != NEVER:
            names.append(_named(table, attribute))
        elif attribute.name in referred:
            names.append(referred[attribute.name])  # brought in by its /$ref, under whose name it stands
    expands: list[tuple[int, str]] = []
    for link in node.links:
        if link.reference:
            expands.append((link.position, f"{link.expand}/$ref()"))
        elif link.expand:
            expands.append((link.position, f"{link.expand}({','.join(_names(link, catalog))})"))
    for collection in node.collections:
        inside = ",".join(_names(collection.query, catalog))
        expands.append((collection.position, f"{collection.navigation}({inside})"))
    return names + [text for _, text in sorted(expands)]


def _named(table: Table, attribute: Attribute) -> str:
    column = table.columns.get(attribute.name)
    return attribute.alias or (column.property if column else attribute.name)


def paged(query: Query, exchange: Exchange) -> Query:
    """The question with pages of its expanded collections, where they have some."""
    size = exchange.preferences.page_size
    if size is None or not _nested(query):
        return query

    def of(asked: Query) -> Query:
        return dataclasses.replace(with_collections(asked, of), page=Page(size))

    return with_collections(query, of)


def _nested(query: Query) -> bool:
    """Whether a collection is expanded, and an expand stands inside another one."""
    found = list(collections_of(query))
    inside = any(path or _expands(collection.query) for path, collection in found)
    below = any(link.expand and any(child.expand for child in link.links) for link in query.links)
    return bool(found) and (inside or below)


def _expands(query: Query) -> bool:
    return bool(query.collections) or any(link.expand for link in query.links)


def write(exchange: Exchange, catalog: Catalog, rows: Rows, style: Style, into: Envelope | SingleRecord) -> Rows:
    """Write the rows, with the collections expanded in them. Of the rows, the first and the last remain."""
    encode = render.arrays(_writer(exchange, catalog, rows.plan.shape, rows.collections, style))
    into.begin(rows.plan, rows.total)
    return dataclasses.replace(rows, rows=result.written(rows.rows, writing(into, encode)), collections=())


def _writer(exchange: Exchange, catalog: Catalog, shape: Any, children: tuple[Children, ...], style: Style) -> Any:
    related = [_Related(exchange, catalog, *pair) for pair in zip(children, style.collections, strict=True)]
    reader_zone = zone(exchange.call.caller.timezone_code)
    return render.writer(shape, style, catalog)(reader_zone, exchange.root, related)


class _Related:
    """The records of one expanded collection, written, by the keys of the records that they belong to."""

    def __init__(self, exchange: Exchange, catalog: Catalog, children: Children, style: Style) -> None:
        plan = children.of
        write = _writer(exchange, catalog, plan.of.shape, children.collections, style)
        self._exchange = exchange
        self._plan = plan
        self._records = children.grouped(write(children.rows))
        self._address = f"{exchange.root}{plan.of.table.entityset}("
        self._options = "&".join(f"{name}={quote(text, safe=_SAFE)}" for name, text in plan.collection.options)
        self._last: dict[str, Any] = {}
        if plan.collection.query.page.size is not None:
            self._last = {row[plan.of.parent]: row for row in children.rows}

    def records(self, key: str) -> list[Any]:
        return self._records.get(key, [])

    def link(self, key: str) -> str:
        options = self._options
        last = self._last.get(key)
        if last is not None:
            position = Position(2, result.after(self._plan.plan, last))
            scope = cookie.scope(self._plan.collection.query)
            token = cookie.encode_skiptoken(position, self._exchange.skiptoken_key, scope)
            options += f"{'&' if options else ''}$skiptoken={quote(token, safe='')}"
        return f"{self._address}{key})/{self._plan.collection.navigation}{'?' if options else ''}{options}"
