"""Moments, dead workers, checkpoints, and the sentence on why a job waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from adjourn.jobs import actions, postponed, queue
from adjourn.jobs.model import Continue, Released, Succeeded
from adjourn.jobs.states import Status


def next_due(jobs: Any) -> Any:
    with jobs.store.read() as reader:
        return postponed.next_moment(reader)


def test_due_jobs_become_ready_the_longest_due_first_and_a_batch_at_a_time(jobs: Any) -> None:
    submitted = [jobs.add(postpone_until=jobs.now + timedelta(seconds=10 - number))[0] for number in range(4)]
    assert next_due(jobs) == jobs.now + timedelta(seconds=7)
    jobs.tick(10)
    assert jobs.due(limit=3) == (3, jobs.row(submitted[1])["sequence"])
    assert next_due(jobs) == jobs.now
    assert jobs.due(limit=3) == (1, jobs.row(submitted[0])["sequence"])
    assert (next_due(jobs), jobs.due()) == (None, (0, None))
    assert [job.id for job in jobs.claim()] == submitted, "in the order of submission, not of their moments"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [(None, (0, 0)), (actions.pause, (1, 10)), (actions.cancel, (3, 32))],
    ids=["", "pause", "cancel"],
)
def test_a_dead_workers_job_is_given_back(jobs: Any, asked: Any, expected: tuple[int, int]) -> None:
    job, other = jobs.add(2)
    (claimed,) = jobs.claim(1, worker="dead")
    jobs.claim(1, worker="alive")
    jobs.settle((claimed, Released(crashed=True)))
    (claimed,) = jobs.claim(1, worker="dead")
    jobs.unit(lambda tx: queue.checkpoint(tx, claimed, "half"))
    if asked:
        jobs.act(asked, job)
    with jobs.store.read() as reader:
        assert queue.workers(reader) == ["alive", "dead"]
    assert jobs.unit(lambda tx: queue.rescue(tx, ["dead", "unknown"])) == 1
    assert jobs.stands(job, other) == [expected, (2, 20)]
    row = jobs.row(job)
    assert (row["worker"], row["lease"], row["crashes"]) == (None, None, 1), "the worker's death is not the job's fault"
    assert row["cursor"] == (None if expected[0] == 3 else "half")
    assert jobs.settle((claimed, Succeeded())).refused == [job]
    assert jobs.unit(lambda tx: queue.rescue(tx, ["dead"])) == jobs.unit(lambda tx: queue.rescue(tx, [])) == 0


def test_a_worker_learns_which_of_its_jobs_to_interrupt(jobs: Any) -> None:
    jobs.add(4)
    first, second, _ = jobs.claim(3, worker="me")
    (others,) = jobs.claim(1, worker="other")
    jobs.act(actions.pause, first.id)
    jobs.act(actions.cancel, second.id)
    jobs.act(actions.cancel, others.id)
    with jobs.store.read() as reader:
        found = queue.interrupts(reader, "me")
    assert sorted(found) == sorted(
        [(first.id, first.lease, Status.PAUSING), (second.id, second.lease, Status.CANCELING)]
    )


@pytest.mark.requirement("M50")
def test_a_checkpoint_keeps_cursor_and_progress_and_leaves_modifiedon(jobs: Any) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    before = jobs.row(job)
    jobs.tick(5)
    assert jobs.unit(lambda tx: queue.checkpoint(tx, claimed, "page 2"))
    assert jobs.unit(lambda tx: queue.checkpoint(tx, claimed, None, "half", 50))
    expected = before | {"cursor": "page 2", "progresstext": "half", "progresspercent": 50}
    assert jobs.row(job) == expected


def test_a_checkpoint_without_the_lease_changes_nothing(jobs: Any) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    with jobs.store.read() as reader:
        assert queue.holds(reader, job, claimed.lease) is Status.IN_PROGRESS
        assert queue.holds(reader, job, "another") is None
    assert jobs.unit(lambda tx: queue.fence(tx, job, claimed.lease)) is Status.IN_PROGRESS
    jobs.settle((claimed, Continue("c")))
    assert jobs.unit(lambda tx: queue.fence(tx, job, claimed.lease)) is None
    assert not jobs.unit(lambda tx: queue.checkpoint(tx, claimed, "late"))
    assert jobs.row(job)["cursor"] == "c"
    with jobs.store.read() as reader:
        assert queue.holds(reader, job, claimed.lease) is None


def test_running_jobs_are_counted_by_type(jobs: Any) -> None:
    jobs.add(3)
    jobs.add(2, operation_type=1)
    jobs.claim(4, types=(1, 54))
    with jobs.store.read() as reader:
        assert queue.running(reader) == {1: 2, 54: 2}


def test_folding_the_counts_changes_none_of_them(jobs: Any) -> None:
    for _ in range(3):
        jobs.add(5)
    jobs.claim(4)
    jobs.delete(*(UUID(str(row[0])) for row in jobs.rows("SELECT asyncoperationid FROM asyncoperation LIMIT 3")))
    counts = "SELECT statecode, statuscode, sum(n) FROM jobcount GROUP BY statecode, statuscode ORDER BY 1, 2"
    before = [row for row in jobs.rows(counts) if row[2]]
    jobs.unit(queue.fold)
    assert [row for row in jobs.rows(counts) if row[2]] == before
    assert jobs.rows("SELECT count(*) FROM jobcount WHERE n <> 0") == [(len(before),)]
