"""Atomic handlers as jobs: data changes exactly once. Inline and through real executors, on both stores."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from tests.support import atomic_plugins as plugins

import adjourn
from adjourn.client import Client
from adjourn.jobs import explain
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.inline import drain
from adjourn.worker.supervisor import Supervisor

from .conftest import completed

Run = Callable[[UUID], adjourn.Record]


@pytest.fixture(params=["inline", "executor"])
def run(request: pytest.FixtureRequest, org: Client, service: Service) -> Run:
    """Runs everything that is ready; a job's row when it is completed."""
    if request.param == "executor":
        request.getfixturevalue("supervisor")

    def until(job: UUID) -> adjourn.Record:
        if request.param == "inline":
            drain(service)
        return completed(org, job)

    return until


def names(org: Client) -> list[str]:
    return [row["name"] for row in org.retrieve_multiple("accounts?$select=name&$orderby=name")]


def jobs_made(org: Client) -> int:
    return len(org.retrieve_multiple("asyncoperations?$filter=name eq 'after'&$select=name"))


def test_all_is_there_when_it_succeeds(org: Client, run: Run) -> None:
    done = run(org.enqueue(plugins.makes.request(count=5)))
    assert (done["statuscode"], done["friendlymessage"]) == (30, "from 0, 5 there"), done["message"]
    assert names(org) == [f"account {number}" for number in range(5)]
    assert jobs_made(org) == 5


def test_it_is_completed_when_it_ends_not_when_its_transaction_began(org: Client, run: Run) -> None:
    done = run(org.enqueue(plugins.writes_and_waits.request(seconds=0.5)))
    assert done["statuscode"] == 30
    assert (done["completedon"] - done["startedon"]).total_seconds() >= 0.5
    assert done["modifiedon"] >= done["completedon"]


def test_a_failure_keeps_what_the_last_checkpoint_committed_and_nothing_more(org: Client, run: Run) -> None:
    done = run(org.enqueue(plugins.makes.request(count=5, then="raise")))
    assert (done["statuscode"], done["friendlymessage"]) == (31, "enough")
    assert names(org) == [f"account {number}" for number in range(4)]
    assert jobs_made(org) == 4


def test_a_retry_makes_nothing_twice(org: Client, run: Run) -> None:
    job = org.enqueue(plugins.makes.request(count=5, then="retry"))
    done = run(job)
    assert (done["statuscode"], done["friendlymessage"]) == (30, "from 4, 5 there")
    assert names(org) == [f"account {number}" for number in range(5)]
    assert jobs_made(org) == 5


def test_an_executor_that_dies_leaves_no_half(org: Client, supervisor: Supervisor, tmp_path: Path) -> None:
    done = completed(org, org.enqueue(plugins.dies.request(str(tmp_path / "marker"))))
    assert (done["statuscode"], done["friendlymessage"]) == (30, "whole")
    assert names(org) == ["before", "behind"]


@pytest.mark.requirement("M192")
def test_a_canceled_one_has_no_effects_after_its_last_checkpoint(org: Client, supervisor: Supervisor) -> None:
    job = org.enqueue(plugins.writes_and_waits.request(seconds=0, idle=1.5))
    waited(org)
    org.update("asyncoperation", job, {"statecode": 3, "statuscode": 32})
    done = completed(org, job)
    assert done["statuscode"] == 32
    assert done["friendlymessage"] == (
        "The job was canceled; what it had written since its last checkpoint was undone."
    )
    assert names(org) == ["kept"]


@pytest.mark.requirement("M189")
def test_a_deleted_one_has_its_writes_undone(org: Client, service: Service, supervisor: Supervisor) -> None:
    job = org.enqueue(plugins.writes_and_waits.request(seconds=0, idle=1.0))
    waited(org)
    org.delete("asyncoperation", job)
    with pytest.raises(adjourn.NotFound):
        org.retrieve("asyncoperation", job)
    ended(supervisor)
    assert names(org) == ["kept"]
    with service.store.read() as reader:
        assert explain.examine(reader) == []


def test_an_open_transaction_and_a_person_are_served_one_after_the_other(
    org: Client, store: Store, supervisor: Supervisor
) -> None:
    """SQLite: whoever cancels waits for the writer, finds the job completed, and is told so. PostgreSQL: it is undone."""
    job = org.enqueue(plugins.writes_and_waits.request(seconds=1))
    waited(org)
    if store.dialect == "sqlite":
        with pytest.raises(adjourn.InvalidStateChange):
            org.update("asyncoperation", job, {"statecode": 3, "statuscode": 32})
    else:
        org.update("asyncoperation", job, {"statecode": 3, "statuscode": 32})
    done = completed(org, job)
    ended(supervisor)
    assert (done["statuscode"], names(org)) == (
        (30, ["kept", "undone"]) if store.dialect == "sqlite" else (32, ["kept"])
    )


def test_one_that_keeps_its_transaction_open_too_long_is_undone_and_fails(
    org: Client, service: Service, supervisor: Supervisor
) -> None:
    service.store.turn_seconds_max = 0.5
    done = completed(org, org.enqueue(plugins.writes_and_waits.request(seconds=2)))
    assert done["statuscode"] == 31
    assert "kept its transaction open" in done["friendlymessage"]
    assert names(org) == ["kept"]


def waited(org: Client) -> None:
    """Until the first checkpoint has committed."""
    deadline = time.monotonic() + 20
    while names(org) != ["kept"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)


def ended(supervisor: Supervisor) -> None:
    """Until the atomic runs have committed or been undone."""
    deadline = time.monotonic() + 10
    while supervisor.held():
        assert time.monotonic() < deadline
        time.sleep(0.02)
