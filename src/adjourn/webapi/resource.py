"""What an address means: a collection, a record, a property, a navigation, an operation.

Everything here is decided by the metadata alone, before any data is read; a chain of single-valued navigations is kept
as `hops`, which the reader follows.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from uuid import UUID

from adjourn.errors import NotSupported, UnknownResource, nearest
from adjourn.metadata import values
from adjourn.metadata.model import Catalog, Column, ManyToMany, Relationship, Table
from adjourn.webapi import keys, url
from adjourn.webapi.keys import KeyValues
from adjourn.webapi.url import Segment

SUFFIXES = ("$count", "$ref", "$value")
NAMESPACE = "Microsoft.Dynamics.CRM."


@dataclass(frozen=True, slots=True)
class Resource:
    """One addressed thing.

    table, key: a collection (no key) or a record. hops: single-valued navigations to follow from it to another record
    first; `owner` is the table where they end. Then at most one of: column (a property), single, collection.
    related: `collection(<key>)`, one of its records. suffix: "", "$count", "$ref" or "$value".
    """

    table: Table
    key: UUID | None = None
    hops: tuple[Relationship, ...] = ()
    owner: Table | None = None
    column: Column | None = None
    single: Relationship | None = None
    collection: Relationship | ManyToMany | None = None
    related: UUID | None = None
    suffix: str = ""
    alternate: KeyValues | None = None
    """Instead of `key`, until somebody has looked which record it is."""

    @property
    def is_record(self) -> bool:
        """Whether it is one record addressed by a key of its own, and nothing behind it."""
        addressed = self.key is not None or self.alternate is not None
        return addressed and not (self.hops or self.column or self.single or self.collection or self.suffix)

    @property
    def holder(self) -> Table:
        """The table of the record that the last part belongs to."""
        return self.owner or self.table


def resolve(segments: tuple[Segment, ...], catalog: Catalog) -> Resource | None:
    """The resource of a path; None if its first segment is no entity set. Raises UnknownResource, InvalidRequest."""
    first = segments[0]
    table = catalog.by_entityset.get(first.name)
    if table is None:
        return None
    found = parse_key(first.arguments, table) if first.arguments else None
    key, alternate = (found, None) if isinstance(found, UUID) else (None, found)
    rest = list(segments[1:])
    suffix = rest.pop().name if rest and rest[-1].name in SUFFIXES else ""
    if found is None and (rest or suffix in ("$value",)):
        text = rest[0].text if rest else suffix
        raise UnknownResource(
            f"Resource not found for the segment '{text[:200]}'. It needs a record: {table.entityset}(<id>)/{text[:100]}."
        )
    resource = Resource(table, key)
    for position, segment in enumerate(rest):
        last = position == len(rest) - 1
        resource = _step(resource, segment, last, catalog)
    if suffix:
        _check_suffix(resource, suffix, addressed=found is not None)
        resource = dataclasses.replace(resource, suffix=suffix)
    return dataclasses.replace(resource, alternate=alternate)


def _step(resource: Resource, segment: Segment, last: bool, catalog: Catalog) -> Resource:
    if resource.collection is not None or resource.column is not None:
        # A record of a collection goes on as that record itself, once its key is given.
        if resource.related is None:
            raise UnknownResource(f"Resource not found for the segment '{segment.text[:200]}'.")
        child = related_table(resource.collection, resource.holder, catalog)
        resource = Resource(child, resource.related)
    if resource.single is not None:
        target = catalog.tables[resource.single.referenced]
        resource = Resource(resource.table, resource.key, (*resource.hops, resource.single), target)
    table, name = resource.holder, segment.name
    collection = table.by_collection.get(name)
    if collection is not None:
        child = related_table(collection, table, catalog)
        related = _plain_key(segment.arguments, child) if segment.arguments else None
        return Resource(resource.table, resource.key, resource.hops, resource.owner, None, None, collection, related)
    single = table.by_navigation.get(name)
    column = table.by_property.get(name)
    # A file column and the navigation to its file share a name: the property answers, its path goes on (`datablobid/…`).
    if column is not None and (last or single is None) and segment.arguments is None:
        return Resource(resource.table, resource.key, resource.hops, resource.owner, column)
    if single is not None and segment.arguments is None:
        return Resource(resource.table, resource.key, resource.hops, resource.owner, None, single)
    known = [*table.by_property, *table.by_navigation, *table.by_collection]
    raise UnknownResource(f"Resource not found for the segment '{segment.text[:200]}'.{nearest(name, known)}")


def _check_suffix(resource: Resource, suffix: str, *, addressed: bool) -> None:
    record = addressed and resource.collection is None
    fits = {
        "$count": not addressed or (resource.collection is not None and resource.related is None),
        "$ref": resource.column is None,
        "$value": record and resource.column is not None,
    }[suffix]
    if not fits:
        raise UnknownResource(f"Resource not found for the segment '{suffix}'.")


def related_table(collection: Relationship | ManyToMany | None, table: Table, catalog: Catalog) -> Table:
    """The table whose records a collection-valued navigation of `table` answers."""
    if isinstance(collection, ManyToMany):
        other = collection.table2 if collection.table1 == table.logical else collection.table1
        return catalog.tables[other]
    assert collection is not None
    return catalog.tables[collection.referencing]


def parse_key(text: str, table: Table) -> UUID | KeyValues:
    """A record's key: a guid, bare or quoted or named; or the values of an alternate key. Raises InvalidRequest."""
    value = url.literal_text(text)
    if "=" in value:
        named = url.named_arguments(text)
        if set(named) != {table.primary_id}:
            return keys.parse(named, table)
        value = url.literal_text(named[table.primary_id])
    return values.guid(value, table.primary_id)


def _plain_key(text: str, table: Table) -> UUID:
    key = parse_key(text, table)
    if not isinstance(key, UUID):
        raise NotSupported(f"Address the {table.logical} of a collection by its '{table.primary_id}'.", status=400)
    return key
