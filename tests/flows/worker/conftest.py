"""An organization with a test file's plug-ins, and supervisors that end with the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest

import adjourn
from adjourn.client import Client
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.supervisor import Supervisor

Start = Callable[..., Supervisor]


@pytest.fixture
def service(store: Store, request: pytest.FixtureRequest) -> Service:
    """A service on each database, with the module registered that the test's file imports as `plugins`."""
    service = Service(store)
    service.register(request.module.plugins.__name__)
    return service


@pytest.fixture
def org(service: Service) -> Client:
    return service.client(Call(caller=service.administrator()))


@pytest.fixture
def start(service: Service) -> Iterator[Start]:
    """Starts supervisors, with one process of four slots unless the test says otherwise."""
    with ExitStack() as started:

        def begin(**options: Any) -> Supervisor:
            found = Supervisor(service, **{"processes": 1, "concurrency": 4, **options})
            found.start()
            started.callback(found.stop)
            return found

        yield begin


@pytest.fixture
def supervisor(start: Start) -> Supervisor:
    return start()


def until(org: Client, job: UUID, accepted: Callable[[adjourn.Record], bool], seconds: float = 20) -> adjourn.Record:
    """A job's row as soon as it is accepted."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = org.retrieve("asyncoperation", job)
        if accepted(found):
            return found
        time.sleep(0.005)
    raise AssertionError(f"job stands at {found.values}")


def completed(org: Client, job: UUID, seconds: float = 20) -> adjourn.Record:
    """A job's row when it is completed."""
    return until(org, job, lambda found: found["statecode"] == 3, seconds)
