"""Which relationship a link of the tree follows, for languages that name relationships instead of columns."""

from __future__ import annotations

from adjourn.errors import NotSupported
from adjourn.metadata.model import ManyToMany, Relationship, Table
from adjourn.query.tree import Link


def refused(language: str, reason: str) -> NotSupported:
    """What a language cannot say, by name."""
    return NotSupported(f"{language} cannot say this: {reason}", status=400)


def lookup_of(link: Link, parent: Table) -> Relationship | None:
    """The many-to-one relationship that a link follows from its parent, if it follows one."""
    if link.expand is not None:
        return parent.by_navigation.get(link.expand)
    for relationship in parent.by_navigation.values():
        if (relationship.column, relationship.referenced, relationship.referenced_column) == (
            link.to,
            link.table,
            link.from_,
        ):
            return relationship
    return None


def collection_of(link: Link, parent: Table) -> tuple[str, Link] | None:
    """The collection that a link follows, and the link to the collection's own records.

    That is the link itself, or the one below it where the relationship is many-to-many and the link's table is the
    intersect table. None if it follows no collection.
    """
    for name, found in parent.by_collection.items():
        if isinstance(found, Relationship):
            if (found.referencing, found.column, found.referenced_column) == (link.table, link.from_, link.to):
                return name, link
        elif found.intersect == link.table and link.filter is None and len(link.links) == 1:
            target = link.links[0]
            if target.kind == "inner" and link.to == parent.primary_id and _joins(found, parent, link, target):
                return name, target
    return None


def _joins(found: ManyToMany, parent: Table, link: Link, target: Link) -> bool:
    near, far, other = found.column1, found.column2, found.table2
    if found.table1 != parent.logical:
        near, far, other = far, near, found.table1
    return (link.from_, target.to, target.table) == (near, far, other)
