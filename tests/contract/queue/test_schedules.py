"""Schedules: rows that never run, and the runs that they make. On both stores, at moments that the tests choose."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from adjourn import config, errors
from adjourn.errors import AdjournError, InvalidRequest, InvalidStateChange, QueryError
from adjourn.jobs import actions, explain, postponed, schedules
from adjourn.jobs.model import Failed, Succeeded
from adjourn.store import faults

ADMIN = UUID(config.ADMIN_USER_ID)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def add(jobs: Any, pattern: str = "FREQ=DAILY;", **changes: Any) -> UUID:
    (schedule,) = jobs.add(recurrence_pattern=pattern, **changes)
    return schedule


def made(jobs: Any) -> int:
    """Make the runs of what is due now."""
    return jobs.unit(schedules.make_due)


def runs_of(jobs: Any, schedule: UUID) -> list[UUID]:
    rows = jobs.rows(
        "SELECT asyncoperationid FROM asyncoperation WHERE CAST(scheduleid AS text) = :id ORDER BY sequence",
        id=str(schedule),
    )
    return [UUID(str(row[0])) for row in rows]


def due(jobs: Any, schedule: UUID) -> datetime:
    return datetime.fromisoformat(jobs.row(schedule)["postponeuntil"])


def change(jobs: Any, schedule: UUID, pattern: str | None) -> None:
    jobs.unit(lambda tx: schedules.change(tx, schedule, pattern, by=ADMIN))


def test_runs_with_much_data_are_made_in_units_of_their_own(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "DATA_BYTES_MAX", 1000)
    long = json.dumps({"name": "x" * 800})
    found = [add(jobs, recurrence_start=jobs.now + HOUR, data=long) for _ in range(5)]
    jobs.now += HOUR
    assert [made(jobs) for _ in range(4)] == [2, 2, 1, 0]
    assert [len(runs_of(jobs, schedule)) for schedule in found] == [1] * 5


def test_a_due_schedule_makes_one_run_and_moves_on(jobs: Any) -> None:
    start = jobs.now + HOUR
    schedule = add(jobs, recurrence_start=start, data='{"name":"Ada"}')
    assert (made(jobs), due(jobs, schedule)) == (0, start)
    jobs.now = start
    assert (made(jobs), made(jobs)) == (1, 0)
    (run,) = runs_of(jobs, schedule)
    assert jobs.stands(schedule, run) == [(1, 10), (0, 0)]
    assert due(jobs, schedule) == start + DAY
    (claimed,) = jobs.claim()
    assert (claimed.id, claimed.data, claimed.message_name, claimed.name) == (run, '{"name":"Ada"}', "greet", "job 0")
    jobs.settle((claimed, Succeeded()))
    assert jobs.row(run)["waitreason"] is None


def test_a_schedule_without_a_start_runs_at_once_and_counts_from_then(jobs: Any) -> None:
    schedule = add(jobs, "FREQ=DAILY;BYHOUR=5;BYMINUTE=30")
    created = jobs.now
    jobs.tick(0.5)
    assert made(jobs) == 1
    assert due(jobs, schedule) == datetime(2030, 1, 2, 5, 30, tzinfo=UTC)
    assert jobs.rows("SELECT recurrencestarttime FROM asyncoperation WHERE recurrencepattern IS NOT NULL") == [(None,)]
    assert created == datetime(2030, 1, 1, 12, tzinfo=UTC)


def test_a_start_that_has_passed_means_now_and_what_was_missed_is_one_run(jobs: Any) -> None:
    schedule = add(jobs, recurrence_start=jobs.now - 100 * DAY - HOUR)
    assert (made(jobs), len(runs_of(jobs, schedule))) == (1, 1)
    assert due(jobs, schedule) == jobs.now + 23 * HOUR


def test_a_start_with_a_fraction_of_a_second_is_never_early(jobs: Any) -> None:
    start = jobs.now + timedelta(seconds=3, microseconds=400_000)
    schedule = add(jobs, recurrence_start=start)
    assert due(jobs, schedule) == start


def test_runs_never_overlap_and_missed_moments_are_one_run(jobs: Any) -> None:
    schedule = add(jobs, "FREQ=MINUTELY;")
    made(jobs)
    (claimed,) = jobs.claim()
    jobs.tick(185)
    assert (made(jobs), len(runs_of(jobs, schedule))) == (0, 1)
    waits = jobs.unit(lambda tx: explain.why(tx, schedule))
    assert waits == (
        "It is a schedule, every minute: it is due since 2030-01-01 12:01:00 UTC, but its run "
        f"{claimed.id} is Locked (In Progress), and runs never overlap."
    )
    with jobs.store.read() as reader:
        assert postponed.next_moment(reader) is None, "nobody need look before the run has ended"
    jobs.settle((claimed, Failed(1, "no", "no")))
    assert (made(jobs), made(jobs), len(runs_of(jobs, schedule))) == (1, 0, 2)
    assert due(jobs, schedule) == jobs.now + timedelta(seconds=55)


def test_the_database_itself_refuses_a_second_open_run(jobs: Any) -> None:
    schedule = add(jobs)
    made(jobs)
    with pytest.raises(AdjournError):
        jobs.add(schedule_id=schedule)
    assert len(runs_of(jobs, schedule)) == 1


@pytest.mark.parametrize("pattern", ["FREQ=DAILY;COUNT=3", "FREQ=DAILY;UNTIL=20300103T235959Z"])
def test_count_and_until_end_a_schedule_with_its_last_run(jobs: Any, pattern: str) -> None:
    schedule = add(jobs, pattern, recurrence_start=jobs.now)
    for day in range(3):
        assert jobs.stands(schedule) == [(1, 10)]
        assert (made(jobs), len(jobs.run())) == (1, 1), day
        jobs.now += DAY
    row = jobs.row(schedule)
    assert (row["statecode"], row["statuscode"], row["postponeuntil"], row["completedon"] is None) == (
        3,
        30,
        None,
        False,
    )
    assert row["friendlymessage"] == "Its recurrence has ended."
    assert (made(jobs), len(runs_of(jobs, schedule))) == (0, 3)


def test_cancel_ends_a_schedule_and_leaves_its_open_run(jobs: Any) -> None:
    schedule = add(jobs)
    made(jobs)
    jobs.act(actions.cancel, schedule)
    (run,) = runs_of(jobs, schedule)
    assert jobs.stands(schedule, run) == [(3, 32), (0, 0)]
    jobs.now += 3 * DAY
    assert (jobs.run(), made(jobs), len(runs_of(jobs, schedule))) == ([run], 0, 1)


def test_a_deleted_schedule_leaves_its_runs(jobs: Any) -> None:
    schedule = add(jobs)
    made(jobs)
    jobs.delete(schedule)
    (run,) = runs_of(jobs, schedule)
    assert jobs.run() == [run]
    assert jobs.why(run).startswith("It is Completed (Succeeded) since")


def test_a_resumed_schedule_has_its_run_now_and_keeps_its_next_moment(jobs: Any) -> None:
    schedule = add(jobs, recurrence_start=jobs.now + HOUR)
    jobs.act(actions.resume, schedule)
    assert jobs.unit(lambda tx: schedules.run_if_due(tx, schedule))
    assert not jobs.unit(lambda tx: schedules.run_if_due(tx, schedule))
    assert (due(jobs, schedule), jobs.stands(schedule)) == (jobs.now + HOUR, [(1, 10)])
    assert len(runs_of(jobs, schedule)) == 1


def test_a_postponed_schedule_runs_at_the_chosen_moment_then_by_its_pattern(jobs: Any) -> None:
    start = jobs.now + HOUR
    schedule = add(jobs, recurrence_start=start)
    jobs.act(actions.postpone, schedule, start + 30 * HOUR)
    jobs.now = start + 29 * HOUR
    assert made(jobs) == 0
    jobs.now = start + 30 * HOUR
    assert (made(jobs), due(jobs, schedule)) == (1, start + 2 * DAY)


def test_the_runs_carry_the_token_and_the_schedule_is_behind_nobody(jobs: Any) -> None:
    first = jobs.add(dependency_token="t")[0]
    (claimed,) = jobs.claim()
    schedule = add(jobs, dependency_token="t", serial_key=None)
    assert made(jobs) == 1
    (run,) = runs_of(jobs, schedule)
    assert jobs.stands(first, schedule, run) == [(2, 20), (1, 10), (1, 10)]
    assert (jobs.row(run)["serialkey"], jobs.row(run)["blocked"], jobs.row(schedule)["serialkey"]) == (
        "t:t",
        True,
        None,
    )
    assert jobs.why(run) == (
        f"It waits behind job {first} 'job 0' of the same token, which is Locked (In Progress). "
        f"It is a run of the schedule {schedule} 'job 0'."
    )
    jobs.settle((claimed, Succeeded()))
    assert jobs.run() == [run]


def test_long_data_is_in_a_file_of_each_run(jobs: Any) -> None:
    data = "x" * (config.DATA_INLINE_BYTES_MAX + 1)
    schedule = add(jobs, data=data)
    made(jobs)
    (run,) = runs_of(jobs, schedule)
    files = {jobs.row(schedule)["datablobid"], jobs.row(run)["datablobid"]}
    assert len(files) == 2
    assert None not in files
    jobs.delete(schedule)
    with jobs.store.read() as reader:
        assert reader.read_file(UUID(str(jobs.row(run)["datablobid"]))) == data.encode()


def test_a_new_pattern_moves_the_next_run(jobs: Any) -> None:
    schedule = add(jobs, recurrence_start=jobs.now)
    made(jobs)
    change(jobs, schedule, "FREQ=WEEKLY;")
    assert due(jobs, schedule) == jobs.now + 7 * DAY
    assert jobs.rows("SELECT event, detail FROM jobhistory") == [("recurrence", "from FREQ=DAILY; to FREQ=WEEKLY;")]
    for pattern, code in (
        ("FREQ=NEVER", errors.RECURRENCE_INVALID), ("FREQ=DAILY;INTERVAL=0", errors.RECURRENCE_INVALID),
        ("", errors.RECURRENCE_INVALID), (None, errors.RECURRENCE_INVALID),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", errors.RECURRENCE_NEVER),
        ("FREQ=DAILY;UNTIL=20200101", errors.RECURRENCE_NEVER), ("FREQ=DAILY;COUNT=1", errors.RECURRENCE_NEVER),
    ):  # fmt: skip
        with pytest.raises(QueryError) as refused:
            change(jobs, schedule, pattern)
        assert refused.value.code == code, pattern
    assert due(jobs, schedule) == jobs.now + 7 * DAY


def test_a_pattern_is_changed_on_open_schedules_only(jobs: Any) -> None:
    (once,) = jobs.add()
    with pytest.raises(InvalidRequest) as refused:
        change(jobs, once, "FREQ=DAILY;")
    assert refused.value.code == errors.RECURRENCE_OF_NONRECURRING
    schedule = add(jobs)
    jobs.act(actions.cancel, schedule)
    with pytest.raises(InvalidStateChange) as ended:
        change(jobs, schedule, "FREQ=DAILY;")
    assert ended.value.code == errors.RECURRENCE_OF_COMPLETED


@pytest.mark.parametrize(
    ("pattern", "start"),
    [("FREQ=DAILY;UNTIL=20200101", None), ("FREQ=DAILY;UNTIL=20200101", -3650), ("FREQ=DAILY;INTERVAL=7;BYDAY=WE", 0)],
)
def test_a_schedule_that_would_never_run_is_refused(jobs: Any, pattern: str, start: int | None) -> None:
    with pytest.raises(QueryError, match="never occurs: it starts at") as refused:
        add(jobs, pattern, recurrence_start=None if start is None else jobs.now + start * DAY)
    assert refused.value.code == errors.RECURRENCE_NEVER


def test_one_schedule_that_can_make_no_more_runs_does_not_hold_up_the_others(jobs: Any) -> None:
    broken, sound = add(jobs), add(jobs)
    jobs.unit(
        lambda tx: tx.execute(
            "UPDATE asyncoperation SET recurrencepattern = 'nonsense' WHERE CAST(asyncoperationid AS text) = :id",
            {"id": str(broken)},
        )
    )
    assert made(jobs) == 2
    assert (jobs.stands(broken, sound), len(runs_of(jobs, sound))) == ([(3, 31), (1, 10)], 1)
    assert jobs.row(broken)["friendlymessage"].startswith("It can make no more runs: Recurrence pattern:")


def test_a_limit_is_kept_and_the_earliest_come_first(jobs: Any) -> None:
    moments = [jobs.now + timedelta(seconds=5 - number) for number in range(5)]
    found = [add(jobs, recurrence_start=moment) for moment in moments]
    jobs.tick(10)
    assert jobs.unit(lambda tx: schedules.make_due(tx, 2)) == 2
    assert [len(runs_of(jobs, schedule)) for schedule in found] == [0, 0, 0, 1, 1]
    promoted = jobs.unit(lambda tx: schedules.promote_due(tx, 2))
    assert (promoted.number, promoted.more) == (2, True)
    assert jobs.unit(schedules.promote_due).number == 1


class Died(BaseException):
    """Nothing after it runs."""


@pytest.mark.parametrize("point", ["schedules taken", "runs made", "schedules moved", "before commit"])
def test_a_death_between_any_two_statements_loses_no_run_and_makes_none_twice(jobs: Any, point: str) -> None:
    schedule = add(jobs)

    def die(name: str) -> None:
        if name == point:
            raise Died

    def attempt() -> None:
        with jobs.store.transaction("a schedule") as tx:
            tx.now = jobs.now
            schedules.make_due(tx)

    with faults.listening(die), pytest.raises(Died):
        attempt()
    assert (runs_of(jobs, schedule), due(jobs, schedule)) == ([], jobs.now)
    attempt()
    attempt()
    assert (len(runs_of(jobs, schedule)), due(jobs, schedule)) == (1, jobs.now + DAY)


def test_two_hosts_at_the_same_moment_make_one_run(jobs: Any) -> None:
    schedule = add(jobs)
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: made(jobs), range(8)))
    assert (sum(counts), len(runs_of(jobs, schedule))) == (1, 1)


def test_upcoming_moments_begin_with_the_one_it_is_due_at(jobs: Any) -> None:
    schedule = add(jobs, "FREQ=DAILY;INTERVAL=3;COUNT=4", recurrence_start=jobs.now + HOUR)

    def upcoming(job: UUID, count: int = 10) -> list[datetime]:
        def unit(tx: Any) -> list[datetime]:
            return schedules.upcoming(tx, job, count)

        return jobs.unit(unit)

    assert upcoming(schedule) == [jobs.now + HOUR + 3 * number * DAY for number in range(4)]
    assert upcoming(schedule, 2) == [jobs.now + HOUR, jobs.now + HOUR + 3 * DAY]
    jobs.act(actions.resume, schedule)
    made(jobs)
    with pytest.raises(InvalidRequest, match=r"does not recur\. It is a run of the schedule"):
        upcoming(runs_of(jobs, schedule)[0])
    jobs.act(actions.cancel, schedule)
    assert upcoming(schedule) == []
