"""Functions (GET) and actions (POST) that are not bound to a record: WhoAmI, ExecuteAsync, and messages of one's own.

Source: webapi.md §16; ExecuteAsync is adjourn's own. An action's parameters are its JSON body; what they must be is
written in the message's registration and checked by the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from adjourn.errors import InvalidRequest, UnknownResource, nearest
from adjourn.metadata import values
from adjourn.pipeline.call import Request
from adjourn.service import EXECUTE_ASYNC, Service
from adjourn.webapi import definition_write, metadata_changes, resource, url
from adjourn.webapi.addresses import Addresses
from adjourn.webapi.exchange import Answer, Exchange, json_answer, json_object, no_content
from adjourn.webapi.url import Segment

_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
CREATE_ENTITIES = "CreateEntities"
_CASE_ORDER = ("BusinessUnitId", "UserId", "OrganizationId")
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
    return [*FUNCTIONS, EXECUTE_ASYNC, CREATE_ENTITIES, *service.messages()]


def call_function(exchange: Exchange, service: Service, segment: Segment) -> Answer | None:
    """GET of a function; None if there is none of this name. Raises UnknownResource for an action."""
    found = FUNCTIONS.get(segment.name)
    if found is not None:
        return found(exchange, service, _arguments(exchange, segment))
    if segment.name in (EXECUTE_ASYNC, CREATE_ENTITIES) or segment.name in service.messages():
        raise no_resource(exchange)
    return None


def call_action(exchange: Exchange, service: Service, segment: Segment) -> Answer | None:
    """POST of an action; None if there is none of this name. Raises UnknownResource for a function."""
    if segment.name in FUNCTIONS:
        raise no_resource(exchange)
    if segment.name == CREATE_ENTITIES:
        return definition_write.create_entities(exchange, service)
    if segment.name != EXECUTE_ASYNC and segment.name not in service.messages():
        return None
    if segment.arguments:
        raise InvalidRequest(f"Action '{segment.name}' takes its parameters in the body, not in the address.")
    # An action without parameters may come without a body.
    parameters = json_object(exchange.body, _DECODER) if exchange.body.strip() else {}
    parameters = {name: value for name, value in parameters.items() if "@" not in name}
    if segment.name == EXECUTE_ASYNC:
        parameters = _execute_async(parameters, exchange, service)
    answer = service.execute(Request(segment.name, parameters), exchange.call)
    if not answer:
        return no_content()
    return _response(exchange, segment.name, answer)


def no_resource(exchange: Exchange) -> UnknownResource:
    """The documented answer to the wrong verb on an operation: no code."""
    address = f"{exchange.root}{exchange.path}"
    return UnknownResource(f"No HTTP resource was found that matches the request URI '{address[:500]}'.", code=0x0)


def _execute_async(parameters: Mapping[str, Any], exchange: Exchange, service: Service) -> dict[str, Any]:
    """The JSON parameters of ExecuteAsync as the service wants them."""
    found = dict(parameters)
    name = found.get("MessageName")
    if name is not None and not isinstance(name, str):
        raise InvalidRequest("Parameter 'MessageName' must be a text.")
    inputs = found.get("InputParameters")
    if inputs is not None and not isinstance(inputs, dict):
        raise InvalidRequest("Parameter 'InputParameters' must be a JSON object.")
    for key in ("PostponeUntil", "RecurrenceStartTime"):
        if found.get(key) is not None:
            found[key] = values.moment(found[key], key)
    if found.get("Regarding") is not None:
        found["Regarding"] = Addresses(exchange, service).parameter(found["Regarding"], "Regarding")
    return found


def _who_am_i(exchange: Exchange, service: Service, arguments: Mapping[str, Any]) -> Answer:
    if arguments:
        name = next(iter(arguments))
        raise InvalidRequest(f"Function 'WhoAmI' has no parameter '{name[:100]}'.")
    answer = service.execute(Request("WhoAmI"), exchange.call)
    return _response(exchange, "WhoAmI", {name: answer[name] for name in _CASE_ORDER})


FUNCTIONS: dict[str, Callable[[Exchange, Service, Mapping[str, Any]], Answer]] = {
    "WhoAmI": _who_am_i,
    "RetrieveMetadataChanges": metadata_changes.retrieve,
}


def _arguments(exchange: Exchange, segment: Segment) -> dict[str, Any]:
    """A function's arguments, those given through an alias looked up; an alias never given is null."""
    found: dict[str, Any] = {}
    for name, text in url.named_arguments(segment.arguments or "").items():
        value = exchange.options.get(text) if text.startswith("@") else text
        found[name] = None if value is None else _literal(value)
    for option in exchange.options:
        if not option.startswith("@") and option != "tag":
            raise InvalidRequest(
                f"Query option '{option[:100]}' cannot be used with a function.{nearest(option, ('tag',))}"
            )
    return found


def _literal(text: str) -> Any:
    if text.startswith("'"):
        return url.literal_text(text)
    try:
        return _DECODER.decode(text.encode())
    except (msgspec.DecodeError, RecursionError):
        return text  # a guid, a moment, an enum


def _response(exchange: Exchange, name: str, answer: Mapping[str, Any]) -> Answer:
    context = f"{exchange.root}$metadata#{resource.NAMESPACE}{name}Response"
    return json_answer(200, {"@odata.context": context, **answer})
