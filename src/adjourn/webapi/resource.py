"""What an address means: a collection, a record, a property, a navigation, an operation.

Everything here is decided by the metadata alone, before any data is read; a chain of single-valued navigations is kept
as `hops`, which the reader follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from adjourn import errors
from adjourn.errors import InvalidRequest, UnknownResource, nearest
from adjourn.metadata import values
from adjourn.metadata.model import Catalog, Column, ManyToMany, Reference, Relationship, Table
from adjourn.webapi import url
from adjourn.webapi.url import Segment

SUFFIXES = ("$count", "$ref", "$value")
NAMESPACE = "Microsoft.Dynamics.CRM."
_KEY_NOT_DEFINED = 0x80060890


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
    key = parse_key(first.arguments, table) if first.arguments else None
    rest = list(segments[1:])
    suffix = rest.pop().name if rest and rest[-1].name in SUFFIXES else ""
    if key is None and (rest or suffix in ("$value",)):
        text = rest[0].text if rest else suffix
        raise UnknownResource(
            f"Resource not found for the segment '{text[:200]}'. It needs a record: {table.entityset}(<id>)/{text[:100]}."
        )
    resource = Resource(table, key)
    for position, segment in enumerate(rest):
        last = position == len(rest) - 1
        resource = _step(resource, segment, last, catalog)
    if suffix:
        _check_suffix(resource, suffix)
        resource = Resource(
            resource.table,
            resource.key,
            resource.hops,
            resource.owner,
            resource.column,
            resource.single,
            resource.collection,
            resource.related,
            suffix,
        )
    return resource


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
        related = parse_key(segment.arguments, child) if segment.arguments else None
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


def _check_suffix(resource: Resource, suffix: str) -> None:
    record = resource.key is not None and resource.collection is None
    fits = {
        "$count": resource.key is None or (resource.collection is not None and resource.related is None),
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


def parse_key(text: str, table: Table) -> UUID:
    """A record's key: a guid, bare or quoted or named. Raises InvalidRequest for alternate keys, of which there are none."""
    value = url.literal_text(text)
    if "=" in value:
        named = url.named_arguments(text)
        if set(named) != {table.primary_id}:
            names = ", ".join(named)
            raise InvalidRequest(
                f"The specified key attributes ({names[:200]}) are not a defined key for the {table.logical} entity. "
                f"Its key is '{table.primary_id}'.{nearest(next(iter(named), ''), [table.primary_id])}",
                code=_KEY_NOT_DEFINED,
            )
        value = url.literal_text(named[table.primary_id])
    return values.guid(value, table.primary_id)


def parse_reference(address: str, root: str, catalog: Catalog, what: str) -> Reference:
    """A record's address, as `@odata.bind` and `@odata.id` have it: absolute, rooted or bare.

    Raises InvalidRequest naming `what` and the address.
    """
    try:
        segments = url.parse_path(url.relative(address, root))
        found = resolve(segments, catalog) if segments else None
    except UnknownResource as error:
        raise InvalidRequest(f"'{what}' is no address of a record: {error.message}") from None
    if found is None or found.key is None or found.column or found.single or found.collection or found.suffix:
        sets = catalog.by_entityset
        name = segments[0].name if segments else ""
        raise InvalidRequest(
            f"'{what}' must be the address of a record such as /accounts(<id>), found '{address[:200]}'."
            f"{'' if name in sets else nearest(name, sets)}",
            code=errors.ODATA_BAD_PAYLOAD,
        )
    return Reference(found.table.logical, found.key)
