"""docs/columns.md: every readable column is described, and a job's columns hold what it says at each moment."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import pytest
from tests.support import worker_plugins as plugins

import adjourn
from adjourn import config
from adjourn.metadata.catalog import load
from adjourn.metadata.model import Reference
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.inline import drain

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "columns.md").read_text()
ADMINISTRATOR = Reference("systemuser", UUID(config.ADMIN_USER_ID))
ALWAYS = {
    "asyncoperationid", "sequence", "name", "operationtype", "messagename", "statecode", "statuscode", "createdon", "createdby",
    "modifiedon", "modifiedby", "ownerid", "owneridtype", "owninguser", "owningbusinessunit", "depth", "correlationid",
    "correlationupdatedtime", "utcconversiontimezonecode", "data", "iswaitingforevent", "retainjobhistory", "retrycount",
}  # fmt: skip
OF_A_STEP = {
    "owningextensionid", "owningextensiontypecode", "regardingobjectid", "regardingobjecttypecode", "primaryentitytype",
}  # fmt: skip
AFTER_A_RUN = {"startedon", "executiontimespan", "completedon"}


def filled(record: adjourn.Record) -> set[str]:
    return {name for name, value in record.values.items() if value is not None}


def test_every_readable_column_is_described() -> None:
    described = {
        name for row in re.findall(r"^\| (`.+?) \|", DOCUMENT, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert described == {column.logical for column in load().table("asyncoperation").readable()}


@pytest.mark.requirement("M38")
@pytest.mark.requirement("M39")
@pytest.mark.requirement("M48")
@pytest.mark.requirement("M50")
@pytest.mark.requirement("M51")
@pytest.mark.requirement("M53")
@pytest.mark.requirement("M54")
@pytest.mark.requirement("M55")
@pytest.mark.requirement("M57")
@pytest.mark.requirement("M58")
@pytest.mark.requirement("M65")
@pytest.mark.requirement("M68")
def test_columns_hold_what_is_written_at_each_moment(store: Store) -> None:
    service = Service(store)
    service.register("tests.support.worker_plugins")
    org = service.client(Call(caller=service.administrator()))
    org.update("usersettings", config.ADMIN_USER_ID, {"timezonecode": 85})
    org = service.client(Call(caller=service.administrator()))  # a caller is who he was when his call began
    account = org.create("account", {"name": "Contoso"})
    own = org.enqueue(plugins.raises.request("no"))
    (step_job,) = org.retrieve_multiple("asyncoperations?$filter=name eq 'First job'")
    fresh = org.retrieve("asyncoperation", own)
    assert filled(step_job) == ALWAYS | OF_A_STEP
    assert filled(fresh) == ALWAYS
    assert step_job["createdon"] == org.retrieve("account", account, ["createdon"])["createdon"]
    assert (step_job["createdby"], step_job["ownerid"], step_job["owninguser"]) == (ADMINISTRATOR,) * 3
    assert step_job["owningbusinessunit"] == Reference("businessunit", UUID(config.ROOT_BUSINESS_UNIT_ID))
    assert step_job["owningextensionid"].table == "sdkmessageprocessingstep"
    assert (step_job["messagename"], fresh["messagename"], fresh["name"]) == ("Create", "raises", "raises")
    assert step_job["utcconversiontimezonecode"] == 85
    org.update("usersettings", config.ADMIN_USER_ID, {"timezonecode": 92})

    assert drain(service) == 3
    succeeded = org.retrieve("asyncoperation", step_job.id)
    failed = org.retrieve("asyncoperation", own)
    assert filled(succeeded) == ALWAYS | OF_A_STEP | AFTER_A_RUN
    assert filled(failed) == ALWAYS | AFTER_A_RUN | {"errorcode", "friendlymessage", "message"}
    assert succeeded["modifiedby"] == Reference("systemuser", UUID(config.SYSTEM_USER_ID))
    assert succeeded["createdon"] == step_job["createdon"] <= succeeded["startedon"] <= succeeded["completedon"]
    assert succeeded["modifiedon"] > step_job["modifiedon"]
    assert succeeded["utcconversiontimezonecode"] == 85, "the code is that of the moment of creation"


@pytest.mark.requirement("M37")
def test_completedon_is_there_exactly_when_the_job_is_completed(store: Store) -> None:
    service = Service(store)
    service.register("tests.support.worker_plugins")
    org = service.client(Call(caller=service.administrator()))
    org.enqueue(plugins.quick.request("1"))
    drain(service)
    canceled = org.enqueue(plugins.quick.request("2"))
    org.update("asyncoperation", canceled, {"statecode": 3})
    org.enqueue(plugins.quick.request("3"))
    jobs = org.retrieve_multiple("asyncoperations?$select=statecode,completedon,errorcode&$orderby=sequence")
    assert [(job["statecode"], job["completedon"] is not None) for job in jobs] == [(3, True), (3, True), (0, False)]
    assert [job["errorcode"] is None for job in jobs] == [True, False, True]
