"""A query tree as FetchXML: `fetchxml.parse` read backwards.

What OData says and FetchXML cannot is said another way where the meaning stays the same: a `not (…)` is pushed down to
the operators, which all have a twin or an "or is null"; an expanded record becomes an outer link whose columns are
answered under its alias. The rest is refused by name. Source: fetchxml.md §1 to §8.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from lxml import etree

from adjourn import config
from adjourn.errors import NotSupported
from adjourn.metadata.model import Catalog, ColumnType
from adjourn.metadata.values import moment_text
from adjourn.query.print_constants import without_constants
from adjourn.query.print_relations import refused
from adjourn.query.tree import Attribute, Condition, Filter, Link, Order, Page, Query, Related, collections_of

_TWINS = (
    ("eq", "ne"), ("null", "not-null"), ("in", "not-in"), ("like", "not-like"), ("begins-with", "not-begin-with"),
    ("ends-with", "not-end-with"), ("between", "not-between"), ("eq-userid", "ne-userid"),
    ("eq-businessid", "ne-businessid"), ("contain-values", "not-contain-values"), ("under", "not-under"),
)  # fmt: skip
_NEGATIVE = {**dict(_TWINS), **{negative: positive for positive, negative in _TWINS}, "neq": "eq"}
_REVERSED = {"gt": "le", "ge": "lt", "lt": "ge", "le": "gt"}
"""Their negation keeps null too."""
_LISTS = ("in", "not-in", "between", "not-between", "contain-values", "not-contain-values")
_DAYS = ("on", "on-or-before", "on-or-after")
Part = Condition | Filter | Related


def print_fetchxml(query: Query, catalog: Catalog) -> str:
    """The FetchXML that asks the same. Raises NotSupported, naming what FetchXML cannot say."""
    return _Printer(query, catalog).text()


class _Printer:
    def __init__(self, query: Query, catalog: Catalog) -> None:
        self._query = query
        self._catalog = catalog
        self._tables: dict[str | None, str] = {}

    def text(self) -> str:
        query = self._query
        for _, collection in collections_of(query):
            raise _refused(f"the collection '{collection.navigation}' cannot be answered inside its parent.")
        fetch = etree.Element("fetch", self._fetch())
        entity = etree.SubElement(fetch, "entity", {"name": query.table})
        self._tables = {None: query.table, **dict(_tables(query.links))}
        self._body(entity, query.table, query)
        etree.indent(fetch)
        return str(etree.tostring(fetch, encoding="unicode"))

    def _fetch(self) -> dict[str, str]:
        query = self._query
        found: dict[str, str] = {}
        if query.top is not None:
            if not 1 <= query.top <= config.PAGE_ROWS_MAX:
                raise _refused(f"'top' is from 1 to {config.PAGE_ROWS_MAX:,}, not {query.top:,}.")
            if query.total or query.page.size is not None or query.page.number > 1:
                raise _refused("'top' goes together with neither a count of all rows nor pages.")
            found["top"] = str(query.top)
        found.update(self._paging(query.page))
        for name, on in (
            ("returntotalrecordcount", query.total),
            ("distinct", query.distinct),
            ("aggregate", query.aggregate),
        ):
            if on:
                found[name] = "true"
        if query.aggregate_limit is not None:
            found["aggregatelimit"] = str(query.aggregate_limit)
        labelled = {order.by_label for order in _orders(query)}
        if len(labelled) > 1:
            raise _refused("choices are ordered either by label or by number, in all of the orders.")
        if labelled == {False}:
            found["useraworderby"] = "true"
        return found

    def _paging(self, page: Page) -> Iterator[tuple[str, str]]:
        if page.size is not None:
            yield "count", str(page.size)
        if page.number > 1:
            yield "page", str(page.number)
        if page.after is not None or page.before is not None:
            # The names of a cookie's elements are for readers: its values are taken in their order.
            back = page.after is None
            keys = (page.before if back else page.after) or ()
            names = [order.column or order.alias or "" for order in _orders(self._query)]
            names += [self._catalog.table(self._query.table).primary_id] * (len(keys) - len(names))
            cookie = etree.Element("cookie", {"page": str(page.number + 1 if back else page.number - 1)})
            for name, value in zip(names, keys, strict=False):
                ends = {"lastnull": "1"} if value is None else {"last": str(value)}
                if back:
                    ends |= {"firstnull": "1"} if value is None else {"first": str(value)}
                etree.SubElement(cookie, name, ends)
            yield "paging-cookie", etree.tostring(cookie, encoding="unicode")

    def _body(self, element: etree._Element, table: str, body: Query | Link) -> None:
        if body.all_columns:
            etree.SubElement(element, "all-attributes")
        for attribute in body.columns:
            etree.SubElement(element, "attribute", self._attribute(attribute))
        for order in body.orders:
            etree.SubElement(element, "order", self._order(order, body))
        constant = body.filter is None or without_constants(body.filter)
        if constant is False:
            raise _refused("a filter that is never true.")
        if isinstance(constant, Filter):
            self._filter(element, self._positive(constant, False), table)
        for link in body.links:
            self._link(element, link)

    def _attribute(self, attribute: Attribute) -> dict[str, str]:
        found = {"name": attribute.name}
        alias = attribute.alias or (attribute.name if self._query.aggregate else None)
        optional = {
            "alias": alias,
            "aggregate": attribute.aggregate,
            "dategrouping": attribute.dategrouping,
            "rowaggregate": attribute.rowaggregate,
        }
        found.update((name, value) for name, value in optional.items() if value)
        if attribute.groupby:
            found["groupby"] = "true"
        if not attribute.usertimezone:
            found["usertimezone"] = "false"
        if attribute.distinct:
            found["distinct"] = "true"
        return found

    def _order(self, order: Order, body: Query | Link) -> dict[str, str]:
        found: dict[str, str] = {}
        if not self._query.aggregate:
            found["attribute"] = order.column or ""
            if order.entity is not None:
                found["entityname"] = order.entity
        else:
            found["alias"] = order.alias or self._alias(order, body)
            if order.alias is not None and order.entity is not None:
                found["entityname"] = order.entity
        if order.descending:
            found["descending"] = "true"
        return found

    def _alias(self, order: Order, body: Query | Link) -> str:
        """The alias under which an aggregate query answers a column that it is ordered by."""
        columns = body.columns
        if order.entity is not None:
            columns = next((link.columns for link in _all_links(self._query.links) if link.alias == order.entity), ())
        for attribute in columns:
            if attribute.name == order.column and not attribute.aggregate:
                return attribute.alias or attribute.name
        raise _refused(f"an aggregate query is ordered by what it answers, and '{order.column}' is not among that.")

    def _link(self, element: etree._Element, link: Link) -> None:
        found = {"name": link.table, "from": link.from_, "to": link.to, "alias": link.alias}
        if link.kind != "inner":
            found["link-type"] = link.kind
        if link.hidden and self._query.language == "fetchxml":
            found["intersect"] = "true"
        self._body(etree.SubElement(element, "link-entity", found), link.table, link)

    # Filters

    def _filter(self, element: etree._Element, tree: Filter, table: str) -> None:
        inner = etree.SubElement(element, "filter", {} if tree.kind == "and" else {"type": tree.kind})
        for part in tree.conditions:
            if isinstance(part, Filter):
                self._filter(inner, part, table)
            elif isinstance(part, Related):
                self._link(inner, part.link)
            else:
                self._condition(inner, part, table)

    def _condition(self, element: etree._Element, condition: Condition, table: str) -> None:
        found = {"attribute": condition.column, "operator": condition.operator}
        if condition.entity is not None:
            found["entityname"] = condition.entity
        if condition.valueof is not None:
            found["valueof"] = ".".join(part for part in condition.valueof if part is not None)
        asked = self._tables.get(condition.entity, table) if condition.entity is not None else table
        texts = [self._text(condition, value, asked) for value in condition.values]
        many = condition.operator in _LISTS or len(texts) > 1
        try:
            if texts and not many:
                found["value"] = texts[0]
            inner = etree.SubElement(element, "condition", found)
            for text in texts if many else ():
                etree.SubElement(inner, "value").text = text
        except ValueError:
            raise _refused(f"a value of '{condition.column}' has characters that XML cannot hold.") from None

    def _text(self, condition: Condition, value: Any, table: str) -> str:
        if value is None:
            raise _refused(f"'{condition.column}' is compared with null by operator '{condition.operator}'.")
        if isinstance(value, bool):
            return str(int(value))
        if isinstance(value, datetime):
            return moment_text(value)
        if isinstance(value, date):
            return self._day(condition, value, table)
        if isinstance(value, Decimal):
            return f"{value:f}" if abs(value.adjusted()) < 400 else str(value)
        return str(value)

    def _day(self, condition: Condition, value: date, table: str) -> str:
        column = self._catalog.table(table).columns.get(condition.column)
        # A date alone is midnight UTC in OData and the caller's midnight in FetchXML.
        moment = column is not None and column.type is ColumnType.DATETIME and condition.operator not in _DAYS
        return f"{value.isoformat()}T00:00:00Z" if moment else value.isoformat()

    def _positive(self, tree: Filter, negate: bool) -> Filter:
        """A filter without `negated`: its negations pushed down to the conditions."""
        negate = negate != tree.negated
        kind = {"and": "or", "or": "and"}[tree.kind] if negate else tree.kind
        return Filter(kind, tuple(self._part(part, negate) for part in tree.conditions))

    def _part(self, part: Part, negate: bool) -> Part:
        if isinstance(part, Filter):
            return self._positive(part, negate)
        if not negate:
            return part
        if isinstance(part, Related):
            return Related(_negated_link(part.link))
        return _negated(part)


def _negated(condition: Condition) -> Part:
    """The complement of a condition, rows with nulls included."""
    operator = condition.operator
    missing = _condition_is_null(condition.entity, condition.column, condition.position)
    if condition.valueof is not None:
        other = _condition_is_null(*condition.valueof, condition.position)
        if operator in _REVERSED:
            return Filter("or", (_with(condition, _REVERSED[operator]), missing, other))
        # Two nulls are neither equal nor different.
        return Filter("or", (_with(condition, _NEGATIVE[operator]), Filter("and", (missing, other))))
    if operator in _NEGATIVE:
        return _with(condition, _NEGATIVE[operator])
    if operator in _REVERSED:
        return Filter("or", (_with(condition, _REVERSED[operator]), missing))
    raise _refused(f"the negation of operator '{operator}' on '{condition.column}'.")


def _condition_is_null(entity: str | None, column: str, position: int) -> Condition:
    return Condition(column, "null", (), entity, position=position)


def _with(condition: Condition, operator: str) -> Condition:
    return Condition(
        condition.column, operator, condition.values, condition.entity, condition.valueof, condition.position
    )


def _negated_link(link: Link) -> Link:
    kinds = {"any": "not any", "not all": "not any", "not any": "any"}
    if link.kind not in kinds:
        raise _refused(f"the negation of a link of type '{link.kind}'.")
    return Link(
        link.table, link.from_, link.to, link.alias, kinds[link.kind], link.columns, link.all_columns, link.filter,
        link.orders, link.links, link.expand, link.hidden, link.position,
    )  # fmt: skip


def _all_links(links: tuple[Link, ...]) -> Iterator[Link]:
    for link in links:
        yield link
        yield from _all_links(link.links)


def _tables(links: tuple[Link, ...]) -> Iterator[tuple[str, str]]:
    return ((link.alias, link.table) for link in _all_links(links))


def _orders(query: Query) -> Iterator[Order]:
    yield from query.orders
    for link in _all_links(query.links):
        yield from link.orders


def _refused(reason: str) -> NotSupported:
    return refused("FetchXML", reason)
