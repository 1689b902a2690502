"""Recurring jobs over HTTP, and by the command line on the same organization. On both stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from click.testing import CliRunner
from tests.acceptance.webapi.conftest import error_of

from adjourn.cli import adjourn as command
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.inline import drain

START = "2099-01-01T05:30:00Z"


@pytest.fixture
def service(store: Store) -> Service:
    service = Service(store)
    service.register("tests.support.worker_plugins")
    return service


def execute_async(http: httpx.Client, **parameters: Any) -> httpx.Response:
    return http.post("ExecuteAsync", json={"MessageName": "quick", "InputParameters": {"text": "x"}, **parameters})


def recurring(http: httpx.Client, pattern: str = "FREQ=DAILY;INTERVAL=3;", **parameters: Any) -> str:
    answer = execute_async(http, RecurrencePattern=pattern, **parameters)
    assert answer.status_code == 200, answer.text
    return f"asyncoperations({answer.json()['AsyncJobId']})"


def runs_of(http: httpx.Client, schedule: str) -> list[dict[str, Any]]:
    """Jobs of the same name that are not the schedule."""
    found = http.get("asyncoperations?$filter=name eq 'quick' and recurrencepattern eq null&$orderby=sequence")
    return list(found.json()["value"])


@pytest.mark.requirement("M60")
@pytest.mark.requirement("M61")
@pytest.mark.requirement("M24")
def test_pattern_and_start_are_read_back_as_given(http: httpx.Client, account: str) -> None:
    schedule = recurring(
        http, RecurrenceStartTime=START, DependencyToken="t", Regarding={"@odata.id": account}, PostponeUntil="2099-02-01T00:00:00Z"
    )  # fmt: skip
    row = http.get(schedule).json()
    assert (row["recurrencepattern"], row["recurrencestarttime"]) == ("FREQ=DAILY;INTERVAL=3;", START)
    assert (row["statecode"], row["statuscode"], row["dependencytoken"]) == (1, 10, "t")
    assert row["postponeuntil"] == "2099-02-01T00:00:00Z", (
        "the first run is held back; the pattern counts from its start"
    )
    assert f"accounts({row['_regardingobjectid_value']})" == account
    found = http.get("asyncoperations?$filter=recurrencepattern ne null&$select=name").json()["value"]
    assert [job["name"] for job in found] == ["quick"]


def test_an_empty_pattern_means_once_and_a_start_without_a_pattern_is_refused(http: httpx.Client) -> None:
    answer = execute_async(http, RecurrencePattern="")
    assert http.get(f"asyncoperations({answer.json()['AsyncJobId']})").json()["recurrencepattern"] is None
    assert error_of(execute_async(http, RecurrenceStartTime=START))[:2] == (400, "0x8004e100")


@pytest.mark.requirement("M107")
def test_nonsense_is_refused_with_its_position_and_leaves_nothing(http: httpx.Client) -> None:
    for pattern, code, text in (
        ("FREQ=DAILY;INTERVAL=0", "0x8004e100", "(at position 20)"),
        ("FREQ=DALY;", "0x8004e100", "Did you mean 'DAILY'?"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "0x80040246", "it can never occur"),
        ("x" * 5000, "0x8004e100", "5000 characters"),
    ):
        status, found, message = error_of(execute_async(http, RecurrencePattern=pattern))
        assert (status, found) == (400, code)
        assert text in message
    assert error_of(execute_async(http, RecurrencePattern=7))[0] == 400
    assert http.get("asyncoperations?$select=name").json()["value"] == []


@pytest.mark.requirement("M107")
def test_the_last_friday_of_each_month(http: httpx.Client, service: Service) -> None:
    schedule = recurring(http, "FREQ=MONTHLY;BYDAY=-1FR", RecurrenceStartTime="2099-01-01T17:00:00Z")
    told = http.get(f"ExplainSystemJob(AsyncJobId={schedule[16:-1]})").json()
    assert told["Recurrence"] == "on the last Friday of every month at 17:00 UTC"
    assert told["NextMoments"][:3] == ["2099-01-30T17:00:00Z", "2099-02-27T17:00:00Z", "2099-03-27T17:00:00Z"]


@pytest.mark.requirement("M108")
def test_once_a_month_from_the_31st_is_the_last_day_of_shorter_months(http: httpx.Client) -> None:
    def moments(pattern: str, start: str) -> list[str]:
        schedule = recurring(http, pattern, RecurrenceStartTime=start)
        found: list[str] = http.get(f"ExplainSystemJob(AsyncJobId={schedule[16:-1]})").json()["NextMoments"]
        return [moment[:10] for moment in found]

    assert moments("FREQ=MONTHLY;", "2099-01-15T00:00:00Z")[:3] == ["2099-01-15", "2099-02-15", "2099-03-15"]
    assert moments("FREQ=MONTHLY;", "2099-01-31T00:00:00Z")[:3] == ["2099-01-31", "2099-02-28", "2099-03-31"]
    assert moments("FREQ=MONTHLY;BYMONTHDAY=31", "2099-01-31T00:00:00Z")[:2] == ["2099-01-31", "2099-03-31"]


@pytest.mark.requirement("M113")
def test_an_interval_that_is_not_given_is_one(http: httpx.Client) -> None:
    told = [
        http.get(f"ExplainSystemJob(AsyncJobId={recurring(http, pattern, RecurrenceStartTime=START)[16:-1]})").json()
        for pattern in ("FREQ=DAILY;", "FREQ=DAILY;INTERVAL=1;")
    ]
    assert told[0]["NextMoments"] == told[1]["NextMoments"]
    assert told[0]["NextMoments"][:2] == [START, "2099-01-02T05:30:00Z"]


@pytest.mark.requirement("M99")
def test_a_row_with_a_pattern_cannot_be_created(http: httpx.Client) -> None:
    answer = http.post("asyncoperations", json={"name": "x", "recurrencepattern": "FREQ=DAILY;"})
    assert error_of(answer)[:2] == (405, "0x80040315")
    once = f"asyncoperations({execute_async(http).json()['AsyncJobId']})"
    answer = http.patch(once, json={"recurrencestarttime": START})
    assert error_of(answer)[:2] == (400, "0x80040203")


@pytest.mark.requirement("M106")
def test_the_pattern_can_be_changed(http: httpx.Client) -> None:
    schedule = recurring(http, "FREQ=DAILY;")
    before = http.get(schedule).json()
    assert http.patch(schedule, json={"recurrencepattern": "FREQ=WEEKLY;"}).status_code == 204
    after = http.get(schedule).json()
    created = datetime.fromisoformat(before["createdon"]).replace(microsecond=0)
    assert after["recurrencepattern"] == "FREQ=WEEKLY;"
    assert datetime.fromisoformat(after["postponeuntil"]) == created + timedelta(days=7)
    once = f"asyncoperations({execute_async(http).json()['AsyncJobId']})"
    assert error_of(http.patch(once, json={"recurrencepattern": "FREQ=WEEKLY;"}))[:2] == (400, "0x80044168")
    for pattern in ("nonsense", "FREQ=WEEKLY;INTERVAL=0", "", None):
        assert error_of(http.patch(schedule, json={"recurrencepattern": pattern}))[:2] == (400, "0x8004e100")
    assert http.get(schedule).json() == after
    assert http.patch(schedule, json={"statecode": 3, "statuscode": 32}).status_code == 204
    assert error_of(http.patch(schedule, json={"recurrencepattern": "FREQ=DAILY;"}))[:2] == (400, "0x80044169")


def test_pattern_and_moment_can_be_changed_together(http: httpx.Client) -> None:
    schedule = recurring(http, "FREQ=DAILY;", RecurrenceStartTime=START)
    changes = {"recurrencepattern": "FREQ=HOURLY;", "postponeuntil": "2098-01-01T00:00:00Z"}
    assert http.patch(schedule, json=changes).status_code == 204
    row = http.get(schedule).json()
    assert (row["recurrencepattern"], row["postponeuntil"]) == ("FREQ=HOURLY;", "2098-01-01T00:00:00Z")


@pytest.mark.requirement("M194")
def test_resume_of_a_schedule_between_runs_inserts_one_now(http: httpx.Client, service: Service) -> None:
    schedule = recurring(http, RecurrenceStartTime=START)
    assert http.patch(schedule, json={"statecode": 0, "statuscode": 0}).status_code == 204
    (run,) = runs_of(http, schedule)
    row = http.get(schedule).json()
    assert (run["statecode"], row["statecode"], row["statuscode"], row["postponeuntil"]) == (0, 1, 10, START)
    drain(service)
    (run,) = runs_of(http, schedule)
    assert run["statuscode"] == 30
    why = http.get(f"ExplainSystemJob(AsyncJobId={run['asyncoperationid']})").json()["Why"]
    assert why.endswith(f"It is a run of the schedule {schedule[16:-1]} 'quick'.")


def test_pause_of_a_schedule_is_refused_as_of_anything_that_does_not_run(http: httpx.Client) -> None:
    schedule = recurring(http, RecurrenceStartTime=START)
    assert error_of(http.patch(schedule, json={"statecode": 1, "statuscode": 10}))[:2] == (400, "0x80044167")


@pytest.mark.requirement("M100")
def test_the_command_line_tells_the_next_moments(http: httpx.Client, database_url: str) -> None:
    schedule = recurring(http, RecurrenceStartTime=START)[16:-1]

    def said(*arguments: str) -> list[str]:
        answer = CliRunner().invoke(command, ["jobs", *arguments, "--database", database_url])
        assert answer.exit_code == 0, answer.output
        return answer.output.splitlines()

    assert said("next", schedule, "--count", "3") == [
        "every three days at 05:30 UTC", "2099-01-01 05:30:00", "2099-01-04 05:30:00", "2099-01-07 05:30:00",
    ]  # fmt: skip
    assert said("why", schedule) == [
        "It is a schedule, every three days at 05:30 UTC: its next run is at 2099-01-01 05:30:00 UTC."
    ]
    assert f"{'recurs':<28}every three days at 05:30 UTC" in said("show", schedule)
    ending = recurring(http, "FREQ=DAILY;COUNT=2", RecurrenceStartTime=START)[16:-1]
    assert said("next", ending) == [
        "every day at 05:30 UTC, two times", "2099-01-01 05:30:00", "2099-01-02 05:30:00", "Then it has ended.",
    ]  # fmt: skip
    once = execute_async(http).json()["AsyncJobId"]
    refused = CliRunner().invoke(command, ["jobs", "next", once, "--database", database_url])
    assert refused.exit_code != 0
    assert "does not recur" in str(refused.exception)


def test_a_recurring_job_is_found_by_its_view(http: httpx.Client) -> None:
    recurring(http, RecurrenceStartTime=START)
    (view,) = http.get("savedqueries?$filter=name eq 'Recurring System Jobs'&$select=savedqueryid").json()["value"]
    found = http.get(f"asyncoperations?savedQuery={view['savedqueryid']}").json()["value"]
    assert [job["recurrencepattern"] for job in found] == ["FREQ=DAILY;INTERVAL=3;"]
    assert UUID(found[0]["asyncoperationid"])
    assert datetime.fromisoformat(found[0]["recurrencestarttime"]) == datetime(2099, 1, 1, 5, 30, tzinfo=UTC)
