"""Postponed jobs become Ready at their moment, however many there are. Through real supervisors, on both stores."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support import worker_plugins as plugins
from tests.support.machine import Machine

from adjourn import runtime
from adjourn.client import Client
from adjourn.jobs import postponed
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker import due
from adjourn.worker.supervisor import Supervisor

from .conftest import Start

MANY = 10_000


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    with store.read() as reader:
        return reader.rows(sql)


def wait(accepted: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not accepted():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.alone
@pytest.mark.requirement("M217")
@pytest.mark.requirement("M33")
def test_a_job_becomes_ready_within_100_ms_of_its_moment(
    org: Client, store: Store, start: Start, machine: Machine
) -> None:
    """Nobody has a slot for them, so that Ready lasts and can be seen; modifiedon is the moment at which they became so."""
    start(processes=0)
    jobs = [org.enqueue(plugins.quick.request(str(number))) for number in range(20)]
    for number, job in enumerate(jobs):
        org.update("asyncoperation", job, {"postponeuntil": runtime.now() + timedelta(seconds=0.4 + number * 0.037)})
    moments = [org.retrieve("asyncoperation", job)["postponeuntil"] for job in jobs]
    wait(lambda: rows(store, "SELECT count(*) FROM asyncoperation WHERE statecode = 1") == [(0,)], 20)
    late = []
    for job, moment in zip(jobs, moments, strict=True):
        found = org.retrieve("asyncoperation", job)
        assert (found["statecode"], found["statuscode"], found["postponeuntil"]) == (0, 0, None)
        assert found["modifiedon"] >= moment
        late.append((found["modifiedon"] - moment).total_seconds())
    # 100 ms is the promise; a machine that is shared may keep a thread waiting once.
    assert statistics.quantiles(late, n=10)[-1] < 0.1 * machine.slowness(90), late
    assert max(late) < 1 * machine.slowness(99), late


@pytest.mark.alone
def test_ten_thousand_due_at_once_are_all_ready_within_100_ms(
    org: Client, store: Store, start: Start, machine: Machine
) -> None:
    """As somebody sees it who asks all the time, and who sees none of them before."""
    start(processes=0)
    moment = runtime.now() + timedelta(seconds=2 + 2 * machine.slowness())
    org.enqueue_many([(plugins.quick.request("x"), {"postpone_until": moment})] * MANY)
    assert runtime.now() < moment - timedelta(seconds=1), "the machine is too slow for this test"
    number, seen = 0, []
    while number < MANY:
        asked = runtime.now()
        ((number,),) = rows(store, "SELECT coalesce(sum(n), 0) FROM jobcount WHERE statecode = 0")
        seen.append(((runtime.now() - moment).total_seconds(), int(number)))
        assert asked < moment + timedelta(seconds=20)
        time.sleep(0.002)
    first, last = (next(late for late, number in seen if number >= wanted) for wanted in (1, MANY))
    assert first > 0, "none is Ready before its moment"
    assert last < 0.1 * machine.slowness(90), seen


@pytest.mark.alone
@pytest.mark.requirement("M224")
def test_ten_thousand_due_at_once_start_in_order_and_hold_up_nobody(
    org: Client, store: Store, start: Start, machine: Machine
) -> None:
    moment = runtime.now() + timedelta(seconds=2 + 4 * machine.slowness())
    org.enqueue_many([(plugins.quick.request("x"), {"postpone_until": moment})] * MANY)
    start()
    assert runtime.now() < moment, "the machine is too slow for this test"
    wait(lambda: runtime.now() > moment, 20)
    began = runtime.now()
    account = org.create("account", {"name": "Contoso"})
    (other,) = org.retrieve_multiple(
        f"asyncoperations?$filter=_regardingobjectid_value eq {account} and name eq 'First job'&$select=name"
    )
    assert other.id is not None
    wait(lambda: org.retrieve("asyncoperation", other.id)["statecode"] == 3, 20)  # type: ignore[arg-type]
    found = org.retrieve("asyncoperation", other.id)
    assert (found["startedon"] - began).total_seconds() < 1.5 * machine.slowness(), (
        "a job of another class starts among them"
    )
    wait(lambda: rows(store, "SELECT count(*) FROM asyncoperation WHERE statecode < 3") == [(0,)], 120)
    started = rows(store, "SELECT startedon FROM asyncoperation WHERE operationtype = 54 ORDER BY sequence")
    assert len(started) == MANY
    for (before,), (after,) in itertools.pairwise(started):
        assert before <= after
    assert datetime.fromisoformat(started[0][0]) >= moment
    assert rows(store, "SELECT count(*) FROM asyncoperation WHERE statuscode <> 30") == [(0,)]


@pytest.mark.alone
def test_a_postponement_made_elsewhere_is_noticed_in_time(
    org: Client, service: Service, store: Store, start: Start, machine: Machine
) -> None:
    """A moment that is nearer than the next look: the commit wakes the one who looks."""
    start(processes=0)
    far = org.enqueue(plugins.quick.request("far"), postpone_until=runtime.now() + timedelta(hours=1))
    time.sleep(0.2)
    moment = runtime.now() + timedelta(seconds=0.3)
    org.update("asyncoperation", far, {"postponeuntil": moment})
    wait(lambda: org.retrieve("asyncoperation", far)["statecode"] == 0, 5)
    late = (org.retrieve("asyncoperation", far)["modifiedon"] - moment).total_seconds()
    assert late < 0.5 * machine.slowness(90)


@pytest.mark.alone
@pytest.mark.requirement("M194")
def test_an_old_job_that_is_resumed_starts_at_once_though_claims_are_far_ahead(
    org: Client, store: Store, start: Start, machine: Machine
) -> None:
    """On PostgreSQL claims begin at a remembered sequence; this one lies before it."""
    old = org.enqueue(plugins.quick.request("old"), postpone_until=runtime.now() + timedelta(hours=1))
    supervisor = start()
    for number in range(3):
        new = org.enqueue(plugins.quick.request(str(number)))
        wait(lambda new=new: org.retrieve("asyncoperation", new)["statecode"] == 3, 20)  # type: ignore[misc]
    # As if that had been a while ago.
    hints = supervisor.claims._hints
    hints.update({name: [(moment - 11, sequence) for moment, sequence in found] for name, found in hints.items()})
    supervisor.claims._swept = runtime.monotonic()
    began = runtime.now()
    org.update("asyncoperation", old, {"statecode": 0, "statuscode": 0})
    wait(lambda: org.retrieve("asyncoperation", old)["statecode"] == 3, 20)
    waited = (org.retrieve("asyncoperation", old)["startedon"] - began).total_seconds()
    assert waited < 1 * machine.slowness(90)


def test_what_a_crowd_waits_for_comes_for_all_of_them_at_once(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prepared before and committed at the moment; what came by and by would be seen by and by."""
    monkeypatch.setattr(due, "CROWD_MIN", 50)
    monkeypatch.setattr(due, "_LEAD_SECONDS", 0.4)  # for a busy machine
    monkeypatch.setattr(postponed, "BATCH", 1)
    service = Service(postgres_store)
    service.register(plugins.__name__)
    org = service.client(Call(caller=service.administrator()))
    moment = runtime.now() + timedelta(seconds=1)
    org.enqueue_many([(plugins.quick.request("x"), {"postpone_until": moment})] * 50)
    supervisor = Supervisor(service, processes=0)
    supervisor.start()
    try:
        seen: list[int] = []
        deadline = time.monotonic() + 20
        while not seen or seen[-1] < 50:
            assert time.monotonic() < deadline
            ((number,),) = rows(postgres_store, "SELECT count(*) FROM asyncoperation WHERE statecode = 0")
            seen.append(number)
            assert number == 0 or runtime.now() >= moment
    finally:
        supervisor.stop()
    assert set(seen) == {0, 50}


def test_due_jobs_are_promoted_in_batches_in_the_order_of_their_moments(
    store: Store, service: Service, org: Client
) -> None:
    now = runtime.now()
    for number in range(5):
        org.enqueue(plugins.quick.request(str(number)), postpone_until=now + timedelta(hours=5 - number))

    def unit(tx: Any) -> tuple[int, int | None]:
        tx.now = now + timedelta(hours=3, minutes=30)
        return postponed.promote(tx, 2)

    assert [store.write(unit)[0] for _ in range(3)] == [2, 1, 0]
    ready = rows(store, "SELECT sequence FROM asyncoperation WHERE statecode = 0 ORDER BY sequence")
    everything = rows(store, "SELECT sequence FROM asyncoperation ORDER BY sequence")
    assert ready == everything[2:]
