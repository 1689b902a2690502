"""The rows of the privileges, and of the roles that every organization has: System Administrator and Basic User.

Written at every opening as far as they are missing, so databases of earlier versions and tables of newer ones get theirs.
What administrators change in Basic User stays changed: it gets its share of a privilege once, when the privilege is new.
System Administrator holds everything at every moment (`security.Caller.is_administrator`); its rows say so too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID, uuid5

from adjourn.metadata.model import Catalog, ManyToMany, Reference
from adjourn.metadata.privileges import Depth, Privilege, basic_user
from adjourn.pipeline import core
from adjourn.pipeline.callers import ADMIN_ROLE, ADMINISTRATOR, BASIC_USER_ROLE, ROOT_UNIT, SYSTEM
from adjourn.query import role_rows, write
from adjourn.query.security import PLATFORM
from adjourn.store.contract import Reader, Transaction

_NAMES = {ADMIN_ROLE: "System Administrator", BASIC_USER_ROLE: "Basic User"}
_GRANTED = UUID("6b0f4c1e-0d3a-5b7e-9c55-ad10a0000003")


def lacking(reader: Reader, catalog: Catalog) -> bool:
    """Whether anything is missing."""
    roles = catalog.table("role")
    if not all(write.exists(reader, roles, role_id) for role_id in _NAMES):
        return True
    there = role_rows.privilege_ids(reader)
    return any(privilege.id not in there for privilege in catalog.privileges.values())


def complete(tx: Transaction, catalog: Catalog) -> None:
    """Write what is missing."""
    made = _write_roles(tx, catalog)
    _share(tx, made, catalog.privileges)
    there = role_rows.privilege_ids(tx)
    add(tx, catalog, [privilege for privilege in catalog.privileges.values() if privilege.id not in there])


def add(tx: Transaction, catalog: Catalog, privileges: Iterable[Privilege]) -> None:
    """New privileges, with the shares of the stock roles in them."""
    new = list(privileges)
    if not new:
        return
    role_rows.insert_privileges(tx, [_row(privilege) for privilege in new])
    _share(tx, _NAMES, {privilege.name: privilege for privilege in new})


def follow(tx: Transaction, before: Catalog, after: Catalog) -> None:
    """The privileges of tables that a change of the metadata made, and no longer those of tables that it dropped."""
    add(tx, after, [each for name, each in after.privileges.items() if name not in before.privileges])
    for name, privilege in before.privileges.items():
        if name not in after.privileges:
            role_rows.forget_privilege(tx, privilege.id)


def granted_id(role_id: UUID, privilege_id: UUID) -> UUID:
    """The id of the row that says that a role holds a privilege."""
    return uuid5(_GRANTED, f"{role_id}:{privilege_id}")


def _share(tx: Transaction, role_ids: Iterable[UUID], privileges: Mapping[str, Privilege]) -> None:
    """The shares of stock roles in these privileges."""
    for role_id in role_ids:
        everything = ((privilege, Depth.GLOBAL) for privilege in privileges.values())
        _hold(tx, role_id, everything if role_id == ADMIN_ROLE else basic_user(privileges))


def _write_roles(tx: Transaction, catalog: Catalog) -> list[UUID]:
    """The stock roles that were not there, and the administrator's own; which ones were made."""
    table = catalog.table("role")
    made = []
    for role_id, name in _NAMES.items():
        if write.exists(tx, table, role_id):
            continue
        values = {"name": name, "businessunitid": Reference("businessunit", ROOT_UNIT), "ismanaged": True}
        core.complete(table, values, role_id, PLATFORM, tx.now)
        write.insert(tx, table, values)
        made.append(role_id)
    if not role_rows.roles_of_user(tx, ADMINISTRATOR):
        for user_id in (ADMINISTRATOR, SYSTEM):
            _give(tx, catalog, user_id)
    return made


def _give(tx: Transaction, catalog: Catalog, user_id: UUID) -> None:
    users = catalog.table("systemuser")
    association = users.by_collection["systemuserroles_association"]
    assert isinstance(association, ManyToMany)
    if write.exists(tx, users, user_id):
        joining = catalog.table(association.intersect)
        write.link(tx, association, user_id, ADMIN_ROLE, joining, uuid5(_GRANTED, str(user_id)))


def _hold(tx: Transaction, role_id: UUID, held: Iterable[tuple[Privilege, Depth]]) -> None:
    rows = [(granted_id(role_id, privilege.id), privilege.id, depth.mask) for privilege, depth in held]
    if rows:
        role_rows.hold(tx, role_id, rows)


def _row(privilege: Privilege) -> dict[str, object]:
    return {
        "privilegeid": str(privilege.id),
        "name": privilege.name,
        "accessright": privilege.right,
        "canbebasic": Depth.BASIC in privilege.depths,
        "canbelocal": Depth.LOCAL in privilege.depths,
        "canbedeep": Depth.DEEP in privilege.depths,
    }
