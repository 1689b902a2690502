"""FetchXML as a query tree.

`fetchxml_document` checks the elements and knows where they stand; here they become nodes of the tree. Legacy
attributes are accepted where they change nothing. Which tables, columns and operators exist is checked when the tree
is resolved. Source: fetchxml.md §2 to §9.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree

from adjourn import config
from adjourn.metadata.model import Catalog
from adjourn.query import cookie as cookies
from adjourn.query.fetchxml_document import INVALID_FETCH, Document
from adjourn.query.tree import Attribute, Condition, Filter, Link, Order, Page, Query, Related

_LEGACY = (
    "version", "mapping", "output-format", "no-lock", "latematerialize", "options",
    "min-active-row-version", "savedqueryid", "outputformat", "name",
)  # fmt: skip
_FETCH = (
    "top", "count", "page", "paging-cookie", "returntotalrecordcount", "distinct", "aggregate", "useraworderby",
    "aggregatelimit", *_LEGACY,
)  # fmt: skip
_ENTITY = ("name", "enableprefiltering", "prefilterparametername")
_ATTRIBUTE = (
    "name", "alias", "aggregate", "groupby", "dategrouping", "usertimezone", "distinct", "rowaggregate",
    "build", "addedby",
)  # fmt: skip
_ORDER = ("attribute", "alias", "descending", "entityname")
_FILTER = (
    "type", "hint", "isquickfindfields", "overridequickfindrecordlimitenabled", "overridequickfindrecordlimitdisabled",
)  # fmt: skip
_CONDITION = ("attribute", "operator", "value", "valueof", "entityname", "uiname", "uitype", "uihidden")
_VALUE = ("uiname", "uitype")
_LINK = (
    "name", "from", "to", "alias", "link-type", "intersect", "visible", "enableprefiltering", "prefilterparametername",
)  # fmt: skip
_OUTPUT_FORMATS = ("xml-platform", "xml-ado", "xml-auto", "xml-elements", "xml-raw")
_SIMPLE_PAGING_ROWS_MAX = 50_000
_AGGREGATE_ROWS_MAX = 50_000
"""What a query's own limit may be. Dataverse aggregates no more rows than this; we do, if no limit is asked for."""
_PAGES_MAX = 10**9
_BAD_CONDITION, _BAD_FILTER_TYPE, _PAIR_MISMATCH, _NEEDS_COOKIE = 0x80041106, 0x80041122, 0x80041111, 0x8004430A
_BAD_MAPPING, _UTC_OFFSET, _NO_ALIAS, _MIN_ROW_VERSION = 0x80041116, 0x8004111D, 0x8004110B, 0x8004111B


def parse(text: str, catalog: Catalog | None = None) -> Query:
    """The query of a FetchXML text.

    catalog: needed only for links that leave out `from` and `to`. Raises QueryError with the documented code and the
    position of the element, TooLarge.
    """
    document = Document(text)
    root, entity = document.root, document.entity()
    fetch = _fetch(document)
    aggregate = document.boolean(fetch, "aggregate", root)
    reader = _Reader(document, aggregate, not document.boolean(fetch, "useraworderby", root), catalog)
    table = document.required(document.attributes(entity, _ENTITY), "name", entity)
    columns, all_columns, filter_, orders, links = reader.body(entity, table)
    orders += tuple(reader.order(child) for child in root if child.tag == "order")
    top = document.positive(fetch, "top", root, config.PAGE_ROWS_MAX)
    total = document.boolean(fetch, "returntotalrecordcount", root)
    limit = document.positive(fetch, "aggregatelimit", root, _AGGREGATE_ROWS_MAX)
    page = _page(fetch, document)
    if top is not None:
        for name in ("page", "count", "paging-cookie"):
            if name in fetch:
                raise document.error(f"'top' cannot be used together with '{name}'.", INVALID_FETCH, root)
        if total:
            raise document.error("'top' cannot be used together with 'returntotalrecordcount'.", INVALID_FETCH, root)
    return Query(
        table,
        columns,
        all_columns=all_columns,
        links=links,
        filter=filter_,
        orders=orders,
        aggregate=aggregate,
        distinct=document.boolean(fetch, "distinct", root),
        top=top,
        page=page,
        total=total,
        language="fetchxml",
        aggregate_limit=limit if aggregate else None,
    )


def _fetch(document: Document) -> Mapping[str, str]:
    """The attributes of the fetch, the legacy ones checked: they mean nothing, but must be what they were."""
    root = document.root
    if "utc-offset" in root.attrib:
        raise document.error("'utc-offset' is not supported; dates follow the caller's time zone.", _UTC_OFFSET, root)
    found = document.attributes(root, _FETCH, later=("datasource",))
    if found.get("mapping", "logical") not in ("logical", "internal"):
        raise document.error("'mapping' must be logical or internal.", _BAD_MAPPING, root)
    if found.get("output-format", _OUTPUT_FORMATS[0]) not in _OUTPUT_FORMATS:
        raise document.error(f"'output-format' must be one of {', '.join(_OUTPUT_FORMATS)}.", INVALID_FETCH, root)
    for name in ("no-lock", "latematerialize"):
        document.boolean(found, name, root)
    if document.boolean(found, "min-active-row-version", root):
        text = "'min-active-row-version' is not supported; ask the record's versionnumber instead."
        raise document.error(text, _MIN_ROW_VERSION, root)
    return found


def _page(fetch: Mapping[str, str], document: Document) -> Page:
    root = document.root
    size = document.positive(fetch, "count", root, config.PAGE_ROWS_MAX)
    number = document.positive(fetch, "page", root, _PAGES_MAX)
    text = fetch.get("paging-cookie")
    if not text:
        _refuse_far(number, size, document)
        return Page(size or (config.PAGE_ROWS_MAX if number else None), number or 1)
    position = cookies.decode_fetchxml(text)
    if number is not None and 1 < number == position.number - 2 and position.before is not None:
        # One page back: the rows before the first one of the cookie's page.
        return Page(size or config.PAGE_ROWS_MAX, number, before=position.before)
    if number is not None and number != position.number:
        # Another page than the next one is found by its number; its cookie does not help.
        _refuse_far(number, size, document)
        return Page(size or config.PAGE_ROWS_MAX, number)
    return Page(size or config.PAGE_ROWS_MAX, position.number, position.after)


def _refuse_far(number: int | None, size: int | None, document: Document) -> None:
    """A page that is found by its number costs as much as all before it."""
    if number is not None and number * (size or config.PAGE_ROWS_MAX) > _SIMPLE_PAGING_ROWS_MAX:
        raise document.error(
            f"Paging beyond {_SIMPLE_PAGING_ROWS_MAX:,} rows needs the paging cookie of the page before.",
            _NEEDS_COOKIE,
            document.root,
        )


class _Reader:
    """Reads elements into nodes of the tree."""

    def __init__(self, document: Document, aggregate: bool, by_label: bool, catalog: Catalog | None) -> None:
        self._document = document
        self._aggregate = aggregate
        self._by_label = by_label
        self._catalog = catalog
        self._generated: dict[str, int] = {}

    def body(
        self, element: etree._Element, table: str
    ) -> tuple[tuple[Attribute, ...], bool, Filter | None, tuple[Order, ...], tuple[Link, ...]]:
        """What an entity or link-entity holds."""
        columns, orders, filters, links = [], [], [], []
        all_columns = False
        for child in element:
            match child.tag:
                case "all-attributes":
                    self._document.attributes(child, ())
                    all_columns = True
                case "attribute":
                    columns.append(self._attribute(child))
                case "order":
                    orders.append(self.order(child))
                case "filter":
                    filters.append(self._filter(child, table))
                case "link-entity":
                    links.append(self._link(child, table))
        filter_ = None if not filters else filters[0] if len(filters) == 1 else Filter("and", tuple(filters))
        return tuple(columns), all_columns, filter_, tuple(orders), tuple(links)

    def _attribute(self, element: etree._Element) -> Attribute:
        document = self._document
        found = document.attributes(element, _ATTRIBUTE)
        groupby = document.boolean(found, "groupby", element)
        aggregate = found.get("aggregate")
        if self._aggregate and (groupby or aggregate) and not found.get("alias"):
            raise document.error("In an aggregate query every attribute needs an alias.", _NO_ALIAS, element)
        return Attribute(
            document.required(found, "name", element),
            found.get("alias"),
            aggregate=aggregate,
            groupby=groupby,
            dategrouping=found.get("dategrouping"),
            usertimezone=document.boolean(found, "usertimezone", element, default=True),
            distinct=document.boolean(found, "distinct", element),
            position=document.position(element),
            rowaggregate=found.get("rowaggregate"),
        )

    def order(self, element: etree._Element) -> Order:
        """One sort key."""
        document = self._document
        found = document.attributes(element, _ORDER)
        column, alias = found.get("attribute"), found.get("alias")
        if self._aggregate and column:
            text = "In an aggregate query an order names an alias, not an attribute."
            raise document.error(text, 0x80041131, element)
        if self._aggregate and not alias:
            raise document.error("An order of an aggregate query needs an alias.", 0x80041134, element)
        if not self._aggregate and alias:
            raise document.error("An order names an alias in an aggregate query only.", 0x80041132, element)
        if not self._aggregate and not column:
            raise document.error("An order needs an attribute.", 0x80041133, element)
        return Order(
            column or None,
            alias=alias or None,
            descending=document.boolean(found, "descending", element),
            entity=found.get("entityname"),
            by_label=self._by_label,
            position=document.position(element),
        )

    def _filter(self, element: etree._Element, table: str) -> Filter:
        document = self._document
        found = document.attributes(element, _FILTER)
        for name in _FILTER[2:]:
            document.boolean(found, name, element)
        if found.get("hint", "union") != "union":
            raise document.error("A filter's 'hint' can be 'union' only.", INVALID_FETCH, element)
        kind = found.get("type", "and")
        if kind not in ("and", "or"):
            raise document.error(f"Filter type '{kind[:40]}' is neither 'and' nor 'or'.", _BAD_FILTER_TYPE, element)
        parts: list[Condition | Filter | Related] = []
        for child in element:
            match child.tag:
                case "condition":
                    parts.append(self._condition(child))
                case "filter":
                    parts.append(self._filter(child, table))
                case "link-entity":
                    parts.append(Related(self._link(child, table)))
        return Filter(kind, tuple(parts))

    def _condition(self, element: etree._Element) -> Condition:
        document = self._document
        found = document.attributes(element, _CONDITION, later=("column", "aggregate", "alias"))
        column = document.required(found, "attribute", element)
        operator = document.required(found, "operator", element)
        values: list[Any] = [] if "value" not in found else [found["value"]]
        for child in element:
            document.attributes(child, _VALUE)
            values.append(child.text or "")
        valueof = None
        if "valueof" in found:
            alias, dot, name = found["valueof"].rpartition(".")
            valueof = (alias if dot else None, name)
            if values:
                raise document.error("A condition has a value or a valueof, not both.", _BAD_CONDITION, element)
        if operator in ("null", "not-null") and values == [""]:
            values = []
        return Condition(
            column, operator, tuple(values), found.get("entityname"), valueof, position=document.position(element)
        )

    def _link(self, element: etree._Element, parent: str) -> Link:
        document = self._document
        found = document.attributes(element, _LINK)
        table = document.required(found, "name", element)
        from_, to = found.get("from"), found.get("to")
        if (from_ is None) != (to is None):
            raise document.error("A link-entity names both 'from' and 'to', or neither.", _PAIR_MISMATCH, element)
        if from_ is None or to is None:
            from_, to = self._relation(table, parent, element)
        kind = found.get("link-type", "inner")
        alias = found.get("alias")
        if not alias:
            self._generated[table] = self._generated.get(table, 0) + 1
            alias = f"{table}{self._generated[table]}"
        intersect = document.boolean(found, "intersect", element)
        document.boolean(found, "visible", element)
        columns, all_columns, filter_, orders, links = self.body(element, table)
        return Link(
            table,
            from_,
            to,
            alias,
            "inner" if kind == "natural" else kind,
            columns,
            all_columns,
            filter_,
            orders,
            links,
            hidden=intersect and not columns and not all_columns,
            position=document.position(element),
        )

    def _relation(self, table: str, parent: str, element: etree._Element) -> tuple[str, str]:
        """The columns of a link that names neither: the one relationship between the two tables."""
        known = self._catalog.tables.get(table) if self._catalog else None
        upper = self._catalog.tables.get(parent) if self._catalog else None
        pairs = set()
        if known is not None and upper is not None:
            pairs = {(r.referenced_column, r.column) for r in upper.many_to_one if r.referenced == table}
            pairs |= {(r.column, r.referenced_column) for r in known.many_to_one if r.referenced == parent}
        if len(pairs) != 1:
            text = f"The link to '{table[:60]}' must name its columns: 'from' and 'to'."
            raise self._document.error(text, _PAIR_MISMATCH, element)
        return pairs.pop()
