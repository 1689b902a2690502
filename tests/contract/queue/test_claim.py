"""Who gets which job, under which lease."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

import pytest

from adjourn import config, runtime
from adjourn.jobs import actions, queue
from adjourn.jobs.model import ClaimedJob, Continue, Released, Succeeded
from adjourn.metadata.model import Reference


def ids(claimed: list[ClaimedJob]) -> list[UUID]:
    return [job.id for job in claimed]


@pytest.mark.requirement("M19")
def test_the_earliest_come_first_though_made_in_the_same_moment(jobs: Any) -> None:
    submitted = jobs.add(7)
    assert ids(jobs.claim(3)) + ids(jobs.claim(3)) + ids(jobs.claim(3)) == submitted


@pytest.mark.requirement("M182")
@pytest.mark.requirement("M65")
def test_a_claimed_job_is_locked_under_a_lease_and_started(jobs: Any) -> None:
    (job,) = jobs.add()
    jobs.tick()
    (claimed,) = jobs.claim(worker="me")
    row = jobs.row(job)
    assert (row["statecode"], row["statuscode"], row["worker"], row["lease"]) == (2, 20, "me", claimed.lease)
    assert row["startedon"] == row["modifiedon"] == "2030-01-01T12:00:01.000000Z"
    assert row["modifiedby"] == config.SYSTEM_USER_ID
    assert claimed.started_on == jobs.now


@pytest.mark.parametrize(("slots", "ahead_bytes", "taken"), [
    (0, 0, 0), (0, 1, 1), (0, 1000, 1), (0, 1001, 2), (2, 0, 2), (2, 1001, 2), (2, 2001, 3), (9, 0, 5),
])  # fmt: skip
def test_who_has_no_slot_is_taken_while_the_data_before_him_is_not_too_much(
    jobs: Any, slots: int, ahead_bytes: int, taken: int
) -> None:
    submitted = jobs.add(5, data="x" * 1000)
    assert ids(jobs.claim(9, slots=slots, ahead_bytes=ahead_bytes)) == submitted[:taken]


def test_the_cursors_that_jobs_go_on_from_count_too(jobs: Any) -> None:
    submitted = jobs.add(3)
    jobs.settle(*((job, Continue("x" * 1000)) for job in jobs.claim(3)))
    claimed = jobs.claim(9, slots=0, ahead_bytes=1001)
    assert ids(claimed) == submitted[:2]
    assert [job.data_bytes for job in claimed] == [1000, 1000]


def test_data_in_a_file_counts_too_and_so_does_what_was_claimed_of_another_type(jobs: Any) -> None:
    small, large, last = jobs.add(), jobs.add(data="x" * 5_000_000), jobs.add(operation_type=1, data="y" * 10)
    claimed = jobs.claim(9, types=(54, 1), slots=0, ahead_bytes=5_000_001)
    assert ids(claimed) == small + large + last
    assert [job.data_bytes for job in claimed] == [0, 5_000_000, 10]
    jobs.settle(*((job, Released()) for job in claimed))
    assert ids(jobs.claim(9, types=(54, 1), slots=0, ahead_bytes=5_000_000)) == small + large
    assert jobs.stands(*last) == [(0, 0)]


def test_each_claim_has_a_lease_of_its_own(jobs: Any) -> None:
    jobs.add(4)
    leases = [{job.lease for job in jobs.claim(2)} for _ in range(2)]
    assert [len(found) for found in leases] == [1, 1]
    assert leases[0] != leases[1]


def test_a_worker_gets_the_job_as_it_was_given(jobs: Any) -> None:
    regarding, step = Reference("account", runtime.new_id()), runtime.new_id()
    new = jobs.new(
        operation_type=1, name="ünïcode", message_name="Update", data='{"a":1}', depth=3, regarding=regarding,
        primary_entity_type="account", owning_extension=step, created_by=UUID(int=9),
    )  # fmt: skip
    jobs.unit(lambda tx: queue.insert(tx, [new]))
    (job,) = jobs.claim(types=(1,))
    assert (job.id, job.operation_type, job.name, job.message_name) == (new.id, 1, "ünïcode", "Update")
    assert (job.data, job.data_file, job.depth, job.regarding) == ('{"a":1}', None, 3, regarding)
    assert (job.primary_entity_type, job.owning_extension, job.created_by) == ("account", step, UUID(int=9))
    assert (job.owner, job.correlation_id, job.correlation_updated) == (new.owner, new.correlation_id, jobs.now)
    assert (job.created_on, job.retry_count, job.crashes, job.cursor, job.auto_delete) == (jobs.now, 0, 0, None, False)


def test_only_the_wanted_types_are_claimed_and_each_in_its_turn(jobs: Any) -> None:
    (request,) = jobs.add()
    (step,) = jobs.add(operation_type=1)
    jobs.add(operation_type=13)
    assert ids(jobs.claim(types=(1, 54))) == [step, request]
    assert jobs.claim(types=(1, 54)) == []


def test_a_limit_counts_over_all_types(jobs: Any) -> None:
    jobs.add(2, operation_type=1)
    jobs.add(2)
    assert [job.operation_type for job in jobs.claim(3, types=(1, 54))] == [1, 1, 54]
    assert jobs.claim(0) == []


def test_a_claim_may_start_behind_a_sequence(jobs: Any) -> None:
    submitted = jobs.add(4)
    assert ids(jobs.claim(after=jobs.row(submitted[1])["sequence"])) == submitted[2:]


def test_a_step_that_deletes_its_jobs_says_so(jobs: Any) -> None:
    steps = [runtime.new_id(), runtime.new_id()]
    step = "INSERT INTO sdkmessageprocessingstep (sdkmessageprocessingstepid, name, asyncautodelete) VALUES (:id, 'step', :deletes)"
    for number, found in enumerate(steps):
        jobs.unit(lambda tx, n=number, id_=str(found): tx.execute(step, {"id": id_, "deletes": bool(n)}))
        jobs.add(operation_type=1, owning_extension=found)
    assert [job.auto_delete for job in jobs.claim(types=(1,))] == [False, True]


def test_suspended_and_finished_jobs_are_not_claimed(jobs: Any) -> None:
    first, second, third = jobs.add(3)
    jobs.run()
    jobs.act(actions.postpone, second, jobs.now.replace(year=2031))
    jobs.act(actions.cancel, third)
    assert jobs.claim() == []
    assert jobs.stands(first, second, third) == [(3, 30), (1, 10), (3, 32)]


def test_nobody_waits_for_another_claim_and_none_takes_the_same_job(jobs: Any) -> None:
    """On PostgreSQL a claim steps over rows that an open transaction holds; on SQLite claims take turns."""
    submitted = jobs.add(4)
    if jobs.store.dialect == "sqlite":
        assert ids(jobs.claim(2)) + ids(jobs.claim(2)) == submitted
        return
    with jobs.store.transaction("first") as tx:
        first = queue.claim(tx, operation_types=(54,), limit=2, worker="a")
        second = jobs.claim(2, worker="b")
    assert ids(first) + ids(second) == submitted


def test_many_workers_at_once_run_every_job_once(jobs: Any) -> None:
    submitted = jobs.add(200)
    taken: list[ClaimedJob] = []

    def work(name: str) -> None:
        while claimed := jobs.claim(7, worker=name):
            taken.extend(claimed)
            jobs.settle(*((job, Succeeded()) for job in claimed))

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(ids(taken)) == sorted(submitted)
    assert jobs.rows("SELECT DISTINCT statecode, statuscode FROM asyncoperation") == [(3, 30)]
