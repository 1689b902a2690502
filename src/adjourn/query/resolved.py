"""The resolved tree: a question whose every name has been found in the metadata. `resolve` makes it.

Nodes are numbered; node 0 is the query's own table. A Term is a column of a node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from adjourn.metadata.model import Column, Table
from adjourn.query.operators import Operator
from adjourn.query.plan import Kind
from adjourn.query.tree import Condition

Sorting = Literal["value", "text", "exact", "label", "name"]
"""How a sort key is compared: as it is; as folded text; as exact text; by its choice's label; by its target's name."""


@dataclass(frozen=True, slots=True)
class Term:
    """A column of a node."""

    node: int
    column: Column


@dataclass(frozen=True, slots=True)
class Test:
    """A condition. other: the column that it compares with, instead of literals."""

    term: Term
    operator: Operator
    condition: Condition
    other: Term | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Predicates joined by "and" or "or"; an empty one is true."""

    kind: str
    parts: tuple[Predicate, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class RelatedRows:
    """Whether rows of another table fit (`any`, `not any`, `all`, `not all`)."""

    node: Node


Predicate = Test | Group | RelatedRows


@dataclass(frozen=True, slots=True)
class Sort:
    """A sort key: a term, or the output with this number (grouped questions)."""

    sorting: Sorting
    descending: bool
    term: Term | None = None
    output: int = -1
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Node:
    """A table in the question. kind: "root" or the link's; `parent.to = this.from_`.

    single: at most one row of it belongs to a row of its parent. sorts: of the one row that a
    matchfirstrowusingcrossapply takes.
    """

    number: int
    kind: str
    table: Table
    alias: str | None
    parent: int
    from_: Column | None
    to: Column | None
    filter: Predicate | None
    children: tuple[Node, ...]
    sorts: tuple[Sort, ...] = ()

    @property
    def single(self) -> bool:
        return self.from_ is None or self.from_.logical == self.table.primary_id or self.kind == MATCH_FIRST

    @property
    def joined(self) -> bool:
        """Whether it takes part in the join, rather than being asked whether it has rows."""
        return self.kind in ("root", "inner", "outer", MATCH_FIRST)


MATCH_FIRST = "matchfirstrowusingcrossapply"


@dataclass(frozen=True, slots=True)
class Selected:
    """A column of the answer. aggregate, part, usertimezone, distinct: as in tree.Attribute. children: it is a count of
    the record's children instead of the term."""

    key: str
    term: Term
    kind: Kind
    aliased: bool
    path: tuple[str, ...] = ()
    alias: str | None = None
    aggregate: str | None = None
    part: str | None = None
    usertimezone: bool = True
    distinct: bool = False
    reference: bool = False
    children: bool = False


@dataclass(frozen=True, slots=True)
class Expanded:
    """A collection expanded in the rows. key: the parents' key among them; parent: the same in the collection's rows."""

    path: tuple[str, ...]
    navigation: str
    key: Term
    question: Resolved
    parent: Term


@dataclass(frozen=True, slots=True)
class Resolved:
    """A whole question. grouped: its rows are groups (aggregate or distinct), not rows of the join.

    limited: there is a limit on the rows to aggregate.
    """

    root: Node
    selected: tuple[Selected, ...]
    sorts: tuple[Sort, ...]
    grouped: bool
    total: bool
    language: str
    catalog_version: int
    expanded: tuple[Expanded, ...] = ()
    limited: bool = False
