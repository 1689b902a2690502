"""A question answered in plain Python, over lists of rows: the meaning of the query tree, without SQL.

The oracle of the tests: it shares with the compiler the resolved tree and each operator's own definition, and nothing
of how joins, groups, orders and pages are made. It reads every row there is, so nothing but tests should call it.

Data: for each table a list of dicts with the raw values that SQLite would give, by logical name, columns of the side
table and of polymorphic lookups' tables among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cmp_to_key
from typing import Any

from adjourn.metadata import fiscal, text
from adjourn.metadata.dateparts import FISCAL_PARTS, FISCAL_YEAR, date_part
from adjourn.metadata.model import Catalog, Column, ColumnType
from adjourn.metadata.timezones import UTC_CODE
from adjourn.query.comparisons import Compare
from adjourn.query.conditions import Asked
from adjourn.query.literals import Circumstances
from adjourn.query.resolve import resolve
from adjourn.query.resolved import MATCH_FIRST, Group, Node, Predicate, Resolved, Selected, Sort, Term, Test
from adjourn.query.tree import Query

Data = Mapping[str, Sequence[Mapping[str, Any]]]
Bound = dict[int, Mapping[str, Any] | None]
"""One row of the join: for each node its row, None where an outer link found none."""
Grouped = tuple[tuple[Any, ...], Bound]
"""A group's answer, with one of its rows."""


def evaluate(
    query: Query, data: Data, catalog: Catalog, circumstances: Circumstances
) -> tuple[list[tuple[Any, ...]], int]:
    """The rows of the page that the query asks for, the values in the order of `Plan.outputs`, and the total.

    Pages are found by number; `Page.after` is not read.
    """
    return _Evaluation(resolve(query, catalog), data, catalog, circumstances).answer(query)


class _Evaluation:
    def __init__(self, resolved: Resolved, data: Data, catalog: Catalog, circumstances: Circumstances) -> None:
        self.resolved = resolved
        self.data = data
        self.catalog = catalog
        self.circumstances = circumstances
        self.asked: dict[int, Asked] = {}

    def answer(self, query: Query) -> tuple[list[tuple[Any, ...]], int]:
        root = self.resolved.root
        bound = [row for row in self.join(root, [{}]) if self.holds(root.filter, row)]
        if self.resolved.grouped:
            rows = self.groups(bound)
            rows.sort(key=cmp_to_key(self.compare_groups))
            answers = [tuple(map(self.shown, self.resolved.selected, values)) for values, _ in rows]
        else:
            bound.sort(key=cmp_to_key(self.compare_rows))
            answers = [tuple(self.answered(s, row) for s in self.resolved.selected) for row in bound]
        total = len(answers)
        if query.top is not None:
            answers = answers[: query.top]
        if query.page.size is not None:
            first = query.page.size * (query.page.number - 1)
            answers = answers[first : first + query.page.size]
        return answers, total

    # --- values

    def answered(self, selected: Selected, row: Bound) -> Any:
        value = self.value(selected.term, row)
        if not selected.children:
            return value
        hierarchy = self.catalog.tables[selected.term.column.table].hierarchy
        assert hierarchy is not None
        children = self.data.get(hierarchy.referencing, ())
        return sum(value is not None and child.get(hierarchy.column) == value for child in children)

    def shown(self, selected: Selected, value: Any) -> Any:
        """A fiscal year or period is answered by its name, and sorted by its number."""
        calendar = self.circumstances.caller.calendar
        if value is None or selected.part not in FISCAL_PARTS:
            return value
        if selected.part == FISCAL_YEAR:
            return fiscal.year_name(calendar, value)
        year = fiscal.year_name(calendar, value // 100)
        return f"{fiscal.period_name(calendar, value // 100, value % 100)}{calendar.connector}{year}"

    def value(self, term: Term, row: Bound) -> Any:
        record = row[term.node]
        return None if record is None else self.read(term.column, record)

    def read(self, column: Column, record: Mapping[str, Any]) -> Any:
        if column.storage != "derived":
            return record.get(column.logical)
        base = self.catalog.tables[column.table].columns[column.derives or ""]
        return self.name(base, record.get(base.logical), record.get(base.type_column or ""))

    def name(self, column: Column, value: Any, kind: str | None) -> str | None:
        """A choice's label, a lookup's name."""
        if value is None:
            return None
        if column.choice is not None:
            return column.choice.label(int(value))
        table = self.catalog.tables.get(kind if column.polymorphic and kind else column.targets[0])
        if table is None or table.primary_name is None or (column.polymorphic and kind is None):
            return None
        for record in self.data.get(table.logical, ()):
            if record[table.primary_id] == value:
                found: str | None = record.get(table.primary_name)
                return found
        return None

    # --- joins

    def join(self, node: Node, before: list[Bound]) -> list[Bound]:
        """Each row of what came before, with each row of the node (and what hangs on it) that belongs to it."""
        joined: list[Bound] = []
        for row in before:
            found = list(self.matching(node, row))
            if node.kind == MATCH_FIRST:
                joined.extend(self.first(node, found))
            elif node.kind == "outer" and not found:
                joined.append({**row, **dict.fromkeys(_numbers(node))})
            else:
                joined.extend(found)
        return joined

    def matching(self, node: Node, row: Bound) -> Iterator[Bound]:
        for record in self.data.get(node.table.logical, ()):
            here = {**row, node.number: record}
            if not self.belongs(node, here):
                continue
            # The root's filter is asked after the join, a link's own in it.
            if node.kind != "root" and not self.holds(node.filter, here):
                continue
            rows = [here]
            for child in node.children:
                rows = self.join(child, rows) if child.joined else [r for r in rows if self.exist(child, r)]
            yield from rows

    def belongs(self, node: Node, row: Bound) -> bool:
        if node.from_ is None or node.to is None:
            return True
        left, right = self.value(Term(node.number, node.from_), row), self.value(Term(node.parent, node.to), row)
        return left is not None and left == right

    def first(self, node: Node, found: list[Bound]) -> list[Bound]:
        key = Sort("value", False, Term(node.number, node.table.columns[node.table.primary_id]))
        sorts = (*node.sorts, key)
        found.sort(key=cmp_to_key(lambda a, b: self.compare([self.row_key(s, a, b) for s in sorts])))
        return found[:1]

    def exist(self, node: Node, row: Bound) -> bool:
        if node.kind == "not any":
            return not any(self.matching(node, row))
        if node.kind == "all":
            records = self.data.get(node.table.logical, ())
            some = any(self.belongs(node, {**row, node.number: record}) for record in records)
            return some and not any(self.matching(node, row))
        return any(self.matching(node, row))

    # --- filters

    def holds(self, predicate: Predicate | None, row: Bound) -> bool:
        if predicate is None:
            return True
        if isinstance(predicate, Test):
            return self.test(predicate, row)
        if not isinstance(predicate, Group):
            return self.exist(predicate.node, row)
        found = (self.holds(part, row) for part in predicate.parts)
        result = all(found) if predicate.kind == "and" or not predicate.parts else any(found)
        return result != predicate.negated

    def test(self, test: Test, row: Bound) -> bool:
        value = self.value(test.term, row)
        if test.other is not None:
            assert isinstance(test.operator.test, Compare)
            return test.operator.test.columns_match(value, self.value(test.other, row), test.term.column)
        condition = test.condition
        asked = self.asked.get(id(test))
        if asked is None:
            asked = Asked(test.term.column, condition.values, condition.position, self.circumstances, self.data)
            self.asked[id(test)] = asked
        return test.operator.test.matches(value, asked)

    # --- groups

    def groups(self, bound: list[Bound]) -> list[Grouped]:
        """Each group's answer with one of its rows, from which names of lookups can be read."""
        keys = [s for s in self.resolved.selected if s.kind != "aggregate"]
        groups: dict[tuple[Any, ...], list[Bound]] = {} if keys else {(): []}
        for row in bound:
            groups.setdefault(tuple(self.part(s, row) for s in keys), []).append(row)
        found: list[Grouped] = []
        for key, rows in groups.items():
            parts = iter(key)
            answer = (self.aggregate(s, rows) if s.kind == "aggregate" else next(parts) for s in self.resolved.selected)
            found.append((tuple(answer), rows[0] if rows else {}))
        return found

    def part(self, selected: Selected, row: Bound) -> Any:
        value = self.value(selected.term, row)
        if selected.part is None:
            return value
        part = selected.part
        if part in FISCAL_PARTS:
            part = f"{part}:{self.circumstances.caller.calendar.arithmetic}"
        return date_part(value, part, self.circumstances.caller.timezone_code if selected.usertimezone else UTC_CODE)

    def aggregate(self, selected: Selected, rows: list[Bound]) -> Any:
        if selected.aggregate == "count":
            return len(rows)
        found = [value for row in rows if (value := self.value(selected.term, row)) is not None]
        if selected.aggregate == "countcolumn":
            return len(set(found)) if selected.distinct else len(found)
        if not found:
            return 0 if selected.aggregate == "sum" else None
        if selected.aggregate == "avg":
            total = sum(found)
            if selected.term.column.type is ColumnType.DOUBLE:
                return total / len(found)
            return abs(total) // len(found) * (-1 if total < 0 else 1)
        if selected.aggregate == "sum":
            return sum(found)
        return min(found) if selected.aggregate == "min" else max(found)

    # --- order

    def row_key(self, sort: Sort, a: Bound, b: Bound) -> tuple[Sort, Any, Any]:
        assert sort.term is not None
        if sort.sorting in ("name", "label"):
            column = self.catalog.tables[sort.term.column.table].columns[f"{sort.term.column.logical}name"]
            term = Term(sort.term.node, column)
            return sort, self.value(term, a), self.value(term, b)
        return sort, self.value(sort.term, a), self.value(sort.term, b)

    def group_key(self, sort: Sort, a: Grouped, b: Grouped) -> tuple[Sort, Any, Any]:
        if sort.sorting in ("name", "label"):
            term = self.resolved.selected[sort.output].term
            return self.row_key(Sort(sort.sorting, sort.descending, term), a[1], b[1])
        return sort, a[0][sort.output], b[0][sort.output]

    def compare_rows(self, a: Bound, b: Bound) -> int:
        return self.compare([self.row_key(sort, a, b) for sort in self.resolved.sorts])

    def compare_groups(self, a: Grouped, b: Grouped) -> int:
        return self.compare([self.group_key(sort, a, b) for sort in self.resolved.sorts])

    def compare(self, keys: list[tuple[Sort, Any, Any]]) -> int:
        for sort, left, right in keys:
            if sort.sorting in ("text", "label", "name"):
                left, right = (None if v is None else text.ascii_fold(v) for v in (left, right))
            if left == right:
                continue
            # Null is less than any value.
            less = left is None or (right is not None and left < right)
            return -1 if less != sort.descending else 1
        return 0


def _numbers(node: Node) -> Iterator[int]:
    yield node.number
    for child in node.children:
        yield from _numbers(child)
