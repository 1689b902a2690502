"""What the unit tests of the query core ask, and with which caller."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from adjourn.metadata.catalog import load
from adjourn.query.compile import Plan, compile
from adjourn.query.security import Caller
from adjourn.query.tree import Attribute, Condition, Filter, Link, Order, Query
from adjourn.store.contract import Dialect

CATALOG = load()
NOW = datetime(2026, 3, 29, 14, 25, 36, tzinfo=UTC)
"""16:25 in Berlin, on the day on which its clocks went forward."""
CALLER = Caller(UUID(int=1), UUID(int=2), (UUID(int=3),), timezone_code=110, is_administrator=True)


def plan(query: Query, dialect: Dialect = "sqlite", *, names: bool = False, timezone_code: int = 110) -> Plan:
    caller = dataclasses.replace(CALLER, timezone_code=timezone_code)
    return compile(query, CATALOG, caller, dialect, NOW, names=names)


def where(*conditions: Any, language: str = "fetchxml", links: tuple[Link, ...] = ()) -> Query:
    return Query(
        "asyncoperation", (Attribute("name"),), filter=Filter("and", conditions), links=links, language=language
    )


def window(
    operator: str, *values: Any, table: str = "asyncoperation", column: str = "createdon", timezone_code: int = 110
) -> list[Any]:
    """The parameters of a date operator: its window."""
    query = Query(table, filter=Filter("and", (Condition(column, operator, values),)), language="fetchxml")
    return [
        value for name, value in plan(query, timezone_code=timezone_code).parameters.items() if name.startswith("p")
    ]


def jobs_by_state(**changes: Any) -> Query:
    """The specification's question: how many jobs in each state, status and type."""
    keys = tuple(Attribute(name, name, groupby=True) for name in ("statecode", "statuscode", "operationtype"))
    settings: dict[str, Any] = {
        "columns": (*keys, Attribute("asyncoperationid", "count", "count")),
        "orders": (Order(alias="count", descending=True),),
        "aggregate": True,
        "language": "fetchxml",
        **changes,
    }
    return Query("asyncoperation", **settings)
