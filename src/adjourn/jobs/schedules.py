"""Schedules: recurring jobs. A schedule never runs itself; when it is due, it makes an ordinary job, its run, and moves on.

    schedule   1/10, recurrencepattern, postponeuntil = its next moment
    run        an ordinary job with the schedule's name, data, owner, token; scheduleid = the schedule

Making the run and moving on are one transaction, so that a crash between any two statements neither loses a run nor makes
two of one. Moments that were missed, because nobody ran jobs or the run before took long, collapse into one run; while a
run is open the next one waits. A recurrence that has no more moments completes its schedule with its last run; canceling
the schedule ends it, the run that is open goes on. Serial keys belong to the runs: a schedule is never behind its token.
Several hosts may do this at once: a schedule that one of them is at is left to it. Source: design §3 "Recurrence".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID

from adjourn import config, errors, runtime
from adjourn.errors import InvalidRequest, InvalidStateChange, NotFound, QueryError
from adjourn.jobs import actions, history, job_data, postponed, queue, timetable, tokens
from adjourn.jobs.history import Entry, Event
from adjourn.jobs.model import RUN_TYPES, NewJob
from adjourn.jobs.schedule_statements import statements
from adjourn.jobs.states import STATE_OF, State, Status
from adjourn.metadata.model import Reference
from adjourn.metadata.values import moment_text
from adjourn.store import faults
from adjourn.store.contract import Reader, Row, Transaction

RUNS_BATCH = 200
"""Runs made in one unit, so that it holds the writer for some ten milliseconds, however many schedules are due."""
DATA_BYTES_MAX = 8 * 1024 * 1024
"""Of the data of the runs made in one unit; the one that passes it is the last."""
UPCOMING_MAX = 1_000


class Promoted(NamedTuple):
    """What has become due. lowest: of the sequences of postponed jobs among it. more: there may be more at once."""

    number: int
    lowest: int | None
    more: bool


def promote_due(tx: Transaction, limit: int = 1000, moment: datetime | None = None) -> Promoted:
    """Make Ready what is due: postponed jobs, and runs of schedules.

    moment: as if it were then (UTC) for what is due and comes next; what is written bears the real moment. None for now.
    """
    count, lowest = postponed.promote(tx, limit, moment)
    made = make_due(tx, min(limit, RUNS_BATCH), moment)
    return Promoted(count + made, lowest, count == limit or made == min(limit, RUNS_BATCH))


def make_due(tx: Transaction, limit: int = RUNS_BATCH, moment: datetime | None = None) -> int:
    """Make the runs of at most `limit` due schedules, in the order of their moments; how many schedules were served."""
    moment = moment or tx.now
    found = tx.rows(statements(tx.dialect).due, {"moment": moment_text(moment), "limit": limit})
    return _serve(tx, found, moment)


def run_if_due(tx: Transaction, schedule_id: UUID) -> bool:
    """Make the run of one schedule, if it is due and its last run has ended."""
    found = tx.rows(statements(tx.dialect).due_one, {"moment": moment_text(tx.now), "id": str(schedule_id)})
    return _serve(tx, found, tx.now) > 0


def lock(tx: Transaction, schedule_id: UUID) -> None:
    """Take the mutex of a schedule's token, before its row is locked: for who makes it due and has it run at once."""
    standing = _standing(tx, schedule_id)
    if standing.pattern is not None:
        tokens.lock(tx, [_key(standing.token)])


def _serve(tx: Transaction, found: Sequence[Row], moment: datetime) -> int:
    if not found:
        return 0
    sql = statements(tx.dialect)
    # The data of each is in memory, and written again for its run: the others are still due when this unit has ended.
    sizes = accumulate(row[2] for row in found)
    found = [row for row, size in zip(found, sizes, strict=True) if size - row[2] < DATA_BYTES_MAX]
    # The tokens first, the rows in a later statement (mechanisms, "Dependency token"); what others did meanwhile is seen then.
    tokens.lock(tx, [_key(row[1]) for row in found])
    ids: Any = [str(row[0]) for row in found]
    listed = ids if tx.dialect == "postgres" else json.dumps(ids)
    taken = tx.rows(sql.take, {"moment": moment_text(moment), "ids": listed})
    runs: list[NewJob] = []
    moved: list[tuple[int, str]] = []
    ended: list[dict[str, Any]] = []
    for row in taken:
        sequence = row[0]
        try:
            run, following = _run_of(tx, row, moment)
        except (QueryError, NotFound) as error:
            # One that cannot go on (its user is gone, its file is lost, its imported pattern is none) must not hold up the others.
            ended.append(_ended(sequence, Status.FAILED, error.signed, f"It can make no more runs: {error.message}"))
            continue
        runs.append(run)
        if following is None:
            ended.append(_ended(sequence, Status.SUCCEEDED, None, "Its recurrence has ended."))
        else:
            moved.append((sequence, moment_text(following)))
    faults.point("schedules taken")
    queue.insert(tx, runs)
    faults.point("runs made")
    changed = {"now": moment_text(tx.now), "by": config.SYSTEM_USER_ID}
    if moved:
        tx.execute(sql.move, {**changed, **_columns(tx, moved)})
    for end in ended:
        tx.execute(sql.end, {**changed, **end})
    faults.point("schedules moved")
    return len(moved) + len(ended)


def _run_of(tx: Transaction, row: Row, moment: datetime) -> tuple[NewJob, datetime | None]:
    """A due schedule's run, and when the next one is due. Raises QueryError, NotFound."""
    (_, schedule_id, operation_type, name, message_name, owner, owner_table, unit, created_by, on_behalf, correlation,
     correlation_updated, depth, time_zone_code, regarding, regarding_table, primary_table, token, pattern, start, created_on,
     data_file, data, somebody) = row  # fmt: skip
    if not somebody:
        who = created_by if owner_table == "team" else owner
        raise NotFound(f"systemuser {who}, whom its runs would run as, does not exist.")
    anchor = datetime.fromisoformat(start or created_on)
    following = timetable.following(pattern, anchor, moment)
    if data is None and data_file is not None:
        data = job_data.content(tx, UUID(data_file))
    run = NewJob(
        id=runtime.new_id(),
        operation_type=RUN_TYPES.get(operation_type) or operation_type,
        name=name,
        message_name=message_name,
        owner=Reference(owner_table, UUID(owner)),
        owning_business_unit=UUID(unit),
        created_by=UUID(created_by),
        created_on=tx.now,
        correlation_id=UUID(correlation),
        correlation_updated=datetime.fromisoformat(correlation_updated),
        depth=depth,
        data=data,
        created_on_behalf_by=UUID(on_behalf) if on_behalf else None,
        time_zone_code=time_zone_code,
        regarding=Reference(regarding_table, UUID(regarding)) if regarding and regarding_table else None,
        primary_entity_type=primary_table,
        dependency_token=token,
        serial_key=_key(token),
        schedule_id=UUID(schedule_id),
    )
    return run, following


def change(tx: Transaction, job_id: UUID, pattern: str | None, *, by: UUID) -> None:
    """Give a schedule another pattern; its next run is due by that one, which counts from the old start.

    Raises NotFound; InvalidRequest (0x80044168) for a job that is no schedule; InvalidStateChange (0x80044169) for one that
    has ended; QueryError for a pattern that is none or never occurs.
    """
    sql = statements(tx.dialect)
    rows = tx.rows(sql.require_locked, {"id": str(job_id)})
    if not rows:
        raise actions.missing(job_id)
    sequence, status, before, start, created_on = rows[0]
    if before is None:
        raise InvalidRequest(
            "Column 'recurrencepattern' can only be changed on a recurring job.", code=errors.RECURRENCE_OF_NONRECURRING
        )
    if STATE_OF[Status(status)] is State.COMPLETED:
        raise InvalidStateChange(
            "The recurring job has ended, and a completed job never changes; it can be deleted.",
            code=errors.RECURRENCE_OF_COMPLETED,
        )
    if not pattern:
        raise QueryError(
            "Recurrence pattern: it cannot be taken away; cancel the job to end its recurrence.",
            code=errors.RECURRENCE_INVALID,
        )
    due = timetable.changed(pattern, datetime.fromisoformat(start or created_on), tx.now)
    now = moment_text(tx.now)
    tx.execute(
        sql.change, {"sequence": sequence, "pattern": pattern, "due": moment_text(due), "now": now, "by": str(by)}
    )
    detail = f"from {before} to {pattern}"
    history.write(tx, [Entry(sequence, Event.RECURRENCE, Status(status), Status(status), by, detail)])


class Standing(NamedTuple):
    """What there is to know of a job's recurrence."""

    pattern: str | None
    start: str | None
    created_on: str
    due: str | None
    status: int
    schedule: str | None
    """Of a run: the schedule that made it."""
    token: str | None

    @property
    def anchor(self) -> datetime:
        """From which the pattern counts."""
        return datetime.fromisoformat(self.start or self.created_on)


def in_words(reader: Reader, job_id: UUID) -> str | None:
    """A recurring job's pattern in English; None for any other. Raises NotFound."""
    found = _standing(reader, job_id)
    return timetable.said(found.pattern, found.anchor) if found.pattern is not None else None


def upcoming(reader: Reader, job_id: UUID, count: int) -> list[datetime]:
    """The next moments of a schedule; none for one that has ended. Raises NotFound, InvalidRequest for a one-off job."""
    found = _standing(reader, job_id)
    if found.pattern is None:
        hint = f" It is a run of the schedule {found.schedule}." if found.schedule else ""
        raise InvalidRequest(f"System job {job_id} does not recur.{hint}", code=errors.RECURRENCE_OF_NONRECURRING)
    if found.due is None:
        return []
    due = datetime.fromisoformat(found.due)
    return timetable.upcoming(found.pattern, found.anchor, due, reader.now, min(count, UPCOMING_MAX))


def open_run(reader: Reader, schedule_id: UUID) -> tuple[UUID, Status] | None:
    """A schedule's run that has not ended, if there is one."""
    rows = reader.rows(statements(reader.dialect).open_run, {"id": str(schedule_id)})
    return (UUID(rows[0][0]), Status(rows[0][1])) if rows else None


def schedule_of(reader: Reader, run_id: UUID) -> tuple[UUID, str] | None:
    """The id and the name of the schedule that made a run; None for other jobs, and when it is gone."""
    rows = reader.rows(statements(reader.dialect).of_run, {"id": str(run_id)})
    return (UUID(rows[0][0]), rows[0][1]) if rows else None


def _standing(reader: Reader, job_id: UUID) -> Standing:
    rows = reader.rows(statements(reader.dialect).standing, {"id": str(job_id)})
    if not rows:
        raise actions.missing(job_id)
    return Standing(*rows[0])


def _key(token: str | None) -> str | None:
    return f"t:{token}" if token is not None else None


def _ended(sequence: int, status: Status, code: int | None, message: str) -> dict[str, Any]:
    return {"sequence": sequence, "status": int(status), "code": code, "message": message}


def _columns(tx: Transaction, moved: Sequence[tuple[int, str]]) -> dict[str, Any]:
    if tx.dialect == "sqlite":
        return {"rows": json.dumps(moved)}
    sequences, moments = zip(*moved, strict=True)
    return {"sequences": list(sequences), "moments": list(moments)}
