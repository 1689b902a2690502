"""Calling somebody's function: what it asks for is supplied, the rest are its arguments.

Parameters annotated `Organization`, `Context` or `Job` are supplied; every other parameter is an argument, converted and
checked by its annotation. Synchronous steps, messages called directly, `drain()` and executor processes all come here.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

import msgspec

from adjourn import config, errors
from adjourn.errors import AdjournError, InvalidRequest, clean, nearest, said
from adjourn.jobs.model import Canceled, Continue, Failed, Outcome, Postpone, Released, Retry, Succeeded, sound
from adjourn.metadata.model import Reference
from adjourn.pipeline.awaited import Awaited
from adjourn.pipeline.context import Context
from adjourn.pipeline.declare import supplied
from adjourn.pipeline.record import Record

_DETAILS_CHARACTERS_MAX = 100_000
_NOT_AN_OBJECT = 0x80044304
_OUTCOMES = (Succeeded, Failed, Retry, Postpone, Continue, Canceled, Released)
RECORD, RECORDS = "mscrm.crmbaseentity", "Collection(mscrm.crmbaseentity)"
"""How parameters that are References, or lists of them, are described."""
_JSON_TYPES: dict[Any, str] = {
    str: "Edm.String", int: "Edm.Int64", float: "Edm.Double", bool: "Edm.Boolean", UUID: "Edm.Guid",
    datetime: "Edm.DateTimeOffset", date: "Edm.Date", Decimal: "Edm.Decimal",
    Reference: RECORD, list[Reference]: RECORDS, list[str]: "Collection(Edm.String)", list[UUID]: "Collection(Edm.Guid)",
}  # fmt: skip


class Job(Protocol):
    """The job that a handler runs, as the handler sees it."""

    @property
    def id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def depth(self) -> int: ...
    @property
    def retry_count(self) -> int:
        """How often it asked for a retry so far."""
        ...

    @property
    def cursor(self) -> str | None:
        """What the last `checkpoint` kept; None in the first run."""
        ...

    @property
    def regarding(self) -> Reference | None: ...

    @property
    def remaining_seconds(self) -> float:
        """How long this run may still take before its time is up."""
        ...

    def checkpoint(self, cursor: str, *, text: str | None = None, percent: int | None = None) -> None:
        """Keep how far the handler is, durably, and tell people.

        Ends the run here if somebody asked to pause, postpone or cancel the job, if its worker stops, or if its time is up.
        """
        ...

    def progress(self, text: str | None = None, percent: int | None = None) -> None:
        """Tell people how far the job is."""
        ...

    def is_stopping(self) -> bool:
        """Whether the run is to end: somebody asked for it, its worker stops, or its time is up."""
        ...


@dataclass(frozen=True)
class NoJob:
    """Stands where a message that asks for its Job is executed at once: there is nothing to stop it and nowhere to keep."""

    id: UUID
    name: str
    depth: int
    retry_count: int = 0
    cursor: str | None = None
    regarding: Reference | None = None
    remaining_seconds: float = config.JOB_SECONDS_MAX

    def checkpoint(self, cursor: str, *, text: str | None = None, percent: int | None = None) -> None:
        """All or nothing: the whole message is one transaction."""

    def progress(self, text: str | None = None, percent: int | None = None) -> None:
        """Nobody can look before it has ended."""

    def is_stopping(self) -> bool:
        return False


@dataclass(frozen=True)
class Handler:
    """A function and what it asks for."""

    function: Callable[..., Any]
    supplied: Mapping[str, str]
    """Parameter name to what it wants: Organization, Client, Job, Context."""
    arguments: Mapping[str, inspect.Parameter]
    types: Mapping[str, Any]
    open: bool
    """It takes **arguments of any name."""

    @staticmethod
    def of(function: Callable[..., Any]) -> Handler:
        """The handler of a function; cached."""
        return _handler(function)

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    def check(self, arguments: Mapping[str, Any], name: str) -> None:
        """Refuse arguments that are missing, unknown or of the wrong type, by name. Raises InvalidRequest."""
        self.convert(arguments, name)

    def convert(self, arguments: Mapping[str, Any], name: str) -> dict[str, Any]:
        """The arguments as the function's annotations want them. Raises InvalidRequest."""
        converted: dict[str, Any] = {}
        for key, value in arguments.items():
            if key not in self.arguments:
                if not self.open:
                    known = ", ".join(self.arguments) or "none"
                    raise InvalidRequest(
                        f"Message '{name}' has no parameter '{str(key)[:200]}'; it takes {known}.{nearest(str(key), self.arguments)}"
                    )
                converted[key] = value
                continue
            try:
                converted[key] = msgspec.convert(value, self.types.get(key, Any), strict=True, str_keys=True)
            except (msgspec.ValidationError, TypeError) as error:
                raise InvalidRequest(f"Parameter '{key}' of message '{name}': {error}") from None
        for key, parameter in self.arguments.items():
            if key not in converted and parameter.default is parameter.empty:
                raise InvalidRequest(f"Message '{name}' needs parameter '{key}'.")
        return converted

    def describe(self) -> tuple[tuple[str, str, bool], ...]:
        """Its arguments as (name, Edm type, required)."""
        return tuple(
            (key, _JSON_TYPES.get(self.types.get(key), "Edm.Untyped"), parameter.default is parameter.empty)
            for key, parameter in self.arguments.items()
        )


def arguments_of(data: str) -> dict[str, Any]:
    """The arguments in the data of a message's job; none in empty data. Raises InvalidRequest for what is no JSON object."""
    try:
        found = msgspec.json.decode(data or "{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(
            f"The job's data is not a JSON object of parameters: {error}.", code=_NOT_AN_OBJECT
        ) from error
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise InvalidRequest(
            f"The job's data is not a JSON object of parameters, but of type {kind}.", code=_NOT_AN_OBJECT
        )
    return found


def call(
    handler: Handler, *, organization: Any, job: Job | None, context: Context | None, arguments: Mapping[str, Any]
) -> Any:
    """Call the function with what it asks for; a coroutine comes back as such. arguments: converted already."""
    values = dict(arguments)
    for key, wanted in handler.supplied.items():
        values[key] = {"Job": job, "Context": context}.get(wanted, organization)
    return handler.function(**values)


def invoke(
    handler: Handler, *, organization: Any, job: Job | None, context: Context | None, arguments: Mapping[str, Any]
) -> Any:
    """Call the function in this thread and return what it returns; an `async def` runs on a loop of its own."""
    name = getattr(handler.function, "__name__", "handler")
    converted = handler.convert(arguments, name)
    if handler.is_async:
        organization, job = Awaited(organization, threads=False), Awaited(job, threads=False)
    result = call(handler, organization=organization, job=job, context=context, arguments=converted)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def response(result: Any) -> dict[str, Any]:
    """What a message returned, as output parameters: a mapping's own fields, or one `value`; records stay records.

    Raises InvalidRequest for what cannot be written as JSON.
    """
    if result is None:
        return {}
    if isinstance(result, Record) or (
        isinstance(result, list) and result and all(isinstance(r, Record) for r in result)
    ):
        return {"value": result}
    try:
        built = msgspec.to_builtins(result, str_keys=True, builtin_types=(UUID, datetime, date, Decimal))
        msgspec.json.encode(built)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"The message returned what cannot be written as JSON: {error}", status=500) from error
    return built if isinstance(built, dict) else {"value": built}


def outcome(result: Any) -> Outcome:
    """What a job's handler returned, as an outcome: its own, or success with the result as the message for people.

    Raises TypeError or ValueError for an outcome that cannot be settled.
    """
    if isinstance(result, _OUTCOMES):
        return sound(result)
    if result is None:
        return Succeeded()
    if isinstance(result, str):
        return Succeeded(clean(result))
    try:
        return Succeeded(msgspec.json.encode(result).decode())
    except (TypeError, ValueError):
        return Succeeded(clean(repr(result)))


def failure(error: BaseException) -> Failed:
    """What a handler raised, as an outcome: code, one line for people, and the traceback."""
    code = error.code if isinstance(error, AdjournError) else errors.STEP_UNEXPECTED
    return Failed(code, said(error), told(error))


def told(error: BaseException) -> str:
    """An exception with its traceback; the middle of a very long one is left out."""
    details = clean("".join(traceback.format_exception(error)))
    if len(details) > _DETAILS_CHARACTERS_MAX:
        half = _DETAILS_CHARACTERS_MAX // 2 - 10
        details = f"{details[:half]}\n…\n{details[-half:]}"
    return details


@lru_cache(maxsize=4096)
def _handler(function: Callable[..., Any]) -> Handler:
    signature = inspect.signature(function)
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):  # annotations that exist for a type checker only
        hints = {}
    wanted: dict[str, str] = {}
    arguments: dict[str, inspect.Parameter] = {}
    is_open = False
    for key, parameter in signature.parameters.items():
        found = supplied(parameter)
        if found is not None:
            wanted[key] = found
        elif parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            arguments[key] = parameter
    return Handler(function, wanted, arguments, hints, is_open)
