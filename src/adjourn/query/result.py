"""Running a plan: one page of raw rows, whether more follow, and where the next page begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from adjourn.query.plan import Plan
from adjourn.store.contract import Reader, Row

KEYSET_CHARACTERS_MAX = 2000
"""Sort keys longer than this in all do not go into a cookie (a URL has an end): such pages are found by number."""


CHUNK_ROWS = 256
"""Rows that are written together: few enough to stay in the processor's cache between being read and being written."""
Write = Callable[[Sequence[Row]], bytearray]


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer. rows: raw, to be read by `plan.outputs`. total: of all pages, when it was asked for.

    written: the rows as their reader wants them, in pieces; then `rows` holds the last one at most.
    after: where the next page begins (`tree.Page.after`); None when none follows, or when it is found by number alone.
    """

    plan: Plan
    rows: list[Row]
    more: bool = False
    total: int | None = None
    after: tuple[Any, ...] | None = None
    written: tuple[bytearray, ...] = ()


def run(plan: Plan, reader: Reader, write: Callable[[Plan], Write] | None = None) -> Rows:
    """Ask the store. The total is counted in the same view as the rows.

    write: makes what writes the rows; each is dropped once it is written, so that a page is never there twice.
    """
    written: tuple[bytearray, ...] = ()
    if write is None:
        rows = reader.rows(plan.sql, plan.parameters)
        more = plan.size is not None and len(rows) > plan.size
        if more:
            del rows[plan.size :]
    else:
        rows, more, written = _written(plan, reader, write(plan))
    total = None
    if plan.total_sql is not None:
        total = int(reader.rows(plan.total_sql, plan.parameters)[0][0])
    return Rows(plan, rows, more, total, _after(plan, rows[-1]) if more and rows else None, written)


def _written(plan: Plan, reader: Reader, write: Write) -> tuple[list[Row], bool, tuple[bytearray, ...]]:
    """The last row, whether more follow, and all rows written."""
    source = reader.stream(plan.sql, plan.parameters) if reader.dialect == "sqlite" else iter(
        reader.rows(plan.sql, plan.parameters)
    )  # fmt: skip
    pieces: list[bytearray] = []
    last: list[Row] = []
    left = plan.size
    while chunk := list(islice(source, CHUNK_ROWS if left is None else min(CHUNK_ROWS, left))):
        pieces.append(write(chunk))
        last = chunk[-1:]
        if left is not None:
            left -= len(chunk)
    return last, left == 0 and next(source, None) is not None, tuple(pieces)


def _after(plan: Plan, row: Row) -> tuple[Any, ...] | None:
    keys = tuple(row[sort.index] for sort in plan.sort)
    characters = sum(len(key) for key in keys if isinstance(key, str))
    return keys if keys and characters <= KEYSET_CHARACTERS_MAX else None
