"""FetchXML as a query tree.

Parsed by lxml without entities, document types or a network; every element and attribute is known by name, legacy ones
are accepted and mean nothing, unknown ones are refused. Errors carry the documented codes and the line of the element.
Source: fetchxml.md §1 to §9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lxml import etree

from adjourn import config
from adjourn.errors import QueryError, TooLarge, nearest
from adjourn.metadata.model import Catalog
from adjourn.query import cookie as cookies
from adjourn.query.tree import Attribute, Condition, Filter, Link, Order, Page, Query, Related

_IGNORED_FETCH = (
    "version", "mapping", "output-format", "no-lock", "latematerialize", "options", "aggregatelimit", "utc-offset",
    "min-active-row-version", "savedqueryid", "outputformat", "name",
)  # fmt: skip
_FETCH = (
    "top", "count", "page", "paging-cookie", "returntotalrecordcount", "distinct", "aggregate", "useraworderby",
    *_IGNORED_FETCH,
)  # fmt: skip
_ATTRIBUTE = ("name", "alias", "aggregate", "groupby", "dategrouping", "usertimezone", "distinct", "build", "addedby")
_ORDER = ("attribute", "alias", "descending", "entityname")
_FILTER = (
    "type", "hint", "isquickfindfields", "overridequickfindrecordlimitenabled", "overridequickfindrecordlimitdisabled",
)  # fmt: skip
_CONDITION = (
    "attribute",
    "operator",
    "value",
    "valueof",
    "entityname",
    "uiname",
    "uitype",
    "uihidden",
    "column",
    "alias",
)
_LINK = (
    "name", "from", "to", "alias", "link-type", "intersect", "visible", "enableprefiltering", "prefilterparametername",
)  # fmt: skip
_CHILDREN = {
    "fetch": ("entity",),
    "entity": ("all-attributes", "attribute", "order", "filter", "link-entity"),
    "link-entity": ("all-attributes", "attribute", "order", "filter", "link-entity"),
    "filter": ("condition", "filter", "link-entity"),
    "condition": ("value",),
}
_RELATED_KINDS = ("any", "not any", "all", "not all")
_SIMPLE_PAGING_ROWS_MAX = 50_000
_TOO_DEEP = "The fetch is nested deeper than {} levels."
NOT_XML, NO_ELEMENT, INVALID_NODE, NO_ATTRIBUTE, BAD_CONDITION = (
    0x80040201,
    0x80041123,
    0x8004111C,
    0x8004111E,
    0x80041106,
)
INVALID_FETCH, NOT_POSITIVE, PAIR_MISMATCH, BAD_FILTER_TYPE = 0x80040303, 0x8004110C, 0x80041111, 0x80041122
NEEDS_COOKIE = 0x8004430A


def parse(text: str, catalog: Catalog | None = None) -> Query:
    """The query of a FetchXML text. Raises QueryError with the documented code, TooLarge."""
    root = _root(text)
    _check_tree(root)
    fetch = _attributes(root, _FETCH)
    (entity,) = _only(root, "entity")
    aggregate = _boolean(fetch, "aggregate", root)
    reader = _Reader(aggregate, not _boolean(fetch, "useraworderby", root), catalog)
    table = _required(_attributes(entity, ("name", "enableprefiltering", "prefilterparametername")), "name", entity)
    columns, all_columns, filter_, orders, links = reader.body(entity, table, 1)
    top = _positive(fetch, "top", root, config.PAGE_ROWS_MAX)
    page = _page(fetch, root)
    if top is not None and (page.size is not None or "page" in fetch):
        raise _error("'top' cannot be used together with 'page' or 'count'.", INVALID_FETCH, root)
    total = _boolean(fetch, "returntotalrecordcount", root)
    if top is not None and total:
        raise _error("'top' cannot be used together with 'returntotalrecordcount'.", INVALID_FETCH, root)
    return Query(
        table,
        columns,
        all_columns=all_columns,
        links=links,
        filter=filter_,
        orders=orders,
        aggregate=aggregate,
        distinct=_boolean(fetch, "distinct", root),
        top=top,
        page=page,
        total=total,
        language="fetchxml",
    )


class _Reader:
    """Reads elements into nodes of the tree."""

    def __init__(self, aggregate: bool, by_label: bool, catalog: Catalog | None) -> None:
        self._aggregate = aggregate
        self._by_label = by_label
        self._catalog = catalog
        self._generated: dict[str, int] = {}

    def body(
        self, element: etree._Element, table: str, depth: int
    ) -> tuple[tuple[Attribute, ...], bool, Filter | None, tuple[Order, ...], tuple[Link, ...]]:
        """What an entity or link-entity holds."""
        columns, orders, filters, links = [], [], [], []
        all_columns = False
        for child in _elements(element):
            match child.tag:
                case "all-attributes":
                    all_columns = True
                case "attribute":
                    columns.append(self._attribute(child))
                case "order":
                    orders.append(self._order(child))
                case "filter":
                    filters.append(self._filter(child, depth + 1))
                case "link-entity":
                    links.append(self._link(child, table, depth + 1))
        filter_ = None if not filters else filters[0] if len(filters) == 1 else Filter("and", tuple(filters))
        return tuple(columns), all_columns, filter_, tuple(orders), tuple(links)

    def _attribute(self, element: etree._Element) -> Attribute:
        found = _attributes(element, _ATTRIBUTE, later=("rowaggregate",))
        groupby = _boolean(found, "groupby", element)
        aggregate = found.get("aggregate")
        if self._aggregate and (groupby or aggregate) and not found.get("alias"):
            raise _error("In an aggregate query every attribute needs an alias.", 0x8004110B, element)
        return Attribute(
            _required(found, "name", element),
            found.get("alias"),
            aggregate=aggregate,
            groupby=groupby,
            dategrouping=found.get("dategrouping"),
            usertimezone=_boolean(found, "usertimezone", element, default=True),
            distinct=_boolean(found, "distinct", element),
        )

    def _order(self, element: etree._Element) -> Order:
        found = _attributes(element, _ORDER)
        column, alias = found.get("attribute"), found.get("alias")
        if self._aggregate and not alias:
            if column:
                raise _error("In an aggregate query an order names an alias, not an attribute.", 0x80041131, element)
            raise _error("An order of an aggregate query needs an alias.", 0x80041134, element)
        if not self._aggregate and not column:
            if alias:
                raise _error("An order names an alias in an aggregate query only.", 0x80041132, element)
            raise _error("An order needs an attribute.", 0x80041133, element)
        return Order(
            None if self._aggregate else column,
            alias=alias if self._aggregate else None,
            descending=_boolean(found, "descending", element),
            entity=found.get("entityname"),
            by_label=self._by_label,
        )

    def _filter(self, element: etree._Element, depth: int) -> Filter:
        found = _attributes(element, _FILTER)
        kind = found.get("type", "and")
        if kind not in ("and", "or"):
            raise _error(f"Filter type '{kind[:40]}' is neither 'and' nor 'or'.", BAD_FILTER_TYPE, element)
        parts: list[Condition | Filter | Related] = []
        for child in _elements(element):
            match child.tag:
                case "condition":
                    parts.append(self._condition(child))
                case "filter":
                    parts.append(self._filter(child, depth + 1))
                case "link-entity":
                    parts.append(Related(self._link(child, "", depth + 1, related=True)))
        return Filter(kind, tuple(parts))

    def _condition(self, element: etree._Element) -> Condition:
        found = _attributes(element, _CONDITION)
        column = _required(found, "attribute", element)
        operator = _required(found, "operator", element)
        values: list[Any] = [] if "value" not in found else [found["value"]]
        values += [child.text or "" for child in _elements(element)]
        valueof = None
        if "valueof" in found:
            alias, dot, name = found["valueof"].rpartition(".")
            valueof = (alias if dot else None, name)
            if values:
                raise _error("A condition has a value or a valueof, not both.", BAD_CONDITION, element)
        if operator in ("null", "not-null") and values == [""]:
            values = []
        return Condition(column, operator, tuple(values), found.get("entityname"), valueof)

    def _link(self, element: etree._Element, parent: str, depth: int, *, related: bool = False) -> Link:
        found = _attributes(element, _LINK)
        table = _required(found, "name", element)
        from_, to = found.get("from"), found.get("to")
        if (from_ is None) != (to is None):
            raise _error("A link-entity names both 'from' and 'to', or neither.", PAIR_MISMATCH, element)
        if from_ is None or to is None:
            from_, to = self._relation(table, parent, element)
        kind = found.get("link-type", "inner")
        if kind == "natural":
            kind = "inner"
        alias = found.get("alias")
        if not alias:
            self._generated[table] = self._generated.get(table, 0) + 1
            alias = f"{table}{self._generated[table]}"
        columns, all_columns, filter_, orders, links = self.body(element, table, depth)
        return Link(
            table, from_, to, alias, kind, columns, all_columns, filter_, orders, links,
            hidden=_boolean(found, "intersect", element) and not columns and not all_columns,
        )  # fmt: skip

    def _relation(self, table: str, parent: str, element: etree._Element) -> tuple[str, str]:
        """The columns of a link that names neither: the one relationship between the two tables."""
        known = self._catalog.tables.get(table) if self._catalog else None
        upper = self._catalog.tables.get(parent) if self._catalog else None
        pairs = set()
        if known is not None and upper is not None:
            pairs = {(r.referenced_column, r.column) for r in upper.many_to_one if r.referenced == table}
            pairs |= {(r.column, r.referenced_column) for r in known.many_to_one if r.referenced == parent}
        if len(pairs) != 1:
            raise _error(f"The link to '{table[:60]}' must name its columns: 'from' and 'to'.", PAIR_MISMATCH, element)
        return pairs.pop()


def _root(text: str) -> etree._Element:
    if not text.strip():
        raise QueryError("The fetch is empty.", code=0x80041124)
    if len(text) > config.BODY_BYTES_MAX:
        raise TooLarge(f"The fetch is {len(text):,} characters long; at most {config.BODY_BYTES_MAX:,} are read.")
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise QueryError("A fetch may not have a document type or entities.", code=NOT_XML)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        found = etree.fromstring(text.strip().encode("utf-8", "surrogatepass"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise QueryError(f"The fetch is not well-formed XML: {error}", code=NOT_XML) from None
    if found.tag != "fetch":
        raise QueryError(f"The outermost element must be 'fetch', not '{str(found.tag)[:60]}'.", code=INVALID_FETCH)
    return found


def _check_tree(root: etree._Element) -> None:
    """Element names, where they may stand, how deep and how many: before anything is read."""
    stack: list[tuple[etree._Element, int]] = [(root, 1)]
    counted = 0
    while stack:
        element, depth = stack.pop()
        if depth > config.NESTING_MAX:
            raise _error(_TOO_DEEP.format(config.NESTING_MAX), INVALID_FETCH, element)
        accepted = _CHILDREN.get(element.tag, ())
        for child in element:
            if child.tag not in accepted:
                some = f"it takes {', '.join(accepted)}" if accepted else "it takes no elements"
                raise _error(
                    f"Element '{str(child.tag)[:60]}' does not belong into '{element.tag}': {some}."
                    f"{nearest(str(child.tag), accepted)}",
                    INVALID_NODE,
                    child,
                )
            counted += child.tag in ("condition", "link-entity")
            if counted > config.CONDITIONS_MAX:
                raise _error(f"A fetch may have {config.CONDITIONS_MAX} conditions and links.", 0x8004430C, child)
            stack.append((child, depth + 1))


def _elements(element: etree._Element) -> Iterator[etree._Element]:
    return iter(element)


def _only(element: etree._Element, tag: str) -> list[etree._Element]:
    found = [child for child in element if child.tag == tag]
    if len(found) != 1:
        raise _error(f"'{element.tag}' needs exactly one '{tag}', found {len(found)}.", NO_ELEMENT, element)
    return found


def _attributes(
    element: etree._Element, known: tuple[str, ...], later: tuple[str, ...] = ("datasource",)
) -> Mapping[str, str]:
    for name in element.attrib:
        if name in later:
            raise _error(
                f"Attribute '{name}' of '{element.tag}' is not supported by this version.", INVALID_FETCH, element
            )
        if name not in known:
            raise _error(
                f"'{element.tag}' has no attribute '{str(name)[:60]}'.{nearest(str(name), known)}",
                INVALID_FETCH,
                element,
            )
    return {str(name): str(value) for name, value in element.attrib.items()}


def _required(found: Mapping[str, str], name: str, element: etree._Element) -> str:
    value = found.get(name)
    if not value:
        raise _error(f"'{element.tag}' needs the attribute '{name}'.", NO_ATTRIBUTE, element)
    return value


def _boolean(found: Mapping[str, str], name: str, element: etree._Element, *, default: bool = False) -> bool:
    value = found.get(name)
    if value is None:
        return default
    if value not in ("true", "false", "1", "0"):
        codes = {"useraworderby": 0x800410FD, "distinct": 0x80041115, "descending": 0x80041119, "groupby": 0x8004112E}
        raise _error(
            f"'{name}' must be true, false, 1 or 0, found '{value[:40]}'.", codes.get(name, INVALID_FETCH), element
        )
    return value in ("true", "1")


def _positive(found: Mapping[str, str], name: str, element: etree._Element, largest: int) -> int | None:
    text = found.get(name)
    if text is None:
        return None
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if value < 1:
        raise _error(f"'{name}' must be a whole number greater than zero, found '{text[:40]}'.", NOT_POSITIVE, element)
    if value > largest:
        raise _error(f"'{name}' is at most {largest:,}, found {value:,}.", INVALID_FETCH, element)
    return value


def _page(fetch: Mapping[str, str], root: etree._Element) -> Page:
    size = _positive(fetch, "count", root, config.PAGE_ROWS_MAX)
    number = _positive(fetch, "page", root, 10**9)
    text = fetch.get("paging-cookie")
    if not text:
        if number is not None and number * (size or config.PAGE_ROWS_MAX) > _SIMPLE_PAGING_ROWS_MAX:
            raise _error(
                f"Paging beyond {_SIMPLE_PAGING_ROWS_MAX:,} rows needs the paging cookie of the page before.",
                NEEDS_COOKIE,
                root,
            )
        return Page(size or (config.PAGE_ROWS_MAX if number else None), number or 1)
    position = cookies.decode_fetchxml(text)
    if number is not None and number != position.number:
        # Another page than the next one is found by its number; its cookie does not help.
        return Page(size or config.PAGE_ROWS_MAX, number)
    return Page(size or config.PAGE_ROWS_MAX, position.number, position.after)


def _error(text: str, code: int, element: etree._Element) -> QueryError:
    line = f" (line {element.sourceline})" if element.sourceline else ""
    return QueryError(f"{text}{line}", code=code)
