"""Stage 30 of the data messages: what Create, Update, Delete, Associate and Disassociate do to the rows.

Runs inside the pipeline's transaction. It completes a record with what the platform sets (owner, state, audit columns,
version, computed names), demands that lookups point to something, and follows the delete rules of the relationships.
Validation of names and values happened before (`validate`), without the transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from adjourn import config, errors, runtime
from adjourn.errors import ConcurrencyMismatch, Duplicate, InvalidRequest, NotSupported
from adjourn.metadata.model import Catalog, ColumnType, ManyToMany, Reference, Relationship, Table
from adjourn.pipeline import access, unserved
from adjourn.pipeline.read import not_found
from adjourn.pipeline.record import Record
from adjourn.query import files, write
from adjourn.query.security import Caller
from adjourn.store.contract import Transaction

ACTIVITY = "activitypointer"
_ACTIVITY_SHARED = (
    "subject", "description", "regardingobjectid", "ownerid", "owninguser", "owningteam", "owningbusinessunit",
    "scheduledstart", "scheduledend", "actualstart", "actualend", "statecode", "statuscode", "prioritycode",
    "createdon", "createdby", "modifiedon", "modifiedby", "versionnumber",
)  # fmt: skip
"""Columns that an activity has in common with its activitypointer, which is kept beside it."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Who does it, when, on what metadata."""

    catalog: Catalog
    caller: Caller
    now: datetime
    cascade: Callable[[Reference], None]
    """Delete another record through the pipeline."""
    change: Callable[[Record], None]
    """Update another record through the pipeline."""


def create(tx: Transaction, operation: Operation, target: Record) -> UUID:
    """Insert a record and complete `target` with everything that was set. Returns its id.

    Raises Duplicate if the id is taken, NotFound if a lookup points nowhere.
    """
    table = operation.catalog.table(target.table)
    unserved.check_create(table.logical)
    record_id = target.id or target.get(table.primary_id) or runtime.new_id()
    if write.exists(tx, table, record_id):
        raise Duplicate(f"A record with matching key values already exists: {table.logical} {record_id}.")
    _check_lookups(tx, operation, table, target.values)
    target.id = record_id
    values = target.values
    _set_owner(tx, operation, table, values, creating=True)
    complete(table, values, record_id, operation.caller, operation.now)
    write.insert(tx, table, {name: value for name, value in values.items() if table.columns[name].storage == "row"})
    if table.is_activity and table.logical != ACTIVITY:
        _mirror_activity(tx, operation, table, record_id, values, creating=True)
    return record_id


def complete(table: Table, values: dict[str, Any], record_id: UUID, caller: Caller, now: datetime) -> None:
    """Fill in what a new record gets from the platform: key, defaults, state, audit columns, version, computed names."""
    values[table.primary_id] = record_id
    for column in table.columns.values():
        if column.default is not None and column.storage == "row" and column.logical not in values:
            values[column.logical] = column.default
    _set_state(table, values, creating=True)
    _set_audit(table, values, caller, now, creating=True)
    _set_names(table, values, {})
    if table.is_activity and "activitytypecode" in table.columns:
        values["activitytypecode"] = table.logical


def update(
    tx: Transaction,
    operation: Operation,
    target: Record,
    before: Mapping[str, Any],
    if_match: frozenset[int] | str | None = None,
) -> None:
    """Change a record whose present row is `before`; completes `target`. Raises ConcurrencyMismatch, NotFound."""
    table = operation.catalog.table(target.table)
    record_id = target.id
    assert record_id is not None
    check_version(table, before, if_match)
    _check_lookups(tx, operation, table, target.values)
    values = target.values
    if values.pop(table.primary_id, record_id) != record_id:
        raise InvalidRequest(f"The primary key '{table.primary_id}' of a record cannot change.")
    _set_owner(tx, operation, table, values, creating=False)
    _set_state(table, values, creating=False, before=before)
    _set_audit(table, values, operation.caller, operation.now, creating=False, before=before)
    _set_names(table, values, before)
    if not write.update(tx, table, record_id, values):
        raise not_found(table, record_id)
    values[table.primary_id] = record_id
    if table.is_activity and table.logical != ACTIVITY:
        _mirror_activity(tx, operation, table, record_id, values, creating=False)


def delete(
    tx: Transaction,
    operation: Operation,
    target: Reference,
    before: Mapping[str, Any],
    if_match: frozenset[int] | str | None,
) -> None:
    """Remove a record after its relationships had their say (Restrict, Cascade, RemoveLink)."""
    table = operation.catalog.table(target.table)
    check_version(table, before, if_match)
    if any(column.type is ColumnType.FILE for column in table.columns.values()):
        files.forget(tx, target)
    for relationship in table.one_to_many:
        _follow(tx, operation, relationship, target)
    for joined in table.many_to_many:
        side = joined.column1 if joined.table1 == table.logical else joined.column2
        write.delete_links(tx, joined, side, target.id)
    if not write.delete(tx, table, target.id):
        raise not_found(table, target.id)
    if table.is_activity and table.logical != ACTIVITY:
        write.delete(tx, operation.catalog.table(ACTIVITY), target.id)


def check_version(table: Table, before: Mapping[str, Any], if_match: frozenset[int] | str | None) -> None:
    """Raise ConcurrencyMismatch when the caller demands another version than the record has."""
    if if_match is None or isinstance(if_match, str):
        return
    if before.get("versionnumber") not in if_match:
        raise ConcurrencyMismatch("The version of the existing record doesn't match the RowVersion property provided.")


def associate(
    tx: Transaction, operation: Operation, target: Reference, relationship: str, related: Reference, *, join: bool
) -> None:
    """Join or part two records over a named relationship, of either kind and from either end."""
    table = operation.catalog.table(target.table)
    found: Relationship | ManyToMany | None = table.by_collection.get(relationship) or table.by_navigation.get(
        relationship
    )
    if found is None:
        known = [*table.by_collection, *table.by_navigation]
        raise InvalidRequest(
            f"Table '{table.logical}' has no relationship '{relationship[:200]}'.{errors.nearest(relationship, known)}"
        )
    for reference in (target, related):
        if not write.exists(tx, operation.catalog.table(reference.table), reference.id):
            raise not_found(operation.catalog.table(reference.table), reference.id)
    if isinstance(found, ManyToMany):
        first, second = (target, related) if found.table1 == target.table else (related, target)
        if first.table != found.table1 or second.table != found.table2:
            raise InvalidRequest(
                f"Relationship '{relationship}' joins {found.table1} and {found.table2}, not {related.table}."
            )
        if join:
            write.link(tx, found, first.id, second.id, operation.catalog.table(found.intersect), runtime.new_id())
        else:
            write.unlink(tx, found, first.id, second.id)
        return
    holder, value = (
        (target, related)
        if found.referencing == target.table and relationship == found.navigation
        else (related, target)
    )
    if holder.table != found.referencing or value.table != found.referenced:
        raise InvalidRequest(f"Relationship '{relationship}' leads from {found.referencing} to {found.referenced}.")
    if found.referencing == "asyncoperation":
        raise NotSupported(f"Column '{found.column}' of a system job cannot be updated.", code=0x80040203, status=400)
    # A lookup is a column like any other: who may set it, and to what, is decided where records are updated.
    operation.change(Record(holder.table, holder.id, {found.column: value if join else None}))


def _follow(tx: Transaction, operation: Operation, relationship: Relationship, target: Reference) -> None:
    rule = relationship.delete.partition(" ")[0]
    if rule not in ("Restrict", "Cascade", "RemoveLink"):
        return
    table = operation.catalog.table(relationship.referencing)
    column = table.columns[relationship.column]
    if rule == "RemoveLink":
        write.clear_lookup(tx, table, column, target.id)
        return
    while found := write.referencing(tx, table, column, target, limit=1 if rule == "Restrict" else 100):
        if rule == "Restrict":
            seen = access.reaches(tx, operation.catalog, operation.caller, "Read", table, found[0])
            raise NotSupported(
                f"The {target.table} {target.id} cannot be deleted: {table.logical} {f'{found[0]} ' if seen else ''}refers to it "
                f"({relationship.name}).",
                code=errors.STILL_REFERENCED,
            )
        for record_id in found:
            operation.cascade(Reference(table.logical, record_id))


def _check_lookups(tx: Transaction, operation: Operation, table: Table, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Reference) and table.columns[name].type.is_lookup:
            referenced = operation.catalog.table(value.table)
            if not write.exists(tx, referenced, value.id):
                raise not_found(referenced, value.id)


def _set_owner(tx: Transaction, operation: Operation, table: Table, values: dict[str, Any], *, creating: bool) -> None:
    if not table.user_owned or not (creating or "ownerid" in values):
        return
    owner = values.get("ownerid") or Reference("systemuser", operation.caller.user_id)
    values["ownerid"] = owner
    values["owninguser"] = owner if owner.table == "systemuser" else None
    values["owningteam"] = owner if owner.table == "team" else None
    if owner.id == operation.caller.user_id:
        unit = operation.caller.business_unit_id
    else:
        row = write.fetch(tx, operation.catalog.table(owner.table), owner.id, ("businessunitid",))
        if row is None:
            raise not_found(operation.catalog.table(owner.table), owner.id)
        unit = row["businessunitid"].id if row["businessunitid"] else UUID(config.ROOT_BUSINESS_UNIT_ID)
    values["owningbusinessunit"] = Reference("businessunit", unit)


def _set_state(
    table: Table, values: dict[str, Any], *, creating: bool, before: Mapping[str, Any] | None = None
) -> None:
    state, status = table.columns.get("statecode"), table.columns.get("statuscode")
    if state is None or status is None or state.choice is None or status.choice is None:
        return
    if not creating and "statecode" not in values and "statuscode" not in values:
        return
    new_state, new_status = values.get("statecode"), values.get("statuscode")
    if new_state is None:
        known = status.choice.options.get(new_status) if new_status is not None else None
        current = (before or {}).get("statecode")
        if current is None:
            current = min(state.choice.options)
        # A status alone means within the present state; on create it chooses the state that it belongs to.
        new_state = known.state if creating and known and known.state is not None else current
    if new_status is None:
        option = state.choice.options.get(int(new_state))
        new_status = option.default_status if option else None
        if new_status is None:
            new_status = min((o.value for o in status.choice.options.values() if o.state == new_state), default=None)
    chosen = status.choice.options.get(new_status) if new_status is not None else None
    if new_state not in state.choice.options or chosen is None or chosen.state != new_state:
        pairs = ", ".join(f"{o.state}/{o.value} {o.label}" for o in status.choice.options.values())
        raise InvalidRequest(
            f"State code {new_state} with status code {new_status} is not valid for {table.logical}. Valid: {pairs}.",
            code=errors.STATE_PAIR_INVALID,
        )
    unserved.check_state(table.logical, int(new_state), chosen.value)
    values["statecode"], values["statuscode"] = new_state, new_status


def _set_audit(
    table: Table,
    values: dict[str, Any],
    caller: Caller,
    now: datetime,
    *,
    creating: bool,
    before: Mapping[str, Any] | None = None,
) -> None:
    user = Reference("systemuser", caller.user_id)
    moments = ("createdon", "modifiedon") if creating else ("modifiedon",)
    users = ("createdby", "modifiedby") if creating else ("modifiedby",)
    for name in moments:
        if name in table.columns:
            values[name] = now
    acting = Reference("systemuser", caller.delegate_id) if caller.delegate_id is not None else None
    for name in users:
        if name in table.columns:
            values[name] = user
            on_behalf = name.replace("by", "onbehalfby")
            if on_behalf in table.columns:
                values[on_behalf] = acting
    if "versionnumber" in table.columns:
        # Microseconds, so that versions rise without a counter that every writer would queue for.
        previous = (before or {}).get("versionnumber") or 0
        values["versionnumber"] = max(previous + 1, int(now.timestamp() * 1_000_000))


def _set_names(table: Table, values: dict[str, Any], before: Mapping[str, Any]) -> None:
    if "fullname" not in table.columns or "lastname" not in table.columns:
        return
    if "firstname" in values or "lastname" in values:
        parts = [values.get(name, before.get(name)) for name in ("firstname", "lastname")]
        values["fullname"] = " ".join(part for part in parts if part) or None


def _mirror_activity(
    tx: Transaction, operation: Operation, table: Table, record_id: UUID, values: Mapping[str, Any], *, creating: bool
) -> None:
    pointer = operation.catalog.table(ACTIVITY)
    shared = {
        name: values[name]
        for name in _ACTIVITY_SHARED
        if name in values and name in pointer.columns and pointer.columns[name].type is not ColumnType.ENTITYNAME
    }
    if creating:
        write.insert(tx, pointer, {**shared, pointer.primary_id: record_id, "activitytypecode": table.logical})
    elif shared:
        write.update(tx, pointer, record_id, shared)
