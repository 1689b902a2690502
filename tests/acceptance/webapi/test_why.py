"""Why a job waits: the same true sentence over HTTP and from the command line. On both stores.

That every number is right is asked of `explain.why` itself in tests/contract/queue/test_why.py; here it is that nothing
between the queue and a person changes or leaves out a word.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import httpx
import pytest
from click.testing import CliRunner
from tests.support import roles
from tests.support import worker_plugins as plugins

from adjourn import config, runtime
from adjourn.cli import adjourn as command
from adjourn.client import Client
from adjourn.jobs import queue
from adjourn.jobs.history import shown
from adjourn.jobs.model import ClaimedJob, Continue, Outcome, Retry, Settlement
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store

ADMIN = "System Administrator"
NO_WORKER = "It is ready, and no worker is there to run it: `adjourn serve` on this database runs jobs."
Why = Callable[[UUID], str]


@pytest.fixture
def org(service: Service, org: Client) -> Client:
    service.register("tests.support.worker_plugins")
    return org


@pytest.fixture
def why(http: httpx.Client, database_url: str) -> Why:
    """What both surfaces say, which is the same."""

    def ask(job: UUID) -> str:
        answer = http.get(f"ExplainSystemJob(AsyncJobId={job})")
        assert answer.status_code == 200, answer.text
        told: str = answer.json()["Why"]
        printed = CliRunner().invoke(command, ["jobs", "why", str(job), "--database", database_url])
        assert printed.exit_code == 0, printed.output
        assert printed.output.strip() == told
        return told

    return ask


WORKER = str(runtime.new_id())


def claim(store: Store, limit: int = 1, worker: str = WORKER) -> list[ClaimedJob]:
    return store.write(partial(queue.claim, operation_types=[54], limit=limit, worker=worker))


def settle(store: Store, job: ClaimedJob, outcome: Outcome) -> None:
    store.write(partial(queue.settle, settlements=[Settlement(job, outcome, 0.1)]))


def patch(http: httpx.Client, job: UUID, **changes: object) -> None:
    assert http.patch(f"asyncoperations({job})", json=changes).status_code == 204


def test_ready_with_forty_ahead_and_four_running(org: Client, store: Store, why: Why) -> None:
    org.enqueue_many([plugins.quick.request("")] * 4)
    claim(store, 4)
    org.enqueue_many([plugins.quick.request("")] * 40)
    org.create("account", {"name": "its two jobs are of another class"})
    job = org.enqueue(plugins.quick.request(""))
    alone = why(job)
    store.hold_worker(UUID(WORKER), socket.gethostname(), os.getpid())
    assert why(job) == "It is ready and waits for a free slot of class requests: 40 ahead of it, 4 running."
    assert alone == f"{NO_WORKER} 40 ahead of it."
    store.release_worker(UUID(WORKER))
    assert why(job) == alone


def test_behind_another_job_of_its_token(org: Client, http: httpx.Client, why: Why) -> None:
    head, behind = (org.enqueue(plugins.quick.request(""), dependency_token="t") for _ in range(2))
    assert why(behind) == f"It waits behind job {head} 'quick' of the same token, which is Ready."
    patch(http, head, postponeuntil="2199-06-01T12:00:00Z")
    assert why(behind) == (
        f"It waits behind job {head} 'quick' of the same token, which is Suspended, postponed until 2199-06-01 12:00:00 UTC."
    )


def test_postponed_and_paused_by_a_person(org: Client, http: httpx.Client, store: Store, why: Why) -> None:
    job = org.enqueue(plugins.quick.request(""))
    patch(http, job, postponeuntil="2199-06-01T12:00:00.5Z")
    assert why(job) == f"It is postponed until 2199-06-01 12:00:00.500 UTC by {ADMIN}."
    patch(http, job, statecode=0)
    (claimed,) = claim(store)
    patch(http, job, statecode=1)
    assert why(job) == (
        f"Worker {WORKER} has run it since {shown(claimed.started_on)}. That worker is dead, and no other is there to give the "
        f"job back: `adjourn serve` on this database does. {ADMIN} has paused it: it waits as soon as it is given back."
    )
    store.hold_worker(UUID(WORKER), socket.gethostname(), os.getpid())
    assert why(job).endswith(
        f" has run it since {shown(claimed.started_on)}. {ADMIN} has paused it: it waits as soon as its handler lets go."
    )
    store.release_worker(UUID(WORKER))
    settle(store, claimed, Continue("c"))
    assert why(job) == f"It was paused by {ADMIN} and waits to be resumed."


def test_backing_off(org: Client, http: httpx.Client, store: Store, why: Why) -> None:
    job = org.enqueue(plugins.quick.request(""))
    settle(store, claim(store)[0], Retry("the server is away", delay_seconds=3600))
    moment = datetime.fromisoformat(http.get(f"asyncoperations({job})").json()["postponeuntil"])
    assert abs(moment - runtime.now() - timedelta(hours=1)) < timedelta(seconds=30)
    assert why(job) == (
        "Its handler asked for a retry after the error 'the server is away': it backs off, and attempt 2 of 4 begins at "
        f"{shown(moment)}."
    )


def test_running_with_its_worker_its_last_sign_and_its_progress(org: Client, store: Store, why: Why) -> None:
    worker = runtime.new_id()
    store.hold_worker(worker, socket.gethostname(), os.getpid())
    job = org.enqueue(plugins.quick.request(""))
    (claimed,) = claim(store, worker=str(worker))
    store.write(lambda tx: queue.checkpoint(tx, claimed, "c", "half of it", 50))
    told = why(job)
    found = re.fullmatch(
        rf"Worker {worker} \(on {socket.gethostname()}, process {os.getpid()}, (.+)\) has run it since (.+); "
        r"its progress: half of it, 50 %\.",
        told,
    )
    assert found, told
    assert found[2] == shown(claimed.started_on)
    sign = r"last heard of at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC" if store.dialect == "postgres" else "which is alive"
    assert re.fullmatch(sign, found[1])
    store.release_worker(worker)


@pytest.fixture
def holding(sqlite_store: Store) -> Iterator[None]:
    """A step holds the writer for as long as the test runs, at most 4 s."""
    begun, done = threading.Event(), threading.Event()

    def hold() -> None:
        with sqlite_store.transaction("Check the credit"):
            begun.set()
            done.wait(4)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(10)
    yield
    done.set()
    thread.join()


def test_held_up_by_a_step_that_holds_the_writer(
    sqlite_store: Store,
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    serve: Callable[..., httpx.Client],
) -> None:
    """The command line says so too: it does not wait for the writer to ask what he does."""
    service = Service(sqlite_store)
    service.register("tests.support.worker_plugins")
    http = serve(service)
    job = http.post("ExecuteAsync", json={"MessageName": "quick", "InputParameters": {}}).json()["AsyncJobId"]
    request.getfixturevalue("holding")
    runtime.sleep(config.STEP_SLOW_SECONDS)
    held_up = "Everything that writes is held up: 'Check the credit' holds the database's writer."
    told = http.get(f"ExplainSystemJob(AsyncJobId={job})").json()["Why"]
    assert told == f"{NO_WORKER} 0 ahead of it. {held_up}"
    printed = CliRunner().invoke(command, ["jobs", "why", job, "--database", sqlite_url])
    assert printed.output.splitlines()[0] == told


def test_what_holds_the_writer_is_named_to_who_may_read_every_job(
    sqlite_store: Store, request: pytest.FixtureRequest, serve: Callable[..., httpx.Client]
) -> None:
    """A unit is called after the step or the job that it is of, which may be somebody else's."""
    service = Service(sqlite_store)
    org = service.client(Call(caller=service.administrator()))
    http = serve(service)
    clerk, watcher = roles.user(org, "clerk"), roles.user(org, "watcher")
    reading = roles.role(org, "watching", {"prvReadAsyncOperation": roles.GLOBAL})
    org.associate("systemuser", watcher, "systemuserroles_association", [("role", reading)])
    made = http.post("ExecuteAsync", json={"MessageName": "WhoAmI"}, headers={"MSCRMCallerID": str(clerk)})
    request.getfixturevalue("holding")
    runtime.sleep(config.STEP_SLOW_SECONDS)
    ready = str(http.base_url).partition("/api/")[0] + "/readyz"
    for user, held, named in ((clerk, None, "another operation"), (watcher, "Check the credit", "'Check the credit'")):
        me = {"MSCRMCallerID": str(user)}
        assert http.get(ready, headers=me).json().get("turn") == held
        told = http.get(f"ExplainSystemJob(AsyncJobId={made.json()['AsyncJobId']})", headers=me).json()["Why"]
        # How many others wait before him is told to everybody who waits.
        assert "0 ahead of it" in told
        assert told.endswith(f"held up: {named} holds the database's writer.")
    assert httpx.get(ready).json() == {"status": "ready"}
