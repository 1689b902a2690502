"""The actions BulkDelete and BulkDeleteCount over HTTP: their parameters as `$metadata` shows them, and read from JSON.

A recipient is written in one of the ways that clients use: an activityparty with a bound party
(`partyid_systemuser@odata.bind`), with the id of a user as its `activitypartyid` (the documented sample), or the bare guid.
Source: messages.md, "BulkDelete"; clients.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adjourn import errors
from adjourn.errors import InvalidRequest
from adjourn.metadata import values
from adjourn.metadata.model import Reference
from adjourn.pipeline.bulk_delete import COUNT, NAME
from adjourn.pipeline.bulk_delete_rows import ADDRESSES
from adjourn.service import Service
from adjourn.webapi.addresses import Addresses
from adjourn.webapi.exchange import Exchange
from adjourn.webapi.payload import BIND

_OPEN = "Edm.Untyped"
_QUERIES = ("QuerySet", f"Collection({_OPEN})", True)
ACTIONS: Mapping[str, tuple[tuple[str, str, bool], ...]] = {
    NAME: (
        _QUERIES,
        ("JobName", "Edm.String", True),
        ("SendEmailNotification", "Edm.Boolean", True),
        ("ToRecipients", f"Collection({_OPEN})", True),
        ("CCRecipients", f"Collection({_OPEN})", True),
        ("RecurrencePattern", "Edm.String", True),
        ("StartDateTime", "Edm.DateTimeOffset", True),
        ("SourceImportId", "Edm.Guid", False),
        ("RunNow", "Edm.Boolean", False),
        ("Options", _OPEN, False),
    ),
    COUNT: (_QUERIES,),
}
"""Parameters by action: (name, type, required)."""
_RECIPIENTS = ("ToRecipients", "CCRecipients")


def parameters(given: Mapping[str, Any], exchange: Exchange, service: Service) -> dict[str, Any]:
    """The JSON parameters as the messages want them. Raises InvalidRequest naming one."""
    found = dict(given)
    for name in _RECIPIENTS:
        if isinstance(found.get(name), list):
            found[name] = [_recipient(item, name, exchange, service) for item in found[name]]
    return found


def _recipient(found: Any, name: str, exchange: Exchange, service: Service) -> Reference:
    if not isinstance(found, Mapping):
        return Reference("systemuser", values.guid(found, name))
    addresses = Addresses(exchange, service)
    for table in ADDRESSES:
        bound = found.get(f"partyid_{table}{BIND}")
        if isinstance(bound, str):
            return addresses.reference(bound, f"partyid_{table}{BIND}")
        key = service.catalog.table(table).primary_id
        if isinstance(found.get(key), str):
            return Reference(table, values.guid(found[key], key))
    if isinstance(found.get("activitypartyid"), str):
        return Reference("systemuser", values.guid(found["activitypartyid"], "activitypartyid"))
    if isinstance(found.get("@odata.id"), str):
        return addresses.reference(found["@odata.id"], name)
    raise InvalidRequest(
        f"A recipient of '{name}' must be an activityparty with partyid_systemuser{BIND} (or _contact, _account) or with the "
        "user's id as its activitypartyid, or a user's guid.",
        code=errors.ODATA_BAD_PAYLOAD,
    )
