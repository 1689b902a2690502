"""Running jobs let go: at checkpoints, at awaits, or with their process. Through real supervisors, on both stores."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.support import control_plugins as plugins
from tests.support import worker_plugins
from tests.support.machine import Machine

import adjourn
from adjourn import config, runtime
from adjourn.client import Client
from adjourn.errors import InvalidStateChange
from adjourn.jobs import explain
from adjourn.jobs.states import TRANSITIONS, Action, Status
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker import supervisor as supervising
from adjourn.worker.inline import drain

from .conftest import Start, until

CANCEL = {"statecode": 3, "statuscode": 32}
PAUSE = {"statecode": 1, "statuscode": 10}
RESUME = {"statecode": 0, "statuscode": 0}


def stands(org: Client, job: UUID, *pairs: tuple[int, int], seconds: float = 20) -> adjourn.Record:
    """A job's row as soon as state and status are one of these pairs."""
    return until(org, job, lambda found: (found["statecode"], found["statuscode"]) in pairs, seconds)


def cursor(store: Store, job: UUID) -> str | None:
    with store.read() as reader:
        sql = "SELECT cursor FROM asyncoperation WHERE CAST(asyncoperationid AS text) = :id"
        found: str | None = reader.rows(sql, {"id": str(job)})[0][0]
    return found


def story(service: Service, job: UUID) -> list[tuple[str, int, int]]:
    with service.store.read() as reader:
        return [(told.event, told.was, told.became) for told in explain.story(reader, job)]


def running(org: Client, service: Service, job: UUID) -> None:
    """Wait until the job's handler has passed its first checkpoint."""
    stands(org, job, (2, 20))
    deadline = time.monotonic() + 20
    while cursor(service.store, job) is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.requirement("M183")
@pytest.mark.requirement("M196")
@pytest.mark.requirement("M194")
def test_a_job_pauses_between_checkpoints_keeps_its_cursor_over_a_restart_and_goes_on(
    org: Client, service: Service, start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    first = start()
    job = org.enqueue(plugins.steps.request(until=6, pause=0.5, log=str(log)))
    running(org, service, job)
    org.update("asyncoperation", job, PAUSE)
    assert (org.retrieve("asyncoperation", job)["statecode"], org.retrieve("asyncoperation", job)["statuscode"]) == (
        2,
        21,
    )
    with service.store.read() as reader:
        told = explain.why(reader, job, service.store)
        assert "has paused it" in told
        assert explain.progress(reader, job).text is not None
    stands(org, job, (1, 10))
    done = log.read_text().splitlines()
    first.stop()
    time.sleep(0.6)
    assert log.read_text().splitlines() == done, "nothing more is written while it is paused"
    start()
    time.sleep(0.3)
    assert cursor(service.store, job) == str(len(done))
    org.update("asyncoperation", job, RESUME)
    finished = stands(org, job, (3, 30))
    assert finished["friendlymessage"] == f"from {len(done)}"
    assert log.read_text().splitlines() == [str(number) for number in range(6)], "each number once"
    assert story(service, job) == [("pause", 20, 21), ("let go", 21, 10), ("resume", 10, 0)]
    with service.store.read() as reader:
        assert explain.progress(reader, job) == ("6 of 6", 100)


@pytest.mark.requirement("M218")
@pytest.mark.requirement("M198")
def test_a_running_job_is_postponed_and_goes_on_from_its_cursor_at_its_moment(
    org: Client, service: Service, start: Start, tmp_path: Path
) -> None:
    start()
    job = org.enqueue(plugins.steps.request(until=5, pause=0.2, log=str(tmp_path / "log")))
    running(org, service, job)
    moment = runtime.now() + timedelta(seconds=1.5)
    org.update("asyncoperation", job, {"postponeuntil": moment})
    waiting = stands(org, job, (1, 10))
    assert waiting["postponeuntil"] == moment
    done = stands(org, job, (3, 30))
    assert done["startedon"] >= moment
    assert done["friendlymessage"] != "from 0"


@pytest.mark.requirement("M184")
@pytest.mark.requirement("M192")
def test_a_job_is_canceled_at_its_next_checkpoint(org: Client, service: Service, start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    start()
    job = org.enqueue(plugins.steps.request(until=100, pause=0.4, log=str(log)))
    running(org, service, job)
    org.update("asyncoperation", job, CANCEL)
    assert org.retrieve("asyncoperation", job)["statuscode"] == 22
    done = stands(org, job, (3, 32))
    assert done["completedon"] is not None
    assert done["errorcode"] == -2147204751
    written = log.read_text()
    time.sleep(0.6)
    assert log.read_text() == written


def test_an_async_handler_pauses_at_its_checkpoint_and_else_at_its_await(
    org: Client, service: Service, start: Start
) -> None:
    start()
    checks = org.enqueue(plugins.steps_async.request(until=100, pause=0.1))
    sleeps = org.enqueue(plugins.awaits.request(seconds=60))
    for job in (checks, sleeps):
        running(org, service, job)
        org.update("asyncoperation", job, PAUSE)
    assert stands(org, checks, (1, 10), seconds=5)["friendlymessage"] is None
    paused = stands(org, sleeps, (1, 10), seconds=config.JOB_GRACE_SECONDS + 8)
    assert paused["friendlymessage"] == "It waits as it was asked to; its handler was stopped where it awaited."
    assert cursor(service.store, sleeps) == "begun"
    assert int(cursor(service.store, checks) or 0) >= 1


def test_an_async_handler_is_canceled_at_its_await_at_once(org: Client, service: Service, start: Start) -> None:
    """One that is to pause gets a while for its next checkpoint; asked first, it ends later."""
    start()
    paused, canceled = (org.enqueue(plugins.awaits.request(seconds=60)) for _ in range(2))
    for job in (paused, canceled):
        running(org, service, job)
    org.update("asyncoperation", paused, PAUSE)
    org.update("asyncoperation", canceled, CANCEL)
    ended, waits = stands(org, canceled, (3, 32)), stands(org, paused, (1, 10))
    assert ended["completedon"] < waits["modifiedon"]


def test_an_isolated_handler_that_does_not_let_go_loses_its_process(
    org: Client, service: Service, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "JOB_GRACE_SECONDS", 0.3)
    supervisor = start()
    paused, canceled = (org.enqueue(plugins.stuck.request(seconds=60)) for _ in range(2))
    for job in (paused, canceled):
        running(org, service, job)
    org.update("asyncoperation", paused, PAUSE)
    org.update("asyncoperation", canceled, CANCEL)
    ended = "its executor process was ended, with all that it had started, because it did not let go within 2 s."
    assert stands(org, canceled, (3, 32))["friendlymessage"] == f"The job was canceled; {ended}"
    assert stands(org, paused, (1, 10))["friendlymessage"] == f"It waits as it was asked to; {ended}"
    assert story(service, paused) == [("pause", 20, 21), ("let go", 21, 10)]
    org.update("asyncoperation", paused, RESUME)
    assert stands(org, paused, (3, 30))["friendlymessage"] == "from begun"
    assert all(not executor.running for executor in supervisor.pool.executors())


def test_an_isolated_handler_over_its_time_or_memory_is_failed_and_says_so(
    org: Client, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "JOB_GRACE_SECONDS", 0.3)
    first = start(job_memory_bytes_max=200 * 1024 * 1024)
    eaten = stands(org, org.enqueue(plugins.hungry.request(mebibytes=400)), (3, 31))
    assert eaten["friendlymessage"] == (
        "The job's own process used more than 200 MiB of memory and was ended, with all that it had started."
    )
    assert eaten["errorcode"] == -2147204723
    first.stop()
    start(job_seconds_max=3)  # the start of its process included
    late = stands(org, org.enqueue(plugins.stuck.request(seconds=60)), (3, 31))
    assert late["friendlymessage"] == (
        "The job ran longer than 3 s and did not stop when it was asked to: its process was ended, with all that it had started."
    )
    assert late["errorcode"] == -2146954991


def gone(pid: int) -> bool:
    """Whether a process has ended; who waits to be waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


WITH_ALL = "with all that it had started"


@pytest.mark.parametrize("by", ["time", "memory", "cancel", "pause", "death", "stop"])
def test_what_an_isolated_handler_has_started_ends_with_it(
    org: Client,
    service: Service,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    by: str,
) -> None:
    """A child, and one that hides in a session of its own."""
    monkeypatch.setattr(config, "JOB_GRACE_SECONDS", 0.3)
    monkeypatch.setattr(supervising, "_STOP_SECONDS", 0.3)
    limits = {"time": {"job_seconds_max": 3}, "memory": {"job_memory_bytes_max": 250 * 1024 * 1024}}
    supervisor = start(**limits.get(by, {}))
    log = tmp_path / "pids"
    job = org.enqueue(plugins.parent.request(log=str(log), eats=by == "memory", dies=by == "death"))
    running(org, service, job)
    pids = [int(pid) for pid in log.read_text().split()]
    match by:
        case "cancel" | "pause":
            org.update("asyncoperation", job, CANCEL if by == "cancel" else PAUSE)
        case "stop":
            supervisor.stop()
    wanted = {"cancel": (3, 32), "pause": (1, 10), "death": (3, 30), "stop": (0, 0)}.get(by, (3, 31))
    told = stands(org, job, wanted)["friendlymessage"]
    deadline = time.monotonic() + 5
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < deadline, by
        time.sleep(0.02)
    match by:
        case "death":
            assert told == "again"
            with service.store.read() as reader:
                (entry,) = explain.story(reader, job)
            assert entry.detail == "its executor process died (exit status 9)"
        case "stop":
            assert told is None
        case _:
            assert WITH_ALL in told


def test_a_handler_knows_its_time_and_fails_when_it_stops_because_of_it(org: Client, start: Start) -> None:
    start(job_seconds_max=1.5)
    stands(org, org.enqueue(plugins.in_time.request()), (3, 30), (3, 31))  # its time includes the start of the process
    assert stands(org, org.enqueue(plugins.in_time.request()), (3, 30))["friendlymessage"] == "True True"
    obedient, asynchronous = org.enqueue(plugins.obedient.request()), org.enqueue(plugins.awaits.request(seconds=60))
    for job in (obedient, asynchronous):
        done = stands(org, job, (3, 31))
        assert done["friendlymessage"] == "The job ran longer than 1.5 s and was stopped."


def test_a_handler_that_lets_nothing_else_run_takes_none_of_its_neighbours_along(
    org: Client, service: Service, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some calls hold Python's lock until they return: no other handler of the process goes on, nor begins."""
    monkeypatch.setattr(config, "JOB_GRACE_SECONDS", 0.5)
    service.register(worker_plugins.__name__)
    start(job_seconds_max=3)
    hog, *others = org.enqueue_many([worker_plugins.hog.request(), *[worker_plugins.sleepy.request(1.0)] * 3])
    told = [stands(org, job, (3, 30))["retrycount"] for job in others]
    assert told == [0, 0, 0]
    assert stands(org, hog, (3, 31))["friendlymessage"].startswith("The job ran longer than 3 s")
    assert {entry[0] for job in others for entry in story(service, job)} <= {"rescue"}


def test_a_job_s_time_does_not_begin_before_its_handler(org: Client, service: Service, start: Start) -> None:
    """An executor whose runs are short holds jobs ahead of its slots; one of them may turn out to be long."""
    service.register(worker_plugins.__name__)
    supervisor = start(concurrency=1, job_seconds_max=2.0)
    stands(org, org.enqueue(worker_plugins.quick.request()), (3, 30))
    (executor,) = supervisor.pool.executors()
    executor.seconds = 0.0  # as after a hundred short ones
    jobs = org.enqueue_many([worker_plugins.sleepy.request(seconds=1.2)] * 3)
    deadline = time.monotonic() + 20
    while supervisor.held() < len(jobs):  # all of them, though there is one slot
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for job in jobs:
        stands(org, job, (3, 30))


@pytest.mark.alone
def test_a_worker_that_stops_lets_its_jobs_go_on_elsewhere_from_their_cursor(
    org: Client, service: Service, start: Start, machine: Machine, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    first = start()
    job = org.enqueue(plugins.steps.request(until=5, pause=0.3, log=str(log)))
    running(org, service, job)
    began = time.monotonic()
    first.stop()
    assert time.monotonic() - began < 3 * machine.slowness(), "it does not wait for the end, nor out its time"
    stands(org, job, (0, 0))
    start()
    stands(org, job, (3, 30))
    assert log.read_text().splitlines() == [str(number) for number in range(5)], "each number once"
    assert story(service, job) == [("rescue", 20, 0)]


def test_a_retry_goes_on_from_the_last_checkpoint(org: Client, start: Start) -> None:
    start()
    job = org.enqueue(plugins.fails_after_a_checkpoint.request())
    assert stands(org, job, (3, 30))["friendlymessage"] == "from half"


def test_drain_runs_async_handlers_with_awaited_calls(org: Client, service: Service) -> None:
    org.create("account", {"name": "Contoso"})
    job = org.enqueue(plugins.awaits.request(seconds=0))
    assert drain(service) == 1
    assert org.retrieve("asyncoperation", job)["friendlymessage"] == "1 accounts"


@pytest.mark.requirement("M199")
def test_a_hundred_conflicting_actions_leave_one_story(
    org: Client, service: Service, start: Start, tmp_path: Path
) -> None:
    """Cancel, pause, resume and postpone from many threads on one running job: the answers fit the order that history shows."""
    start()
    job = org.enqueue(plugins.steps.request(until=1000, pause=0.02, log=str(tmp_path / "log")))
    running(org, service, job)
    later = {"postponeuntil": runtime.now() + timedelta(seconds=0.1)}
    wishes = ([PAUSE] * 4 + [RESUME] * 3 + [later] * 2) * 11 + [CANCEL]
    answers: list[str] = []

    def act(wish: dict[str, Any]) -> None:
        if wish is CANCEL:
            time.sleep(0.5)
        try:
            org.update("asyncoperation", job, wish)
            answers.append("cancel" if wish is CANCEL else "done")
        except InvalidStateChange:
            answers.append("refused")

    with ThreadPoolExecutor(20) as people:
        list(people.map(act, wishes))
    assert len(answers) == 100
    assert answers.count("cancel") == 1
    stands(org, job, (3, 32))
    told = story(service, job)
    assert told[0][1] == Status.IN_PROGRESS
    for (_, _, became), (event, was, _) in itertools.pairwise(told):
        # Between two entries only what a plain run does: due, claimed.
        assert became == was or (was in (0, 20) and became in (0, 10)), (event, told)
    for event, was, became in told:
        if event in set(Action):
            assert TRANSITIONS[Action(event)][Status(was)].status == became or (event, became) == ("postpone", 0)
    assert told[-1][2] == Status.CANCELED
    assert [event for event, _, _ in told].count("cancel") == 1
    with service.store.read() as reader:
        assert explain.examine(reader) == []
