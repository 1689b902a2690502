"""Random organizations: units, users, teams, roles at random depths, records of random owners; and who sees which, in Python."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.support.roles import ROOT

from adjourn.metadata.catalog import load
from adjourn.metadata.model import Reference
from adjourn.metadata.privileges import Depth
from adjourn.query import role_rows, write
from adjourn.store.contract import Store, Transaction

CATALOG = load()
READ = {"account": "prvReadAccount", "contact": "prvReadContact", "asyncoperation": "prvReadAsyncOperation"}
CHANGING = tuple(f"prv{kind}{name}" for kind in ("Write", "Delete") for name in ("Account", "AsyncOperation"))
TABLES = (
    "fileattachment", "workflowlog", "asyncoperation", "contact", "account", "systemuserroles", "teamroles", "roleprivileges",
    "teammembership", "role", "team", "systemuser",
)  # fmt: skip
_STATES = ((0, 0), (1, 10), (3, 30))


@dataclass
class World:
    """Everything by id; `rows` holds the records as the store gets them."""

    parents: dict[UUID, UUID | None] = field(default_factory=dict)
    user_units: dict[UUID, UUID] = field(default_factory=dict)
    team_units: dict[UUID, UUID] = field(default_factory=dict)
    members: dict[UUID, set[UUID]] = field(default_factory=dict)
    roles: dict[UUID, tuple[bool, dict[str, Depth]]] = field(default_factory=dict)
    of_user: dict[UUID, set[UUID]] = field(default_factory=dict)
    of_team: dict[UUID, set[UUID]] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def below(self, unit: UUID) -> set[UUID]:
        found = {unit}
        for _ in self.parents:
            found |= {child for child, parent in self.parents.items() if parent in found}
        return found

    def sees(self, user: UUID, privilege: str, owner: UUID, unit: UUID) -> bool:
        """The rule, said as plainly as it can be: some role of his, or of a team of his, reaches the record."""
        teams = {team for team, members in self.members.items() if user in members}
        for role in self.of_user[user]:
            depth = self.roles[role][1].get(privilege)
            if depth is not None and self.reaches(depth, {user, *teams}, self.user_units[user], owner, unit):
                return True
        for team in teams:
            for role in self.of_team[team]:
                direct, depths = self.roles[role]
                depth = depths.get(privilege)
                if depth is None:
                    continue
                if self.reaches(depth, {team}, self.team_units[team], owner, unit):
                    return True
                if direct and owner in {user, *teams}:
                    return True
        return False

    def acting_sees(self, user: UUID, acted: UUID, privilege: str, owner: UUID, unit: UUID) -> bool:
        """Whether `acted` sees a record when `user` acts for him: each role of his at the lower of its and the other's depth."""
        highest = max((found for _, found in self.held(user, privilege)), default=None)
        if highest is None:
            return False
        teams = {team for team, members in self.members.items() if acted in members}
        for team, depth in self.held(acted, privilege):
            owners, of = ({acted, *teams}, self.user_units[acted]) if team is None else ({team}, self.team_units[team])
            if self.reaches(min(depth, highest), owners, of, owner, unit):
                return True
        return False

    def held(self, user: UUID, privilege: str) -> list[tuple[UUID | None, Depth]]:
        """The depths at which somebody has a privilege, with the team from which it works; None for himself."""
        found: list[tuple[UUID | None, Depth]] = []
        teams = [None, *(team for team, members in self.members.items() if user in members)]
        for team in teams:
            for role in self.of_user[user] if team is None else self.of_team[team]:
                direct, depths = self.roles[role]
                if privilege in depths:
                    found.append((team, depths[privilege]))
                    found += [(None, Depth.BASIC)] if team is not None and direct else []
        return found

    def reaches(self, depth: Depth, owners: set[UUID], unit: UUID, owner: UUID, of: UUID) -> bool:
        if depth is Depth.GLOBAL or owner in owners:
            return True
        return of == unit if depth is Depth.LOCAL else depth is Depth.DEEP and of in self.below(unit)

    def may(self, user: UUID, privilege: str) -> bool:
        roles = self.of_user[user] | {
            role for team, members in self.members.items() if user in members for role in self.of_team[team]
        }
        return any(privilege in self.roles[role][1] for role in roles)

    def visible(self, user: UUID, table: str) -> list[dict[str, Any]] | None:
        """The rows that he sees; None if he may not read the table at all."""
        if not self.may(user, READ[table]):
            return None
        return [
            row
            for row in self.rows[table]
            if self.sees(user, READ[table], row["ownerid"].id, row["owningbusinessunit"].id)
        ]


def build(seed: int) -> World:
    draw = random.Random(seed)
    world = World()
    number = 0

    def new() -> UUID:
        nonlocal number
        number += 1
        return UUID(int=(0x0190_0000_0000_7000_8000 << 48) + (seed % 2**24 << 20) + number)

    def some(found: Any, most: int) -> set[Any]:
        return set(draw.sample(sorted(found), draw.randint(0, min(most, len(found)))))

    world.parents[ROOT] = None
    for _ in range(draw.randint(1, 5)):
        world.parents[new()] = draw.choice(sorted(world.parents))
    units = sorted(world.parents)
    for _ in range(draw.randint(1, 3)):
        depths = {name: draw.choice(list(Depth)) for name in (*READ.values(), *CHANGING) if draw.random() < 0.7}
        world.roles[new()] = (draw.random() < 0.3, depths)
    for _ in range(4):
        made = new()
        world.user_units[made], world.of_user[made] = draw.choice(units), some(world.roles, 2)
    for _ in range(draw.randint(0, 3)):
        made = new()
        world.team_units[made], world.of_team[made] = draw.choice(units), some(world.roles, 2)
        world.members[made] = some(world.user_units, 3)
    owners = [*(("systemuser", each, unit) for each, unit in world.user_units.items())]
    owners += [("team", each, unit) for each, unit in world.team_units.items()]

    def owned() -> dict[str, Any]:
        table, owner, unit = draw.choice(owners)
        # A record keeps the unit of an owner who has moved since.
        unit = unit if draw.random() < 0.8 else draw.choice(units)
        return {"ownerid": Reference(table, owner), "owningbusinessunit": Reference("businessunit", unit)}

    accounts, contacts = [new() for _ in range(8)], [new() for _ in range(8)]
    world.rows["account"] = [
        {"accountid": each, "name": f"a{place}", "primarycontactid": _to("contact", draw, contacts), **owned()}
        for place, each in enumerate(accounts)
    ]
    world.rows["contact"] = [
        {"contactid": each, "fullname": f"c{place}", "parentcustomerid": _to("account", draw, accounts), **owned()}
        for place, each in enumerate(contacts)
    ]
    world.rows["asyncoperation"] = []
    for place in range(12):
        state, status = draw.choice(_STATES)
        row = {"asyncoperationid": new(), "name": f"j{place}", "operationtype": draw.choice((1, 54)), **owned()}
        world.rows["asyncoperation"].append({**row, "statecode": state, "statuscode": status})
    jobs = [row["asyncoperationid"] for row in world.rows["asyncoperation"]]
    world.rows["workflowlog"] = [
        {"workflowlogid": new(), "asyncoperationid": Reference("asyncoperation", draw.choice(jobs))} for _ in range(5)
    ]
    logs = [row["workflowlogid"] for row in world.rows["workflowlog"]]
    world.rows["fileattachment"] = [
        {"fileattachmentid": new(), "filename": f"f{place}", "objectid": draw.choice(
            [None, Reference("asyncoperation", draw.choice(jobs)), Reference("workflowlog", draw.choice(logs))])}
        for place in range(6)
    ]  # fmt: skip
    return world


def fill(store: Store, world: World) -> None:
    """Make the store this organization, whatever it was before; only the stock rows stay."""

    def unit(tx: Transaction) -> None:
        for table in TABLES:
            key = CATALOG.tables[table].primary_id
            kept = "" if table in (*READ, "workflowlog", "fileattachment") else _stock(table)
            tx.execute(f'DELETE FROM "{table}"{kept}')
        tx.execute("DELETE FROM businessunit WHERE parentbusinessunitid IS NOT NULL")
        for each, parent in world.parents.items():
            if parent is not None:
                _put(tx, "businessunit", businessunitid=each, parentbusinessunitid=Reference("businessunit", parent))
        for each, found in world.user_units.items():
            _put(tx, "systemuser", systemuserid=each, businessunitid=Reference("businessunit", found), isdisabled=False)
        for each, found in world.team_units.items():
            _put(tx, "team", teamid=each, name="team", businessunitid=Reference("businessunit", found))
        for place, (each, (direct, depths)) in enumerate(world.roles.items()):
            _put(tx, "role", roleid=each, name=f"role {place}", isinherited=int(direct))
            held = [CATALOG.privileges[name] for name in depths]
            rows = [(_key(each, found.id), found.id, depths[found.name].mask) for found in held]
            if rows:
                role_rows.hold(tx, each, rows)
        for intersect, first, pairs in (
            ("systemuserroles", "systemuserid", world.of_user),
            ("teamroles", "teamid", world.of_team),
        ):
            for one, roles in pairs.items():
                for other in roles:
                    key = CATALOG.tables[intersect].primary_id
                    _put(tx, intersect, **{key: _key(one, other), first: one, "roleid": other})
        for one, members in world.members.items():
            for other in members:
                _put(tx, "teammembership", teammembershipid=_key(one, other), teamid=one, systemuserid=other)
        for table, rows_of in world.rows.items():
            for row in rows_of:
                completed = {"completedon": tx.now} if row.get("statecode") == 3 else {}
                _put(tx, table, **row, **completed)

    store.write(unit)


def _to(table: str, draw: random.Random, ids: list[UUID]) -> Reference | None:
    return Reference(table, draw.choice(ids)) if draw.random() < 0.8 else None


def _key(one: UUID, other: UUID) -> UUID:
    return UUID(int=(one.int ^ (other.int << 7)) % 2**128)


def _put(tx: Transaction, table: str, **values: Any) -> None:
    write.insert(tx, CATALOG.tables[table], values)


def _stock(table: str) -> str:
    """A condition that spares what bootstrap wrote: its ids begin alike."""
    column = {
        "systemuserroles": "systemuserid",
        "teamroles": "roleid",
        "roleprivileges": "roleid",
        "teammembership": "teamid",
    }
    key = column.get(table, CATALOG.tables[table].primary_id)
    spared = "NOT LIKE '0ad10000-%'"
    if table == "team":
        return " WHERE isdefault IS NOT TRUE"
    return f' WHERE CAST("{key}" AS text) {spared}'
