"""GET: collections, records, properties, navigations, counts, files.

Each address becomes one query tree, asked through the service as the caller. Source: webapi.md §4, §6, §7, §11.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

from adjourn import config, errors
from adjourn.errors import InvalidRequest, NotSupported, QueryError, nearest
from adjourn.metadata.model import Catalog, ManyToMany, Relationship, Table
from adjourn.metadata.timezones import zone
from adjourn.query import asked, cookie, result
from adjourn.query.cookie import Position
from adjourn.query.plan import Plan
from adjourn.query.result import Rows
from adjourn.query.tree import Attribute, Condition, Filter, Link, Page, Query, with_collections
from adjourn.service import Service
from adjourn.webapi import expanded, prefer, render, single_value, url, views
from adjourn.webapi.envelope import Envelope, SingleRecord, writing
from adjourn.webapi.exchange import ENCODER, Answer, Exchange, json_answer, no_content
from adjourn.webapi.render import Style
from adjourn.webapi.resource import Resource, related_table

_SUPPORTED = ("fetchXml", *views.OPTIONS, "$skiptoken", "tag")
_LATER = ("sql",)
_RECORD_OPTIONS = ("$select", "$expand")
_FETCH_OPTIONS = ("fetchXml", "$count")
_ENTITY_MISMATCH = 0x80041128
_BOM = b"\xef\xbb\xbf"


def get(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """Answer a GET. Raises NotFound, UnknownResource, QueryError, InvalidRequest."""
    if resource.hops:
        resource = _followed(exchange, service, resource)
        if resource.key is None:
            return no_content()
    table, key = resource.table, resource.key
    if resource.collection is not None:
        return _navigated(exchange, service, resource)
    if key is None:
        if resource.suffix == "$count":
            return _count(exchange, service, table, ())
        return _collection(exchange, service, table, table.entityset, references=resource.suffix == "$ref")
    if resource.single is not None:
        return _single(exchange, service, resource)
    if resource.column is not None:
        _odata_options(exchange.options, ())
        return single_value.answer(exchange, service, resource)
    return record(exchange, service, table, key, references=resource.suffix == "$ref")


def record(
    exchange: Exchange, service: Service, table: Table, key: UUID, *, references: bool = False, status: int = 200
) -> Answer:
    """One record as the request's $select and $expand want it. Raises NotFound."""
    options = _odata_options(exchange.options, _RECORD_OPTIONS)
    query = asked.odata(table, service.catalog, options)
    query = single_value.narrowed(query, Condition(table.primary_id, "eq", (key,)))
    if references:
        single_value.one(exchange, service, Query(table.logical, filter=query.filter), table, key)
        address = f"{exchange.root}{table.entityset}({key})"
        return json_answer(200, {"@odata.context": f"{exchange.root}$metadata#$ref", "@odata.id": address})
    shown = expanded.context(query, service.catalog)
    query = expanded.paged(query, exchange)
    query, style = _versioned(query, service.catalog, exchange)
    written = SingleRecord()
    rows = _written(exchange, service, query, style, written)
    if not rows.rows:
        raise service.missing(table, key, exchange.call)
    context = f"{exchange.root}$metadata#{table.entityset}{shown}/$entity"
    applied = exchange.preferences.applied(annotated=True, represented=status != 200 or exchange.method == "PATCH")
    headers = (("Preference-Applied", applied),) if applied else ()
    tag = _etag(rows, style)
    if (
        tag
        and exchange.method == "GET"
        and not (query.links or query.collections)
        and exchange.headers.get("if-none-match") == tag
    ):
        return Answer(304, b"", (("ETag", tag),), "")
    if tag is not None:
        headers = (*headers, ("ETag", tag))
    lasting = not style.collections and service.reads_plainly(table.logical)
    return Answer(
        status, b'{"@odata.context":' + ENCODER.encode(context) + b"," + written.body, headers, lasting=lasting
    )


def _etag(rows: Rows, style: Style) -> str | None:
    """The version of the one record in an answer."""
    for output in rows.plan.outputs:
        if output.key == style.version and not output.path:
            return render.etag(output.column, rows.rows[0][output.index])
    return None


def _followed(exchange: Exchange, service: Service, resource: Resource) -> Resource:
    """The resource with its hops followed; without a key when one of them leads nowhere."""
    table, key = resource.table, resource.key
    for hop in resource.hops:
        assert key is not None
        found = single_value.lookup(exchange, service, table, key, hop)
        table = service.catalog.tables[hop.referenced]
        if found is None:
            return dataclasses.replace(resource, table=table, key=None, hops=(), owner=None)
        key = found
    return dataclasses.replace(resource, table=table, key=key, hops=(), owner=None)


def _single(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    assert resource.single is not None
    assert resource.key is not None
    found = single_value.lookup(exchange, service, resource.table, resource.key, resource.single)
    if found is None:
        return no_content()
    target = service.catalog.tables[resource.single.referenced]
    return record(exchange, service, target, found, references=resource.suffix == "$ref")


def _navigated(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """The records of a collection-valued navigation, one of them, or their number."""
    collection, key = resource.collection, resource.key
    assert collection is not None
    assert key is not None
    single_value.one(exchange, service, Query(resource.table.logical), resource.table, key)
    child = related_table(collection, resource.table, service.catalog)
    narrow = belonging(collection, resource.table, key, service.catalog)
    if resource.related is not None:
        mine = Condition(child.primary_id, "eq", (resource.related,))
        query = Query(child.logical, filter=Filter("and", (mine,)))
        if not _ask(exchange, service, _narrowed(query, narrow)).rows:
            single_value.one(exchange, service, Query(child.logical), child, resource.related)
            raise single_value.missing(child, resource.related)
        return record(exchange, service, child, resource.related, references=resource.suffix == "$ref")
    if resource.suffix == "$count":
        return _count(exchange, service, child, narrow)
    return _collection(exchange, service, child, child.entityset, narrow, references=resource.suffix == "$ref")


def belonging(
    collection: Relationship | ManyToMany, table: Table, key: UUID, catalog: Catalog
) -> tuple[Condition | Link, ...]:
    """What makes a record one of a navigation's: its lookup leads to the parent, or a row joins the two."""
    if isinstance(collection, Relationship):
        return (Condition(collection.column, "eq", (key,)),)
    near, far = collection.column1, collection.column2
    other = collection.table2
    if collection.table1 != table.logical:
        near, far, other = collection.column2, collection.column1, collection.table1
    mine = Filter("and", (Condition(near, "eq", (key,)),))
    to = catalog.tables[other].primary_id
    return (Link(collection.intersect, far, to, "joined__", "exists", filter=mine, hidden=True),)


def _narrowed(query: Query, narrow: tuple[Condition | Link, ...]) -> Query:
    for part in narrow:
        if isinstance(part, Link):
            query = dataclasses.replace(query, links=(*query.links, part))
        else:
            query = single_value.narrowed(query, part)
    return query


def _collection(
    exchange: Exchange,
    service: Service,
    table: Table,
    entityset: str,
    narrow: tuple[Condition | Link, ...] = (),
    *,
    references: bool = False,
) -> Answer:
    if "fetchXml" in exchange.options:
        return _fetched(exchange, service, table, narrow)
    view = views.named(exchange)
    if view is not None:
        return _viewed(exchange, service, table, narrow, view, references=references)
    options = dict(exchange.options)
    options.pop("$skiptoken", None)
    query = asked.odata(table, service.catalog, _odata_options(options))
    query = _narrowed(query, narrow)
    query = _at_page(query, exchange, exchange.preferences.page_size)
    if references:
        return _references(exchange, service, query, table)
    context = "" if query.aggregate else expanded.context(query, service.catalog)
    query = expanded.paged(query, exchange)
    query, style = _versioned(query, service.catalog, exchange, nulls=not query.aggregate)
    envelope = Envelope(
        lambda plan, total: _head(exchange, service, f"{entityset}{context}", total, total), exchange.outlet
    )
    return envelope.end(_linked(exchange, query, _written(exchange, service, query, style, envelope)))


def _linked(exchange: Exchange, query: Query, rows: Rows) -> dict[str, str]:
    """The link to the next page, where there is one."""
    if not rows.more:
        return {}
    return {"@odata.nextLink": next_link(exchange, query, Position(rows.plan.number + 1, rows.after))}


def _at_page(query: Query, exchange: Exchange, size: int | None) -> Query:
    """The question for the page to which the request's $skiptoken leads, or for the first one."""
    position, token = Position(1), exchange.options.get("$skiptoken")
    if token is not None:
        position = cookie.decode_skiptoken(token, exchange.skiptoken_key, cookie.scope(query))
    return dataclasses.replace(query, page=Page(size or config.PAGE_ROWS_MAX, position.number, position.after))


def _viewed(
    exchange: Exchange,
    service: Service,
    table: Table,
    narrow: tuple[Condition | Link, ...],
    view: str,
    *,
    references: bool,
) -> Answer:
    """The rows of a view, written as FetchXML's are, in pages that links lead through."""
    query = _narrowed(views.question(exchange, service, table, view), narrow)
    query = _at_page(query, exchange, exchange.preferences.page_size or query.page.size)
    if references:
        raise InvalidRequest(f"{view} cannot be used together with $ref.", code=0x0)
    query, style = _versioned(query, service.catalog, exchange, nulls=False)
    envelope = Envelope(
        lambda plan, total: _head(exchange, service, _fetched_context(plan, style, table), total, total),
        exchange.outlet,
    )
    return envelope.end(_linked(exchange, query, _written(exchange, service, query, style, envelope)))


def _fetched(exchange: Exchange, service: Service, table: Table, narrow: tuple[Condition | Link, ...]) -> Answer:
    for name in exchange.options:
        if name not in _FETCH_OPTIONS and name != "tag":
            raise InvalidRequest(f"Query option '{name[:100]}' cannot be used together with fetchXml.")
    query = asked.fetch(exchange.options["fetchXml"], service.catalog)
    if query.table != table.logical:
        service.catalog.table(query.table)  # raises for a name that is none, with the nearest one
        raise QueryError(
            f"The fetch asks entity '{query.table}', but the address is that of '{table.entityset}' ({table.logical}).",
            code=_ENTITY_MISMATCH,
        )
    query = _narrowed(query, narrow)
    counted = exchange.options.get("$count", "false")
    if counted not in ("true", "false"):
        raise InvalidRequest(f"$count must be true or false, found '{counted[:50]}'.")
    if query.page.size is None and query.top is None:
        size = exchange.preferences.page_size or config.PAGE_ROWS_MAX
        query = dataclasses.replace(query, page=dataclasses.replace(query.page, size=size))
    asked_total = query.total
    query = dataclasses.replace(query, total=query.total or counted == "true")
    query, style = _versioned(query, service.catalog, exchange, nulls=False)

    def head(plan: Plan, total: int | None) -> Answer:
        return _head(
            exchange,
            service,
            _fetched_context(plan, style, table),
            total if counted == "true" else None,
            total if asked_total else None,
        )

    envelope = Envelope(head, exchange.outlet)
    rows = _written(exchange, service, query, style, envelope)
    members: dict[str, Any] = {}
    if exchange.preferences.annotations.more:
        members[f"@{prefer.MORE}"] = rows.more
    next_page = cookie.encode_annotation(rows) if rows.more else None
    if next_page is not None:
        members[f"@{prefer.COOKIE}"] = next_page
    return envelope.end(members)


def _fetched_context(plan: Plan, style: Style, table: Table) -> str:
    names = ",".join(render.property_name(output) for output in plan.outputs if output.key not in style.hidden)
    return f"{table.entityset}({names})"


def _head(exchange: Exchange, service: Service, context: str, counted: int | None, total: int | None) -> Answer:
    """A collection's envelope as far as its rows. counted: for `@odata.count`. total: for the annotation."""
    wanted = exchange.preferences.annotations
    head: dict[str, Any] = {"@odata.context": f"{exchange.root}$metadata#{context}"}
    if counted is not None:
        head["@odata.count"] = counted
    if wanted.total:
        head[f"@{prefer.TOTAL}"] = -1 if total is None else total
    if wanted.total_exceeded:
        head[f"@{prefer.TOTAL_EXCEEDED}"] = False
    if wanted.metadata_version:
        head[f"@{prefer.METADATA_VERSION}"] = str(service.catalog.version)
    applied = exchange.preferences.applied(paged=True, annotated=True)
    return Answer(
        200,
        ENCODER.encode(head)[:-1] + b',"value":',
        (("Preference-Applied", applied),) if applied else (),
    )


def next_link(exchange: Exchange, query: Query, position: Position) -> str:
    """The same address with the place where the next page begins."""
    kept = [
        pair
        for pair in exchange.query.split("&")
        if pair and url.decode(pair.partition("=")[0].replace("+", " ")).strip() != "$skiptoken"
    ]
    token = cookie.encode_skiptoken(position, exchange.skiptoken_key, cookie.scope(query))
    kept.append(f"$skiptoken={quote(token, safe='')}")
    return f"{exchange.root}{exchange.path}?{'&'.join(kept)}"


def _references(exchange: Exchange, service: Service, query: Query, table: Table) -> Answer:
    plain = dataclasses.replace(
        query,
        columns=(Attribute(table.primary_id),),
        all_columns=False,
        collections=(),
        links=tuple(link for link in query.links if not link.expand),
    )
    rows = _ask(exchange, service, plain)
    index = single_value.index(rows, table.primary_id)
    found: dict[str, Any] = {
        "@odata.context": f"{exchange.root}$metadata#Collection($ref)",
        "value": [{"@odata.id": f"{exchange.root}{table.entityset}({row[index]})"} for row in rows.rows],
    }
    if rows.more:
        found["@odata.nextLink"] = next_link(exchange, query, Position(rows.plan.number + 1, rows.after))
    return json_answer(200, found)


def _count(exchange: Exchange, service: Service, table: Table, narrow: tuple[Condition | Link, ...]) -> Answer:
    for name in ("fetchXml", *views.OPTIONS):
        if name in exchange.options:
            raise InvalidRequest(
                f"/$count cannot be used together with {name}; ask for the rows with $count=true.",
                code=errors.ODATA_UNSUPPORTED,
            )
    options = _odata_options(exchange.options, ("$filter",))
    query = _narrowed(asked.odata(table, service.catalog, options), narrow)
    query = dataclasses.replace(
        query, columns=(Attribute(table.primary_id),), all_columns=False, total=True, page=Page(1)
    )
    total = _ask(exchange, service, query).total
    # The byte order mark is Dataverse's own (webapi.md §7).
    return Answer(200, _BOM + str(total).encode(), (), "text/plain")


def _ask(exchange: Exchange, service: Service, query: Query) -> Rows:
    """Ask as the caller."""
    return service.retrieve_multiple(query, exchange.call, names=exchange.preferences.annotations.formatted)


def _written(exchange: Exchange, service: Service, query: Query, style: Style, into: Envelope | SingleRecord) -> Rows:
    """Ask as the caller, and write the rows while they come."""
    names = exchange.preferences.annotations.formatted
    if style.collections:
        rows = service.retrieve_multiple(query, exchange.call, names=names)
        return expanded.write(exchange, service.catalog, rows, style, into)
    reader_zone = zone(exchange.call.caller.timezone_code)

    def begin(plan: Plan, total: int | None) -> result.Write:
        into.begin(plan, total)
        encode = render.arrays(render.writer(plan.shape, style, service.catalog)(reader_zone, exchange.root))
        return writing(into, encode)

    return service.retrieve_multiple(query, exchange.call, names=names, begin=begin)


def _versioned(query: Query, catalog: Catalog, exchange: Exchange, *, nulls: bool = True) -> tuple[Query, Style]:
    """The query with the columns behind the ETags, and the style of its answer, those of its collections among them."""
    below: list[Style] = []

    def child(asked: Query) -> Query:
        asked, style = _versioned(asked, catalog, exchange)
        below.append(style)
        return asked

    query = with_collections(query, child)
    annotations, collections = exchange.preferences.annotations, tuple(below)
    version = render.etag_column(catalog.tables[query.table])
    if version is None or query.aggregate or query.distinct:
        return query, Style(annotations, nulls, collections=collections)
    names = {attribute.alias or attribute.name for attribute in query.columns}
    if query.all_columns or version in names:
        return query, Style(annotations, nulls, version, collections=collections)
    columns = (*query.columns, Attribute(version))
    return dataclasses.replace(query, columns=columns), Style(
        annotations, nulls, version, frozenset((version,)), collections
    )


def _odata_options(options: Mapping[str, str], accepted: tuple[str, ...] | None = None) -> dict[str, str]:
    """The options for the query's parser; the rest are refused by name. accepted: None for all that it knows."""
    found: dict[str, str] = {}
    for name, value in options.items():
        if name == "tag":
            continue
        if name in _LATER:
            raise NotSupported(f"Query option '{name}' is not supported.", status=501)
        if name in ("fetchXml", *views.OPTIONS):
            raise InvalidRequest(f"Query option '{name}' can be used with a collection only.", code=0x0)
        if not name.startswith(("$", "@")):
            raise InvalidRequest(
                f"Query option '{name[:100]}' does not exist.{nearest(name, (*_SUPPORTED, '$select', '$filter', '$top'))}"
            )
        if accepted is not None and name.startswith("$") and name not in accepted:
            some = f"accepted here: {', '.join(accepted)}" if accepted else "none is accepted here"
            raise InvalidRequest(f"Query option '{name[:100]}' cannot be used on this address; {some}.", code=0x0)
        found[name] = value
    return found
