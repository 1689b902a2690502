"""`EntityDefinitions`, `RelationshipDefinitions` and `GlobalOptionSetDefinitions`: the metadata as records.

    EntityDefinitions[(LogicalName='account')]
    …/Attributes[(LogicalName='name')][/Microsoft.Dynamics.CRM.PicklistAttributeMetadata][/OptionSet]
    …/Keys, …/OneToManyRelationships, …/ManyToOneRelationships, …/ManyToManyRelationships, each with or without a key
    RelationshipDefinitions[(SchemaName='…')][/Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata]

A key is a MetadataId or a name. Documents are made by `definition_shapes`, questions answered by `definition_query`.
Source: webapi.md §17.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from adjourn.errors import InvalidRequest, NotFound, UnknownResource, nearest
from adjourn.metadata.model import Catalog, Table
from adjourn.service import Service
from adjourn.webapi import definition_shapes as shapes
from adjourn.webapi import url
from adjourn.webapi.definition_query import Expander, shaped
from adjourn.webapi.definition_shapes import NAMESPACE, Document
from adjourn.webapi.exchange import Answer, Exchange, json_answer
from adjourn.webapi.url import Segment

_MISSING = 0x80060888


def get(exchange: Exchange, service: Service) -> Answer:
    """Answer a GET. Raises InvalidRequest, NotFound, UnknownResource."""
    first, *rest = exchange.segments
    return ROOTS[first.name](exchange, service.catalog, first, rest)


def _entities(exchange: Exchange, catalog: Catalog, first: Segment, rest: list[Segment]) -> Answer:
    def expanders(catalog: Catalog) -> dict[str, Expander]:
        def of(name: str) -> Expander:
            return lambda document: _COLLECTIONS[name](catalog, catalog.tables[document["LogicalName"]])

        return {name: of(name) for name in _COLLECTIONS}

    if first.arguments is None:
        _no_more(rest)
        documents = [shapes.entity(table) for table in catalog.tables.values()]
        return _many(exchange, documents, "EntityMetadata", expanders(catalog))
    table = table_of(first.arguments, catalog)
    if not rest:
        return _one(exchange, shapes.entity(table), "EntityMetadata", expanders(catalog))
    part, *deeper = rest
    if part.name not in _COLLECTIONS:
        return _property(exchange, shapes.entity(table), part, deeper, _COLLECTIONS)
    documents = _COLLECTIONS[part.name](catalog, table)
    inner: dict[str, Expander] = _attribute_expanders(table) if part.name == "Attributes" else {}
    return _collection(exchange, documents, part, deeper, inner)


def relationship_documents(catalog: Catalog) -> list[Document]:
    """All relationships, each once."""
    tables = dict(catalog.tables)
    documents = {
        document["SchemaName"]: document
        for table in tables.values()
        for document in (
            *(shapes.many_to_one(found, tables) for found in table.many_to_one),
            *(shapes.many_to_many(found, tables) for found in table.many_to_many),
        )
    }
    return list(documents.values())


def _relationships(exchange: Exchange, catalog: Catalog, first: Segment, rest: list[Segment]) -> Answer:
    return _collection(exchange, relationship_documents(catalog), first, rest, {})


def _option_sets(exchange: Exchange, catalog: Catalog, first: Segment, rest: list[Segment]) -> Answer:
    # Every choice of the tables that we serve belongs to its column.
    return _collection(exchange, [], first, rest, {})


ROOTS: dict[str, Callable[[Exchange, Catalog, Segment, list[Segment]], Answer]] = {
    "EntityDefinitions": _entities,
    "RelationshipDefinitions": _relationships,
    "GlobalOptionSetDefinitions": _option_sets,
}
_COLLECTIONS: dict[str, Callable[[Catalog, Table], list[Document]]] = {
    "Attributes": lambda catalog, table: list(shapes.attributes(table)),
    "Keys": lambda catalog, table: [shapes.key(table, key) for key in table.keys],
    "OneToManyRelationships": lambda catalog, table: [
        shapes.many_to_one(found, dict(catalog.tables)) for found in table.one_to_many
    ],
    "ManyToOneRelationships": lambda catalog, table: [
        shapes.many_to_one(found, dict(catalog.tables)) for found in table.many_to_one
    ],
    "ManyToManyRelationships": lambda catalog, table: [
        shapes.many_to_many(found, dict(catalog.tables)) for found in table.many_to_many
    ],
}


def table_of(arguments: str, catalog: Catalog) -> Table:
    """The table that a key of EntityDefinitions means. Raises NotFound with the nearest name, InvalidRequest."""
    name, wanted = _key(arguments, "LogicalName")
    if name == "MetadataId":
        found = next((table for table in catalog.tables.values() if shapes.table_id(table) == wanted), None)
    else:
        found = catalog.tables.get(wanted)
    if found is None:
        near = nearest(wanted, catalog.tables)
        raise NotFound(f"Could not find an entity with name {wanted[:200]}.{near}", code=_MISSING)
    return found


def _collection(
    exchange: Exchange,
    documents: list[Document],
    part: Segment,
    deeper: list[Segment],
    expanders: Mapping[str, Expander],
) -> Answer:
    """A collection of documents, one of them by its key, a cast of either, or a part of that one."""
    kind = _SINGULAR[part.name]
    chosen: Document | None = None
    if part.arguments is not None:
        chosen = _by_key(documents, part.arguments, kind)
    if deeper and deeper[0].name.startswith(NAMESPACE):
        kind = deeper[0].name.removeprefix(NAMESPACE)
        documents = [document for document in documents if document.get("@odata.type") == f"#{NAMESPACE}{kind}"]
        if chosen is not None and chosen not in documents:
            raise NotFound(f"'{chosen.get('LogicalName') or chosen['SchemaName']}' is no {kind}.", code=_MISSING)
        deeper = deeper[1:]
    if chosen is None:
        _no_more(deeper)
        return _many(exchange, documents, kind, expanders)
    if deeper:
        for name in expanders:
            chosen = {**chosen, name: expanders[name](chosen)}
        return _property(exchange, chosen, deeper[0], deeper[1:], expanders)
    return _one(exchange, chosen, kind, expanders)


_SINGULAR = {
    "Attributes": "AttributeMetadata",
    "Keys": "EntityKeyMetadata",
    "OneToManyRelationships": "OneToManyRelationshipMetadata",
    "ManyToOneRelationships": "OneToManyRelationshipMetadata",
    "ManyToManyRelationships": "ManyToManyRelationshipMetadata",
    "RelationshipDefinitions": "RelationshipMetadataBase",
    "GlobalOptionSetDefinitions": "OptionSetMetadataBase",
}


def _attribute_expanders(table: Table) -> dict[str, Expander]:
    return {
        "OptionSet": lambda document: shapes.option_set(table, table.columns[document["LogicalName"]]),
        "GlobalOptionSet": lambda document: None,
    }


def key_of(documents: Iterable[Document], segment: Segment) -> Document:
    """The document that a segment's key means. Raises NotFound with the nearest name, InvalidRequest."""
    return _by_key(documents, segment.arguments or "", _SINGULAR[segment.name])


def _by_key(documents: Iterable[Document], arguments: str, kind: str) -> Document:
    name, wanted = _key(arguments, "SchemaName" if "Relationship" in kind else "LogicalName")
    for document in documents:
        if str(document.get(name, "")) == wanted:
            return document
    known = [str(document[name]) for document in documents if name in document and name != "MetadataId"]
    raise NotFound(f"Could not find an {kind} with {name} '{wanted[:200]}'.{nearest(wanted, known)}", code=_MISSING)


def _key(arguments: str, default: str) -> tuple[str, str]:
    """Name and value of a key: `LogicalName='x'`, a bare MetadataId, or a bare name in quotes."""
    if "=" not in arguments:
        wanted = arguments.strip()
        return (default, url.literal_text(wanted)) if wanted.startswith("'") else ("MetadataId", wanted.lower())
    named = url.named_arguments(arguments)
    name = next(iter(named))
    if len(named) != 1 or name not in ("LogicalName", "SchemaName", "Name", "MetadataId"):
        raise InvalidRequest(f"A definition is addressed by {default}='<name>' or by its MetadataId.")
    return name, url.literal_text(named[name])


def _many(exchange: Exchange, documents: list[Document], kind: str, expanders: Mapping[str, Expander]) -> Answer:
    value = shaped(documents, exchange.options, kind, expanders)
    return json_answer(200, {"@odata.context": _context(exchange), "value": value})


def _one(exchange: Exchange, document: Document, kind: str, expanders: Mapping[str, Expander]) -> Answer:
    if "$filter" in exchange.options:
        raise InvalidRequest("$filter cannot be used on one definition.", code=0x0)
    (answer,) = shaped([document], exchange.options, kind, expanders)
    return json_answer(200, {"@odata.context": f"{_context(exchange)}/$entity", **answer})


def _property(
    exchange: Exchange, document: Document, part: Segment, deeper: list[Segment], others: Iterable[str]
) -> Answer:
    _no_more(deeper)
    if part.arguments is not None or part.name not in document:
        near = nearest(part.name, [*document, *others])
        raise UnknownResource(f"Resource not found for the segment '{part.text[:200]}'.{near}")
    value: Any = document[part.name]
    context = {"@odata.context": f"{_context(exchange)}/{part.name}"}
    return json_answer(200, {**context, **value} if isinstance(value, dict) else {**context, "value": value})


def _context(exchange: Exchange) -> str:
    names = exchange.options.get("$select")
    suffix = f"({names})" if names else ""
    return f"{exchange.root}$metadata#{exchange.segments[0].text}{suffix}"


def _no_more(deeper: list[Segment]) -> None:
    if deeper:
        raise UnknownResource(f"Resource not found for the segment '{deeper[0].text[:200]}'.")
