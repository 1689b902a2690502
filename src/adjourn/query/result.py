"""Running a plan: one page of raw rows, whether more follow, and where the next page begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adjourn.query.plan import Plan
from adjourn.store.contract import Reader, Row

KEYSET_CHARACTERS_MAX = 2000
"""Sort keys longer than this in all do not go into a cookie (a URL has an end): such pages are found by number."""


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer. rows: raw, to be read by `plan.outputs`. total: of all pages, when it was asked for.

    after: where the next page begins (`tree.Page.after`); None when none follows, or when it is found by number alone.
    """

    plan: Plan
    rows: list[Row]
    more: bool = False
    total: int | None = None
    after: tuple[Any, ...] | None = None


def run(plan: Plan, reader: Reader) -> Rows:
    """Ask the store. The total is counted in the same view as the rows."""
    rows = reader.rows(plan.sql, plan.parameters)
    more = plan.size is not None and len(rows) > plan.size
    if more:
        del rows[plan.size :]
    total = None
    if plan.total_sql is not None:
        total = int(reader.rows(plan.total_sql, plan.parameters)[0][0])
    return Rows(plan, rows, more, total, _after(plan, rows[-1]) if more and rows else None)


def _after(plan: Plan, row: Row) -> tuple[Any, ...] | None:
    keys = tuple(row[sort.index] for sort in plan.sort)
    characters = sum(len(key) for key in keys if isinstance(key, str))
    return keys if keys and characters <= KEYSET_CHARACTERS_MAX else None
