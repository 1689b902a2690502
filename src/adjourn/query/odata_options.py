"""The Web API's query options as one query tree: $select $filter $orderby $top $count $expand $apply.

Which columns and operators exist is checked when the tree is resolved; here the grammar is, and every path that leads
through a navigation property. What the Web API does not have is refused by name. Source: webapi.md §6 to §10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adjourn import config, errors
from adjourn.errors import InvalidRequest, QueryError, nearest
from adjourn.metadata.model import Catalog, Relationship, Table
from adjourn.query.odata_filter import Parser
from adjourn.query.odata_lexer import END, NAME, Token
from adjourn.query.odata_paths import Paths, Place, property_of, unknown
from adjourn.query.tree import Attribute, Filter, Link, Order, Query

SUPPORTED = ("$select", "$filter", "$orderby", "$top", "$count", "$expand", "$apply")
_REFUSED = ("$skip", "$search", "$format", "$compute", "$levels", "$index", "$schemaversion", "$deltatoken")
_TOO_MANY_LINKS = 0x8004430D
_METHODS = {"sum": "sum", "average": "avg", "min": "min", "max": "max"}


def parse(table: Table, catalog: Catalog, options: Mapping[str, str]) -> Query:
    """The query that options ask of a table. options: decoded, names as sent; `@p` assign parameter aliases.

    Raises QueryError with its position in the option's text, InvalidRequest for an option that there is not.
    """
    aliases = _aliases({name: text for name, text in options.items() if name.startswith("@")}, catalog, table)
    for name in options:
        if name in _REFUSED:
            raise QueryError(f"Query option '{name}' is not supported.", code=errors.ODATA_UNSUPPORTED, status=501)
        if name.startswith("$") and name not in SUPPORTED:
            raise InvalidRequest(f"Query option '{name[:100]}' does not exist.{nearest(name, SUPPORTED)}", code=0)
    if "$apply" in options:
        return _Apply(table, catalog, options, aliases).query()
    return _query(table, catalog, options, aliases)


class _Counter:
    """Numbers the links of one request, so that their aliases differ, and counts its expands."""

    def __init__(self) -> None:
        self.expands = 0

    def next(self, position: int) -> int:
        self.expands += 1
        if self.expands > config.EXPANDS_MAX:
            text = f"A request may expand {config.EXPANDS_MAX} navigation properties."
            raise QueryError(text, code=_TOO_MANY_LINKS, position=position)
        return self.expands


def _query(table: Table, catalog: Catalog, options: Mapping[str, str], aliases: Mapping[str, Any]) -> Query:
    paths = Paths(catalog, table)
    columns: tuple[Attribute, ...] | None = None
    if "$select" in options:
        parser = Parser(options["$select"], paths)
        columns = _select(table, parser)
        parser.finish()
    expanded: tuple[Link, ...] = ()
    if "$expand" in options:
        parser = Parser(options["$expand"], paths)
        expanded = _expand(table, parser, _Counter())
        parser.finish()
    filter_ = _filter(options.get("$filter"), paths, aliases)
    orders = tuple(_orders(options.get("$orderby"), paths, aliases))
    return Query(
        table.logical,
        columns or (),
        all_columns=columns is None,
        links=(*paths.links(), *expanded),
        filter=filter_,
        orders=orders,
        top=_whole(options.get("$top"), "$top"),
        total=_boolean(options.get("$count")),
        language="odata",
    )


def _aliases(texts: Mapping[str, str], catalog: Catalog, table: Table) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in texts.items():
        parser = Parser(text, Paths(catalog, table))
        found[name] = parser.array() if parser.accept("[") else parser.value()
        parser.finish()
    return found


def _filter(text: str | None, paths: Paths, aliases: Mapping[str, Any]) -> Filter | None:
    if text is None:
        return None
    parser = Parser(text, paths, aliases)
    found = parser.filter()
    parser.finish()
    return found


def _select(table: Table, parser: Parser) -> tuple[Attribute, ...] | None:
    """The columns of a $select; None for all of them."""
    found: dict[str, Attribute] = {}
    everything = False
    while True:
        if parser.accept("*"):
            everything = True
        else:
            token = parser.name()
            column = property_of(table, token.text, token.position)
            found.setdefault(column.logical, Attribute(column.logical, position=token.position))
        if not parser.accept(","):
            return None if everything else tuple(found.values())


def _orders(text: str | None, paths: Paths, aliases: Mapping[str, Any]) -> Iterator[Order]:
    if text is None:
        return
    parser = Parser(text, paths, aliases)
    while True:
        position = parser.token.position
        place = _place(parser)
        descending = parser.accept("desc")
        if not descending:
            parser.accept("asc")
        yield Order(place.column.logical, descending=descending, entity=place.entity, position=position)
        if not parser.accept(","):
            break
    parser.finish()


def _place(parser: Parser) -> Place:
    names = [(parser.token.text, parser.name().position)]
    while parser.accept("/"):
        names.append((parser.token.text, parser.name().position))
    return parser.paths.resolve(names)


def _expand(table: Table, parser: Parser, counter: _Counter) -> tuple[Link, ...]:
    found: dict[str, Link] = {}
    while True:
        token = parser.token
        if parser.accept("*"):
            raise _unsupported("$expand=* is not supported; name the navigation properties.", token.position)
        name = parser.name().text
        relationship = table.by_navigation.get(name)
        if relationship is None and name in table.by_collection:
            raise _unsupported(
                f"$expand of the collection '{name}' is not supported by this version; ask for it by its own address, "
                f"{table.entityset}(<id>)/{name}.",
                token.position,
            )
        if relationship is None:
            raise unknown(table, name, token.position, [*table.by_navigation, *table.by_collection])
        if name in found:
            raise QueryError(
                f"'{name}' is expanded twice; put all of its options into one pair of parentheses.",
                code=errors.ODATA_NO_CODE,
                position=token.position,
            )
        if parser.at("/"):
            raise _unsupported("A path in $expand, such as '/$ref', is not supported.", parser.token.position)
        found[name] = _expanded(relationship, parser, counter, token.position)
        if not parser.accept(","):
            return tuple(found.values())


def _expanded(relationship: Relationship, parser: Parser, counter: _Counter, position: int) -> Link:
    """One single-valued navigation property as an outer link, its options read from the parentheses that follow."""
    table = parser.paths.catalog.tables[relationship.referenced]
    number = counter.next(position)
    columns: tuple[Attribute, ...] | None = None
    links: tuple[Link, ...] = ()
    given: set[str] = set()
    if parser.accept("("):
        while not parser.accept(")"):
            option = parser.name()
            _check_inner(option, given, relationship.navigation)
            given.add(option.text)
            parser.expect("=")
            if option.text == "$select":
                columns = _select(table, parser)
            else:
                links = _expand(table, parser, counter)
            if not parser.at(")"):
                parser.expect(";")
    return Link(
        table.logical,
        relationship.referenced_column,
        relationship.column,
        f"e{number}",
        "outer",
        columns=columns or (),
        all_columns=columns is None,
        links=links,
        expand=relationship.navigation,
        position=position,
    )


def _check_inner(option: Token, given: set[str], navigation: str) -> None:
    name = option.text
    if name in ("$select", "$expand") and name not in given:
        return
    if name in given:
        text, code = f"{name} is given twice.", errors.ODATA_NO_CODE
    elif name.startswith("$") and name in (*SUPPORTED, *_REFUSED):
        text = f"{name} has no meaning in $expand of the single-valued '{navigation}'; it takes $select and $expand."
        code = errors.ODATA_UNSUPPORTED
    else:
        text = f"'{name[:60]}' is no option of $expand; it takes $select and $expand, separated by ';'."
        text, code = text + nearest(name, ("$select", "$expand")), errors.ODATA_NO_CODE
    raise QueryError(text, code=code, position=option.position)


def _unsupported(text: str, position: int) -> QueryError:
    return QueryError(text, code=errors.ODATA_UNSUPPORTED, position=position)


class _Apply:
    """$apply: filter(…) and groupby(…) or aggregate(…), joined by '/'."""

    def __init__(self, table: Table, catalog: Catalog, options: Mapping[str, str], aliases: Mapping[str, Any]) -> None:
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
            found = _filter(self._options["$filter"], self._paths, self._aliases)
            filters += [found] if found else []
        aggregate = grouped
        orders = tuple(self._orders()) if aggregate else tuple(
            _orders(self._options.get("$orderby"), self._paths, self._aliases)
        )  # fmt: skip
        filter_ = filters[0] if len(filters) == 1 else Filter("and", tuple(filters)) if filters else None
        return Query(
            self._table.logical,
            (*self._keys, *self._aggregates),
            all_columns=not aggregate,
            links=tuple(self._paths.links()),
            filter=filter_,
            orders=orders,
            aggregate=aggregate,
            top=_whole(self._options.get("$top"), "$top"),
            total=_boolean(self._options.get("$count")),
            language="odata",
        )

    def _group(self) -> None:
        parser = self._parser
        parser.expect("(")
        while True:
            position = parser.token.position
            place = _place(parser)
            name = place.column.logical
            if place.joined is None:
                self._keys.append(Attribute(name, groupby=True, position=position))
            else:
                # A key through a lookup is answered under "<target table>_<column>" (webapi.md §10).
                alias = f"{place.table.logical}_{name}"
                place.joined.columns.append(Attribute(name, alias, groupby=True, position=position))
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
                place = _place(parser)
                parser.expect("with")
                method = parser.name()
                parser.expect("as")
                alias = parser.name().text
                self._add(place, method.text, alias, position, method.position)
            if not parser.accept(","):
                break

    def _add(self, place: Place, method: str, alias: str, position: int, at: int) -> None:
        found = _METHODS.get(method)
        if found is None:
            raise QueryError(
                f"Aggregation method '{method[:60]}' is not supported: {', '.join(_METHODS)}.{nearest(method, _METHODS)}",
                code=errors.ODATA_UNSUPPORTED,
                position=at,
            )
        attribute = Attribute(place.column.logical, alias, aggregate=found, position=position)
        if place.joined is None:
            self._aggregates.append(attribute)
        else:
            place.joined.columns.append(attribute)

    def _orders(self) -> Iterator[Order]:
        text = self._options.get("$orderby")
        if text is None:
            return
        aliases = {found.alias for found in self._aggregates}
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
            place = _place(parser)
            descending = parser.accept("desc")
            if not descending:
                parser.accept("asc")
            yield Order(place.column.logical, descending=descending, entity=place.entity, position=token.position)
            if not parser.accept(","):
                break
        parser.finish()


def _whole(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not text.strip().isascii() or not text.strip().isdigit() or len(text.strip()) > 10:
        raise QueryError(
            f"Invalid value '{text[:40]}' for {name} query option found. The {name} query option requires a non-negative "
            "integer value.",
            code=errors.ODATA_NO_CODE,
        )
    return int(text)


def _boolean(text: str | None) -> bool:
    if text is None:
        return False
    if text.strip() not in ("true", "false"):
        raise QueryError(f"$count must be true or false, found '{text[:40]}'.", code=errors.ODATA_NO_CODE)
    return text.strip() == "true"
