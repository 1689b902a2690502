"""What a caller sent, checked against the metadata before anything begins.

Nothing is ignored: a column that does not exist, may not be set, or has a value of the wrong type is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from adjourn import errors
from adjourn.errors import InvalidRequest
from adjourn.metadata import values
from adjourn.metadata.model import Catalog, Column, Reference, Table
from adjourn.pipeline.record import Record


def target(catalog: Catalog, found: Any, *, creating: bool, parameter: str = "Target") -> Record:
    """A Create's or Update's record with every value checked; a new object, the caller's is left alone."""
    if not isinstance(found, Record):
        raise InvalidRequest(f"Parameter '{parameter}' must be a record, found {type(found).__name__}.")
    table = catalog.table(found.table)
    checked = Record(table.logical, found.id)
    for name, value in found.values.items():
        column = table.columns.get(name)
        if column is None or not column.readable:
            raise unknown_column(table, name)
        if name == table.primary_id:
            checked.id = values.check(column, value)
            continue
        if column.storage == "derived" or not (column.creatable if creating else column.updatable):
            doing = "set when a record is created" if creating else "updated"
            raise InvalidRequest(f"Column '{name}' of table '{table.logical}' cannot be {doing}.")
        checked.values[name] = values.check(column, value)
    if not creating and checked.id is None:
        raise InvalidRequest(f"An update of table '{table.logical}' needs the record's id.")
    return checked


def reference(catalog: Catalog, found: Any, parameter: str) -> Reference:
    """A parameter that points to a record: a Reference, a (table, id) pair, or a Record with an id."""
    if isinstance(found, Record) and found.id is not None:
        found = found.reference()
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], str):
        record_id = found[1]
        if isinstance(record_id, str):
            try:
                record_id = UUID(record_id)
            except ValueError:
                raise InvalidRequest(f"'{record_id[:100]}' is no guid.", code=errors.GUID_INVALID) from None
        if isinstance(record_id, UUID):
            return Reference(catalog.table(found[0]).logical, record_id)
    raise InvalidRequest(f"Parameter '{parameter}' must be a reference (table, id), found {type(found).__name__}.")


def columns(table: Table, found: Any) -> list[str] | None:
    """A column set: None for all columns, or the names wanted."""
    if found is None or found is True:
        return None
    if isinstance(found, str) or not all(isinstance(name, str) for name in found):
        raise InvalidRequest("A column set is a list of column names.")
    for name in found:
        if not _readable(table.columns.get(name)):
            raise unknown_column(table, name)
    return list(found)


def parameters(message: str, found: Mapping[str, Any], required: tuple[str, ...], optional: tuple[str, ...]) -> None:
    """Refuse unknown and missing parameters of a platform message by name; the unknown first: one may be the other, misspelt."""
    known = (*required, *optional)
    takes = f"it takes {', '.join(known) or 'none'}"
    for name in found:
        if name not in known:
            raise InvalidRequest(
                f"Message '{message}' has no parameter '{name[:200]}'; {takes}.{errors.nearest(name, known)}"
            )
    for name in required:
        if name not in found:
            raise InvalidRequest(f"Message '{message}' needs parameter '{name}'; {takes}.")


def unknown_column(table: Table, name: str) -> InvalidRequest:
    readable = [column.logical for column in table.columns.values() if column.readable]
    return InvalidRequest(
        f"Column '{name[:200]}' does not exist on table '{table.logical}'.{errors.nearest(name, readable)}"
    )


def _readable(column: Column | None) -> bool:
    return column is not None and column.readable
