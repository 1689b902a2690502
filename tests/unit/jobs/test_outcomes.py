"""What a run makes of its job, and what a person asked for meanwhile."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adjourn.jobs import backoff
from adjourn.jobs.classes import BULK, CLASSES, MAINTENANCE, PLUGINS, REQUESTS, class_of
from adjourn.jobs.model import (
    Canceled,
    ClaimedJob,
    Continue,
    Failed,
    Outcome,
    Postpone,
    Released,
    Retry,
    Succeeded,
)
from adjourn.jobs.outcomes import Change, Standing, decide
from adjourn.jobs.states import SETTLED, STATE_OF, State, Status, WaitReason
from adjourn.metadata.model import Reference

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
SOMEBODY = UUID(int=7)
JOB = ClaimedJob(
    id=UUID(int=1), sequence=1, lease="l", operation_type=54, name="n", message_name="m",
    owner=Reference("systemuser", SOMEBODY), created_by=SOMEBODY, created_on=NOW, started_on=NOW, correlation_id=SOMEBODY,
    correlation_updated=NOW, depth=1, data=None, data_file=None, data_bytes=0, regarding=None, primary_entity_type=None,
    owning_extension=None, retry_count=0, crashes=0, cursor="c0", auto_delete=False, serial_key=None,
)  # fmt: skip
IN_PROGRESS, PAUSING, CANCELING = Status.IN_PROGRESS, Status.PAUSING, Status.CANCELING


def after(outcome: Outcome, status: Status = IN_PROGRESS, *, postponed: datetime | None = None, **job: Any) -> Change:
    claimed = dataclasses.replace(JOB, **job)
    return decide(claimed, outcome, Standing(status, postponed, claimed.cursor), NOW, lambda: 0.0)


def test_success_keeps_the_text_and_has_no_code() -> None:
    change = after(Succeeded("done"))
    assert (change.status, change.completed_on, change.friendly_message) == (Status.SUCCEEDED, NOW, "done")
    assert (change.error_code, change.cursor, change.delete) == (None, None, False)


def test_failure_keeps_a_signed_code_a_line_and_the_details() -> None:
    change = after(Failed(0x80040265, "no", "Traceback …"))
    assert (change.status, change.completed_on) == (Status.FAILED, NOW)
    assert (change.error_code, change.friendly_message, change.text) == (-2147220891, "no", "Traceback …")


def test_a_text_for_people_is_cut_at_its_limit() -> None:
    change = after(Succeeded("x" * 100_001))
    assert change.friendly_message == "x" * 99_999 + "…"
    assert after(Succeeded("x" * 100_000)).friendly_message == "x" * 100_000


def test_automatic_deletion_is_for_success_only() -> None:
    assert after(Succeeded(), auto_delete=True).delete
    assert not after(Failed(1, "", ""), auto_delete=True).delete
    assert not after(Succeeded(), CANCELING, auto_delete=True).delete


@pytest.mark.parametrize(("retries", "seconds"), [(0, 10), (1, 20), (2, 40)])
def test_a_retry_waits_twice_as_long_each_time(retries: int, seconds: int) -> None:
    change = after(Retry("busy"), retry_count=retries)
    assert (change.status, change.wait_reason, change.wait_detail) == (Status.WAITING, WaitReason.BACKOFF, "busy")
    assert change.postpone_until == NOW + timedelta(seconds=seconds)
    assert (change.retry_count, change.completed_on, change.cursor) == (retries + 1, None, "c0")


def test_the_fourth_run_is_the_last() -> None:
    change = after(Retry("busy"), retry_count=3)
    assert (change.status, change.retry_count, change.friendly_message) == (Status.FAILED, 3, "busy")
    assert change.error_code is not None
    assert change.error_code < 0


def test_a_retry_may_name_its_own_delay() -> None:
    assert after(Retry(delay_seconds=0.5)).postpone_until == NOW + timedelta(seconds=0.5)


def test_postponing_itself_is_no_retry() -> None:
    change = after(Postpone(LATER), retry_count=2)
    assert (change.status, change.postpone_until, change.retry_count) == (Status.WAITING, LATER, 2)


def test_continue_is_ready_again_from_its_cursor() -> None:
    change = after(Continue("c1"))
    assert (change.status, change.cursor, change.completed_on) == (Status.WAITING_FOR_RESOURCES, "c1", None)


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded("yes"),
        Failed(1, "f", "d"),
        Retry(),
        Postpone(LATER),
        Continue("c"),
        Canceled(),
        Released(),
        Released(True),
    ],
)
def test_a_job_that_was_told_to_stop_is_always_canceled(outcome: Outcome) -> None:
    change = after(outcome, CANCELING, crashes=5)
    assert (change.status, change.completed_on) == (Status.CANCELED, NOW)
    assert change.error_code is not None
    finished = isinstance(outcome, Succeeded | Failed)
    assert ("already finished" in (change.friendly_message or "")) is finished


@pytest.mark.parametrize("outcome", [Succeeded(), Failed(1, "f", "d")])
def test_an_end_stands_though_somebody_asked_to_pause(outcome: Outcome) -> None:
    assert STATE_OF[after(outcome, PAUSING).status] is State.COMPLETED


@pytest.mark.parametrize("outcome", [Retry(), Postpone(LATER), Continue("c1"), Released()])
def test_a_pause_outranks_what_the_handler_wants(outcome: Outcome) -> None:
    change = after(outcome, PAUSING)
    assert (change.status, change.postpone_until, change.wait_reason) == (Status.WAITING, None, WaitReason.PAUSED)
    assert change.cursor == ("c1" if isinstance(outcome, Continue) else "c0")


@pytest.mark.parametrize("outcome", [Retry(), Postpone(NOW), Continue("c1"), Released()])
def test_a_postponement_while_it_runs_holds_to_its_moment(outcome: Outcome) -> None:
    change = after(outcome, PAUSING, postponed=LATER)
    assert (change.status, change.postpone_until, change.wait_reason) == (Status.WAITING, LATER, WaitReason.POSTPONED)


def test_a_job_given_back_is_ready_with_its_cursor() -> None:
    change = after(Released())
    assert (change.status, change.cursor, change.crashes) == (Status.WAITING_FOR_RESOURCES, "c0", 0)


def test_a_job_that_kills_its_executor_three_times_is_failed() -> None:
    assert [after(Released(True), crashes=n).status for n in range(3)] == [0, 0, Status.FAILED]
    assert [after(Released(True), crashes=n).crashes for n in range(3)] == [1, 2, 3]
    assert after(Released(False), crashes=2).status is Status.WAITING_FOR_RESOURCES


OUTCOMES = st.one_of(
    st.builds(Succeeded, st.none() | st.text()),
    st.builds(Failed, st.integers(0, 0xFFFFFFFF), st.text(), st.text()),
    st.builds(Retry, st.text(), st.none() | st.floats(0, 1e6)),
    st.just(Postpone(LATER)),
    st.builds(Continue, st.text()),
    st.just(Canceled()),
    st.builds(Released, st.booleans()),
)


@given(
    outcome=OUTCOMES,
    status=st.sampled_from([IN_PROGRESS, PAUSING, CANCELING]),
    postponed=st.none() | st.just(LATER),
    retries=st.integers(0, 4),
    crashes=st.integers(0, 4),
)
def test_whatever_happens_the_job_is_let_go_in_a_legal_pair(
    outcome: Outcome, status: Status, postponed: datetime | None, retries: int, crashes: int
) -> None:
    change = after(outcome, status, postponed=postponed, retry_count=retries, crashes=crashes)
    assert change.status in SETTLED[status]
    assert STATE_OF[change.status] is not State.LOCKED
    assert (change.completed_on is not None) == (STATE_OF[change.status] is State.COMPLETED)
    assert (change.wait_reason is not None) == (change.status is Status.WAITING)
    assert change.error_code is None or -(2**31) <= change.error_code < 2**31
    assert change.retry_count <= max(retries, 3)
    if change.status in (Status.FAILED, Status.CANCELED):
        assert change.error_code is not None


@given(attempt=st.integers(1, 60), jitter=st.floats(-1, 1))
def test_back_off_doubles_up_to_an_hour_within_a_tenth(attempt: int, jitter: float) -> None:
    plain = min(10 * 2 ** (attempt - 1), 3600)
    seconds = backoff.delay(attempt, jitter).total_seconds()
    assert plain * 0.9 - 1e-3 <= seconds <= plain * 1.1 + 1e-3


def test_each_operation_type_belongs_to_one_class() -> None:
    types = [operation_type for found in CLASSES for operation_type in found.operation_types]
    assert len(types) == len(set(types))
    assert [class_of(kind) for kind in (1, 54, 13, 24, 999)] == [PLUGINS, REQUESTS, BULK, MAINTENANCE, MAINTENANCE]
