"""What people do to jobs, in every state, on both stores."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from adjourn import config, errors, runtime
from adjourn.errors import InvalidStateChange, NotFound
from adjourn.jobs import actions
from adjourn.jobs.model import Canceled, Continue, Failed, Released, Succeeded
from adjourn.jobs.states import STATE_OF, TRANSITIONS, Action, State, Status

VERBS: dict[Action, Callable[..., None]] = {
    Action.CANCEL: actions.cancel,
    Action.RESUME: actions.resume,
    Action.PAUSE: actions.pause,
    Action.POSTPONE: actions.postpone,
}
LATER = "2030-01-02T12:00:00.000000Z"


def standing_in(jobs: Any, status: Status) -> UUID:
    """A job that got into a status on the ways that there are."""
    (job,) = jobs.add(data="{}")
    if status is Status.WAITING_FOR_RESOURCES:
        return job
    if status is Status.WAITING:
        jobs.act(actions.postpone, job, jobs.now + timedelta(hours=1))
        return job
    (claimed,) = jobs.claim()
    match status:
        case Status.PAUSING:
            jobs.act(actions.pause, job)
        case Status.CANCELING:
            jobs.act(actions.cancel, job)
        case Status.SUCCEEDED:
            jobs.settle((claimed, Succeeded()))
        case Status.FAILED:
            jobs.settle((claimed, Failed(1, "f", "d")))
        case Status.CANCELED:
            jobs.settle((claimed, Canceled()))
    return job


@pytest.mark.requirement("M32")
@pytest.mark.parametrize("status", Status, ids=lambda status: status.name.lower())
@pytest.mark.parametrize("action", VERBS, ids=str)
def test_an_action_changes_a_job_as_its_state_allows(jobs: Any, action: Action, status: Status) -> None:
    job = standing_in(jobs, status)
    before = jobs.row(job)
    jobs.tick()
    more = (jobs.now + timedelta(days=1),) if action is Action.POSTPONE else ()
    expected = TRANSITIONS[action][status]
    if expected.code is not None:
        with pytest.raises(InvalidStateChange) as error:
            jobs.act(VERBS[action], job, *more)
        assert error.value.code == expected.code
        assert jobs.row(job) == before
        return
    jobs.act(VERBS[action], job, *more)
    row = jobs.row(job)
    if expected.status is None:
        assert row == before
        return
    assert row["statuscode"] == expected.status
    assert (row["modifiedby"], row["modifiedon"]) == (config.ADMIN_USER_ID, "2030-01-01T12:00:01.000000Z")
    assert row["lease"] == before["lease"], "a worker keeps its lease until it lets go"


@pytest.mark.requirement("M190")
@pytest.mark.requirement("M187")
@pytest.mark.requirement("M49")
def test_a_canceled_job_is_completed_at_once_and_never_runs(jobs: Any) -> None:
    ready = standing_in(jobs, Status.WAITING_FOR_RESOURCES)
    waits = standing_in(jobs, Status.WAITING)
    for job in (ready, waits):
        jobs.act(actions.cancel, job)
        row = jobs.row(job)
        assert (row["statecode"], row["statuscode"], row["postponeuntil"]) == (3, 32, None)
        assert row["completedon"] == row["modifiedon"] == "2030-01-01T12:00:00.000000Z"
        assert row["errorcode"] == errors.signed(errors.JOB_CANCELED)
        assert row["modifiedby"] == config.ADMIN_USER_ID
    jobs.tick(100_000)
    assert (jobs.due(), jobs.claim()) == ((0, None), [])


def test_what_a_run_said_when_it_let_go_is_no_more_said_after_somebody_acts(jobs: Any) -> None:
    resumed, canceled = jobs.add(2)
    runs = jobs.claim(2)
    for job in (resumed, canceled):
        jobs.act(actions.pause, job)
    jobs.settle(*((run, Released(False, "its handler was stopped where it awaited")) for run in runs))
    for job, act in ((resumed, actions.resume), (canceled, actions.cancel)):
        assert (
            jobs.row(job)["friendlymessage"] == "It waits as it was asked to; its handler was stopped where it awaited."
        )
        jobs.act(act, job)
        assert jobs.row(job)["friendlymessage"] is None


@pytest.mark.requirement("M33")
@pytest.mark.requirement("M181")
@pytest.mark.requirement("M58")
def test_a_postponed_job_waits_until_its_moment(jobs: Any) -> None:
    (job,) = jobs.add()
    jobs.act(actions.postpone, job, jobs.now + timedelta(days=1))
    row = jobs.row(job)
    assert (row["statecode"], row["statuscode"], row["postponeuntil"]) == (1, 10, LATER)
    assert jobs.claim() == []
    jobs.tick(86_400 - 0.000001)
    assert jobs.due() == (0, None)
    jobs.tick(0.000001)
    assert jobs.due() == (1, row["sequence"])
    row = jobs.row(job)
    assert (row["statecode"], row["statuscode"], row["postponeuntil"], row["waitreason"]) == (0, 0, None, None)
    assert [claimed.id for claimed in jobs.claim()] == [job]


def test_a_new_moment_replaces_the_old_one(jobs: Any) -> None:
    job = standing_in(jobs, Status.WAITING)
    jobs.act(actions.postpone, job, jobs.now + timedelta(days=1))
    assert jobs.row(job)["postponeuntil"] == LATER


@pytest.mark.parametrize("status", [Status.WAITING_FOR_RESOURCES, Status.WAITING])
def test_a_moment_that_has_passed_means_now(jobs: Any, status: Status) -> None:
    job = standing_in(jobs, status)
    jobs.act(actions.postpone, job, jobs.now)
    assert (jobs.stands(job), jobs.row(job)["postponeuntil"]) == ([(0, 0)], None)


def test_a_moment_that_passed_while_the_job_ran_makes_it_ready_again_soon(jobs: Any) -> None:
    job = standing_in(jobs, Status.WAITING_FOR_RESOURCES)
    (claimed,) = jobs.claim()
    jobs.act(actions.postpone, job, jobs.now)
    assert jobs.stands(job) == [(2, 21)]
    jobs.settle((claimed, Continue("c")))
    jobs.due()
    assert jobs.stands(job) == [(0, 0)]


def test_resume_lifts_a_postponement(jobs: Any) -> None:
    job = standing_in(jobs, Status.WAITING)
    jobs.act(actions.resume, job)
    row = jobs.row(job)
    assert (row["statecode"], row["postponeuntil"], row["waitreason"]) == (0, None, None)


def test_stop_outranks_pause_and_pause_does_not_outrank_stop(jobs: Any) -> None:
    job = standing_in(jobs, Status.PAUSING)
    jobs.act(actions.cancel, job)
    assert jobs.stands(job) == [(2, 22)]
    with pytest.raises(InvalidStateChange):
        jobs.act(actions.pause, job)


@pytest.mark.parametrize("status", Status, ids=lambda status: status.name.lower())
def test_a_job_can_be_deleted_in_any_state(jobs: Any, status: Status) -> None:
    job = standing_in(jobs, status)
    assert jobs.delete(job) == 1
    assert jobs.delete(job) == 0
    assert jobs.rows("SELECT count(*) FROM asyncoperation") == [(0,)]
    assert jobs.rows("SELECT count(*) FROM asyncoperationtext") == [(0,)]


def test_deletion_takes_along_what_hangs_on_the_job_and_nothing_else(
    jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "DATA_INLINE_BYTES_MAX", 10)
    goes, stays = jobs.add(2, data="x" * 11)
    tables = ("bulkdeleteoperation", "bulkdeletefailure", "duplicaterecord", "workflowlog")
    for table in tables:
        key = "duplicateid" if table == "duplicaterecord" else f"{table}id"
        sql = f"INSERT INTO {table} ({key}, asyncoperationid) VALUES (:key, :job)"
        for job in (goes, stays):
            jobs.unit(lambda tx, sql=sql, job=job: tx.execute(sql, {"key": str(runtime.new_id()), "job": str(job)}))
    file = UUID(jobs.row(goes)["datablobid"])
    jobs.delete(goes)
    for table in tables:
        assert jobs.rows(f"SELECT asyncoperationid FROM {table}") == [(str(stays),)], table
        jobs.unit(lambda tx, sql=f"DELETE FROM {table}": tx.execute(sql))
    assert jobs.rows("SELECT objectid FROM fileattachment") == [(str(stays),)]
    with jobs.store.read() as reader, pytest.raises(NotFound):
        reader.read_file(file)


def test_a_thousand_jobs_are_deleted_at_once(jobs: Any) -> None:
    submitted = jobs.add(1001)
    assert jobs.delete(*submitted[1:]) == 1000
    assert jobs.stands(submitted[0]) == [(0, 0)]


@pytest.mark.requirement("M35")
@pytest.mark.parametrize("action", VERBS, ids=str)
def test_a_missing_job_is_named(jobs: Any, action: Action) -> None:
    missing = runtime.new_id()
    with pytest.raises(NotFound, match=str(missing)) as error:
        jobs.act(VERBS[action], missing, *((jobs.now,) if action is Action.POSTPONE else ()))
    assert error.value.code == 0x80040217


@pytest.mark.requirement("M50")
def test_a_version_is_the_moment_of_the_last_change(jobs: Any) -> None:
    (job,) = jobs.add()
    with jobs.store.read() as reader:
        assert actions.require(reader, job) == int(jobs.now.timestamp()) * 1_000_000
    jobs.tick(0.5)
    jobs.act(actions.postpone, job, jobs.now + timedelta(days=1))
    with jobs.store.read() as reader:
        assert actions.require(reader, job) == int(jobs.now.timestamp() * 1_000_000)


def accepts(jobs: Any, sql: str, values: dict[str, Any]) -> bool:
    """Whether the database's CHECKs let an update pass."""
    refusals = []
    try:
        jobs.unit(lambda tx: tx.execute(sql, values))
    except Exception as error:  # each store has its own for this
        refusals.append(str(error).lower())
    assert all("check" in refusal for refusal in refusals), refusals
    return not refusals


@pytest.mark.requirement("M66")
@pytest.mark.requirement("M67")
def test_the_database_knows_the_same_pairs_as_the_table(jobs: Any) -> None:
    """Each state with each status, and with a lease or without, completed or not: the CHECKs let pass what the code means."""
    (job,) = jobs.add()
    sql = (
        "UPDATE asyncoperation SET statecode = :state, statuscode = :status, lease = :lease, completedon = :completed "
        "WHERE name = 'job 0'"
    )
    accepted = set()
    for state in (*State, 4):
        for status in (*Status, 1, 99):
            for lease in (None, "l"):
                for completed in (None, LATER):
                    values = {"state": int(state), "status": int(status), "lease": lease, "completed": completed}
                    if accepts(jobs, sql, values):
                        accepted.add((state, status, lease is not None, completed is not None))
    expected = {(state, status, state is State.LOCKED, state is State.COMPLETED) for status, state in STATE_OF.items()}
    assert accepted == expected
    assert jobs.row(job)["statecode"] is not None


@pytest.mark.parametrize("status", Status, ids=lambda status: status.name.lower())
def test_the_database_lets_a_blocked_job_wait_or_end_only(jobs: Any, status: Status) -> None:
    state = STATE_OF[status]
    jobs.add()
    values = {
        "state": int(state), "status": int(status), "lease": "l" if state is State.LOCKED else None,
        "completed": LATER if state is State.COMPLETED else None,
    }  # fmt: skip
    sql = (
        "UPDATE asyncoperation SET statecode = :state, statuscode = :status, lease = :lease, completedon = :completed, "
        "blocked = true WHERE name = 'job 0'"
    )
    if state in (State.SUSPENDED, State.COMPLETED):
        assert jobs.unit(lambda tx: tx.execute(sql, values)) == 1
    else:
        with pytest.raises(Exception, match=r"(?i)check"):
            jobs.unit(lambda tx: tx.execute(sql, values))


@pytest.mark.requirement("M194")
def test_a_schedule_that_is_resumed_is_due_now_and_never_ready_itself(jobs: Any) -> None:
    (job,) = jobs.add(recurrence_pattern="FREQ=DAILY;", postpone_until=jobs.now + timedelta(days=1))
    jobs.act(actions.postpone, job, jobs.now + timedelta(days=2))
    assert (jobs.stands(job), jobs.row(job)["postponeuntil"]) == ([(1, 10)], "2030-01-03T12:00:00.000000Z")
    jobs.act(actions.resume, job)
    assert (jobs.stands(job), jobs.row(job)["postponeuntil"]) == ([(1, 10)], "2030-01-01T12:00:00.000000Z")
    assert (jobs.due(), jobs.claim()) == ((0, None), [])
    assert jobs.row(job)["waitreason"] == "schedule"
