"""What becomes of a run, and of a worker that comes too late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adjourn import config, errors, runtime
from adjourn.jobs import actions
from adjourn.jobs.model import Canceled, Continue, Failed, Outcome, Postpone, Released, Retry, Succeeded

DONE = "2030-01-01T12:00:05.000000Z"


@pytest.mark.requirement("M185")
@pytest.mark.requirement("M37")
def test_a_job_that_succeeded(jobs: Any) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    jobs.tick(5)
    settled = jobs.settle((claimed, Succeeded("did ü")))
    assert (settled.accepted, settled.refused, settled.woke) == ([job], [], False)
    row = jobs.row(job)
    assert (row["statecode"], row["statuscode"], row["completedon"], row["modifiedon"]) == (3, 30, DONE, DONE)
    assert (row["friendlymessage"], row["errorcode"], row["executiontimespan"]) == ("did ü", None, 1.5)
    assert (row["worker"], row["lease"], row["modifiedby"]) == (None, None, config.SYSTEM_USER_ID)
    assert row["startedon"] == "2030-01-01T12:00:00.000000Z"


@pytest.mark.requirement("M186")
@pytest.mark.requirement("M43")
@pytest.mark.requirement("M47")
def test_a_job_that_failed(jobs: Any) -> None:
    (job,) = jobs.add(data="{}")
    (claimed,) = jobs.claim()
    jobs.settle((claimed, Failed(0x80040265, "no", "Traceback …")))
    row = jobs.row(job)
    assert (row["statecode"], row["statuscode"], row["errorcode"]) == (3, 31, -2147220891)
    assert row["friendlymessage"] == "no"
    assert jobs.rows("SELECT data, message FROM asyncoperationtext") == [("{}", "Traceback …")]


@pytest.mark.requirement("M63")
def test_a_job_that_asks_for_retries_runs_four_times(jobs: Any) -> None:
    (job,) = jobs.add()
    for retries in (1, 2, 3):
        (claimed,) = jobs.claim()
        jobs.settle((claimed, Retry("busy", delay_seconds=10)))
        row = jobs.row(job)
        assert (row["statecode"], row["retrycount"], row["waitreason"], row["waitdetail"]) == (
            1,
            retries,
            "back-off",
            "busy",
        )
        assert jobs.due() == (0, None)
        jobs.tick(10)
        assert jobs.due() == (1, row["sequence"])
    (claimed,) = jobs.claim()
    jobs.settle((claimed, Retry("busy")))
    assert jobs.stands(job) == [(3, 31)]
    assert jobs.row(job)["retrycount"] == 3


def test_a_job_that_goes_on_keeps_its_cursor(jobs: Any) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    assert jobs.settle((claimed, Continue("page 2"))).woke
    assert jobs.stands(job) == [(0, 0)]
    (again,) = jobs.claim()
    assert (again.cursor, again.lease == claimed.lease) == ("page 2", False)


def test_a_job_that_kills_its_worker_is_given_up(jobs: Any) -> None:
    (job,) = jobs.add()
    for crashes in (1, 2):
        jobs.settle((jobs.claim()[0], Released(crashed=True)))
        assert (jobs.stands(job), jobs.row(job)["crashes"]) == ([(0, 0)], crashes)
    jobs.settle((jobs.claim()[0], Released(crashed=True)))
    assert jobs.stands(job) == [(3, 31)]
    assert "died in each of 3 runs" in jobs.row(job)["friendlymessage"]


@pytest.mark.requirement("M203")
def test_a_job_of_a_step_that_deletes_goes_after_success_only(jobs: Any) -> None:
    step = runtime.new_id()
    sql = "INSERT INTO sdkmessageprocessingstep (sdkmessageprocessingstepid, name, asyncautodelete) VALUES (:id, 's', :yes)"
    jobs.unit(lambda tx: tx.execute(sql, {"id": str(step), "yes": True}))
    succeeds, fails = jobs.add(2, operation_type=1, owning_extension=step, data="{}")
    first, second = jobs.claim(types=(1,))
    settled = jobs.settle((first, Succeeded()), (second, Failed(1, "f", "d")))
    assert settled.accepted == [succeeds, fails]
    assert jobs.rows("SELECT statuscode FROM asyncoperation") == [(31,)]
    assert jobs.rows("SELECT count(*) FROM asyncoperationtext") == [(1,)]


EVERY_OUTCOME: list[Outcome] = [
    Succeeded("s"), Failed(1, "f", "d"), Retry(), Postpone(datetime(2031, 1, 1, tzinfo=UTC)), Continue("c"), Canceled(), Released(),
    Released(crashed=True),
]  # fmt: skip


@pytest.mark.parametrize("outcome", EVERY_OUTCOME, ids=lambda outcome: type(outcome).__name__)
def test_a_worker_without_the_lease_changes_nothing(jobs: Any, outcome: Outcome) -> None:
    """The job was given to another worker meanwhile; the others of the batch are settled all the same."""
    job, other = jobs.add(2)
    late, still_held = jobs.claim(worker="old")
    jobs.settle((late, Released()))
    (held,) = jobs.claim(worker="new")
    before = jobs.row(job)
    settled = jobs.settle((late, outcome), (still_held, Succeeded()))
    assert (settled.accepted, settled.refused) == ([other], [job])
    assert jobs.row(job) == before
    assert jobs.settle((held, Succeeded())).accepted == [job]


@pytest.mark.parametrize("outcome", EVERY_OUTCOME, ids=lambda outcome: type(outcome).__name__)
def test_a_job_is_settled_once(jobs: Any, outcome: Outcome) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    jobs.settle((claimed, Succeeded("first")))
    before = jobs.row(job)
    assert jobs.settle((claimed, outcome)).refused == [job]
    assert jobs.row(job) == before


@pytest.mark.parametrize("outcome", EVERY_OUTCOME, ids=lambda outcome: type(outcome).__name__)
def test_a_job_is_settled_once_in_a_batch(jobs: Any, outcome: Outcome) -> None:
    """Its time was up in the moment in which its executor died: the first outcome holds, and nothing tells of the other."""
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    settled = jobs.settle((claimed, Failed(1, "f", "d")), (claimed, outcome))
    assert (settled.accepted, settled.refused) == ([job], [job])
    assert (jobs.row(job)["statuscode"], jobs.row(job)["friendlymessage"]) == (31, "f")
    assert jobs.rows("SELECT count(*) FROM jobhistory") == [(0,)]


def test_an_outcome_of_an_old_lease_does_not_stand_for_that_of_the_new_one(jobs: Any) -> None:
    (job,) = jobs.add()
    (late,) = jobs.claim()
    jobs.settle((late, Released()))
    (held,) = jobs.claim()
    settled = jobs.settle((late, Failed(1, "f", "d")), (held, Succeeded()))
    assert (settled.accepted, settled.refused) == ([job], [job])
    assert jobs.stands(job) == [(3, 30)]


def test_a_job_deleted_while_it_ran_stays_deleted(jobs: Any) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    jobs.delete(job)
    assert jobs.settle((claimed, Failed(1, "f", "d"))).refused == [job]
    assert jobs.rows("SELECT count(*) FROM asyncoperationtext") == [(0,)]


@pytest.mark.parametrize("outcome", EVERY_OUTCOME, ids=lambda outcome: type(outcome).__name__)
def test_a_job_asked_to_stop_is_canceled_whatever_its_handler_says(jobs: Any, outcome: Outcome) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    jobs.act(actions.cancel, job)
    assert jobs.settle((claimed, outcome)).accepted == [job]
    row = jobs.row(job)
    assert (row["statecode"], row["statuscode"], row["errorcode"]) == (3, 32, errors.signed(errors.JOB_CANCELED))
    assert row["completedon"] is not None


def test_a_job_asked_to_pause_keeps_its_place_until_resumed(jobs: Any) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    jobs.act(actions.pause, job)
    jobs.settle((claimed, Continue("half")))
    assert (jobs.stands(job), jobs.row(job)["waitreason"]) == ([(1, 10)], "paused")
    jobs.tick(10_000)
    assert jobs.due() == (0, None)
    jobs.act(actions.resume, job)
    assert jobs.claim()[0].cursor == "half"


def test_a_running_job_postponed_waits_for_the_moment(jobs: Any) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    jobs.act(actions.postpone, job, jobs.now + timedelta(seconds=60))
    assert jobs.stands(job) == [(2, 21)]
    jobs.settle((claimed, Continue("half")))
    row = jobs.row(job)
    assert (row["statecode"], row["postponeuntil"], row["waitreason"]) == (
        1,
        "2030-01-01T12:01:00.000000Z",
        "postponed",
    )
    jobs.tick(60)
    assert jobs.due()[0] == 1
    assert jobs.claim()[0].cursor == "half"


def test_a_postponement_that_came_too_late_leaves_no_moment_on_the_finished_job(jobs: Any) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    jobs.act(actions.postpone, job, jobs.now + timedelta(seconds=60))
    jobs.settle((claimed, Succeeded()))
    assert (jobs.stands(job), jobs.row(job)["postponeuntil"]) == ([(3, 30)], None)


def test_a_hundred_mixed_outcomes_are_one_settle(jobs: Any) -> None:
    submitted = jobs.add(100)
    claimed = jobs.claim(100)
    outcomes = [EVERY_OUTCOME[number % len(EVERY_OUTCOME)] for number in range(100)]
    settled = jobs.settle(*zip(claimed, outcomes, strict=True))
    assert (settled.accepted, settled.woke) == (submitted, True)
    expected = [(3, 30), (3, 31), (1, 10), (1, 10), (0, 0), (3, 32), (0, 0), (0, 0)]
    assert jobs.stands(*submitted) == [expected[number % len(expected)] for number in range(100)]


def test_an_empty_settle_is_nothing(jobs: Any) -> None:
    settled = jobs.settle()
    assert (settled.accepted, settled.refused, settled.woke) == ([], [], False)
