"""Where runs are short a worker takes jobs ahead of its slots; those that turn out otherwise are not its own for long."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

import pytest
from tests.support import control_plugins
from tests.support import worker_plugins as plugins

from adjourn.client import Client
from adjourn.jobs import explain
from adjourn.pipeline.call import Request
from adjourn.service import Service
from adjourn.worker.supervisor import Supervisor

from .conftest import Start, completed


def ahead(org: Client, start: Start, concurrency: int) -> Supervisor:
    """A worker whose runs have been short."""
    supervisor = start(concurrency=concurrency)
    completed(org, org.enqueue(plugins.quick.request()))
    (executor,) = supervisor.pool.executors()
    executor.seconds = 0.0  # as after a hundred short ones
    return supervisor


def soon(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def states(org: Client, jobs: list[UUID]) -> list[int]:
    return [org.retrieve("asyncoperation", job, ["statecode"])["statecode"] for job in jobs]


def test_what_waits_behind_long_runs_is_given_back(org: Client, service: Service, start: Start) -> None:
    """Another host may run it, and another class before it: of both there was nothing to hope for until the long ones ended."""
    supervisor = ahead(org, start, concurrency=1)
    jobs = org.enqueue_many([plugins.sleepy.request(seconds=2.5)] * 3)
    soon(lambda: supervisor.held() == 3)
    soon(lambda: states(org, jobs) == [2, 0, 0], seconds=2)
    assert supervisor.held() == 1
    with service.store.read() as reader:
        told = [[entry.detail for entry in explain.story(reader, job)] for job in jobs]
        assert told == [[], ["its handler had not begun"], ["its handler had not begun"]]
        assert "waits for a free slot" in explain.why(reader, jobs[2], service.store)
    start(concurrency=2)
    soon(lambda: states(org, jobs) == [2, 2, 2], seconds=2)


def test_a_cancel_of_what_waits_behind_long_runs_takes_effect_before_they_end(org: Client, start: Start) -> None:
    supervisor = ahead(org, start, concurrency=1)
    first, second = org.enqueue_many([plugins.sleepy.request(seconds=4.0)] * 2)
    soon(lambda: supervisor.held() == 2)
    org.update("asyncoperation", second, {"statecode": 3, "statuscode": 32})
    soon(lambda: states(org, [first, second]) == [2, 3], seconds=2)


def test_isolated_jobs_have_no_more_processes_than_there_are_slots(org: Client, service: Service, start: Start) -> None:
    service.register(control_plugins.__name__)
    supervisor = ahead(org, start, concurrency=2)
    jobs = org.enqueue_many([control_plugins.stuck.request(seconds=0.3)] * 6)
    most = 0
    while not all(state == 3 for state in states(org, jobs)):
        most = max(most, len(supervisor.pool.executors()) - 1)
    assert most == 2


def test_platform_messages_have_no_more_threads_than_there_are_slots(
    org: Client, service: Service, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = ahead(org, start, concurrency=2)
    held: list[int] = []
    run = service.execute

    def slowly(*given: object) -> object:
        held.append(len(supervisor.pool._own))
        time.sleep(0.5)
        return run(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(service, "execute", slowly)
    jobs = org.enqueue_many([Request("WhoAmI", {})] * 6)
    soon(lambda: all(state == 3 for state in states(org, jobs)))
    assert max(held) == 2
