"""The privileges: one per table and kind, and a few that belong to no table; which depths they take, whom they guard.

    depth    mask   a user who holds a table's privilege at this depth reaches
    Basic    1      his own records and those of his teams
    Local    2      … and all records of his business unit
    Deep     4      … and all of the units below it
    Global   8      every record

Tables whose records have an owner take every depth, all others Global alone. Names follow the table's schema name
(prvReadAccount), or its logical name where a caller made it. All activities share the privileges of Activity. Ids follow
from the names, except where Dataverse publishes them.
Source: security.md; "Privileges" and "Security roles" of Microsoft's documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any
from uuid import UUID, uuid5

_NAMESPACE = UUID("6b0f4c1e-0d3a-5b7e-9c55-ad10a0000002")
ACT_FOR_OTHERS = "prvActOnBehalfOfAnotherUser"
ASSIGN_ROLE = "prvAssignRole"
BULK_DELETE = "prvBulkDelete"
REPARENT = {
    "systemuser": ("businessunitid", "prvReparentUser"),
    "team": ("businessunitid", "prvReparentTeam"),
    "businessunit": ("parentbusinessunitid", "prvReparentBusinessUnit"),
}
"""Where somebody stands decides what his depths reach: the lookup that says it, and the privilege to change it."""


class Depth(IntEnum):
    """How far a privilege reaches; the numbers are those of Dataverse's PrivilegeDepth."""

    BASIC = 0
    LOCAL = 1
    DEEP = 2
    GLOBAL = 3

    @property
    def mask(self) -> int:
        """As roleprivileges.privilegedepthmask holds it."""
        return 1 << self


RIGHTS = {
    "Create": 32, "Read": 1, "Write": 2, "Delete": 65_536, "Append": 4, "AppendTo": 16, "Assign": 524_288, "Share": 262_144,
}  # fmt: skip
"""The kinds, with the number that privilege.accessright holds."""
_OWNED_ONLY = ("Assign", "Share")
_PUBLISHED = {
    "prvCreateAsyncOperation": "eba97ff0-c3e4-47e2-a064-84acd680092f",
    "prvReadAsyncOperation": "e84acc8f-0c61-43e3-a716-20964a483bdf",
    "prvWriteAsyncOperation": "4440769e-8d79-41fc-ae45-cd65480ffdba",
    "prvDeleteAsyncOperation": "6ad0b110-c4d5-4dba-9a04-37528ef5df7d",
    BULK_DELETE: "b75a726f-e7aa-44ae-9282-f8776d913bbb",
}
_NAMES = {"systemuser": "User", "privilege": "Role"}
"""Where the name of the privileges is not the table's own."""
_KINDS = {"asyncoperation": ("Create", "Read", "Write", "Delete"), "privilege": ("Read",)}
"""Jobs have no other privileges; a privilege may be read by whoever may read roles."""
_OWNERS = {"usersettings": ("systemuserid", "businessunitid")}
"""Tables that are not user owned, but whose records belong to somebody all the same: his column, and his unit's."""
_PARENTS = {
    "bulkdeletefailure": "asyncoperationid",
    "bulkdeleteoperation": "asyncoperationid",
    "duplicaterecord": "asyncoperationid",
    "duplicaterulecondition": "regardingobjectid",
    "fileattachment": "objectid",
    "workflowlog": "asyncoperationid",
}
"""Tables without privileges: their rows are as open as the record, mostly the job, to which this lookup leads."""
_OF_NO_TABLE = (
    ACT_FOR_OTHERS, ASSIGN_ROLE, BULK_DELETE, *(name for _, name in REPARENT.values()),
    *(f"prv{kind}{part}" for part in ("Entity", "Attribute", "Relationship") for kind in ("Create", "Write", "Delete")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Privilege:
    """One privilege. right 0: it is about no record."""

    name: str
    id: UUID
    right: int
    owned: bool

    @property
    def depths(self) -> tuple[Depth, ...]:
        return tuple(Depth) if self.owned else (Depth.GLOBAL,)


@dataclass(frozen=True, slots=True)
class Parent:
    """A lookup whose record decides; `tables` are those that it can lead to. kind_column: which one a row means."""

    column: str
    tables: tuple[str, ...]
    kind_column: str | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """What decides who may do what with a table's records: privileges of its own by kind, or its parents, all of them."""

    privileges: Mapping[str, Privilege] = field(default_factory=dict)
    owner: str | None = None
    unit: str | None = None
    parents: tuple[Parent, ...] = ()

    def needed(self, kind: str) -> Privilege:
        """The privilege for a kind; where there is none of that kind (jobs cannot be appended to), changing is the nearest."""
        return self.privileges.get(kind) or self.privileges.get("Write") or self.privileges["Read"]


def guard_of(header: Mapping[str, Any], parents: Iterable[Parent]) -> Guard:
    """The guard of a table. header: its document's; parents: what its `parent_column`, or its two ends, lead to."""
    leading = tuple(parents)
    if leading:
        return Guard(parents=leading)
    logical = header["logical"]
    owner, unit = _OWNERS.get(logical, ("ownerid", "owningbusinessunit"))
    owned = header["ownership"] == "UserOwned" or logical in _OWNERS
    name = _NAMES.get(logical) or ("Activity" if header.get("is_activity") else None)
    name = name or (logical if header.get("custom") else header["schema"])
    kinds = _KINDS.get(logical) or [kind for kind in RIGHTS if owned or kind not in _OWNED_ONLY]
    found = {kind: privilege(f"prv{kind}{name}", RIGHTS[kind], owned) for kind in kinds}
    return Guard(found, owner if owned else None, unit if owned else None)


def parent_column(logical: str) -> str | None:
    """The lookup whose record decides about the rows of a table, for the tables without privileges of their own."""
    return _PARENTS.get(logical)


def privilege(name: str, right: int = 0, owned: bool = False) -> Privilege:
    published = _PUBLISHED.get(name)
    return Privilege(name, UUID(published) if published else uuid5(_NAMESPACE, name), right, owned)


def index(guards: Iterable[Guard]) -> dict[str, Privilege]:
    """All privileges by name."""
    found = {name: privilege(name) for name in _OF_NO_TABLE}
    for guard in guards:
        found |= {each.name: each for each in guard.privileges.values()}
    return found


def basic_user(privileges: Mapping[str, Privilege]) -> Iterator[tuple[Privilege, Depth]]:
    """What the stock role Basic User may: work with records of his own, and read how the organization is set up."""
    for depth, names in _BASIC_USER.items():
        for name in names:
            if name in privileges:
                yield privileges[name], depth


_BASIC_USER: Mapping[Depth, tuple[str, ...]] = {
    Depth.BASIC: (
        *(f"prv{kind}{name}" for name in ("Account", "Contact", "Contract", "Activity") for kind in RIGHTS),
        *(f"prv{kind}AsyncOperation" for kind in ("Create", "Read", "Write")),
        *(f"prv{kind}UserSettings" for kind in ("Read", "Write")),
        *(f"prv{kind}UserQuery" for kind in RIGHTS),
        "prvReadWorkflow",
    ),
    Depth.GLOBAL: (
        *(
            f"prvRead{name}"
            for name in (
                "Organization", "BusinessUnit", "User", "Team", "Role", "SdkMessage", "SdkMessageFilter", "SdkMessageProcessingStep",
                "SdkMessageProcessingStepImage", "PluginType", "PluginAssembly", "SavedQuery",
            )
        ),
        *(f"prvAppendTo{name}" for name in ("BusinessUnit", "User", "Team")),
    ),
}  # fmt: skip
