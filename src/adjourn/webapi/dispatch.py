"""From an exchange to its answer: which address and verb means what. Synchronous; `app` calls it in a thread.

GET     set, set(id), …/property, …/$value, …/$count, …/$ref, navigation, function, $metadata, EntityDefinitions
POST    set, navigation, …/$ref, action, $batch
PATCH   set(id)
PUT     …/property, …/single/$ref
DELETE  set(id), …/property, …/$ref
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from adjourn.errors import InvalidRequest, NotSupported, UnknownResource, nearest
from adjourn.service import Service
from adjourn.webapi import bulk, csdl, definition_write, definitions, failures, keys, operations, read, resource, write
from adjourn.webapi.exchange import Answer, Exchange
from adjourn.webapi.resource import Resource

Handler = Callable[[Exchange, Service, Resource], Answer]
_SYSTEM = ("$metadata", "$batch", *definitions.ROOTS)
_REFUSED_HEADERS = ("mscrm.bypasscustompluginexecution", "mscrm.bypassbusinesslogicexecution")


def answer(exchange: Exchange, service: Service) -> Answer:
    """Answer one request. Raises the documented errors; the caller writes them with `failures`."""
    for header in _REFUSED_HEADERS:
        if exchange.headers.get(header, "false").lower() not in ("false", ""):
            raise NotSupported(f"Header '{header}' is not supported: steps always run.", status=400)
    if exchange.headers.get("mscrm.suppressduplicatedetection", "true").lower() == "false":
        raise NotSupported("Header 'MSCRM.SuppressDuplicateDetection: false' is not supported.", status=400)
    segments = exchange.segments
    if not segments:
        if exchange.method != "GET":
            return failures.wrong_verb(exchange.method, ("GET",))
        return csdl.service_document(exchange, service)
    first = segments[0]
    if first.name == "$metadata" and len(segments) == 1:
        return csdl.document(service) if exchange.method == "GET" else failures.wrong_verb(exchange.method, ("GET",))
    if first.name in definitions.ROOTS:
        return (definitions.get if exchange.method == "GET" else definition_write.change)(exchange, service)
    if len(segments) == 2 and (action := segments[1].name.removeprefix(resource.NAMESPACE)) in bulk.ACTIONS:
        return _bulk(exchange, service, action)
    found = resource.resolve(segments, service.catalog)
    if found is None:
        return _operation(exchange, service)
    handler = _handlers(found)
    chosen = handler.get(exchange.method)
    if chosen is None:
        return failures.wrong_verb(exchange.method, tuple(handler))
    if found.alternate is None:
        return chosen(exchange, service, found)
    if exchange.method == "PATCH" and exchange.headers.get("if-none-match", "").strip() != "*":
        return keys.upserted(lambda: chosen(exchange, service, _located(found, exchange, service)))
    return chosen(exchange, service, _located(found, exchange, service))


def _handlers(found: Resource) -> dict[str, Handler]:
    """What each verb does on a resource."""
    handlers: dict[str, Handler] = {"GET": read.get}
    if found.suffix in ("$count", "$value"):
        return handlers
    if found.suffix == "$ref":
        if found.single is not None:
            return handlers | {"PUT": write.add_reference, "DELETE": write.remove_reference}
        if found.collection is not None and found.related is not None:
            return handlers | {"DELETE": write.remove_reference}
        if found.collection is not None:
            return handlers | {"POST": write.add_reference, "DELETE": write.remove_reference}
        return handlers
    if found.column is not None:
        return handlers | {"PUT": write.set_property, "DELETE": write.clear_property}
    if found.single is not None:
        return handlers
    if found.collection is not None:
        return handlers if found.related is not None else handlers | {"POST": write.create_related}
    if found.key is not None or found.alternate is not None:
        return handlers | {"PATCH": write.change, "DELETE": write.delete}
    return handlers | {"POST": write.create}


def _located(found: Resource, exchange: Exchange, service: Service) -> Resource:
    """The record that an alternate key means; a PATCH may make it, anything else needs it to be there."""
    assert found.alternate is not None
    key = keys.locate(service, found.table, found.alternate, exchange.call)
    itself = len(exchange.segments) == 1
    if key is None and not (exchange.method == "PATCH" and itself):
        raise keys.not_found(found.table, found.alternate)
    return dataclasses.replace(found, key=key)


def _bulk(exchange: Exchange, service: Service, action: str) -> Answer:
    """POST accounts/Microsoft.Dynamics.CRM.CreateMultiple: bound to a set, so the namespace is required (webapi.md §16)."""
    first, second = exchange.segments
    table = service.catalog.by_entityset.get(first.name)
    if table is None or first.arguments is not None or second.arguments:
        raise _unknown(exchange, service)
    if not second.name.startswith(resource.NAMESPACE):
        raise InvalidRequest(
            f"Request message has unresolved parameters: write {resource.NAMESPACE}{action}.", code=0x0
        )
    if exchange.method != "POST":
        raise operations.no_resource(exchange)
    return bulk.call(exchange, service, table, action)


def _operation(exchange: Exchange, service: Service) -> Answer:
    segment = exchange.segments[0]
    if len(exchange.segments) > 1:
        raise _unknown(exchange, service)
    found: Answer | None = None
    if exchange.method == "GET":
        found = operations.call_function(exchange, service, segment)
    elif exchange.method == "POST":
        found = operations.call_action(exchange, service, segment)
    elif segment.name in operations.names(service):
        raise operations.no_resource(exchange)
    if found is None:
        raise _unknown(exchange, service)
    return found


def _unknown(exchange: Exchange, service: Service) -> UnknownResource:
    name = exchange.segments[0].name
    if name == "$batch":
        raise InvalidRequest("A $batch is a POST to <root>$batch, and cannot stand in another one.", code=0x80048D19)
    known = [*service.catalog.by_entityset, *operations.names(service), *_SYSTEM]
    logical = service.catalog.tables.get(name)
    hint = f" Did you mean '{logical.entityset}'?" if logical else nearest(name, known)
    return UnknownResource(f"Resource not found for the segment '{exchange.segments[0].text[:200]}'.{hint}")
