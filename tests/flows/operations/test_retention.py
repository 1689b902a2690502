"""Retention: finished jobs go when the organization's settings say so, by a recurring job that everybody can see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from adjourn import config, runtime
from adjourn.client import Client
from adjourn.errors import InvalidRequest
from adjourn.jobs import queue
from adjourn.metadata.values import moment_text
from adjourn.operations import retention
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.inline import drain


@pytest.fixture
def service(store: Store) -> Service:
    service = Service(store)
    retention.ensure(service)
    return service


@pytest.fixture
def org(service: Service) -> Client:
    return service.client(Call(caller=service.administrator()))


def finished(service: Service, status: int, days: float) -> UUID:
    """A job that finished so many days ago."""
    job = runtime.new_id()
    moment = moment_text(datetime.now(UTC) - timedelta(days=days))
    row = {
        "asyncoperationid": str(job), "operationtype": 54, "name": f"{status} {days}", "messagename": "x", "depth": 1,
        "ownerid": config.ADMIN_USER_ID, "owneridtype": "systemuser", "owninguser": config.ADMIN_USER_ID,
        "owningbusinessunit": config.ROOT_BUSINESS_UNIT_ID, "createdby": config.ADMIN_USER_ID, "createdon": moment,
        "modifiedby": config.ADMIN_USER_ID, "modifiedon": moment, "statecode": 3, "statuscode": status,
        "completedon": moment, "correlationid": str(job),
    }  # fmt: skip
    service.store.write(lambda tx: queue.load_history(tx, [row]))
    return job


def names(org: Client) -> list[str]:
    rows = org.retrieve_multiple("asyncoperations?$filter=operationtype eq 54&$select=name&$orderby=name")
    return [row["name"] for row in rows]


def sweep(service: Service, org: Client) -> Any:
    """Let a day come; what became of its run."""
    schedule = org.retrieve("asyncoperation", retention.SCHEDULE_ID)
    drain(service, schedule["postponeuntil"])
    return org.retrieve_multiple("asyncoperations?$filter=operationtype eq 23&$orderby=createdon desc")[0]


def test_finished_jobs_are_kept_as_long_as_the_settings_say(service: Service, org: Client) -> None:
    for status in (30, 31, 32):
        for days in (29, 31, 59, 62):
            finished(service, status, days)
    run = sweep(service, org)
    assert (run["statuscode"], run["friendlymessage"], run["name"]) == (30, "5 deleted.", retention.NAME)
    assert names(org) == ["30 29", "31 29", "31 31", "31 59", "32 29", "32 31", "32 59"]
    told = org.retrieve_multiple(f"bulkdeleteoperations?$filter=_asyncoperationid_value eq {retention.SCHEDULE_ID}")[0]
    assert (told["name"], told["isrecurring"], told["successcount"]) == (retention.NAME, True, 5)


def test_the_settings_are_those_of_the_organization(service: Service, org: Client) -> None:
    finished(service, 30, 8)
    finished(service, 31, 8)
    text = (
        "<OrgSettings><IsRetentionEnabled>false</IsRetentionEnabled>"
        "<SucceededSystemJobPersistenceInDays>7</SucceededSystemJobPersistenceInDays></OrgSettings>"
    )
    org.update("organization", config.ORGANIZATION_ID, {"orgdborgsettings": text})
    assert sweep(service, org)["friendlymessage"] == "1 deleted."
    assert names(org) == ["31 8"]
    off = "<OrgSettings><EnableSystemJobCleanup>false</EnableSystemJobCleanup></OrgSettings>"
    org.update("organization", config.ORGANIZATION_ID, {"orgdborgsettings": off})
    finished(service, 30, 90)
    assert sweep(service, org)["friendlymessage"] == "Nothing is deleted: EnableSystemJobCleanup is false."
    assert names(org) == ["30 90", "31 8"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("days", "no XML"),
        ("<Settings/>", "<OrgSettings>"),
        ("<!DOCTYPE OrgSettings><OrgSettings/>", "DOCTYPE"),
        ("<OrgSettings><EnableSystemJobCleanup>maybe</EnableSystemJobCleanup></OrgSettings>", "EnableSystemJobCleanup"),
        ("<OrgSettings><FailedSystemJobPersistenceInDays>0</FailedSystemJobPersistenceInDays></OrgSettings>", "from 1"),
    ],
)
def test_nonsense_is_refused_when_it_is_written(service: Service, org: Client, text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        org.update("organization", config.ORGANIZATION_ID, {"orgdborgsettings": text})
    assert refused.value.code == 0x80048514


def test_it_comes_back_when_it_was_deleted_and_stays_away_when_it_was_canceled(service: Service, org: Client) -> None:
    assert retention.ensure(service) is False
    org.delete("asyncoperation", retention.SCHEDULE_ID)
    assert retention.ensure(service) is True
    org.update("asyncoperation", retention.SCHEDULE_ID, {"recurrencepattern": "FREQ=WEEKLY;"})
    org.update("asyncoperation", retention.SCHEDULE_ID, {"statecode": 3})
    assert retention.ensure(service) is False
    found = org.retrieve("asyncoperation", retention.SCHEDULE_ID)
    assert (found["statecode"], found["recurrencepattern"], found["operationtype"]) == (3, "FREQ=WEEKLY;", 13)
