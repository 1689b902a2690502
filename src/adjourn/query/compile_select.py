"""A resolved question as SQL: the join, the filter, the groups, the order and the page.

Two forms. A plain question is one flat SELECT. A grouped one (aggregate or distinct) is a SELECT over the groups, `g`,
so that names and labels are looked up once a group and sort keys are columns of `g`.
Nulls come first in ascending order on both databases, as in SQL Server. Pages continue after the last row's sort keys
(keyset), so a page deep in the table costs what the first one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from adjourn.metadata.model import Catalog, Column, ColumnType, Table
from adjourn.query import counts, logical
from adjourn.query.literals import postgres_type
from adjourn.query.operators import Asked, Compare, Site, classify, folded
from adjourn.query.plan import Output, Shape, SortOutput
from adjourn.query.resolved import MATCH_FIRST, Group, Node, Predicate, Resolved, Selected, Sort, Term, Test
from adjourn.query.security import Caller
from adjourn.store.contract import Dialect

LIMIT, OFFSET, ZONE, UTC_ZONE = "limit_", "offset_", "zone_", "utc_zone_"


@dataclass(frozen=True, slots=True)
class Binder:
    """A parameter that a condition's literals, or the circumstances, fill. place: the condition's in the question."""

    name: str
    place: int
    column: Column
    value: Callable[[Asked], Any]


@dataclass(frozen=True, slots=True)
class Paging:
    """What of the page the SQL text depends on. after: for each sort key of the last row, whether it is null."""

    limited: bool
    offset: bool
    after: tuple[bool, ...] | None


@dataclass(frozen=True, slots=True)
class Compiled:
    """The SQL and everything needed to fill its parameters."""

    shape: Shape
    binders: tuple[Binder, ...]
    tables: tuple[Table, ...]
    zoned: bool


@dataclass(slots=True)
class _Key:
    """A sort key in the SQL: the expression of its raw value, where that lies in a row, and how it sorts."""

    expression: str
    index: int
    sort: Sort
    column: Column
    name: str

    @property
    def textual(self) -> bool:
        return self.sort.sorting in ("text", "label", "name")


@dataclass(slots=True)
class _Site:
    """Where one condition becomes SQL."""

    select: Select
    test: Test
    expression: str
    column: Column
    dialect: Dialect
    classes: frozenset[str]

    def bind(self, value: Callable[[Asked], Any], cast: str | None = None) -> str:
        name = f"p{len(self.select.binders)}"
        place = self.select.places[id(self.test.condition)]
        self.select.binders.append(Binder(name, place, self.column, value))
        return self.select.parameter(name, cast or postgres_type(self.column))


@dataclass(slots=True)
class Select:
    """One question being written. `uses` collects which columns of which logical tables the text names.

    places: where each condition, by its identity, stands in the question.
    """

    resolved: Resolved
    catalog: Catalog
    caller: Caller
    dialect: Dialect
    names: bool
    paging: Paging
    places: dict[int, int]
    binders: list[Binder] = field(default_factory=list)
    uses: dict[str, dict[str, None]] = field(default_factory=dict)
    aliases: dict[int, str] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    nodes: dict[int, Node] = field(default_factory=dict)

    def compiled(self) -> Compiled:
        root = self.resolved.root
        self._register(root)
        self.use(root.table)
        where = self.predicate(root.filter) if root.filter else ""
        where_uses = {table: dict(names) for table, names in self.uses.items()}
        counted = counts.answers(self.resolved)
        sql, outputs, keys = self.grouped(root, where, counted) if self.resolved.grouped else self.flat(root, where)
        total, total_counted = self.total(root, where, where_uses, counted) if self.resolved.total else (None, False)
        sort = tuple(SortOutput(k.name, k.column, k.index, k.sort.descending) for k in keys)
        shape = Shape(
            table=root.table,
            outputs=outputs,
            sort=sort,
            sql=self.prefix(self.uses, counted) + sql,
            total_sql=total,
            counted=counted,
            total_counted=total_counted,
            width=len(self.items),
        )
        tables = tuple(self.catalog.tables[table] for table in self.uses)
        zoned = any(selected.part for selected in self.resolved.selected)
        return Compiled(shape, tuple(self.binders), tables, zoned)

    # --- the two forms

    def flat(self, root: Node, where: str) -> tuple[str, tuple[Output, ...], list[_Key]]:
        outputs = tuple(self.output(selected) for selected in self.resolved.selected)
        keys = [self.flat_key(sort) for sort in self.resolved.sorts]
        source, conditions = self.source(root)
        wheres = [*conditions, *([where] if where else []), *self.after(keys)]
        return (
            f"SELECT {self.select_list()}\nFROM {source}{_where(wheres)}{self.order(keys)}{self.page()}",
            outputs,
            keys,
        )

    def output(self, selected: Selected) -> Output:
        column, term = selected.term.column, selected.term
        index = self.item(self.term(term))
        name_index = table_index = None
        if column.type.is_lookup:
            if column.type_column:
                table_index = self.item(self.raw_column(term.node, column.type_column))
            if self.names:
                name_index = self.item(self.raw_column(term.node, f"{column.logical}name"))
        return _output(selected, column, index, name_index, table_index)

    def flat_key(self, sort: Sort) -> _Key:
        assert sort.term is not None
        column = sort.term.column
        if sort.sorting in ("name", "label"):
            column = self.nodes[sort.term.node].table.columns[f"{column.logical}name"]
        expression = self.term(Term(sort.term.node, column))
        alias = self.nodes[sort.term.node].alias
        name = f"{alias}.{sort.term.column.logical}" if alias else sort.term.column.logical
        return _Key(expression, self.item(expression), sort, column, name)

    def grouped(self, root: Node, where: str, counted: bool) -> tuple[str, tuple[Output, ...], list[_Key]]:
        inner, columns, kinds = self.groups(root, where, counted)
        outputs = []
        for index, selected in enumerate(self.resolved.selected):
            position = self.item(f'g."c{index}"')
            name_index = table_index = None
            if selected.kind != "aggregate" and selected.term.column.type.is_lookup:
                if kinds[index] is not None:
                    table_index = self.item(f'g."{kinds[index]}"')
                if self.names:
                    name_index = self.item(self.group_name(selected.term.column, index, kinds[index]))
            outputs.append(_output(selected, columns[index], position, name_index, table_index))
        keys = [] if self.single_row() else [self.group_key(sort, columns, kinds) for sort in self.resolved.sorts]
        sql = (
            f"SELECT {self.select_list()}\nFROM ({inner}) AS g{_where(self.after(keys))}{self.order(keys)}{self.page()}"
        )
        return sql, tuple(outputs), keys

    def single_row(self) -> bool:
        return all(selected.kind == "aggregate" for selected in self.resolved.selected)

    def groups(self, root: Node, where: str, counted: bool) -> tuple[str, list[Column], list[str | None]]:
        """The SELECT of the groups, the column that each of its values reads as, and the name of its table column."""
        items: list[str] = []
        keys: list[str] = []
        columns: list[Column] = []
        kinds: list[str | None] = []
        for index, selected in enumerate(self.resolved.selected):
            column = selected.term.column
            kinds.append(None)
            if selected.kind == "aggregate":
                items.append(f'{self.aggregate(selected, counted)} AS "c{index}"')
                columns.append(_result_column(selected))
                continue
            expression = self.term(selected.term)
            if selected.part is not None:
                expression, column = self.date_part(expression, selected), _number(column, ColumnType.INTEGER)
            columns.append(column)
            items.append(f'{expression} AS "c{index}"')
            keys.append(str(len(items)))
            if column.type.is_lookup and column.type_column:
                kinds[index] = f"k{index}"
                items.append(f'{self.raw_column(selected.term.node, column.type_column)} AS "k{index}"')
                keys.append(str(len(items)))
        source, conditions = self.source(root)
        wheres = [*conditions, *([where] if where else [])]
        group = f"\nGROUP BY {', '.join(keys)}" if keys else ""
        having = f"\nHAVING sum({self.alias(0)}.n) <> 0" if counted and keys else ""
        return f"SELECT {', '.join(items)}\nFROM {source}{_where(wheres)}{group}{having}", columns, kinds

    def group_name(self, column: Column, index: int, kind: str | None) -> str:
        return logical.name_sql(column, f'g."c{index}"', f'g."{kind}"' if kind else None, self.catalog, self.dialect)

    def group_key(self, sort: Sort, columns: list[Column], kinds: list[str | None]) -> _Key:
        column, expression = columns[sort.output], f'g."c{sort.output}"'
        if sort.sorting in ("name", "label"):
            expression = self.group_name(column, sort.output, kinds[sort.output])
            column = Column(column.table, f"{column.logical}name", "", ColumnType.STRING)
        return _Key(expression, self.item(expression), sort, column, self.resolved.selected[sort.output].key)

    def aggregate(self, selected: Selected, counted: bool) -> str:
        if counted:
            summed = f"coalesce(sum({self.alias(0)}.n), 0)"
            return f"{summed}::bigint" if self.dialect == "postgres" else summed
        if selected.aggregate == "count":
            return "count(*)"
        value = self.term(selected.term)
        if selected.aggregate == "countcolumn":
            return f"count({'DISTINCT ' if selected.distinct else ''}{value})"
        if selected.aggregate == "avg" and selected.term.column.type is not ColumnType.DOUBLE:
            # Cut to a whole number, as observed; exact, while avg() would go through a floating point number.
            exact = f"trunc(sum({value})::numeric / count({value}))::bigint"
            return exact if self.dialect == "postgres" else f"sum({value}) / count({value})"
        return f"{selected.aggregate}({value})"

    def date_part(self, expression: str, selected: Selected) -> str:
        zoned = selected.term.column.type is ColumnType.DATETIME
        zone = ZONE if zoned and selected.usertimezone else UTC_ZONE
        if self.dialect == "sqlite":
            return f"date_part_({expression}, '{selected.part}', :{zone})"
        moment = f"timezone(:{zone}::text, {expression})" if zoned else expression
        if selected.part == "week":
            first = f"extract(dow FROM date_trunc('year', {moment}))::int"
            return f"(extract(doy FROM {moment})::int - 1 + {first}) / 7 + 1"
        return f"extract({selected.part} FROM {moment})::int"

    def total(self, root: Node, where: str, where_uses: dict[str, dict[str, None]], counted: bool) -> tuple[str, bool]:
        """How many rows match, all pages together."""
        if self.resolved.grouped:
            inner, _, _ = self.groups(root, where, counted)
            return f"{self.prefix(self.uses, counted)}SELECT count(*) FROM ({inner}) AS g", counted
        named = set(_named(root.filter))
        children = tuple(child for child in root.children if _matters(child, named))
        if counts.answers_total(root, children):
            wheres = _where([where] if where else [])
            summed = f"coalesce(sum({self.alias(0)}.n), 0)"
            return f"{self.prefix(where_uses, True)}SELECT {summed} FROM {self.table(root)}{wheres}", True
        source, conditions = self.source(root, children)
        wheres = _where([*conditions, *([where] if where else [])])
        return f"{self.prefix(self.uses, False)}SELECT count(*) FROM {source}{wheres}", False

    # --- sources

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
            return f"{parent} IN (SELECT {picked} FROM {source}{_where(tests)})"
        matching = f"EXISTS (SELECT 1 FROM {source}{_where([self.match(node), *tests])})"
        if node.kind == "all":
            return f"(EXISTS (SELECT 1 FROM {self.table(node)} WHERE {self.match(node)}) AND NOT {matching})"
        return f"NOT {matching}" if node.kind == "not any" else matching

    def first_row(self, node: Node) -> str:
        """The key of the one row that a matchfirstrowusingcrossapply link takes: the first in its order."""
        with self.renamed(node.number, f"m{node.number}"):
            key = self.raw_column(node.number, node.table.primary_id)
            order = [self.sort_sql(self.flat_expression(sort), sort) for sort in node.sorts]
            where = _where([self.match(node), *self.filtered(node)])
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
        assert test.operator.test is not None
        left = self.term(test.term)
        if test.other is not None:
            assert isinstance(test.operator.test, Compare)
            return test.operator.test.columns_sql(left, self.term(test.other), test.term.column, self.dialect)
        site: Site = _Site(self, test, left, test.term.column, self.dialect, classify(test.condition.values))
        return test.operator.test.sql(site)

    # --- order and page

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

    def order(self, keys: list[_Key]) -> str:
        return f"\nORDER BY {', '.join(self.sort_sql(key.expression, key.sort) for key in keys)}" if keys else ""

    def after(self, keys: list[_Key]) -> list[str]:
        """The rows behind the last one of the page before: greater in a key, and equal in those before it."""
        nulls = self.paging.after
        if nulls is None or not keys:
            return []
        alternatives, equal = [], []
        for position, (key, null) in enumerate(zip(keys, nulls, strict=True)):
            parameter = self.key_parameter(key, position)
            text = self.comparable(key.expression, key.sort)
            if null:
                beyond = "FALSE" if key.sort.descending else f"{key.expression} IS NOT NULL"
            elif key.sort.descending and key.sort.nullable:
                beyond = f"({text} < {parameter} OR {key.expression} IS NULL)"
            else:
                beyond = f"{text} {'<' if key.sort.descending else '>'} {parameter}"
            alternatives.append(" AND ".join([*equal, beyond]))
            equal.append(f"{key.expression} IS NULL" if null else f"{text} = {parameter}")
        first = keys[0]
        found = [f"({' OR '.join(alternatives)})"]
        if len(keys) > 1 and not nulls[0] and not (first.sort.descending and first.sort.nullable):
            # Said once more for the first key alone, in the form that an index can begin with.
            symbol = "<=" if first.sort.descending else ">="
            text = self.comparable(first.expression, first.sort)
            found.append(f"{text} {symbol} {self.key_parameter(first, 0)}")
        return found

    def key_parameter(self, key: _Key, position: int) -> str:
        parameter = self.parameter(f"a{position}", postgres_type(key.column))
        return folded(parameter, self.dialect) if key.textual else parameter

    def page(self) -> str:
        text = f"\nLIMIT {self.parameter(LIMIT, 'bigint')}" if self.paging.limited else ""
        return f"{text} OFFSET {self.parameter(OFFSET, 'bigint')}" if self.paging.offset else text

    # --- pieces

    def parameter(self, name: str, cast: str) -> str:
        return f":{name}::{cast}" if self.dialect == "postgres" and cast else f":{name}"

    def item(self, expression: str) -> int:
        """The place of an expression in the rows."""
        return self.items.setdefault(expression, len(self.items))

    def select_list(self) -> str:
        return ", ".join(f"{expression} AS v{index}" for expression, index in self.items.items())

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


def _named(predicate: Predicate | None) -> Iterator[int]:
    """The nodes whose columns a filter names; those around a related-rows filter are its parents."""
    if isinstance(predicate, Group):
        for part in predicate.parts:
            yield from _named(part)
    elif isinstance(predicate, Test):
        yield predicate.term.node
        if predicate.other is not None:
            yield predicate.other.node


def _matters(node: Node, named: set[int]) -> bool:
    """Whether a link can change the number of rows."""
    return not (node.kind == "outer" and node.single and node.number not in named) or any(
        _matters(child, named) for child in node.children
    )


def _narrows(node: Node) -> bool:
    return any(
        child.kind in ("inner", MATCH_FIRST) or (child.kind == "outer" and _narrows(child)) for child in node.children
    )


def _logical(column: Column | None) -> str:
    assert column is not None
    return column.logical


def _where(conditions: list[str]) -> str:
    return f"\nWHERE {' AND '.join(conditions)}" if conditions else ""


def _output(selected: Selected, column: Column, index: int, name_index: int | None, table_index: int | None) -> Output:
    return Output(
        key=selected.key,
        column=column,
        kind=selected.kind,
        index=index,
        source=selected.term.column,
        path=selected.path,
        alias=selected.alias,
        aliased=selected.aliased,
        name_index=name_index,
        table_index=table_index,
    )


def _result_column(selected: Selected) -> Column:
    """How an aggregate's value reads: counts and sums of whole numbers have 64 bits, the rest keeps its type."""
    column = selected.term.column
    if selected.aggregate in ("count", "countcolumn"):
        return _number(column, ColumnType.BIGINT)
    if selected.aggregate == "sum" and column.type is ColumnType.INTEGER:
        return _number(column, ColumnType.BIGINT)
    return column


def _number(column: Column, kind: ColumnType) -> Column:
    return Column(column.table, column.logical, column.schema, kind)
