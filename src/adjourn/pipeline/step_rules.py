"""Rules for the rows that configure the service itself: steps, their images, views, checked when they are written.

A step that could never run, or would run where the platform does not allow it, is refused with the documented error
instead of failing later. Source: semantics §4 and §14; sdkmessageprocessingstep and …image of the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adjourn.errors import InvalidRequest, NotSupported, nearest
from adjourn.metadata.model import Catalog, Reference
from adjourn.pipeline import views
from adjourn.pipeline.context import ASYNCHRONOUS, Stage
from adjourn.pipeline.record import Record
from adjourn.pipeline.registry import RUNTIME_PROPERTIES, in_record_order
from adjourn.query import write
from adjourn.store.contract import Transaction

IMAGE_SOURCES: Mapping[str, tuple[str, ...]] = {
    "Assign": ("Target",),
    "Create": ("Target",),
    "Delete": ("Target",),
    "Update": ("Target",),
    "SetState": ("EntityMoniker",),
}
"""Which input parameter of a message an image shows the record of."""
_ASSEMBLY = "pluginassembly"
_STEP_NOT_ALLOWED = 0x80044187
_NO_IMAGES = 0x80044189
_NO_POST_IMAGE_BEFORE = 0x8004416E
_WRONG_IMAGE_KIND = 0x8004416D


def concerns(table: str) -> bool:
    """Whether a table's rows are checked here; the check of an update then wants the whole present row."""
    return table in _RULES or table == _ASSEMBLY


def check(
    tx: Transaction, catalog: Catalog, target: Record, before: Mapping[str, Any] | None, *, registering: bool
) -> None:
    """Check, and complete, a row of a configuration table; any other table passes.

    before: the present row of an update. registering: the row is written by the registration of a module.
    """
    if target.table == _ASSEMBLY and not registering:
        _check_assembly(target, before)
    rule = _RULES.get(target.table)
    if rule is not None:
        rule(tx, catalog, target, dict(before or {}))


def _check_assembly(target: Record, before: Mapping[str, Any] | None) -> None:
    """An assembly names a module, and to import a module is to run it: only who starts programs on the host may name one."""
    name = target.values.get("name", "")
    if before is None or ("name" in target.values and name != before["name"]):
        raise NotSupported(
            f"A plug-in assembly names a module that hosts import, so it is made on a host: "
            f"`adjourn register {str(name)[:100] or 'MODULE'}`, or `--plugins` of `adjourn serve`. "
            "Types and steps of an assembly that is there can be written here."
        )


def _check_step(tx: Transaction, catalog: Catalog, target: Record, before: dict[str, Any]) -> None:
    values = target.values
    handler = values.get("eventhandler")
    if handler is not None and handler.table == "serviceendpoint":
        raise InvalidRequest("Steps that post to a service endpoint are not supported; register a function.")
    # The two lookups say the same; callers send either.
    if handler is not None and "plugintypeid" not in values:
        values["plugintypeid"] = handler
    elif values.get("plugintypeid") is not None and handler is None:
        values["eventhandler"] = values["plugintypeid"]
    merged = {**before, **values}
    message = _name_of(tx, catalog, merged.get("sdkmessageid"), "sdkmessage", "sdkmessageid")
    if merged.get("plugintypeid") is None:
        raise InvalidRequest("A step needs its plug-in type: plugintypeid, or eventhandler.")
    stage, mode = merged.get("stage"), merged.get("mode", 0)
    if stage not in (Stage.PRE_VALIDATION, Stage.PRE_OPERATION, Stage.POST_OPERATION):
        raise InvalidRequest(f"Steps run in stage 10, 20 or 40, not {stage}.", code=_STEP_NOT_ALLOWED)
    if mode == ASYNCHRONOUS and stage != Stage.POST_OPERATION:
        raise InvalidRequest(f"An asynchronous step runs in stage 40, not {stage}.", code=_STEP_NOT_ALLOWED)
    if mode != ASYNCHRONOUS and in_record_order(merged.get(RUNTIME_PROPERTIES)):
        raise InvalidRequest("The order of each record is for asynchronous steps: a synchronous one makes no jobs.")
    if message in ("Execute", "ExecuteAsync"):
        raise InvalidRequest(f"No step can be registered on message '{message}'.", code=_STEP_NOT_ALLOWED)
    table = _table_of(tx, catalog, merged.get("sdkmessagefilterid"), merged["sdkmessageid"])
    if table is not None and not catalog.table(table).events:
        raise InvalidRequest(
            f"Table '{table}' raises no events: no step can be registered on it.", code=_STEP_NOT_ALLOWED
        )
    columns = [name.strip() for name in (merged.get("filteringattributes") or "").split(",") if name.strip()]
    if columns and message != "Update":
        raise InvalidRequest(f"Filtering attributes apply to Update only, not to {message}.")
    if columns and table is not None:
        _check_columns(catalog, table, columns)
    if not before:
        values.setdefault("mode", 0)
        values.setdefault("rank", 1)
        values.setdefault("supporteddeployment", 0)
        values.setdefault("invocationsource", 0)
        if not values.get("name"):
            where = f" of {table}" if table else ""
            values["name"] = f"{message}{where}"


def _check_image(tx: Transaction, catalog: Catalog, target: Record, before: dict[str, Any]) -> None:
    values = target.values
    merged = {**before, **values}
    step = merged.get("sdkmessageprocessingstepid")
    if step is None:
        raise InvalidRequest("An image needs its step: sdkmessageprocessingstepid.")
    row = write.fetch(tx, catalog.table("sdkmessageprocessingstep"), step.id)
    if row is None:
        raise InvalidRequest(f"Step {step.id} does not exist.")
    message = _name_of(tx, catalog, row["sdkmessageid"], "sdkmessage", "sdkmessageid")
    sources = IMAGE_SOURCES.get(message)
    if sources is None:
        raise InvalidRequest(f"Message '{message}' does not support images.", code=_NO_IMAGES)
    kind = merged.get("imagetype")
    if kind not in (0, 1, 2):
        raise InvalidRequest(f"imagetype {kind} is none of 0 PreImage, 1 PostImage, 2 Both.", code=_WRONG_IMAGE_KIND)
    if kind in (1, 2) and row["stage"] != Stage.POST_OPERATION:
        raise InvalidRequest("Post-images exist in stage 40 only.", code=_NO_POST_IMAGE_BEFORE)
    if (kind in (0, 2) and message == "Create") or (kind in (1, 2) and message == "Delete"):
        which = "pre-image" if message == "Create" else "post-image"
        raise InvalidRequest(f"Message '{message}' has no {which}.", code=_WRONG_IMAGE_KIND)
    source = merged.get("messagepropertyname") or sources[0]
    if source not in sources:
        raise InvalidRequest(f"Message '{message}' has no image of '{source}': {', '.join(sources)}.", code=_NO_IMAGES)
    if not merged.get("entityalias"):
        raise InvalidRequest("An image needs its entityalias: the key under which the step finds it.")
    columns = [name.strip() for name in (merged.get("attributes") or "").split(",") if name.strip()]
    table = _table_of(tx, catalog, row["sdkmessagefilterid"], row["sdkmessageid"])
    if table is not None and columns:
        _check_columns(catalog, table, columns)
    if not before:
        values.setdefault("name", merged["entityalias"])
        values.setdefault("messagepropertyname", source)


def _check_columns(catalog: Catalog, table: str, columns: list[str]) -> None:
    known = catalog.table(table).columns
    for name in columns:
        if name not in known or not known[name].readable or known[name].storage == "derived":
            raise InvalidRequest(f"Column '{name[:100]}' does not exist on table '{table}'.{nearest(name, known)}")


def _name_of(tx: Transaction, catalog: Catalog, reference: Reference | None, table: str, column: str) -> str:
    if reference is None:
        raise InvalidRequest(f"A step needs its message: {column}.")
    row = write.fetch(tx, catalog.table(table), reference.id, ("name",))
    if row is None:
        raise InvalidRequest(f"{table} {reference.id} does not exist.")
    return str(row["name"])


def _table_of(tx: Transaction, catalog: Catalog, reference: Reference | None, message: Reference) -> str | None:
    if reference is None:
        return None
    found = write.fetch(tx, catalog.table("sdkmessagefilter"), reference.id, ("primaryobjecttypecode", "sdkmessageid"))
    if found is None:
        raise InvalidRequest(f"sdkmessagefilter {reference.id} does not exist.")
    if found["sdkmessageid"] != message:
        raise InvalidRequest("The step's sdkmessagefilterid belongs to another message than its sdkmessageid.")
    return str(found["primaryobjecttypecode"])


_RULES: Mapping[str, Callable[[Transaction, Catalog, Record, dict[str, Any]], None]] = {
    "sdkmessageprocessingstep": _check_step,
    "sdkmessageprocessingstepimage": _check_image,
    views.SAVED: views.check,
    views.OWN: views.check,
}
