"""Checking a query tree against the metadata: the first phase of compiling, and the one that refuses.

Finds tables and columns, applies the rules of aliases, aggregates, orders and limits, and says which operator fits
which column. Literals are read later (`literals`), when a kept plan gets its parameters.
Source of rules and codes: fetchxml.md §3 to §5 and §8 to §10, webapi.md §18.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from adjourn import config, errors
from adjourn.errors import QueryError, nearest
from adjourn.metadata.dateparts import PARTS
from adjourn.metadata.model import Catalog, Column, ColumnType, Table
from adjourn.query.operators import OPERATORS, Within, family
from adjourn.query.resolved import (
    MATCH_FIRST,
    Group,
    Node,
    Predicate,
    RelatedRows,
    Resolved,
    Selected,
    Sort,
    Term,
    Test,
)
from adjourn.query.tree import NEVER, Attribute, Condition, Filter, Link, Order, Query, Related

VALUES_MAX = 50_000
"""Values of one `in`: they travel as one parameter, whose text must stay far below the body's limit."""
JOIN_KINDS = {"inner": "inner", "natural": "inner", "outer": "outer", MATCH_FIRST: MATCH_FIRST}
SEMI_KINDS = {"exists": "exists", "in": "in"}
RELATED_KINDS = {"any": "any", "not any": "not any", "all": "all", "not all": "any"}
_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBERS = (ColumnType.INTEGER, ColumnType.BIGINT, ColumnType.DECIMAL, ColumnType.DOUBLE, ColumnType.MONEY)
_AGGREGATES = {
    "count": None,
    "countcolumn": None,
    "sum": _NUMBERS,
    "avg": _NUMBERS,
    "min": (*_NUMBERS, ColumnType.DATETIME, ColumnType.DATE),
    "max": (*_NUMBERS, ColumnType.DATETIME, ColumnType.DATE),
}


def resolve(query: Query, catalog: Catalog) -> Resolved:
    """A query tree with all of its names found. Raises QueryError with the documented code and the position."""
    return _Resolver(query, catalog).resolved()


class _Resolver:
    """One question on its way through; the nodes by link and by alias."""

    def __init__(self, query: Query, catalog: Catalog) -> None:
        self.query = query
        self.catalog = catalog
        self.fetchxml = query.language == "fetchxml"
        self.grouped = query.aggregate or query.distinct
        self.numbers: dict[int, int] = {}
        self.aliases: dict[str, tuple[int, Table]] = {}
        self.links = 0
        self.conditions = 0
        self.next_number = 1

    def resolved(self) -> Resolved:
        query = self.query
        table = self.table(query.table, NEVER)
        for link in query.links:
            self.declare(link, JOIN_KINDS | SEMI_KINDS)
        children = tuple(self.node(link, 0, table) for link in query.links)
        where = self.filter(query.filter, 0, table, None)
        root = Node(0, "root", table, None, -1, None, None, where, children)
        if self.links + self.conditions > config.CONDITIONS_MAX:
            raise self.error(f"A query may have {config.CONDITIONS_MAX} conditions and links.", 0x8004430C)
        selected = self.selected(table)
        sorts = self.sorts(selected, root)
        return Resolved(root, selected, sorts, self.grouped, query.total, query.language, self.catalog.version)

    # --- names

    def error(self, message: str, code: int, odata: int | None = None, position: int = NEVER) -> QueryError:
        """A refusal in the code of the query's language (`odata` where the Web API has one of its own)."""
        chosen = code if self.fetchxml or odata is None else odata
        return QueryError(message, code=chosen, position=position if position >= 0 else None)

    def table(self, name: str, position: int) -> Table:
        found = self.catalog.tables.get(name)
        if found is None:
            near = nearest(name, self.catalog.tables)
            raise self.error(f"Table '{name[:100]}' does not exist.{near}", 0x80041102, position=position)
        return found

    def column(self, table: Table, name: str, position: int) -> Column:
        found = table.columns.get(name)
        if found is not None and found.readable:
            return found
        shown, near = name[:100], nearest(name, (c.logical for c in table.columns.values() if c.readable))
        if self.fetchxml:
            message = (
                f"'{table.logical}' entity doesn't contain attribute with Name = '{shown}' and NameMapping = 'Logical'."
            )
        else:
            message = f"Could not find a property named '{shown}' on type 'Microsoft.Dynamics.CRM.{table.logical}'."
        raise self.error(message + near, 0x80041103, errors.ODATA_NO_CODE, position)

    def aliased(self, alias: str, code: int, position: int) -> tuple[int, Table]:
        found = self.aliases.get(alias)
        if found is None:
            near = nearest(alias, self.aliases)
            raise self.error(f"There is no link with the alias '{alias[:100]}'.{near}", code, position=position)
        return found

    # --- links

    def declare(self, link: Link, kinds: dict[str, str], *, named: bool = True) -> None:
        """Number a link and those below it, and remember the aliases that the rest of the question may name."""
        if link.kind not in kinds:
            others = JOIN_KINDS | SEMI_KINDS | RELATED_KINDS
            place = "inside a filter" if link.kind in RELATED_KINDS else "outside filters"
            text = f"is allowed {place} only" if link.kind in others else "does not exist"
            raise self.error(
                f"Link type '{link.kind[:100]}' {text}; accepted here: {', '.join(kinds)}."
                f"{'' if link.kind in others else nearest(link.kind, others)}",
                0x80041121,
                position=link.position,
            )
        self.links += 1
        if self.links > config.LINKS_MAX:
            raise self.error(
                f"A query may have {config.LINKS_MAX} links to other tables.", 0x8004430D, position=link.position
            )
        if self.fetchxml and not _ALIAS.fullmatch(link.alias):
            raise self.error(
                f"Alias '{link.alias[:100]}' must begin with a letter or _ and go on with letters, digits and _.",
                0x80041109,
                position=link.position,
            )
        table = self.table(link.table, link.position)
        number, self.next_number = self.next_number, self.next_number + 1
        self.numbers[id(link)] = number
        if named:
            if link.alias in self.aliases:
                raise self.error(
                    f"Alias '{link.alias[:100]}' is used for two links.", 0x80041130, position=link.position
                )
            self.aliases[link.alias] = (number, table)
        below = named and kinds[link.kind] in ("inner", "outer")
        if link.links and link.kind == MATCH_FIRST:
            raise self.error(
                f"Links below a link of type '{MATCH_FIRST}' are not supported.", 0x80041121, position=link.position
            )
        for child in link.links:
            self.declare(child, JOIN_KINDS | SEMI_KINDS, named=below)

    def node(self, link: Link, parent: int, parent_table: Table) -> Node:
        """A link, declared before, as a node."""
        number = self.numbers[id(link)]
        table = self.table(link.table, link.position)
        kind = (JOIN_KINDS | SEMI_KINDS | RELATED_KINDS)[link.kind]
        from_, to = self.column(table, link.from_, link.position), self.column(parent_table, link.to, link.position)
        if _joinable(from_) != _joinable(to):
            raise self.error(
                f"'{table.logical}.{from_.logical}' ({from_.type}) cannot be joined with '{parent_table.logical}."
                f"{to.logical}' ({to.type}): they must be of one type.",
                0x80041111,
                position=link.position,
            )
        if kind not in ("inner", "outer", MATCH_FIRST) and (link.columns or link.all_columns):
            raise self.error(
                f"A link of type '{link.kind}' only asks whether there are rows; it has no columns to answer.",
                0x80041121,
                position=link.position,
            )
        children = tuple(self.node(child, number, table) for child in link.links)
        where = self.filter(link.filter, number, table, link.alias)
        sorts: tuple[Sort, ...] = ()
        if kind == MATCH_FIRST:
            sorts = tuple(
                self.term_sort(Term(number, self.column(table, o.column or "", o.position)), o) for o in link.orders
            )
        return Node(number, kind, table, link.alias, parent, from_, to, where, children, sorts)

    # --- filters

    def filter(self, tree: Filter | None, number: int, table: Table, alias: str | None) -> Predicate | None:
        """The filter of the root (alias None), or of a link, whose conditions can see its own columns only."""
        if tree is None or not (tree.conditions or tree.negated):
            return None
        if tree.kind not in ("and", "or"):
            raise self.error(f"A filter's type is 'and' or 'or', not '{tree.kind[:100]}'.", 0x800410FE)
        return Group(tree.kind, tuple(self.parts(tree, number, table, alias)), tree.negated)

    def parts(self, tree: Filter, number: int, table: Table, alias: str | None) -> Iterator[Predicate]:
        for part in tree.conditions:
            if isinstance(part, Filter):
                inner = self.filter(part, number, table, alias)
                if inner is not None:
                    yield inner
            elif isinstance(part, Related):
                self.declare(part.link, RELATED_KINDS, named=False)
                yield RelatedRows(self.node(part.link, number, table))
            else:
                self.conditions += 1
                yield self.test(part, number, table, alias)

    def test(self, condition: Condition, number: int, table: Table, alias: str | None) -> Test:
        position = condition.position
        term = self.place(condition.entity, condition.column, number, table, alias, position)
        operator = OPERATORS.get(condition.operator)
        if operator is None:
            raise self.error(
                f"Operator '{condition.operator[:100]}' does not exist.{nearest(condition.operator, OPERATORS)}",
                0x80041120,
                errors.ODATA_UNSUPPORTED,
                position,
            )
        if operator.test is None:
            raise self.error(
                f"Operator '{operator.name}' is not supported.", 0x80041120, errors.ODATA_UNSUPPORTED, position
            )
        if family(term.column) not in operator.families or (
            isinstance(operator.test, Within) and operator.test.clock and term.column.type is ColumnType.DATE
        ):
            raise self.error(
                f"Operator '{operator.name}' does not fit column '{term.column.logical}' of '{term.column.table}', "
                f"which is of type {term.column.type}.",
                0x80041120,
                errors.ODATA_UNSUPPORTED,
                position,
            )
        other: Term | None = None
        if condition.valueof is not None:
            other = self.place(condition.valueof[0], condition.valueof[1], number, table, alias, position)
            same = family(other.column) == family(term.column) and other.column.precision == term.column.precision
            if (
                not operator.comparable
                or not same
                or (family(other.column) == "D" and other.column.type != term.column.type)
            ):
                raise self.error(
                    f"'{operator.name}' cannot compare '{term.column.logical}' ({term.column.type}) with column "
                    f"'{other.column.logical}' ({other.column.type}): eq ne gt ge lt le compare columns of one type.",
                    0x80041106,
                    errors.ODATA_UNSUPPORTED,
                    position,
                )
        elif operator.arity is None and not condition.values:
            raise self.error(f"Operator '{operator.name}' needs at least one value.", 0x80041106, position=position)
        elif operator.arity is not None and len(condition.values) != operator.arity:
            raise self.error(
                f"Operator '{operator.name}' takes {operator.arity} value{'' if operator.arity == 1 else 's'}, "
                f"found {len(condition.values)}.",
                0x80041106,
                position=position,
            )
        elif len(condition.values) > VALUES_MAX:
            raise self.error(
                f"A condition may have {VALUES_MAX:,} values, found {len(condition.values):,}.",
                0x8004430E,
                position=position,
            )
        return Test(term, operator, condition, other)

    def place(
        self, entity: str | None, column: str, number: int, table: Table, alias: str | None, position: int
    ) -> Term:
        """A column named in a filter: of the table where it stands, or of a joined link from the root's filter."""
        if entity is None or entity == alias:
            return Term(number, self.column(table, column, position))
        if alias is not None:
            raise self.error(
                f"A filter inside link '{alias}' can name its own columns only, not those of '{entity[:100]}'; "
                "put the condition into the outermost filter.",
                0x80041106,
                position=position,
            )
        found, found_table = self.aliased(entity, 0x80041106, position)
        return Term(found, self.column(found_table, column, position))

    # --- columns of the answer

    def selected(self, table: Table) -> tuple[Selected, ...]:
        """The answer's columns in the order of the question: the root's, its key, then each link's."""
        found = list(self.columns(0, table, None, self.query.columns, self.query.all_columns, ()))
        if not self.grouped and not any(s.key == table.primary_id for s in found):
            found.append(Selected(table.primary_id, Term(0, table.columns[table.primary_id]), "column", False))
        for link in self.query.links:
            found.extend(self.link_columns(link, ()))
        if not found:
            raise self.error(
                "A query for distinct rows must name its columns."
                if self.query.distinct
                else "There is nothing to answer.",
                0x8004112C,
            )
        unique: dict[tuple[Any, ...], Selected] = {}
        for one in found:
            before = unique.setdefault((one.path, one.key), one)
            if before != one:
                raise self.error(f"Alias '{one.key[:100]}' is used for two columns.", 0x80041130)
        return tuple(unique.values())

    def link_columns(self, link: Link, path: tuple[str, ...]) -> Iterator[Selected]:
        if JOIN_KINDS.get(link.kind) is None:
            return
        number, table = self.aliases[link.alias]
        if link.expand:
            path = (*path, link.expand)
        if not link.hidden:
            columns = list(self.columns(number, table, link, link.columns, link.all_columns, path))
            if link.expand and not any(s.key == table.primary_id for s in columns):
                # It tells an expanded record without values from one that is not there.
                key = table.columns[table.primary_id]
                columns.append(Selected(table.primary_id, Term(number, key), "column", False, path, link.alias))
            yield from columns
        for child in link.links:
            yield from self.link_columns(child, path)

    def columns(
        self,
        number: int,
        table: Table,
        link: Link | None,
        attributes: tuple[Attribute, ...],
        everything: bool,
        path: tuple[str, ...],
    ) -> Iterator[Selected]:
        if everything:
            if self.query.aggregate:
                raise self.error("An aggregate query names its columns; it cannot ask for all of them.", 0x80041107)
            attributes = (*(Attribute(column.logical) for column in table.readable()), *attributes)
        grouped = {a.name for a in attributes if a.groupby}
        for a in attributes:
            column = self.column(table, a.name, a.position)
            if a.alias is not None and self.fetchxml and not _ALIAS.fullmatch(a.alias):
                raise self.error(
                    f"Alias '{a.alias[:100]}' must begin with a letter or _ and go on with letters, digits and _.",
                    0x80041109,
                    position=a.position,
                )
            if self.query.aggregate:
                self.check_aggregate(a, column, grouped)
            elif a.aggregate or a.groupby:
                raise self.error(
                    f"'{a.name}' is grouped or aggregated, but the query is no aggregate one.",
                    0x8004111A,
                    position=a.position,
                )
            linked = link is not None and link.expand is None and not path
            own = f"{link.alias}.{a.name}" if link is not None and linked else a.name
            kind = "aggregate" if a.aggregate else "group" if self.query.aggregate else "column"
            yield Selected(
                a.alias or own,
                Term(number, column),
                kind,  # type: ignore[arg-type]
                a.alias is not None,
                path,
                link.alias if link else None,
                a.aggregate,
                a.dategrouping,
                a.usertimezone,
                a.distinct,
            )

    def check_aggregate(self, a: Attribute, column: Column, grouped: set[str]) -> None:
        if a.aggregate is None and not a.groupby:
            raise self.error(
                f"'{a.name}' is neither grouped nor aggregated, in an aggregate query.", 0x80041107, position=a.position
            )
        if self.fetchxml and a.alias is None:
            raise self.error(f"'{a.name}' needs an alias in an aggregate query.", 0x8004110B, position=a.position)
        if a.aggregate is not None:
            if a.aggregate not in _AGGREGATES:
                raise self.error(
                    f"Aggregate '{a.aggregate[:100]}' does not exist; accepted: {', '.join(_AGGREGATES)}."
                    f"{nearest(a.aggregate, _AGGREGATES)}",
                    0x8004111A,
                    position=a.position,
                )
            types = _AGGREGATES[a.aggregate]
            if types is not None and column.type not in types:
                raise self.error(
                    f"The aggregate '{a.aggregate}' is not supported for column '{a.name}' of type {column.type}.",
                    0x8004112F,
                    position=a.position,
                )
            if self.fetchxml and (a.groupby or a.name in grouped):
                raise self.error(f"'{a.name}' cannot be both grouped and aggregated.", 0x80041137, position=a.position)
        if a.dategrouping is not None:
            if a.dategrouping not in PARTS:
                known = a.dategrouping in ("fiscal-period", "fiscal-year")
                raise self.error(
                    f"Date grouping '{a.dategrouping[:100]}' {'is not supported' if known else 'does not exist'}; "
                    f"accepted: {', '.join(PARTS)}.",
                    0x80041135,
                    position=a.position,
                )
            if not a.groupby or family(column) != "D":
                raise self.error(
                    f"A date grouping needs a date column that is grouped; '{a.name}' is of type {column.type}.",
                    0x80041135,
                    position=a.position,
                )

    # --- order

    def sorts(self, selected: tuple[Selected, ...], root: Node) -> tuple[Sort, ...]:
        """All sort keys, ended by keys that make the order total, so that no page loses or repeats a row."""
        found = [self.sort(order, None, selected, root.table) for order in self.query.orders]
        for link in _joined(self.query.links):
            found.extend(self.sort(order, link, selected, root.table) for order in link.orders)
        if self.grouped:
            return (*found, *self.group_sorts(selected, found))
        key = Term(0, root.table.columns[root.table.primary_id])
        many = [node for node in _nodes(root) if node.joined and not node.single]
        kept: list[Sort] = []
        for sort in found:
            if any(before.term == sort.term for before in kept):
                continue
            kept.append(sort)
            if sort.term == key and not many:
                return tuple(kept)
        kept.append(Sort("value", False, key, nullable=False))
        kept.extend(Sort("value", False, Term(node.number, node.table.columns[node.table.primary_id])) for node in many)
        return tuple(kept)

    def group_sorts(self, selected: tuple[Selected, ...], found: list[Sort]) -> Iterator[Sort]:
        whole = {sort.output for sort in found if sort.sorting == "value"}
        for index, one in enumerate(selected):
            if one.kind != "aggregate" and index not in whole:
                yield Sort("exact" if family(one.term.column) in "SE" else "value", False, output=index)

    def sort(self, order: Order, link: Link | None, selected: tuple[Selected, ...], table: Table) -> Sort:
        position = order.position
        if order.alias is not None:
            if not self.query.aggregate:
                raise self.error(
                    f"Alias '{order.alias[:100]}' can be an order in an aggregate query only; name the column.",
                    0x80041132,
                    position=position,
                )
            for index, one in enumerate(selected):
                if one.key == order.alias:
                    return self.output_sort(index, one, order)
            near = nearest(order.alias, (s.key for s in selected))
            raise self.error(
                f"There is no column with the alias '{order.alias[:100]}'.{near}",
                0x8004110A,
                position=position,
            )
        if order.column is None:
            raise self.error(
                "An order names a column, or an alias in an aggregate query.", 0x80041133, position=position
            )
        if self.query.aggregate and self.fetchxml:
            raise self.error(
                f"In an aggregate query an order names an alias, not column '{order.column[:100]}'.",
                0x80041131,
                position=position,
            )
        entity = order.entity or (link.alias if link is not None else None)
        number, owner = (0, table) if entity is None else self.aliased(entity, 0x80041126, position)
        term = Term(number, self.column(owner, order.column, position))
        if not self.grouped:
            return self.term_sort(term, order)
        for index, one in enumerate(selected):
            if one.term == term and one.kind != "aggregate":
                return self.output_sort(index, one, order)
        raise self.error(
            f"'{order.column}' can only be an order if it is a column of the answer, since the rows are grouped.",
            0x80041131,
            errors.ODATA_UNSUPPORTED,
            position,
        )

    def term_sort(self, term: Term, order: Order) -> Sort:
        nullable = not (term.node == 0 and term.column.logical == self.table(self.query.table, NEVER).primary_id)
        return Sort(_sorting(term.column, order), order.descending, term, nullable=nullable)

    def output_sort(self, index: int, one: Selected, order: Order) -> Sort:
        plain = one.kind == "aggregate" or one.part is not None
        return Sort("value" if plain else _sorting(one.term.column, order), order.descending, output=index)


def _sorting(column: Column, order: Order) -> Any:
    if column.type.is_lookup:
        return "name"
    if column.choice is not None and order.by_label:
        return "label"
    return "text" if family(column) == "S" else "exact" if family(column) == "E" else "value"


def _joinable(column: Column) -> str:
    """Columns of one join type can be joined: all that hold guids are one type."""
    kind = family(column)
    if kind in "OU":
        return "guid"
    return f"{column.type}{column.precision}" if kind in "NDC" and not column.type.is_choice else kind


def _joined(links: tuple[Link, ...]) -> Iterator[Link]:
    """The links that take part in the join and may bring orders, in document order."""
    for link in links:
        if JOIN_KINDS.get(link.kind) in ("inner", "outer"):
            yield link
            yield from _joined(link.links)


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        if child.joined:
            yield from _nodes(child)
