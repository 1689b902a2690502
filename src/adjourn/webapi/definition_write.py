"""POST, PUT and DELETE of metadata: tables, columns, relationships and keys at run time.

    POST   EntityDefinitions, CreateEntities           PUT, DELETE  EntityDefinitions(key)
    POST   …/Attributes                                PUT, DELETE  …/Attributes(key)
    POST   …/Keys                                      DELETE       …/Keys(key)
    POST   RelationshipDefinitions                     PUT, DELETE  RelationshipDefinitions(key)

Each is one transaction with all that follows from it (`pipeline.customization`); the next request sees it. Source: webapi.md §17.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from adjourn.errors import InvalidRequest, NotSupported, UnknownResource
from adjourn.metadata.additions import INVALID_METADATA
from adjourn.metadata.customizing import Customizing
from adjourn.metadata.model import Catalog, Column, Table
from adjourn.pipeline.customization import customize
from adjourn.service import Service
from adjourn.webapi import definition_payload as payload
from adjourn.webapi import definition_shapes as shapes
from adjourn.webapi import definitions, failures, url
from adjourn.webapi.definitions import key_of, relationship_documents, table_of
from adjourn.webapi.exchange import Answer, Exchange, json_object, no_content
from adjourn.webapi.url import Segment

T = TypeVar("T")
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
Act = Callable[[Exchange, Service, list[Segment]], Answer]


def change(exchange: Exchange, service: Service) -> Answer:
    """Answer a POST, PUT or DELETE of a definition. Raises the documented errors."""
    segments = [segment for segment in exchange.segments if not segment.name.startswith(shapes.NAMESPACE)]
    names = tuple(segment.name for segment in segments)
    addressed = segments[-1].arguments is not None
    if len(segments) == 2 and segments[0].arguments is None:
        raise UnknownResource(f"Resource not found for the segment '{names[1][:200]}': say whose, by a key.")
    acts = _ACTS.get((names, addressed))
    if acts is None:
        return failures.wrong_verb(exchange.method, ("GET",))
    act = acts.get(exchange.method)
    if act is None:
        return failures.wrong_verb(exchange.method, ("GET", *acts))
    answer = act(exchange, service, segments)
    # Inside a change set nobody can read yet what it makes.
    if exchange.preferences.representation and exchange.method != "DELETE" and exchange.call.transaction is None:
        return _represented(answer, exchange, service)
    return answer


def _represented(answer: Answer, exchange: Exchange, service: Service) -> Answer:
    """The definition as it is now, instead of its address (`Prefer: return=representation`)."""
    made = answer.header("OData-EntityId")
    segments = url.parse_path(url.relative(made, exchange.root)) if made else exchange.segments
    found = definitions.get(exchange.within(method="GET", segments=segments), service)
    applied = exchange.preferences.applied(represented=True) or ""
    return replace(found, status=201 if made else 200).plus(("Preference-Applied", applied))


def create_entities(exchange: Exchange, service: Service) -> Answer:
    """The action CreateEntities: several tables with their columns, all or nothing."""
    body = _body(exchange)
    for name in body:
        if name != "Entities" and "@" not in name:
            raise InvalidRequest(f"Action 'CreateEntities' has no parameter '{name[:100]}', only 'Entities'.")
    entities = body.get("Entities")
    if not isinstance(entities, list) or not entities or not all(isinstance(found, dict) for found in entities):
        raise InvalidRequest("Action 'CreateEntities' needs Entities: a list of EntityMetadata.")
    tables = [payload.table(found) for found in entities]

    def make(work: Customizing) -> None:
        for header, entries, primary in tables:
            work.create_table(header, entries, primary)

    _customize(exchange, service, "create tables", make)
    return no_content()


def _create_table(exchange: Exchange, service: Service, segments: list[Segment]) -> Answer:
    header, entries, primary = payload.table(_body(exchange))
    made = _customize(exchange, service, "create table", lambda work: work.create_table(header, entries, primary))
    return _made(exchange, f"EntityDefinitions({shapes.table_id(made)})")


def _update_table(exchange: Exchange, service: Service, segments: list[Segment]) -> Answer:
    texts = payload.table_texts(_body(exchange))
    _customize(exchange, service, "update table", lambda work: work.update_table(_table(work.catalog, segments), texts))
    return no_content()


def _delete_table(exchange: Exchange, service: Service, segments: list[Segment]) -> Answer:
    _customize(exchange, service, "delete table", lambda work: work.delete_table(_table(work.catalog, segments)))
    return no_content()


def _create_column(exchange: Exchange, service: Service, segments: list[Segment]) -> Answer:
    entry = payload.column(_body(exchange))

    def make(work: Customizing) -> str:
        table = _table(work.catalog, segments)
        work.create_column(table, entry)
        column = shapes.metadata_id(table.logical, entry["name"])
        return f"EntityDefinitions({shapes.table_id(table)})/Attributes({column})"

    return _made(exchange, _customize(exchange, service, "create column", make))


def _update_column(exchange: Exchange, service: Service, segments: list[Segment]) -> Answer:
    body = _body(exchange)

    def make(work: Customizing) -> None:
        table = _table(work.catalog, segments)
        column = _column(table, segments[1])
        kind = shapes.kind_of(column)
        given = {"@odata.type": f"{shapes.NAMESPACE}{kind}AttributeMetadata", "SchemaName": column.schema, **body}
        entry = {**payload.lookup(given), "type": "Lookup"} if column.type.is_lookup else payload.column(given)
        work.update_column(table, column.logical, entry)

    _customize(exchange, service, "update column", make)
    return no_content()


def _delete_column(exchange: Exchange, service: Service, segments: list[Segment]) -> Answer:
    def make(work: Customizing) -> None:
        table = _table(work.catalog, segments)
        work.delete_column(table, _column(table, segments[1]).logical)

    _customize(exchange, service, "delete column", make)
    return no_content()


def _create_key(exchange: Exchange, service: Service, segments: list[Segment]) -> Answer:
    body = _body(exchange)
    columns = body.get("KeyAttributes")
    if not isinstance(columns, list) or not all(isinstance(found, str) for found in columns):
        raise InvalidRequest("EntityKeyMetadata: KeyAttributes must be a list of column names.", code=INVALID_METADATA)
    display = payload.label(body["DisplayName"], "DisplayName") if body.get("DisplayName") else ""

    def make(work: Customizing) -> str:
        table = _table(work.catalog, segments)
        work.create_key(table, str(body.get("SchemaName")), columns, display)
        key = shapes.key_id(table, str(body["SchemaName"]).lower())
        return f"EntityDefinitions(LogicalName='{table.logical}')/Keys({key})"

    return _made(exchange, _customize(exchange, service, "create key", make))


def _delete_key(exchange: Exchange, service: Service, segments: list[Segment]) -> Answer:
    def make(work: Customizing) -> None:
        table = _table(work.catalog, segments)
        found = key_of([shapes.key(table, key) for key in table.keys], segments[1])
        work.delete_key(table, found["LogicalName"])

    _customize(exchange, service, "delete key", make)
    return no_content()


def _create_relationship(exchange: Exchange, service: Service, segments: list[Segment]) -> Answer:
    body = _body(exchange)
    kind = str(body.get("@odata.type") or "").lstrip("#").removeprefix(shapes.NAMESPACE).removeprefix("Complex")
    name = str(body.get("SchemaName"))
    if kind == "OneToManyRelationshipMetadata":
        cascade = body.get("CascadeConfiguration") or {}
        relationship = {
            "schema": name,
            "referenced": body.get("ReferencedEntity"),
            "hierarchical": body.get("IsHierarchical") is True,
            "referencing": body.get("ReferencingEntity"),
            "delete": cascade.get("Delete") if isinstance(cascade, dict) else None,
        }
        entry = payload.lookup(body.get("Lookup") or {})
        _customize(exchange, service, "create relationship", lambda work: work.create_lookup(relationship, entry))
    elif kind == "ManyToManyRelationshipMetadata":
        sides = str(body.get("Entity1LogicalName")), str(body.get("Entity2LogicalName"))
        table = str(body.get("IntersectEntityName") or name)
        _customize(exchange, service, "create relationship", lambda work: work.create_many_to_many(name, *sides, table))
    else:
        raise InvalidRequest(
            "@odata.type must be Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata or "
            f"Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata, found '{kind[:100]}'.",
            code=INVALID_METADATA,
        )
    return _made(exchange, f"RelationshipDefinitions({shapes.metadata_id('relationship', name)})")


def _update_relationship(exchange: Exchange, service: Service, segments: list[Segment]) -> Answer:
    cascade = _body(exchange).get("CascadeConfiguration") or {}
    rule = cascade.get("Delete") if isinstance(cascade, dict) else None

    def make(work: Customizing) -> None:
        found = key_of(relationship_documents(work.catalog), segments[0])
        if rule is not None:
            work.update_relationship(found["SchemaName"], str(rule))

    _customize(exchange, service, "update relationship", make)
    return no_content()


def _delete_relationship(exchange: Exchange, service: Service, segments: list[Segment]) -> Answer:
    def make(work: Customizing) -> None:
        work.delete_relationship(key_of(relationship_documents(work.catalog), segments[0])["SchemaName"])

    _customize(exchange, service, "delete relationship", make)
    return no_content()


_ACTS: dict[tuple[tuple[str, ...], bool], dict[str, Act]] = {
    (("EntityDefinitions",), False): {"POST": _create_table},
    (("EntityDefinitions",), True): {"PUT": _update_table, "DELETE": _delete_table},
    (("EntityDefinitions", "Attributes"), False): {"POST": _create_column},
    (("EntityDefinitions", "Attributes"), True): {"PUT": _update_column, "DELETE": _delete_column},
    (("EntityDefinitions", "Keys"), False): {"POST": _create_key},
    (("EntityDefinitions", "Keys"), True): {"DELETE": _delete_key},
    (("RelationshipDefinitions",), False): {"POST": _create_relationship},
    (("RelationshipDefinitions",), True): {"PUT": _update_relationship, "DELETE": _delete_relationship},
}
"""By the names in the address and whether the last one has a key."""


def _customize(exchange: Exchange, service: Service, label: str, make: Callable[[Customizing], T]) -> T:
    return customize(service.pipeline, exchange.call, label, make)


def _table(catalog: Catalog, segments: list[Segment]) -> Table:
    return table_of(segments[0].arguments or "", catalog)


def _column(table: Table, segment: Segment) -> Column:
    found = key_of(list(shapes.attributes(table)), segment)
    column = table.columns[found["LogicalName"]]
    if column.storage == "derived":
        raise NotSupported(f"'{column.logical}' is derived from '{column.derives}'; change that one.", status=400)
    return column


def _body(exchange: Exchange) -> dict[str, Any]:
    return json_object(exchange.body, _DECODER)


def _made(exchange: Exchange, address: str) -> Answer:
    return no_content(("OData-EntityId", f"{exchange.root}{address}"))
