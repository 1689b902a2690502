"""What a question answers: its columns, groups and aggregates, and its order.

Source: fetchxml.md §3 and §8, webapi.md §10.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from adjourn import errors
from adjourn.errors import nearest
from adjourn.metadata.dateparts import PARTS
from adjourn.metadata.model import Column, ColumnType, Table
from adjourn.query import plan
from adjourn.query.conditions import family
from adjourn.query.resolve_links import JOIN_KINDS
from adjourn.query.resolve_names import ALIAS, Names, sorting
from adjourn.query.resolved import Node, Selected, Sort, Term
from adjourn.query.tree import Attribute, Link, Order

_NUMBERS = (ColumnType.INTEGER, ColumnType.BIGINT, ColumnType.DECIMAL, ColumnType.DOUBLE, ColumnType.MONEY)
_AGGREGATES = {
    "count": None,
    "countcolumn": None,
    "sum": _NUMBERS,
    "avg": _NUMBERS,
    "min": (*_NUMBERS, ColumnType.DATETIME, ColumnType.DATE),
    "max": (*_NUMBERS, ColumnType.DATETIME, ColumnType.DATE),
}


class Answer:
    """The columns and orders of one question, whose links have been declared."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.grouped = names.query.aggregate or names.query.distinct

    def selected(self, table: Table) -> tuple[Selected, ...]:
        """The answer's columns in the order of the question: the root's, its key, then each link's."""
        found = list(self.columns(0, table, None, self.names.query.columns, self.names.query.all_columns, ()))
        if not self.grouped and not any(s.key == table.primary_id for s in found):
            found.append(Selected(table.primary_id, Term(0, table.columns[table.primary_id]), "column", False))
        for link in self.names.query.links:
            found.extend(self.link_columns(link, ()))
        if not found:
            raise self.names.error(
                "A query for distinct rows must name its columns."
                if self.names.query.distinct
                else "There is nothing to answer.",
                0x8004112C,
            )
        unique: dict[tuple[Any, ...], Selected] = {}
        for one in found:
            before = unique.setdefault((one.path, one.key), one)
            if before != one:
                raise self.names.error(f"Alias '{one.key[:100]}' is used for two columns.", 0x80041130)
        return tuple(unique.values())

    def link_columns(self, link: Link, path: tuple[str, ...]) -> Iterator[Selected]:
        if JOIN_KINDS.get(link.kind) is None:
            return
        number, table = self.names.aliases[link.alias]
        if link.expand:
            path = (*path, link.expand)
        if not link.hidden:
            columns = list(self.columns(number, table, link, link.columns, link.all_columns, path))
            if link.expand and not any(s.key == table.primary_id for s in columns):
                # It tells an expanded record without values from one that is not there.
                key = table.columns[table.primary_id]
                columns.append(Selected(table.primary_id, Term(number, key), "column", False, path, link.alias))
            yield from (dataclasses.replace(s, reference=True) for s in columns) if link.reference else columns
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
            if self.names.query.aggregate:
                raise self.names.error(
                    "An aggregate query names its columns; it cannot ask for all of them.", 0x80041107
                )
            attributes = (*(Attribute(column.logical) for column in table.readable()), *attributes)
        for a in attributes:
            column = self.names.column(table, a.name, a.position)
            if a.alias is not None and self.names.fetchxml and not ALIAS.fullmatch(a.alias):
                raise self.names.error(
                    f"Alias '{a.alias[:100]}' must begin with a letter or _ and go on with letters, digits and _.",
                    0x80041109,
                    position=a.position,
                )
            if a.rowaggregate is not None:
                self.check_children(a, table)
            elif self.names.query.aggregate:
                self.check_aggregate(a, column)
            elif a.aggregate or a.groupby or a.dategrouping is not None:
                raise self.names.error(
                    f"'{a.name}' is grouped or aggregated, but the query is no aggregate one.",
                    0x8004111A,
                    position=a.position,
                )
            linked = link is not None and link.expand is None and not path
            own = f"{link.alias}.{a.name}" if link is not None and linked else a.name
            kind: plan.Kind = "aggregate" if a.aggregate else "group" if self.names.query.aggregate else "column"
            yield Selected(
                a.alias or own,
                Term(number, column),
                kind,
                a.alias is not None,
                path,
                link.alias if link else None,
                a.aggregate,
                a.dategrouping,
                a.usertimezone,
                a.distinct,
                children=a.rowaggregate is not None,
            )

    def check_children(self, a: Attribute, table: Table) -> None:
        if a.rowaggregate != "CountChildren":
            raise self.names.error(
                f"'rowaggregate' can be CountChildren only, found '{(a.rowaggregate or '')[:100]}'.",
                0x8004111A,
                position=a.position,
            )
        if self.grouped or a.aggregate or a.groupby or a.dategrouping is not None:
            raise self.names.error(
                "'rowaggregate' counts the children of each record; it is not for aggregate or distinct queries.",
                0x8004111A,
                position=a.position,
            )
        if a.alias is None:
            raise self.names.error(f"'{a.name}' with a rowaggregate needs an alias.", 0x8004110B, position=a.position)
        if table.hierarchy is None or a.name != table.primary_id:
            raise self.names.error(
                f"'rowaggregate' needs the key of a table with a hierarchical relationship, not '{a.name}' of "
                f"'{table.logical}'.",
                0x8004112F,
                position=a.position,
            )

    def check_aggregate(self, a: Attribute, column: Column) -> None:
        if a.aggregate is None and not a.groupby:
            raise self.names.error(
                f"'{a.name}' is neither grouped nor aggregated, in an aggregate query.", 0x80041107, position=a.position
            )
        if self.names.fetchxml and a.alias is None:
            raise self.names.error(f"'{a.name}' needs an alias in an aggregate query.", 0x8004110B, position=a.position)
        if a.aggregate is not None:
            if a.aggregate not in _AGGREGATES:
                raise self.names.error(
                    f"Aggregate '{a.aggregate[:100]}' does not exist; accepted: {', '.join(_AGGREGATES)}."
                    f"{nearest(a.aggregate, _AGGREGATES)}",
                    0x8004111A,
                    position=a.position,
                )
            types = _AGGREGATES[a.aggregate]
            if types is not None and column.type not in types:
                raise self.names.error(
                    f"The aggregate '{a.aggregate}' is not supported for column '{a.name}' of type {column.type}.",
                    0x8004112F,
                    position=a.position,
                )
            if a.groupby:
                raise self.names.error(
                    f"'{a.name}' cannot be both grouped and aggregated.", 0x80041137, position=a.position
                )
        if a.dategrouping is not None:
            if a.dategrouping not in PARTS:
                raise self.names.error(
                    f"Date grouping '{a.dategrouping[:100]}' does not exist; accepted: {', '.join(PARTS)}."
                    f"{nearest(a.dategrouping, PARTS)}",
                    0x80041135,
                    position=a.position,
                )
            if not a.groupby or family(column) != "D":
                raise self.names.error(
                    f"A date grouping needs a date column that is grouped; '{a.name}' is of type {column.type}.",
                    0x80041135,
                    position=a.position,
                )

    def sorts(self, selected: tuple[Selected, ...], root: Node) -> tuple[Sort, ...]:
        """All sort keys, ended by keys that make the order total, so that no page loses or repeats a row."""
        found = [self.sort(order, None, selected, root.table) for order in self.names.query.orders]
        for link in _joined(self.names.query.links):
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
                yield Sort("exact" if family(one.term.column) in "SEM" else "value", False, output=index)

    def sort(self, order: Order, link: Link | None, selected: tuple[Selected, ...], table: Table) -> Sort:
        position = order.position
        if order.alias is not None:
            if not self.names.query.aggregate:
                raise self.names.error(
                    f"Alias '{order.alias[:100]}' can be an order in an aggregate query only; name the column.",
                    0x80041132,
                    position=position,
                )
            for index, one in enumerate(selected):
                if one.key == order.alias:
                    return self.output_sort(index, one, order)
            near = nearest(order.alias, (s.key for s in selected))
            raise self.names.error(
                f"There is no column with the alias '{order.alias[:100]}'.{near}",
                0x8004110A,
                position=position,
            )
        if order.column is None:
            raise self.names.error(
                "An order names a column, or an alias in an aggregate query.", 0x80041133, position=position
            )
        if self.names.query.aggregate and self.names.fetchxml:
            raise self.names.error(
                f"In an aggregate query an order names an alias, not column '{order.column[:100]}'.",
                0x80041131,
                position=position,
            )
        entity = order.entity or (link.alias if link is not None else None)
        number, owner = (0, table) if entity is None else self.names.aliased(entity, 0x80041126, position)
        term = Term(number, self.names.column(owner, order.column, position))
        if not self.grouped:
            return self.names.term_sort(term, order)
        for index, one in enumerate(selected):
            if one.term == term and one.kind != "aggregate":
                return self.output_sort(index, one, order)
        raise self.names.error(
            f"'{order.column}' can only be an order if it is a column of the answer, since the rows are grouped.",
            0x80041131,
            errors.ODATA_UNSUPPORTED,
            position,
        )

    def output_sort(self, index: int, one: Selected, order: Order) -> Sort:
        plain = one.kind == "aggregate" or one.part is not None
        return Sort("value" if plain else sorting(one.term.column, order), order.descending, output=index)


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
