"""kill -9 of a real service: what was acknowledged is there, with exactly its jobs, and all of them run."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.support.serving import LOCKED_JOBS, OPEN_JOBS, Serving, serving

from adjourn.jobs import explain
from adjourn.service import Service

PLUGINS = ("--plugins", "tests.support.worker_plugins")
_CALLERS = 16


def acknowledged_until_killed(service: Serving, wanted: int) -> list[str]:
    """Create accounts from several clients; after half of them kill the service. The ids whose creation was answered."""
    done: list[str] = []
    killed = threading.Event()

    def create(index: int) -> None:
        if killed.is_set():
            return
        try:
            answer = service.http.post("accounts", json={"name": f"account {index}"})
        except (httpx.HTTPError, RuntimeError):
            return
        assert answer.status_code == 204, answer.text
        done.append(answer.headers["OData-EntityId"][-37:-1])
        if len(done) == wanted // 2:
            killed.set()
            service.kill()

    with ThreadPoolExecutor(_CALLERS) as pool:
        list(pool.map(create, range(wanted)))
    assert killed.is_set()
    return done


def verify(url: str, acknowledged: list[str]) -> None:
    """Start again, let everything run, and look: each account with its two jobs, none doubled, none left."""
    with serving(url, *PLUGINS) as service:
        service.until(OPEN_JOBS, 0, seconds=300)
        assert service.http.get(LOCKED_JOBS).json()["value"][0]["n"] == 0
    opened = Service.open(url)
    try:
        with opened.store.read() as reader:
            assert explain.examine(reader) == []
            accounts = {row[0]: row[1] for row in reader.rows("SELECT accountid, description FROM account")}
            jobs = reader.rows(
                "SELECT regardingobjectid, name, statuscode FROM asyncoperation WHERE operationtype = 1 ORDER BY sequence"
            )
    finally:
        opened.close()
    assert set(acknowledged) <= set(accounts), "an acknowledged account is gone"
    assert set(accounts.values()) == {"seen"}, "a job's effect is missing"
    # The second step deletes its succeeded jobs; the first one's stay: one for each account, acknowledged or not.
    assert sorted(job[0] for job in jobs) == sorted(accounts)
    assert {job[1:] for job in jobs} == {("First job", 30)}


@pytest.mark.requirement("M153")
def test_every_acknowledged_create_survives_with_its_jobs(database_url: str) -> None:
    service = Serving(database_url, *PLUGINS)
    verify(database_url, acknowledged_until_killed(service, 400))


@pytest.mark.long
def test_ten_thousand_acknowledged_creates_survive(database_url: str) -> None:
    service = Serving(database_url, *PLUGINS)
    verify(database_url, acknowledged_until_killed(service, 10_000))


def test_killing_only_an_executor_runs_its_jobs_again_at_once(database_url: str) -> None:
    with serving(database_url, *PLUGINS) as service:
        started = service.http.post(
            "ExecuteAsync", json={"MessageName": "sleepy", "InputParameters": {"seconds": 1.5}}
        ).json()
        job = f"asyncoperations({started['AsyncJobId']})?$select=statuscode,startedon"
        while service.http.get(job).json()["statuscode"] != 20:
            time.sleep(0.02)
        first = service.http.get(job).json()["startedon"]
        (executor,) = service.executors()
        os.kill(executor, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and service.http.get(job).json()["statuscode"] != 30:
            time.sleep(0.05)
        found = service.http.get(job).json()
    assert found["statuscode"] == 30
    assert found["startedon"] > first
