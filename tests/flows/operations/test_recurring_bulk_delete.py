"""Bulk deletes that come back: the schedule, its runs, and the specification's own practice, on both stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.flows.operations.test_bulk_delete import bulk_delete, condition, names, operation, query
from tests.support import worker_plugins

from adjourn.client import Client
from adjourn.errors import QueryError
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.inline import drain


@pytest.fixture
def service(store: Store) -> Service:
    return Service(store)


@pytest.fixture
def org(service: Service) -> Client:
    return service.client(Call(caller=service.administrator()))


def runs(org: Client) -> list[Any]:
    return org.retrieve_multiple("asyncoperations?$filter=operationtype eq 23&$orderby=createdon")


@pytest.mark.requirement("M205")
def test_a_daily_clean_up_of_successful_jobs(service: Service, org: Client) -> None:
    """Three days: what succeeded goes, what failed stays, and neither the schedule nor a run deletes itself."""
    service.register("tests.support.worker_plugins")
    now = datetime.now(UTC)
    schedule = bulk_delete(
        org,
        query("asyncoperation", condition("statuscode", "Equal", 30)),
        JobName="daily",
        RecurrencePattern="FREQ=DAILY;",
        StartDateTime=(now + timedelta(hours=1)).isoformat(),
    )
    failed: list[UUID] = []
    for day in range(3):
        for _ in range(2):
            org.enqueue(worker_plugins.quick.request())
        failed.append(org.enqueue(worker_plugins.raises.request("stays")))
        drain(service)
        drain(service, now + timedelta(days=day, hours=2))
        (last,) = runs(org)
        # The run of the day before has succeeded, too.
        assert (last["statuscode"], last["friendlymessage"]) == (30, "3 deleted." if day else "2 deleted.")
        assert org.retrieve_multiple("asyncoperations?$filter=name eq 'quick'") == []
    assert [
        row["asyncoperationid"] for row in org.retrieve_multiple("asyncoperations?$filter=statuscode eq 31")
    ] == failed
    found = org.retrieve("asyncoperation", schedule)
    assert (found["statecode"], found["statuscode"], found["operationtype"]) == (1, 10, 13)


@pytest.mark.requirement("M98")
@pytest.mark.requirement("M99")
@pytest.mark.requirement("M60")
@pytest.mark.requirement("M61")
def test_the_schedule_carries_pattern_and_start_and_tells_of_its_runs(service: Service, org: Client) -> None:
    org.create("account", {"name": "gone"})
    job = bulk_delete(
        org, query("account"), RecurrencePattern="FREQ=DAILY;INTERVAL=3;", StartDateTime="2030-01-01T05:30:00Z"
    )
    found = org.retrieve("asyncoperation", job)
    start = datetime(2030, 1, 1, 5, 30, tzinfo=UTC)
    assert (found["recurrencepattern"], found["recurrencestarttime"]) == ("FREQ=DAILY;INTERVAL=3;", start)
    told = operation(org, job)
    assert (told["isrecurring"], told["nextrun"], told["statuscode"]) == (True, start, 10)
    drain(service, start)
    run = runs(org)[0]
    assert (run["name"], run["statuscode"], run["recurrencepattern"], names(org)) == ("clean up", 30, None, [])
    own = operation(org, run["asyncoperationid"])
    assert (own["successcount"], own["isrecurring"], own["statuscode"]) == (1, False, 30)
    told = operation(org, job)
    assert (told["nextrun"], told["successcount"]) == (start + timedelta(days=3), 1)
    org.create("account", {"name": "gone"})
    drain(service, start + timedelta(days=3))
    assert (operation(org, job)["successcount"], len(runs(org))) == (2, 2)


@pytest.mark.requirement("M109")
def test_every_pattern_is_taken_and_nonsense_refused(service: Service, org: Client) -> None:
    """Dataverse itself takes DAILY only here."""
    start = datetime(2030, 1, 1, 5, 30, tzinfo=UTC)
    bulk_delete(org, query("account"), RecurrencePattern="FREQ=WEEKLY;", StartDateTime=start.isoformat())
    for week in range(3):
        drain(service, start + timedelta(weeks=week, seconds=-1))
        assert len(runs(org)) == week
        drain(service, start + timedelta(weeks=week))
        assert len(runs(org)) == week + 1
    with pytest.raises(QueryError) as refused:
        bulk_delete(org, query("account"), RecurrencePattern="FREQ=DAILY;INTERVAL=0")
    assert refused.value.code == 0x8004E100


def test_a_canceled_schedule_runs_no_more(service: Service, org: Client) -> None:
    job = bulk_delete(org, query("account"), RecurrencePattern="FREQ=HOURLY;", StartDateTime="2030-01-01T00:00:00Z")
    drain(service, datetime(2030, 1, 1, tzinfo=UTC))
    org.update("asyncoperation", job, {"statecode": 3})
    drain(service, datetime(2031, 1, 1, tzinfo=UTC))
    assert (len(runs(org)), operation(org, job)["statuscode"], operation(org, job)["nextrun"]) == (1, 32, None)
