"""The Web API's query options as one query tree: $select $filter $orderby $top $count $expand $apply.

Which columns and operators exist is checked when the tree is resolved; here the grammar is, and every path that leads
through a navigation property. What the Web API does not have is refused by name. Source: webapi.md §6 to §10.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adjourn import errors
from adjourn.errors import InvalidRequest, QueryError, nearest
from adjourn.metadata.model import Catalog, Table
from adjourn.query import odata_expand
from adjourn.query.odata_apply import Apply
from adjourn.query.odata_clauses import boolean, filter_text, orders_text, select, whole, with_column
from adjourn.query.odata_filter import Parser
from adjourn.query.odata_lexer import NAME
from adjourn.query.odata_paths import Paths
from adjourn.query.odata_reader import AliasedPath
from adjourn.query.tree import Attribute, Query

SUPPORTED = ("$select", "$filter", "$orderby", "$top", "$count", "$expand", "$apply")
REFUSED = ("$skip", "$search", "$format", "$compute", "$levels", "$index", "$schemaversion", "$deltatoken")


def parse(table: Table, catalog: Catalog, options: Mapping[str, str]) -> Query:
    """The query that options ask of a table. options: decoded, names as sent; `@p` assign parameter aliases.

    Raises QueryError with its position in the option's text, InvalidRequest for an option that there is not.
    """
    aliases = _aliases({name: text for name, text in options.items() if name.startswith("@")}, catalog, table)
    for name in options:
        if name in REFUSED:
            raise QueryError(f"Query option '{name}' is not supported.", code=errors.ODATA_UNSUPPORTED, status=501)
        if name.startswith("$") and name not in SUPPORTED:
            raise InvalidRequest(f"Query option '{name[:100]}' does not exist.{nearest(name, SUPPORTED)}", code=0)
    if "$apply" in options:
        return Apply(table, catalog, options, aliases).query()
    return _query(table, catalog, options, aliases)


def _query(table: Table, catalog: Catalog, options: Mapping[str, str], aliases: Mapping[str, Any]) -> Query:
    paths = Paths(catalog, table)
    columns: tuple[Attribute, ...] | None = None
    if "$select" in options:
        parser = Parser(options["$select"], paths)
        columns = select(table, parser)
        parser.finish()
    expanded = odata_expand.NOTHING
    if "$expand" in options:
        expanded = odata_expand.parse(options["$expand"], paths)
    for link in expanded.links:
        if link.reference and columns is not None:
            columns = with_column(columns, link.to)
    filter_ = filter_text(options.get("$filter"), paths, aliases)
    orders = orders_text(options.get("$orderby"), paths, aliases)
    return Query(
        table.logical,
        columns or (),
        all_columns=columns is None,
        links=(*paths.links(), *expanded.links),
        collections=expanded.collections,
        filter=filter_,
        orders=orders,
        top=whole(options.get("$top"), "$top"),
        total=boolean(options.get("$count")),
        language="odata",
    )


def _aliases(texts: Mapping[str, str], catalog: Catalog, table: Table) -> dict[str, Any]:
    """What the parameter aliases stand for: a value, a JSON array of values, or the path to a property."""
    found: dict[str, Any] = {}
    for name, text in texts.items():
        parser = Parser(text, Paths(catalog, table), {})
        if parser.token.kind == NAME and not parser.token.text.startswith("@"):
            names = [parser.name().text]
            while parser.accept("/"):
                names.append(parser.name().text)
            found[name] = AliasedPath(tuple(names))
        else:
            found[name] = parser.array() if parser.accept("[") else parser.value()
        parser.finish()
    return found
