"""Functions and actions as `$metadata` declares them: what each takes and answers.

What they take comes from `operations` and `bound`, which carry them out; what they answer stands here, as data. One whose
answer is not described has an open response. Source: webapi.md §5 and §16.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from adjourn.pipeline import bulk_delete
from adjourn.pipeline.enqueue import EXECUTE_ASYNC
from adjourn.pipeline.handlers import RECORD, RECORDS
from adjourn.service import MessageInfo, Service
from adjourn.webapi import bound, operations, search

OPEN = "mscrm.expando"
"""Any JSON object."""
_ANY_RECORD = "mscrm.crmbaseentity"
_TYPES = {
    "Edm.Untyped": OPEN,
    "Collection(Edm.Untyped)": f"Collection({OPEN})",
    RECORD: _ANY_RECORD,
    RECORDS: f"Collection({_ANY_RECORD})",
}
"""Types of parameters that are called otherwise in the document."""

Properties = tuple[tuple[str, str], ...]
_PRIVILEGES: Properties = (("RolePrivileges", "Collection(mscrm.RolePrivilege)"),)
RESPONSES: Mapping[str, Properties | None] = {
    "WhoAmI": (("BusinessUnitId", "Edm.Guid"), ("UserId", "Edm.Guid"), ("OrganizationId", "Edm.Guid")),
    "RetrieveMetadataChanges": (
        ("EntityMetadata", "Collection(mscrm.EntityMetadata)"),
        ("ServerVersionStamp", "Edm.String"),
        ("DeletedMetadata", OPEN),
    ),
    "RetrieveVersion": (("Version", "Edm.String"),),
    "RetrieveProvisionedLanguages": (("RetrieveProvisionedLanguages", "Collection(Edm.Int32)"),),
    "RetrieveAvailableLanguages": (("LocaleIds", "Collection(Edm.Int32)"),),
    "RetrieveCurrentOrganization": (("Detail", OPEN),),
    "RetrieveTotalRecordCount": (("EntityRecordCountCollection", OPEN),),
    "ExplainSystemJob": (
        ("Why", "Edm.String"),
        ("Recurrence", "Edm.String"),
        ("NextMoments", "Collection(Edm.DateTimeOffset)"),
        ("ProgressText", "Edm.String"),
        ("ProgressPercent", "Edm.Int32"),
        ("History", f"Collection({OPEN})"),
    ),
    search.NAME: (("response", "Edm.String"),),
    EXECUTE_ASYNC: (("AsyncJobId", "Edm.Guid"),),
    bulk_delete.NAME: (("JobId", "Edm.Guid"),),
    bulk_delete.COUNT: (("Count", "Edm.Int64"), ("Counts", "Collection(Edm.Int64)")),
    operations.CREATE_ENTITIES: None,
    "CreateMultiple": (("Ids", "Collection(Edm.Guid)"),),
    "UpdateMultiple": None,
    "UpsertMultiple": None,
    "AddPrivilegesRole": None,
    "ReplacePrivilegesRole": None,
    "RemovePrivilegeRole": None,
    "RetrieveRolePrivilegesRole": _PRIVILEGES,
    "RetrieveUserPrivileges": _PRIVILEGES,
    "RetrieveTeamPrivileges": _PRIVILEGES,
}
"""By name: the properties of the response; None for 204."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One function or action.

    parameters: (name, type, required), for a bound one what it is called on first. returns: the properties of its response
    type; None for 204. open: the response may hold more.
    """

    name: str
    parameters: tuple[tuple[str, str, bool], ...]
    returns: Properties | None
    open: bool
    function: bool
    bound: bool


def declared(service: Service) -> Iterator[Signature]:
    """All of them, messages of one's own included."""
    metadata_changes = MessageInfo(operations.METADATA_CHANGES, (("Query", OPEN, False),), function=True)
    create_entities = MessageInfo(operations.CREATE_ENTITIES, (("Entities", "Collection(mscrm.EntityMetadata)", True),))
    for info in (*operations.described(service), metadata_changes, create_entities):
        yield _signature(info, ())
    for info in bound.messages(service).values():
        kind = f"mscrm.{info.table}" if info.table is not None else _ANY_RECORD
        called_on = ("entityset", f"Collection({kind})", True) if info.collection else ("entity", kind, True)
        yield _signature(info, (called_on,))


def _signature(info: MessageInfo, first: tuple[tuple[str, str, bool], ...]) -> Signature:
    parameters = tuple((name, _TYPES.get(kind, kind), required) for name, kind, required in info.parameters)
    known = info.name in RESPONSES
    returns = RESPONSES[info.name] if known else ()
    return Signature(info.name, (*first, *parameters), returns, not known, info.function, bool(first))
