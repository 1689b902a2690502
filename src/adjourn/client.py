"""Organization's methods, wherever the organization is: in this process, or behind a worker's socket.

A `Client` turns method calls into messages and hands them to a backend; that is all. What a step, a message or a job's
handler gets as its `Organization` parameter is one of these; `adjourn.Organization` is one that opened a store itself.
Names as in IOrganizationService.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from adjourn import config
from adjourn.errors import InvalidRequest, TooLarge
from adjourn.metadata.model import Reference
from adjourn.pipeline.call import Request
from adjourn.pipeline.record import Record

Values = Mapping[str, Any]


class Backend(Protocol):
    """Where a client's calls go."""

    def execute(self, request: Request) -> dict[str, Any]: ...
    def retrieve_multiple(self, query: str) -> list[Record]: ...
    def enqueue(self, items: Sequence[tuple[Request, Mapping[str, Any]]]) -> list[UUID]: ...
    def as_user(self, user_id: UUID) -> Backend: ...


ENQUEUE_OPTIONS = ("dependency_token", "postpone_until", "recurrence", "regarding", "owner")


class Client:
    """An organization as one caller sees it. Safe to use from several threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def create(self, table: str, values: Values) -> UUID:
        """Create a record; returns its id.

        values: by logical name; a lookup takes `("account", id)`. Raises InvalidRequest, Duplicate, and whatever a
        synchronous step raised.
        """
        found: UUID = self._backend.execute(Request("Create", {"Target": _record(table, None, values)}))["id"]
        return found

    def retrieve(self, table: str, id: UUID | str, columns: Sequence[str] | None = None) -> Record:
        """One record; columns None: all. Raises NotFound."""
        request = Request("Retrieve", {"Target": _reference(table, id), "ColumnSet": columns})
        found: Record = self._backend.execute(request)["BusinessEntity"]
        return found

    def update(self, table: str, id: UUID | str, values: Values) -> None:
        """Change columns of a record. Raises NotFound, InvalidRequest, and whatever a synchronous step raised."""
        self._backend.execute(Request("Update", {"Target": _record(table, id, values)}))

    def upsert(self, table: str, id: UUID | str, values: Values) -> bool:
        """Update the record with this id, or create it; True if it was created."""
        request = Request("Upsert", {"Target": _record(table, id, values)})
        return bool(self._backend.execute(request)["RecordCreated"])

    def delete(self, table: str, id: UUID | str) -> None:
        """Delete a record. Raises NotFound, and NotSupported if others refer to it."""
        self._backend.execute(Request("Delete", {"Target": _reference(table, id)}))

    def retrieve_multiple(self, query: str) -> list[Record]:
        """The records that a query finds, at most one page of 5,000.

        query: FetchXML, or a Web API path such as `accounts?$select=name&$filter=statecode eq 0`.
        """
        return self._backend.retrieve_multiple(query)

    def execute(self, request: Request) -> Any:
        """Run a message now; what it returns.

        A request of a message of one's own gives its result; a platform message its output parameters as a dict.
        """
        outputs = self._backend.execute(_request(request))
        if request.declared is None:
            return outputs
        return outputs.get("value") if set(outputs) <= {"value"} else outputs

    def associate(self, table: str, id: UUID | str, relationship: str, related: Iterable[tuple[str, UUID]]) -> None:
        """Join records over a relationship, named as in the metadata."""
        self._associate("Associate", table, id, relationship, related)

    def disassociate(self, table: str, id: UUID | str, relationship: str, related: Iterable[tuple[str, UUID]]) -> None:
        """Part records of a relationship."""
        self._associate("Disassociate", table, id, relationship, related)

    def enqueue(
        self,
        request: Request,
        *,
        dependency_token: str | None = None,
        postpone_until: datetime | None = None,
        recurrence: str | None = None,
        regarding: tuple[str, UUID] | None = None,
        owner: tuple[str, UUID] | None = None,
    ) -> UUID:
        """Run a message later, as a system job (operation type 54); returns the job's id.

        Inside a step or handler that holds a transaction the job appears when that commits. dependency_token: jobs
        with the same one run strictly one after the other. postpone_until: UTC. recurrence: an RFC 2445 pattern such as
        "FREQ=DAILY;INTERVAL=3;": the job is a schedule, whose first run is at postpone_until, or now, from which the
        pattern counts. Raises InvalidRequest, QueryError for a pattern that is none, UnknownResource.
        """
        options = {
            "dependency_token": dependency_token,
            "postpone_until": postpone_until,
            "recurrence": recurrence,
            "regarding": regarding,
            "owner": owner,
        }
        return self._backend.enqueue(
            [(_request(request), {name: value for name, value in options.items() if value is not None})]
        )[0]

    def enqueue_many(self, requests: Iterable[Request | tuple[Request, Mapping[str, Any]]]) -> list[UUID]:
        """Many jobs in one transaction, in their order; each a request, or a request with the options of `enqueue`.

        Raises TooLarge above 10,000: nothing is enqueued then.
        """
        items: list[tuple[Request, Mapping[str, Any]]] = []
        for item in requests:
            request, options = item if isinstance(item, tuple) else (item, {})
            for name in options:
                if name not in ENQUEUE_OPTIONS:
                    raise InvalidRequest(f"enqueue has no option '{name}'. It takes {', '.join(ENQUEUE_OPTIONS)}.")
            items.append((_request(request), options))
            if len(items) > config.ENQUEUE_MANY_MAX:
                raise TooLarge(f"enqueue_many takes at most {config.ENQUEUE_MANY_MAX:,} requests at once.")
        return self._backend.enqueue(items) if items else []

    def as_user(self, user_id: UUID | str) -> Client:
        """The same organization as another user sees it."""
        return Client(self._backend.as_user(_uuid(user_id)))

    def _associate(
        self, message: str, table: str, id: UUID | str, relationship: str, related: Iterable[tuple[str, UUID]]
    ) -> None:
        parameters = {
            "Target": _reference(table, id),
            "Relationship": relationship,
            "RelatedEntities": [Reference(*pair) for pair in related],
        }
        self._backend.execute(Request(message, parameters))


def _record(table: str, id: UUID | str | None, values: Values) -> Record:
    return Record(table, _uuid(id) if id is not None else None, dict(values))


def _reference(table: str, id: UUID | str) -> Reference:
    return Reference(table, _uuid(id))


def _request(found: Any) -> Request:
    if isinstance(found, Request):
        return found
    raise InvalidRequest(
        "A request is wanted, as message.request(parameter=…) or adjourn.Request('Name', {…}) makes one; "
        f"found {str(found)[:100]!r} ({type(found).__name__})."
    )


def _uuid(found: UUID | str) -> UUID:
    if isinstance(found, UUID):
        return found
    try:
        return UUID(found)
    except (ValueError, AttributeError, TypeError):
        raise InvalidRequest(f"'{str(found)[:100]}' is no guid.", code=0x80040363) from None
