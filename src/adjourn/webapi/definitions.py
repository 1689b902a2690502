"""`EntityDefinitions`: the tables as records, for clients that look names up before they begin.

`EntityDefinitions`, `EntityDefinitions(LogicalName='account')`, `$select`, and a `$filter` of one comparison with a
text; more is refused by name. Source: webapi.md §17.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid5

from adjourn.errors import InvalidRequest, NotFound, NotSupported, nearest
from adjourn.metadata.model import Table
from adjourn.service import Service
from adjourn.webapi import url
from adjourn.webapi.exchange import Answer, Exchange, json_answer

_METADATA_IDS = UUID("0ad10000-0000-7000-8000-00000000ffff")
"""Namespace of MetadataIds: the same table has the same id in every organization."""
_COMPARISON = re.compile(r"\(*\s*([A-Za-z]+)\s+eq\s+('(?:[^']|'')*'|true|false|\d{1,18})\s*\)*")
_SELECTABLE: dict[str, Callable[[Table], Any]] = {
    "MetadataId": lambda table: str(uuid5(_METADATA_IDS, table.logical)),
    "LogicalName": lambda table: table.logical,
    "SchemaName": lambda table: table.schema,
    "EntitySetName": lambda table: table.entityset,
    "LogicalCollectionName": lambda table: table.entityset,
    "CollectionSchemaName": lambda table: f"{table.schema}s",
    "PrimaryIdAttribute": lambda table: table.primary_id,
    "PrimaryNameAttribute": lambda table: table.primary_name,
    "ObjectTypeCode": lambda table: table.object_type_code,
    "OwnershipType": lambda table: table.ownership,
    "IsActivity": lambda table: table.is_activity,
    "IsIntersect": lambda table: table.is_intersect,
    "IsCustomEntity": lambda table: not table.system,
    "TableType": lambda table: "Standard",
    "DisplayName": lambda table: _label(table.display),
    "DisplayCollectionName": lambda table: _label(table.display_collection),
    "Description": lambda table: _label(table.description),
}


def get(exchange: Exchange, service: Service) -> Answer:
    """Answer a GET below `EntityDefinitions`. Raises InvalidRequest, NotFound, NotSupported."""
    first, *rest = exchange.segments
    if rest:
        raise NotSupported(f"EntityDefinitions(…)/{rest[0].text[:100]} is not supported.", status=501)
    for name in exchange.options:
        if name not in ("$select", "$filter"):
            raise InvalidRequest(f"Query option '{name[:100]}' cannot be used on EntityDefinitions.", code=0x0)
    names = _selected(exchange.options.get("$select"))
    suffix = f"({','.join(names)})" if "$select" in exchange.options else ""
    context = f"{exchange.root}$metadata#EntityDefinitions{suffix}"
    if first.arguments:
        if "$filter" in exchange.options:
            raise InvalidRequest("$filter cannot be used on one definition.", code=0x0)
        table = _addressed(first.arguments, service)
        return json_answer(200, {"@odata.context": f"{context}/$entity", **_definition(table, names)})
    tables = _filtered(service, exchange.options.get("$filter"))
    return json_answer(200, {"@odata.context": context, "value": [_definition(table, names) for table in tables]})


def _addressed(arguments: str, service: Service) -> Table:
    if "=" in arguments:
        named = url.named_arguments(arguments)
        wanted = url.literal_text(named.get("LogicalName", ""))
        if set(named) != {"LogicalName"}:
            raise InvalidRequest("A definition is addressed by LogicalName='<name>' or by its MetadataId.")
        found = service.catalog.tables.get(wanted)
    else:
        wanted = arguments.strip("'").lower()
        found = next((t for t in service.catalog.tables.values() if _SELECTABLE["MetadataId"](t) == wanted), None)
    if found is None:
        near = nearest(wanted, service.catalog.tables)
        raise NotFound(f"Could not find an entity with name {wanted[:200]}.{near}", code=0x80060888)
    return found


def _filtered(service: Service, text: str | None) -> list[Table]:
    tables = list(service.catalog.tables.values())
    if text is None:
        return tables
    match = _COMPARISON.fullmatch(text.strip())
    if match is None:
        raise NotSupported(
            f"A $filter on EntityDefinitions is one comparison such as LogicalName eq 'account'; found '{text[:200]}'.",
            status=501,
        )
    name, literal = match[1], match[2]
    reader = _SELECTABLE.get(name)
    if reader is None:
        raise _unknown(name)
    value: Any = url.literal_text(literal)
    if not literal.startswith("'"):
        value = {"true": True, "false": False}.get(literal, int(literal) if literal.isdigit() else literal)
    return [table for table in tables if reader(table) == value]


def _selected(text: str | None) -> list[str]:
    if text is None:
        return list(_SELECTABLE)
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in _SELECTABLE:
            raise _unknown(name)
    return names if "MetadataId" in names else [*names, "MetadataId"]


def _unknown(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"Could not find a property named '{name[:200]}' on type 'Microsoft.Dynamics.CRM.EntityMetadata'."
        f"{nearest(name, _SELECTABLE)}",
        code=0x0,
    )


def _definition(table: Table, names: list[str]) -> dict[str, Any]:
    return {name: _SELECTABLE[name](table) for name in names}


def _label(text: str) -> dict[str, Any]:
    label = {"Label": text, "LanguageCode": 1033, "IsManaged": True, "MetadataId": None, "HasChanged": None}
    return {"LocalizedLabels": [label] if text else [], "UserLocalizedLabel": label if text else None}
