"""Property paths of OData: `name`, `_ownerid_value`, `primarycontactid/createdby/fullname`.

Each navigation property on the way becomes a hidden outer link, one for each distinct path, however often it is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from adjourn import config, errors
from adjourn.errors import QueryError, nearest
from adjourn.metadata.model import Catalog, Column, Relationship, Table
from adjourn.query.tree import Attribute, Link


@dataclass(slots=True)
class Joined:
    """One navigation property on the way of a path."""

    table: Table
    alias: str
    from_: str
    to: str
    children: dict[str, Joined] = field(default_factory=dict)
    columns: list[Attribute] = field(default_factory=list)

    def link(self) -> Link:
        return Link(
            self.table.logical,
            self.from_,
            self.to,
            self.alias,
            "outer",
            columns=tuple(self.columns),
            links=tuple(child.link() for child in self.children.values()),
            hidden=not self._answers(),
        )

    def _answers(self) -> bool:
        return bool(self.columns) or any(child._answers() for child in self.children.values())


@dataclass(slots=True)
class Place:
    """Where a path ends: a column, and the link through which it is reached (None: the table itself).

    hops: the lookups on the way, where they are not joined.
    """

    table: Table
    column: Column
    joined: Joined | None
    hops: tuple[Relationship, ...] = ()

    @property
    def entity(self) -> str | None:
        return self.joined.alias if self.joined else None


class Paths:
    """The paths of one query (or of one lambda's variable, which joins nothing) from its table."""

    def __init__(self, catalog: Catalog, table: Table, *, joining: bool = True) -> None:
        self.catalog = catalog
        self.table = table
        self._joining = joining
        self._roots: dict[str, Joined] = {}
        self._count = 0

    def links(self) -> Iterator[Link]:
        """The links that the paths need."""
        return (joined.link() for joined in self._roots.values())

    def resolve(self, names: list[tuple[str, int]]) -> Place:
        """A path's column. names: its segments with their positions. Raises QueryError for the first that is not there."""
        if not self._joining:
            return self._reached(names)
        table, joined, children = self.table, None, self._roots
        for name, position in names[:-1]:
            joined = self._step(table, children, name, position)
            table, children = joined.table, joined.children
        name, position = names[-1]
        return Place(table, property_of(table, name, position), joined)

    def _reached(self, names: list[tuple[str, int]]) -> Place:
        table, hops = self.table, list[Relationship]()
        if len(names) > config.LINKS_MAX:
            raise _too_many_links(names[config.LINKS_MAX][1])
        for name, position in names[:-1]:
            hop = _hop(table, name, position)
            hops.append(hop)
            table = self.catalog.tables[hop.referenced]
        name, position = names[-1]
        return Place(table, property_of(table, name, position), None, tuple(hops))

    def _step(self, table: Table, children: dict[str, Joined], name: str, position: int) -> Joined:
        found = children.get(name)
        if found is None:
            relationship = _hop(table, name, position)
            self._count += 1
            if self._count > config.LINKS_MAX:
                raise _too_many_links(position)
            found = children[name] = Joined(
                self.catalog.tables[relationship.referenced],
                f"p{self._count}",
                relationship.referenced_column,
                relationship.column,
            )
        return found


def _too_many_links(position: int) -> QueryError:
    return QueryError(f"A query may have {config.LINKS_MAX} links to other tables.", code=0x8004430D, position=position)


def _hop(table: Table, name: str, position: int) -> Relationship:
    found = table.by_navigation.get(name)
    if found is None:
        raise unknown(table, name, position, [*table.by_navigation, *table.by_property])
    return found


def property_of(table: Table, name: str, position: int) -> Column:
    """A column by its OData name. Raises QueryError with the documented text."""
    found = table.by_property.get(name)
    if found is None:
        raise unknown(table, name, position, table.by_property)
    return found


def unknown(table: Table, name: str, position: int, known: Iterable[str]) -> QueryError:
    """The documented error for a property that a type does not have (webapi.md §18)."""
    column = table.columns.get(name)
    if column is not None and column.property in table.by_property:
        hint = f" Did you mean '{column.property}'?"
    else:
        hint = nearest(name, known)
    return QueryError(
        f"Could not find a property named '{name[:100]}' on type 'Microsoft.Dynamics.CRM.{table.logical}'.{hint}",
        code=errors.ODATA_NO_CODE,
        position=position,
    )
