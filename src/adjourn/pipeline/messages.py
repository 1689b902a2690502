"""The platform's own messages: their parameters, what they work on, and what stage 30 does.

`prepare` runs before the transaction: it checks everything a caller sent and says which table and record are meant.
`perform` runs inside it, may be run again from the start (so it changes nothing that it was given), and returns the
output parameters by their SDK names. Source: messages.md, semantics §4, webapi.md §12 and §16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from adjourn import config, runtime
from adjourn.errors import InvalidRequest, NotSupported
from adjourn.metadata.model import Catalog, Reference
from adjourn.pipeline import access, bulk_delete, core, retention, role_messages, step_rules, system_jobs, validate
from adjourn.pipeline.call import Request
from adjourn.pipeline.prepared import Message, Prepared
from adjourn.pipeline.read import not_found, retrieve
from adjourn.pipeline.record import Record
from adjourn.query import write

if TYPE_CHECKING:
    from adjourn.pipeline.flow import Flow


def _prepare_create(catalog: Catalog, request: Request) -> Prepared:
    validate.parameters("Create", request.parameters, ("Target",), ("SuppressDuplicateDetection",))
    _refuse_job(request.parameters["Target"])
    target = validate.target(catalog, request.parameters["Target"], creating=True)
    _refuse_pointer(target.table)
    target.id = target.id or runtime.new_id()
    return Prepared(target.table, target.id, {**request.parameters, "Target": target})


def _perform_create(flow: Flow) -> dict[str, Any]:
    target: Record = flow.inputs["Target"]
    step_rules.check(flow.tx, flow.catalog, target, before=None, registering=flow.call.registering)
    return {"id": core.create(flow.tx, flow.operation, target)}


def _prepare_update(catalog: Catalog, request: Request) -> Prepared:
    validate.parameters(
        "Update", request.parameters, ("Target",), ("SuppressDuplicateDetection", "ConcurrencyBehavior")
    )
    found = request.parameters["Target"]
    if isinstance(found, Record) and found.table == system_jobs.TABLE:
        target = system_jobs.validate_update(catalog.table(found.table), found)
    else:
        target = validate.target(catalog, found, creating=False)
        _refuse_pointer(target.table)
        if target.table == "organization" and retention.COLUMN in target.values:
            retention.settings(target.values[retention.COLUMN])
    return Prepared(target.table, target.id, {**request.parameters, "Target": target})


def _perform_update(flow: Flow) -> dict[str, Any]:
    target: Record = flow.inputs["Target"]
    assert target.id is not None
    if target.table == system_jobs.TABLE:
        system_jobs.check_version(flow.tx, target.id, flow.call.if_match)
        system_jobs.update(flow.tx, target.id, target.values, by=flow.call.caller.user_id)
        flow.tx.after_commit(flow.pipeline.store.wake)
        return {}
    before = flow.before()
    step_rules.check(flow.tx, flow.catalog, target, before=before, registering=flow.call.registering)
    core.update(flow.tx, flow.operation, target, before, flow.call.if_match)
    return {}


def _prepare_upsert(catalog: Catalog, request: Request) -> Prepared:
    validate.parameters("Upsert", request.parameters, ("Target",), ("SuppressDuplicateDetection",))
    found = request.parameters["Target"]
    if not isinstance(found, Record) or found.id is None:
        raise InvalidRequest("Message 'Upsert' needs a Target record with an id.")
    return Prepared(catalog.table(found.table).logical, found.id, dict(request.parameters))


def _perform_upsert(flow: Flow) -> dict[str, Any]:
    target: Record = flow.inputs["Target"]
    assert target.id is not None
    table = flow.catalog.table(target.table)
    there = write.exists(flow.tx, table, target.id)
    if not there:
        _refuse_job(target)
    flow.nested(Request("Update" if there else "Create", {"Target": target}))
    return {"RecordCreated": not there, "Target": Reference(target.table, target.id)}


def _prepare_multiple(message: str) -> Callable[[Catalog, Request], Prepared]:
    def prepare(catalog: Catalog, request: Request) -> Prepared:
        validate.parameters(message, request.parameters, ("Targets",), ("SuppressDuplicateDetection",))
        targets = request.parameters["Targets"]
        if not isinstance(targets, list | tuple) or not all(isinstance(found, Record) for found in targets):
            raise InvalidRequest(f"Message '{message}' needs Targets: a list of records.")
        if not 0 < len(targets) <= config.BATCH_REQUESTS_MAX:
            raise InvalidRequest(
                f"Message '{message}' takes 1 to {config.BATCH_REQUESTS_MAX:,} Targets, found {len(targets):,}."
            )
        tables = sorted({found.table for found in targets})
        if len(tables) > 1:
            raise InvalidRequest(f"The Targets of '{message}' must be of one table, found {', '.join(tables)[:200]}.")
        return Prepared(catalog.table(tables[0]).logical, None, {**request.parameters, "Targets": list(targets)})

    return prepare


def _perform_create_multiple(flow: Flow) -> dict[str, Any]:
    return {"Ids": [flow.nested(Request("Create", {"Target": target}))["id"] for target in flow.inputs["Targets"]]}


def _perform_update_multiple(flow: Flow) -> dict[str, Any]:
    for target in flow.inputs["Targets"]:
        flow.nested(Request("Update", {"Target": target}))
    return {}


def _perform_upsert_multiple(flow: Flow) -> dict[str, Any]:
    return {"Results": [flow.nested(Request("Upsert", {"Target": target})) for target in flow.inputs["Targets"]]}


def _prepare_delete(catalog: Catalog, request: Request) -> Prepared:
    validate.parameters("Delete", request.parameters, ("Target",), ("ConcurrencyBehavior",))
    target = validate.reference(catalog, request.parameters["Target"], "Target")
    return Prepared(target.table, target.id, {**request.parameters, "Target": target})


def _perform_delete(flow: Flow) -> dict[str, Any]:
    target: Reference = flow.inputs["Target"]
    if target.table == system_jobs.TABLE:
        system_jobs.check_version(flow.tx, target.id, flow.call.if_match)
        system_jobs.delete(flow.tx, target.id)
        flow.tx.after_commit(flow.pipeline.store.wake)
        return {}
    if target.table == core.ACTIVITY:
        # The pointer is the activity seen from all activities; it goes with it.
        kind = write.fetch(flow.tx, flow.catalog.table(core.ACTIVITY), target.id, ("activitytypecode",))
        flow.nested(Request("Delete", {"Target": Reference(require_before(flow, kind)["activitytypecode"], target.id)}))
        return {}
    core.delete(flow.tx, flow.operation, target, flow.before(), flow.call.if_match)
    return {}


def _prepare_retrieve(catalog: Catalog, request: Request) -> Prepared:
    validate.parameters("Retrieve", request.parameters, ("Target",), ("ColumnSet",))
    target = validate.reference(catalog, request.parameters["Target"], "Target")
    columns = validate.columns(catalog.table(target.table), request.parameters.get("ColumnSet"))
    return Prepared(target.table, target.id, {"Target": target, "ColumnSet": columns})


def _perform_retrieve(flow: Flow) -> dict[str, Any]:
    target: Reference = flow.inputs["Target"]
    table = flow.catalog.table(target.table)
    found = retrieve(flow.reader, flow.catalog, table, target.id, flow.inputs["ColumnSet"], flow.call.caller)
    if found is None:
        raise access.missing(flow.reader, flow.catalog, flow.call.caller, table, target.id)
    return {"BusinessEntity": found}


def _prepare_associate(catalog: Catalog, request: Request) -> Prepared:
    validate.parameters(request.message, request.parameters, ("Target", "Relationship", "RelatedEntities"), ())
    target = validate.reference(catalog, request.parameters["Target"], "Target")
    related = [validate.reference(catalog, item, "RelatedEntities") for item in request.parameters["RelatedEntities"]]
    return Prepared(target.table, target.id, {**request.parameters, "Target": target, "RelatedEntities": related})


def _perform_associate(flow: Flow) -> dict[str, Any]:
    for related in flow.inputs["RelatedEntities"]:
        core.associate(
            flow.tx,
            flow.operation,
            flow.inputs["Target"],
            flow.inputs["Relationship"],
            related,
            join=flow.message == "Associate",
        )
    return {}


def _prepare_assign(catalog: Catalog, request: Request) -> Prepared:
    validate.parameters("Assign", request.parameters, ("Target", "Assignee"), ())
    target = validate.reference(catalog, request.parameters["Target"], "Target")
    assignee = validate.reference(catalog, request.parameters["Assignee"], "Assignee")
    table = catalog.table(target.table)
    _refuse_pointer(target.table)
    if not table.user_owned or target.table == system_jobs.TABLE:
        raise InvalidRequest(f"Records of table '{target.table}' cannot be assigned.")
    if assignee.table not in ("systemuser", "team"):
        raise InvalidRequest(f"An owner is a systemuser or a team, not {assignee.table}.")
    return Prepared(target.table, target.id, {"Target": target, "Assignee": assignee})


def _perform_assign(flow: Flow) -> dict[str, Any]:
    target: Reference = flow.inputs["Target"]
    change = Record(target.table, target.id, {"ownerid": flow.inputs["Assignee"]})
    core.update(flow.tx, flow.operation, change, flow.before())
    return {}


def _prepare_set_state(catalog: Catalog, request: Request) -> Prepared:
    validate.parameters("SetState", request.parameters, ("EntityMoniker", "State", "Status"), ())
    target = validate.reference(catalog, request.parameters["EntityMoniker"], "EntityMoniker")
    table = catalog.table(target.table)
    _refuse_pointer(target.table)
    if target.table == system_jobs.TABLE or "statecode" not in table.columns:
        raise InvalidRequest(f"Table '{target.table}' does not take the message SetState.")
    state = Record(target.table, target.id, {"statecode": request.parameters["State"]})
    if request.parameters["Status"] not in (None, -1):
        state.values["statuscode"] = request.parameters["Status"]
    checked = validate.target(catalog, state, creating=False)
    return Prepared(
        target.table,
        target.id,
        {"EntityMoniker": target, "State": checked["statecode"], "Status": checked.get("statuscode")},
    )


def _perform_set_state(flow: Flow) -> dict[str, Any]:
    target: Reference = flow.inputs["EntityMoniker"]
    change = Record(target.table, target.id, {"statecode": flow.inputs["State"]})
    if flow.inputs["Status"] is not None:
        change.values["statuscode"] = flow.inputs["Status"]
    core.update(flow.tx, flow.operation, change, flow.before())
    return {}


def _prepare_who_am_i(catalog: Catalog, request: Request) -> Prepared:
    validate.parameters("WhoAmI", request.parameters, (), ())
    return Prepared(None, None, {})


def _perform_who_am_i(flow: Flow) -> dict[str, Any]:
    return {
        "UserId": flow.call.caller.user_id,
        "BusinessUnitId": flow.call.caller.business_unit_id,
        "OrganizationId": UUID(config.ORGANIZATION_ID),
    }


def _refuse_pointer(table: str) -> None:
    """An activity is written by its own table; activitypointer only follows. Raises NotSupported."""
    if table == core.ACTIVITY:
        raise NotSupported(
            "Rows of 'activitypointer' follow their activities: write to its own table (activitytypecode)."
        )


def _refuse_job(target: Any) -> None:
    if isinstance(target, Record) and target.table == system_jobs.TABLE:
        raise system_jobs.refuse_create()


def require_before(flow: Flow, before: dict[str, Any] | None) -> dict[str, Any]:
    """The row as it was, or the documented error that there is none."""
    if before is None:
        raise not_found(flow.catalog.table(flow.table or ""), flow.record_id)
    return before


MESSAGES: dict[str, Message] = {
    found.name: found
    for found in (
        Message("Create", _prepare_create, _perform_create, post_image=True, outputs=("id",)),
        Message("Update", _prepare_update, _perform_update, pre_image=True, post_image=True),
        Message("Upsert", _prepare_upsert, _perform_upsert, outputs=("RecordCreated", "Target")),
        Message("CreateMultiple", _prepare_multiple("CreateMultiple"), _perform_create_multiple, outputs=("Ids",)),
        Message("UpdateMultiple", _prepare_multiple("UpdateMultiple"), _perform_update_multiple),
        Message("UpsertMultiple", _prepare_multiple("UpsertMultiple"), _perform_upsert_multiple, outputs=("Results",)),
        Message("Delete", _prepare_delete, _perform_delete, pre_image=True),
        Message("Retrieve", _prepare_retrieve, _perform_retrieve, reads=True, outputs=("BusinessEntity",)),
        Message("Associate", _prepare_associate, _perform_associate),
        Message("Disassociate", _prepare_associate, _perform_associate),
        Message("Assign", _prepare_assign, _perform_assign, pre_image=True, post_image=True),
        Message("SetState", _prepare_set_state, _perform_set_state, pre_image=True, post_image=True),
        Message("WhoAmI", _prepare_who_am_i, _perform_who_am_i, reads=True),
        *role_messages.ALL,
        *bulk_delete.ALL,
    )
}
"""RetrieveMultiple is one more; its input is a query, see `execute.Pipeline.retrieve_multiple`."""
