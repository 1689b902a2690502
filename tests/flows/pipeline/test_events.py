"""The event pipeline: stages, images, transactions, and what a failing step leaves behind. On both stores."""

from __future__ import annotations

import json
import threading
from uuid import uuid4

import pytest
from tests.support import pipeline_plugins as plugins

import adjourn
from adjourn.client import Client
from adjourn.metadata.model import Reference
from adjourn.service import Service


def jobs_of(org: Client, record_id: object) -> list[adjourn.Record]:
    return org.retrieve_multiple(f"asyncoperations?$filter=_regardingobjectid_value eq {record_id}&$orderby=sequence")


def test_steps_run_in_the_order_of_stage_and_rank(org: Client, steps: Service) -> None:
    account = org.create("account", {"name": "Contoso"})
    assert [name for name, _ in plugins.seen] == ["pre-validation", "first", "second", "after"]
    assert plugins.seen[0][1] == (False, 10, 1)
    assert plugins.seen[1][1] is True
    assert plugins.seen[2][1] == 42, "what stage 10 shared is read through the parent context"
    assert plugins.seen[3][1] == ({"name": "Contoso", "description": "set by a step"}, account, "on")
    assert org.retrieve("account", account, ["description"])["description"] == "set by a step"


@pytest.mark.requirement("M12")
@pytest.mark.requirement("M13")
@pytest.mark.requirement("M14")
def test_an_asynchronous_step_becomes_a_job_in_the_same_transaction(org: Client, steps: Service) -> None:
    account = org.create("account", {"name": "Contoso"})
    (job,) = jobs_of(org, account)
    assert (job["statecode"], job["statuscode"], job["operationtype"], job["depth"]) == (0, 0, 1, 1)
    assert job["name"] == "Later"
    assert job["messagename"] == "Create"
    assert job["primaryentitytype"] == "account"
    assert job["regardingobjectid"] == Reference("account", account)
    data = json.loads(job["data"])
    assert (data["MessageName"], data["Stage"], data["Mode"], data["Depth"]) == ("Create", 40, 1, 1)
    assert data["OperationId"] == str(job.id)
    target = {pair["key"]: pair["value"] for pair in data["InputParameters"][0]["value"]["Attributes"]}
    assert target["description"] == "set by a step", "the context is serialized after the synchronous steps ran"
    assert data["PostEntityImages"][0]["key"] == "AsynchronousStepPrimaryName"


@pytest.mark.requirement("M12")
def test_a_synchronous_step_that_raises_leaves_nothing_behind(org: Client, steps: Service) -> None:
    plugins.fail["after"] = ValueError("not on a Tuesday")
    with pytest.raises(adjourn.StepFailed, match="not on a Tuesday") as caught:
        org.create("account", {"name": "Contoso"})
    assert caught.value.status == 400
    assert org.retrieve_multiple("accounts?$select=name") == []
    assert org.retrieve_multiple("asyncoperations?$select=name") == []


def test_a_step_s_own_error_reaches_the_caller_as_it_is(org: Client, steps: Service) -> None:
    plugins.fail["first"] = adjourn.NotFound("no such ticket")
    with pytest.raises(adjourn.NotFound, match="no such ticket"):
        org.create("account", {"name": "Contoso"})


def test_a_nested_call_joins_the_transaction(org: Client, steps: Service) -> None:
    account = org.create("account", {"name": "with task"})
    (task,) = org.retrieve_multiple("tasks?$select=subject,_regardingobjectid_value")
    assert task["regardingobjectid"] == Reference("account", account)
    assert org.retrieve("activitypointer", task.id, ["subject", "activitytypecode"])["activitytypecode"] == "task"


def test_filtering_attributes_and_images(org: Client, steps: Service) -> None:
    account = org.create("account", {"name": "Contoso", "telephone1": "1"})
    plugins.seen.clear()
    org.update("account", account, {"name": "Fabrikam"})
    assert plugins.seen == []
    org.update("account", account, {"telephone1": "2"})
    assert plugins.seen == [("phone", ("1", "2"))]


@pytest.mark.requirement("M18")
def test_an_endless_loop_is_cut_at_depth_nine(org: Client, steps: Service) -> None:
    contact = org.create("contact", {"lastname": "Loop"})
    plugins.seen.clear()
    with pytest.raises(adjourn.AdjournError) as caught:
        org.update("contact", contact, {"description": "start"})
    assert caught.value.signed == -2147204734
    assert [depth for _, depth in plugins.seen] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert org.retrieve("contact", contact, ["description"])["description"] is None


def test_a_deleted_record_has_a_pre_image(org: Client, steps: Service) -> None:
    account = org.create("account", {"name": "Contoso"})
    org.delete("account", account)
    assert plugins.seen[-1] == ("deleted", "Contoso")
    with pytest.raises(adjourn.NotFound):
        org.retrieve("account", account)


@pytest.mark.requirement("M62")
def test_the_job_outlives_its_record(org: Client, steps: Service) -> None:
    account = org.create("account", {"name": "Contoso"})
    org.delete("account", account)
    assert len(jobs_of(org, account)) == 1


@pytest.mark.requirement("M10")
def test_a_disabled_step_makes_no_more_jobs(org: Client, steps: Service) -> None:
    (step,) = org.retrieve_multiple("sdkmessageprocessingsteps?$filter=mode eq 1&$select=name,statecode")
    assert step["name"] == "Later"
    org.update("sdkmessageprocessingstep", step.id, {"statecode": 1})
    account = org.create("account", {"name": "Contoso"})
    assert jobs_of(org, account) == []
    org.update("sdkmessageprocessingstep", step.id, {"statecode": 0})
    account = org.create("account", {"name": "Fabrikam"})
    assert len(jobs_of(org, account)) == 1


def test_a_message_of_ones_own_runs_at_once(org: Client, steps: Service) -> None:
    assert org.execute(plugins.add.request(2, 3)) == 5
    with pytest.raises(adjourn.InvalidRequest, match="'b'"):
        plugins.add.request(2)


def test_a_message_that_raises_rolls_back_what_it_did(org: Client, steps: Service) -> None:
    with pytest.raises(adjourn.StepFailed, match="not to be"):
        org.execute(plugins.make_account.request("Contoso", fails=True))
    assert org.retrieve_multiple("accounts?$select=name") == []
    org.execute(plugins.make_account.request("Contoso"))
    assert len(org.retrieve_multiple("accounts?$select=name")) == 1


def test_registering_again_changes_nothing(service: Service, steps: Service) -> None:
    version = service.registry.refresh().version
    service.register("tests.support.pipeline_plugins")
    assert service.registry.refresh().version == version


def test_steps_of_operations_inside_others_never_run_on_the_writer_s_thread(org: Client, steps: Service) -> None:
    """An Upsert creates, a Delete deletes what hangs on it, a CreateMultiple creates: their steps are user code too."""
    threads: set[str] = set()
    plugins.watch = lambda: threads.add(threading.current_thread().name)
    org.upsert("account", uuid4(), {"name": "made"})
    org.execute(adjourn.Request("CreateMultiple", {"Targets": [adjourn.Record("account", None, {"name": "one"})]}))
    account = org.create("account", {"name": "with task"})
    org.delete("account", account)
    assert [name for name, _ in plugins.seen].count("first") == 3
    assert threads == {threading.current_thread().name}
