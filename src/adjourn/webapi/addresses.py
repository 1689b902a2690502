"""Addresses of records inside bodies: `@odata.bind`, `@odata.id`, and parameters of actions that are records.

    "primarycontactid@odata.bind": "/contacts(<id>)"   "/contacts(emailaddress1='a@b')"   "$1" in a batch

Source: webapi.md §12, §13 and §15.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from adjourn import errors
from adjourn.errors import InvalidRequest, UnknownResource, nearest
from adjourn.metadata import values
from adjourn.metadata.model import Catalog, Reference, Table
from adjourn.service import Service
from adjourn.webapi import keys, resource, url
from adjourn.webapi.exchange import Exchange
from adjourn.webapi.keys import KeyValues


@dataclass(frozen=True, slots=True)
class Addresses:
    """What the addresses in one request's body mean. Made anew for each request: it asks as that request's caller."""

    exchange: Exchange
    service: Service

    @property
    def catalog(self) -> Catalog:
        return self.service.catalog

    def reference(self, address: str, what: str) -> Reference:
        """The record that an address means; `$1` is the one that the batch's request with this Content-ID made.

        Raises InvalidRequest naming `what` and the address, NotFound for an alternate key that no record has.
        """
        table, key, alternate = self._parsed(address, what)
        if alternate is not None:
            key = self.locate(table, alternate)
            if key is None:
                raise keys.not_found(table, alternate)
        assert key is not None
        return Reference(table.logical, key)

    def alternate(self, address: Any, table: Table) -> KeyValues | None:
        """The values of an alternate key of `table` in an address; None if it has none. They need not be anybody's."""
        if not isinstance(address, str) or "=" not in address:
            return None
        found, _, alternate = self._parsed(address, "@odata.id")
        return alternate if found.logical == table.logical else None

    def locate(self, table: Table, key: KeyValues) -> UUID | None:
        return keys.locate(self.service, table, key, self.exchange.call)

    def parameter(self, value: Any, what: str) -> Reference:
        """A record as an action's parameter: `{"@odata.id": address}`, or its @odata.type with its key."""
        if isinstance(value, dict):
            address = value.get("@odata.id")
            if isinstance(address, str):
                return self.reference(address, what)
            kind = value.get("@odata.type")
            name = kind.lstrip("#").removeprefix(resource.NAMESPACE) if isinstance(kind, str) else ""
            table = self.catalog.tables.get(name)
            if table is not None and isinstance(value.get(table.primary_id), str):
                return Reference(table.logical, values.guid(value[table.primary_id], table.primary_id))
        raise InvalidRequest(
            f'\'{what}\' must be a record: {{"@odata.id": "accounts(<id>)"}}, or its @odata.type with its key.',
            code=errors.ODATA_BAD_PAYLOAD,
        )

    def _parsed(self, address: str, what: str) -> tuple[Table, UUID | None, KeyValues | None]:
        text = address.strip()
        if text.startswith("$"):
            text = referred(text, self.exchange.references)
        try:
            segments = url.parse_path(url.relative(text, self.exchange.root))
            found = resource.resolve(segments, self.catalog) if segments else None
        except UnknownResource as error:
            raise InvalidRequest(f"'{what}' is no address of a record: {error.message}") from None
        if found is None or not found.is_record:
            sets = self.catalog.by_entityset
            name = segments[0].name if segments else ""
            raise InvalidRequest(
                f"'{what}' must be the address of a record such as /accounts(<id>), found '{text[:200]}'."
                f"{'' if name in sets else nearest(name, sets)}",
                code=errors.ODATA_BAD_PAYLOAD,
            )
        return found.table, found.key, found.alternate


def referred(text: str, references: Mapping[str, str]) -> str:
    """An address with a leading `$<Content-ID>` replaced. Raises InvalidRequest for an unknown one."""
    head, slash, rest = text.partition("/")
    found = references.get(head[1:])
    if found is None:
        raise InvalidRequest(
            f"Content-ID Reference: '{head[:100]}' does not exist in the batch context.", code=errors.ODATA_BAD_PAYLOAD
        )
    return f"{found}{slash}{rest}"
