"""What a table, a column, a choice and a relationship are. Plain data; `catalog` reads it from the JSON files.

DDL, name resolution, validation, labels and $metadata all come from these objects, and from nothing else.
Source: asyncoperation.json and tables/*.json of the reference, one file per table under `data/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from adjourn import errors
from adjourn.metadata.privileges import Guard, Privilege


class Reference(NamedTuple):
    """A lookup's value: which record of which table. Equal to the plain pair `("account", id)`."""

    table: str
    id: UUID


class ColumnType(StrEnum):
    """Dataverse's attribute types. How each lies in SQL: docs/decisions, "How values lie in the stores"."""

    UNIQUEIDENTIFIER = "Uniqueidentifier"
    STRING = "String"
    MEMO = "Memo"
    INTEGER = "Integer"
    BIGINT = "BigInt"
    BOOLEAN = "Boolean"
    DATETIME = "DateTime"
    DATE = "DateOnly"
    DECIMAL = "Decimal"
    DOUBLE = "Double"
    MONEY = "Money"
    PICKLIST = "Picklist"
    STATE = "State"
    STATUS = "Status"
    MULTISELECT = "MultiSelectPicklist"
    LOOKUP = "Lookup"
    OWNER = "Owner"
    CUSTOMER = "Customer"
    ENTITYNAME = "EntityName"
    FILE = "File"
    MANAGEDPROPERTY = "ManagedProperty"

    @property
    def is_lookup(self) -> bool:
        return self in (ColumnType.LOOKUP, ColumnType.OWNER, ColumnType.CUSTOMER)

    @property
    def is_choice(self) -> bool:
        return self in (ColumnType.PICKLIST, ColumnType.STATE, ColumnType.STATUS)


@dataclass(frozen=True, slots=True)
class Option:
    """One value of a choice. `state` is set for status options, `default_status` for state options."""

    value: int
    label: str
    state: int | None = None
    default_status: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A named list of options; a Boolean column has one with the values 0 and 1."""

    name: str
    options: Mapping[int, Option]

    def label(self, value: int) -> str | None:
        option = self.options.get(value)
        return option.label if option else None


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `logical` is its only spelling in SQL, OData, FetchXML, Python and tests.

    storage: "row" lies in the table, "text" in its long-text side table, "derived" is computed by the logical table
    (`derives` says from which column: `statecodename` from statecode, `createdbyname` from createdby), "job" is that of
    the system job to which the row belongs (`asyncoperationid`): of a job's state there is no second copy.
    readable False: kept, but no language sees it (Dataverse's IsValidForRead false, and our internal columns).
    """

    table: str
    logical: str
    schema: str
    type: ColumnType
    display: str = ""
    required: bool = False
    creatable: bool = True
    updatable: bool = True
    readable: bool = True
    max_length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    precision: int = 0
    default: Any = None
    targets: tuple[str, ...] = ()
    choice: Choice | None = None
    storage: str = "row"
    derives: str | None = None
    description: str = ""
    custom: bool = False
    """Made by a caller, not shipped with adjourn."""
    format: str | None = None
    """How clients are to show it (Email, Url, Phone …), where it is not the usual of its type."""
    size_kb_max: int | None = None
    """Of a file column: how large its files may be."""
    file_of: str | None = None
    """It holds the name of the file in this column."""

    @property
    def polymorphic(self) -> bool:
        """A lookup to several tables; which one a row means lies in `type_column`."""
        return self.type.is_lookup and (len(self.targets) > 1 or self.type is ColumnType.OWNER)

    @property
    def type_column(self) -> str | None:
        """The SQL column that holds a polymorphic lookup's table name (`owneridtype`, `regardingobjecttypecode`)."""
        if not self.polymorphic:
            return None
        return TYPE_COLUMNS.get(self.logical, f"{self.logical}type")

    @property
    def property(self) -> str:
        """Its name in OData: `_ownerid_value` for a lookup, the logical name otherwise."""
        return f"_{self.logical}_value" if self.type.is_lookup else self.logical


TYPE_COLUMNS = {
    "ownerid": "owneridtype",
    "regardingobjectid": "regardingobjecttypecode",
    "objectid": "objectidtypecode",
    "eventhandler": "eventhandlertypecode",
}


@dataclass(frozen=True, slots=True)
class Relationship:
    """Many-to-one from a lookup column; read from the other end it is the one-to-many.

    navigation: the single-valued property on the referencing table (`regardingobjectid_account`, `createdby`).
    name: the schema name, which is also the collection-valued property on the referenced table
    (`Account_AsyncOperations`). delete: NoCascade, Cascade, RemoveLink or Restrict.
    """

    name: str
    referencing: str
    column: str
    referenced: str
    referenced_column: str
    navigation: str
    delete: str = "NoCascade"
    hierarchical: bool = False
    """Whether it makes a tree of its table's records; a table has at most one such relationship, to itself."""


@dataclass(frozen=True, slots=True)
class ManyToMany:
    """Two tables joined by an intersect table; the name is the navigation property on both sides."""

    name: str
    intersect: str
    table1: str
    column1: str
    table2: str
    column2: str


@dataclass(frozen=True, slots=True)
class AlternateKey:
    """Columns whose values name one record, `accounts(accountnumber='A-1')`; a unique index keeps it so."""

    name: str
    schema: str
    display: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table with everything that is known of it.

    ownership: "UserOwned" has ownerid and owning* columns, "BusinessOwned", "OrganizationOwned", "None".
    messages: the pipeline messages that callers may use on it.
    """

    logical: str
    schema: str
    entityset: str
    display: str
    display_collection: str
    primary_id: str
    primary_name: str | None
    object_type_code: int
    ownership: str
    columns: Mapping[str, Column]
    messages: frozenset[str] = frozenset()
    many_to_one: tuple[Relationship, ...] = ()
    one_to_many: tuple[Relationship, ...] = ()
    many_to_many: tuple[ManyToMany, ...] = ()
    is_activity: bool = False
    is_intersect: bool = False
    custom: bool = False
    """Made by a caller: metadata requests may change and drop it, those that ship with adjourn they may not."""
    customizable: bool = False
    """Takes columns, relationships and keys of callers: their own tables, and the business tables that ship."""
    description: str = ""
    events: bool = True
    """Whether steps may be registered on its Create, Update and Delete (not on asyncoperation)."""
    keys: tuple[AlternateKey, ...] = ()
    guard: Guard = field(default_factory=Guard)
    """Which privileges govern it."""
    by_property: Mapping[str, Column] = field(default_factory=dict)
    """The readable columns by their OData name."""
    by_navigation: Mapping[str, Relationship] = field(default_factory=dict)
    """Its single-valued navigation properties."""
    by_collection: Mapping[str, Relationship | ManyToMany] = field(default_factory=dict)
    """Its collection-valued navigation properties."""

    def readable(self) -> Iterator[Column]:
        """The columns that languages see, in the table's order, derived ones left out."""
        return (column for column in self.columns.values() if column.readable and column.storage != "derived")

    def bound(self, navigation: str) -> Column | None:
        """The lookup that `<navigation>@odata.bind` sets; None if there is none of that name.

        Besides the navigation properties these are lookups to several tables by their own name (`ownerid@odata.bind`),
        which lead to whichever table the bound address names.
        """
        relationship = self.by_navigation.get(navigation)
        column = self.columns.get(relationship.column if relationship else navigation)
        if column is None or not column.type.is_lookup or not (relationship or column.polymorphic):
            return None
        return column

    @property
    def hierarchy(self) -> Relationship | None:
        """The relationship along which its records are a tree, if there is one."""
        return next((found for found in self.many_to_one if found.hierarchical), None)

    @property
    def user_owned(self) -> bool:
        return self.ownership == "UserOwned"


@dataclass(frozen=True, slots=True)
class Catalog:
    """All tables. Immutable; a change of metadata makes a new one with a higher version."""

    tables: Mapping[str, Table]
    by_entityset: Mapping[str, Table]
    by_type_code: Mapping[int, Table]
    version: int = 1
    privileges: Mapping[str, Privilege] = field(default_factory=dict)
    """All privileges by name."""

    def table(self, logical: str) -> Table:
        """Raises UnknownResource with the nearest name."""
        found = self.tables.get(logical)
        if found is None:
            raise errors.UnknownResource(
                f"Table '{logical[:100]}' does not exist.{errors.nearest(logical, self.tables)}",
                code=0x80041102,
                status=400,
            )
        return found
