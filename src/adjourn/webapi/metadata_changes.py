"""The function RetrieveMetadataChanges: tables and their parts as an EntityQueryExpression asks for them.

There is nothing cached on a client's side that we could know of, so every answer is a whole one: a ClientVersionStamp is
accepted and not needed, and DeletedMetadata is empty. Source: webapi.md §17; the request shape of Microsoft's Python SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from adjourn import config
from adjourn.errors import InvalidRequest, nearest
from adjourn.metadata.model import Catalog, Table
from adjourn.service import Service
from adjourn.webapi import definition_shapes as shapes
from adjourn.webapi.definition_shapes import Document
from adjourn.webapi.exchange import Answer, Exchange, json_answer

_PARAMETERS = ("Query", "ClientVersionStamp", "DeletedMetadataFilters", "AppModuleId", "RetrieveAllSettings")
_QUERY = ("Properties", "Criteria", "AttributeQuery", "RelationshipQuery", "KeyQuery", "LabelQuery")
_PARTS = {"Attributes": "AttributeQuery", "Keys": "KeyQuery"} | dict.fromkeys(
    ("OneToManyRelationships", "ManyToOneRelationships", "ManyToManyRelationships"), "RelationshipQuery"
)
_ALWAYS = ("@odata.type", "MetadataId", "HasChanged")


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, dict) and "Value" in value:
        value = value["Value"]
    if isinstance(value, str) and isinstance(wanted, str):
        return value.lower() == wanted.lower()
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _above(value: Any, wanted: Any) -> bool:
    return isinstance(value, int | float) and isinstance(wanted, int | float) and value > wanted


def _below(value: Any, wanted: Any) -> bool:
    return isinstance(value, int | float) and isinstance(wanted, int | float) and value < wanted


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": _equal,
    "NotEquals": lambda value, wanted: not _equal(value, wanted),
    "In": lambda value, wanted: any(_equal(value, one) for one in _list(wanted)),
    "NotIn": lambda value, wanted: not any(_equal(value, one) for one in _list(wanted)),
    "GreaterThan": _above,
    "LessThan": _below,
}


def retrieve(exchange: Exchange, service: Service, arguments: Mapping[str, Any]) -> Answer:
    """Answer the function. Raises InvalidRequest naming the part of the query that is wrong."""
    for name in arguments:
        if name not in _PARAMETERS:
            raise InvalidRequest(
                f"Function 'RetrieveMetadataChanges' has no parameter '{name[:100]}'.{nearest(name, _PARAMETERS)}"
            )
    query = _object(arguments.get("Query") or {}, "Query")
    for name in query:
        if name not in _QUERY and "@" not in name:
            raise InvalidRequest(f"EntityQueryExpression has no member '{name[:100]}'.{nearest(name, _QUERY)}")
    catalog = service.catalog
    documents = [(table, shapes.entity(table)) for table in catalog.tables.values()]
    chosen = [(table, document) for table, document in documents if _matches(document, query.get("Criteria"))]
    properties = query.get("Properties")
    found = [_shaped(document, properties) | _parts(catalog, table, query) for table, document in chosen]
    context = f"{exchange.root}$metadata#Microsoft.Dynamics.CRM.RetrieveMetadataChangesResponse"
    body = {
        "@odata.context": context,
        "ServerVersionStamp": str(catalog.version),
        "EntityMetadata": found,
        "DeletedMetadata": None,
    }
    return json_answer(200, body)


def _parts(catalog: Catalog, table: Table, query: Mapping[str, Any]) -> Document:
    wanted = _names(query.get("Properties"))
    found: Document = {}
    for part, asked in _PARTS.items():
        if wanted is None or part in wanted:
            inner = _object(query.get(asked) or {}, asked)
            documents = [one for one in _documents(catalog, table, part) if _matches(one, inner.get("Criteria"))]
            found[part] = [_shaped(one, inner.get("Properties")) for one in documents]
    return found


def _documents(catalog: Catalog, table: Table, part: str) -> Iterable[Document]:
    if part == "Attributes":
        for document in shapes.attributes(table):
            yield {**document, "OptionSet": shapes.option_set(table, table.columns[document["LogicalName"]])}
    elif part == "Keys":
        yield from (shapes.key(table, key) for key in table.keys)
    elif part == "ManyToManyRelationships":
        yield from (shapes.many_to_many(one, dict(catalog.tables)) for one in table.many_to_many)
    else:
        related = table.one_to_many if part == "OneToManyRelationships" else table.many_to_one
        yield from (shapes.many_to_one(one, dict(catalog.tables)) for one in related)


def _shaped(document: Document, properties: Any) -> Document:
    names = _names(properties)
    if names is None:
        return dict(document)
    # A property that this kind does not have is left out: MaxLength is asked for of columns of every type.
    return {name: document[name] for name in dict.fromkeys((*_ALWAYS, *names)) if name in document}


def _names(properties: Any) -> list[str] | None:
    """The properties asked for; None for all."""
    found = _object(properties or {}, "Properties")
    names = found.get("PropertyNames")
    if found.get("AllProperties") is True or (not found and names is None):
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("Properties needs PropertyNames: a list of names, or AllProperties: true.")
    return names


def _matches(document: Document, criteria: Any, depth: int = 0) -> bool:
    if criteria is None:
        return True
    if depth > config.NESTING_MAX:
        raise InvalidRequest(f"Criteria are nested at most {config.NESTING_MAX} levels deep.")
    found = _object(criteria, "Criteria")
    tests = [_condition(document, condition) for condition in _list(found.get("Conditions") or [])]
    tests += [_matches(document, inner, depth + 1) for inner in _list(found.get("Filters") or [])]
    return any(tests) if found.get("FilterOperator") == "Or" and tests else all(tests)


def _condition(document: Document, condition: Any) -> bool:
    found = _object(condition, "Conditions")
    name, sign = str(found.get("PropertyName")), str(found.get("ConditionOperator"))
    operator = _OPERATORS.get(sign)
    if operator is None:
        raise InvalidRequest(f"ConditionOperator '{sign[:100]}' is unknown.{nearest(sign, _OPERATORS)}")
    value = found.get("Value")
    wanted = value.get("Value") if isinstance(value, dict) else value
    return operator(document.get(name), wanted)


def _object(found: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise InvalidRequest(f"'{name}' must be a JSON object, found {type(found).__name__}.")
    return found


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]
