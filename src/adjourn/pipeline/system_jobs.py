"""What a caller may do with a row of `asyncoperation`: look, cancel, resume, pause, postpone, delete. Nothing else.

The specification opens three columns for update, and the pattern of a recurring job; which of the actions an update means
is decided here, and whether the job's state allows it in `jobs.states`. Source: specification, "Managing system jobs",
"Manage system job states", "Recurrence start times and patterns".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from adjourn import errors
from adjourn.errors import ConcurrencyMismatch, InvalidRequest, NotSupported
from adjourn.jobs import actions, queue, schedules
from adjourn.metadata import values
from adjourn.metadata.model import Table
from adjourn.metadata.privileges import Depth
from adjourn.pipeline.record import Record
from adjourn.pipeline.validate import unknown_column
from adjourn.query import security
from adjourn.query.security import Caller
from adjourn.store.contract import Transaction

TABLE = "asyncoperation"
READ_PRIVILEGE = "prvReadAsyncOperation"
UPDATABLE = ("statecode", "statuscode", "postponeuntil")
RECURRENCE = "recurrencepattern"
CANCEL, RESUME, PAUSE, POSTPONE = "cancel", "resume", "pause", "postpone"
_STATES = {3: CANCEL, 0: RESUME, 1: PAUSE}
_STATUSES = {32: (3, CANCEL), 0: (0, RESUME), 10: (1, PAUSE)}


def are_all_read_by(caller: Caller) -> bool:
    """Whether a caller may read every job, and so be told what concerns them all: their number, what holds the writer."""
    return security.depth_of(caller, READ_PRIVILEGE) is Depth.GLOBAL


def refuse_create() -> NotSupported:
    """Creating system jobs with code is not supported (specification)."""
    return NotSupported(
        "System jobs cannot be created: they come from asynchronous steps, from ExecuteAsync and from the messages that "
        "make jobs."
    )


def validate_update(table: Table, target: Record) -> Record:
    """The allowed columns of an update, checked. Raises InvalidRequest naming the first one that is not allowed."""
    checked = Record(table.logical, target.id)
    for name, value in target.values.items():
        column = table.columns.get(name)
        if column is None or not column.readable:
            raise unknown_column(table, name)
        if name == table.primary_id:
            checked.id = values.check(column, value)
            continue
        if name not in (*UPDATABLE, RECURRENCE):
            raise InvalidRequest(
                f"Column '{name}' of a system job cannot be updated. Only {', '.join(UPDATABLE)} can, and {RECURRENCE} of a "
                "recurring one."
            )
        checked.values[name] = values.check(column, value)
    return checked


def action_of(changes: Mapping[str, Any]) -> tuple[str, datetime | None] | None:
    """Which action an update means, and the moment if it is a postponement (None: now); None if it changes nothing.

    Raises InvalidRequest (0x80048408) for a state and status that no caller may set.
    """
    until = changes.get("postponeuntil")
    state, status = changes.get("statecode"), changes.get("statuscode")
    if state is None and status is None:
        if "postponeuntil" not in changes:
            return None
        return POSTPONE, until
    action = _STATES.get(state) if state is not None else None
    if status is not None:
        expected, by_status = _STATUSES.get(status, (None, None))
        if state is None:
            action = by_status
        elif expected != state:
            action = None
    if action is None:
        named = {"state": state, "status": status}
        found = " with ".join(f"{name} {value}" for name, value in named.items() if value is not None)
        raise InvalidRequest(
            f"A caller cannot set {found} on a system job. Accepted: 3/32 cancels, 0/0 resumes, 1/10 pauses; postponeuntil, "
            "alone or with 0/0 or 1/10, postpones.",
            code=errors.STATE_PAIR_INVALID,
        )
    if until is not None and action != CANCEL:
        return POSTPONE, until
    return action, None


def update(tx: Transaction, job_id: UUID, changes: Mapping[str, Any], by: UUID) -> None:
    """Do what the update means. Raises NotFound, InvalidStateChange; QueryError for a recurrence pattern that is none."""
    schedules.lock(tx, job_id)
    if RECURRENCE in changes:
        schedules.change(tx, job_id, changes[RECURRENCE], by=by)
    match action_of(changes):
        case None:
            actions.require(tx, job_id)
        case (action, None) if action == CANCEL:
            actions.cancel(tx, job_id, by=by)
        case (action, None) if action == RESUME:
            actions.resume(tx, job_id, by=by)
        case (action, None) if action == PAUSE:
            actions.pause(tx, job_id, by=by)
        case (_, until):
            # No moment and one that has passed mean the same: the job is due now (M222).
            actions.postpone(tx, job_id, until or tx.now, by=by)
    # A schedule that was resumed, or postponed to now, has its run at once, also where nobody runs jobs.
    schedules.run_if_due(tx, job_id)


def delete(tx: Transaction, job_id: UUID) -> None:
    """Delete a job in whatever state it is. Raises NotFound."""
    if queue.delete(tx, [job_id]) == 0:
        raise actions.missing(job_id)


def delete_many(tx: Transaction, job_ids: Sequence[UUID]) -> None:
    """Delete jobs in whatever states they are; those that are gone already are passed over."""
    queue.delete(tx, job_ids)


def check_version(tx: Transaction, job_id: UUID, if_match: frozenset[int] | str | None) -> None:
    """A job's version is its modifiedon in microseconds. Raises ConcurrencyMismatch, NotFound."""
    if if_match is None:
        return
    modified = actions.require_locked(tx, job_id)
    if not isinstance(if_match, str) and modified not in if_match:
        raise ConcurrencyMismatch("The version of the existing record doesn't match the RowVersion property provided.")
