"""The statements about roles: what a user's and a team's roles hold, the tree of business units, privileges by the hundred."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from adjourn.store.contract import Reader, Transaction


def roles_of_user(reader: Reader, user_id: UUID) -> list[UUID]:
    """The roles that are his own."""
    rows = reader.rows("SELECT roleid FROM systemuserroles WHERE systemuserid = :id", {"id": str(user_id)})
    return [UUID(row[0]) for row in rows]


def roles_of_team(reader: Reader, team_id: UUID) -> list[UUID]:
    """The roles of a team."""
    return [
        UUID(row[0]) for row in reader.rows("SELECT roleid FROM teamroles WHERE teamid = :id", {"id": str(team_id)})
    ]


def role(reader: Reader, role_id: UUID) -> tuple[int, list[tuple[UUID, int]]]:
    """A role's isinherited, and what it holds: privileges with their depth masks."""
    found = reader.rows("SELECT isinherited FROM role WHERE roleid = :id", {"id": str(role_id)})
    held = reader.rows(
        "SELECT privilegeid, privilegedepthmask FROM roleprivileges WHERE roleid = :id", {"id": str(role_id)}
    )
    return int(found[0][0] or 0) if found else 0, [(UUID(row[0]), int(row[1])) for row in held]


def units(reader: Reader) -> list[tuple[UUID, UUID | None]]:
    """Every business unit with the one above it."""
    rows = reader.rows("SELECT businessunitid, parentbusinessunitid FROM businessunit")
    return [(UUID(row[0]), UUID(row[1]) if row[1] else None) for row in rows]


def privilege_ids(reader: Reader) -> set[UUID]:
    """The privileges that have a row."""
    return {UUID(row[0]) for row in reader.rows("SELECT privilegeid FROM privilege")}


def insert_privileges(tx: Transaction, rows: Sequence[dict[str, Any]]) -> None:
    """Insert privileges, in one statement however many they are; those that are there stay."""
    if tx.dialect == "postgres":
        kinds = "privilegeid uuid, name text, accessright integer, canbebasic boolean, canbelocal boolean, canbedeep boolean"
        source = f"SELECT r.*, true, false, false, true, 0 FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r({kinds})"
    else:
        names = ("privilegeid", "name", "accessright", "canbebasic", "canbelocal", "canbedeep")
        picked = ", ".join(f"value ->> '{name}'" for name in names)
        source = f"SELECT {picked}, 1, 0, 0, 1, 0 FROM json_each(:rows) WHERE true"
    tx.execute(
        "INSERT INTO privilege (privilegeid, name, accessright, canbebasic, canbelocal, canbedeep, canbeglobal, "
        f"canbeentityreference, canbeparententityreference, ismanaged, componentstate) {source} ON CONFLICT DO NOTHING",
        {"rows": msgspec.json.encode(rows).decode()},
    )


def hold(tx: Transaction, role_id: UUID, held: Iterable[tuple[UUID, UUID, int]]) -> None:
    """Let a role hold privileges, (row id, privilege, depth mask) each, in one statement; a depth that it has changes."""
    rows = [{"id": str(row), "privilege": str(privilege), "mask": mask} for row, privilege, mask in held]
    if tx.dialect == "postgres":
        source = (
            "SELECT r.id, CAST(:role AS uuid), r.privilege, r.mask FROM jsonb_to_recordset(CAST(:rows AS jsonb)) "
            "AS r(id uuid, privilege uuid, mask integer)"
        )
    else:
        source = (
            "SELECT value ->> 'id', :role, value ->> 'privilege', value ->> 'mask' FROM json_each(:rows) WHERE true"
        )
    tx.execute(
        f"INSERT INTO roleprivileges (roleprivilegeid, roleid, privilegeid, privilegedepthmask) {source} "
        "ON CONFLICT (roleid, privilegeid) DO UPDATE SET privilegedepthmask = excluded.privilegedepthmask",
        {"role": str(role_id), "rows": msgspec.json.encode(rows).decode()},
    )


def release(tx: Transaction, role_id: UUID, privilege_id: UUID | None = None) -> int:
    """Take one privilege from a role, or all."""
    which = "" if privilege_id is None else " AND privilegeid = :privilege"
    parameters = {"role": str(role_id)}
    if privilege_id is not None:
        parameters["privilege"] = str(privilege_id)
    return tx.execute(f"DELETE FROM roleprivileges WHERE roleid = :role{which}", parameters)


def forget_privilege(tx: Transaction, privilege_id: UUID) -> None:
    """Remove a privilege from all roles, and itself."""
    for table in ("roleprivileges", "privilege"):
        tx.execute(f"DELETE FROM {table} WHERE privilegeid = :id", {"id": str(privilege_id)})
