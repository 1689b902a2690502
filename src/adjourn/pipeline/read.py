"""Reading through the one query layer, with records in Python's own values as the answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from adjourn.errors import NotFound
from adjourn.metadata import values
from adjourn.metadata.model import Catalog, Reference, Table
from adjourn.pipeline.record import Record
from adjourn.query import result
from adjourn.query.compile import Plan, compile
from adjourn.query.security import PLATFORM, Caller
from adjourn.query.tree import Attribute, Condition, Filter, Query
from adjourn.store.contract import Reader, Row


def ask(reader: Reader, catalog: Catalog, query: Query) -> list[dict[str, Any]]:
    """All rows of a question of our own, as Python values by output name, asked as the platform."""
    plan = compile(query, catalog, PLATFORM, reader.dialect, reader.now)
    return [python_row(plan, row) for row in result.run(plan, reader).rows]


def python_row(plan: Plan, row: Row) -> dict[str, Any]:
    """One raw row as Python values by output name; lookups as References."""
    answer: dict[str, Any] = {}
    for output in plan.outputs:
        raw = row[output.index]
        column = output.column
        if raw is None:
            answer[output.key] = None
        elif column.type.is_lookup:
            table = row[output.table_index] if output.table_index is not None else column.targets[0]
            answer[output.key] = Reference(table or column.targets[0], UUID(raw))
        else:
            answer[output.key] = values.from_raw(column, raw)
    return answer


def record_query(table: Table, record_id: UUID, columns: list[str] | None) -> Query:
    """The question for one record by its id."""
    return Query(
        table.logical,
        tuple(Attribute(name) for name in dict.fromkeys((table.primary_id, *columns))) if columns is not None else (),
        all_columns=columns is None,
        filter=Filter("and", (Condition(table.primary_id, "eq", (record_id,)),)),
        language="fetchxml",
    )


def retrieve(
    reader: Reader, catalog: Catalog, table: Table, record_id: UUID, columns: list[str] | None, caller: Caller
) -> Record:
    """One record, as far as the caller may see it. Raises NotFound."""
    plan = compile(record_query(table, record_id, columns), catalog, caller, reader.dialect, reader.now)
    rows = result.run(plan, reader).rows
    if not rows:
        raise not_found(table, record_id)
    return Record(table.logical, record_id, python_row(plan, rows[0]))


def not_found(table: Table, record_id: object) -> NotFound:
    """The documented error for a record that is not there (webapi.md §18)."""
    return NotFound(f"{table.logical} With Id = {record_id} Does Not Exist")
