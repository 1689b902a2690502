"""Running a plan: one page of raw rows, whether more follow, and where the next page begins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from adjourn import errors
from adjourn.errors import QueryError
from adjourn.metadata.model import Column, ColumnType
from adjourn.query import literals
from adjourn.query.compile_select import ROWS
from adjourn.query.plan import PARENTS, CollectionPlan, Plan, Shape
from adjourn.store.contract import Reader, Row

KEYSET_CHARACTERS_MAX = 2000
"""Sort keys longer than this in all do not go into a cookie (a URL has an end): such pages are found by number."""


EXPANDED_ROWS_MAX = 100_000
"""Records in all the expanded collections of one answer: they are in memory together, about a kilobyte each."""
KEPT_BYTES_MAX = 128 * 1024 * 1024
"""Of long texts, in the rows of an answer that are in memory together: those that collections are expanded in, and theirs."""
LONG_CHARACTERS = 4_000
"""Texts that may be longer are counted."""
CHUNK_ROWS = 256
"""Rows that are written together: few enough to stay in the processor's cache between being read and being written."""
FIRST_ROWS = 16
"""The first chunk: it tells how long the rows are. Each may hold some MiB of text."""
CHUNK_BYTES = 128 * 1024
"""About as much is written together, and sent together: to hand it over costs some 20 µs, in half as large pieces a
twentieth of a page's time."""
Write = Callable[[Sequence[Row]], int]
"""Writes rows, and tells how many bytes they take."""
Begin = Callable[[Plan, int | None], Write]
"""What is told the plan and the total of an answer before it is given its rows to write."""


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer. rows: raw, to be read by `plan.outputs`; where they were written as they came, the first and the last.

    total: of all pages, when it was asked for.
    after: where the next page begins (`tree.Page.after`); None when none follows, or when it is found by number alone.
    """

    plan: Plan
    rows: list[Row]
    more: bool = False
    total: int | None = None
    after: tuple[Any, ...] | None = None
    collections: tuple[Children, ...] = ()
    """In the order of `plan.collections`."""


@dataclass(frozen=True, slots=True)
class Children:
    """The rows of a collection expanded in an answer. rows: those of all the parents, each parent's in their order."""

    of: CollectionPlan
    rows: list[Row]
    collections: tuple[Children, ...] = ()

    def grouped(self, values: Sequence[Any]) -> dict[str, list[Any]]:
        """What stands for the rows, by the key of their parent."""
        found: dict[str, list[Any]] = {}
        index = self.of.of.parent
        for row, value in zip(self.rows, values, strict=True):
            found.setdefault(row[index], []).append(value)
        return found


def run(plan: Plan, reader: Reader, begin: Begin | None = None) -> Rows:
    """Ask the store. The total is counted in the same view as the rows.

    begin: makes what writes the rows as they come; each is dropped once it is written, so that a page never lies in
    memory. Not for rows with expanded collections, which are written together with those. Raises QueryError.
    """
    if plan.limit_sql is not None and plan.aggregate_limit is not None:
        found = int(reader.rows(plan.limit_sql, plan.parameters)[0][0])
        if found > plan.aggregate_limit:
            raise QueryError("AggregateQueryRecordLimit exceeded. Cannot perform this operation.", code=0x8004E023)
    total = None
    if plan.total_sql is not None:
        total = int(reader.rows(plan.total_sql, plan.parameters)[0][0])
    if begin is not None and not plan.collections and not plan.backwards:
        with closing(reader.stream(plan.sql, plan.parameters)) as source:
            rows = written(source, begin(plan, total), plan.size)
            more = bool(rows) and plan.size is not None and next(source, None) is not None
            for _ in source:  # nothing: the statement asks for one row more. But it has ended only when it says so
                pass
        return _answer(plan, rows, more, total)
    kept = _Kept(reader)
    rows = kept.rows(plan.shape, plan.sql, plan.parameters) if begin is not None or plan.collections else reader.rows(
        plan.sql, plan.parameters
    )  # fmt: skip
    if plan.backwards:
        rows.reverse()
        more = bool(rows)  # there is the page that it was asked from
    else:
        more = plan.size is not None and len(rows) > plan.size
        if more:
            del rows[plan.size :]
    children = _Expanding(reader, kept).children(plan.collections, rows) if plan.collections else ()
    if begin is not None and not plan.collections:
        rows = written(rows, begin(plan, total))
    return _answer(plan, rows, more, total, children)


def _answer(plan: Plan, rows: list[Row], more: bool, total: int | None, children: tuple[Children, ...] = ()) -> Rows:
    return Rows(plan, rows, more, total, after(plan, rows[-1]) if more and rows else None, children)


def written(rows: Iterable[Row], write: Write, size: int | None = None) -> list[Row]:
    """Write rows, a chunk at a time; returns the first and the last of them. size: at most so many."""
    source, left = iter(rows), size
    ends: list[Row] = []
    together = FIRST_ROWS
    while chunk := list(islice(source, together if left is None else min(together, left))):
        length = write(chunk)
        together = max(1, min(CHUNK_ROWS, CHUNK_BYTES * len(chunk) // max(1, length)))
        ends = [ends[0] if ends else chunk[0], chunk[-1]]
        if left is not None:
            left -= len(chunk)
    return ends


class _Kept:
    """The rows of one answer that are in memory together."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.left = KEPT_BYTES_MAX

    def rows(self, shape: Shape, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        """Those of a statement. Raises QueryError as soon as they hold too much."""
        long = [output.index for output in shape.outputs if _may_be_long(output.column)]
        if not long:
            return self.reader.rows(sql, parameters)
        found: list[Row] = []
        with closing(self.reader.stream(sql, parameters)) as source:
            for row in source:
                self.left -= sum([len(row[index]) for index in long if row[index] is not None])
                if self.left < 0:
                    raise QueryError(
                        f"The texts of this answer, which has to be put together before it is sent, are longer than "
                        f"{KEPT_BYTES_MAX:,} characters. Ask for fewer records a page (Prefer: odata.maxpagesize) or for "
                        "fewer columns ($select).",
                        code=errors.ODATA_UNSUPPORTED,
                    )
                found.append(row)
        return found


def _may_be_long(column: Column) -> bool:
    return column.type in (ColumnType.STRING, ColumnType.MEMO) and (column.max_length or sys.maxsize) > LONG_CHARACTERS


class _Expanding:
    """The collections of one answer, each asked once for all of its parents, from the view that the rows came from."""

    def __init__(self, reader: Reader, kept: _Kept) -> None:
        self.reader = reader
        self.kept = kept
        self.left = EXPANDED_ROWS_MAX

    def children(self, plans: tuple[CollectionPlan, ...], parents: Sequence[Row]) -> tuple[Children, ...]:
        return tuple(self.of(plan, parents) for plan in plans)

    def of(self, plan: CollectionPlan, parents: Sequence[Row]) -> Children:
        keys = list({row[plan.of.key]: None for row in parents if row[plan.of.key] is not None})
        rows: list[Row] = []
        if keys:
            asked = plan.plan
            listed = literals.listed(keys, self.reader.dialect)
            rows = self.kept.rows(asked.shape, asked.sql, {**asked.parameters, PARENTS: listed, ROWS: self.left + 1})
        self.left -= len(rows)
        if self.left < 0:
            raise QueryError(
                f"The expanded collections of this answer have more than {EXPANDED_ROWS_MAX:,} records in all, the last of "
                f"them '{plan.of.navigation}'. Ask for fewer records a page (Prefer: odata.maxpagesize), or for fewer in "
                "each collection ($filter, $top).",
                code=errors.ODATA_UNSUPPORTED,
            )
        return Children(plan, rows, self.children(plan.plan.collections, rows))


def after(plan: Plan, row: Row) -> tuple[Any, ...] | None:
    """Where the page behind this row begins; None if it is found by number alone."""
    keys = tuple(row[sort.index] for sort in plan.sort)
    characters = sum(len(key) for key in keys if isinstance(key, str))
    return keys if keys and characters <= KEYSET_CHARACTERS_MAX else None
