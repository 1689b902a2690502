"""What is kept of what people, retries, pauses, rescues and tokens did to a job. On both stores."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from adjourn import config, runtime
from adjourn.errors import InvalidStateChange, NotFound
from adjourn.jobs import actions, explain, history, queue
from adjourn.jobs.model import Canceled, Continue, Failed, Postpone, Released, Retry, Succeeded

ADMIN, SYSTEM = UUID(config.ADMIN_USER_ID), UUID(config.SYSTEM_USER_ID)


def told(jobs: Any, job: UUID) -> list[tuple[str, int, int, str | None]]:
    with jobs.store.read() as reader:
        return [(entry.event, entry.was, entry.became, entry.detail) for entry in explain.story(reader, job)]


@pytest.mark.requirement("M179")
def test_a_plain_run_leaves_no_history(jobs: Any) -> None:
    jobs.add(3)
    first, second, third = jobs.claim(3)
    jobs.settle((first, Succeeded()), (second, Failed(1, "f", "d")), (third, Continue("c")))
    jobs.run()
    jobs.add(postpone_until=jobs.now + timedelta(seconds=5))
    jobs.tick(5)
    jobs.due()
    jobs.run()
    assert jobs.rows("SELECT count(*) FROM jobhistory") == [(0,)]


def test_what_a_person_does_is_kept_with_who_and_when(jobs: Any) -> None:
    (job,) = jobs.add()
    jobs.act(actions.postpone, job, jobs.now + timedelta(hours=1))
    jobs.tick()
    jobs.act(actions.resume, job)
    (claimed,) = jobs.claim()
    jobs.act(actions.pause, job)
    jobs.settle((claimed, Continue("c")))
    jobs.tick()
    jobs.act(actions.cancel, job)
    with jobs.store.read() as reader:
        entries = explain.story(reader, job)
    assert [(entry.event, entry.was, entry.became) for entry in entries] == [
        ("postpone", 0, 10), ("resume", 10, 0), ("pause", 20, 21), ("let go", 21, 10), ("cancel", 10, 32),
    ]  # fmt: skip
    assert [entry.by for entry in entries] == [ADMIN, ADMIN, ADMIN, SYSTEM, ADMIN]
    assert [entry.on.second for entry in entries] == [0, 1, 1, 1, 2]
    assert entries[0].detail == "2030-01-01 13:00:00 UTC"


def test_what_changed_nothing_or_was_refused_is_not_told(jobs: Any) -> None:
    (job,) = jobs.add()
    with pytest.raises(InvalidStateChange):
        jobs.act(actions.pause, job)
    jobs.claim()
    jobs.act(actions.pause, job)
    jobs.act(actions.pause, job)
    assert told(jobs, job) == [("pause", 20, 21, None)]


def test_a_retry_tells_its_reason_and_attempt(jobs: Any) -> None:
    (job,) = jobs.add()
    for _ in range(4):
        (claimed,) = jobs.claim()
        jobs.settle((claimed, Retry("away", delay_seconds=1)))
        jobs.tick()
        jobs.due()
    assert told(jobs, job) == [
        ("retry", 20, 10, "attempt 1 of 4 asked for a retry: away"),
        ("retry", 20, 10, "attempt 2 of 4 asked for a retry: away"),
        ("retry", 20, 10, "attempt 3 of 4 asked for a retry: away"),
        ("retry", 20, 31, "attempt 4 of 4 asked for a retry: away"),
    ]


def test_a_handler_that_waits_or_gives_up_and_a_job_that_lets_go(jobs: Any) -> None:
    waits, gives_up, stops, waits_too = jobs.add(4)
    claimed = jobs.claim(4)
    jobs.act(actions.cancel, stops)
    jobs.act(actions.postpone, waits_too, jobs.now + timedelta(hours=2))
    ends = (Postpone(jobs.now + timedelta(hours=1)), Canceled("enough"), Canceled(), Continue("c"))
    jobs.settle(*zip(claimed, ends, strict=True))
    assert told(jobs, waits) == [("postpone", 20, 10, "its handler asked to wait until 2030-01-01 13:00:00 UTC")]
    assert told(jobs, gives_up) == [("let go", 20, 32, "enough")]
    assert told(jobs, stops) == [("cancel", 20, 22, None), ("let go", 22, 32, "The job was canceled.")]
    assert told(jobs, waits_too)[1] == ("let go", 21, 10, "until 2030-01-01 14:00:00 UTC")


def test_a_rescue_tells_who_died(jobs: Any) -> None:
    worker, executor, stopped = jobs.add(3)
    claimed = jobs.claim(3, worker="dead")
    jobs.settle((claimed[1], Released(True, "its executor process died")), (claimed[2], Released()))
    jobs.unit(lambda tx: queue.rescue(tx, ["dead"]))
    assert told(jobs, worker) == [("rescue", 20, 0, "its worker died")]
    assert told(jobs, executor) == [("rescue", 20, 0, "its executor process died")]
    assert told(jobs, stopped) == [("rescue", 20, 0, "its worker was stopped")]


@pytest.mark.requirement("M28")
def test_a_token_tells_whose_end_let_the_next_one_forward(jobs: Any) -> None:
    first, second, third, fourth = jobs.add(4, dependency_token="t")
    jobs.run()
    assert told(jobs, second) == [("turn", 10, 0, f"job {first} before it has ended")]
    jobs.act(actions.cancel, second)
    jobs.act(actions.postpone, fourth, jobs.now + timedelta(hours=1))
    jobs.delete(third)
    assert told(jobs, fourth)[-1] == ("turn", 10, 10, f"job {third} before it has ended")
    assert jobs.stands(fourth) == [(1, 10)]


def test_history_goes_with_its_job_and_is_written_with_the_change(jobs: Any) -> None:
    (job,) = jobs.add()
    with pytest.raises(ZeroDivisionError):
        jobs.unit(lambda tx: (actions.postpone(tx, job, jobs.now + timedelta(hours=1), by=ADMIN), 1 / 0))
    assert told(jobs, job) == []
    jobs.act(actions.cancel, job)
    jobs.delete(job)
    assert jobs.rows("SELECT count(*) FROM jobhistory") == [(0,)]
    with pytest.raises(NotFound):
        told(jobs, job)


def test_the_oldest_entries_go_beyond_the_limit(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "ENTRIES_MAX", 5)
    (job,) = jobs.add()
    for number in range(8):
        jobs.act(actions.postpone, job, jobs.now + timedelta(hours=1 + number))
    assert [entry[3] for entry in told(jobs, job)] == [f"2030-01-01 {16 + number}:00:00 UTC" for number in range(5)]
    jobs.act(actions.resume, job)
    assert [entry[0] for entry in told(jobs, job)] == ["postpone"] * 4 + ["resume"]


def test_a_long_reason_is_cut(jobs: Any) -> None:
    (job,) = jobs.add()
    (claimed,) = jobs.claim()
    jobs.settle((claimed, Retry("x" * 100_000)))
    ((_, _, _, detail),) = told(jobs, job)
    assert detail is not None
    assert len(detail) == 2_000


def test_a_job_that_nobody_knows_has_no_story(jobs: Any) -> None:
    with pytest.raises(NotFound):
        told(jobs, runtime.new_id())
