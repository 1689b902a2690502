"""Users, teams, business units and roles for tests: who has what, in a line each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from adjourn import config
from adjourn.client import Client
from adjourn.metadata.catalog import load
from adjourn.metadata.privileges import Depth
from adjourn.pipeline.call import Request

ROOT = UUID(config.ROOT_BUSINESS_UNIT_ID)
BASIC_USER = UUID(config.BASIC_USER_ROLE_ID)
SYSTEM_ADMINISTRATOR = UUID(config.ADMIN_ROLE_ID)
BASIC, LOCAL, DEEP, GLOBAL = Depth
KINDS = ("Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share")


def unit(org: Client, name: str, parent: UUID = ROOT) -> UUID:
    return org.create("businessunit", {"name": name, "parentbusinessunitid": ("businessunit", parent)})


def user(org: Client, name: str, unit: UUID = ROOT, roles: Iterable[UUID] = (BASIC_USER,)) -> UUID:
    """A user with these roles; Basic User, if nothing is said."""
    values = {"firstname": name, "lastname": "Test", "domainname": name, "businessunitid": ("businessunit", unit)}
    made = org.create("systemuser", values)
    for found in roles:
        org.associate("systemuser", made, "systemuserroles_association", [("role", found)])
    return made


def team(org: Client, name: str, members: Iterable[UUID] = (), unit: UUID = ROOT, roles: Iterable[UUID] = ()) -> UUID:
    values = {"name": name, "teamtype": 0, "businessunitid": ("businessunit", unit)}
    made = org.create("team", {**values, "administratorid": ("systemuser", UUID(config.ADMIN_USER_ID))})
    for member in members:
        org.associate("team", made, "teammembership_association", [("systemuser", member)])
    for found in roles:
        org.associate("team", made, "teamroles_association", [("role", found)])
    return made


def role(org: Client, name: str, held: Mapping[str, Depth], *, inherited: int = 0) -> UUID:
    """A role with these privileges, by name."""
    made = org.create("role", {"name": name, "businessunitid": ("businessunit", ROOT), "isinherited": inherited})
    grant(org, made, held)
    return made


def grant(org: Client, role_id: UUID, held: Mapping[str, Depth]) -> None:
    known = load().privileges
    rows = [{"PrivilegeId": known[name].id, "Depth": depth.name.title()} for name, depth in held.items()]
    org.execute(Request("AddPrivilegesRole", {"RoleId": role_id, "Privileges": rows}))


def everything(name: str, depth: Depth) -> dict[str, Depth]:
    """All privileges of a table at one depth; name: as in the privileges' names, "Account"."""
    known = load().privileges
    return {full: depth for kind in KINDS if (full := f"prv{kind}{name}") in known}
