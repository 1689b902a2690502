"""A query tree as the Web API's query options: `odata_options.parse` read backwards.

A link along a lookup becomes a path and an $expand; an inner one also asks that the record is there. A link to a
collection becomes any() or all(). An aggregate query becomes $apply. What is left is refused by name: columns with
names of their own, links along no relationship, date parts, counts of values, pages by number.
Filters are printed by `print_odata_filter`. Source: webapi.md §6 to §10.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from adjourn.metadata.model import Catalog, Column, Table
from adjourn.query.conditions import family
from adjourn.query.print_odata_filter import FilterPrinter, Place, join_kind
from adjourn.query.print_relations import refused
from adjourn.query.tree import Attribute, Collection, Link, Order, Query

_METHODS = {"sum": "sum", "avg": "average", "min": "min", "max": "max"}


def print_odata(query: Query, catalog: Catalog) -> dict[str, str]:
    """The query options that ask the same of the table's entity set: names and texts, not percent-encoded.

    A page's size is not among them; it travels as `Prefer: odata.maxpagesize`. Raises NotSupported, naming what OData
    cannot say, and UnknownResource for a table that there is not.
    """
    return dict(_Printer(query, catalog).options())


class _Printer:
    def __init__(self, query: Query, catalog: Catalog) -> None:
        self._query = query
        self._catalog = catalog
        self._table = catalog.table(query.table)
        self._filters = FilterPrinter(catalog, query.language)
        self._places = self._filters.places(query.links, self._table)

    def options(self) -> Iterator[tuple[str, str]]:
        query = self._query
        if query.page.number > 1 or query.page.after is not None:
            raise _refused("a page after the first is reached by following the link of the page before.")
        if query.aggregate_limit is not None:
            raise _refused("a limit on the rows to aggregate.")
        filter_ = " and ".join(self._filters.of_query(query, self._table, self._places))
        if query.aggregate or query.distinct:
            yield "$apply", self._apply(filter_)
        else:
            select = self._select(query.columns, self._table, query.all_columns)
            if select:
                yield "$select", select
            expand = ",".join([*self._expand(query.links, self._table), *self._collections(query.collections)])
            if expand:
                yield "$expand", expand
            if filter_:
                yield "$filter", filter_
        orders = ",".join(self._orders())
        if orders:
            yield "$orderby", orders
        if query.top is not None:
            yield "$top", str(query.top)
        if query.total:
            yield "$count", "true"

    def _select(self, columns: tuple[Attribute, ...], table: Table, everything: bool) -> str:
        """The names of a $select; empty for all columns."""
        for attribute in columns:
            if attribute.rowaggregate is not None:
                raise _refused(f"the number of children of a record ('{attribute.alias}').")
            if attribute.alias not in (None, attribute.name):
                raise _refused(f"'{attribute.name}' under the name '{attribute.alias}'; OData renames no columns.")
        names = [self._property(attribute.name, table) for attribute in columns]
        return "" if everything else ",".join(names) or table.primary_id

    def _expand(self, links: tuple[Link, ...], parent: Table) -> Iterator[str]:
        for link in links:
            if join_kind(link) is None or not _answers(link):
                continue
            place = self._places[link.alias]
            options = []
            select = self._select(link.columns, place.table, link.all_columns)
            if select:
                options.append(f"$select={select}")
            if link.reference:
                yield f"{place.navigation}/$ref"
                continue
            inner = ",".join([*self._expand(link.links, place.table), *self._collections(link.collections)])
            if inner:
                options.append(f"$expand={inner}")
            yield f"{place.navigation}({';'.join(options)})" if options else place.navigation

    def _collections(self, collections: tuple[Collection, ...]) -> Iterator[str]:
        for collection in collections:
            asked = collection.query
            if asked.page.size is not None:
                raise _refused(f"a page of the expanded collection '{collection.navigation}'.")
            if collection.entity is not None:  # the link to the intersect table is implied
                asked = dataclasses.replace(asked, links=asked.links[1:])
            options = ";".join(f"{name}={text}" for name, text in _Printer(asked, self._catalog).options())
            yield f"{collection.navigation}({options})" if options else collection.navigation

    def _orders(self) -> Iterator[str]:
        found = [(order, order.entity) for order in self._query.orders]
        for link in _joined(self._query.links):
            found += [(order, order.entity or link.alias) for order in link.orders]
        for order, entity in found:
            yield self._order(order, entity) + (" desc" if order.descending else "")

    def _order(self, order: Order, entity: str | None) -> str:
        if order.alias is not None:
            for place, attribute in self._outputs():
                if (attribute.alias or attribute.name) == order.alias:
                    if attribute.aggregate:
                        raise _refused(f"an order by the aggregate '{order.alias}'; FetchXML can.")
                    self._check_label(order, place.column(attribute.name))
                    return place.path(attribute.name)
            raise _refused(f"an order by '{order.alias}', which is not answered.")
        place = self._filters.place(self._places, entity, self._table)
        self._check_label(order, place.column(order.column or ""))
        return place.path(order.column or "")

    def _check_label(self, order: Order, column: Column) -> None:
        if order.by_label and column.choice is not None:
            raise _refused(f"choices such as '{column.logical}' are ordered by number, not by label.")

    # $apply

    def _apply(self, filter_: str) -> str:
        keys, aggregates = [], []
        for place, attribute in self._outputs():
            if attribute.aggregate:
                aggregates.append(self._aggregate(place, attribute))
            else:
                keys.append(self._key(place, attribute))
        if self._query.all_columns:
            raise _refused("distinct rows of all columns; name the columns.")
        together = f"aggregate({','.join(aggregates)})" if aggregates else ""
        grouped = f"groupby(({','.join(keys)}){',' if together else ''}{together})" if keys else together
        steps = [f"filter({filter_})" if filter_ else "", grouped]
        return "/".join(step for step in steps if step)

    def _outputs(self) -> Iterator[tuple[Place, Attribute]]:
        root = Place(self._table)
        yield from ((root, attribute) for attribute in self._query.columns)
        for link in _joined(self._query.links):
            yield from ((self._places[link.alias], attribute) for attribute in link.columns)

    def _key(self, place: Place, attribute: Attribute) -> str:
        if attribute.dategrouping is not None:
            raise _refused(f"groups by the {attribute.dategrouping} of '{attribute.name}'.")
        if family(place.column(attribute.name)) == "D":
            raise _refused(f"groups by the moment '{attribute.name}'.")
        own = f"{place.table.logical}_{attribute.name}" if place.prefix else attribute.name
        if attribute.alias not in (None, attribute.name, own):
            raise _refused(f"the group '{attribute.name}' under the name '{attribute.alias}'; groups keep theirs.")
        return place.path(attribute.name)

    def _aggregate(self, place: Place, attribute: Attribute) -> str:
        alias = attribute.alias or attribute.name
        if attribute.aggregate == "count":
            return f"$count as {alias}"
        method = _METHODS.get(attribute.aggregate or "")
        if method is None:
            raise _refused(f"the aggregate '{attribute.aggregate}'.")
        return f"{place.path(attribute.name)} with {method} as {alias}"

    def _property(self, name: str, table: Table) -> str:
        return Place(table).path(name)


def _joined(links: tuple[Link, ...]) -> Iterator[Link]:
    for link in links:
        if join_kind(link) is not None:
            yield link
            yield from _joined(link.links)


def _answers(link: Link) -> bool:
    """Whether a link, or one below it, has columns to answer."""
    return link.all_columns or bool(link.columns) or any(_answers(child) for child in link.links)


def _refused(reason: str) -> Exception:
    return refused("OData", reason)
