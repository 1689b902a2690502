"""Running a plan: one page of raw rows, whether more follow, and where the next page begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from adjourn import errors
from adjourn.errors import QueryError
from adjourn.query import literals
from adjourn.query.compile_select import ROWS
from adjourn.query.plan import PARENTS, CollectionPlan, Plan
from adjourn.store.contract import Reader, Row

KEYSET_CHARACTERS_MAX = 2000
"""Sort keys longer than this in all do not go into a cookie (a URL has an end): such pages are found by number."""


EXPANDED_ROWS_MAX = 100_000
"""Records in all the expanded collections of one answer: they are in memory together, about a kilobyte each."""
CHUNK_ROWS = 256
"""Rows that are written together: few enough to stay in the processor's cache between being read and being written."""
FIRST_ROWS = 16
"""The first chunk: it tells how long the rows are. Each may hold some MiB of text."""
CHUNK_BYTES = 8 * 1024 * 1024
"""About as much is written together where rows are long."""
ANSWER_BYTES_MAX = 128 * 1024 * 1024
"""A page of rows, as it is sent, lies in memory: 5,000 rows of 26 KiB each."""
Write = Callable[[Sequence[Row]], bytearray]


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer. rows: raw, to be read by `plan.outputs`. total: of all pages, when it was asked for.

    written: the rows as their reader wants them, in pieces; then `rows` holds the first and the last one.
    after: where the next page begins (`tree.Page.after`); None when none follows, or when it is found by number alone.
    """

    plan: Plan
    rows: list[Row]
    more: bool = False
    total: int | None = None
    after: tuple[Any, ...] | None = None
    written: tuple[bytearray, ...] = ()
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


def run(plan: Plan, reader: Reader, write: Callable[[Plan], Write] | None = None) -> Rows:
    """Ask the store. The total is counted in the same view as the rows.

    write: makes what writes the rows; each is dropped once it is written, so that a page is never there twice. Not
    for rows with expanded collections, which are written together with those.
    """
    if plan.limit_sql is not None and plan.aggregate_limit is not None:
        found = int(reader.rows(plan.limit_sql, plan.parameters)[0][0])
        if found > plan.aggregate_limit:
            raise QueryError("AggregateQueryRecordLimit exceeded. Cannot perform this operation.", code=0x8004E023)
    written: tuple[bytearray, ...] = ()
    if plan.backwards:
        rows = reader.rows(plan.sql, plan.parameters)
        rows.reverse()
        more = bool(rows)  # there is the page that it was asked from
        written = (write(plan)(rows),) if write is not None and rows and not plan.collections else ()
    elif write is None or plan.collections:
        rows = reader.rows(plan.sql, plan.parameters)
        more = plan.size is not None and len(rows) > plan.size
        if more:
            del rows[plan.size :]
    else:
        rows, more, written = _written(plan, reader, write(plan))
    total = None
    if plan.total_sql is not None:
        total = int(reader.rows(plan.total_sql, plan.parameters)[0][0])
    children = _Expanding(reader).children(plan.collections, rows) if plan.collections else ()
    return Rows(plan, rows, more, total, after(plan, rows[-1]) if more and rows else None, written, children)


class _Expanding:
    """The collections of one answer, each asked once for all of its parents, from the view that the rows came from."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.left = EXPANDED_ROWS_MAX

    def children(self, plans: tuple[CollectionPlan, ...], parents: Sequence[Row]) -> tuple[Children, ...]:
        return tuple(self.of(plan, parents) for plan in plans)

    def of(self, plan: CollectionPlan, parents: Sequence[Row]) -> Children:
        keys = list({row[plan.of.key]: None for row in parents if row[plan.of.key] is not None})
        rows: list[Row] = []
        if keys:
            asked = plan.plan
            listed = literals.listed(keys, self.reader.dialect)
            rows = self.reader.rows(asked.sql, {**asked.parameters, PARENTS: listed, ROWS: self.left + 1})
        self.left -= len(rows)
        if self.left < 0:
            raise QueryError(
                f"The expanded collections of this answer have more than {EXPANDED_ROWS_MAX:,} records in all, the last of "
                f"them '{plan.of.navigation}'. Ask for fewer records a page (Prefer: odata.maxpagesize), or for fewer in "
                "each collection ($filter, $top).",
                code=errors.ODATA_UNSUPPORTED,
            )
        return Children(plan, rows, self.children(plan.plan.collections, rows))


def _written(plan: Plan, reader: Reader, write: Write) -> tuple[list[Row], bool, tuple[bytearray, ...]]:
    """The first and the last row, whether more follow, and all rows written."""
    source = reader.stream(plan.sql, plan.parameters) if reader.dialect == "sqlite" else iter(
        reader.rows(plan.sql, plan.parameters)
    )  # fmt: skip
    pieces: list[bytearray] = []
    ends: list[Row] = []
    left = plan.size
    size, together = 0, FIRST_ROWS
    while chunk := list(islice(source, together if left is None else min(together, left))):
        pieces.append(write(chunk))
        size += len(pieces[-1])
        if size > ANSWER_BYTES_MAX:
            raise QueryError(
                f"The answer is longer than {ANSWER_BYTES_MAX:,} bytes. Ask for fewer records a page (Prefer: odata.maxpagesize) "
                "or for fewer columns ($select).",
                code=errors.ODATA_UNSUPPORTED,
            )
        together = max(1, min(CHUNK_ROWS, CHUNK_BYTES * len(chunk) // len(pieces[-1])))
        ends = [ends[0] if ends else chunk[0], chunk[-1]]
        if left is not None:
            left -= len(chunk)
    return ends, left == 0 and next(source, None) is not None, tuple(pieces)


def after(plan: Plan, row: Row) -> tuple[Any, ...] | None:
    """Where the page behind this row begins; None if it is found by number alone."""
    keys = tuple(row[sort.index] for sort in plan.sort)
    characters = sum(len(key) for key in keys if isinstance(key, str))
    return keys if keys and characters <= KEYSET_CHARACTERS_MAX else None
