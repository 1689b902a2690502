"""The query tree: what OData and FetchXML are parsed into, and what is compiled to SQL or printed again.

Modelled on Dataverse's QueryExpression. Frozen and hashable. Names are checked by `resolve`, not here. Literals are
Python values as parsed from the text (str, int, float, bool, None, UUID, Decimal, aware datetime, date); `resolve`
turns them into values of the column's type.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

NEVER = -1
"""Position of a node that did not come from a text."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One output column.

    name: the column's logical name. alias: the name in the answer, if it is not the column's own.
    aggregate: None, "count" (rows), "countcolumn" (non-null values; `distinct` for distinct ones), "sum", "avg", "min",
    "max". groupby, dategrouping ("day", "week", "month", "quarter", "year", "fiscal-period", "fiscal-year"): a key of
    an aggregate query; usertimezone False groups by UTC days. rowaggregate: "CountChildren", on the key of a table with a
    hierarchy, answers how many records have this one as their parent.
    """

    name: str
    alias: str | None = None
    aggregate: str | None = None
    groupby: bool = False
    dategrouping: str | None = None
    usertimezone: bool = True
    distinct: bool = False
    position: int = NEVER
    rowaggregate: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """`column operator values`. operator: a FetchXML operator name (`eq`, `not-null`, `last-x-days`, …), one of `operators`.

    entity: the alias of the link whose column is meant (tested after the join); None: the table where the filter stands.
    valueof: compare with another column instead of values: (link alias or None, column).
    """

    column: str
    operator: str
    values: tuple[Any, ...] = ()
    entity: str | None = None
    valueof: tuple[str | None, str] | None = None
    position: int = NEVER


@dataclass(frozen=True, slots=True)
class Related:
    """A filter on records of another table (`any`, `not any`, `all`, `not all`; OData lambdas). See fetchxml.md §5."""

    link: Link


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions joined by "and" or "or"; `negated` is OData's `not (…)`. An empty one is true."""

    kind: str = "and"
    conditions: tuple[Condition | Filter | Related, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """Sort key: `column` of `entity` (a link alias or None), or `alias` of an output of an aggregate query.

    by_label: lookups sort by the target's name always; choices by label (FetchXML) or by number (OData).
    """

    column: str | None = None
    alias: str | None = None
    descending: bool = False
    entity: str | None = None
    by_label: bool = False
    position: int = NEVER


@dataclass(frozen=True, slots=True)
class Link:
    """A join: `parent.to = table.from_`. kind: inner, outer, exists, in, matchfirstrowusingcrossapply, any, not any, all, not all.

    expand: the OData navigation property that this link answers as a nested object; its columns go there. reference:
    only as the address of the record (`/$ref`). collections: those expanded in it.
    hidden: brought in by a path in a filter or order only; it has no outputs.
    """

    table: str
    from_: str
    to: str
    alias: str
    kind: str = "inner"
    columns: tuple[Attribute, ...] = ()
    all_columns: bool = False
    filter: Filter | None = None
    orders: tuple[Order, ...] = ()
    links: tuple[Link, ...] = ()
    expand: str | None = None
    hidden: bool = False
    position: int = NEVER
    reference: bool = False
    collections: tuple[Collection, ...] = ()


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection-valued $expand: asked with one statement for all the parents of the page, never one per row.

    query: of the child table; its filter, order, columns; its top and its page's size count for each parent.
    column of entity (a link of `query`, or None): where a child's row says which parent it belongs to.
    options: those that the client gave, as texts, for the address at which the same children can be asked alone.
    """

    navigation: str
    query: Query
    column: str
    entity: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    position: int = NEVER


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of the answer. size: rows per page. number: from 1. after: the last row's sort keys and primary key, raw
    values in the order of the sort (keyset paging); None: by number alone. before: the same of the first row of the page
    that follows, for going back a page."""

    size: int | None = None
    number: int = 1
    after: tuple[Any, ...] | None = None
    before: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One question. columns empty and all_columns False: the primary key alone (FetchXML) — the OData parser sets all_columns.

    aggregate: every Attribute is a group key or an aggregate. top: rows in all. total: count the matching rows too.
    language: "odata" or "fetchxml"; the few differences of meaning hang on it (nulls in the answer, order of choices).
    aggregate_limit: refuse to aggregate more rows than this.
    """

    table: str
    columns: tuple[Attribute, ...] = ()
    all_columns: bool = False
    links: tuple[Link, ...] = ()
    collections: tuple[Collection, ...] = ()
    filter: Filter | None = None
    orders: tuple[Order, ...] = ()
    aggregate: bool = False
    distinct: bool = False
    top: int | None = None
    page: Page = Page()
    total: bool = False
    language: str = "odata"
    aggregate_limit: int | None = None


def collections_of(query: Query | Link, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Collection]]:
    """The collections expanded in a question's own rows, each with the path to it, always in the same order."""
    yield from ((path, collection) for collection in query.collections)
    for link in query.links:
        if link.expand:
            yield from collections_of(link, (*path, link.expand))


def with_collections(query: Query, change: Callable[[Query], Query]) -> Query:
    """The same question with the questions of its collections changed, in the order of `collections_of`."""
    if next(collections_of(query), None) is None:
        return query
    collections, links = _changed(query, change)
    return dataclasses.replace(query, collections=collections, links=links)


def _changed(node: Query | Link, change: Callable[[Query], Query]) -> tuple[tuple[Collection, ...], tuple[Link, ...]]:
    found = tuple(dataclasses.replace(one, query=change(one.query)) for one in node.collections)
    links: list[Link] = []
    for link in node.links:
        if link.expand:
            collections, below = _changed(link, change)
            link = dataclasses.replace(link, collections=collections, links=below)
        links.append(link)
    return found, tuple(links)
