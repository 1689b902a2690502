"""A system job on its way into the queue, in a worker's hands, and on its way out. Plain data.

There is no second copy of a job's state: the row of `asyncoperation` is the job, these are messages about it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple
from uuid import UUID

from adjourn.errors import clean
from adjourn.metadata.model import Reference

EVENT = 1
"""System Event: an asynchronous plug-in step."""
WORKFLOW = 10
BULK_DELETE = 13
BULK_DELETE_RUN = 23
"""Bulk Delete Subprocess: one run of a recurring bulk delete."""
REQUEST = 54
"""Execute Async Request: a job of one's own."""
RUN_TYPES = {BULK_DELETE: BULK_DELETE_RUN}
"""The operation types of schedules whose runs have another one."""


class ResourceClass(NamedTuple):
    """Types of jobs that draw on one limit, so that a flood of one class never starves another."""

    name: str
    operation_types: tuple[int, ...]
    threads: int
    """0: its jobs run in the executor slots; otherwise on this many supervisor threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be inserted. State and status follow from it: recurring, blocked or postponed ones start as 1/10."""

    id: UUID
    operation_type: int
    name: str
    message_name: str
    owner: Reference
    owning_business_unit: UUID
    created_by: UUID
    created_on: datetime
    correlation_id: UUID
    correlation_updated: datetime
    """When the chain of calls began: depth restarts when it is over an hour old."""
    depth: int = 1
    data: str | None = None
    """Serialized context or arguments; over 4 MB it goes to file storage."""
    created_on_behalf_by: UUID | None = None
    time_zone_code: int | None = None
    regarding: Reference | None = None
    primary_entity_type: str | None = None
    owning_extension: UUID | None = None
    dependency_token: str | None = None
    serial_key: str | None = None
    """Internal queue of strictly serial jobs: "t:" + token, or "r:" + step + record (see mechanisms: dependency token)."""
    request_id: UUID | None = None
    parent_execution_id: UUID | None = None
    postpone_until: datetime | None = None
    recurrence_pattern: str | None = None
    """Makes it a schedule, which never runs itself (`jobs.schedules`); its serial key is null, its runs have one."""
    recurrence_start: datetime | None = None
    """From which the pattern counts; None: from `created_on`, and the first run is due at once. `postpone_until` holds the
    first run back."""
    schedule_id: UUID | None = None


@dataclass(slots=True, kw_only=True)
class ClaimedJob:
    """A job that a worker holds: the row as it was when claimed, and the lease that proves the hold.

    Never changed; not frozen, because thousands a second are made and freezing costs as much as all the rest of it.
    """

    id: UUID
    sequence: int
    lease: str
    operation_type: int
    name: str
    message_name: str
    owner: Reference
    created_by: UUID
    created_on: datetime
    started_on: datetime
    correlation_id: UUID
    correlation_updated: datetime
    depth: int
    data: str | None
    data_file: UUID | None
    """Where the data lies if it was over 4 MB; the worker reads it when it prepares the job."""
    data_bytes: int
    """How much data there is, its cursor included, about: a text that is not ASCII counts its characters."""
    regarding: Reference | None
    primary_entity_type: str | None
    owning_extension: UUID | None
    retry_count: int
    crashes: int
    cursor: str | None
    auto_delete: bool
    """The step's asyncautodelete: the row goes when the job succeeds."""
    serial_key: str | None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """message: for people, into friendlymessage."""

    message: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """code: unsigned; friendly: one line for people; details: text and traceback, into `message`."""

    code: int
    friendly: str
    details: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Run again after `delay_seconds`, or after the back-off of the attempt. The fourth run in all is the last one."""

    reason: str = ""
    delay_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Postpone:
    """Run again at a moment (UTC); not counted as a retry."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Continue:
    """A part is done; run again from `cursor` as soon as there is a slot."""

    cursor: str


@dataclass(frozen=True, slots=True)
class Canceled:
    """The handler let go because it was asked to."""

    message: str = "The job was canceled while it ran."


@dataclass(frozen=True, slots=True)
class Released:
    """Given back unrun or interrupted (clean shutdown: crashed False; its executor died: crashed True)."""

    crashed: bool = False
    reason: str = "its worker was stopped"


Outcome = Succeeded | Failed | Retry | Postpone | Continue | Canceled | Released
_DELAY_SECONDS_MAX = 100 * 366 * 86_400
_CURSOR_CHARACTERS_MAX = 1_000_000


def sound(outcome: Outcome) -> Outcome:
    """An outcome that a handler made, fit to be settled. Raises TypeError or ValueError that name what is wrong with it."""
    match outcome:
        case Succeeded(None):
            return outcome
        case Succeeded(str() as message):
            return Succeeded(clean(message))
        case Canceled(str() as message):
            return Canceled(clean(message))
        case Failed(int() as code, str() as friendly, str() as details) if 0 <= code < 1 << 32:
            return Failed(code, clean(friendly), clean(details))
        case Retry(str() as reason, None):
            return Retry(clean(reason))
        case Retry(str() as reason, int() | float() as seconds):
            if not 0 <= seconds <= _DELAY_SECONDS_MAX:
                raise ValueError(f"Retry(delay_seconds={seconds}): it must be between 0 and {_DELAY_SECONDS_MAX:,}.")
            return Retry(clean(reason), float(seconds))
        case Retry(reason, delay):
            raise TypeError(
                f"Retry(reason, delay_seconds) takes a text and a number of seconds, found {reason!r:.100}, {delay!r:.100}."
            )
        case Postpone(datetime(tzinfo=tzinfo()) as until):
            return Postpone(until.astimezone(UTC))
        case Postpone(until):
            raise TypeError(f"Postpone(until=…) needs a datetime with a time zone, found {until!r:.100}.")
        case Continue(str() as cursor):
            if len(cursor) > _CURSOR_CHARACTERS_MAX:
                raise ValueError(f"A cursor has at most {_CURSOR_CHARACTERS_MAX:,} characters, found {len(cursor):,}.")
            return Continue(clean(cursor))
        case Continue(cursor):
            raise TypeError(f"A cursor is a text (str), found {cursor!r:.100} ({type(cursor).__name__}).")
        case Released(bool() as crashed, str() as reason):
            return Released(crashed, clean(reason))
    raise TypeError(f"{outcome!r:.200} is no outcome: one of its values has the wrong type.")


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one run."""

    job: ClaimedJob
    outcome: Outcome
    seconds: float
    """How long the run took, into executiontimespan."""


@dataclass(slots=True)
class Settled:
    """What a batch of settlements did: which were refused because the lease was no longer theirs."""

    accepted: list[UUID] = field(default_factory=list)
    refused: list[UUID] = field(default_factory=list)
    woke: bool = False
    """A job became Ready by it (a promoted token head): ring the bell."""
