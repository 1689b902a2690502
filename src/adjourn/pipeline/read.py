"""Reading through the one query layer, with records in Python's own values as the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from adjourn.errors import NotFound
from adjourn.metadata import values
from adjourn.metadata.model import Catalog, Reference, Table
from adjourn.pipeline.record import Record
from adjourn.query import result
from adjourn.query.compile import Plan, compile
from adjourn.query.plan import Output
from adjourn.query.result import Children, Rows
from adjourn.query.security import PLATFORM, Caller
from adjourn.query.tree import Attribute, Condition, Filter, Query
from adjourn.store.contract import Reader, Row


def ask(reader: Reader, catalog: Catalog, query: Query) -> list[dict[str, Any]]:
    """All rows of a question of our own, as Python values by output name, asked as the platform."""
    plan = compile(query, catalog, PLATFORM, reader.dialect, reader.now)
    return [python_row(plan, row) for row in result.run(plan, reader).rows]


def python_rows(rows: Rows) -> list[dict[str, Any]]:
    """The rows of an answer as Python values, their expanded collections as lists under the navigation's name."""
    return _python_rows(rows.plan, rows.rows, rows.collections)


def _python_rows(plan: Plan, rows: Sequence[Row], collections: Sequence[Children]) -> list[dict[str, Any]]:
    found = [python_row(plan, row) for row in rows]
    for children in collections:
        of = children.of.of
        grouped = children.grouped(_python_rows(children.of.plan, children.rows, children.collections))
        for row, answer in zip(rows, found, strict=True):
            holder: dict[str, Any] | None = answer
            for step in of.path:
                holder = holder and holder[step]
            if holder is not None:
                holder[of.navigation] = grouped.get(row[of.key], [])
    return found


def python_row(plan: Plan, row: Row) -> dict[str, Any]:
    """One raw row as Python values by output name; lookups as References, expanded records as dicts or None."""
    answer: dict[str, Any] = {}
    paths: dict[tuple[str, ...], dict[str, Any]] = {}
    for output in plan.outputs:
        found = _python_value(output, row)
        if not output.path:
            answer[output.key] = found
            continue
        holder = answer
        for depth, step in enumerate(output.path, 1):
            holder = holder.setdefault(step, {})
            paths[output.path[:depth]] = holder
        holder[output.key] = found
    for path in sorted(paths, key=len, reverse=True):
        # Its key is always there, unless the record is not.
        if all(value is None for value in paths[path].values()):
            parent = paths[path[:-1]] if path[:-1] else answer
            parent[path[-1]] = None
    return answer


def _python_value(output: Output, row: Row) -> Any:
    raw, column = row[output.index], output.column
    if raw is None:
        return None
    if column.type.is_lookup:
        table = row[output.table_index] if output.table_index is not None else column.targets[0]
        return Reference(table or column.targets[0], UUID(raw))
    return values.from_raw(column, raw)


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
) -> Record | None:
    """One record, as far as the caller may see it; None if he sees none."""
    plan = compile(record_query(table, record_id, columns), catalog, caller, reader.dialect, reader.now)
    rows = result.run(plan, reader).rows
    if not rows:
        return None
    return Record(table.logical, record_id, python_row(plan, rows[0]))


def not_found(table: Table, record_id: object) -> NotFound:
    """The documented error for a record that is not there (webapi.md §18)."""
    return NotFound(f"{table.logical} With Id = {record_id} Does Not Exist")
