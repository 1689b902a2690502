"""The jobs of dead workers are given back, those of living ones never, whatever others believed a moment ago."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from tests.support import worker_plugins as plugins
from tests.support.beside import beside

from adjourn import config, runtime
from adjourn.client import Client
from adjourn.jobs import actions, queue, tokens
from adjourn.jobs.model import ClaimedJob
from adjourn.jobs.states import Status
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store, Transaction
from adjourn.worker.due import Duty
from adjourn.worker.duties import duties


def rescue_of(service: Service, monkeypatch: pytest.MonkeyPatch) -> Duty:
    """The duty of a store whose own beats have been steady."""
    monkeypatch.setattr(service.store, "judges", lambda: True)
    return duties(service, runtime.new_id(), lambda: None, lambda: None)["rescue"]


def held_by(store: Store, worker: UUID) -> ClaimedJob:
    (job,) = store.write(lambda tx: queue.claim(tx, operation_types=[54], limit=1, worker=str(worker)))
    return job


def test_a_worker_that_was_heard_of_after_all_keeps_its_jobs(
    org: Client, service: Service, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was silent when somebody looked, and beat before he acted."""
    rescue = rescue_of(service, monkeypatch)
    worker = runtime.new_id()
    store.hold_worker(worker, "host", 1)
    org.enqueue(plugins.quick.request("x"))
    job = held_by(store, worker)
    monkeypatch.setattr(store, "dead_workers", lambda now: [str(worker)])
    monkeypatch.setattr(store, "living", lambda workers: set())
    rescue(runtime.now())
    with store.read() as reader:
        assert queue.holds(reader, job.id, job.lease) == Status.IN_PROGRESS
    assert store.beat(worker), "it was not forgotten either"


def test_what_a_worker_claimed_is_given_back_when_nobody_knows_it(
    org: Client, service: Service, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rescue = rescue_of(service, monkeypatch)
    job = org.enqueue(plugins.quick.request("x"))
    held_by(store, runtime.new_id())
    rescue(runtime.now())
    assert org.retrieve("asyncoperation", job)["statuscode"] == Status.WAITING_FOR_RESOURCES


@pytest.fixture
def hosts(postgres_store: Store) -> Service:
    """A service on PostgreSQL, where workers are known by their beats."""
    service = Service(postgres_store)
    service.register(plugins.__name__)
    return service


def test_a_silent_worker_is_forgotten_together_with_its_jobs(hosts: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat between the giving back and the forgetting would be that of a worker that lives, and claims."""
    monkeypatch.setattr(config, "WORKER_STALE_SECONDS", 0.1)
    rescue, store = rescue_of(hosts, monkeypatch), hosts.store
    worker = runtime.new_id()
    store.hold_worker(worker, "host", 1)
    runtime.sleep(0.2)
    beats: list[Any] = []
    real = queue.rescue

    def slow(tx: Transaction, dead: list[str]) -> int:
        found = real(tx, dead)
        beats.append(beside(lambda: store.beat(worker)))
        runtime.sleep(0.1)
        return found

    monkeypatch.setattr(queue, "rescue", slow)
    rescue(runtime.now())
    assert [beat.result(5) for beat in beats] == [False], "it learns that it is dead, and begins anew"


def test_a_rescue_locks_the_token_before_the_rows(hosts: Service) -> None:
    """As who pauses, cancels or deletes a job does: in any other order the two may wait for each other."""
    store = hosts.store
    org = hosts.client(Call(caller=hosts.administrator()))
    job = org.enqueue(plugins.quick.request("x"), dependency_token="t")
    held_by(store, runtime.new_id())
    with store.read() as reader:
        workers = queue.workers(reader)
    attempts: list[int] = []

    def rescue(tx: Transaction) -> int:
        attempts.append(1)
        return queue.rescue(tx, workers)

    with store.transaction("a person") as tx:
        tokens.lock(tx, ["t:t"])
        rescued = beside(lambda: store.write(rescue))
        runtime.sleep(0.2)
        actions.cancel(tx, job, by=UUID(config.ADMIN_USER_ID))
    assert rescued.result(5) == 1
    assert attempts == [1]
    assert org.retrieve("asyncoperation", job)["statuscode"] == Status.CANCELED


def test_a_worker_never_takes_itself_for_dead(hosts: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine so busy that its own last beat is old; it would start again, out of order, what it is at."""
    monkeypatch.setattr(config, "WORKER_STALE_SECONDS", 0.05)
    monkeypatch.setattr(hosts.store, "judges", lambda: True)
    worker = runtime.new_id()
    hosts.store.hold_worker(worker, "host", 1)
    org = hosts.client(Call(caller=hosts.administrator()))
    org.enqueue(plugins.quick.request("x"))
    job = held_by(hosts.store, worker)
    runtime.sleep(0.1)
    rescue = duties(hosts, worker, lambda: None, lambda: None)["rescue"]
    rescue(runtime.now())
    with hosts.store.read() as reader:
        assert queue.holds(reader, job.id, job.lease) == Status.IN_PROGRESS
    assert hosts.store.beat(worker)
