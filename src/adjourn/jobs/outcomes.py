"""What a run's outcome makes of its job: one `match`, pure.

The status in which the job stands when its worker comes back counts too: someone may have asked it to pause or to stop
meanwhile (mechanisms §6, "Settle against status"). Source: semantics §6; design §3, §9 "Retry".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from adjourn import config, errors
from adjourn.errors import signed
from adjourn.jobs import backoff
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
from adjourn.jobs.states import Status, WaitReason

RUNS_MAX = 4
"""A job that keeps asking for a retry runs four times in all, then it is failed (semantics §6)."""
_CHARACTERS_MAX = 100_000


@dataclass(slots=True, kw_only=True)
class Change:
    """The columns of a job after a settle. `text` is the long message, None to leave it."""

    status: Status
    completed_on: datetime | None = None
    postpone_until: datetime | None = None
    wait_reason: WaitReason | None = None
    wait_detail: str | None = None
    retry_count: int
    crashes: int
    cursor: str | None
    error_code: int | None = None
    friendly_message: str | None = None
    text: str | None = None
    delete: bool = False
    """The step's asyncautodelete: a succeeded job is removed."""


class Standing(NamedTuple):
    """How a job stands when its worker comes back."""

    status: Status
    postponed: datetime | None
    """Its postponeuntil; somebody may have postponed it while it ran."""
    cursor: str | None
    """What its last checkpoint kept, in this run or before."""


def decide(job: ClaimedJob, outcome: Outcome, standing: Standing, now: datetime, jitter: Callable[[], float]) -> Change:
    """The change that an outcome means for a job that stands so.

    jitter: makes the number between -1 and 1 of `backoff.delay`.
    """
    status, cursor = standing.status, standing.cursor
    if status is Status.CANCELING:
        match outcome:
            case Succeeded() | Failed():
                text = "The job was canceled; its handler had already finished."
            case Released(_, reason):
                text = f"The job was canceled; {reason}."
            case _:
                text = "The job was canceled."
        return _completed(job, Status.CANCELED, now, code=signed(errors.JOB_CANCELED), friendly=text)
    match outcome:
        case Succeeded(message):
            change = _completed(job, Status.SUCCEEDED, now, code=None, friendly=_cut(message))
            return change if not job.auto_delete else _deleted(change)
        case Failed(code, friendly, details):
            return _completed(job, Status.FAILED, now, code=signed(code), friendly=_cut(friendly), text=_cut(details))
        case Canceled(message):
            return _completed(job, Status.CANCELED, now, code=signed(errors.JOB_CANCELED), friendly=message)
        case Retry(reason, delay_seconds):
            attempt = job.retry_count + 1
            if attempt >= RUNS_MAX:
                why = f": {reason}" if reason else ""
                return _completed(
                    job,
                    Status.FAILED,
                    now,
                    code=signed(errors.STEP_UNEXPECTED),
                    friendly=_cut(reason or "The job asked for a retry too often."),
                    text=f"The job asked for a retry in each of {RUNS_MAX} runs{why}",
                )
            wait = timedelta(seconds=delay_seconds) if delay_seconds is not None else backoff.delay(attempt, jitter())
            detail = reason or None
            return _waiting(job, now + wait, WaitReason.BACKOFF, standing, retries=attempt, detail=detail)
        case Postpone(until):
            detail = "its own handler"
            return _waiting(job, until, WaitReason.POSTPONED, standing, retries=job.retry_count, detail=detail)
        case Continue(reached):
            if status is Status.PAUSING:
                return _paused(job, standing.postponed, reached)
            return _ready(job, crashes=job.crashes, cursor=reached)
        case Released(crashed, reason):
            crashes = job.crashes + crashed
            if crashes >= config.CRASHES_MAX:
                text = f"The job's executor process died in each of {crashes} runs, at last so: {reason}. It is not tried again."
                return _completed(
                    job,
                    Status.FAILED,
                    now,
                    code=signed(errors.JOB_CRASHED),
                    friendly=text,
                    text=text,
                    crashes=crashes,
                )
            if status is Status.PAUSING:
                friendly = f"It waits as it was asked to; {reason}."
                return _paused(job, standing.postponed, cursor, crashes=crashes, friendly=friendly)
            return _ready(job, crashes=crashes, cursor=cursor)


def _completed(
    job: ClaimedJob,
    status: Status,
    now: datetime,
    *,
    code: int | None,
    friendly: str | None,
    text: str | None = None,
    crashes: int | None = None,
) -> Change:
    return Change(
        status=status,
        completed_on=now,
        retry_count=job.retry_count,
        crashes=job.crashes if crashes is None else crashes,
        cursor=None,
        error_code=code,
        friendly_message=friendly,
        text=text,
    )


def _deleted(change: Change) -> Change:
    return Change(
        status=change.status,
        completed_on=change.completed_on,
        retry_count=change.retry_count,
        crashes=change.crashes,
        cursor=None,
        friendly_message=change.friendly_message,
        delete=True,
    )


def _ready(job: ClaimedJob, *, crashes: int, cursor: str | None) -> Change:
    return Change(status=Status.WAITING_FOR_RESOURCES, retry_count=job.retry_count, crashes=crashes, cursor=cursor)


def _paused(
    job: ClaimedJob,
    postponed: datetime | None,
    cursor: str | None,
    *,
    crashes: int | None = None,
    friendly: str | None = None,
) -> Change:
    return Change(
        status=Status.WAITING,
        postpone_until=postponed,
        wait_reason=WaitReason.POSTPONED if postponed else WaitReason.PAUSED,
        retry_count=job.retry_count,
        crashes=job.crashes if crashes is None else crashes,
        cursor=cursor,
        friendly_message=friendly,
    )


def _waiting(
    job: ClaimedJob,
    until: datetime,
    reason: WaitReason,
    standing: Standing,
    *,
    retries: int,
    detail: str | None = None,
) -> Change:
    if standing.status is Status.PAUSING:
        postponed = standing.postponed
        # A person's wish outranks the job's own: paused, or postponed to the person's moment.
        until_asked, why, detail = postponed, WaitReason.POSTPONED if postponed else WaitReason.PAUSED, None
    else:
        until_asked, why = until, reason
    return Change(
        status=Status.WAITING,
        postpone_until=until_asked,
        wait_reason=why,
        wait_detail=detail,
        retry_count=retries,
        crashes=job.crashes,
        cursor=standing.cursor,
    )


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _CHARACTERS_MAX else text[: _CHARACTERS_MAX - 1] + "…"
