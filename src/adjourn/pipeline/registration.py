"""Writing the rows that make marked functions part of the organization: assemblies, types, messages, steps, images.

pluginassembly.name = module, plugintype.typename = function. Ids follow from the names, so that registering again, or
on another host, finds the same rows. Steps that a module declared once and no longer does are removed; steps that
somebody made by hand on its types stay.
Source: design §9 "Registration"; semantics §4.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import msgspec

from adjourn.errors import AdjournError, InvalidRequest, nearest
from adjourn.metadata.model import Catalog, Reference
from adjourn.pipeline import core
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.code import not_imported
from adjourn.pipeline.context import ASYNCHRONOUS
from adjourn.pipeline.declare import Message, StepDeclaration, steps_of
from adjourn.pipeline.execute import Pipeline
from adjourn.pipeline.messages import MESSAGES
from adjourn.pipeline.read import ask
from adjourn.pipeline.record import Record
from adjourn.pipeline.registry import (
    BOTH_IMAGES,
    ISOLATED,
    PER_RECORD_ORDER,
    POST_IMAGE,
    PRE_IMAGE,
    RUNTIME_PROPERTIES,
)
from adjourn.pipeline.step_rules import IMAGE_SOURCES
from adjourn.query import write
from adjourn.query.security import PLATFORM
from adjourn.query.tree import Attribute, Condition, Filter, Link, Query
from adjourn.store.contract import Transaction

NAMESPACE = UUID("6b0f4c1e-0d3a-5b7e-9c55-ad10a0000001")
DECLARED = "adjourn:declared"
"""sdkmessageprocessingstep.category of steps that came from a decorator."""
OWN_CATEGORY = "adjourn:message"
MAIN_MODULE = "__main__"
_SHARED_ISOLATION = 1
STEP_MESSAGES = (*MESSAGES, "RetrieveMultiple")


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration wrote: how many steps and messages, and advice for people."""

    module: str
    steps: int
    messages: int
    advice: tuple[str, ...]


def message_id(name: str) -> UUID:
    """The id of a message's sdkmessage row."""
    return uuid5(NAMESPACE, f"sdkmessage:{name}")


def filter_id(message: str, table: str) -> UUID:
    """The id of the sdkmessagefilter row that joins a message with a table."""
    return uuid5(NAMESPACE, f"sdkmessagefilter:{message}:{table}")


def write_filter(tx: Transaction, catalog: Catalog, message: str, table: str) -> None:
    """Write the sdkmessagefilter row on which steps of a message on a table hang."""
    definition = catalog.table("sdkmessagefilter")
    values = {
        "name": f"{message} of {table}",
        "sdkmessageid": Reference("sdkmessage", message_id(message)),
        "primaryobjecttypecode": table,
        "secondaryobjecttypecode": "none",
        "iscustomprocessingstepallowed": True,
    }
    core.complete(definition, values, filter_id(message, table), PLATFORM, tx.now)
    write.insert(tx, definition, values)


def register_module(pipeline: Pipeline, module: str, call: Call) -> Registered:
    """Register everything that a module marks. Raises InvalidRequest if it cannot be imported or marks nothing."""
    try:
        imported = importlib.import_module(module)
    except AdjournError:
        raise
    except Exception as error:  # any module may raise anything while it is imported
        raise not_imported(module, error) from error
    found = [
        value
        for value in vars(imported).values()
        if getattr(value, "__module__", None) == module and (isinstance(value, Message) or _steps_of(value))
    ]
    if not found:
        raise InvalidRequest(f"Module '{module}' marks no step and no message: use @adjourn.step or @adjourn.message.")
    return register(pipeline, module, found, call, whole=True)


def register(pipeline: Pipeline, module: str, found: Iterable[Any], call: Call, *, whole: bool = False) -> Registered:
    """Register marked functions of one module, in one transaction. whole: they are all that the module marks."""
    items = list(found)

    if call.transaction is not None:
        return _Registration(pipeline, call.transaction, call, module).write(items, whole=whole)
    with pipeline.transaction(f"register {module}") as unit:
        return _Registration(pipeline, unit.tx, call, module).write(items, whole=whole)


class _Registration:
    def __init__(self, pipeline: Pipeline, tx: Transaction, call: Call, module: str) -> None:
        self._pipeline = pipeline
        self._catalog: Catalog = pipeline.catalog
        self._tx = tx
        self._call = Call(
            caller=call.caller,
            correlation_id=call.correlation_id,
            correlation_updated=call.correlation_updated,
            transaction=tx,
            registering=True,
        )
        self._module = module

    def write(self, items: list[Any], *, whole: bool) -> Registered:
        isolated = any(isinstance(item, Message) and item.isolated for item in items)
        assembly = uuid5(NAMESPACE, f"pluginassembly:{self._module}")
        if not whole and not isolated:
            # The first use of one function says nothing of the others.
            found = write.fetch(self._tx, self._catalog.table("pluginassembly"), assembly, {"isolationmode": None})
            isolated = found is not None and found["isolationmode"] == ISOLATED
        self._put(
            "pluginassembly",
            assembly,
            {
                "name": self._module,
                "culture": "neutral",
                "version": "1.0.0.0",
                "publickeytoken": "none",
                "isolationmode": ISOLATED if isolated else _SHARED_ISOLATION,
                "sourcetype": 1,
            },
        )
        steps = messages = 0
        advice: list[str] = []
        if whole and isolated and not all(isinstance(item, Message) and item.isolated for item in items):
            advice.append(
                f"{self._module}: isolated=True holds for the whole module: each of its jobs starts a process. "
                "What need not be isolated is quicker in a module of its own."
            )
        declared: set[UUID] = set()
        for item in items:
            if isinstance(item, Message):
                self._message(item, assembly)
                messages += 1
            for declaration in _steps_of(item):
                declared.add(self._step(item, declaration, assembly))
                steps += 1
                if declaration.mode == ASYNCHRONOUS and not declaration.async_auto_delete:
                    advice.append(
                        f"{self._module}.{item.__name__}: an asynchronous step keeps its succeeded jobs; "
                        "async_auto_delete=True deletes them, which is recommended."
                    )
        if whole:
            self._remove_undeclared(assembly, declared)
        return Registered(self._module, steps, messages, tuple(advice))

    def _message(self, item: Message[..., Any], assembly: UUID) -> None:
        if item.name in MESSAGES or item.name in ("RetrieveMultiple", "ExecuteAsync"):
            raise InvalidRequest(f"'{item.name}' is a message of the platform; choose another name for {item!r}.")
        function = item.handler.__qualname__
        kind = uuid5(NAMESPACE, f"plugintype:{self._module}:{function}")
        self._take_over(item.name, kind)
        self._put(
            "sdkmessage",
            message_id(item.name),
            {"name": item.name, "categoryname": OWN_CATEGORY, "isreadonly": item.function},
        )
        if item.table is not None:
            table = self._catalog.table(item.table).logical
            if not write.exists(self._tx, self._catalog.table("sdkmessagefilter"), filter_id(item.name, table)):
                write_filter(self._tx, self._catalog, item.name, table)
        self._put("plugintype", kind, _type_values(item.name, self._module, function, assembly))

    def _take_over(self, name: str, kind: UUID) -> None:
        """See to it that no other function has the message. A script's gives way to a module's: it has been moved there."""
        query = Query(
            "plugintype",
            (Attribute("plugintypeid"), Attribute("typename")),
            filter=Filter("and", (Condition("name", "eq", (name,)), Condition("plugintypeid", "ne", (kind,)))),
            links=(Link("pluginassembly", "pluginassemblyid", "pluginassemblyid", "a", "inner", (Attribute("name"),)),),
            language="fetchxml",
        )
        for row in ask(self._tx, self._catalog, query):
            if row["a.name"] != MAIN_MODULE or self._module == MAIN_MODULE:
                raise InvalidRequest(
                    f"Message '{name}' is registered by {row['a.name']}.{row['typename']} already; choose another name. "
                    f"If that function is gone, delete its registration first: DELETE plugintypes({row['plugintypeid']})."
                )
            self._pipeline.execute(
                Request("Delete", {"Target": Reference("plugintype", row["plugintypeid"])}), self._call
            )

    def _step(self, item: Any, declaration: StepDeclaration, assembly: UUID) -> UUID:
        if declaration.message not in STEP_MESSAGES and not write.exists(
            self._tx, self._catalog.table("sdkmessage"), message_id(declaration.message)
        ):
            raise InvalidRequest(
                f"No message '{declaration.message[:200]}' to register a step on."
                f"{nearest(declaration.message, STEP_MESSAGES)}"
            )
        if declaration.table is not None:
            self._catalog.table(declaration.table)
        function = item.__qualname__ if not isinstance(item, Message) else item.handler.__qualname__
        kind = uuid5(NAMESPACE, f"plugintype:{self._module}:{function}")
        if not isinstance(item, Message):
            self._put("plugintype", kind, _type_values(f"{self._module}.{function}", self._module, function, assembly))
        where = declaration.table or "*"
        key = f"{self._module}:{function}:{declaration.message}:{where}:{declaration.stage}:{declaration.mode}"
        step_id = uuid5(NAMESPACE, f"step:{key}")
        subject = f"{declaration.message} of {declaration.table}" if declaration.table else declaration.message
        self._put(
            "sdkmessageprocessingstep",
            step_id,
            {
                "name": declaration.name or f"{self._module}.{function}: {subject}",
                "description": declaration.description,
                "sdkmessageid": Reference("sdkmessage", message_id(declaration.message)),
                "sdkmessagefilterid": Reference("sdkmessagefilter", filter_id(declaration.message, declaration.table))
                if declaration.table
                else None,
                "plugintypeid": Reference("plugintype", kind),
                "stage": declaration.stage,
                "mode": declaration.mode,
                "rank": declaration.rank,
                "asyncautodelete": declaration.async_auto_delete,
                "filteringattributes": ",".join(declaration.filtering_attributes) or None,
                "configuration": declaration.configuration,
                RUNTIME_PROPERTIES: msgspec.json.encode({PER_RECORD_ORDER: True}).decode()
                if declaration.per_record_order
                else None,
                "impersonatinguserid": Reference("systemuser", declaration.impersonating_user_id)
                if declaration.impersonating_user_id
                else None,
                "category": DECLARED,
            },
        )
        self._images(step_id, declaration)
        return step_id

    def _images(self, step_id: UUID, declaration: StepDeclaration) -> None:
        kinds: dict[str, tuple[int, Any]] = {
            alias: (PRE_IMAGE, names) for alias, names in declaration.pre_images.items()
        }
        for alias, names in declaration.post_images.items():
            both = alias in kinds and kinds[alias][1] == names
            kinds[alias] = (BOTH_IMAGES if both else POST_IMAGE, names)
        for alias, (kind, names) in kinds.items():
            self._put(
                "sdkmessageprocessingstepimage",
                uuid5(NAMESPACE, f"image:{step_id}:{alias}"),
                {
                    "sdkmessageprocessingstepid": Reference("sdkmessageprocessingstep", step_id),
                    "name": alias,
                    "entityalias": alias,
                    "imagetype": kind,
                    "attributes": ",".join(names) if names else None,
                    "messagepropertyname": IMAGE_SOURCES.get(declaration.message, ("Target",))[0],
                },
            )

    def _remove_undeclared(self, assembly: UUID, declared: set[UUID]) -> None:
        types = Query(
            "plugintype",
            (Attribute("plugintypeid"),),
            filter=Filter("and", (Condition("pluginassemblyid", "eq", (assembly,)),)),
            language="fetchxml",
        )
        owned = [row["plugintypeid"] for row in ask(self._tx, self._catalog, types)]
        if not owned:
            return
        steps = Query(
            "sdkmessageprocessingstep",
            (Attribute("sdkmessageprocessingstepid"),),
            filter=Filter(
                "and", (Condition("plugintypeid", "in", tuple(owned)), Condition("category", "eq", (DECLARED,)))
            ),
            language="fetchxml",
        )
        for row in ask(self._tx, self._catalog, steps):
            if row["sdkmessageprocessingstepid"] not in declared:
                target = Reference("sdkmessageprocessingstep", row["sdkmessageprocessingstepid"])
                self._pipeline.execute(Request("Delete", {"Target": target}), self._call)

    def _put(self, table: str, record_id: UUID, values: Mapping[str, Any]) -> None:
        """Create the row, or update it where it differs: an unchanged registration must not disturb anybody's cache."""
        definition = self._catalog.table(table)
        known = {name: value for name, value in values.items() if name in definition.columns}
        present = write.fetch(self._tx, definition, record_id, known)
        if present is None:
            record = Record(table, record_id, {name: value for name, value in known.items() if value is not None})
            self._pipeline.execute(Request("Create", {"Target": record}), self._call)
            return
        changes = {name: value for name, value in known.items() if present[name] != value}
        if changes:
            self._pipeline.execute(Request("Update", {"Target": Record(table, record_id, changes)}), self._call)


def _type_values(name: str, module: str, function: str, assembly: UUID) -> dict[str, Any]:
    return {
        "name": name,
        "typename": function,
        "friendlyname": name,
        "pluginassemblyid": Reference("pluginassembly", assembly),
    }


def _steps_of(found: Any) -> tuple[StepDeclaration, ...]:
    return steps_of(found.handler if isinstance(found, Message) else found)
