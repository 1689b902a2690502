"""Checking a query tree against the metadata: the first phase of compiling, and the one that refuses.

Finds tables and columns, applies the rules of aliases, aggregates, orders and limits, and says which operator fits
which column. Literals are read later (`literals`), when a kept plan gets its parameters.
Source of rules and codes: fetchxml.md §3 to §5 and §8 to §10, webapi.md §18.
"""

from __future__ import annotations

from collections.abc import Iterator

from adjourn import config
from adjourn.errors import QueryError
from adjourn.metadata.model import Catalog
from adjourn.query.resolve_answer import Answer
from adjourn.query.resolve_links import JOIN_KINDS, SEMI_KINDS, Links
from adjourn.query.resolve_names import Names
from adjourn.query.resolved import Expanded, Node, Resolved, Selected, Term
from adjourn.query.tree import NEVER, Collection, Query, collections_of


def resolve(query: Query, catalog: Catalog) -> Resolved:
    """A query tree with all of its names found. Raises QueryError with the documented code and the position."""
    names = Names(query, catalog)
    table = names.table(query.table, NEVER)
    links = Links(names)
    for link in query.links:
        links.declare(link, JOIN_KINDS | SEMI_KINDS)
    children = tuple(links.node(link, 0, table) for link in query.links)
    where = links.filter(query.filter, 0, table, None)
    root = Node(0, "root", table, None, -1, None, None, where, children)
    if links.links + links.conditions > config.CONDITIONS_MAX:
        raise QueryError(f"A query may have {config.CONDITIONS_MAX} conditions and links.", code=0x8004430C)
    answer = Answer(names)
    selected = answer.selected(table)
    return Resolved(
        root,
        selected,
        answer.sorts(selected, root),
        answer.grouped,
        query.total,
        query.language,
        catalog.version,
        tuple(_expanded(path, collection, selected, catalog) for path, collection in collections_of(query)),
        query.aggregate_limit is not None,
    )


def _expanded(
    path: tuple[str, ...], collection: Collection, selected: tuple[Selected, ...], catalog: Catalog
) -> Expanded:
    key = next(
        one.term
        for one in selected
        if one.path == path and one.term.column.logical == catalog.tables[one.term.column.table].primary_id
    )
    question = resolve(collection.query, catalog)
    node = next(node for node in _nodes(question.root) if node.alias == collection.entity)
    parent = Term(node.number, node.table.columns[collection.column])
    return Expanded(path, collection.navigation, key, question, parent)


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)
