"""The database goes away and comes back; hosts die beside it. Real PostgreSQL, stopped and started."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from tests.support import atomic_plugins, control_plugins, worker_plugins
from tests.support.postgres import Server
from tests.support.postgres_proxy import Proxy

from adjourn import config
from adjourn.client import Client
from adjourn.jobs import explain
from adjourn.jobs.states import Status
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.supervisor import Supervisor

pytestmark = pytest.mark.alone

MODULES = ("tests.support.control_plugins", "tests.support.worker_plugins")


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own."""
    found = Server()
    found.start()
    yield found
    found.remove()


def client(service: Service) -> Client:
    return service.client(Call(caller=service.administrator()))


def wait(accepted: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not accepted():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def status(org: Client, job: UUID) -> int:
    found: int = org.retrieve("asyncoperation", job, ["statuscode"])["statuscode"]
    return found


def steady(*services: Service) -> None:
    """Wait until every worker is trusted to judge the others."""
    wait(lambda: all(service.store.judges() for service in services))


def outage(server: Server, tmp_path: Path, seconds: float, how: int) -> None:
    """Two workers with running and waiting jobs; the server goes for some seconds: everything ran once, nobody was rescued."""
    services = [Service.open(server.url) for _ in range(2)]
    for module in MODULES:
        services[0].register(module)
    org = client(services[0])
    supervisors = [Supervisor(service, processes=1, concurrency=3) for service in services]
    for supervisor in supervisors:
        supervisor.start()
    try:
        steady(*services)
        log = tmp_path / "log"
        count = int(seconds * 5)
        asks = org.enqueue(control_plugins.steps.request(until=count, pause=0.3, log=str(log)))
        sleeps = [org.enqueue(worker_plugins.sleepy.request(share * seconds)) for share in (0.5, 0.8, 1.5)]
        wait(lambda: all(status(org, job) == Status.IN_PROGRESS for job in (asks, *sleeps)))
        held = [supervisor.held() for supervisor in supervisors]
        assert sum(held) == 4
        waits = [org.enqueue(worker_plugins.quick.request(str(number))) for number in range(20)]
        blocked = [org.enqueue(worker_plugins.quick.request(str(number)), dependency_token="t") for number in range(5)]
        server.stop(how)
        time.sleep(seconds)
        server.start()
        jobs = [asks, *sleeps, *waits, *blocked]
        wait(lambda: all(status(org, job) == Status.SUCCEEDED for job in jobs), seconds + 40)
        assert log.read_text().splitlines() == [str(number) for number in range(count)], "each number once"
        with services[0].store.read() as reader:
            told = [(entry.event, entry.detail) for job in jobs for entry in explain.story(reader, job)]
            assert explain.examine(reader) == []
        assert [entry for entry in told if entry[0] != "turn"] == [], "nobody was rescued"
        assert [supervisor.held() for supervisor in supervisors] == [0, 0]
    finally:
        for supervisor in supervisors:
            supervisor.stop()
        for service in services:
            service.close()


@pytest.mark.parametrize(
    "how", [signal.SIGINT, pytest.param(signal.SIGQUIT, marks=pytest.mark.long)], ids=["stopped", "crashed"]
)
def test_an_outage_of_the_database_rescues_nobody_by_mistake(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: int
) -> None:
    monkeypatch.setattr(config, "WORKER_STALE_SECONDS", 2.0)
    outage(server, tmp_path, 4.0, how)


def test_what_a_handler_asks_for_is_asked_again_when_its_connection_is_lost(postgres_url: str) -> None:
    """The database ends whatever it is doing for us, fifty times a second: the handler hears nothing of it."""
    service = Service.open(postgres_url)
    for module in MODULES:
        service.register(module)
    org = client(service)
    supervisor = Supervisor(service, processes=1, concurrency=3)
    supervisor.start()
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()"
    )
    lost = 0
    try:
        jobs = [org.enqueue(worker_plugins.looks.request(2.0)) for _ in range(3)]
        wait(lambda: all(status(org, job) == Status.IN_PROGRESS for job in jobs))
        with psycopg.connect(postgres_url, autocommit=True) as operator:
            until = time.monotonic() + 1.8
            while time.monotonic() < until:
                lost += operator.execute(cut).fetchall()[0][0]
                time.sleep(0.02)
        wait(lambda: all(status(org, job) in (Status.SUCCEEDED, Status.FAILED) for job in jobs))
        ended = [org.retrieve("asyncoperation", job, ["statuscode", "friendlymessage", "message"]) for job in jobs]
        assert [found["statuscode"] for found in ended] == [Status.SUCCEEDED] * 3, ended
        assert lost > 10
        made = len(org.retrieve_multiple("accounts?$select=name"))
        assert made == sum(int(found["friendlymessage"]) for found in ended), "each was made once"
    finally:
        supervisor.stop()
        service.close()


@pytest.mark.long
def test_an_outage_of_twenty_seconds_rescues_nobody_by_mistake(server: Server, tmp_path: Path) -> None:
    outage(server, tmp_path, 20.0, signal.SIGINT)


def test_after_an_outage_a_worker_that_did_not_come_back_is_rescued(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grace is no amnesty."""
    monkeypatch.setattr(config, "WORKER_STALE_SECONDS", 1.0)
    service = Service.open(server.url)
    for module in MODULES:
        service.register(module)
    org = client(service)
    supervisor = Supervisor(service, processes=1, concurrency=3)
    try:
        with working(server.url) as other:
            job = org.enqueue(worker_plugins.sleepy.request(1))
            wait(lambda: status(org, job) == Status.IN_PROGRESS)
            supervisor.start()
            steady(service)
            server.stop()
            other.kill()
        server.start()
        wait(lambda: status(org, job) == Status.SUCCEEDED)
        with service.store.read() as reader:
            (told,) = explain.story(reader, job)
        assert (told.event, told.detail) == ("rescue", "its worker died")
    finally:
        supervisor.stop()
        service.close()


@contextmanager
def working(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another host: `adjourn work`, from when it has begun."""
    command = [sys.executable, "-m", "adjourn.cli", "work", "--database", url, "--concurrency", "3"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert b"Working" in process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_the_jobs_of_a_host_that_dies_are_ready_within_five_seconds(postgres_url: str) -> None:
    service = Service.open(postgres_url)
    for module in MODULES:
        service.register(module)
    org = client(service)
    supervisor = Supervisor(service, processes=0)
    try:
        with working(postgres_url) as other:
            jobs = [org.enqueue(worker_plugins.sleepy.request(60)) for _ in range(3)]
            wait(lambda: all(status(org, job) == Status.IN_PROGRESS for job in jobs))
            supervisor.start()  # without executors: what it gives back stays Ready
            steady(service)
            other.kill()
            killed = time.monotonic()
        wait(lambda: all(status(org, job) == Status.WAITING_FOR_RESOURCES for job in jobs), 10)
        assert time.monotonic() - killed < 5.5, "five seconds, and half of one for a machine that is shared"
    finally:
        supervisor.stop()
        service.close()


def test_a_worker_that_was_taken_for_dead_begins_anew_and_writes_nothing_as_the_old_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a laptop's sleep: others have given its jobs back meanwhile."""
    service = Service(store)
    for module in MODULES:
        service.register(module)
    org = client(service)
    supervisor = Supervisor(service, processes=1, concurrency=3)
    supervisor.start()
    try:
        before = supervisor.id
        job = org.enqueue(worker_plugins.sleepy.request(1.5))
        wait(lambda: status(org, job) == Status.IN_PROGRESS)
        store.release_worker(before)
        wait(lambda: supervisor.id != before)
        wait(lambda: status(org, job) == Status.SUCCEEDED)
        with store.read() as reader:
            assert [told.event for told in explain.story(reader, job)] == ["rescue"]
            assert explain.examine(reader) == []
    finally:
        supervisor.stop()


def test_a_claim_and_a_settle_whose_replies_are_lost_lose_and_double_nothing(postgres_url: str) -> None:
    """Half of all COMMITs of a working supervisor are cut before their reply."""
    proxy = Proxy(postgres_url)
    watched = Service.open(postgres_url)
    for module in MODULES:
        watched.register(module)
    org = client(watched)
    service = Service.open(proxy.url)
    supervisor = Supervisor(service, processes=1, concurrency=4)
    supervisor.start()
    lost = 0
    try:
        jobs: list[UUID] = []
        for number in range(25):
            proxy.lose_commits = 1
            jobs += org.enqueue_many([worker_plugins.quick.request(str(number))] * 3)
            time.sleep(0.1)
            lost += 1 - proxy.lose_commits
        wait(lambda: all(status(org, job) == Status.SUCCEEDED for job in jobs))
        with watched.store.read() as reader:
            assert [told for job in jobs for told in explain.story(reader, job)] == []
            assert explain.examine(reader) == []
        assert lost > 10
    finally:
        supervisor.stop()
        service.close()
        watched.close()
        proxy.close()


def test_a_claim_of_which_nobody_can_say_whether_it_is_one_is_given_back(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has crashed meanwhile, or does not come back for long."""
    proxy = Proxy(postgres_url)
    watched = Service.open(postgres_url)
    for module in MODULES:
        watched.register(module)
    org = client(watched)
    service = Service.open(proxy.url)
    doubts: list[int] = []

    def unknown(*arguments: Any) -> None:
        doubts.append(1)

    monkeypatch.setattr(service.store._connections, "committed", unknown)  # type: ignore[attr-defined]
    supervisor = Supervisor(service, processes=1, concurrency=4)
    supervisor.start()
    try:
        jobs: list[UUID] = []
        for number in range(15):
            proxy.lose_commits = 1
            jobs += org.enqueue_many([worker_plugins.quick.request(str(number))] * 3)
            time.sleep(0.1)
        proxy.lose_commits = 0
        wait(lambda: all(status(org, job) == Status.SUCCEEDED for job in jobs))
        with watched.store.read() as reader:
            told = {(entry.event, entry.detail) for job in jobs for entry in explain.story(reader, job)}
            assert explain.examine(reader) == []
        assert told == {("rescue", "its worker never heard that it had it")}
        assert doubts
    finally:
        supervisor.stop()
        service.close()
        watched.close()
        proxy.close()


@pytest.mark.parametrize("known", [True, False])
def test_an_atomic_run_changes_data_once_though_the_reply_to_its_commit_is_lost(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Also when nobody can say what became of it: then it is retried, and refused if it was done."""
    proxy = Proxy(postgres_url)
    watched = Service.open(postgres_url)
    watched.register("tests.support.atomic_plugins")
    org = client(watched)
    service = Service.open(proxy.url)
    if not known:
        connections = service.store._connections  # type: ignore[attr-defined]
        monkeypatch.setattr(connections, "committed", lambda number, before: None)
    supervisor = Supervisor(service, processes=1, concurrency=1)
    supervisor.start()
    try:
        job = org.enqueue(atomic_plugins.waits_and_writes.request(name="once", seconds=1.0))
        wait(lambda: status(org, job) == Status.IN_PROGRESS)
        time.sleep(0.3)
        deadline = time.monotonic() + 30
        while status(org, job) != Status.SUCCEEDED:
            proxy.lose_commits = 1
            assert time.monotonic() < deadline
            time.sleep(0.02)
        proxy.lose_commits = 0
        wait(lambda: supervisor.held() == 0)
        assert len(org.retrieve_multiple("accounts?$filter=name eq 'once'&$select=name")) == 1
        assert proxy.lost.is_set()
        with watched.store.read() as reader:
            assert explain.examine(reader) == []
    finally:
        supervisor.stop()
        service.close()
        watched.close()
        proxy.close()
