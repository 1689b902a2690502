"""Whether a caller may: the privileges of each message, checked before anything of it is done.

    Create                      Create, at a depth that reaches the new record's owner
    Retrieve                    Read
    Update, SetState            Write
    Delete                      Delete
    Assign, an update of owner  Assign; the new owner must be able to read the table
    a lookup that is set        Append on the record that has it, AppendTo on the one to which it leads
    Associate, Disassociate     Append and AppendTo likewise
    one's own, bound            Read on the record on which it is called

`authorize` needs no row: it refuses whoever has not got the privilege at all, before the transaction begins. `reach` looks,
inside the transaction and before any step of it, whether the depth reaches the record. Stage 10 comes before both, as in
Dataverse. Deletes that a relationship cascades are the platform's own and not checked. Administrators are not asked.
Source: security.md; "Privileges" of Microsoft's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from adjourn.errors import AdjournError, NotSupported, PrivilegeDenied
from adjourn.metadata.model import Catalog, ManyToMany, Reference, Relationship, Table
from adjourn.metadata.privileges import ACT_FOR_OTHERS, Privilege
from adjourn.pipeline import role_rules
from adjourn.pipeline.read import not_found
from adjourn.pipeline.record import Record
from adjourn.query import security, write
from adjourn.query.security import PLATFORM, Caller
from adjourn.store.contract import Reader

if TYPE_CHECKING:
    from adjourn.pipeline.flow import Flow

_KINDS: dict[str, tuple[str, ...]] = {
    "Create": ("Create",),
    "CreateMultiple": ("Create",),
    "Retrieve": ("Read",),
    "Update": ("Write",),
    "UpdateMultiple": ("Write",),
    "Upsert": ("Write", "Create"),
    "UpsertMultiple": ("Write", "Create"),
    "SetState": ("Write",),
    "Delete": ("Delete",),
    "Assign": ("Assign",),
}
"""What kind of privilege a message needs on its table; of several, one at least, until it is clear which it will be."""
_REGISTERED = ("sdkmessage", "sdkmessagefilter")
"""Tables whose rows can be written here and not in Dataverse: messages of one's own are registered over HTTP too."""
_ROW_CHANGES = ("Create", "Update", "Delete")
_CHANGES = ("Create", "Update", "Upsert", "Delete", "CreateMultiple", "UpdateMultiple", "UpsertMultiple")


def authorize(flow: Flow) -> None:
    """What can be refused without looking at a row. Raises PrivilegeDenied, NotSupported."""
    caller, catalog = flow.call.caller, flow.catalog
    table = catalog.tables[flow.table] if flow.table is not None else None
    if table is not None and flow.message in _CHANGES:
        role_rules.check_change(flow)
        _takes(flow, table)
    if caller.is_administrator or flow.privileged:
        return
    for name in flow.privileges:
        security.require(caller, name, catalog)
    kinds = ("Read",) if flow.prepared.bound else _KINDS.get(flow.message)
    if kinds is None or table is None:
        return
    missing = [found for kind in kinds if (found := _missing(caller, catalog, table, kind)) is not None]
    if len(missing) == len(kinds):
        raise missing[0]


def _takes(flow: Flow, table: Table) -> None:
    """Raise NotSupported for a message that a table does not take of anybody: its rows are the platform's own."""
    if flow.privileged or flow.call.registering:
        return
    if table.is_intersect:
        raise NotSupported(f"Rows of '{table.logical}' are made and removed by Associate and Disassociate.", status=400)
    if flow.message in table.messages or flow.message not in _ROW_CHANGES or table.logical in _REGISTERED:
        return
    raise NotSupported(
        f"Table '{table.logical}' does not take the message '{flow.message}': its rows are the platform's own."
    )


def reach(flow: Flow) -> None:
    """Whether the privileges reach the records that the message works on. Raises PrivilegeDenied."""
    if flow.prepared.bound:
        require(
            flow.reader, flow.catalog, flow.call.caller, "Read", flow.catalog.table(flow.table or ""), flow.record_id
        )
        return
    if flow.message in ("Associate", "Disassociate"):
        _associate(flow)
        return
    if flow.privileged or flow.table is None:
        return
    table = flow.catalog.tables[flow.table]
    _spare_the_platforms(flow, table)
    if flow.call.caller.is_administrator:
        return
    target = flow.inputs.get("Target")
    match flow.message:
        case "Create" if isinstance(target, Record):
            _create(flow, table, target)
        case "Update" if isinstance(target, Record):
            _require(flow, "Write", table, target.id)
            _check_values(flow, table, target, creating=False)
        case "SetState":
            _require(flow, "Write", table, flow.record_id)
        case "Delete":
            _require(flow, "Delete", table, flow.record_id)
        case "Assign":
            _require(flow, "Assign", table, flow.record_id)
            _able_to_own(flow, table, flow.inputs["Assignee"])


def _spare_the_platforms(flow: Flow, table: Table) -> None:
    """Raise NotSupported for a change of what the platform has registered: without its messages no step would run."""
    if table.logical not in _REGISTERED or flow.message not in ("Update", "Delete") or flow.call.registering:
        return
    row = write.fetch(flow.reader, table, flow.record_id, ("name", "createdby")) if flow.record_id else None
    if row is not None and row["createdby"] == Reference("systemuser", PLATFORM.user_id):
        raise NotSupported(f"{table.logical} '{row['name']}' is the platform's own: it is neither changed nor deleted.")


def able(caller: Caller, catalog: Catalog, kind: str, table: Table) -> None:
    """Raise PrivilegeDenied if a caller lacks a privilege for a table altogether."""
    if caller.is_administrator:
        return
    refusal = _missing(caller, catalog, table, kind)
    if refusal is not None:
        raise refusal


def require(reader: Reader, catalog: Catalog, caller: Caller, kind: str, table: Table, record_id: UUID | None) -> None:
    """Raise PrivilegeDenied if the caller's privilege does not reach a record. One that is not there passes: others say so."""
    if caller.is_administrator or record_id is None:
        return
    if table.guard.parents:
        _require_parents(reader, catalog, caller, kind, table, record_id)
        return
    privilege = table.guard.needed(kind)
    reached = security.access(caller, privilege)
    if reached is None:
        raise security.denied(caller, privilege, table)
    if reached.everything:
        return
    assert table.guard.owner is not None
    assert table.guard.unit is not None
    row = write.fetch(reader, table, record_id, (table.guard.owner, table.guard.unit))
    if row is not None and not reached.covers(_id(row[table.guard.owner]), _id(row[table.guard.unit])):
        raise security.denied(caller, privilege, table, record_id)


def reaches(reader: Reader, catalog: Catalog, caller: Caller, kind: str, table: Table, record_id: UUID | None) -> bool:
    """Whether the caller's privilege reaches a record."""
    try:
        require(reader, catalog, caller, kind, table, record_id)
    except PrivilegeDenied:
        return False
    return True


def missing(reader: Reader, catalog: Catalog, caller: Caller, table: Table, record_id: UUID) -> AdjournError:
    """Why a caller does not get a record: he may not read it (403), or there is none (404)."""
    if not caller.is_administrator and write.exists(reader, table, record_id):
        return security.denied(caller, _reading(catalog, table), table, record_id)
    return not_found(table, record_id)


def _reading(catalog: Catalog, table: Table) -> Privilege:
    while table.guard.parents:
        table = catalog.tables[table.guard.parents[0].tables[0]]
    return table.guard.privileges["Read"]


def _missing(caller: Caller, catalog: Catalog, table: Table, kind: str) -> AdjournError | None:
    """The refusal of a caller who lacks the privilege for a table, or for every table on which its rows can hang."""
    if table.guard.parents:
        kind = _of_parent(kind)
    for parent in table.guard.parents:
        found = [_missing(caller, catalog, catalog.tables[name], kind) for name in parent.tables]
        if all(found):
            return found[0]
    if table.guard.parents:
        return None
    privilege = table.guard.needed(kind)
    return None if security.may(caller, privilege.name) else security.denied(caller, privilege, table)


def _require(flow: Flow, kind: str, table: Table, record_id: UUID | None) -> None:
    require(flow.tx, flow.catalog, flow.call.caller, kind, table, record_id)


def _require_parents(
    reader: Reader, catalog: Catalog, caller: Caller, kind: str, table: Table, record_id: UUID
) -> None:
    row = write.fetch(reader, table, record_id, [parent.column for parent in table.guard.parents])
    if row is None:
        return
    for parent in table.guard.parents:
        found = row[parent.column]
        name = found.table if isinstance(found, Reference) else parent.tables[0]
        if found is None or name not in catalog.tables:
            raise security.denied(caller, _reading(catalog, table), table, record_id)
        require(reader, catalog, caller, _of_parent(kind), catalog.tables[name], _id(found))


def _create(flow: Flow, table: Table, target: Record) -> None:
    caller = flow.call.caller
    if table.guard.parents:
        for parent in table.guard.parents:
            found = target.values.get(parent.column)
            if not isinstance(found, Reference):
                raise security.denied(caller, _reading(flow.catalog, table), table, target.id)
            _require(flow, _of_parent("Create"), flow.catalog.table(found.table), found.id)
    else:
        _reach_owner(flow, "Create", table, target)
    _check_values(flow, table, target, creating=True)


def _reach_owner(flow: Flow, kind: str, table: Table, target: Record) -> None:
    """Whether a privilege reaches a record that is not there yet, by the owner that it will have."""
    caller = flow.call.caller
    privilege = table.guard.needed(kind)
    reached = security.access(caller, privilege)
    if reached is None:
        raise security.denied(caller, privilege, table)
    if reached.everything:
        return
    owner, unit = caller.user_id, caller.business_unit_id
    if not table.user_owned:
        owner = _id(target.values.get(table.guard.owner or "")) or target.id or owner
    elif (named := target.values.get("ownerid")) is not None and named.id != caller.user_id:
        row = write.fetch(flow.tx, flow.catalog.table(named.table), named.id, ("businessunitid",))
        owner, unit = named.id, _id(row["businessunitid"] if row else None) or unit
    if not reached.covers(owner, unit if table.user_owned else None):
        raise security.denied(caller, privilege, table, target.id)


def _check_values(flow: Flow, table: Table, target: Record, *, creating: bool) -> None:
    """The owner and the lookups that a record is given."""
    caller = flow.call.caller
    owner = target.values.get("ownerid")
    if isinstance(owner, Reference) and table.user_owned and table.logical != "asyncoperation":
        if not creating:
            _require(flow, "Assign", table, target.id)
        _able_to_own(flow, table, owner)
    references = list(_lookups(table, target))
    if references and not table.guard.parents:
        if creating:
            _reach_owner(flow, "Append", table, target)
        else:
            _require(flow, "Append", table, target.id)
    for name, reference in references:
        _require(flow, "AppendTo", flow.catalog.table(reference.table), reference.id)
        if (table.logical, name) == (
            "sdkmessageprocessingstep",
            "impersonatinguserid",
        ) and reference.id != caller.user_id:
            security.require(caller, ACT_FOR_OTHERS, flow.catalog)


def _lookups(table: Table, target: Record) -> Iterator[tuple[str, Reference]]:
    for name, value in target.values.items():
        if isinstance(value, Reference) and name != "ownerid" and table.columns[name].type.is_lookup:
            yield name, value


def _able_to_own(flow: Flow, table: Table, owner: Reference) -> None:
    """A record's owner must be able to read it."""
    if owner.id == flow.call.caller.user_id or not write.exists(flow.tx, flow.catalog.table(owner.table), owner.id):
        return
    principal = flow.pipeline.principals(flow.tx).owner(flow.tx, owner)
    privilege = table.guard.needed("Read")
    if not security.may(principal, privilege.name):
        raise security.denied(principal, privilege, table)


def _associate(flow: Flow) -> None:
    target: Reference = flow.inputs["Target"]
    table = flow.catalog.table(target.table)
    name = flow.inputs["Relationship"]
    found: Relationship | ManyToMany | None = table.by_collection.get(name) or table.by_navigation.get(name)
    if found is None:
        return
    for related in flow.inputs["RelatedEntities"]:
        if isinstance(found, ManyToMany) and role_rules.check_association(flow, found, target, related):
            continue
        if flow.call.caller.is_administrator or flow.privileged:
            continue
        holds_it = isinstance(found, ManyToMany) or name in table.by_navigation
        holder, value = (target, related) if holds_it else (related, target)
        _require(flow, "Append", flow.catalog.table(holder.table), holder.id)
        _require(flow, "AppendTo", flow.catalog.table(value.table), value.id)


def _of_parent(kind: str) -> str:
    """What it takes of the record on which a row hangs: a new row changes that record."""
    return "Write" if kind == "Create" else kind


def _id(value: object) -> UUID | None:
    if isinstance(value, Reference):
        return value.id
    return value if isinstance(value, UUID) else None
