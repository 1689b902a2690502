"""The join and the filter of a resolved question as SQL, over logical tables.

A `Source` is the text of one question being written: it knows under which alias each node stands, which columns of which
logical tables the text names, and which parameters it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from adjourn.metadata.fiscal import Calendar
from adjourn.metadata.model import Catalog, Column, Table
from adjourn.query import logical
from adjourn.query.comparisons import Compare
from adjourn.query.conditions import Asked, Site, classify, folded
from adjourn.query.literals import postgres_type
from adjourn.query.resolved import MATCH_FIRST, Group, Node, Predicate, Resolved, Sort, Term, Test
from adjourn.query.security import Caller
from adjourn.store.contract import Dialect


@dataclass(frozen=True, slots=True)
class Binder:
    """A parameter that a condition's literals, or the circumstances, fill. place: the condition's in the question."""

    name: str
    place: int
    column: Column
    value: Callable[[Asked], Any]


@dataclass(slots=True)
class _Site:
    """Where one condition becomes SQL."""

    source: Source
    test: Test
    expression: str
    column: Column
    dialect: Dialect
    classes: frozenset[str]

    @property
    def catalog(self) -> Catalog:
        return self.source.catalog

    @property
    def calendar(self) -> Calendar:
        return self.source.caller.calendar

    def bind(self, value: Callable[[Asked], Any], cast: str | None = None) -> str:
        name = f"p{len(self.source.binders)}"
        place = self.source.places[id(self.test.condition)]
        self.source.binders.append(Binder(name, place, self.column, value))
        return self.source.parameter(name, cast or postgres_type(self.column))


@dataclass(slots=True, kw_only=True)
class Source:
    """One question's tables and conditions. `uses` collects which columns of which logical tables the text names.

    places: where each condition, by its identity, stands in the question.
    """

    resolved: Resolved
    catalog: Catalog
    caller: Caller
    dialect: Dialect
    places: dict[int, int]
    binders: list[Binder] = field(default_factory=list)
    uses: dict[str, dict[str, None]] = field(default_factory=dict)
    aliases: dict[int, str] = field(default_factory=dict)
    nodes: dict[int, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._register(self.resolved.root)

    def source(self, node: Node, children: tuple[Node, ...] | None = None) -> tuple[str, list[str]]:
        """A node with what is joined to it, and the conditions that its exists and in links put on it."""
        joins, conditions = self.joins(node.children if children is None else children)
        return self.table(node) + joins, conditions

    def joins(self, children: tuple[Node, ...]) -> tuple[str, list[str]]:
        text, conditions = "", []
        for child in children:
            if not child.joined:
                conditions.append(self.rows_exist(child))
                continue
            if child.kind == MATCH_FIRST:
                key = self.raw_column(child.number, child.table.primary_id)
                text += f"\nJOIN {self.table(child)} ON {key} = ({self.first_row(child)})"
                continue
            below, below_conditions = self.joins(child.children)
            on = " AND ".join([self.match(child), *self.filtered(child), *below_conditions])
            if child.kind == "outer" and _narrows(child):
                # An inner link below an outer one narrows the outer one's rows, not the rows of its parent.
                text += f"\nLEFT JOIN ({self.table(child)}{below}) ON {on}"
            else:
                text += f"\n{'LEFT JOIN' if child.kind == 'outer' else 'JOIN'} {self.table(child)} ON {on}{below}"
        return text, conditions

    def rows_exist(self, node: Node) -> str:
        """An exists, in, any, not any or all link as a condition on its parent's row."""
        source, conditions = self.source(node)
        tests = [*self.filtered(node), *conditions]
        if node.kind == "in":
            picked = self.raw_column(node.number, _logical(node.from_))
            parent = self.raw_column(node.parent, _logical(node.to))
            return f"{parent} IN (SELECT {picked} FROM {source}{where_sql(tests)})"
        matching = f"EXISTS (SELECT 1 FROM {source}{where_sql([self.match(node), *tests])})"
        if node.kind == "all":
            return f"(EXISTS (SELECT 1 FROM {self.table(node)} WHERE {self.match(node)}) AND NOT {matching})"
        return f"NOT {matching}" if node.kind == "not any" else matching

    def first_row(self, node: Node) -> str:
        """The key of the one row that a matchfirstrowusingcrossapply link takes: the first in its order."""
        with self.renamed(node.number, f"m{node.number}"):
            key = self.raw_column(node.number, node.table.primary_id)
            order = [self.sort_sql(self.flat_expression(sort), sort) for sort in node.sorts]
            where = where_sql([self.match(node), *self.filtered(node)])
            return f"SELECT {key} FROM {self.table(node)}{where} ORDER BY {', '.join([*order, key])} LIMIT 1"

    def flat_expression(self, sort: Sort) -> str:
        assert sort.term is not None
        column = sort.term.column
        if sort.sorting in ("name", "label"):
            column = self.nodes[sort.term.node].table.columns[f"{column.logical}name"]
        return self.term(Term(sort.term.node, column))

    def match(self, node: Node) -> str:
        return (
            f"{self.raw_column(node.number, _logical(node.from_))} = {self.raw_column(node.parent, _logical(node.to))}"
        )

    def filtered(self, node: Node) -> list[str]:
        return [self.predicate(node.filter)] if node.filter is not None else []

    # --- conditions

    def predicate(self, predicate: Predicate) -> str:
        if isinstance(predicate, Test):
            return self.test(predicate)
        if not isinstance(predicate, Group):
            return self.rows_exist(predicate.node)
        parts = [self.predicate(part) for part in predicate.parts]
        text = f"({f' {predicate.kind.upper()} '.join(parts)})" if parts else "TRUE"
        # A condition on null is unknown, and "not" of what is not known to be true is true: `ne` keeps nulls too.
        return f"({text} IS NOT TRUE)" if predicate.negated else text

    def test(self, test: Test) -> str:
        left = self.term(test.term)
        if test.other is not None:
            assert isinstance(test.operator.test, Compare)
            return test.operator.test.columns_sql(left, self.term(test.other), test.term.column, self.dialect)
        site: Site = _Site(self, test, left, test.term.column, self.dialect, classify(test.condition.values))
        return test.operator.test.sql(site)

    def sort_sql(self, expression: str, sort: Sort) -> str:
        text = self.comparable(expression, sort)
        if self.dialect == "postgres" and sort.nullable:
            return f"{text} DESC NULLS LAST" if sort.descending else f"{text} NULLS FIRST"
        return f"{text} DESC" if sort.descending else text

    def comparable(self, expression: str, sort: Sort) -> str:
        if sort.sorting in ("text", "label", "name"):
            return folded(expression, self.dialect)
        if sort.sorting == "exact" and self.dialect == "postgres":
            return f'{expression} COLLATE "C"'
        return expression

    # --- pieces

    def parameter(self, name: str, cast: str) -> str:
        return f":{name}::{cast}" if self.dialect == "postgres" and cast else f":{name}"

    def term(self, term: Term) -> str:
        return self.raw_column(term.node, term.column.logical)

    def raw_column(self, number: int, column: str) -> str:
        self.use(self.nodes[number].table, column)
        return f'{self.alias(number)}."{column}"'

    def table(self, node: Node) -> str:
        self.use(node.table)
        return f"{logical.name(node.table)} AS {self.alias(node.number)}"

    def use(self, table: Table, column: str | None = None) -> None:
        names = self.uses.setdefault(table.logical, {table.primary_id: None})
        if column is not None:
            names[column] = None

    def alias(self, number: int) -> str:
        return self.aliases.get(number) or f"t{number}"

    @contextmanager
    def renamed(self, number: int, alias: str) -> Iterator[None]:
        self.aliases[number] = alias
        try:
            yield
        finally:
            del self.aliases[number]

    def prefix(self, uses: dict[str, dict[str, None]], counted: bool) -> str:
        """The logical tables that are named; the counts have no key."""
        found = []
        for table_name, names in uses.items():
            table = self.catalog.tables[table_name]
            found.append((table, [name for name in names if not (counted and name == table.primary_id)]))
        return logical.prefix(found, self.catalog, self.caller, self.dialect, counts=counted)

    def _register(self, node: Node) -> None:
        self.nodes[node.number] = node
        for child in node.children:
            self._register(child)
        for inner in _related(node.filter):
            self._register(inner)


def _related(predicate: Predicate | None) -> Iterator[Node]:
    if isinstance(predicate, Group):
        for part in predicate.parts:
            yield from _related(part)
    elif predicate is not None and not isinstance(predicate, Test):
        yield predicate.node


def _narrows(node: Node) -> bool:
    return any(
        child.kind in ("inner", MATCH_FIRST) or (child.kind == "outer" and _narrows(child)) for child in node.children
    )


def _logical(column: Column | None) -> str:
    assert column is not None
    return column.logical


def where_sql(conditions: list[str]) -> str:
    return f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
