"""Rules that keep security itself sound, whoever asks.

The stock administrator can be neither disabled nor deleted nor lose his role, and the role System Administrator cannot
change: nobody can lock everybody out. Nobody gives away what he has not got: a role can be assigned, filled, or reached by
joining a team, only by somebody who has every privilege in it at the same depth; and nobody moves himself, his team or his unit to
where his depths reach more without the privilege to do that. The root business unit stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from adjourn import config
from adjourn.errors import NotSupported, PrivilegeDenied
from adjourn.metadata.model import ManyToMany, Reference
from adjourn.metadata.privileges import ASSIGN_ROLE, REPARENT, Depth
from adjourn.pipeline.callers import ADMIN_ROLE, ADMINISTRATOR, BASIC_USER_ROLE, SYSTEM
from adjourn.pipeline.record import Record
from adjourn.query import security
from adjourn.query.security import Caller

if TYPE_CHECKING:
    from adjourn.pipeline.flow import Flow

_ROOT = UUID(config.ROOT_BUSINESS_UNIT_ID)
_JOINING = ("systemuserroles", "teamroles")
_MEMBERS = "teammembership"
_IDENTITY = ("azureactivedirectoryobjectid", "domainname")
"""By which a token finds its user."""
_WRITTEN_OTHERWISE = {
    "systemuserroles": "associate the user with the role (systemuserroles_association)",
    "teamroles": "associate the team with the role (teamroles_association)",
    "roleprivileges": "use AddPrivilegesRole, RemovePrivilegeRole and ReplacePrivilegesRole",
    "privilege": "they follow from the tables",
}


def check_change(flow: Flow) -> None:
    """Refuse changes of the rows without which there would be no security. Raises NotSupported."""
    if flow.table in _WRITTEN_OTHERWISE:
        raise NotSupported(f"Rows of '{flow.table}' cannot be written: {_WRITTEN_OTHERWISE[flow.table]}.", status=400)
    if flow.table == "businessunit" and flow.message == "Delete" and flow.record_id == _ROOT:
        raise NotSupported("The root business unit cannot be deleted: every other is below it.", status=400)
    if flow.table == "role" and flow.record_id in (ADMIN_ROLE, BASIC_USER_ROLE):
        if flow.message == "Delete" or flow.record_id == ADMIN_ROLE:
            raise NotSupported(f"The stock role {flow.record_id} cannot be changed or deleted.", status=400)
        return
    target = flow.inputs.get("Target")
    if flow.table in REPARENT and flow.message == "Update" and isinstance(target, Record) and not flow.privileged:
        column, moving = REPARENT[flow.table]
        if column in target:
            security.require(flow.call.caller, moving, flow.catalog)
    if flow.table == "systemuser" and isinstance(target, Record) and not flow.call.caller.is_administrator:
        identity = next((name for name in _IDENTITY if target.get(name) is not None), None)
        if identity is not None and flow.message == "Update":
            raise PrivilegeDenied(
                f"Only a system administrator may change '{identity}' of a user: whoever bears it can act as him."
            )
    if flow.table == "systemuser" and flow.record_id in (ADMINISTRATOR, SYSTEM):
        disables = isinstance(target, Record) and flow.record_id == ADMINISTRATOR and bool(target.get("isdisabled"))
        if flow.message == "Delete" or disables:
            raise NotSupported(f"systemuser {flow.record_id} cannot be disabled or deleted.", status=400)


def check_role(flow: Flow, role_id: UUID) -> None:
    """Refuse changes of what the role System Administrator holds. Raises NotSupported."""
    if role_id == ADMIN_ROLE:
        raise NotSupported("The role System Administrator holds every privilege; it cannot be changed.", status=400)


def check_association(flow: Flow, found: ManyToMany, target: Reference, related: Reference) -> bool:
    """Check who gets a role or joins a team; False if the relationship is none of these. Raises PrivilegeDenied."""
    if found.intersect == "roleprivileges":
        raise NotSupported(
            f"Relationship '{found.name}' is read only: {_WRITTEN_OTHERWISE[found.intersect]}.", status=400
        )
    if found.intersect not in (*_JOINING, _MEMBERS):
        return False
    first, second = (target, related) if target.table == found.table1 else (related, target)
    if flow.message == "Disassociate" and (first.id, second.id) == (ADMINISTRATOR, ADMIN_ROLE):
        raise NotSupported("The administrator cannot lose the role System Administrator.", status=400)
    caller = flow.call.caller
    if caller.is_administrator or flow.privileged:
        return True
    principals = flow.pipeline.principals(flow.tx)
    if found.intersect == _MEMBERS:
        team = principals.team(flow.tx, first.id)
        security.require(caller, "prvWriteTeam", flow.catalog)
        held = team.holders[0].depths if team.holders else {}
        everything = team.is_administrator
    else:
        security.require(caller, ASSIGN_ROLE, flow.catalog)
        held = principals.role(flow.tx, second.id).depths
        everything = second.id == ADMIN_ROLE
    if flow.message == "Associate":
        if everything:
            raise PrivilegeDenied(f"Only a system administrator can make another one (role {ADMIN_ROLE}).")
        require_held(flow, caller, held)
    return True


def require_held(flow: Flow, caller: Caller, held: Mapping[str, Depth]) -> None:
    """Raise PrivilegeDenied if somebody would give a privilege that he has not got at that depth."""
    for name, depth in held.items():
        own = security.depth_of(caller, name)
        if own is None or own < depth:
            refusal = security.denied(caller, flow.catalog.privileges[name])
            raise PrivilegeDenied(
                f"{refusal.message} Nobody can give {name} at depth {depth.name.title()} who has not got it himself."
            )
