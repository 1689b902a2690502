"""A bulk delete of accounts with two steps each: paused over HTTP, its service killed, started, resumed, killed again, finished."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tests.flows.operations.test_bulk_delete import condition, order, query
from tests.support import worker_plugins
from tests.support.serving import OPEN_JOBS, ROOT, Serving, serving

from adjourn import config
from adjourn.jobs import explain, queue
from adjourn.operations.orphans import scan
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.record import Record
from adjourn.service import Service
from adjourn.worker.inline import drain

MODULE = "tests.support.bulk_steps"
CREATED_TOGETHER = 1_000


def filled(url: str, accounts: int) -> str:
    """An organization with accounts and a bulk delete of all of them that waits; its JobId."""
    service = Service.open(url)
    service.register(MODULE)
    org = service.client(Call(caller=service.administrator()))
    for start in range(0, accounts, CREATED_TOGETHER):
        some = [Record("account", None, {"name": f"a{start + place}"}) for place in range(CREATED_TOGETHER)]
        org.execute(Request("CreateMultiple", {"Targets": some}))
    job = org.execute(order(query("account"), StartDateTime="2040-01-01T00:00:00Z"))["JobId"]
    service.close()
    return str(job)


def told(http: httpx.Client, job: str) -> dict[str, Any]:
    rows = http.get(f"bulkdeleteoperations?$filter=_asyncoperationid_value eq {job}").json()["value"]
    assert len(rows) == 1
    found: dict[str, Any] = rows[0]
    return found


def until_deleted(http: httpx.Client, job: str, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = told(http, job)
        if found["successcount"] >= count:
            return
        time.sleep(0.005)
    raise AssertionError(f"it stands at {found}")


def standing(http: httpx.Client, job: str, *expected: tuple[int, int]) -> tuple[int, int]:
    """Wait until the job stands in one of some states and statuses."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        row = http.get(f"asyncoperations({job})?$select=statecode,statuscode").json()
        found = (row["statecode"], row["statuscode"])
        if found in expected:
            return found
        time.sleep(0.02)
    raise AssertionError(f"it stands at {found}")


def accounts_left(http: httpx.Client) -> int:
    found = http.get("accounts?$apply=aggregate($count as n)").json()["value"]
    return int(found[0]["n"])


def is_paused(running: Serving, job: str, accounts: int) -> int:
    """Between being paused and being resumed nothing moves; how many are deleted."""
    row = told(running.http, job)
    assert (row["statecode"], row["statuscode"], row["failurecount"]) == (1, 12, 0)
    assert 0 < row["successcount"] < accounts
    assert accounts_left(running.http) == accounts - row["successcount"]
    return int(row["successcount"])


@pytest.mark.parametrize("accounts", [2_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_it_is_paused_killed_resumed_and_finished(database_url: str, accounts: int) -> None:
    """Nothing is deleted twice or forgotten: each account leaves one job of its asynchronous step."""
    job = filled(database_url, accounts)
    with serving(database_url, "--processes", "1") as running:
        assert running.http.patch(f"asyncoperations({job})", json={"statecode": 0}).status_code == 204
        until_deleted(running.http, job, accounts // 20)
        assert running.http.patch(f"asyncoperations({job})", json={"statecode": 1}).status_code == 204
        standing(running.http, job, (1, 10))
        paused = is_paused(running, job, accounts)
        running.kill()
    with serving(database_url, "--processes", "1") as running:
        assert is_paused(running, job, accounts) == paused
        assert running.http.patch(f"asyncoperations({job})", json={"statecode": 0}).status_code == 204
        until_deleted(running.http, job, paused + accounts // 20)
        running.kill()
    with serving(database_url, "--processes", "1") as running:
        standing(running.http, job, (3, 30))
        row = told(running.http, job)
        assert (row["successcount"], row["failurecount"], row["statuscode"]) == (accounts, 0, 30)
        assert accounts_left(running.http) == 0
        assert running.http.get("bulkdeletefailures").json()["value"] == []
        running.until(OPEN_JOBS, 0, seconds=600)
        made = "asyncoperations?$apply=filter(operationtype eq 1 and statuscode eq 30)/aggregate($count as n)"
        assert running.http.get(made).json()["value"][0]["n"] == accounts


_DIE = """
import os, signal, sys
from adjourn.operations import chunks
from adjourn.service import Service
from adjourn.store import faults
from adjourn.worker.inline import drain
url, point, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
service = Service.open(url)
chunks.CHUNK_SECONDS = 0.0
seen = 0
def hook(name):
    global seen
    seen += name == point
    if seen == number:
        os.kill(os.getpid(), signal.SIGKILL)
with faults.listening(hook):
    drain(service)
sys.exit(9)
"""
POINTS = (
    ("rows read", 1), ("chunk row", 3), ("chunk kept", 3), ("before commit", 9), ("after commit", 9), ("chunk committed", 3),
    ("operation finished", 1),
)  # fmt: skip


@pytest.mark.requirement("M153")
@pytest.mark.parametrize(("point", "number"), POINTS)
def test_a_process_that_dies_at_any_point_leaves_nothing_twice_and_nothing_forgotten(
    database_url: str, monkeypatch: pytest.MonkeyPatch, point: str, number: int
) -> None:
    """Jobs with files, so that rows, files and counts have to agree; and an account each, whose step makes a job."""
    service = Service.open(database_url)
    service.register(MODULE)
    service.register("tests.support.worker_plugins")
    org = service.client(Call(caller=service.administrator()))
    monkeypatch.setattr(config, "DATA_INLINE_BYTES_MAX", 20_000)
    for place in range(3):
        org.enqueue(worker_plugins.quick.request("x" * 30_000), postpone_until=datetime(2040, 1, 1, tzinfo=UTC))
        org.create("account", {"name": f"a{place}"})
    job = org.execute(order(query("account"), query("asyncoperation", condition("name", "Equal", "quick"))))["JobId"]
    service.close()
    arguments = [sys.executable, "-c", _DIE, database_url, point, str(number)]
    died = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
    service = Service.open(database_url)
    org = service.client(Call(caller=service.administrator()))
    with service.store.read() as reader:
        holders = queue.workers(reader)
    service.store.write(lambda tx: queue.rescue(tx, holders))
    drain(service)
    told = org.retrieve_multiple(f"bulkdeleteoperations?$filter=_asyncoperationid_value eq {job}")[0]
    assert (told["statuscode"], told["successcount"], told["failurecount"]) == (30, 6, 0)
    assert org.retrieve_multiple("accounts") == []
    assert org.retrieve_multiple("asyncoperations?$filter=name eq 'quick'") == []
    assert org.retrieve_multiple("fileattachments") == []
    made = org.retrieve_multiple("asyncoperations?$filter=name eq 'After an account' and statuscode eq 30")
    assert len(made) == 3
    service.store.sweep_files(datetime.now(UTC))
    assert scan(service, datetime.now(UTC)) == {}
    with service.store.read() as reader:
        assert explain.examine(reader) == []
    assert service.store.space().files == 0
    service.close()
