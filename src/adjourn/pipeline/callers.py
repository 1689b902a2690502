"""From the rows of users, teams, roles and business units to a `Caller`, and to what a team may.

What is read is kept with the snapshot of the configuration that it belongs to (`registry`): `configversion` rises with
every change of these rows, so a role given or taken holds at the next operation, on every host.

A user has his own roles, and those of his teams. A team's role works from the team: Basic reaches the team's records,
Local the team's unit, Deep the units below that. A role whose isinherited is 1 gives each member of the team the Basic
depth of what it holds as well, as if it were his own. Every unit shares one row of a role.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from adjourn import config
from adjourn.errors import PrivilegeDenied, Unauthenticated
from adjourn.metadata import fiscal, timezones
from adjourn.metadata.model import Catalog, Reference
from adjourn.metadata.privileges import Depth
from adjourn.query import role_rows, write
from adjourn.query.security import LANGUAGE_CODE, REPORTS_DEPTH, Caller, Holder
from adjourn.store.contract import Reader

ORGANIZATION = UUID(config.ORGANIZATION_ID)
SYSTEM = UUID(config.SYSTEM_USER_ID)
ADMINISTRATOR = UUID(config.ADMIN_USER_ID)
ADMIN_ROLE = UUID(config.ADMIN_ROLE_ID)
BASIC_USER_ROLE = UUID(config.BASIC_USER_ROLE_ID)
ROOT_UNIT = UUID(config.ROOT_BUSINESS_UNIT_ID)
_DIRECT = 1
"""role.isinherited: members of a team have it themselves too."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a role holds, by the privilege's name. direct: a team's members have its Basic depth themselves."""

    depths: Mapping[str, Depth]
    direct: bool


class Principals:
    """Users and teams as one snapshot of the configuration knows them. cached: the snapshot's own dictionary."""

    def __init__(self, catalog: Catalog, cached: dict[Any, Any]) -> None:
        self._catalog = catalog
        self._cached = cached

    def caller(self, reader: Reader, user_id: UUID) -> Caller:
        """A user as a caller. Raises Unauthenticated for an unknown one, PrivilegeDenied for a disabled one."""
        found: Caller | None = self._cached.get(user_id)
        if found is None:
            found = self._cached[user_id] = self._load(reader, user_id)
        return found

    def team(self, reader: Reader, team_id: UUID) -> Caller:
        """What a team may by its own roles, in the form of a caller, who is nobody."""
        key = ("team", team_id)
        found: Caller | None = self._cached.get(key)
        if found is None:
            held = role_rows.roles_of_team(reader, team_id)
            holder = self._team_holder(reader, team_id, held)
            found = Caller(team_id, holder.unit, (team_id,), is_administrator=ADMIN_ROLE in held, holders=(holder,))
            self._cached[key] = found
        return found

    def owner(self, reader: Reader, owner: Reference) -> Caller:
        """A user or a team, for what it may own."""
        return self.team(reader, owner.id) if owner.table == "team" else self.caller(reader, owner.id)

    def role(self, reader: Reader, role_id: UUID) -> Role:
        """What a role holds; nothing, if there is none."""
        key = ("role", role_id)
        found: Role | None = self._cached.get(key)
        if found is None:
            inherited, held = role_rows.role(reader, role_id)
            names = self._names()
            depths = {names[each]: Depth(mask.bit_length() - 1) for each, mask in held if each in names}
            found = self._cached[key] = Role(depths, inherited == _DIRECT)
        return found

    def _load(self, reader: Reader, user_id: UUID) -> Caller:
        row = write.fetch(reader, self._catalog.table("systemuser"), user_id, ("businessunitid", "isdisabled"))
        if row is None:
            raise Unauthenticated(f"systemuser {user_id} does not exist in this organization.", code=0x80072560)
        if row["isdisabled"] and user_id != SYSTEM:
            raise PrivilegeDenied(f"systemuser {user_id} is disabled.", code=0x80040204)
        names = ("timezonecode", "uilanguageid")
        settings = write.fetch(reader, self._catalog.table("usersettings"), user_id, names) or {}
        columns = (*fiscal.COLUMNS, "maxdepthforhierarchicalsecuritymodel")
        organization = write.fetch(reader, self._catalog.table("organization"), ORGANIZATION, columns) or {}
        zone = settings.get("timezonecode")
        unit = row["businessunitid"].id if row["businessunitid"] else ROOT_UNIT
        membership = self._catalog.table("teammembership")
        teams = tuple(sorted(write.referencing_values(reader, membership, "systemuserid", user_id, "teamid")))
        held = {None: role_rows.roles_of_user(reader, user_id)}
        of_teams = {team: role_rows.roles_of_team(reader, team) for team in teams}
        everything = user_id in (ADMINISTRATOR, SYSTEM) or any(
            ADMIN_ROLE in roles for roles in (*held.values(), *of_teams.values())
        )
        holders: list[Holder] = []
        if not everything:
            own = [self.role(reader, role).depths for role in held[None]]
            for roles in of_teams.values():
                found = [self.role(reader, role) for role in roles]
                own.extend(dict.fromkeys(role.depths, Depth.BASIC) for role in found if role.direct)
            holders.append(Holder((user_id, *teams), unit, self._below(reader, unit), _highest(own)))
            holders.extend(self._team_holder(reader, team, roles) for team, roles in of_teams.items() if roles)
        return Caller(
            user_id=user_id,
            business_unit_id=unit,
            team_ids=teams,
            timezone_code=timezones.UTC_CODE if zone is None else zone,
            language_code=settings.get("uilanguageid") or LANGUAGE_CODE,
            calendar=fiscal.of_organization(organization),
            reports_depth=organization.get("maxdepthforhierarchicalsecuritymodel") or REPORTS_DEPTH,
            is_administrator=everything,
            holders=tuple(holder for holder in holders if holder.depths),
        )

    def _team_holder(self, reader: Reader, team_id: UUID, roles: Iterable[UUID]) -> Holder:
        row = write.fetch(reader, self._catalog.table("team"), team_id, ("businessunitid",))
        unit = row["businessunitid"].id if row and row["businessunitid"] else ROOT_UNIT
        depths = _highest(self.role(reader, role).depths for role in roles)
        return Holder((team_id,), unit, self._below(reader, unit), depths)

    def _names(self) -> Mapping[UUID, str]:
        found: Mapping[UUID, str] | None = self._cached.get("privileges")
        if found is None:
            found = {each.id: name for name, each in self._catalog.privileges.items()}
            self._cached["privileges"] = found
        return found

    def _below(self, reader: Reader, unit: UUID) -> tuple[UUID, ...]:
        """A unit and all below it."""
        children: dict[UUID | None, list[UUID]] | None = self._cached.get("units")
        if children is None:
            children = {}
            for child, above in role_rows.units(reader):
                children.setdefault(above, []).append(child)
            self._cached["units"] = children
        found = {unit: None}
        waiting = [unit]
        while waiting:
            for child in children.get(waiting.pop(), ()):
                if child not in found:  # a unit below itself would have no end
                    found[child] = None
                    waiting.append(child)
        return tuple(found)


def _highest(held: Iterable[Mapping[str, Depth]]) -> Mapping[str, Depth]:
    """Several roles together: the highest depth of each privilege."""
    found: dict[str, Depth] = {}
    for depths in held:
        for name, depth in depths.items():
            found[name] = max(depth, found.get(name, depth))
    return found
