"""The statements that change a record, and the plain read of one record by its id.

Built from the metadata, cached by shape. They name tables directly, not the logical `_t_…` ones: who may do it has been
decided by the pipeline before, and a write needs the columns that no language sees.
Values in and out are Python values of the pipeline; `metadata.values` knows how they lie in the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from adjourn.metadata import values
from adjourn.metadata.model import Column, ManyToMany, Reference, Table
from adjourn.store.contract import Dialect, Reader, Transaction


def insert(tx: Transaction, table: Table, record: Mapping[str, Any]) -> None:
    """Insert one record; `record` holds Python values by logical name, the primary key included."""
    raw = _raw(table, record, tx.dialect)
    tx.execute(_insert_sql(table.logical, tuple(raw)), raw)


def update(tx: Transaction, table: Table, record_id: UUID, changes: Mapping[str, Any]) -> int:
    """Change columns of one record; returns the number of rows, 0 or 1."""
    raw = _raw(table, changes, tx.dialect)
    return tx.execute(_update_sql(table.logical, table.primary_id, tuple(raw)), {**raw, "key__": _id(record_id)})


def delete(tx: Transaction, table: Table, record_id: UUID) -> int:
    """Remove one record; returns the number of rows, 0 or 1."""
    return tx.execute(f'DELETE FROM "{table.logical}" WHERE "{table.primary_id}" = :key__', {"key__": _id(record_id)})


def clear_lookup(tx: Transaction, table: Table, column: Column, referenced: UUID) -> int:
    """Set a lookup to null wherever it points to `referenced` (RemoveLink)."""
    names = [column.logical] + ([column.type_column] if column.type_column else [])
    assignments = ", ".join(f'"{name}" = NULL' for name in names)
    return tx.execute(
        f'UPDATE "{table.logical}" SET {assignments} WHERE "{column.logical}" = :key__', {"key__": _id(referenced)}
    )


def referencing(reader: Reader, table: Table, column: Column, referenced: Reference, limit: int) -> list[UUID]:
    """Ids of at most `limit` records whose lookup points to `referenced`."""
    typed = f' AND "{column.type_column}" = :type__' if column.type_column else ""
    parameters = {"key__": _id(referenced.id), "limit__": limit}
    if typed:
        parameters["type__"] = referenced.table
    found = reader.rows(
        f'SELECT "{table.primary_id}" FROM "{table.logical}" WHERE "{column.logical}" = :key__{typed} LIMIT :limit__',
        parameters,
    )
    return [UUID(row[0]) for row in found]


def exists(reader: Reader, table: Table, record_id: UUID) -> bool:
    """Whether there is such a record."""
    return bool(
        reader.rows(f'SELECT 1 FROM "{table.logical}" WHERE "{table.primary_id}" = :key__', {"key__": _id(record_id)})
    )


def fetch(reader: Reader, table: Table, record_id: UUID, columns: Iterable[str] | None = None) -> dict[str, Any] | None:
    """Columns of one record as Python values (all that lie in its row, when `columns` is None); None if it is not there."""
    names = tuple(columns) if columns is not None else _row_columns(table)
    chosen = [table.columns[name] for name in names]
    sql_names = [name for column in chosen for name in _sql_names(column)]
    selected = ", ".join(f'"{name}"' for name in sql_names) or "1"
    rows = reader.rows(
        f'SELECT {selected} FROM "{table.logical}" WHERE "{table.primary_id}" = :key__', {"key__": _id(record_id)}
    )
    if not rows:
        return None
    raw = dict(zip(sql_names, rows[0], strict=False))
    return {column.logical: python_value(column, raw) for column in chosen}


def python_value(column: Column, raw: Mapping[str, Any]) -> Any:
    """A column's Python value out of a row of raw values; a lookup becomes a Reference."""
    value = raw[column.logical]
    if value is None or not column.type.is_lookup:
        return values.from_raw(column, value)
    table = raw.get(column.type_column) if column.type_column else column.targets[0]
    return Reference(table or column.targets[0], UUID(value))


def link(tx: Transaction, relationship: ManyToMany, first: UUID, second: UUID, intersect: Table, link_id: UUID) -> bool:
    """Join two records of a many-to-many relationship; False if they were joined before."""
    parameters = {"id__": _id(link_id), "first__": _id(first), "second__": _id(second)}
    return bool(
        tx.execute(
            f'INSERT INTO "{intersect.logical}" ("{intersect.primary_id}", "{relationship.column1}", "{relationship.column2}") '
            f"SELECT {_cast(tx.dialect, ':id__')}, {_cast(tx.dialect, ':first__')}, {_cast(tx.dialect, ':second__')} "
            f'WHERE NOT EXISTS (SELECT 1 FROM "{intersect.logical}" WHERE "{relationship.column1}" = '
            f'{_cast(tx.dialect, ":first__")} AND "{relationship.column2}" = {_cast(tx.dialect, ":second__")})',
            parameters,
        )
    )


def unlink(tx: Transaction, relationship: ManyToMany, first: UUID, second: UUID) -> bool:
    """Part two records of a many-to-many relationship; False if they were not joined."""
    return bool(
        tx.execute(
            f'DELETE FROM "{relationship.intersect}" WHERE "{relationship.column1}" = :first__ '
            f'AND "{relationship.column2}" = :second__',
            {"first__": _id(first), "second__": _id(second)},
        )
    )


def referencing_values(reader: Reader, table: Table, column: str, record_id: UUID, wanted: str) -> list[UUID]:
    """The other ends of an intersect table's rows: `wanted` of all rows whose `column` is `record_id`."""
    rows = reader.rows(f'SELECT "{wanted}" FROM "{table.logical}" WHERE "{column}" = :key__', {"key__": _id(record_id)})
    return [UUID(row[0]) for row in rows]


def delete_links(tx: Transaction, relationship: ManyToMany, column: str, record_id: UUID) -> int:
    """Part a record from everything that a many-to-many relationship joins it with."""
    return tx.execute(f'DELETE FROM "{relationship.intersect}" WHERE "{column}" = :key__', {"key__": _id(record_id)})


def config_version(reader: Reader) -> int:
    """Rises whenever steps, messages, users or teams change in the database, whoever changed them."""
    return int(reader.rows("SELECT version FROM configversion")[0][0])


def _raw(table: Table, record: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    for name, value in record.items():
        column = table.columns[name]
        if column.type.is_lookup:
            raw[name] = None if value is None else str(value.id)
            if column.type_column:
                raw[column.type_column] = None if value is None else value.table
        else:
            raw[name] = values.to_raw(column, value, dialect)
    return raw


def _sql_names(column: Column) -> Sequence[str]:
    return (column.logical, column.type_column) if column.type_column else (column.logical,)


@lru_cache(maxsize=4096)
def _insert_sql(table: str, names: tuple[str, ...]) -> str:
    columns = ", ".join(f'"{name}"' for name in names)
    return f'INSERT INTO "{table}" ({columns}) VALUES ({", ".join(f":{name}" for name in names)})'


@lru_cache(maxsize=4096)
def _update_sql(table: str, key: str, names: tuple[str, ...]) -> str:
    assignments = ", ".join(f'"{name}" = :{name}' for name in names)
    return f'UPDATE "{table}" SET {assignments} WHERE "{key}" = :key__'


def _row_columns(table: Table) -> tuple[str, ...]:
    return tuple(column.logical for column in table.columns.values() if column.storage == "row")


def _cast(dialect: Dialect, parameter: str) -> str:
    # A bare parameter in a SELECT list has no type for PostgreSQL to infer.
    return f"{parameter}::uuid" if dialect == "postgres" else parameter


def _id(record_id: UUID) -> str:
    return str(record_id)
