"""Functions and actions on a record or on a collection: `accounts(<id>)/Microsoft.Dynamics.CRM.<Name>(…)`.

What can be called so is a table of messages: the platform's, and those of one's own that are bound to a table. The record
goes into the message's parameter `target`; the rest is as with unbound ones. Source: webapi.md §16.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from adjourn.errors import InvalidRequest, UnknownResource, nearest
from adjourn.metadata.model import Reference
from adjourn.pipeline import unserved
from adjourn.pipeline.call import Request
from adjourn.pipeline.handlers import RECORDS
from adjourn.service import MessageInfo, Service
from adjourn.webapi import bulk, keys, operations, resource
from adjourn.webapi.exchange import Answer, Exchange
from adjourn.webapi.resource import NAMESPACE, Resource
from adjourn.webapi.url import Segment

_PRIVILEGES = (("Privileges", "Collection(mscrm.RolePrivilege)", True),)
PLATFORM: Mapping[str, MessageInfo] = {
    info.name: info
    for info in (
        *(MessageInfo(name, (("Targets", RECORDS, True),), collection=True) for name in bulk.ACTIONS),
        MessageInfo("AddPrivilegesRole", _PRIVILEGES, "role", "RoleId"),
        MessageInfo("ReplacePrivilegesRole", _PRIVILEGES, "role", "RoleId"),
        MessageInfo("RemovePrivilegeRole", (("PrivilegeId", "Edm.Guid", True),), "role", "RoleId"),
        MessageInfo("RetrieveUserPrivileges", (), "systemuser", "UserId", function=True),
        MessageInfo("RetrieveTeamPrivileges", (), "team", "TeamId", function=True),
    )
}
"""The platform's bound messages, by name; `table` None: of every table."""


def messages(service: Service) -> dict[str, MessageInfo]:
    """Everything that is called on a record or a collection, by name."""
    own = {name: info for name, info in service.messages().items() if info.table is not None}
    return {**PLATFORM, **own}


def is_named(segments: tuple[Segment, ...]) -> bool:
    """Whether an address ends in a qualified name, behind something that it is called on."""
    return len(segments) > 1 and segments[-1].name.startswith(NAMESPACE)


def refuse_bare(exchange: Exchange, service: Service) -> None:
    """Raise the documented error if an address ends in the bare name of something bound."""
    name = exchange.segments[-1].name
    if len(exchange.segments) > 1 and name in messages(service):
        raise InvalidRequest(f"Request message has unresolved parameters: write {NAMESPACE}{name}.", code=0x0)


def call(exchange: Exchange, service: Service) -> Answer:
    """Call what an address ends in. Raises UnknownResource for the wrong name, table, binding or verb."""
    *path, last = exchange.segments
    name = last.name.removeprefix(NAMESPACE)
    info = messages(service).get(name)
    if info is None:
        unserved.refuse_message(name)
        raise UnknownResource(
            f"Resource not found for the segment '{last.text[:200]}'.{nearest(name, messages(service))}"
        )
    found = _called_on(tuple(path), exchange, service)
    if info.table not in (None, found.table.logical) or info.collection == found.is_record:
        table = service.catalog.tables.get(info.table or found.table.logical)
        place = table.entityset if table is not None else str(info.table)
        raise UnknownResource(
            f"Resource not found for the segment '{last.text[:200]}'. It is called on "
            f"{place if info.collection else f'{place}(<id>)'}/{NAMESPACE}{name}."
        )
    if exchange.method != ("GET" if info.function else "POST"):
        return operations.no_resource(exchange)
    if name in bulk.ACTIONS:
        operations.no_arguments(last)
        return bulk.call(exchange, service, found.table, name)
    parameters = operations.parameters(exchange, service, last, info)
    if info.target is not None:
        assert found.key is not None
        parameters[info.target] = Reference(found.table.logical, found.key)
    answer = service.execute(Request(name, parameters), exchange.call)
    return operations.answered(exchange, service, name, answer)


def _called_on(path: tuple[Segment, ...], exchange: Exchange, service: Service) -> Resource:
    found = resource.resolve(path, service.catalog)
    if found is None or not (found.is_record or (len(path) == 1 and not found.suffix)):
        raise UnknownResource(
            f"Resource not found for the segment '{path[-1].text[:200]}'. Functions and actions are called on "
            "<set> or <set>(<id>)."
        )
    if found.alternate is None:
        return found
    key = keys.locate(service, found.table, found.alternate, exchange.call)
    if key is None:
        raise keys.not_found(found.table, found.alternate)
    return dataclasses.replace(found, key=key, alternate=None)
