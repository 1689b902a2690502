"""What a role holds, and what a user or team has: the messages about privileges.

A privilege travels as {"PrivilegeId": …, "Depth": "Basic"}; the depth also as its number. Answers add PrivilegeName and
BusinessUnitId. Source: messages of the table role of Microsoft's reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from adjourn import errors
from adjourn.errors import InvalidRequest, NotFound
from adjourn.metadata import values
from adjourn.metadata.model import Catalog, Reference
from adjourn.metadata.privileges import Depth, Privilege
from adjourn.pipeline import access, role_rules, stock_roles, validate
from adjourn.pipeline.call import Request
from adjourn.pipeline.prepared import Message, Prepared
from adjourn.pipeline.read import not_found
from adjourn.query import role_rows, security, write
from adjourn.query.security import Caller

if TYPE_CHECKING:
    from adjourn.pipeline.flow import Flow

PRIVILEGES_MAX = 10_000
"""In one request; an organization of a thousand tables has fewer."""
_PARTS = ("PrivilegeId", "Depth", "PrivilegeName", "BusinessUnitId", "RecordFilterId", "RecordFilterUniqueName")
_DEPTHS = {depth.name.title(): depth for depth in Depth}


def _prepare(message: str, key: str, table: str, *others: str) -> Callable[[Catalog, Request], Prepared]:
    def prepare(catalog: Catalog, request: Request) -> Prepared:
        validate.parameters(message, request.parameters, (key, *others), ())
        given = request.parameters[key]  # an id, or the record that the message was called on
        record_id = validate.reference(catalog, given if isinstance(given, Reference) else (table, given), key).id
        inputs: dict[str, Any] = {**request.parameters, key: record_id}
        if "Privileges" in others:
            inputs["Privileges"] = _privileges(catalog, request.parameters["Privileges"])
        if "PrivilegeId" in others:
            known = {str(privilege.id): privilege for privilege in catalog.privileges.values()}
            inputs["PrivilegeId"] = _known(known, request.parameters["PrivilegeId"]).id
        return Prepared(table, record_id, inputs)

    return prepare


def _perform_add(flow: Flow) -> dict[str, Any]:
    _grant(flow)
    return {}


def _perform_replace(flow: Flow) -> dict[str, Any]:
    role_id = _role(flow)
    role_rows.release(flow.tx, role_id)
    _grant(flow)
    return {}


def _perform_remove(flow: Flow) -> dict[str, Any]:
    role_rows.release(flow.tx, _role(flow), flow.inputs["PrivilegeId"])
    return {}


def _perform_of_role(flow: Flow) -> dict[str, Any]:
    _require_readable(flow)
    role = flow.pipeline.principals(flow.reader).role(flow.reader, flow.inputs["RoleId"])
    unit = write.fetch(flow.reader, flow.catalog.table("role"), flow.inputs["RoleId"], ("businessunitid",))
    return _answer(flow, role.depths, unit["businessunitid"].id if unit and unit["businessunitid"] else None)


def _perform_of_principal(flow: Flow) -> dict[str, Any]:
    assert flow.record_id is not None
    if flow.record_id != flow.call.caller.user_id:
        _require_readable(flow)
    found = flow.pipeline.principals(flow.reader).owner(flow.reader, Reference(flow.table or "", flow.record_id))
    return _answer(flow, _depths(flow.catalog, found), found.business_unit_id)


ALL = (
    Message(
        "AddPrivilegesRole",
        _prepare("AddPrivilegesRole", "RoleId", "role", "Privileges"),
        _perform_add,
        privileges=("prvWriteRole",),
    ),
    Message(
        "ReplacePrivilegesRole",
        _prepare("ReplacePrivilegesRole", "RoleId", "role", "Privileges"),
        _perform_replace,
        privileges=("prvWriteRole",),
    ),
    Message(
        "RemovePrivilegeRole",
        _prepare("RemovePrivilegeRole", "RoleId", "role", "PrivilegeId"),
        _perform_remove,
        privileges=("prvWriteRole",),
    ),
    Message(
        "RetrieveRolePrivilegesRole",
        _prepare("RetrieveRolePrivilegesRole", "RoleId", "role"),
        _perform_of_role,
        reads=True,
        outputs=("RolePrivileges",),
    ),
    Message(
        "RetrieveUserPrivileges",
        _prepare("RetrieveUserPrivileges", "UserId", "systemuser"),
        _perform_of_principal,
        reads=True,
        outputs=("RolePrivileges",),
    ),
    Message(
        "RetrieveTeamPrivileges",
        _prepare("RetrieveTeamPrivileges", "TeamId", "team"),
        _perform_of_principal,
        reads=True,
        outputs=("RolePrivileges",),
    ),
)
ROLE_MESSAGES = tuple(message.name for message in ALL)


def _grant(flow: Flow) -> None:
    role_id = _role(flow)
    wanted: Mapping[str, Depth] = {privilege.name: depth for privilege, depth in flow.inputs["Privileges"]}
    if not flow.call.caller.is_administrator:
        role_rules.require_held(flow, flow.call.caller, wanted)
    rows = []
    for name, depth in wanted.items():
        privilege = flow.catalog.privileges[name]
        rows.append((stock_roles.granted_id(role_id, privilege.id), privilege.id, depth.mask))
    if rows:
        role_rows.hold(flow.tx, role_id, rows)


def _role(flow: Flow) -> UUID:
    role_id: UUID = flow.inputs["RoleId"]
    role_rules.check_role(flow, role_id)
    table = flow.catalog.table("role")
    if not write.exists(flow.tx, table, role_id):
        raise not_found(table, role_id)
    return role_id


def _require_readable(flow: Flow) -> None:
    table = flow.catalog.table(flow.table or "")
    assert flow.record_id is not None
    access.require(flow.reader, flow.catalog, flow.call.caller, "Read", table, flow.record_id)
    if not write.exists(flow.reader, table, flow.record_id):
        raise not_found(table, flow.record_id)


def _depths(catalog: Catalog, found: Caller) -> dict[str, Depth]:
    held = {name: security.depth_of(found, name) for name in catalog.privileges}
    return {name: depth for name, depth in held.items() if depth is not None}


def _answer(flow: Flow, depths: Mapping[str, Depth], unit: UUID | None) -> dict[str, Any]:
    found = [
        {
            "Depth": depth.name.title(),
            "PrivilegeId": flow.catalog.privileges[name].id,
            "BusinessUnitId": unit,
            "PrivilegeName": name,
        }
        for name, depth in sorted(depths.items())
    ]
    return {"RolePrivileges": found}


def _privileges(catalog: Catalog, found: Any) -> list[tuple[Privilege, Depth]]:
    if not isinstance(found, list | tuple) or not all(isinstance(item, Mapping) for item in found):
        raise InvalidRequest("Parameter 'Privileges' must be a list of {PrivilegeId, Depth}.")
    if len(found) > PRIVILEGES_MAX:
        raise InvalidRequest(f"Parameter 'Privileges' takes {PRIVILEGES_MAX:,} privileges, found {len(found):,}.")
    known = {str(privilege.id): privilege for privilege in catalog.privileges.values()}
    return [_privilege(known, item) for item in found]


def _privilege(known: Mapping[str, Privilege], item: Mapping[str, Any]) -> tuple[Privilege, Depth]:
    for name in item:
        if name not in _PARTS and "@" not in name:
            raise InvalidRequest(
                f"A privilege of a role has no '{str(name)[:100]}'.{errors.nearest(str(name), _PARTS)}"
            )
    privilege = _known(known, item.get("PrivilegeId"))
    given = item.get("Depth")
    depth = _DEPTHS.get(given) if isinstance(given, str) else None
    if depth is None and isinstance(given, int) and not isinstance(given, bool) and given in tuple(Depth):
        depth = Depth(given)
    if depth not in privilege.depths:
        accepted = ", ".join(each.name.title() for each in privilege.depths)
        raise InvalidRequest(f"{privilege.name} can be held at depth {accepted}, not {str(given)[:50]!r}.")
    return privilege, depth


def _known(known: Mapping[str, Privilege], given: Any) -> Privilege:
    found = known.get(str(values.guid(given, "PrivilegeId")))
    if found is None:
        raise NotFound(f"privilege With Id = {given} Does Not Exist")
    return found
