"""Who asks, what he may, and which rows of a table he sees: the one place where a row's visibility is decided.

`predicate` is put into every logical table (`logical`), and both compilers may name logical tables only, so that no
query can go round it. Its text has one of four forms, after the depth at which the caller may read the table:

    Global              nothing: every row
    Basic, in no team   the row's owner is the caller; an index has his rows in order, however many they are
    Basic               the row's owner is one of a list: the caller and his teams
    Local, Deep         … or its business unit is one of a list; there is no index by unit, because a unit has so much of
                        a table that its own order finds a page sooner

The owner and the lists are parameters, so the text of a plan depends on depths only and is shared by all callers who have them. A table
whose rows hang on other records (`metadata.privileges`) asks whether those are visible. Whoever may not read a table at
all gets PrivilegeDenied, also when it is only linked to. A lookup shows the *name* of its target to everybody who sees
the lookup, as in Dataverse.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import msgspec

from adjourn import config
from adjourn.errors import PrivilegeDenied
from adjourn.metadata.fiscal import USUAL, Calendar
from adjourn.metadata.model import Catalog, Table
from adjourn.metadata.privileges import Depth, Parent, Privilege
from adjourn.store.contract import Dialect

_UTC_TIME_ZONE_CODE = 92
LANGUAGE_CODE = 1033
"""The language of who has not said otherwise."""
REPORTS_DEPTH = 3
"""Levels of reports that a manager has, where the organization does not say otherwise."""
_READ = "prvRead"


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody whose privileges a caller has, himself or a team of his, and what each depth reaches from there.

    owners: whose records Basic reaches. unit: Local. units: Deep, the unit itself among them.
    """

    owners: tuple[UUID, ...]
    unit: UUID
    units: tuple[UUID, ...]
    depths: Mapping[str, Depth]
    """By the privilege's name."""


@dataclass(frozen=True, slots=True)
class Access:
    """Which records a privilege reaches: all, or those of these owners and of these units."""

    everything: bool = False
    owners: tuple[UUID, ...] = ()
    units: tuple[UUID, ...] = ()

    def covers(self, owner: UUID | None, unit: UUID | None) -> bool:
        return self.everything or owner in self.owners or unit in self.units


@dataclass(frozen=True, slots=True)
class Caller:
    """A user on whose behalf something happens.

    timezone_code: Dataverse's number of his time zone (`metadata.timezones`); days and weeks in queries are his.
    is_administrator: he has every privilege at every moment, whatever the rows say; `holders` does not matter then.
    initiating_user_id: who really called, when this user is impersonated. language_code: his language (an LCID).
    calendar: his organization's weeks and fiscal years. reports_depth: how many levels of reports a manager has.
    """

    user_id: UUID
    business_unit_id: UUID
    team_ids: tuple[UUID, ...] = ()
    timezone_code: int = _UTC_TIME_ZONE_CODE
    is_administrator: bool = False
    initiating_user_id: UUID | None = None
    holders: tuple[Holder, ...] = ()
    language_code: int = LANGUAGE_CODE
    calendar: Calendar = USUAL
    reports_depth: int = REPORTS_DEPTH
    forms: Hashable = field(init=False, compare=False, repr=False, default=None)
    """How far he may read what, in the few grades that the text of a predicate knows."""

    def __post_init__(self) -> None:
        found: Hashable = self.is_administrator
        if not self.is_administrator:
            names = {name for holder in self.holders for name in holder.depths if name.startswith(_READ)}
            found = frozenset((name, _form(self, name)) for name in names)
        object.__setattr__(self, "forms", found)

    @property
    def delegate_id(self) -> UUID | None:
        """Who really calls, where somebody acts for this user."""
        return self.initiating_user_id if self.initiating_user_id != self.user_id else None


PLATFORM = Caller(UUID(config.SYSTEM_USER_ID), UUID(config.ROOT_BUSINESS_UNIT_ID), is_administrator=True)
"""adjourn itself: its questions see every row, and are not cut into pages."""


def may(caller: Caller, privilege: str) -> bool:
    """Whether a caller has a privilege, at whatever depth."""
    return depth_of(caller, privilege) is not None


def depth_of(caller: Caller, privilege: str) -> Depth | None:
    """The highest depth at which a caller has a privilege, his teams' included; None if he has not."""
    if caller.is_administrator:
        return Depth.GLOBAL
    return max((holder.depths[privilege] for holder in caller.holders if privilege in holder.depths), default=None)


def access(caller: Caller, privilege: Privilege) -> Access | None:
    """Which records a caller reaches by a privilege; None if he has not got it."""
    depth = depth_of(caller, privilege.name)
    if depth is None:
        return None
    if depth is Depth.GLOBAL:
        return Access(everything=True)
    if not privilege.owned:
        return None
    owners: dict[UUID, None] = {}
    units: dict[UUID, None] = {}
    for holder in caller.holders:
        held = holder.depths.get(privilege.name)
        if held is not None:
            owners |= dict.fromkeys(holder.owners)
            units |= dict.fromkeys(
                () if held is Depth.BASIC else (holder.unit,) if held is Depth.LOCAL else holder.units
            )
    return Access(owners=tuple(owners), units=tuple(units))


def acting_as(caller: Caller, acted: Caller) -> Caller:
    """`acted` as impersonated by `caller`: each privilege at the lower of both depths, on the records of `acted`."""
    if caller.is_administrator:
        return replace(acted, initiating_user_id=caller.user_id)
    holders = acted.holders
    if acted.is_administrator:
        # He reaches everything at every depth; what is left of it is what the caller himself reaches.
        holders = caller.holders
    else:
        holders = tuple(replace(holder, depths=dict(_lowered(holder.depths, caller))) for holder in holders)
    return replace(acted, is_administrator=False, holders=holders, initiating_user_id=caller.user_id)


def require(caller: Caller, privilege: str, catalog: Catalog) -> None:
    """Raises PrivilegeDenied unless the caller has a privilege that is about no record."""
    if not may(caller, privilege):
        raise denied(caller, catalog.privileges[privilege])


def denied(
    caller: Caller, privilege: Privilege, table: Table | None = None, record_id: UUID | None = None
) -> PrivilegeDenied:
    """The documented refusal. record_id: the caller has the privilege, but it does not reach this record."""
    where = ""
    if table is not None:
        where = f" on OTC={table.object_type_code} for entity '{table.logical}' (LocalizedName='{table.display}')"
    who = f"Principal user (Id={caller.user_id}, type=8, businessUnitId={caller.business_unit_id})"
    if record_id is None or (depth := depth_of(caller, privilege.name)) is None:
        problem = f"{who} is missing {privilege.name} privilege (Id={privilege.id}){where}."
        hint = "Add the privilege to a role of the user or of one of his teams."
    else:
        problem = (
            f"{who} has {privilege.name} privilege (Id={privilege.id}){where} at depth {depth.name.title()} only, which "
            f"does not reach the record {record_id}."
        )
        hint = "Give a role the privilege at a greater depth, or the record another owner."
    return PrivilegeDenied(f"{problem} context.Caller={caller.initiating_user_id or caller.user_id}. {hint}")


def depths(caller: Caller) -> Hashable:
    """What of a caller the text of `predicate` depends on; part of the key under which a plan is kept."""
    return caller.forms


def predicate(table: Table, catalog: Catalog, caller: Caller, dialect: Dialect) -> tuple[str, dict[str, Any]]:
    """The condition, over the alias `s`, under which `caller` sees a row of `table`, with its parameters; "" for all.

    The text may depend on the caller's depths (`depths`), never on his ids: they are parameters.
    Raises PrivilegeDenied if he may not read the table at all.
    """
    return ("", {}) if caller.is_administrator else _visible(table, catalog, caller, dialect, "s")


def _visible(
    table: Table, catalog: Catalog, caller: Caller, dialect: Dialect, alias: str
) -> tuple[str, dict[str, Any]]:
    if table.guard.parents:
        parts: list[str] = []
        parameters: dict[str, Any] = {}
        for parent in table.guard.parents:
            text, filled = _through(parent, catalog, caller, dialect, alias)
            parts.append(text)
            parameters |= filled
        return " AND ".join(part for part in parts if part), parameters
    privilege = table.guard.privileges["Read"]
    reached = access(caller, privilege)
    if reached is None:
        raise denied(caller, privilege, table)
    if reached.everything:
        return "", {}
    if len(reached.owners) == 1 and not reached.units:
        name = f"owner_{privilege.name}"
        return f'{alias}."{table.guard.owner}" = {_typed(name, dialect)}', {name: str(reached.owners[0])}
    lists = {"owner": (table.guard.owner, reached.owners), "unit": (table.guard.unit, reached.units)}
    parts, parameters = [], {}
    for kind, (column, ids) in lists.items():
        if ids:
            name = f"{kind}_{privilege.name}"
            parameters[name] = _listed(ids, dialect)
            parts.append(_among(f'{alias}."{column}"', name, dialect))
    return f"({' OR '.join(parts)})", parameters


def _through(
    parent: Parent, catalog: Catalog, caller: Caller, dialect: Dialect, alias: str
) -> tuple[str, dict[str, Any]]:
    """Whether the record that a lookup leads to is visible; of several tables, those that the caller may read."""
    refusal: PrivilegeDenied | None = None
    found: list[tuple[Table, str]] = []
    parameters: dict[str, Any] = {}
    below = f"{alias}p"
    for name in parent.tables:
        target = catalog.tables[name]
        try:
            text, filled = _visible(target, catalog, caller, dialect, below)
        except PrivilegeDenied as error:
            refusal = refusal or error
            continue
        found.append((target, text))
        parameters |= filled
    if not found:
        assert refusal is not None
        raise refusal
    if refusal is None and parent.kind_column is None and not any(text for _, text in found):
        return "", {}
    return f"({' OR '.join(_leads(parent, target, text, alias, below) for target, text in found)})", parameters


def _leads(parent: Parent, target: Table, text: str, alias: str, below: str) -> str:
    column = f'{alias}."{parent.column}"'
    tests = [f"{alias}.\"{parent.kind_column}\" = '{target.logical}'"] if parent.kind_column else []
    if text:
        match = f'{below}."{target.primary_id}" = {column}'
        tests.append(f'EXISTS (SELECT 1 FROM "{target.logical}" AS {below} WHERE {match} AND {text})')
    return f"({' AND '.join(tests)})" if tests else "TRUE"


def _listed(ids: tuple[UUID, ...], dialect: Dialect) -> Any:
    found = [str(each) for each in ids]
    return found if dialect == "postgres" else msgspec.json.encode(found).decode()


def _typed(parameter: str, dialect: Dialect) -> str:
    return f":{parameter}::uuid" if dialect == "postgres" else f":{parameter}"


def _among(expression: str, parameter: str, dialect: Dialect) -> str:
    if dialect == "postgres":
        return f"{expression} = ANY(:{parameter}::uuid[])"
    return f"{expression} IN (SELECT value FROM json_each(:{parameter}))"


def _lowered(depths: Mapping[str, Depth], caller: Caller) -> Mapping[str, Depth]:
    own = {name: depth_of(caller, name) for name in depths}
    return {name: min(depth, found) for name, depth in depths.items() if (found := own[name]) is not None}


def _form(caller: Caller, privilege: str) -> str:
    """Which of the forms the predicate of a reading privilege has."""
    depth = depth_of(caller, privilege)
    if depth is not Depth.BASIC:
        return "all" if depth is Depth.GLOBAL else "units"
    owners = {owner for holder in caller.holders if privilege in holder.depths for owner in holder.owners}
    return "owner" if len(owners) == 1 else "owners"
