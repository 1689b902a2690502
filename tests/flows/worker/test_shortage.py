"""What cannot be had for a while, a process, a thread, somebody who reads the log, costs time and nothing else. On both stores."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
from tests.support import shortage_plugins as plugins
from tests.support import worker_plugins

import adjourn
from adjourn import config, runtime
from adjourn.client import Client
from adjourn.errors import Busy
from adjourn.operations import chunks
from adjourn.service import Service
from adjourn.worker import own_jobs, pool
from adjourn.worker.process import ExecutorProcess

from .conftest import Start, completed


class Scarce:
    """Executor processes, of which there are none now and then."""

    def __init__(self) -> None:
        self.none = False
        self.refused = 0

    def __call__(self, *arguments: Any) -> ExecutorProcess:
        if self.none:
            self.refused += 1
            raise OSError("too many open files")
        return ExecutorProcess(*arguments)


def wait_for_refusal(scarce: Scarce) -> None:
    deadline = time.monotonic() + 20
    while not scarce.refused:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> Scarce:
    found = Scarce()
    monkeypatch.setattr(pool, "ExecutorProcess", found)
    return found


def test_an_isolated_job_for_which_no_process_can_be_had_waits_for_one(
    service: Service, org: Client, start: Start, scarce: Scarce
) -> None:
    start()
    scarce.none = True
    job = org.enqueue(plugins.alone.request())
    wait_for_refusal(scarce)
    scarce.none = False
    assert completed(org, job)["statuscode"] == 30


def test_an_executor_that_cannot_be_replaced_now_is_replaced_later(
    service: Service, org: Client, start: Start, scarce: Scarce
) -> None:
    service.register(worker_plugins.__name__)
    supervisor = start()
    completed(org, org.enqueue(worker_plugins.quick.request("a")))
    scarce.none = True
    (executor,) = supervisor.pool.executors()
    os.kill(executor.pid, signal.SIGKILL)
    wait_for_refusal(scarce)
    job = org.enqueue(worker_plugins.quick.request("b"))
    scarce.none = False
    assert completed(org, job)["friendlymessage"] == "did b"
    assert len(supervisor.pool.executors()) == 1


def test_our_own_job_for_which_no_thread_can_be_had_waits_for_one(
    org: Client, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []
    spawn = runtime.spawn

    def scarce(function: Any, *arguments: Any, name: str) -> Any:
        if name == "adjourn-bulk" and not refused:
            refused.append(name)
            raise RuntimeError("can't start new thread")
        return spawn(function, *arguments, name=name)

    start()
    monkeypatch.setattr(runtime, "spawn", scarce)
    assert completed(org, bulk_delete(org, "contact"))["statuscode"] == 30
    assert refused


class Away:
    """Something that the database has no time for, the first time."""

    def __init__(self, function: Any) -> None:
        self.asked = 0
        self._function = function

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.asked += 1
        if self.asked == 1:
            raise Busy("The connection to the database was lost; try again.")
        return self._function(*arguments, **options)


def test_a_job_that_cannot_be_prepared_now_is_prepared_later(
    service: Service, org: Client, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.register(worker_plugins.__name__)
    away = Away(pool.prepare)
    monkeypatch.setattr(pool, "prepare", away)
    start()
    assert completed(org, org.enqueue(worker_plugins.quick.request("it")))["friendlymessage"] == "did it"
    assert away.asked == 2


@pytest.mark.parametrize("what", ["prepare", "run"])
def test_long_work_for_which_the_database_has_no_time_now_is_tried_again(
    org: Client, start: Start, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(config, "RETRY_FIRST_SECONDS", 0.05)
    away = Away(own_jobs.prepare if what == "prepare" else chunks.run)
    monkeypatch.setattr(own_jobs if what == "prepare" else chunks, what, away)
    start()
    assert completed(org, bulk_delete(org, "account"))["friendlymessage"] == "0 deleted."
    assert away.asked == 2


def bulk_delete(org: Client, table: str) -> Any:
    order = {
        "QuerySet": [f"<fetch><entity name='{table}'/></fetch>"],
        "JobName": "clean up",
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": "",
        "StartDateTime": "2020-01-01T00:00:00Z",
    }
    return org.execute(adjourn.Request("BulkDelete", order))["JobId"]


def test_an_interrupt_that_a_step_raises_ends_the_bulk_delete_on_which_it_runs(org: Client, start: Start) -> None:
    start()
    org.create("contact", {"lastname": "Novak"})
    assert completed(org, bulk_delete(org, "contact"))["statuscode"] == 31


def test_who_dies_is_missed_at_once_whatever_he_has_started(org: Client, start: Start) -> None:
    start()
    done = completed(org, org.enqueue(plugins.leaves_a_child_and_dies.request()))
    assert done["statuscode"] == 31
    assert "died in each of 3 runs" in done["friendlymessage"]


def test_a_checkpoint_reads_nothing_that_could_be_away(
    service: Service, org: Client, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes are run again when the connection is lost; a view that is lost is its reader's to ask again."""

    def away(*arguments: Any) -> None:
        raise Busy("The connection to the database was lost; try again.")

    start()
    monkeypatch.setattr(service, "caller", away)
    assert completed(org, org.enqueue(plugins.keeps.request()))["friendlymessage"] == "kept"
