"""A resolved question as SQL: its columns, groups, order and page, over the join and the filter (`compile_source`).

Two forms. A plain question is one flat SELECT. A grouped one (aggregate or distinct) is a SELECT over the groups, `g`,
so that names and labels are looked up once a group and sort keys are columns of `g`.
Nulls come first in ascending order on both databases, as in SQL Server. Pages continue after the last row's sort keys
(keyset), so a page deep in the table costs what the first one does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from adjourn.metadata.dateparts import FISCAL_PARTS
from adjourn.metadata.model import Column, ColumnType, Table
from adjourn.query import counts, dates, hierarchy, logical
from adjourn.query.compile_source import Binder, Source, where_sql
from adjourn.query.conditions import folded
from adjourn.query.literals import postgres_type
from adjourn.query.plan import PARENTS, CollectionShape, Output, Shape, SortOutput
from adjourn.query.resolved import Expanded, Group, Node, Predicate, Selected, Sort, Term, Test

LIMIT, OFFSET, ZONE, UTC_ZONE, AGGREGATE_LIMIT = "limit_", "offset_", "zone_", "utc_zone_", "aggregate_limit_"
ROWS = "rows_"
"""Of a collection: the rows of all its parents together."""


@dataclass(frozen=True, slots=True)
class Paging:
    """What of the page the SQL text depends on. after: for each sort key of the last row, whether it is null.

    backwards: that row is the first of the page that follows, and the rows before it come in reverse.
    """

    limited: bool
    offset: bool
    after: tuple[bool, ...] | None
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Compiled:
    """The SQL and everything needed to fill its parameters."""

    shape: Shape
    binders: tuple[Binder, ...]
    tables: tuple[Table, ...]
    zoned: bool
    collections: tuple[Compiled, ...] = ()
    parent: int = -1
    """In the rows of a collection: where the key of the parent lies."""


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


@dataclass(slots=True, kw_only=True)
class Select(Source):
    """One question being written, in one of its two forms. names: also the names of lookups' targets.

    parents: the question is that of a collection, whose rows are wanted of many parents at once; this says whose a row is.
    collections: those expanded in the rows, compiled.
    """

    names: bool
    paging: Paging
    parents: Term | None = None
    collections: tuple[Compiled, ...] = ()
    items: dict[str, int] = field(default_factory=dict)

    def compiled(self) -> Compiled:
        root = self.resolved.root
        self.use(root.table)
        where = self.predicate(root.filter) if root.filter else ""
        where_uses = {table: dict(names) for table, names in self.uses.items()}
        counted = counts.answers(self.resolved)
        sql, outputs, keys = self.grouped(root, where, counted) if self.resolved.grouped else self.flat(root, where)
        limit = self.limit(root, where) if self.resolved.limited else None
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
            limit_sql=limit,
            width=len(self.items),
            collections=tuple(map(self.expanded, self.resolved.expanded, self.collections)),
        )
        tables = tuple(self.catalog.tables[table] for table in self.uses)
        zoned = any(selected.part for selected in self.resolved.selected)
        parent = -1 if self.parents is None else self.item(self.term(self.parents))
        return Compiled(shape, tuple(self.binders), tables, zoned, self.collections, parent)

    def expanded(self, one: Expanded, compiled: Compiled) -> CollectionShape:
        key = self.item(self.term(one.key))
        table = self.catalog.tables[one.key.column.table]
        return CollectionShape(one.path, one.navigation, table, key, compiled.shape, compiled.parent)

    # --- the two forms

    def flat(self, root: Node, where: str) -> tuple[str, tuple[Output, ...], list[_Key]]:
        outputs = tuple(self.output(selected) for selected in self.resolved.selected)
        keys = [self.flat_key(sort) for sort in self.sorts()]
        source, conditions = self.source(root)
        wheres = [*conditions, *([where] if where else []), *self.after(keys)]
        if self.parents is not None:
            return self.of_each(self.parents, keys, source, wheres), outputs, keys
        return (
            f"SELECT {self.select_list()}\nFROM {source}{where_sql(wheres)}{self.order(keys)}{self.page()}",
            outputs,
            keys,
        )

    def of_each(self, parents: Term, keys: list[_Key], source: str, wheres: list[str]) -> str:
        """The first rows of each of many parents, in one statement."""
        parent = self.term(parents)
        index = self.item(parent)
        if self.dialect == "postgres":
            among = f"{parent} = ANY({self.parameter(PARENTS, 'uuid[]')})"
        else:
            among = f"{parent} IN (SELECT value FROM json_each({self.parameter(PARENTS, '')}))"
        number = f"row_number() OVER (PARTITION BY {parent}{self.order(keys)}) AS n_"
        names = ", ".join(f"r.v{place}" for place in self.items.values())
        return (
            f"SELECT {names}\nFROM (SELECT {self.select_list()}, {number}\nFROM {source}{where_sql([*wheres, among])}) AS r"
            f"\nWHERE r.n_ <= {self.parameter(LIMIT, 'bigint')}\nORDER BY r.v{index}, r.n_"
            f"\nLIMIT {self.parameter(ROWS, 'bigint')}"
        )

    def output(self, selected: Selected) -> Output:
        column, term = selected.term.column, selected.term
        if selected.children:
            table = self.nodes[term.node].table
            assert table.hierarchy is not None
            self.use(table, table.hierarchy.column)
            count = hierarchy.children_count(logical.name(table), table.hierarchy.column, self.term(term))
            return _output(selected, _number(column, ColumnType.BIGINT), self.item(count), None, None)
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
            column = columns[index]
            if selected.part in FISCAL_PARTS:
                name = dates.fiscal_name(f'g."c{index}"', selected.part or "", self.caller.calendar)
                position, column = self.item(name), _number(column, ColumnType.STRING)
            else:
                position = self.item(f'g."c{index}"')
            name_index = table_index = None
            if selected.kind != "aggregate" and selected.term.column.type.is_lookup:
                if kinds[index] is not None:
                    table_index = self.item(f'g."{kinds[index]}"')
                if self.names:
                    name_index = self.item(self.group_name(selected.term.column, index, kinds[index]))
            outputs.append(_output(selected, column, position, name_index, table_index))
        keys = [] if self.single_row() else [self.group_key(sort, columns, kinds) for sort in self.sorts()]
        sql = f"SELECT {self.select_list()}\nFROM ({inner}) AS g{where_sql(self.after(keys))}{self.order(keys)}{self.page()}"
        return sql, tuple(outputs), keys

    def sorts(self) -> Iterator[Sort]:
        """The sort keys; the other way round for going back a page."""
        for sort in self.resolved.sorts:
            yield replace(sort, descending=not sort.descending) if self.paging.backwards else sort

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
        return f"SELECT {', '.join(items)}\nFROM {source}{where_sql(wheres)}{group}{having}", columns, kinds

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
        if selected.aggregate == "sum":
            # Of nothing it is 0, as documented. PostgreSQL's sums of whole numbers grow beyond 64 bits, ours may not.
            whole = self.dialect == "postgres" and selected.term.column.type is not ColumnType.DOUBLE
            return f"coalesce(sum({value}), 0){'::bigint' if whole else ''}"
        return f"{selected.aggregate}({value})"

    def date_part(self, expression: str, selected: Selected) -> str:
        column = selected.term.column
        zone = self.parameter(ZONE if column.type is ColumnType.DATETIME and selected.usertimezone else UTC_ZONE, "")
        cast = "::text" if self.dialect == "postgres" else ""
        return dates.part(expression, column, selected.part or "", self.caller.calendar, f"{zone}{cast}", self.dialect)

    def limit(self, root: Node, where: str) -> str:
        """How many rows there are to aggregate, counted as far as one more than the limit."""
        source, conditions = self.source(root)
        wheres = where_sql([*conditions, *([where] if where else [])])
        few = f"SELECT 1 FROM {source}{wheres} LIMIT {self.parameter(AGGREGATE_LIMIT, 'bigint')}"
        return f"{self.prefix(self.uses, False)}SELECT count(*) FROM ({few}) AS r"

    def total(self, root: Node, where: str, where_uses: dict[str, dict[str, None]], counted: bool) -> tuple[str, bool]:
        """How many rows match, all pages together."""
        if self.resolved.grouped:
            inner, _, _ = self.groups(root, where, counted)
            return f"{self.prefix(self.uses, counted)}SELECT count(*) FROM ({inner}) AS g", counted
        named = set(_named(root.filter))
        children = tuple(child for child in root.children if _matters(child, named))
        if counts.answers_total(root, children):
            wheres = where_sql([where] if where else [])
            summed = f"coalesce(sum({self.alias(0)}.n), 0)"
            return f"{self.prefix(where_uses, True)}SELECT {summed} FROM {self.table(root)}{wheres}", True
        source, conditions = self.source(root, children)
        wheres = where_sql([*conditions, *([where] if where else [])])
        return f"{self.prefix(self.uses, False)}SELECT count(*) FROM {source}{wheres}", False

    # --- order and page

    def order(self, keys: list[_Key]) -> str:
        return f"\nORDER BY {', '.join(self.sort_sql(key.expression, key.sort) for key in keys)}" if keys else ""

    def after(self, keys: list[_Key]) -> list[str]:
        """The rows behind the last one of the page before: greater in a key, and equal in those before it."""
        nulls = self.paging.after
        if nulls is None or not keys:
            return []
        alternatives: list[str] = []
        equal: list[str] = []
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

    def item(self, expression: str) -> int:
        """The place of an expression in the rows."""
        return self.items.setdefault(expression, len(self.items))

    def select_list(self) -> str:
        return ", ".join(f"{expression} AS v{index}" for expression, index in self.items.items())


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
        reference=selected.reference,
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
