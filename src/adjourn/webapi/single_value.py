"""Single values of single records: a property, its bare text, a file's content, where a lookup leads."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import UUID

from adjourn.errors import NotFound
from adjourn.metadata import values
from adjourn.metadata.model import Column, ColumnType, Relationship, Table
from adjourn.query.result import Rows
from adjourn.query.tree import Attribute, Condition, Filter, Query
from adjourn.service import Service
from adjourn.webapi import file_columns
from adjourn.webapi.exchange import Answer, Exchange, json_answer, no_content
from adjourn.webapi.resource import Resource


def answer(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """One property of a record, or its bare value: a text, or a file's content."""
    table, column, key = resource.table, resource.column, resource.key
    assert column is not None
    assert key is not None
    spilled = table.logical == "asyncoperation" and column.logical == "data" and resource.suffix == "$value"
    columns = (Attribute(column.logical), *((Attribute("datablobid"),) if spilled else ()))
    rows, row = one(exchange, service, Query(table.logical, columns), table, key)
    raw = row[index(rows, column.logical)]
    if resource.suffix == "$value":
        if column.type is ColumnType.FILE:
            return _file(exchange, service, raw, "application/octet-stream")
        if raw is None and spilled:
            # A payload over 4 MB lies in a file; whoever wants the job's data need not know.
            return _file(exchange, service, row[index(rows, "datablobid")], "text/plain; charset=utf-8")
        if raw is None:
            return no_content()
        return Answer(200, _plain(column, raw).encode(), (), "text/plain; charset=utf-8")
    if raw is None:
        return no_content()
    context = f"{exchange.root}$metadata#{table.entityset}({key})/{column.property}"
    return json_answer(200, {"@odata.context": context, "value": values.to_wire(column, raw)})


def _file(exchange: Exchange, service: Service, file_id: str | None, content_type: str) -> Answer:
    if file_id is None:
        return no_content()
    return file_columns.download(exchange, service, UUID(file_id), content_type)


def _plain(column: Column, raw: Any) -> str:
    found = values.to_wire(column, raw)
    return str(found).lower() if isinstance(found, bool) else str(found)


def lookup(exchange: Exchange, service: Service, table: Table, key: UUID, relationship: Relationship) -> UUID | None:
    """Where a single-valued navigation of a record leads; None for nowhere. Raises NotFound for the record."""
    column = table.columns[relationship.column]
    rows, row = one(exchange, service, Query(table.logical, (Attribute(column.logical),)), table, key)
    output = next(o for o in rows.plan.outputs if o.source.logical == column.logical)
    raw = row[output.index]
    if raw is None or (output.table_index is not None and row[output.table_index] != relationship.referenced):
        return None
    return UUID(raw)


def one(exchange: Exchange, service: Service, query: Query, table: Table, key: UUID) -> tuple[Rows, tuple[Any, ...]]:
    """A question about one record, and its row. Raises NotFound."""
    query = narrowed(query, Condition(table.primary_id, "eq", (key,)))
    rows = service.retrieve_multiple(query, exchange.call)
    if not rows.rows:
        raise service.missing(table, key, exchange.call)
    return rows, rows.rows[0]


def index(rows: Rows, logical: str) -> int:
    """Where a column of the record itself lies in a row."""
    return next(o.index for o in rows.plan.outputs if o.source.logical == logical and not o.path)


def narrowed(query: Query, condition: Condition) -> Query:
    """The same question, of fewer records."""
    parts = (condition,) if query.filter is None else (query.filter, condition)
    return dataclasses.replace(query, filter=Filter("and", parts))


def missing(table: Table, key: UUID) -> NotFound:
    """The documented error for a record that is not there (webapi.md §18)."""
    return NotFound(f"{table.logical} With Id = {key} Does Not Exist")
