"""What many jobs wait for is prepared before it comes (`jobs.postponed`): PostgreSQL alone, whose units do not hold up each other."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.beside import beside

from adjourn.jobs import actions, postponed, queue
from adjourn.jobs.model import ClaimedJob
from adjourn.jobs.states import Status
from adjourn.metadata.values import moment_text
from adjourn.store.contract import Store, Transaction

from .conftest import ADMIN, Jobs

READY, WAITING = (0, 0), (1, 10)


@pytest.fixture
def held(postgres_store: Store) -> Jobs:
    """A queue by the database's own clock, which preparing goes by."""
    found = Jobs(postgres_store)
    found.now = clock(postgres_store)
    return found


def clock(store: Store) -> datetime:
    with store.read() as reader:
        return reader.now


def prepared(jobs: Jobs, moment: datetime) -> Any:
    """Prepare the jobs of a moment, on a thread of its own; a future of what `prepare` returns."""
    return beside(lambda: jobs.store.write(lambda tx: postponed.prepare(tx, moment, limit=100, batch=3)))


def claim(jobs: Jobs) -> list[ClaimedJob]:
    """Everything that is Ready."""
    return jobs.store.write(lambda tx: queue.claim(tx, operation_types=[54], limit=100, worker="w"))


def test_jobs_that_are_prepared_are_ready_at_their_moment_and_not_before(held: Jobs) -> None:
    moment = held.now + timedelta(seconds=0.5)
    ids = held.add(10, postpone_until=moment)
    future = prepared(held, moment)
    claimed: list[ClaimedJob] = []
    looked = 0
    while len(claimed) < 10:
        before = clock(held.store)
        stands = set(held.stands(*ids))
        claimed += claim(held)
        assert not claimed or clock(held.store) >= moment
        assert stands == {WAITING} or clock(held.store) >= moment
        assert before < moment + timedelta(seconds=5)
        looked += before < moment
    assert looked > 3
    assert future.result() == (10, claimed[0].sequence)
    assert [job.id for job in claimed] == ids
    assert min(held.row(job)["startedon"] for job in ids) >= moment_text(moment)
    held.check()


def test_what_is_not_of_the_moment_or_is_held_otherwise_stays(held: Jobs) -> None:
    moment = held.now + timedelta(seconds=0.3)
    (due,) = held.add(1, postpone_until=moment)
    (sooner,) = held.add(1, postpone_until=moment - timedelta(seconds=0.1))
    (further,) = held.add(1, postpone_until=moment + timedelta(hours=1))
    head, behind = held.add(2, dependency_token="t", postpone_until=moment)
    assert prepared(held, moment).result() == (2, held.row(due)["sequence"])
    assert held.stands(due, head) == [READY, READY]
    assert held.stands(sooner, further, behind) == [WAITING] * 3
    assert held.row(sooner)["postponeuntil"] is not None
    held.now = clock(held.store)
    assert held.due()[0] == 1, "the one that was due sooner is somebody else's"
    held.check()


def test_who_wants_to_do_something_to_a_prepared_job_waits_for_its_moment(held: Jobs) -> None:
    moment = held.now + timedelta(seconds=0.6)
    ids = held.add(3, postpone_until=moment)
    future = prepared(held, moment)
    time.sleep(0.2)
    later = moment + timedelta(hours=1)
    held.store.write(lambda tx: actions.postpone(tx, ids[0], later, by=ADMIN))
    held.store.write(lambda tx: actions.cancel(tx, ids[1], by=ADMIN))
    assert clock(held.store) >= moment
    assert future.result()[0] == 3
    assert held.stands(*ids) == [WAITING, (3, 32), READY]
    assert held.row(ids[0])["postponeuntil"] == moment_text(later)
    held.check()


def test_a_process_that_stalls_keeps_prepared_jobs_from_nobody(held: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postponed, "STALLED_MILLISECONDS", 200)
    moment = held.now + timedelta(seconds=0.2)
    (job,) = held.add(1, postpone_until=moment)
    stalled = []

    def unit(tx: Transaction) -> tuple[int, int | None]:
        found = postponed.prepare(tx, moment, 10)
        if not stalled:
            stalled.append(found[0])
            time.sleep(0.6)
            assert beside(lambda: held.store.write(postponed.promote)).result()[0] == 1
        return found

    assert held.store.write(unit) == (0, None), "the second attempt finds nothing to do"
    assert stalled == [1]
    assert held.stands(job) == [READY]
    held.check()


def test_a_moment_that_has_come_is_left_to_those_who_promote(held: Jobs) -> None:
    moment = held.now + timedelta(seconds=0.1)
    (job,) = held.add(1, postpone_until=moment)
    time.sleep(0.2)
    assert prepared(held, moment).result() == (0, None)
    assert held.stands(job) == [WAITING]


def test_a_crowd_is_many_jobs_of_the_very_same_moment(held: Jobs) -> None:
    def crowd(seconds: float, many: int = 3, limit: int = 100) -> tuple[datetime, int] | None:
        until = held.now + timedelta(seconds=seconds)
        with held.store.read() as reader:
            reader.now = held.now
            return postponed.crowd(reader, until, many=many, limit=limit)

    first, second = (held.now + timedelta(seconds=seconds) for seconds in (2, 3))
    for number in range(5):
        held.add(1, postpone_until=held.now + timedelta(seconds=1, microseconds=number))
    held.add(5, postpone_until=held.now)
    held.add(4, dependency_token="t", postpone_until=first - timedelta(seconds=0.5))
    held.add(3, postpone_until=first)
    held.add(6, postpone_until=second)
    assert crowd(1.9) is None
    assert crowd(2) == (first, 3)
    assert crowd(9) == (first, 3)
    assert crowd(9, many=4) == (second, 6)
    assert crowd(9, many=7) is None
    assert crowd(9, limit=9) == (first, 3)
    assert crowd(9, limit=8) is None, "no more are looked at than would be prepared"


def test_a_job_never_starts_before_it_became_ready(held: Jobs) -> None:
    """A claim whose unit began just before the moment and whose statement ran just after it."""
    moment = held.now + timedelta(seconds=0.3)
    (job,) = held.add(1, postpone_until=moment)

    def unit(tx: Transaction) -> list[ClaimedJob]:
        assert tx.now < moment
        time.sleep(0.1)
        prepared(held, moment).result()
        return queue.claim(tx, operation_types=[54], limit=1, worker="w")

    (claimed,) = held.store.write(unit)
    assert claimed.id == job
    row = held.row(job)
    assert row["statuscode"] == Status.IN_PROGRESS
    assert datetime.fromisoformat(row["startedon"]).astimezone(UTC) >= moment
