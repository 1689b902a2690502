"""Alternate keys in addresses: `new_projects(new_status='s1')`, `accounts(accountnumber='A-1',new_region=3)`.

Syntax and the key's definition are checked with the metadata alone; `locate` asks which record it is. A lookup in a key
goes by its property, `_new_accountid_value=<guid>`. Source: webapi.md §14 and §18.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from adjourn.errors import Duplicate, InvalidRequest, NotFound, nearest
from adjourn.metadata import values
from adjourn.metadata.model import ColumnType, Reference, Table
from adjourn.pipeline.call import Call
from adjourn.query.tree import Attribute, Condition, Filter, Query
from adjourn.service import Service
from adjourn.webapi import url

KeyValues = Mapping[str, Any]
"""Column values by logical name, as a record has them."""
NOT_DEFINED = 0x80060890
NOT_FOUND = 0x80060891
_RACES_MAX = 5
"""How often somebody else may make, and another remove, the record of a key while one upsert looks for it."""
T = TypeVar("T")


def parse(arguments: Mapping[str, str], table: Table) -> KeyValues:
    """The values of an alternate key. Raises InvalidRequest if these columns are no key of the table."""
    columns = {}
    for name in arguments:
        column = table.by_property.get(name) or table.columns.get(name)
        columns[name] = column.logical if column is not None else name
    wanted = set(columns.values())
    if not any(wanted == set(key.columns) for key in table.keys):
        keys = "; ".join(", ".join(key.columns) for key in table.keys)
        known = [table.primary_id, *(column for key in table.keys for column in key.columns)]
        raise InvalidRequest(
            f"The specified key attributes ({', '.join(arguments)[:200]}) are not a defined key for the {table.logical} "
            f"entity. Its key is '{table.primary_id}'{f', and {keys}' if keys else ''}."
            f"{nearest(next(iter(arguments), ''), known)}",
            code=NOT_DEFINED,
        )
    return {columns[name]: _value(text, table, columns[name]) for name, text in arguments.items()}


def locate(service: Service, table: Table, key: KeyValues, call: Call) -> UUID | None:
    """The id of the record that a key means; None if there is none. Raises PrivilegeDenied to who may not read the table.

    A record that the caller may not see is found as well: what he does with it is then refused as by its id, where "there
    is none" would have an upsert make another.
    """
    conditions = tuple(
        Condition(name, "eq", (value.id if isinstance(value, Reference) else value,)) for name, value in key.items()
    )
    query = Query(
        table.logical, (Attribute(table.primary_id),), filter=Filter("and", conditions), language="fetchxml", top=1
    )
    rows = service.retrieve_multiple(query, call).rows
    return UUID(rows[0][0]) if rows else service.hidden(query, call)


def upserted(attempt: Callable[[], T]) -> T:
    """Do what looks a key up and makes its record where there is none; again, when somebody else made it meanwhile."""
    for _ in range(_RACES_MAX):
        try:
            return attempt()
        except Duplicate:
            continue  # the next look finds it, or says for good why it cannot be made
    return attempt()


def not_found(table: Table, key: KeyValues) -> NotFound:
    shown = ", ".join(f"{name}={value}" for name, value in key.items())
    return NotFound(
        f"A record with the specified key values does not exist in {table.logical} entity: {shown[:300]}.",
        code=NOT_FOUND,
    )


def _value(text: str, table: Table, name: str) -> Any:
    column = table.columns[name]
    quoted = text.startswith("'")
    if column.type.is_lookup:
        return Reference(column.targets[0], values.guid(url.literal_text(text), name))
    if column.type is ColumnType.STRING and not quoted:
        raise InvalidRequest(f"The value of key attribute '{name}' must stand in quotes, found {text[:100]}.")
    if not quoted and column.type in (ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.PICKLIST):
        try:
            found: Any = msgspec.json.decode(text.encode())
        except (msgspec.DecodeError, RecursionError):
            found = text
    else:
        found = url.literal_text(text)
    return values.check(column, found)
