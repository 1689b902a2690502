"""A JSON body as a record: properties, `@odata.bind`, navigations set to null, and nested new records.

Everything that a body names is found in the metadata or refused by name; the values themselves are checked by the
pipeline. Source: webapi.md §12 and §18.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from adjourn import errors
from adjourn.errors import InvalidRequest, NotSupported, nearest
from adjourn.metadata import values
from adjourn.metadata.model import Column, ManyToMany, Reference, Relationship, Table
from adjourn.pipeline.record import Record
from adjourn.webapi import resource
from adjourn.webapi.addresses import Addresses

R = TypeVar("R", Relationship, ManyToMany)
BIND = "@odata.bind"
DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)
"""Numbers with a fraction stay exact: money is not a float."""
NESTED_RECORDS_MAX = 1000


@dataclass(slots=True)
class Payload:
    """A record to be written. singles: new records that its lookups will lead to. children: new records that will lead
    to it. joined: existing ones to be joined to it, by the name of the collection. partners: new ones to be joined."""

    record: Record
    singles: list[tuple[Relationship, Payload]] = field(default_factory=list)
    children: list[tuple[Relationship, Payload]] = field(default_factory=list)
    joined: list[tuple[str, Reference]] = field(default_factory=list)
    partners: list[tuple[ManyToMany, Payload]] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        return not (self.singles or self.children or self.joined or self.partners)


def read(
    body: Mapping[str, Any],
    table: Table,
    addresses: Addresses,
    *,
    nested: bool = True,
) -> Payload:
    """A decoded body as a payload. nested: new records may stand in it. Raises InvalidRequest naming the property."""
    payload = Payload(Record(table.logical))
    for name, value in body.items():
        if name.endswith(BIND):
            _bind(payload, name.removesuffix(BIND), value, table, addresses)
        elif "@" in name:
            continue  # control information: @odata.type, @odata.etag, an annotation that came with a record
        else:
            _set(payload, name, value, table, addresses, nested)
    return payload


def _set(
    payload: Payload,
    name: str,
    value: Any,
    table: Table,
    addresses: Addresses,
    nested: bool,
) -> None:
    column = table.by_property.get(name)
    if column is not None and not (name in table.by_navigation and isinstance(value, dict)):
        if column.type.is_lookup:
            raise InvalidRequest(
                f"Property '{name}' cannot be set: use its navigation property with {BIND}, "
                f"such as '{_navigation(table, column)}{BIND}'.",
                code=errors.ODATA_UNSUPPORTED,
            )
        if column.logical == table.primary_id and value is not None:
            payload.record.id = values.guid(value, name)
            return
        payload.record.values[column.logical] = value
        return
    relationship = table.by_navigation.get(name)
    if relationship is not None:
        if value is None:
            payload.record.values[relationship.column] = None
            return
        _nest(
            payload.singles,
            relationship,
            value,
            addresses.catalog.tables[relationship.referenced],
            name,
            addresses,
            nested,
        )
        return
    collection = table.by_collection.get(name)
    if collection is not None:
        if not isinstance(value, list):
            raise InvalidRequest(
                f"Property '{name}' is a collection: it needs a JSON array.", code=errors.ODATA_BAD_PAYLOAD
            )
        child = resource.related_table(collection, table, addresses.catalog)
        for item in value:
            if isinstance(collection, Relationship):
                _nest(payload.children, collection, item, child, name, addresses, nested)
            else:
                _nest(payload.partners, collection, item, child, name, addresses, nested)
        return
    if (
        name in table.columns
        and table.columns[name].type.is_lookup
        and table.columns[name].polymorphic is False
        and value is None
    ):
        payload.record.values[name] = None
        return
    known = [*table.by_property, *table.by_navigation, *table.by_collection]
    raise InvalidRequest(
        f"Invalid property '{name[:200]}' was found in entity '{resource.NAMESPACE}{table.logical}'. "
        f"The property does not exist on the type; only use names that it defines.{nearest(name, known)}",
        code=errors.ODATA_NO_CODE,
    )


def _nest(
    into: list[tuple[R, Payload]],
    relationship: R,
    value: Any,
    table: Table,
    name: str,
    addresses: Addresses,
    nested: bool,
) -> None:
    if not isinstance(value, dict):
        raise InvalidRequest(
            f"Property '{name}' leads to {table.entityset}: it needs a JSON object with a new record, null, or {BIND}.",
            code=errors.ODATA_BAD_PAYLOAD,
        )
    if not nested:
        raise NotSupported(
            f"New records cannot be nested in an update ('{name}'); create them first, then bind.", status=501
        )
    if len(into) >= NESTED_RECORDS_MAX:
        raise InvalidRequest(f"A record holds at most {NESTED_RECORDS_MAX} nested records.")
    into.append((relationship, read(value, table, addresses)))


def _bind(
    payload: Payload,
    name: str,
    value: Any,
    table: Table,
    addresses: Addresses,
) -> None:
    if name in table.by_collection:
        bound = value if isinstance(value, list) else [value]
        if len(bound) > NESTED_RECORDS_MAX or not all(isinstance(address, str) for address in bound):
            raise InvalidRequest(
                f"'{name}{BIND}' must be an array of at most {NESTED_RECORDS_MAX} addresses.",
                code=errors.ODATA_BAD_PAYLOAD,
            )
        payload.joined += [(name, addresses.reference(address, f"{name}{BIND}")) for address in bound]
        return
    column = table.bound(name)
    if column is None:
        known = [*table.by_navigation, *table.by_collection]
        raise InvalidRequest(
            f"Error identified in Payload provided by the user for Entity :'{table.entityset}': an undeclared property "
            f"'{name[:200]}' which only has property annotations in the payload but no property value was found in the "
            f"payload. In OData, only declared navigation properties and declared named streams can be represented as "
            f"properties without values.{nearest(name, known)}",
            code=errors.ODATA_BAD_PAYLOAD,
        )
    if value is None:
        payload.record.values[column.logical] = None
        return
    if not isinstance(value, str):
        raise InvalidRequest(f"'{name}{BIND}' must be an address or null.", code=errors.ODATA_BAD_PAYLOAD)
    found = addresses.reference(value, f"{name}{BIND}")
    relationship = table.by_navigation.get(name)
    if relationship is not None and found.table != relationship.referenced:
        raise InvalidRequest(
            f"'{name}{BIND}' leads to {addresses.catalog.tables[relationship.referenced].entityset}, not to "
            f"{addresses.catalog.tables[found.table].entityset}.",
            code=errors.ODATA_BAD_PAYLOAD,
        )
    payload.record.values[column.logical] = found


def _navigation(table: Table, column: Column) -> str:
    return next((r.navigation for r in table.many_to_one if r.column == column.logical), column.logical)
