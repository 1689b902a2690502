"""Trees of records: below and above a record along a table's hierarchical relationship.

A table has at most one such relationship, a lookup to itself (`account.parentaccountid`). A walk ends after
`LEVELS_MAX` steps, so records that are each other's parents cannot make it endless. It passes over records that the
caller may not see: which rows are answered is decided by the rows' own visibility, and nothing but ids leaves here.
Source: fetchxml.md §6; the page "Query hierarchical data" of Dataverse's documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adjourn.metadata.model import Catalog, Column, Relationship, Table
from adjourn.query.conditions import Asked, Site

LEVELS_MAX = 100
"""Dataverse's own limit of recursions."""


def relationship_of(column: Column, catalog: Catalog) -> Relationship | None:
    """The hierarchy that a column's values lie in: of its own table for a key, of the table it leads to for a lookup."""
    table = catalog.tables[column.table]
    if column.logical == table.primary_id:
        return table.hierarchy
    if not column.type.is_lookup:
        return None
    found = [catalog.tables[name].hierarchy for name in column.targets if name in catalog.tables]
    hierarchies = [one for one in found if one is not None]
    return hierarchies[0] if len(hierarchies) == 1 else None


def below(table: Table, parent: str, start: str, levels: str) -> str:
    """SQL: the ids of a record and of those below it, down to some levels. start, levels: parameters."""
    return (
        f'WITH RECURSIVE h(id, depth) AS (SELECT {start}, 0 UNION SELECT c."{table.primary_id}", '
        f'h.depth + 1 FROM h JOIN "{table.logical}" AS c ON c."{parent}" = h.id WHERE h.depth < {levels}) SELECT id FROM h'
    )


def above(table: Table, parent: str, start: str, levels: str) -> str:
    """SQL: the ids of a record and of those above it."""
    return (
        f'WITH RECURSIVE h(id, depth) AS (SELECT {start}, 0 UNION SELECT c."{parent}", h.depth + 1 '
        f'FROM h JOIN "{table.logical}" AS c ON c."{table.primary_id}" = h.id '
        f'WHERE h.depth < {levels} AND c."{parent}" IS NOT NULL) SELECT id FROM h'
    )


def teams_of(users: str) -> str:
    """SQL: the ids of the teams in which users are."""
    return f'SELECT m."teamid" FROM "teammembership" AS m WHERE m."systemuserid" IN ({users})'


def children_count(source: str, parent: str, key: str) -> str:
    """SQL: how many records have this one as their parent. source: the logical table, so that only visible ones count."""
    return f'(SELECT count(*) FROM {source} AS k WHERE k."{parent}" = {key})'


def found_below(parents: Mapping[str, str | None], start: str, levels: int) -> set[str]:
    """The same in plain Python. parents: each record's parent."""
    children: dict[str | None, list[str]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found, edge = {start}, {start}
    for _ in range(levels):
        edge = {child for one in edge for child in children.get(one, ())} - found
        found |= edge
    return found


def found_above(parents: Mapping[str, str | None], start: str, levels: int) -> set[str]:
    """A record and those above it, in plain Python."""
    found = {start}
    one = parents.get(start)
    for _ in range(levels):
        if one is None or one in found:
            break
        found.add(one)
        one = parents.get(one)
    return found


@dataclass(frozen=True, slots=True)
class Related:
    """Below (or above) the record with this id. itself: or the record itself."""

    upwards: bool = False
    itself: bool = False
    negative: bool = False

    def sql(self, site: Site) -> str:
        found = relationship_of(site.column, site.catalog)
        assert found is not None
        walk = above if self.upwards else below
        start = site.bind(_start)
        ids = walk(site.catalog.tables[found.referenced], found.column, start, site.bind(_levels, "bigint"))
        plain = f"{site.expression} IN ({ids})"
        if not self.itself:
            plain = f"({plain} AND {site.expression} <> {start})"
        return f"({plain}) IS NOT TRUE" if self.negative else plain

    def matches(self, value: Any, asked: Asked) -> bool:
        return (value in asked.once(self._ids)) != self.negative

    def _ids(self, asked: Asked) -> frozenset[str]:
        found = relationship_of(asked.column, asked.circumstances.catalog)
        assert found is not None
        rows = asked.data.get(found.referenced, ())
        parents = {row[found.referenced_column]: row.get(found.column) for row in rows}
        ids = (found_above if self.upwards else found_below)(parents, asked.raw(0), LEVELS_MAX)
        return frozenset(ids if self.itself else ids - {asked.raw(0)})


def _start(asked: Asked) -> Any:
    return asked.raw(0)


def _levels(asked: Asked) -> int:
    return LEVELS_MAX
