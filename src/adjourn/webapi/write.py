"""POST, PATCH, PUT and DELETE of records, properties and references: each becomes a message of the pipeline.

Source: webapi.md §12 and §14. What may be done with a system job is the pipeline's decision, as everything else is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import structlog

from adjourn import errors, runtime
from adjourn.errors import Duplicate, InvalidRequest, NotFound, PrivilegeDenied, UnknownResource
from adjourn.metadata.model import ManyToMany, Reference, Table
from adjourn.pipeline import system_jobs
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.record import Record
from adjourn.service import Service
from adjourn.webapi import keys, payload, read
from adjourn.webapi.addresses import Addresses
from adjourn.webapi.exchange import Answer, Exchange, condition, json_object, no_content
from adjourn.webapi.payload import Payload
from adjourn.webapi.resource import Resource, related_table

log = structlog.get_logger("adjourn.webapi")


def create(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """POST to a collection: 204 with the new record's address, or 201 with the record."""
    table = resource.table
    found = _payload(exchange, service, table)
    with one_unit(service, exchange.call, "POST with nested records", plain=found.is_plain) as call:
        record_id = create_nested(found, service, call)
    return _written(exchange, service, table, record_id, status=201)


def create_related(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """POST to a collection-valued navigation: a new record that leads to the addressed one."""
    assert resource.collection is not None
    if isinstance(resource.collection, ManyToMany):
        raise InvalidRequest("Create the record in its own collection, then associate it with …/$ref.")
    child = related_table(resource.collection, resource.table, service.catalog)
    found = _payload(exchange, service, child)
    found.record.values[resource.collection.column] = _reference(resource)
    with one_unit(service, exchange.call, "POST with nested records", plain=found.is_plain) as call:
        record_id = create_nested(found, service, call)
    return _written(exchange, service, child, record_id, status=201)


def change(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """PATCH of a record: an update, or a create where there is none and the headers do not forbid it."""
    table, key = resource.table, resource.key
    if key is None:
        key = _new_key(exchange, resource)
    body = json_object(exchange.body, payload.DECODER)
    found = payload.read(body, table, Addresses(exchange, service), nested=False)
    record = found.record
    if record.id is not None and record.id != key:
        raise InvalidRequest(f"The body's {table.primary_id} {record.id} is not that of the address, {key}.")
    if found.joined:
        raise InvalidRequest(f"Collection '{found.joined[0][0]}' cannot be bound in an update; POST to …/$ref.")
    record.id = key
    if resource.key is None:
        record.values |= dict(resource.alternate or {})
    if_match, if_none_match = condition(exchange, "if-match"), exchange.headers.get("if-none-match", "").strip()
    created = False
    if if_none_match == "*":
        if resource.key is not None and _exists(exchange, service, resource):
            # Said before anything is checked: the caller asked for a create of what is there.
            raise Duplicate("A record with matching key values already exists.")
        service.execute(Request("Create", {"Target": record}), exchange.call)
        created = True
    elif if_match is not None or table.logical == system_jobs.TABLE:
        # Of a job only an update can be meant: nobody creates one, and this one may just have been deleted.
        call = dataclasses.replace(exchange.call, if_match=if_match)
        service.execute(Request("Update", {"Target": record}), call)
    else:
        answer = service.execute(Request("Upsert", {"Target": record}), exchange.call)
        created = bool(answer["RecordCreated"])
    return _written(exchange, service, table, key, status=201 if created else 200)


def _new_key(exchange: Exchange, resource: Resource) -> UUID:
    """The id of a record that a PATCH of an alternate key is to make. Raises NotFound where it may only update."""
    assert resource.alternate is not None
    if condition(exchange, "if-match") is not None:
        raise keys.not_found(resource.table, resource.alternate)
    return runtime.new_id()


def delete(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """DELETE of a record: 204. Raises NotFound, ConcurrencyMismatch."""
    call = dataclasses.replace(exchange.call, if_match=condition(exchange, "if-match"))
    service.execute(Request("Delete", {"Target": _reference(resource)}), call)
    return no_content()


def set_property(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """PUT of one property, `{"value": …}`."""
    column = resource.column
    assert column is not None
    body = json_object(exchange.body, payload.DECODER)
    if set(body) - {"@odata.context"} != {"value"}:
        raise InvalidRequest(
            f"The body must be {{\"value\": …}} to set '{column.property}'.", code=errors.ODATA_BAD_PAYLOAD
        )
    return _update(exchange, service, resource, column.property, body["value"])


def clear_property(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """DELETE of one property: it becomes null."""
    assert resource.column is not None
    return _update(exchange, service, resource, resource.column.property, None)


def add_reference(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """POST to `<collection>/$ref`, PUT to `<single>/$ref`: body `{"@odata.id": address}`."""
    body = json_object(exchange.body, payload.DECODER)
    if not isinstance(body.get("@odata.id"), str):
        raise InvalidRequest('The body must be {"@odata.id": "<address of a record>"}.', code=errors.ODATA_BAD_PAYLOAD)
    found = Addresses(exchange, service).reference(body["@odata.id"], "@odata.id")
    if resource.single is not None:
        expected = service.catalog.tables[resource.single.referenced]
        if found.table != expected.logical:
            raise InvalidRequest(
                f"'{resource.single.navigation}' leads to {expected.entityset}, not to table '{found.table}'.",
                code=errors.ODATA_BAD_PAYLOAD,
            )
        return _put(exchange, service, resource, resource.single.column, found)
    _relate(exchange, service, resource, "Associate", found)
    return no_content()


def remove_reference(exchange: Exchange, service: Service, resource: Resource) -> Answer:
    """DELETE of `<single>/$ref`, `<collection>(<id>)/$ref` or `<collection>/$ref?$id=<address>`."""
    if resource.single is not None:
        return _put(exchange, service, resource, resource.single.column, None)
    assert resource.collection is not None
    child = related_table(resource.collection, resource.table, service.catalog)
    if resource.related is not None:
        found = Reference(child.logical, resource.related)
    elif "$id" in exchange.options:
        found = Addresses(exchange, service).reference(exchange.options["$id"], "$id")
    else:
        raise InvalidRequest("Say which record to remove: <collection>(<id>)/$ref, or <collection>/$ref?$id=<address>.")
    _relate(exchange, service, resource, "Disassociate", found)
    return no_content()


def address(exchange: Exchange, table: Table, key: UUID) -> str:
    return f"{exchange.root}{table.entityset}({key})"


@contextmanager
def one_unit(service: Service, call: Call, label: str, *, plain: bool = False) -> Iterator[Call]:
    """A call whose operations are all or nothing. plain: one operation, which is a unit of its own anyway."""
    if plain or call.transaction is not None:
        yield call
        return
    with service.pipeline.transaction(label) as unit:
        yield dataclasses.replace(call, transaction=unit.tx)


def _payload(exchange: Exchange, service: Service, table: Table) -> Payload:
    body = json_object(exchange.body, payload.DECODER)
    return payload.read(body, table, Addresses(exchange, service))


def create_nested(found: Payload, service: Service, call: Call) -> UUID:
    """Create a record with those nested in it: what it leads to first, what leads to it afterwards."""
    for relationship, inner in found.singles:
        made = create_nested(inner, service, call)
        found.record.values[relationship.column] = Reference(relationship.referenced, made)
    record_id: UUID = service.execute(Request("Create", {"Target": found.record}), call)["id"]
    me = Reference(found.record.table, record_id)
    for relationship, inner in found.children:
        inner.record.values[relationship.column] = me
        create_nested(inner, service, call)
    joined = list(found.joined)
    for partnership, inner in found.partners:
        made = create_nested(inner, service, call)
        joined.append((partnership.name, Reference(inner.record.table, made)))
    for name, other in joined:
        parameters = {"Target": me, "Relationship": name, "RelatedEntities": [other]}
        service.execute(Request("Associate", parameters), call)
    return record_id


def _written(exchange: Exchange, service: Service, table: Table, record_id: UUID, *, status: int) -> Answer:
    """The address of what was written, and the record itself where it was asked for and the caller may read it."""
    where = ("OData-EntityId", address(exchange, table, record_id))
    if exchange.preferences.representation:
        try:
            return read.record(exchange, service, table, record_id, status=status).plus(where)
        except PrivilegeDenied:
            # It is done, and not shown: a refusal would say that it was not done. A preference may go unheeded.
            log.debug("a written record is not shown to who wrote it", table=table.logical, record=str(record_id))
    return no_content(where)


def _update(exchange: Exchange, service: Service, resource: Resource, name: str, value: Any) -> Answer:
    found = payload.read({name: value}, resource.table, Addresses(exchange, service), nested=False)
    call = dataclasses.replace(exchange.call, if_match=condition(exchange, "if-match"))
    record = Record(resource.table.logical, _key(resource), found.record.values)
    service.execute(Request("Update", {"Target": record}), call)
    return no_content()


def _put(exchange: Exchange, service: Service, resource: Resource, column: str, value: Reference | None) -> Answer:
    call = dataclasses.replace(exchange.call, if_match=condition(exchange, "if-match"))
    record = Record(resource.table.logical, _key(resource), {column: value})
    service.execute(Request("Update", {"Target": record}), call)
    return no_content()


def _relate(exchange: Exchange, service: Service, resource: Resource, message: str, other: Reference) -> None:
    assert resource.collection is not None
    parameters = {"Target": _reference(resource), "Relationship": resource.collection.name, "RelatedEntities": [other]}
    service.execute(Request(message, parameters), exchange.call)


def _reference(resource: Resource) -> Reference:
    return Reference(resource.table.logical, _key(resource))


def _key(resource: Resource) -> UUID:
    if resource.key is None or resource.hops:
        raise UnknownResource("Only a record addressed by its own key can be changed: <set>(<id>).")
    return resource.key


def _exists(exchange: Exchange, service: Service, resource: Resource) -> bool:
    request = Request("Retrieve", {"Target": _reference(resource), "ColumnSet": []})
    try:
        service.execute(request, exchange.call)
    except NotFound:
        return False
    return True
