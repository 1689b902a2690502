"""What a job waits for, in a sentence; and what should never be, found by looking."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from adjourn import config
from adjourn.jobs import history, schedules
from adjourn.jobs.actions import missing
from adjourn.jobs.classes import class_of
from adjourn.jobs.history import Told, shown
from adjourn.jobs.outcomes import RUNS_MAX
from adjourn.jobs.queue import running
from adjourn.jobs.statements import statements
from adjourn.jobs.states import LABELS, STATE_OF, State, Status, WaitReason
from adjourn.store.contract import Reader, Store

_AHEAD_MAX = 100_000
"""Jobs are counted up to here; beyond it nobody waits for the exact number."""


def examine(reader: Reader) -> list[str]:
    """What should never be: counts that are wrong, tokens without a head, files without a row. One sentence each."""
    sql = statements(reader.dialect)
    findings = [
        f"the count of jobs in state {row[0]}/{row[1]} of type {row[2]} is off by {row[3]}"
        for row in reader.rows(sql.wrong_counts)
    ]
    findings += [f"serial key '{row[0]}' has {row[1]} open jobs and not one head" for row in reader.rows(sql.headless)]
    findings += [f"job {row[0]} names file {row[1]}, which does not exist" for row in reader.rows(sql.lost_files)]
    return findings


def why(
    reader: Reader,
    job_id: UUID,
    store: Store | None = None,
    may_see: Callable[[UUID], bool] = lambda job: True,
    *,
    sees_all: bool = True,
) -> str:
    """A sentence on what a job is doing or waiting for, naming the job, moment, person or limit. Raises NotFound.

    store: to say also where its worker is, and what holds the writer. may_see: whether another job may be named. sees_all: whether
    any may, and so what holds the writer. How many are ahead and running is told to everybody who waits.
    """
    sql = statements(reader.dialect)
    rows = reader.rows(sql.why, {"id": str(job_id)})
    if not rows:
        raise missing(job_id)
    job = _Standing(*rows[0])
    status = Status(job.status)
    if STATE_OF[status] is State.SUSPENDED and job.reason == WaitReason.SCHEDULE:
        return _schedule(reader, job_id, job)
    run = ""
    if (schedule := schedules.schedule_of(reader, job_id)) is not None and may_see(schedule[0]):
        run = f" It is a run of the schedule {schedule[0]} '{schedule[1]}'."
    match STATE_OF[status]:
        case State.READY:
            return _ready(reader, job, store) + run + _held_up(store, sees_all=sees_all)
        case State.COMPLETED:
            text = f": {job.friendly}" if job.friendly else ""
            return _sentence(f"It is {LABELS[status]} since {shown(job.completed)}{text}") + run
        case State.LOCKED:
            return _locked(reader, job, status, store) + run + _held_up(store, sees_all=sees_all)
    return (_blocked(reader, job, may_see) if job.blocked else _waiting(reader, job)) + run


def story(reader: Reader, job_id: UUID) -> list[Told]:
    """What happened to a job besides its plain run, the oldest first. Raises NotFound."""
    rows = reader.rows(statements(reader.dialect).sequence_of, {"id": str(job_id)})
    if not rows:
        raise missing(job_id)
    return history.read(reader, rows[0][0])


class Progress(NamedTuple):
    """How far a job's handler says it is."""

    text: str | None
    percent: int | None


def progress(reader: Reader, job_id: UUID) -> Progress:
    """What the handler said last. Raises NotFound."""
    rows = reader.rows(statements(reader.dialect).why, {"id": str(job_id)})
    if not rows:
        raise missing(job_id)
    job = _Standing(*rows[0])
    return Progress(job.progress, job.percent)


class _Standing(NamedTuple):
    """The columns of the statement `why`."""

    status: int
    reason: str | None
    detail: str | None
    until: str | None
    operation_type: int
    sequence: int
    key: str | None
    token: str | None
    worker: str | None
    started: str | None
    friendly: str | None
    completed: str | None
    progress: str | None
    percent: int | None
    blocked: bool
    retry_count: int | None
    person: str
    """Who postponed, paused or canceled it last; else who made it."""


def _ready(reader: Reader, job: _Standing, store: Store | None) -> str:
    found = class_of(job.operation_type)
    types = list(found.operation_types)
    wanted = {
        "types": types if reader.dialect == "postgres" else json.dumps(types),
        "sequence": job.sequence,
        "limit": _AHEAD_MAX + 1,
    }
    ahead = reader.rows(statements(reader.dialect).ahead, wanted)[0][0]
    busy = sum(count for kind, count in running(reader).items() if kind in found.operation_types)
    number = f"more than {_AHEAD_MAX:,}" if ahead > _AHEAD_MAX else f"{ahead:,}"
    if store is not None and not store.living():
        return f"It is ready, and no worker is there to run it: `adjourn serve` on this database runs jobs. {number} ahead of it."
    return f"It is ready and waits for a free slot of class {found.name}: {number} ahead of it, {busy:,} running."


def _locked(reader: Reader, job: _Standing, status: Status, store: Store | None) -> str:
    signs = store.worker_signs(job.worker) if store is not None and job.worker is not None else None
    text = f"Worker {job.worker}{' (' + signs + ')' if signs else ''} has run it since {shown(job.started)}"
    text = _sentence(text + _progress(job))
    then = "as soon as its handler lets go"
    if store is not None and job.worker is not None and job.worker not in (living := store.living()):
        # No handler lets go any more; who reads this while no service runs would wait for ever.
        if living:
            text += " That worker is dead: another one gives the job back within seconds."
        else:
            text += " That worker is dead, and no other is there to give the job back: `adjourn serve` on this database does."
        then = "as soon as it is given back"
    if status is Status.CANCELING:
        return f"{text} {_person(reader, job)} has canceled it: it ends {then}."
    if status is Status.PAUSING:
        done = "paused it" if job.until is None else f"postponed it until {shown(job.until)}"
        return f"{text} {_person(reader, job)} has {done}: it waits {then}."
    return text


def _progress(job: _Standing) -> str:
    percent = f"{job.percent} %" if job.percent is not None else ""
    progress = ", ".join(part for part in (job.progress or "", percent) if part)
    return f"; its progress: {progress}" if progress else ""


def _sentence(text: str) -> str:
    """With a full stop, unless somebody's own words end it."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _blocked(reader: Reader, job: _Standing, may_see: Callable[[UUID], bool]) -> str:
    own = ""
    if job.until is not None:
        own = f" It is itself postponed until {shown(job.until)} by {_person(reader, job)}."
    heads = reader.rows(statements(reader.dialect).blocker, {"key": job.key})
    if not heads or not may_see(UUID(str(heads[0][0]))):
        of = f"of the token '{job.token}'" if job.token else "of its step for the same record"
        return f"It waits behind earlier jobs {of}.{own}"
    head_id, name, head_status, head_until = heads[0]
    moment = f", postponed until {shown(head_until)}" if head_until and head_status == Status.WAITING else ""
    of = "of the same token" if job.token else "of its step for the same record"
    return f"It waits behind job {head_id} '{name}' {of}, which is {LABELS[Status(head_status)]}{moment}.{own}"


def _waiting(reader: Reader, job: _Standing) -> str:
    match job.reason:
        case WaitReason.PAUSED:
            return _sentence(f"It was paused by {_person(reader, job)} and waits to be resumed{_progress(job)}")
        case WaitReason.BACKOFF:
            error = f" after the error '{job.detail}'" if job.detail else ""
            attempt = (job.retry_count or 0) + 1
            return (
                f"Its handler asked for a retry{error}: it backs off, and attempt {attempt} of {RUNS_MAX} begins at "
                f"{shown(job.until)}."
            )
        case WaitReason.EVENT:
            return "It waits for an event."
    if job.until is None:
        return "It is suspended until somebody resumes it."
    return f"It is postponed until {shown(job.until)} by {job.detail or _person(reader, job)}."


def _schedule(reader: Reader, schedule_id: UUID, job: _Standing) -> str:
    said = f"It is a schedule, {schedules.in_words(reader, schedule_id)}"
    running = schedules.open_run(reader, schedule_id)
    if running is None:
        return f"{said}: its next run is at {shown(job.until)}."
    run = f"its run {running[0]} is {LABELS[running[1]]}"
    if job.until is not None and datetime.fromisoformat(job.until) <= reader.now:
        return f"{said}: it is due since {shown(job.until)}, but {run}, and runs never overlap."
    return f"{said}: {run}; its next run is at {shown(job.until)}."


def _person(reader: Reader, job: _Standing) -> str:
    rows = reader.rows(statements(reader.dialect).name_of, {"id": job.person})
    return (rows[0][0] if rows else None) or f"user {job.person}"


def _held_up(store: Store | None, *, sees_all: bool) -> str:
    holder = store.holder(config.STEP_SLOW_SECONDS) if store is not None else None
    if not holder:
        return ""
    # The label of a unit may be the name of somebody's job.
    what = f"'{holder}'" if sees_all else "another operation"
    return f" Everything that writes is held up: {what} holds the database's writer."
