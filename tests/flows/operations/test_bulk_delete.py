"""Bulk deletes run by drain(), on both stores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from tests.support import worker_plugins

from adjourn import config
from adjourn.client import Client
from adjourn.errors import NotFound
from adjourn.jobs import queue
from adjourn.jobs.model import Succeeded
from adjourn.operations import chunks, prepare
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.record import Record
from adjourn.service import Service
from adjourn.store import faults
from adjourn.store.contract import Store
from adjourn.worker import own_jobs
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


def test_each_row_passes_its_steps_and_one_that_is_refused_stops_nothing(service: Service, org: Client) -> None:
    service.register("tests.support.bulk_plugins")
    for name in ("a1", "refused 1", "a2", "refused 2"):
        org.create("account", {"name": name})
    job = bulk_delete(org, query("account"))
    drain(service)
    done = org.retrieve("asyncoperation", job)
    assert (done["statuscode"], done["friendlymessage"]) == (30, "2 deleted, 2 could not be.")
    assert names(org) == ["refused 1", "refused 2"]
    told = operation(org, job)
    assert (told["successcount"], told["failurecount"]) == (2, 2)
    failures = org.retrieve_multiple("bulkdeletefailures?$orderby=errordescription")
    assert [(row["errordescription"], row["orderedqueryindex"]) for row in failures] == [
        ("refused 1 must stay", 0),
        ("refused 2 must stay", 0),
    ]
    assert {row["bulkdeleteoperationid"].id for row in failures} == {told["bulkdeleteoperationid"]}
    assert {row["regardingobjectidname"] for row in failures} == {"refused 1", "refused 2"}
    # The asynchronous step left one job for each account that is gone, and none for those that stayed.
    assert len(org.retrieve_multiple("asyncoperations?$filter=operationtype eq 1")) == 2


def test_only_what_was_there_when_it_began_is_deleted(service: Service, org: Client) -> None:
    """Each account deleted makes another one; without a moment it would never end."""
    service.register("tests.support.bulk_plugins")
    for place in range(3):
        org.create("account", {"name": f"makes makes {place}"})
    job = bulk_delete(org, query("account"))
    drain(service)
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == "3 deleted."
    assert names(org) == ["makes 0", "makes 1", "makes 2"]


def test_what_goes_with_another_row_is_neither_deleted_twice_nor_a_failure(service: Service, org: Client) -> None:
    service.register("tests.support.bulk_plugins")
    for name in ("takes taken", "taken", "other"):
        org.create("account", {"name": name})
    job = bulk_delete(org, query("account"))
    drain(service)
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == "2 deleted."
    assert (names(org), operation(org, job)["failurecount"]) == ([], 0)


def test_cascades_follow_the_relationships(service: Service, org: Client) -> None:
    account = org.create("account", {"name": "parent"})
    child = org.create("account", {"name": "child", "parentaccountid": ("account", account)})
    org.create("task", {"subject": "call", "regardingobjectid": ("account", account)})
    org.create("contract", {"title": "binding", "customerid": ("account", child)})
    job = bulk_delete(org, query("account", condition("name", "In", "parent", "child")))
    drain(service)
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == "1 deleted, 1 could not be."
    assert names(org) == ["child"]
    assert org.retrieve("account", child)["parentaccountid"] is None
    assert org.retrieve_multiple("tasks") == []
    failure = org.retrieve_multiple("bulkdeletefailures")[0]
    assert (failure["errornumber"], "refers to it" in failure["errordescription"]) == (-2147220953, True)


def test_queries_have_links_orders_and_a_top(service: Service, org: Client) -> None:
    contoso = org.create("account", {"name": "contoso"})
    for place in range(3):
        org.create("contact", {"lastname": f"c{place}", "parentcustomerid": ("account", contoso)})
        org.create("account", {"name": f"a{place}"})
    linked = query(
        "account",
        LinkEntities=[
            {
                "LinkFromEntityName": "account",
                "LinkFromAttributeName": "accountid",
                "LinkToEntityName": "contact",
                "LinkToAttributeName": "parentcustomerid",
                "JoinOperator": "Inner",
                "LinkCriteria": {"Conditions": [condition("lastname", "Like", "c%")]},
            }
        ],
    )
    last = query(
        "account",
        condition("name", "BeginsWith", "a"),
        Orders=[{"AttributeName": "name", "OrderType": "Descending"}],
        TopCount=2,
    )
    assert org.execute(Request("BulkDeleteCount", {"QuerySet": [linked, last]})) == {"Count": 3, "Counts": [1, 2]}
    job = bulk_delete(org, linked, last)
    drain(service)
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == "3 deleted."
    assert names(org) == ["a0"]


@pytest.mark.parametrize("together", [chunks.STANDING_ROWS, 2, 1])
def test_a_row_that_no_longer_fits_stays(
    service: Service, org: Client, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    """Rows are read ahead; what changed meanwhile is not deleted for what it was, in whatever portion it is looked at."""
    monkeypatch.setattr(chunks, "STANDING_ROWS", together)
    rows = [org.create("account", {"name": f"old {place}"}) for place in range(3)]
    bulk_delete(org, query("account", condition("name", "BeginsWith", "old")))

    def change(point: str) -> None:
        if point == "rows read":
            org.update("account", rows[2], {"name": "new"})

    with faults.listening(change):
        drain(service)
    assert names(org) == ["new"]


def test_jobs_are_deleted_by_name_and_their_files_with_them(service: Service, org: Client) -> None:
    service.register("tests.support.worker_plugins")
    large = "x" * 4_200_000
    for text in (large, large, "small"):
        org.enqueue(worker_plugins.quick.request(text))
    org.enqueue(worker_plugins.sleepy.request(0))
    drain(service)
    with_file = "asyncoperations?$apply=filter(datablobid ne null)/aggregate($count as n)"
    assert org.retrieve_multiple(with_file)[0]["n"] == 2
    job = bulk_delete(org, query("asyncoperation", condition("name", "Equal", "quick")))
    drain(service)
    done = org.retrieve("asyncoperation", job)
    assert done["friendlymessage"] == "3 deleted.", done.values
    assert org.retrieve_multiple(with_file)[0]["n"] == 0
    assert org.retrieve_multiple("fileattachments") == []
    assert sorted(row["name"] for row in org.retrieve_multiple("asyncoperations?$select=name")) == [
        "clean up",
        "sleepy",
    ]


def test_a_job_does_not_delete_itself(service: Service, org: Client) -> None:
    job = bulk_delete(org, query("asyncoperation"))
    other = bulk_delete(org, query("account"), StartDateTime="2030-01-01T00:00:00Z")
    drain(service)
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == "1 deleted."
    with pytest.raises(NotFound):
        org.retrieve("asyncoperation", other)


def test_immediately_takes_completed_jobs_only(service: Service, org: Client) -> None:
    service.register("tests.support.worker_plugins")
    org.enqueue(worker_plugins.quick.request())
    drain(service)
    waiting = bulk_delete(org, query("account"), StartDateTime="2030-01-01T00:00:00Z")
    bulk_delete(org, query("asyncoperation"), RunNow=True, StartDateTime="2030-01-01T00:00:00Z")
    drain(service)
    left = org.retrieve_multiple("asyncoperations?$select=name,statecode&$orderby=statecode")
    assert [(row["name"], row["statecode"]) for row in left] == [("clean up", 1), ("clean up", 3)]
    assert org.retrieve("asyncoperation", waiting)["statecode"] == 1


def test_fast_delete_runs_no_steps(service: Service, org: Client) -> None:
    service.register("tests.support.bulk_plugins")
    org.create("account", {"name": "refused"})
    bulk_delete(org, query("account"), Options={"RunJobForSandbox": True})
    drain(service)
    assert names(org) == []
    assert org.retrieve_multiple("asyncoperations?$filter=operationtype eq 1") == []


def test_an_order_passes_the_pipeline(service: Service, org: Client) -> None:
    """Steps on the message see its parameters, and may change them."""
    service.register("tests.support.order_plugins")
    job = bulk_delete(org, query("account"), JobName="to be renamed")
    drain(service)
    assert org.retrieve("asyncoperation", job)["name"] == "renamed by a step"
    after = org.retrieve_multiple("asyncoperations?$filter=name eq 'After an order'")
    assert [row["statuscode"] for row in after] == [30]


def test_an_email_that_is_refused_does_not_fail_the_job(service: Service, org: Client) -> None:
    service.register("tests.support.order_plugins")
    org.create("account", {"name": "a"})
    me = config.ADMIN_USER_ID
    job = bulk_delete(org, query("account"), JobName="unspeakable", SendEmailNotification=True, ToRecipients=[me])
    drain(service)
    assert org.retrieve("asyncoperation", job)["statuscode"] == 30
    assert (names(org), org.retrieve_multiple("emails")) == ([], [])


def test_it_takes_no_more_than_four_times_as_long_as_deleting_one_by_one(sqlite_store: Store) -> None:
    """With two steps each. It takes half as long, because many rows share a commit (benchmarks/bulk.py)."""
    service = Service(sqlite_store)
    service.register("tests.support.bulk_steps")
    org = service.client(Call(caller=service.administrator()))
    made = [Record("account", None, {"name": f"a{place}"}) for place in range(100)]
    singly = org.execute(Request("CreateMultiple", {"Targets": made}))["Ids"]
    began = time.perf_counter()
    for each in singly:
        org.delete("account", each)
    one_by_one = time.perf_counter() - began
    org.execute(Request("CreateMultiple", {"Targets": made}))
    bulk_delete(org, query("account"))
    job = service.store.write(lambda tx: queue.claim(tx, operation_types=(13,), limit=1, worker="w"))[0]
    began = time.perf_counter()
    assert own_jobs.run(service, job, prepare(job, service), lambda: False) == Succeeded("100 deleted.")
    assert time.perf_counter() - began < 4 * one_by_one
