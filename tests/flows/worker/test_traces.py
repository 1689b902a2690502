"""Plug-in trace logs: who writes one, what it holds, and that a rollback does not take it away. On both stores."""

from __future__ import annotations

import time
from uuid import UUID

import pytest
from tests.support import trace_plugins as plugins

import adjourn
from adjourn import config
from adjourn.client import Client
from adjourn.pipeline import tracing
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.worker.inline import drain
from adjourn.worker.supervisor import Supervisor

COLUMNS = (
    "typename,messagename,primaryentity,messageblock,exceptiondetails,mode,depth,operationtype,correlationid,"
    "pluginstepid,performanceexecutionstarttime,performanceexecutionduration,_createdby_value"
)


def setting(org: Client, value: int) -> None:
    org.update("organization", UUID(config.ORGANIZATION_ID), {"plugintracelogsetting": value})


def logs(org: Client) -> list[adjourn.Record]:
    return org.retrieve_multiple(f"plugintracelogs?$select={COLUMNS}&$orderby=performanceexecutionstarttime,createdon")


def logs_until(org: Client, count: int) -> list[adjourn.Record]:
    deadline = time.monotonic() + 20
    while len(found := logs(org)) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(found) == count, [log.values for log in found]
    return found


def test_a_step_that_raises_leaves_its_trace_though_all_else_is_rolled_back(org: Client) -> None:
    with pytest.raises(adjourn.StepFailed, match="not this one"):
        org.create("account", {"name": "bad"})
    assert org.retrieve_multiple("accounts?$select=name") == []
    (found,) = logs(org)
    assert (found["typename"], found["messagename"], found["primaryentity"]) == ("checks", "Create", "account")
    assert (found["mode"], found["depth"], found["operationtype"]) == (0, 1, 1)
    assert found["messageblock"] == "checking bad"
    assert "ValueError: not this one" in found["exceptiondetails"]
    (step,) = org.retrieve_multiple("sdkmessageprocessingsteps?$select=name&$filter=contains(name,'.checks:')")
    assert found["pluginstepid"] == step.id


def test_runs_that_went_well_are_logged_only_when_all_are_wanted(org: Client) -> None:
    org.create("account", {"name": "good"})
    assert logs(org) == []
    setting(org, tracing.ALL)
    org.create("account", {"name": "good"})
    assert [(log["typename"], log["messageblock"], log["exceptiondetails"]) for log in logs(org)] == [
        ("checks", "checking good", None)
    ]
    setting(org, tracing.OFF)
    with pytest.raises(adjourn.StepFailed):
        org.create("account", {"name": "bad"})
    assert len(logs(org)) == 1


def test_a_change_set_s_traces_are_kept_when_it_is_rolled_back(service: Service, org: Client) -> None:
    caller = service.administrator()
    with pytest.raises(RuntimeError), service.pipeline.transaction("test") as unit:
        inner = service.client(Call(caller=caller, transaction=unit.tx))
        with pytest.raises(adjourn.StepFailed):
            inner.create("account", {"name": "bad"})
        raise RuntimeError
    assert [log["messageblock"] for log in logs(org)] == ["checking bad"]


@pytest.mark.requirement("M17")
def test_a_job_and_the_steps_inside_its_writes_are_logged(
    service: Service, org: Client, supervisor: Supervisor
) -> None:
    setting(org, tracing.ALL)
    service.registry.refresh()
    account = org.create("account", {"name": "good"})
    by_type = {log["typename"]: log for log in logs_until(org, 3)}
    later, nested = by_type["follows"], by_type["inside"]
    assert (later["mode"], later["depth"], later["messageblock"]) == (1, 1, "one\ntwo")
    assert (nested["mode"], nested["depth"], nested["messageblock"]) == (0, 2, "at depth 2")
    assert later["correlationid"] == nested["correlationid"] == by_type["checks"]["correlationid"]
    (job,) = org.retrieve_multiple(f"asyncoperations?$filter=_regardingobjectid_value eq {account}")
    assert later["pluginstepid"] == job["owningextensionid"].id


def test_a_failing_coroutine_s_lines_are_its_own(org: Client, supervisor: Supervisor) -> None:
    for number in range(4):
        org.enqueue(plugins.waits_and_fails.request(str(number)))
    found = logs_until(org, 4)
    expected = [f"before {n}\nafter {n}\nbeside {n}" for n in range(4)]
    assert sorted(log["messageblock"] for log in found) == expected
    assert all("RuntimeError: failed" in log["exceptiondetails"] for log in found)


def test_of_a_long_text_the_newest_lines_are_kept(service: Service, org: Client) -> None:
    setting(org, tracing.ALL)
    org.enqueue(plugins.talks.request(5000))
    assert drain(service) == 1
    (found,) = logs(org)
    text = found["messageblock"]
    assert len(text.encode()) <= 10 * 1024
    assert len(text.encode()) > 10 * 1024 - 200
    assert text.splitlines()[-1].startswith("line 004999 ")
    assert all(line.startswith("line 00") for line in text.splitlines()[1:])


def test_one_line_over_the_limit_keeps_its_end() -> None:
    lines = tracing.Lines()
    lines.add("first")
    lines.add("€" * 5000)
    lines.add("last")
    text = lines.text()
    assert text.endswith("€\nlast")
    assert len(text.encode()) <= 10 * 1024


def test_tracing_outside_of_a_run_does_nothing() -> None:
    adjourn.trace("nobody listens")
