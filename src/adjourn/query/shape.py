"""The shape of a question: everything but its literals and its positions, as something hashable.

Questions of one shape have one SQL text. Of the literals it holds only what the text depends on (`classify`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from adjourn.query.conditions import classify
from adjourn.query.resolve_links import VALUES_MAX
from adjourn.query.tree import Collection, Condition, Filter, Link, Query


def shape(query: Query, conditions: list[Condition]) -> Iterator[Hashable]:
    """The parts of a question's shape; the conditions are appended in the order in which they stand.

    So the literals of a later question of the same shape find their parameters.
    """
    yield (
        query.table,
        _attributes(query.columns),
        query.all_columns,
        query.aggregate,
        query.distinct,
        query.total,
        query.language,
        query.aggregate_limit is not None,
    )
    yield _filter(query.filter, conditions)
    yield tuple(_link(link, conditions) for link in query.links)
    yield _orders(query.orders)
    if query.collections:
        yield _collections(query.collections, conditions)


def _attributes(attributes: Any) -> Hashable:
    return tuple(
        (a.name, a.alias, a.aggregate, a.groupby, a.dategrouping, a.usertimezone, a.distinct, a.rowaggregate)
        for a in attributes
    )


def _orders(orders: Any) -> Hashable:
    return tuple((o.column, o.alias, o.descending, o.entity, o.by_label) for o in orders)


def _link(link: Link, conditions: list[Condition]) -> Hashable:
    return (
        (link.table, link.from_, link.to, link.alias, link.kind, link.all_columns, link.expand, link.hidden),
        _attributes(link.columns),
        _filter(link.filter, conditions),
        _orders(link.orders),
        tuple(_link(child, conditions) for child in link.links),
        (link.reference, _collections(link.collections, conditions)) if link.expand else (),
    )


def _collections(collections: tuple[Collection, ...], conditions: list[Condition]) -> Hashable:
    return tuple((c.navigation, c.column, c.entity, *shape(c.query, conditions)) for c in collections)


def _filter(tree: Filter | None, conditions: list[Condition]) -> Hashable:
    if tree is None:
        return None
    parts: list[Hashable] = []
    for part in tree.conditions:
        if isinstance(part, Condition):
            conditions.append(part)
            classes = classify(part.values) if part.values else None
            parts.append((part.column, part.operator, part.entity, part.valueof, _few(part.values), classes))
        elif isinstance(part, Filter):
            parts.append(_filter(part, conditions))
        else:
            parts.append(("related", _link(part.link, conditions)))
    return (tree.kind, tree.negated, tuple(parts))


def _few(values: tuple[Any, ...]) -> int:
    """How many values, as far as the SQL, or a refusal, depends on it: a list is one parameter, however long."""
    return len(values) if len(values) < 3 or len(values) > VALUES_MAX else 3
