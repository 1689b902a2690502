"""A compiled question: SQL with its parameters, and what each column of the answer means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from adjourn.metadata.model import Column, ColumnType, Table
from adjourn.query.tree import Collection

Kind = Literal["column", "group", "aggregate"]
PARENTS = "parents_"
"""The parameter of a collection's statement that lists its parents' keys."""


@dataclass(frozen=True, slots=True)
class Output:
    """One value of an answer's row.

    key: its name in the answer: the alias, `link.column` for a column of a FetchXML link, or the logical name. (The Web
    API prints a lookup without an alias as `Column.property`.)
    column: says how the raw value reads. For an aggregate or a part of a date it is made up, of the result's type.
    source: the column behind it. path: the navigation properties of the $expand in which it lies. alias: its link's.
    index, name_index, table_index: where in a raw row lie the value, the name of a lookup's target (only if the plan
    was compiled with `names`), and the target's table (polymorphic lookups).
    reference: of the expanded record only its address is answered.
    An expanded record is null when the output with its table's primary key in this path is.
    """

    key: str
    column: Column
    kind: Kind
    index: int
    source: Column
    path: tuple[str, ...] = ()
    alias: str | None = None
    aliased: bool = False
    name_index: int | None = None
    table_index: int | None = None
    reference: bool = False


@dataclass(frozen=True, slots=True)
class SortOutput:
    """One sort key: where its raw value lies in a row, for the next page's cookie, in which `name` is its element."""

    name: str
    column: Column
    index: int
    descending: bool

    @property
    def is_guid(self) -> bool:
        return self.column.type.is_lookup or self.column.type in (ColumnType.UNIQUEIDENTIFIER, ColumnType.FILE)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What all plans of one shape share. Compared by identity: what is derived from it can be kept by it."""

    table: Table
    outputs: tuple[Output, ...]
    sort: tuple[SortOutput, ...]
    sql: str
    total_sql: str | None
    counted: bool
    total_counted: bool
    limit_sql: str | None
    """Counts the rows to aggregate, as far as one more than the query's own limit."""
    width: int
    """Number of columns of a raw row, those of sort keys that are no output among them."""
    collections: tuple[CollectionShape, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectionShape:
    """A collection expanded in rows of a shape: where, and how its own rows are.

    table: of the parents. key: where the parent's primary key lies in its raw row. parent: where it lies in a child's.
    """

    path: tuple[str, ...]
    navigation: str
    table: Table
    key: int
    shape: Shape
    parent: int


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """A collection-valued $expand: one statement for all the parents of a page.

    plan: without the parents' keys, which are its parameter `PARENTS` once they are known.
    """

    of: CollectionShape
    collection: Collection
    plan: Plan


@dataclass(frozen=True, slots=True)
class Plan:
    """A question, ready to be run.

    size: rows of this page, None for all of them. One row more is fetched where another page may follow.
    counted, total_counted: answered from the counts (`counts`) instead of the table. backwards: the rows come in reverse,
    those before the page that follows. aggregate_limit: the most rows that may be aggregated.
    """

    shape: Shape
    parameters: dict[str, Any]
    language: str
    size: int | None
    number: int
    top: int | None
    collections: tuple[CollectionPlan, ...] = ()
    backwards: bool = False
    aggregate_limit: int | None = None

    @property
    def table(self) -> Table:
        return self.shape.table

    @property
    def sql(self) -> str:
        return self.shape.sql

    @property
    def total_sql(self) -> str | None:
        return self.shape.total_sql

    @property
    def limit_sql(self) -> str | None:
        return self.shape.limit_sql

    @property
    def outputs(self) -> tuple[Output, ...]:
        return self.shape.outputs

    @property
    def sort(self) -> tuple[SortOutput, ...]:
        return self.shape.sort

    @property
    def counted(self) -> bool:
        return self.shape.counted

    @property
    def total_counted(self) -> bool:
        return self.shape.total_counted
