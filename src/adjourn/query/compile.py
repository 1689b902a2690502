"""From a query tree to a plan: SQL with its parameters.

Two steps. The *shape* of a question, everything but its literals, is resolved and written as SQL once and kept; the
literals, the caller's ids and the moment are parameters that each asking fills. So questions of one shape share one
SQL text (and the databases' prepared statements), whoever asks, and no value of a caller can become SQL.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime
from typing import Any

from adjourn import config
from adjourn.errors import InvalidRequest, QueryError
from adjourn.metadata import values
from adjourn.metadata.model import Catalog, Column
from adjourn.metadata.timezones import UTC_CODE
from adjourn.query import dates, literals, security
from adjourn.query.compile_select import AGGREGATE_LIMIT, LIMIT, OFFSET, UTC_ZONE, ZONE, Compiled, Paging, Select
from adjourn.query.conditions import Asked
from adjourn.query.literals import Circumstances
from adjourn.query.plan import CollectionPlan, Output, Plan, Shape, SortOutput
from adjourn.query.resolve import resolve
from adjourn.query.resolved import Resolved, Term
from adjourn.query.security import PLATFORM, Caller
from adjourn.query.shape import shape
from adjourn.query.tree import Condition, Query, collections_of
from adjourn.store.contract import Dialect

__all__ = ["CollectionPlan", "Output", "Plan", "Shape", "SortOutput", "compile"]

SHAPES_MAX = 2000
"""Plans kept, a few kilobytes each."""
SIMPLE_PAGING_ROWS_MAX = 50_000
"""FetchXML pages without a cookie are found by counting rows off; Dataverse stops here (fetchxml.md §7)."""

_EACH = Paging(True, False, None)
"""Of a collection every parent has its first rows."""

_kept: dict[Hashable, tuple[Catalog, Compiled]] = {}


def compile(
    query: Query, catalog: Catalog, caller: Caller, dialect: Dialect, now: datetime, *, names: bool = False
) -> Plan:
    """A question as a plan for one caller at one moment.

    names: also answer the names of lookups' targets. A page without a size has `config.PAGE_ROWS_MAX` rows, but the
    platform's own questions (`security.PLATFORM`) have all of theirs.
    Raises QueryError with the documented code, and the position in the text that the caller sent.
    """
    size = _page_size(query, caller)
    number = max(query.page.number, 1)
    backwards = query.page.after is None and query.page.before is not None
    after = query.page.before if backwards else query.page.after
    offset = size * (number - 1) if size is not None and after is None else 0
    if offset and query.language == "fetchxml" and size is not None and offset + size > SIMPLE_PAGING_ROWS_MAX:
        raise QueryError(
            f"Page {number} of {size} rows lies beyond {SIMPLE_PAGING_ROWS_MAX:,} rows; send the paging cookie of the "
            "page before.",
            code=0x8004430A,
        )
    limit = size if backwards else _limit(query, size, number)
    nulls = None if after is None else tuple(value is None for value in after)
    paging = Paging(limit is not None, offset > 0, nulls, backwards)
    conditions: list[Condition] = []
    key = (
        id(catalog),
        catalog.version,
        dialect,
        names,
        security.depths(caller),
        caller.calendar.key,
        paging,
        *shape(query, conditions),
    )
    found = _kept.get(key)
    if found is None or found[0] is not catalog:
        places = {id(condition): place for place, condition in enumerate(conditions)}
        found = (catalog, _compile(query, catalog, caller, dialect, names, paging, places))
        if len(places) == len(conditions):  # else one condition stands in two places, where another question has two
            _keep(key, found)
    compiled = found[1]
    circumstances = Circumstances(caller, now, dialect, query.language, catalog)
    parameters = _parameters(compiled, conditions, circumstances)
    if limit is not None:
        parameters[LIMIT] = limit
    if offset:
        parameters[OFFSET] = offset
    if query.aggregate_limit is not None:
        parameters[AGGREGATE_LIMIT] = query.aggregate_limit + 1
    for position, (sort, value) in enumerate(zip(compiled.shape.sort, after or (), strict=False)):
        parameters[f"a{position}"] = _key_value(sort, value, dialect)
    expanded = _expanded(query, compiled, conditions, circumstances) if compiled.collections else ()
    return Plan(
        compiled.shape,
        parameters,
        query.language,
        size,
        number,
        query.top,
        expanded,
        backwards=backwards,
        aggregate_limit=query.aggregate_limit,
    )


def _expanded(
    query: Query, compiled: Compiled, conditions: list[Condition], circumstances: Circumstances
) -> tuple[CollectionPlan, ...]:
    """The plans of a question's collections: `top` and the page's size bound the children of each parent."""
    found = []
    for (_, collection), of, child in zip(
        collections_of(query), compiled.shape.collections, compiled.collections, strict=True
    ):
        asked = collection.query
        parameters = _parameters(child, conditions, circumstances)
        size = min(asked.page.size or config.PAGE_ROWS_MAX, config.PAGE_ROWS_MAX)
        parameters[LIMIT] = size if asked.top is None else min(size, asked.top)
        below = _expanded(asked, child, conditions, circumstances)
        found.append(
            CollectionPlan(of, collection, Plan(child.shape, parameters, asked.language, size, 1, asked.top, below))
        )
    return tuple(found)


def _compile(
    query: Query,
    catalog: Catalog,
    caller: Caller,
    dialect: Dialect,
    names: bool,
    paging: Paging,
    places: dict[int, int],
) -> Compiled:
    return _compiled(resolve(query, catalog), query, catalog, caller, dialect, names, paging, places)


def _compiled(
    resolved: Resolved,
    query: Query,
    catalog: Catalog,
    caller: Caller,
    dialect: Dialect,
    names: bool,
    paging: Paging,
    places: dict[int, int],
    parents: Term | None = None,
) -> Compiled:
    keys = 0 if query.aggregate and all(s.kind == "aggregate" for s in resolved.selected) else len(resolved.sorts)
    if paging.after is not None and len(paging.after) != keys:
        raise QueryError(
            f"The paging cookie has {len(paging.after)} values, but this order has {keys} keys; "
            "send the cookie of the page before, with the same query.",
            code=0x80041129,
        )
    collections = tuple(
        _compiled(one.question, collection.query, catalog, caller, dialect, names, _EACH, places, one.parent)
        for one, (_, collection) in zip(resolved.expanded, collections_of(query), strict=True)
    )
    select = Select(
        resolved=resolved,
        catalog=catalog,
        caller=caller,
        dialect=dialect,
        places=places,
        names=names,
        paging=paging,
        parents=parents,
        collections=collections,
    )
    return select.compiled()


def _page_size(query: Query, caller: Caller) -> int | None:
    if query.page.size is None:
        return None if caller is PLATFORM else config.PAGE_ROWS_MAX
    if query.page.size <= 0:
        raise QueryError(f"A page has at least one row, found {query.page.size}.", code=0x8004110C)
    return query.page.size if caller is PLATFORM else min(query.page.size, config.PAGE_ROWS_MAX)


def _limit(query: Query, size: int | None, number: int) -> int | None:
    """Rows to fetch: those of the page and one more, but never more than `top` leaves after the pages before."""
    if query.top is not None and query.top < 0:
        raise QueryError(f"'top' must not be negative, found {query.top}.", code=0x8004110C)
    if size is None:
        return query.top
    return size + 1 if query.top is None else min(size + 1, max(query.top - size * (number - 1), 0))


def _parameters(compiled: Compiled, conditions: list[Condition], circumstances: Circumstances) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for binder in compiled.binders:
        condition = conditions[binder.place]
        asked = Asked(binder.column, condition.values, condition.position, circumstances)
        parameters[binder.name] = binder.value(asked)
    if not circumstances.caller.is_administrator:
        for table in compiled.tables:
            visible = security.predicate(table, circumstances.catalog, circumstances.caller, circumstances.dialect)
            parameters.update(visible[1])
    if compiled.zoned:
        sqlite = circumstances.dialect == "sqlite"
        parameters[ZONE] = dates.zone_parameter(circumstances)
        parameters[UTC_ZONE] = UTC_CODE if sqlite else "UTC"
    return parameters


def _key_value(sort: SortOutput, value: Any, dialect: Dialect) -> Any:
    """A sort key out of a cookie, as raw as the store gave it; a text for one that is none is read by its column."""
    if value is None:
        return None
    column = sort.column
    kind = literals.postgres_type(column)
    try:
        if kind == "text":
            return _as_text(value)
        if kind in ("bigint", "numeric"):
            return int(value)
        if kind == "double precision":
            return float(value)
        if kind == "boolean":
            found = str(value).lower() in ("1", "true")
            return found if dialect == "postgres" else int(found)
        return _as_raw(column, _as_text(value))
    except (ValueError, OverflowError, InvalidRequest) as error:
        raise QueryError(
            f"The paging cookie's value for '{sort.name}' does not fit that column.", code=0x8004112A
        ) from error


def _as_text(value: Any) -> str:
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError(value)
    value.encode()
    return value


def _as_raw(column: Column, value: str) -> str:
    raw = values.check(column, value) if not column.type.is_lookup else values.guid(value, column.logical)
    return str(raw) if column.type.is_lookup else str(values.to_raw(column, raw, "sqlite"))


def _keep(key: Hashable, found: tuple[Catalog, Compiled]) -> None:
    while len(_kept) >= SHAPES_MAX:
        _kept.pop(next(iter(_kept)), None)
    _kept[key] = found
