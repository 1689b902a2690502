"""$expand: navigation properties answered inside the records, single-valued and collection-valued, nested.

    primarycontactid($select=fullname;$expand=createdby($select=fullname)),primarycontactid/$ref,
    Account_Tasks($select=subject;$filter=contains(subject,'x');$orderby=createdon desc;$top=3)

A single-valued one becomes a link, whose columns come with the row. A collection becomes a question of its own, asked
once for all the records of a page (`tree.Collection`). Where expands are nested and one of them is a collection, the
Web API takes no $top, no $orderby and no many-to-many. Source: webapi.md §9.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from adjourn import config, errors
from adjourn.errors import QueryError, nearest
from adjourn.metadata.model import ManyToMany, Relationship, Table
from adjourn.query.odata_clauses import orders, select, whole_token, with_column
from adjourn.query.odata_filter import Parser
from adjourn.query.odata_lexer import Token
from adjourn.query.odata_paths import Paths, unknown
from adjourn.query.odata_related import child_table, near_and_far
from adjourn.query.tree import Attribute, Collection, Filter, Link, Order, Query

_SINGLE = ("$select", "$expand")
_MANY = ("$select", "$filter", "$orderby", "$top", "$expand")
_KNOWN = (*_MANY, "$count", "$levels", "$skip", "$search", "$apply", "$compute", "$format")
_TOO_MANY_LINKS = 0x8004430D
_JOIN = "j0"
"""The link to the intersect table, in the question of a many-to-many collection."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """What one $expand brings into the records of its table."""

    links: tuple[Link, ...] = ()
    collections: tuple[Collection, ...] = ()


NOTHING = Expanded()


def parse(text: str, paths: Paths) -> Expanded:
    """The $expand of a request."""
    parser = Parser(text, paths)
    request = _Request(parser)
    found = request.list(paths.table, 0)
    parser.finish()
    request.check_nesting()
    return found


@dataclass(slots=True)
class _Options:
    """What stands in one pair of parentheses."""

    columns: tuple[Attribute, ...] | None = None
    filter: Filter | None = None
    orders: tuple[Order, ...] = ()
    top: int | None = None
    expanded: Expanded = NOTHING
    texts: list[tuple[str, str]] = field(default_factory=list)


class _Request:
    """The expands of one request: counted over all levels, and their links numbered."""

    def __init__(self, parser: Parser) -> None:
        self.parser = parser
        self.expands = 0
        self.nested = False
        self.collections = False
        self.not_nested: list[QueryError] = []
        """What nested expands may not have, for the case that there are some."""

    def next(self, position: int) -> int:
        self.expands += 1
        if self.expands > config.EXPANDS_MAX:
            text = f"A request may expand {config.EXPANDS_MAX} navigation properties."
            raise QueryError(text, code=_TOO_MANY_LINKS, position=position)
        return self.expands

    def check_nesting(self) -> None:
        if self.nested and self.collections and self.not_nested:
            raise self.not_nested[0]

    def list(self, table: Table, level: int) -> Expanded:
        """Navigation properties separated by commas."""
        parser = self.parser
        names: set[str] = set()
        links: list[Link] = []
        collections: list[Collection] = []
        self.nested = self.nested or level > 0
        while True:
            token = parser.token
            if parser.accept("*"):
                raise _unsupported("$expand=* is not supported; name the navigation properties.", token.position)
            name = parser.name().text
            if name in names:
                raise QueryError(
                    f"'{name}' is expanded twice; put all of its options into one pair of parentheses.",
                    code=errors.ODATA_NO_CODE,
                    position=token.position,
                )
            names.add(name)
            single, many = table.by_navigation.get(name), table.by_collection.get(name)
            if single is not None:
                links.append(self.single(single, token.position))
            elif many is not None:
                collections.append(self.many(name, many, table, token.position))
            else:
                raise unknown(table, name, token.position, [*table.by_navigation, *table.by_collection])
            if not parser.accept(","):
                return Expanded(tuple(links), tuple(collections))

    def single(self, relationship: Relationship, position: int) -> Link:
        """One single-valued navigation property as an outer link."""
        table = self.parser.paths.catalog.tables[relationship.referenced]
        number = self.next(position)
        reference = self.reference()
        options = _Options()
        if reference:
            options.columns = (Attribute(table.primary_id),)
        else:
            options = self.options(Paths(self.parser.paths.catalog, table), relationship.navigation, _SINGLE)
        return Link(
            table.logical,
            relationship.referenced_column,
            relationship.column,
            f"e{number}",
            "outer",
            columns=options.columns or (),
            all_columns=options.columns is None,
            links=options.expanded.links,
            expand=relationship.navigation,
            position=position,
            reference=reference,
            collections=options.expanded.collections,
        )

    def many(self, name: str, relationship: Relationship | ManyToMany, table: Table, position: int) -> Collection:
        """One collection-valued navigation property as a question about its records."""
        self.next(position)
        self.collections = True
        if self.parser.at("/") and self.reference():
            raise _unsupported("Expand with $ref is only supported on lookup type navigation property.", position)
        child = child_table(relationship, table, self.parser.paths.catalog)
        paths = Paths(self.parser.paths.catalog, child)
        options = self.options(paths, name, _MANY)
        columns = options.columns
        join: tuple[Link, ...] = ()
        entity: str | None = None
        if isinstance(relationship, ManyToMany):
            self.not_nested.append(
                _unsupported(
                    f"The navigation property '{name}' cannot be expanded. Only many-to-one relationships are supported "
                    "for nested expansion.",
                    position,
                )
            )
            column, far = near_and_far(relationship, table)
            join, entity = (Link(relationship.intersect, far, child.primary_id, _JOIN, hidden=True),), _JOIN
        else:
            column = relationship.column
            columns = with_column(columns, column) if columns is not None else None
        for link in options.expanded.links:
            if link.reference and columns is not None:
                columns = with_column(columns, link.to)
        query = Query(
            child.logical,
            columns or (),
            all_columns=columns is None,
            links=(*join, *paths.links(), *options.expanded.links),
            collections=options.expanded.collections,
            filter=options.filter,
            orders=options.orders,
            top=options.top,
            language="odata",
        )
        return Collection(name, query, column, entity, tuple(options.texts), position)

    def reference(self) -> bool:
        """Whether `/$ref` follows; any other path is refused."""
        parser = self.parser
        if not parser.accept("/"):
            return False
        if parser.accept("$ref"):
            if parser.at("("):
                raise _unsupported("$expand with /$ref takes no options.", parser.token.position)
            return True
        raise _unsupported(
            f"A path in $expand, such as '/{parser.token.text[:60]}', is not supported, except '/$ref'.",
            parser.token.position,
        )

    def options(self, paths: Paths, navigation: str, accepted: tuple[str, ...]) -> _Options:
        """The options in the parentheses that follow, if any do."""
        parser = self.parser
        found = _Options()
        if not parser.accept("("):
            return found
        with parser.over(paths):
            given: set[str] = set()
            while not parser.accept(")"):
                option = parser.name()
                _check(option, given, navigation, accepted)
                given.add(option.text)
                parser.expect("=")
                begin = parser.token.position
                self.option(found, option, paths)
                found.texts.append((option.text, parser.text_between(begin)))
                if not parser.at(")"):
                    parser.expect(";")
        return found

    def option(self, found: _Options, option: Token, paths: Paths) -> None:
        parser = self.parser
        match option.text:
            case "$select":
                found.columns = select(paths.table, parser)
            case "$filter":
                found.filter = parser.filter()
            case "$expand":
                found.expanded = self.list(paths.table, 1)
            case "$orderby":
                found.orders = tuple(orders(parser))
            case "$top":
                found.top = whole_token(parser, "$top")
        if option.text in ("$orderby", "$top"):
            self.not_nested.append(
                _unsupported(
                    "Only $select and $filter clause can be provided while doing $expand on many-to-one relationship or "
                    "nested one-to-many relationship.",
                    option.position,
                )
            )


def _check(option: Token, given: set[str], navigation: str, accepted: tuple[str, ...]) -> None:
    name = option.text
    if name in accepted and name not in given:
        return
    takes = f"{', '.join(accepted[:-1])} and {accepted[-1]}"
    if name in given:
        text, code = f"{name} is given twice.", errors.ODATA_NO_CODE
    elif name in _KNOWN:
        kind = "single-valued" if accepted == _SINGLE else "collection"
        text = f"{name} has no meaning in $expand of the {kind} '{navigation}'; it takes {takes}."
        code = errors.ODATA_UNSUPPORTED
    else:
        text = f"'{name[:60]}' is no option of $expand; it takes {takes}, separated by ';'."
        text, code = text + nearest(name, accepted), errors.ODATA_NO_CODE
    raise QueryError(text, code=code, position=option.position)


def _unsupported(text: str, position: int) -> QueryError:
    return QueryError(text, code=errors.ODATA_UNSUPPORTED, position=position)
