"""Why a job waits, in a sentence whose every name, number and moment is true. On both stores."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from adjourn import config, runtime
from adjourn.errors import NotFound
from adjourn.jobs import actions, explain, queue
from adjourn.jobs.model import Continue, Failed, Postpone, Retry, Succeeded

NOON = "2030-01-01 12:00:00 UTC"


@pytest.fixture(autouse=True)
def _ada(jobs: Any) -> None:
    """Whoever acts in these tests has a name."""
    values = {"id": config.ADMIN_USER_ID, "name": "Ada Admin"}
    cast = "::uuid" if jobs.store.dialect == "postgres" else ""
    put = f"INSERT INTO systemuser (systemuserid, fullname) VALUES (:id{cast}, :name) ON CONFLICT (systemuserid) "
    jobs.unit(lambda tx: tx.execute(f"{put}DO UPDATE SET fullname = excluded.fullname", values))


def left_by_a_dead(jobs: Any, worker: UUID) -> None:
    """What the store still holds of a worker that died: a file that nobody locks, a beat of long ago."""
    if jobs.store.dialect == "sqlite":
        folder = Path(f"{jobs.store.path}-workers")
        folder.mkdir(exist_ok=True)
        (folder / str(worker)).write_text("there 4711")
        return
    jobs.store.hold_worker(worker, "there", 4711)
    jobs.unit(lambda tx: tx.execute("UPDATE worker SET beaton = clock_timestamp() - interval '1 minute'", {}))


@pytest.mark.requirement("M21")
def test_a_ready_job_names_its_class_who_is_ahead_and_who_runs(jobs: Any) -> None:
    jobs.add(3)
    jobs.claim(2)
    jobs.add(5, operation_type=1)
    jobs.add(40)
    *_, last = jobs.add(1)
    assert jobs.why(last) == "It is ready and waits for a free slot of class requests: 41 ahead of it, 2 running."
    jobs.add(2, operation_type=13)
    jobs.claim(1, types=(13,))
    (bulk,) = jobs.add(1, operation_type=23)
    assert jobs.why(bulk) == "It is ready and waits for a free slot of class bulk: 1 ahead of it, 1 running."


def test_beyond_a_limit_nobody_counts(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "_AHEAD_MAX", 10)
    first = jobs.add(12)
    assert "10 ahead of it" in jobs.why(first[10])
    assert "more than 10 ahead of it" in jobs.why(first[11])


@pytest.mark.requirement("M27")
@pytest.mark.requirement("M194")
def test_a_job_behind_its_token_names_the_one_that_is_in_front(jobs: Any) -> None:
    head, _, behind = jobs.add(3, dependency_token="t")
    assert jobs.why(behind) == f"It waits behind job {head} 'job 0' of the same token, which is Ready."
    jobs.act(actions.postpone, head, jobs.now + timedelta(hours=1))
    assert jobs.why(behind).endswith("which is Suspended, postponed until 2030-01-01 13:00:00 UTC.")
    jobs.act(actions.postpone, behind, jobs.now + timedelta(hours=2))
    assert jobs.why(behind).endswith("13:00:00 UTC. It is itself postponed until 2030-01-01 14:00:00 UTC by Ada Admin.")
    jobs.act(actions.resume, behind)
    assert jobs.why(behind).endswith("13:00:00 UTC.")
    jobs.act(actions.resume, head)
    jobs.claim(1)
    assert jobs.why(behind).endswith("which is Locked (In Progress).")


def test_a_postponed_job_names_the_moment_and_the_person(jobs: Any) -> None:
    (made_so,) = jobs.add(postpone_until=jobs.now + timedelta(minutes=5, milliseconds=250))
    assert jobs.why(made_so) == "It is postponed until 2030-01-01 12:05:00.250 UTC by Ada Admin."
    (later,) = jobs.add(created_by=runtime.new_id())
    jobs.act(actions.postpone, later, jobs.now + timedelta(hours=1))
    assert jobs.why(later) == "It is postponed until 2030-01-01 13:00:00 UTC by Ada Admin."
    (nameless,) = jobs.add(created_by=(stranger := runtime.new_id()), postpone_until=jobs.now + timedelta(hours=1))
    assert jobs.why(nameless).endswith(f"by user {stranger}.")
    (itself,) = jobs.add()
    (claimed,) = jobs.claim()
    jobs.settle((claimed, Postpone(jobs.now + timedelta(hours=3))))
    assert jobs.why(itself) == "It is postponed until 2030-01-01 15:00:00 UTC by its own handler."


def test_a_paused_job_names_the_person(jobs: Any) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    jobs.act(actions.pause, job)
    assert jobs.why(job) == (
        f"Worker w has run it since {NOON}. Ada Admin has paused it: it waits as soon as its handler lets go."
    )
    jobs.settle((claimed, Continue("c")))
    assert jobs.why(job) == "It was paused by Ada Admin and waits to be resumed."


def test_a_job_that_is_asked_to_let_go_says_so(jobs: Any) -> None:
    jobs.add(2)
    first, second = jobs.claim(2)
    jobs.act(actions.postpone, first.id, jobs.now + timedelta(hours=1))
    assert jobs.why(first.id).endswith(
        "Ada Admin has postponed it until 2030-01-01 13:00:00 UTC: it waits as soon as its handler lets go."
    )
    jobs.act(actions.cancel, second.id)
    assert jobs.why(second.id).endswith("Ada Admin has canceled it: it ends as soon as its handler lets go.")


def test_back_off_names_the_error_the_attempt_and_the_moment(jobs: Any) -> None:
    (job,) = jobs.add()
    for attempt in (2, 3, 4):
        (claimed,) = jobs.claim()
        jobs.settle((claimed, Retry("the server is away", delay_seconds=60)))
        moment = f"2030-01-01 12:0{attempt - 1}:00 UTC"
        assert jobs.why(job) == (
            "Its handler asked for a retry after the error 'the server is away': it backs off, and attempt "
            f"{attempt} of 4 begins at {moment}."
        )
        jobs.tick(60)
        jobs.due()
    (claimed,) = jobs.claim()
    jobs.settle((claimed, Retry("the server is away")))
    assert jobs.why(job) == "It is Completed (Failed) since 2030-01-01 12:03:00 UTC: the server is away."


def test_whoever_ends_his_sentence_himself_gets_no_full_stop(jobs: Any) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    jobs.settle((claimed, Succeeded("Hello, Ada!")))
    assert jobs.why(job) == f"It is Completed (Succeeded) since {NOON}: Hello, Ada!"


def test_a_running_job_names_its_worker_since_when_its_last_sign_and_its_progress(jobs: Any) -> None:
    worker = runtime.new_id()
    (job,) = jobs.add()
    (claimed,) = jobs.claim(worker=str(worker))
    assert jobs.why(job) == f"Worker {worker} has run it since {NOON}."
    jobs.unit(lambda tx: queue.checkpoint(tx, claimed, "c", "Ada, at last!"))
    assert jobs.why(job).endswith("; its progress: Ada, at last!")
    jobs.store.hold_worker(worker, socket.gethostname(), os.getpid())
    jobs.unit(lambda tx: queue.checkpoint(tx, claimed, "c", "half of it", 50))
    with jobs.store.read() as reader:
        told = explain.why(reader, job, jobs.store)
    where = f"Worker {worker} (on {socket.gethostname()}, process {os.getpid()}, "
    assert told.startswith(where)
    assert told.endswith(f") has run it since {NOON}; its progress: half of it, 50 %.")
    if jobs.store.dialect == "postgres":
        ((beat,),) = jobs.rows("SELECT beaton FROM worker")
        assert f"last heard of at {beat[:19].replace('T', ' ')} UTC" in told
    else:
        assert "which is alive" in told
    jobs.store.release_worker(worker)


def test_the_job_of_a_dead_worker_says_who_gives_it_back(jobs: Any) -> None:
    dead, other = runtime.new_id(), runtime.new_id()
    (job,) = jobs.add()
    jobs.claim(worker=str(dead))
    left_by_a_dead(jobs, dead)

    def told() -> str:
        with jobs.store.read() as reader:
            return explain.why(reader, job, jobs.store)

    assert told().endswith(
        " That worker is dead, and no other is there to give the job back: `adjourn serve` on this database does."
    )
    jobs.store.hold_worker(other, socket.gethostname(), os.getpid())
    assert told().endswith(" That worker is dead: another one gives the job back within seconds.")
    jobs.act(actions.pause, job)
    assert "when its handler" not in told()
    assert told().endswith(" has paused it: it waits as soon as it is given back.")
    jobs.store.release_worker(other)


def test_a_long_turn_of_a_step_is_named(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has one writer; PostgreSQL holds nobody up."""
    monkeypatch.setattr(config, "STEP_SLOW_SECONDS", 0.0)
    (job,) = jobs.add()
    with jobs.store.transaction("Check the credit"), jobs.store.read() as reader:
        told = explain.why(reader, job, jobs.store)
    held_up = "Everything that writes is held up: 'Check the credit' holds the database's writer."
    assert (held_up in told) is (jobs.store.dialect == "sqlite")
    with jobs.store.read() as reader:
        assert "held up" not in explain.why(reader, job, jobs.store)


def test_what_has_ended_says_how(jobs: Any) -> None:
    jobs.add(3)
    first, second, third = jobs.claim(3)
    jobs.settle((first, Succeeded("did it")), (second, Failed(1, "no.", "d")))
    assert jobs.why(first.id) == f"It is Completed (Succeeded) since {NOON}: did it."
    assert jobs.why(second.id) == f"It is Completed (Failed) since {NOON}: no."
    jobs.act(actions.cancel, third.id)
    jobs.settle((third, Continue("c")))
    assert jobs.why(third.id) == f"It is Completed (Canceled) since {NOON}: The job was canceled."


def test_a_schedule_names_its_next_run(jobs: Any) -> None:
    (job,) = jobs.add(recurrence_pattern="FREQ=DAILY;", postpone_until=jobs.now + timedelta(days=1))
    assert jobs.why(job) == "It is a schedule, every day at 12:00 UTC: its next run is at 2030-01-02 12:00:00 UTC."


def test_why_of_a_missing_job_names_it(jobs: Any) -> None:
    missing = runtime.new_id()
    with pytest.raises(NotFound, match=str(missing)):
        jobs.why(missing)
