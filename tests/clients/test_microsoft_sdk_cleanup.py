"""The recurring clean-up of finished system jobs, set up and run from Microsoft's Python SDK by its public calls alone.

The SDK has no call for an action of one's choice, and the bulk delete that its `records.delete` sends has no pattern. What it can
do is read and update rows: so it takes the recurring bulk delete that is there, or one that anybody has made, and says what it
deletes, how often and when.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.models import col
from tests.clients.test_microsoft_sdk import polled
from tests.support.serving import TOKEN

from adjourn import config, runtime
from adjourn.jobs import queue
from adjourn.metadata.values import moment_text
from adjourn.service import Service

SETTINGS = (
    "<OrgSettings><SucceededSystemJobPersistenceInDays>{days}</SucceededSystemJobPersistenceInDays>"
    "<FailedSystemJobPersistenceInDays>90</FailedSystemJobPersistenceInDays></OrgSettings>"
)


def succeeded(url: str, days: int) -> str:
    """A job that succeeded so many days ago."""
    moment = moment_text(runtime.now() - timedelta(days=days))
    job = str(runtime.new_id())
    row = {
        "asyncoperationid": job, "correlationid": job, "operationtype": 54, "name": f"{days} days old", "messagename": "old",
        "ownerid": config.ADMIN_USER_ID, "owneridtype": "systemuser", "owninguser": config.ADMIN_USER_ID,
        "owningbusinessunit": config.ROOT_BUSINESS_UNIT_ID, "createdby": config.ADMIN_USER_ID, "createdon": moment,
        "modifiedby": config.ADMIN_USER_ID, "modifiedon": moment, "statecode": 3, "statuscode": 30, "completedon": moment,
    }  # fmt: skip
    service = Service.open(url)
    service.store.write(lambda tx: queue.load_history(tx, [row]))
    service.close()
    return job


def recurring(client: DataverseClient, name: str) -> dict[str, Any]:
    """The schedule of this name."""
    found = (
        client.query.builder("asyncoperation")
        .select("asyncoperationid", "recurrencepattern", "postponeuntil", "statecode", "statuscode")
        .where(col("name") == name)
        .where(col("operationtype") == 13)
        .execute()
    )
    (row,) = list(found)
    return dict(row)


def run_of(client: DataverseClient, name: str, seconds: float = 20) -> str:
    """The newest run of a schedule that has one of its own name."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        runs = (
            client.query.builder("asyncoperation")
            .select("asyncoperationid")
            .where(col("name") == name)
            .where(col("operationtype") == 23)
            .order_by("createdon", descending=True)
            .execute()
        )
        for row in runs:
            found: str = row["asyncoperationid"]
            return found
        time.sleep(0.05)
    raise AssertionError(f"'{name}' made no run")


@pytest.mark.requirement("M36")
def test_the_recurring_clean_up_is_chosen_rescheduled_and_run(client: DataverseClient, sqlite_url: str) -> None:
    name = "Delete completed system jobs"
    old, young = succeeded(sqlite_url, 10), succeeded(sqlite_url, 3)
    (organization,) = client.query.builder("organization").select("organizationid").execute()
    settings = {"orgdborgsettings": SETTINGS.format(days=7)}
    client.records.update("organization", organization["organizationid"], settings)
    job = recurring(client, name)
    assert (job["recurrencepattern"], job["statecode"], job["statuscode"]) == ("FREQ=DAILY;", 1, 10)
    client.records.update("asyncoperation", job["asyncoperationid"], {"recurrencepattern": "FREQ=DAILY;INTERVAL=3;"})
    client.records.update("asyncoperation", job["asyncoperationid"], {"statecode": 0, "statuscode": 0})
    done = polled(client, run_of(client, name))
    assert done["statuscode"] == 30
    left = {
        row["name"]
        for row in client.query.builder("asyncoperation").select("name").where(col("statuscode") == 30).execute()
    }
    assert ("3 days old" in left, "10 days old" in left) == (True, False)
    assert client.records.retrieve("asyncoperation", old, select=["name"]) is None
    assert client.records.retrieve("asyncoperation", young, select=["name"]) is not None
    after = recurring(client, name)
    assert (after["recurrencepattern"], after["statecode"]) == ("FREQ=DAILY;INTERVAL=3;", 1)
    due = datetime.fromisoformat(after["postponeuntil"].replace("Z", "+00:00"))
    assert timedelta(0) < due - datetime.now(UTC) <= timedelta(days=3)


@pytest.mark.requirement("M36")
def test_a_recurring_bulk_delete_of_ones_own_is_managed(
    client: DataverseClient, https: str, certificate: Any, sqlite_url: str
) -> None:
    """Made once by the action, which the SDK has no call for; from then on the SDK's own."""
    order = {
        "QuerySet": [{"EntityName": "account", "Criteria": {"Conditions": [
            {"AttributeName": "name", "Operator": "BeginsWith", "Values": ["Old"]}]}}],
        "JobName": "Old accounts", "SendEmailNotification": False, "ToRecipients": [], "CCRecipients": [],
        "RecurrencePattern": "FREQ=WEEKLY;", "StartDateTime": "2040-01-02T03:00:00Z",
    }  # fmt: skip
    answer = requests.post(
        f"{https}/api/data/v9.2/BulkDelete",
        json=order,
        headers={"Authorization": f"Bearer {TOKEN}"},
        verify=str(certificate),
        timeout=30,
    )
    job = answer.json()["JobId"]
    client.records.create("account", [{"name": "Old Company"}, {"name": "Young Company"}])
    client.records.update("asyncoperation", job, {"recurrencepattern": "FREQ=MONTHLY;"})
    assert recurring(client, "Old accounts")["recurrencepattern"] == "FREQ=MONTHLY;"
    client.records.update("asyncoperation", job, {"statecode": 0, "statuscode": 0})
    assert polled(client, run_of(client, "Old accounts"))["statuscode"] == 30
    assert [row["name"] for row in client.query.builder("account").select("name").execute()] == ["Young Company"]
    (told,) = (
        client.query.builder("bulkdeleteoperation")
        .select("successcount", "nextrun")
        .where(col("_asyncoperationid_value") == job)
        .execute()
    )
    assert (told["successcount"], told["nextrun"]) == (1, "2040-01-02T03:00:00Z")
    client.records.update("asyncoperation", job, {"statecode": 3, "statuscode": 32})
    ended = recurring(client, "Old accounts")
    assert (ended["statecode"], ended["statuscode"]) == (3, 32)
