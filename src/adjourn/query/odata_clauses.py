"""The small query options, each from its text or out of a larger expression: $select $filter $orderby $top $count.

They stand alone in an address, and again inside the parentheses of an $expand (`odata_expand`), where the same parser
goes on behind them.
"""

from __future__ import annotations

from collections.abc import Iterator

from adjourn import errors
from adjourn.errors import QueryError
from adjourn.metadata.model import ColumnType, Table
from adjourn.query.odata_filter import Parser
from adjourn.query.odata_lexer import LITERAL
from adjourn.query.odata_paths import Paths, Place, property_of
from adjourn.query.odata_reader import Aliases
from adjourn.query.tree import Attribute, Filter, Order

CURRENCY = "transactioncurrencyid"


def select(table: Table, parser: Parser) -> tuple[Attribute, ...] | None:
    """The columns of a $select; None for all of them. An amount of money brings its currency."""
    found: dict[str, Attribute] = {}
    everything = False
    while True:
        if parser.accept("*"):
            everything = True
        else:
            token = parser.name()
            column = property_of(table, token.text, token.position)
            found.setdefault(column.logical, Attribute(column.logical, position=token.position))
            if column.type is ColumnType.MONEY and CURRENCY in table.columns:
                found.setdefault(CURRENCY, Attribute(CURRENCY))
        if not parser.accept(","):
            return None if everything else tuple(found.values())


def with_column(columns: tuple[Attribute, ...], name: str) -> tuple[Attribute, ...]:
    """The columns, and one more if it is not among them."""
    return columns if any(column.name == name for column in columns) else (*columns, Attribute(name))


def filter_text(text: str | None, paths: Paths, aliases: Aliases) -> Filter | None:
    """The expression of a $filter."""
    if text is None:
        return None
    parser = Parser(text, paths, aliases)
    found = parser.filter()
    parser.finish()
    return found


def orders_text(text: str | None, paths: Paths, aliases: Aliases) -> tuple[Order, ...]:
    """The sort keys of an $orderby."""
    if text is None:
        return ()
    parser = Parser(text, paths, aliases)
    found = tuple(orders(parser))
    parser.finish()
    return found


def orders(parser: Parser) -> Iterator[Order]:
    while True:
        position = parser.token.position
        found = place(parser)
        descending = parser.accept("desc")
        if not descending:
            parser.accept("asc")
        yield Order(found.column.logical, descending=descending, entity=found.entity, position=position)
        if not parser.accept(","):
            return


def place(parser: Parser) -> Place:
    """A property or a path to one, or the parameter alias that stands for it."""
    named = parser.aliased_path()
    if named is not None:
        return parser.paths.resolve(named)
    names = [(parser.token.text, parser.name().position)]
    while parser.accept("/"):
        names.append((parser.token.text, parser.name().position))
    return parser.paths.resolve(names)


def whole(text: str | None, name: str) -> int | None:
    """A number of rows."""
    if text is None:
        return None
    if not text.strip().isascii() or not text.strip().isdigit() or len(text.strip()) > 10:
        raise QueryError(
            f"Invalid value '{text[:40]}' for {name} query option found. The {name} query option requires a non-negative "
            "integer value.",
            code=errors.ODATA_NO_CODE,
        )
    return int(text)


def whole_token(parser: Parser, name: str) -> int:
    """A number of rows inside a larger expression."""
    token = parser.advance()
    if token.kind != LITERAL or not token.text.isdigit() or len(token.text) > 10:
        raise QueryError(
            f"Invalid value '{token.text[:40]}' for {name} query option found. The {name} query option requires a "
            "non-negative integer value.",
            code=errors.ODATA_NO_CODE,
            position=token.position,
        )
    return int(token.text)


def boolean(text: str | None) -> bool:
    """The value of $count."""
    if text is None:
        return False
    if text.strip() not in ("true", "false"):
        raise QueryError(f"$count must be true or false, found '{text[:40]}'.", code=errors.ODATA_NO_CODE)
    return text.strip() == "true"
