"""Bulk deletes run by drain(), on both stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from adjourn.client import Client
from adjourn.pipeline.call import Call, Request
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.inline import drain


@pytest.fixture
def service(store: Store) -> Service:
    return Service(store)


@pytest.fixture
def org(service: Service) -> Client:
    return service.client(Call(caller=service.administrator()))


def condition(column: str, operator: str, *values: object) -> dict[str, Any]:
    return {"AttributeName": column, "Operator": operator, "Values": [{"Value": str(value)} for value in values]}


def query(table: str, *conditions: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    return {"EntityName": table, "Criteria": {"FilterOperator": "And", "Conditions": list(conditions)}, **members}


def order(*queries: Any, **parameters: Any) -> Request:
    """A BulkDelete of some queries that starts at once."""
    given = {
        "QuerySet": list(queries),
        "JobName": "clean up",
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": "",
        "StartDateTime": "2020-01-01T00:00:00Z",
    }
    return Request("BulkDelete", {**given, **parameters})


def bulk_delete(org: Client, *queries: Any, **parameters: Any) -> UUID:
    found: UUID = org.execute(order(*queries, **parameters))["JobId"]
    return found


def names(org: Client, path: str = "accounts?$select=name&$orderby=name") -> list[str]:
    return [str(found["name"]) for found in org.retrieve_multiple(path)]


def operation(org: Client, job: UUID) -> Any:
    rows = org.retrieve_multiple(f"bulkdeleteoperations?$filter=_asyncoperationid_value eq {job}")
    assert len(rows) == 1
    return rows[0]


def test_it_deletes_what_its_query_finds(service: Service, org: Client) -> None:
    for name in ("a1", "a2", "b1"):
        org.create("account", {"name": name})
    job = bulk_delete(org, query("account", condition("name", "BeginsWith", "a")))
    assert drain(service) == 1
    done = org.retrieve("asyncoperation", job)
    assert (done["operationtype"], done["name"], done["statuscode"]) == (13, "clean up", 30), done.values
    assert done["friendlymessage"] == "2 deleted."
    assert names(org) == ["b1"]
    told = operation(org, job)
    assert (told["successcount"], told["failurecount"], told["isrecurring"]) == (2, 0, False)


def test_its_row_shows_how_the_job_stands(service: Service, org: Client) -> None:
    """A bulkdeleteoperation keeps no state of its own: what it shows is the job's."""
    job = bulk_delete(org, query("account"), StartDateTime="2030-01-01T05:30:00Z")
    told = operation(org, job)
    assert (told["statecode"], told["statuscode"], told["nextrun"].isoformat()) == (1, 10, "2030-01-01T05:30:00+00:00")
    org.update("asyncoperation", job, {"statecode": 0})
    assert (operation(org, job)["statuscode"], operation(org, job)["nextrun"]) == (0, None)
    drain(service)
    found = org.retrieve_multiple(
        f"bulkdeleteoperations?$filter=statuscode eq 30 and _asyncoperationid_value eq {job}&$select=statuscode"
    )
    assert [(row["statuscode"]) for row in found] == [30]
    org.delete("asyncoperation", job)
    assert org.retrieve_multiple("bulkdeleteoperations") == []
