"""Each cell of docs/lifecycle.md over HTTP, and the dates that a client may send. On both stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.acceptance.webapi.conftest import error_of
from tests.support import lifecycle
from tests.support.lifecycle import CELLS, MOMENT, standing_in

from adjourn import runtime
from adjourn.jobs.states import STATE_OF, Action, Status
from adjourn.store.contract import Store

SET = "asyncoperations"


def state(http: httpx.Client, job: object) -> dict[str, Any]:
    body: dict[str, Any] = http.get(f"{SET}({job})?$select=statecode,statuscode,postponeuntil").json()
    return body


def pair(http: httpx.Client, job: object) -> tuple[int, int]:
    found = state(http, job)
    return found["statecode"], found["statuscode"]


@pytest.mark.requirement("M188")
@pytest.mark.requirement("M189")
@pytest.mark.requirement("M190")
@pytest.mark.requirement("M193")
@pytest.mark.requirement("M195")
@pytest.mark.requirement("M197")
@pytest.mark.requirement("M219")
@pytest.mark.requirement("M220")
def test_each_action_on_each_status_does_what_the_published_table_says(http: httpx.Client, store: Store) -> None:
    assert len(CELLS) == 2 * 5 * 8
    for action, status, kind in CELLS:
        job = standing_in(store, status, kind)
        before = lifecycle.row(store, job)
        if action is Action.DELETE:
            answer = http.delete(f"{SET}({job})")
        else:
            answer = http.patch(f"{SET}({job})", json=lifecycle.CHANGES[action])
        wanted = lifecycle.expected(action, status, kind)
        cell = f"{action} of a job of type {kind} in {status.name}: {answer.text}"
        if wanted.code is not None:
            answered, code, text = error_of(answer)
            assert (answered, code) == (400, f"0x{wanted.code:08x}"), cell
            assert "possible" in text, cell
            assert lifecycle.row(store, job) == before, cell
            continue
        assert answer.status_code == 204, cell
        if wanted.gone:
            assert http.get(f"{SET}({job})").status_code == 404, cell
            assert error_of(http.delete(f"{SET}({job})"))[0] == 404, cell
        elif wanted.status is None:
            assert lifecycle.row(store, job) == before, cell
        else:
            assert pair(http, job) == (STATE_OF[wanted.status], wanted.status), cell
            if action is Action.POSTPONE:
                assert state(http, job)["postponeuntil"] == MOMENT, cell


@pytest.mark.requirement("M222")
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("2199-06-01T12:00:00", MOMENT),
        ("2199-06-01T14:00:00+02:00", MOMENT),
        ("2199-06-01T12:00:00.5Z", "2199-06-01T12:00:00.500000Z"),
        ("2199-06-01T12:00:00.1234567Z", "2199-06-01T12:00:00.123456Z"),
    ],
)
def test_a_moment_is_kept_as_it_was_meant(http: httpx.Client, store: Store, sent: str, kept: str) -> None:
    job = standing_in(store, Status.WAITING_FOR_RESOURCES)
    assert http.patch(f"{SET}({job})", json={"postponeuntil": sent}).status_code == 204
    assert (pair(http, job), state(http, job)["postponeuntil"]) == ((1, 10), kept)


@pytest.mark.requirement("M222")
@pytest.mark.parametrize("sent", [None, "2001-01-01T00:00:00Z", "1753-01-01T00:00:00Z"])
def test_no_moment_and_a_past_one_mean_now(http: httpx.Client, store: Store, sent: str | None) -> None:
    for status in (Status.WAITING_FOR_RESOURCES, Status.WAITING):
        job = standing_in(store, status)
        assert http.patch(f"{SET}({job})", json={"postponeuntil": sent}).status_code == 204
        assert (pair(http, job), state(http, job)["postponeuntil"]) == ((0, 0), None)
    running = standing_in(store, Status.IN_PROGRESS)
    assert http.patch(f"{SET}({running})", json={"postponeuntil": sent}).status_code == 204
    assert pair(http, running) == (2, 21)
    done = standing_in(store, Status.SUCCEEDED)
    assert error_of(http.patch(f"{SET}({done})", json={"postponeuntil": sent}))[:2] == (400, "0x80044167")


@pytest.mark.requirement("M222")
@pytest.mark.parametrize(
    "sent", ["", "soon", "2030-13-01T00:00:00Z", "10000-01-01T00:00:00Z", 5, True, [], {}, "0001-01-01T00:00:00Z"]
)
def test_what_is_no_moment_is_refused_and_changes_nothing(http: httpx.Client, store: Store, sent: object) -> None:
    job = standing_in(store, Status.WAITING_FOR_RESOURCES)
    before = lifecycle.row(store, job)
    answered, code, text = error_of(http.patch(f"{SET}({job})", json={"postponeuntil": sent}))
    assert (answered, code) == (400, "0x80040239")
    assert "postponeuntil" in text
    assert lifecycle.row(store, job) == before


@pytest.mark.requirement("M222")
def test_half_a_second_is_half_a_second(http: httpx.Client, store: Store) -> None:
    until = (runtime.now() + timedelta(days=1)).replace(microsecond=500_000)
    job = standing_in(store, Status.WAITING_FOR_RESOURCES)
    assert http.patch(f"{SET}({job})", json={"postponeuntil": until.isoformat()}).status_code == 204
    assert datetime.fromisoformat(state(http, job)["postponeuntil"]) == until.astimezone(UTC)


@pytest.mark.requirement("M21")
@pytest.mark.requirement("M27")
def test_a_job_explains_itself_and_tells_its_history(http: httpx.Client, store: Store) -> None:
    job = standing_in(store, Status.WAITING_FOR_RESOURCES)
    told = http.get(f"ExplainSystemJob(AsyncJobId={job})").json()
    assert told["@odata.context"].endswith("#Microsoft.Dynamics.CRM.ExplainSystemJobResponse")
    assert told["Why"].startswith("It is ready, and no worker is there to run it")
    assert (told["ProgressText"], told["ProgressPercent"], told["History"]) == (None, None, [])
    http.patch(f"{SET}({job})", json={"postponeuntil": MOMENT})
    told = http.get("ExplainSystemJob(AsyncJobId=@p)", params={"@p": str(job)}).json()
    assert told["Why"] == "It is postponed until 2199-06-01 12:00:00 UTC by System Administrator."
    (entry,) = told["History"]
    assert abs(datetime.fromisoformat(entry.pop("On")) - runtime.now()) < timedelta(minutes=1)
    assert entry == {
        "Event": "postpone", "FromStatus": 0, "ToStatus": 10, "By": str(lifecycle.ADMIN), "ByName": "System Administrator",
        "Detail": "2199-06-01 12:00:00 UTC",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "status", "text"),
    [
        ("ExplainSystemJob()", 400, "AsyncJobId"),
        ("ExplainSystemJob(AsyncJobId=5)", 400, "AsyncJobId"),
        ("ExplainSystemJob(AsyncJob=0ad10000-0000-7000-8000-000000000001)", 400, "Did you mean 'AsyncJobId'?"),
        ("ExplainSystemJob(AsyncJobId=0ad10000-0000-7000-8000-000000000001)", 404, "0ad10000"),
    ],
)
def test_an_explanation_of_nothing_is_refused(http: httpx.Client, asked: str, status: int, text: str) -> None:
    answered, _, message = error_of(http.get(asked))
    assert answered == status
    assert text in message
