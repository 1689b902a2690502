"""Functions (GET) and actions (POST) that are not bound to a record: WhoAmI, ExecuteAsync, and messages of one's own.

Source: webapi.md §16; ExecuteAsync is adjourn's own. An action's parameters are its JSON body; what they must be is
written in the message's registration and checked by the pipeline.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from adjourn.errors import InvalidRequest, nearest
from adjourn.metadata import values
from adjourn.metadata.model import Reference, Table
from adjourn.pipeline import unserved
from adjourn.pipeline.call import Request
from adjourn.pipeline.enqueue import EXECUTE_ASYNC
from adjourn.pipeline.handlers import RECORD, RECORDS
from adjourn.pipeline.record import Record
from adjourn.service import MessageInfo, Service
from adjourn.webapi import (
    bulk_delete,
    definition_write,
    explain_job,
    failures,
    file_blocks,
    metadata_changes,
    resource,
    search,
    url,
)
from adjourn.webapi.addresses import Addresses
from adjourn.webapi.exchange import Answer, Exchange, json_answer, json_object, no_content
from adjourn.webapi.organization_functions import ORGANIZATION_FUNCTIONS
from adjourn.webapi.url import Segment

_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
FUNCTIONS = {**ORGANIZATION_FUNCTIONS, explain_job.NAME: explain_job.FUNCTION}
"""By name: the parameters, each of them required, and what answers."""
CREATE_ENTITIES = "CreateEntities"
METADATA_CHANGES = "RetrieveMetadataChanges"
_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_ENUM = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)'([^']*)'")
PARAMETER_TYPES = {
    "EntityNames": "Collection(Edm.String)",
    "AccessType": "mscrm.EndpointAccessType",
    "RoleId": "Edm.Guid",
}
EXECUTE_ASYNC_PARAMETERS = (
    ("MessageName", "Edm.String", True),
    ("InputParameters", "Edm.Untyped", False),
    ("DependencyToken", "Edm.String", False),
    ("PostponeUntil", "Edm.DateTimeOffset", False),
    ("RecurrencePattern", "Edm.String", False),
    ("RecurrenceStartTime", "Edm.DateTimeOffset", False),
    ("Regarding", "mscrm.crmbaseentity", False),
)


def names(service: Service) -> list[str]:
    """Everything that can be called without a record."""
    own = (name for name, info in service.messages().items() if info.table is None)
    ours = (METADATA_CHANGES, EXECUTE_ASYNC, CREATE_ENTITIES, search.NAME)
    return [*FUNCTIONS, *ours, *file_blocks.ACTIONS, *bulk_delete.ACTIONS, *own]


def described(service: Service) -> list[MessageInfo]:
    """Functions and actions that are called without a record, with their parameters, as `$metadata` shows them."""
    functions = [
        MessageInfo(
            name, tuple((found, PARAMETER_TYPES.get(found, "Edm.String"), True) for found in accepted), function=True
        )
        for name, (accepted, _) in FUNCTIONS.items()
    ]
    blocks = [MessageInfo(name, accepted) for name, (accepted, _) in file_blocks.ACTIONS.items()]
    blocks += [MessageInfo(name, accepted) for name, accepted in bulk_delete.ACTIONS.items()]
    own = [info for info in service.messages().values() if info.table is None]
    ours = (MessageInfo(EXECUTE_ASYNC, EXECUTE_ASYNC_PARAMETERS), MessageInfo(search.NAME, search.PARAMETERS))
    return [*functions, *blocks, *ours, *own]


def call_function(exchange: Exchange, service: Service, segment: Segment) -> Answer | None:
    """GET of a function; None if there is none of this name; 404 for an action."""
    if segment.name == METADATA_CHANGES:
        return metadata_changes.retrieve(exchange, service, _arguments(exchange, segment))
    if segment.name in FUNCTIONS:
        accepted, function = FUNCTIONS[segment.name]
        arguments = _arguments(exchange, segment)
        for name in arguments:
            if name not in accepted:
                raise InvalidRequest(
                    f"Function '{segment.name}' has no parameter '{name[:100]}'.{nearest(name, accepted)}"
                )
        for name in accepted:
            if arguments.get(name) is None:  # an alias that is never given is null
                raise InvalidRequest(f"Function '{segment.name}' needs parameter '{name}'.")
        return _response(exchange, segment.name, function(exchange, service, arguments))
    info = service.messages().get(segment.name)
    if info is not None and info.function and info.table is None:
        answer = service.execute(Request(info.name, parameters(exchange, service, segment, info)), exchange.call)
        return answered(exchange, service, info.name, answer)
    if segment.name in names(service):
        return no_resource(exchange)
    unserved.refuse_message(segment.name)
    return None


def call_action(exchange: Exchange, service: Service, segment: Segment) -> Answer | None:
    """POST of an action; None if there is none of this name; 404 for a function."""
    name = segment.name
    info = service.messages().get(name)
    if name not in names(service):
        unserved.refuse_message(name)
        return None
    if name in FUNCTIONS or name == METADATA_CHANGES or (info is not None and info.function):
        return no_resource(exchange)
    if name == CREATE_ENTITIES:
        return definition_write.create_entities(exchange, service)
    no_arguments(segment)
    if name in file_blocks.ACTIONS:
        answer = file_blocks.call(exchange, service, name, _body(exchange))
        return _response(exchange, name, answer) if answer else no_content()
    if name == search.NAME:
        return _response(exchange, name, search.call(exchange, service, _body(exchange)))
    if name == EXECUTE_ASYNC:
        given = _execute_async(_body(exchange), exchange, service)
    elif name in bulk_delete.ACTIONS:
        given = bulk_delete.parameters(_body(exchange), exchange, service)
    else:
        assert info is not None
        given = parameters(exchange, service, segment, info)
    return answered(exchange, service, name, service.execute(Request(name, given), exchange.call))


def parameters(exchange: Exchange, service: Service, segment: Segment, info: MessageInfo) -> dict[str, Any]:
    """A message's parameters, out of the address of a function or the body of an action; records as References."""
    if info.function:
        required = {name for name, _, needed in info.parameters if needed}
        given = _arguments(exchange, segment)
        given = {name: value for name, value in given.items() if value is not None or name in required}
    else:
        no_arguments(segment)
        given = _body(exchange)
    if info.target is not None and info.target in given:
        raise InvalidRequest(f"Parameter '{info.target}' is the record that '{info.name}' is called on.")
    addresses = Addresses(exchange, service)
    for name, kind, _ in info.parameters:
        value = given.get(name)
        if kind == RECORD and value is not None:
            given[name] = addresses.parameter(value, name)
        elif kind == RECORDS and isinstance(value, list):
            given[name] = [addresses.parameter(item, name) for item in value]
    return given


def no_arguments(segment: Segment) -> None:
    """Refuse parameters in an action's address."""
    if segment.arguments:
        raise InvalidRequest(f"Action '{segment.name}' takes its parameters in the body, not in the address.")


def answered(exchange: Exchange, service: Service, name: str, answer: Mapping[str, Any]) -> Answer:
    """What a message returned: nothing, a record, records of one table, or its output parameters."""
    if not answer:
        return no_content()
    value = answer.get("value")
    records = [value] if isinstance(value, Record) else value if isinstance(value, list) else []
    if len(answer) > 1 or not records or not all(isinstance(found, Record) for found in records):
        return _response(exchange, name, answer)
    tables = {found.table for found in records}
    if len(tables) > 1:
        raise InvalidRequest(
            f"Message '{name}' returned records of several tables, which no answer can hold.", status=500
        )
    table = service.catalog.table(tables.pop())
    context = f"{exchange.root}$metadata#{table.entityset}"
    shown = [_shown(found, table) for found in records]
    if isinstance(value, Record):
        return json_answer(200, {"@odata.context": f"{context}/$entity", **shown[0]})
    return json_answer(200, {"@odata.context": context, "value": shown})


def _shown(record: Record, table: Table) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    version = record.get("versionnumber")
    if version is not None:
        shown["@odata.etag"] = f'W/"{version}"'
    for name, value in record.values.items():
        column = table.columns.get(name)
        if column is not None and column.readable and column.storage != "derived":
            shown[column.property] = value.id if isinstance(value, Reference) else value
    if record.id is not None:
        shown[table.primary_id] = record.id
    return shown


def _body(exchange: Exchange) -> dict[str, Any]:
    """An action's parameters; one without any may come without a body."""
    found = json_object(exchange.body, _DECODER) if exchange.body.strip() else {}
    return {name: value for name, value in found.items() if "@" not in name}


def no_resource(exchange: Exchange) -> Answer:
    """The documented answer to the wrong verb on an operation: its code is empty."""
    address = f"{exchange.root}{exchange.path}"
    return failures.answer(404, "", f"No HTTP resource was found that matches the request URI '{address[:500]}'.")


def _execute_async(parameters: Mapping[str, Any], exchange: Exchange, service: Service) -> dict[str, Any]:
    """The JSON parameters of ExecuteAsync as the service wants them."""
    found = dict(parameters)
    for name in ("MessageName", "DependencyToken", "RecurrencePattern"):
        if not isinstance(found.get(name), str | None):
            raise InvalidRequest(f"Parameter '{name}' must be a text, found {values.shown(found[name])}.")
    inputs = found.get("InputParameters")
    if inputs is not None and not isinstance(inputs, dict):
        raise InvalidRequest("Parameter 'InputParameters' must be a JSON object.")
    for key in ("PostponeUntil", "RecurrenceStartTime"):
        if found.get(key) is not None:
            found[key] = values.moment(found[key], key)
    if found.get("Regarding") is not None:
        found["Regarding"] = Addresses(exchange, service).parameter(found["Regarding"], "Regarding")
    return found


def _arguments(exchange: Exchange, segment: Segment) -> dict[str, Any]:
    """A function's arguments, those given through an alias looked up; an alias never given is null."""
    found: dict[str, Any] = {}
    for name, text in url.named_arguments(segment.arguments or "").items():
        value = exchange.options.get(text) if text.startswith("@") else text
        found[name] = None if value is None else _literal(value, name)
    for option in exchange.options:
        if not option.startswith("@") and option != "tag":
            raise InvalidRequest(
                f"Query option '{option[:100]}' cannot be used with a function.{nearest(option, ('tag',))}"
            )
    return found


def _literal(text: str, name: str) -> Any:
    """A literal of an address: quoted text, JSON (with either kind of quotes), an enum's member, or a bare word."""
    if text.startswith("'"):
        return url.literal_text(text)
    try:
        return _DECODER.decode(text.encode())
    except (msgspec.DecodeError, RecursionError):
        pass
    if text.startswith(("{", "[")):
        quoted = _QUOTED.sub(lambda found: json.dumps(found[1].replace("''", "'")), text)
        try:
            return _DECODER.decode(quoted.encode())
        except (msgspec.DecodeError, RecursionError):
            raise InvalidRequest(f"'{text[:100]}' is no valid JSON.") from None
    enum = _ENUM.fullmatch(text)
    if enum is None:
        return text  # a guid, a moment
    wanted = PARAMETER_TYPES.get(name, "").replace("mscrm.", resource.NAMESPACE)
    if wanted and enum[1] != wanted:  # a function of one's own takes a member of any type
        raise InvalidRequest(
            f"Parameter '{name[:100]}' is no enum of type '{enum[1][:100]}'.{nearest(enum[1], (wanted,))}"
        )
    return enum[2]


def _response(exchange: Exchange, name: str, answer: Mapping[str, Any]) -> Answer:
    context = f"{exchange.root}$metadata#{resource.NAMESPACE}{name}Response"
    return json_answer(200, {"@odata.context": context, **answer})
