"""From an exchange to its answer: which address and verb means what. Synchronous; `app` calls it in a thread.

GET     set, set(id), …/property, …/$value, …/$count, …/$ref, navigation, function, $metadata, EntityDefinitions
POST    set, navigation, …/$ref, action, $batch
PATCH   set(id), …/file column
PUT     …/property, …/file column, …/single/$ref, …/data/$value of a system job
DELETE  set(id), …/property, …/$ref
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from adjourn.errors import InvalidRequest, NotSupported, PrivilegeDenied, UnknownResource, nearest
from adjourn.pipeline.context import ASYNCHRONOUS, SYNCHRONOUS
from adjourn.service import Service
from adjourn.webapi import (
    bound,
    csdl,
    definition_write,
    definitions,
    failures,
    file_columns,
    job_data,
    keys,
    operations,
    read,
    resource,
    write,
)
from adjourn.webapi.exchange import Answer, Exchange
from adjourn.webapi.resource import Resource

Handler = Callable[[Exchange, Service, Resource], Answer]
_SYSTEM = ("$metadata", "$batch", *definitions.ROOTS)
_BYPASSED = {"customsync": SYNCHRONOUS, "customasync": ASYNCHRONOUS}


def answer(exchange: Exchange, service: Service) -> Answer:
    """Answer one request. Raises the documented errors; the caller writes them with `failures`."""
    bypassed = _bypassed(exchange)
    if bypassed:
        exchange = exchange.within(call=dataclasses.replace(exchange.call, bypassed=bypassed))
    if exchange.headers.get("mscrm.suppressduplicatedetection", "true").lower() == "false":
        raise NotSupported("Header 'MSCRM.SuppressDuplicateDetection: false' is not supported.", status=400)
    segments = exchange.segments
    if not segments:
        if exchange.method != "GET":
            return failures.wrong_verb(exchange.method, ("GET",))
        return csdl.service_document(exchange, service)
    first = segments[0]
    if first.name == "$metadata" and len(segments) == 1:
        if exchange.method != "GET":
            return failures.wrong_verb(exchange.method, ("GET",))
        return csdl.document(exchange, service)
    if first.name in definitions.ROOTS:
        return (definitions.get if exchange.method == "GET" else definition_write.change)(exchange, service)
    if bound.is_named(segments):
        return bound.call(exchange, service)
    try:
        found = resource.resolve(segments, service.catalog)
    except UnknownResource:
        bound.refuse_bare(exchange, service)
        raise
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


def _bypassed(exchange: Exchange) -> frozenset[int]:
    """The modes of steps that the headers leave out; only administrators may (prvBypassCustomPlugins)."""
    plugins = exchange.headers.get("mscrm.bypasscustompluginexecution", "")
    logic = exchange.headers.get("mscrm.bypassbusinesslogicexecution", "")
    if not plugins and not logic:
        return frozenset()
    if plugins.lower() not in ("", "true", "false"):
        raise InvalidRequest(f"MSCRM.BypassCustomPluginExecution must be true or false, found '{plugins[:60]}'.")
    found = {SYNCHRONOUS} if plugins.lower() == "true" else set()
    for name in filter(None, (part.strip() for part in logic.split(","))):
        if name.lower() not in _BYPASSED:
            raise InvalidRequest(
                f"MSCRM.BypassBusinessLogicExecution takes CustomSync and CustomAsync, found '{name[:60]}'."
            )
        found.add(_BYPASSED[name.lower()])
    if found and not exchange.call.caller.is_administrator:
        raise PrivilegeDenied("Only a system administrator may bypass steps (prvBypassCustomPlugins).")
    return frozenset(found)


def _handlers(found: Resource) -> dict[str, Handler]:
    """What each verb does on a resource."""
    handlers: dict[str, Handler] = {"GET": read.get}
    if found.suffix == "$value" and job_data.is_data(found):
        return handlers | {"PUT": job_data.put}
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
    if file_columns.takes_files(found.column):
        return handlers | {"PATCH": file_columns.upload, "PUT": file_columns.upload, "DELETE": file_columns.remove}
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
        return operations.no_resource(exchange)
    if found is None:
        raise _unknown(exchange, service)
    return found


def _unknown(exchange: Exchange, service: Service) -> UnknownResource:
    name = exchange.segments[0].name
    if name == "$batch":
        raise InvalidRequest("A $batch is a POST to <root>$batch, and cannot stand in another one.", code=0x80048D19)
    known = [*service.catalog.by_entityset, *operations.names(service), *_SYSTEM]
    if name in known and len(exchange.segments) > 1:
        return UnknownResource(
            f"Resource not found for the segment '{exchange.segments[1].text[:200]}': nothing can follow '{name}'."
        )
    logical = service.catalog.tables.get(name)
    hint = f" Did you mean '{logical.entityset}'?" if logical else nearest(name, known)
    return UnknownResource(f"Resource not found for the segment '{exchange.segments[0].text[:200]}'.{hint}")
