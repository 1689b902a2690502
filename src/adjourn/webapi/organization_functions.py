"""Functions that clients call to get to know an organization, before they do anything else.

WhoAmI, RetrieveVersion, RetrieveCurrentOrganization, RetrieveTotalRecordCount, RetrieveProvisionedLanguages and
RetrieveAvailableLanguages. Source: webapi.md §16, and the pages of these functions in the Web API reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adjourn import config
from adjourn.errors import InvalidRequest, nearest
from adjourn.metadata import values
from adjourn.pipeline.call import Request
from adjourn.query.tree import Attribute, Query
from adjourn.service import Service
from adjourn.webapi.definition_shapes import LANGUAGE
from adjourn.webapi.exchange import Exchange

Arguments = Mapping[str, Any]
_CASE_ORDER = ("BusinessUnitId", "UserId", "OrganizationId")
ACCESS_TYPES = ("Default", "Internet", "Intranet")
_TABLES_MAX = 100
"""Each is a count of its own."""


def who_am_i(exchange: Exchange, service: Service, arguments: Arguments) -> dict[str, Any]:
    answer = service.execute(Request("WhoAmI"), exchange.call)
    return {name: answer[name] for name in _CASE_ORDER}


def version(exchange: Exchange, service: Service, arguments: Arguments) -> dict[str, Any]:
    return {"Version": config.ORGANIZATION_VERSION}


def provisioned_languages(exchange: Exchange, service: Service, arguments: Arguments) -> dict[str, Any]:
    return {"RetrieveProvisionedLanguages": [LANGUAGE]}


def available_languages(exchange: Exchange, service: Service, arguments: Arguments) -> dict[str, Any]:
    return {"LocaleIds": [LANGUAGE]}


def current_organization(exchange: Exchange, service: Service, arguments: Arguments) -> dict[str, Any]:
    """Names and addresses; the addresses are those by which the caller reached us."""
    kind = arguments.get("AccessType")
    if kind not in ACCESS_TYPES:
        raise InvalidRequest(
            f"Parameter 'AccessType' must be Microsoft.Dynamics.CRM.EndpointAccessType'…' with one of "
            f"{', '.join(ACCESS_TYPES)}, found {kind!r}.{nearest(str(kind), ACCESS_TYPES)}"
        )
    origin = exchange.root.partition("/api/data/")[0]
    name = service.organization_name
    detail = {
        "OrganizationId": config.ORGANIZATION_ID,
        "FriendlyName": name,
        "OrganizationVersion": config.ORGANIZATION_VERSION,
        "EnvironmentId": config.ORGANIZATION_ID,
        "DatacenterId": None,
        "Geo": None,
        "TenantId": None,
        "UrlName": name,
        "UniqueName": name,
        "Endpoints": _pairs({"WebApplication": f"{origin}/", "OrganizationDataService": exchange.root}),
        "State": "Enabled",
    }
    return {"Detail": detail}


def total_record_count(exchange: Exchange, service: Service, arguments: Arguments) -> dict[str, Any]:
    """How many records of each table there are, as far as the caller may read them."""
    names = arguments.get("EntityNames")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not names:
        raise InvalidRequest(
            "Parameter 'EntityNames' must be a list of tables: "
            'RetrieveTotalRecordCount(EntityNames=@p1)?@p1=["account","contact"].'
        )
    if len(names) > _TABLES_MAX:
        raise InvalidRequest(f"Parameter 'EntityNames' takes at most {_TABLES_MAX} tables, found {len(names):,}.")
    counts: dict[str, int] = {}
    for name in names:
        table = service.catalog.table(name)
        counted = Query(table.logical, (Attribute(table.primary_id, alias="n", aggregate="count"),), aggregate=True)
        counts[name] = service.retrieve_multiple(counted, exchange.call).rows[0][0]
    return {"EntityRecordCountCollection": _pairs(counts)}


def role_privileges(exchange: Exchange, service: Service, arguments: Arguments) -> dict[str, Any]:
    """What a role holds. Raises NotFound, PrivilegeDenied."""
    role = values.guid(arguments.get("RoleId"), "RoleId")
    return service.execute(Request("RetrieveRolePrivilegesRole", {"RoleId": role}), exchange.call)


def _pairs(found: Mapping[str, Any]) -> dict[str, Any]:
    """A dictionary as the SDK's collections are written."""
    return {"Count": len(found), "IsReadOnly": False, "Keys": list(found), "Values": list(found.values())}


Function = tuple[tuple[str, ...], Callable[[Exchange, Service, Arguments], dict[str, Any]]]
ORGANIZATION_FUNCTIONS: dict[str, Function] = {
    "WhoAmI": ((), who_am_i),
    "RetrieveVersion": ((), version),
    "RetrieveCurrentOrganization": (("AccessType",), current_organization),
    "RetrieveTotalRecordCount": (("EntityNames",), total_record_count),
    "RetrieveRolePrivilegesRole": (("RoleId",), role_privileges),
    "RetrieveProvisionedLanguages": ((), provisioned_languages),
    "RetrieveAvailableLanguages": ((), available_languages),
}
"""Their parameters, and what each answers."""
