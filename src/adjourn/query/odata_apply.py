"""$apply: filter(…) and groupby(…) or aggregate(…), joined by '/'.

A group key through a lookup is answered under "<target table>_<column>". What the Web API cannot group or order is
refused with its texts. Source: webapi.md §10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from adjourn import errors
from adjourn.errors import QueryError, nearest
from adjourn.metadata.model import Catalog, Table
from adjourn.query.conditions import family
from adjourn.query.odata_clauses import boolean, filter_text, orders_text, place, whole
from adjourn.query.odata_filter import Parser
from adjourn.query.odata_lexer import END, NAME
from adjourn.query.odata_paths import Paths, Place
from adjourn.query.odata_reader import Aliases
from adjourn.query.tree import Attribute, Filter, Order, Query

_METHODS = {"sum": "sum", "average": "avg", "min": "min", "max": "max"}


class Apply:
    """One $apply, with the options beside it."""

    def __init__(self, table: Table, catalog: Catalog, options: Mapping[str, str], aliases: Aliases) -> None:
        for name in options:
            if name in ("$select", "$expand"):
                raise QueryError(f"{name} cannot be used together with $apply.", code=errors.ODATA_UNSUPPORTED)
        self._table = table
        self._options = options
        self._paths = Paths(catalog, table)
        self._parser = Parser(options["$apply"], self._paths, aliases)
        self._aliases = aliases
        self._keys: list[Attribute] = []
        self._aggregates: list[Attribute] = []

    def query(self) -> Query:
        parser = self._parser
        filters: list[Filter] = []
        grouped = False
        while True:
            word = parser.name()
            parser.expect("(")
            if word.text == "filter" and not grouped:
                filters.append(parser.filter())
            elif word.text == "groupby" and not grouped:
                grouped = True
                self._group()
            elif word.text == "aggregate" and not grouped:
                grouped = True
                self._aggregate()
            else:
                known = ("filter", "groupby", "aggregate")
                text = f"'{word.text[:60]}' is not supported here; $apply takes filter(…), then groupby(…) or aggregate(…)."
                raise QueryError(
                    text + nearest(word.text, known) * (word.text not in known),
                    code=errors.ODATA_UNSUPPORTED,
                    position=word.position,
                )
            parser.expect(")")
            if not parser.accept("/"):
                break
        parser.finish()
        if "$filter" in self._options:
            found = filter_text(self._options["$filter"], self._paths, self._aliases)
            filters += [found] if found else []
        orders = (
            tuple(self._orders()) if grouped else orders_text(self._options.get("$orderby"), self._paths, self._aliases)
        )
        filter_ = filters[0] if len(filters) == 1 else Filter("and", tuple(filters)) if filters else None
        return Query(
            self._table.logical,
            (*self._keys, *self._aggregates),
            all_columns=not grouped,
            links=tuple(self._paths.links()),
            filter=filter_,
            orders=orders,
            aggregate=grouped,
            top=whole(self._options.get("$top"), "$top"),
            total=boolean(self._options.get("$count")),
            language="odata",
        )

    def _group(self) -> None:
        parser = self._parser
        parser.expect("(")
        while True:
            position = parser.token.position
            found = place(parser)
            name = found.column.logical
            if family(found.column) == "D":
                raise QueryError(
                    f"groupby with datetime values is not supported: '{name}' is of type {found.column.type}. FetchXML "
                    "groups by parts of dates (dategrouping).",
                    code=errors.ODATA_UNSUPPORTED,
                    position=position,
                )
            if found.joined is None:
                self._keys.append(Attribute(name, groupby=True, position=position))
            else:
                alias = f"{found.table.logical}_{name}"
                found.joined.columns.append(Attribute(name, alias, groupby=True, position=position))
            if not parser.accept(","):
                break
        parser.expect(")")
        if parser.accept(","):
            word = parser.name()
            if word.text != "aggregate":
                raise QueryError(
                    f"groupby takes aggregate(…) as its second part, not '{word.text[:60]}'.",
                    code=errors.ODATA_UNSUPPORTED,
                    position=word.position,
                )
            parser.expect("(")
            self._aggregate()
            parser.expect(")")

    def _aggregate(self) -> None:
        parser = self._parser
        while True:
            position = parser.token.position
            if parser.accept("$count"):
                parser.expect("as")
                alias = parser.name().text
                self._aggregates.append(Attribute(self._table.primary_id, alias, aggregate="count", position=position))
            else:
                found = place(parser)
                parser.expect("with")
                method = parser.name()
                parser.expect("as")
                alias = parser.name().text
                self._add(found, method.text, alias, position, method.position)
            if not parser.accept(","):
                break

    def _add(self, at_place: Place, method: str, alias: str, position: int, at: int) -> None:
        found = _METHODS.get(method)
        if found is None:
            raise QueryError(
                f"Aggregation method '{method[:60]}' is not supported: {', '.join(_METHODS)}.{nearest(method, _METHODS)}",
                code=errors.ODATA_UNSUPPORTED,
                position=at,
            )
        attribute = Attribute(at_place.column.logical, alias, aggregate=found, position=position)
        if at_place.joined is None:
            self._aggregates.append(attribute)
        else:
            at_place.joined.columns.append(attribute)

    def _orders(self) -> Iterator[Order]:
        text = self._options.get("$orderby")
        if text is None:
            return
        aliases = {attribute.alias for attribute in self._aggregates}
        parser = Parser(text, self._paths, self._aliases)
        while parser.token.kind != END:
            token = parser.token
            if token.kind == NAME and token.text in aliases:
                raise QueryError(
                    "The query node SingleValueOpenPropertyAccess is not supported: $apply cannot be ordered by the aggregate "
                    f"'{token.text}'. Ask the same question in FetchXML (fetchXml=…), which can.",
                    code=errors.ODATA_UNSUPPORTED,
                    position=token.position,
                )
            found = place(parser)
            descending = parser.accept("desc")
            if not descending:
                parser.accept("asc")
            yield Order(found.column.logical, descending=descending, entity=found.entity, position=token.position)
            if not parser.accept(","):
                break
        parser.finish()
