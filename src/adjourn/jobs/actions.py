"""What people do to a job: cancel, resume, pause, postpone; and how it stands, for those who look before.

Each action is one row of the table in `jobs.states`: a compare-and-set on a row that the unit has locked, behind the mutex of
its token. Source: Asynchronous service, "Manage system job states".
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from adjourn import errors
from adjourn.errors import NotFound
from adjourn.jobs import history, tokens
from adjourn.jobs.classes import PLATFORM_TYPES
from adjourn.jobs.history import Entry, Event
from adjourn.jobs.statements import statements
from adjourn.jobs.states import STATE_OF, Action, State, Status, WaitReason, transition
from adjourn.metadata.values import moment_text
from adjourn.store.contract import Reader, Row, Transaction


def require(reader: Reader, job_id: UUID) -> int:
    """A job's version, its modifiedon in microseconds. Raises NotFound."""
    return _version(_standing(reader, job_id))


def require_locked(tx: Transaction, job_id: UUID) -> int:
    """The same, and it stays that version until this unit changes it. Raises NotFound."""
    return _version(_locked(tx, job_id))


def cancel(tx: Transaction, job_id: UUID, *, by: UUID) -> None:
    """End a job: at once when nobody runs it, as soon as its worker lets go otherwise. Raises InvalidStateChange."""
    _act(tx, Action.CANCEL, job_id, by, None)


def resume(tx: Transaction, job_id: UUID, *, by: UUID) -> None:
    """Lift whatever a Suspended job waits for; behind its token it stays until its turn. Raises InvalidStateChange."""
    _act(tx, Action.RESUME, job_id, by, None)


def pause(tx: Transaction, job_id: UUID, *, by: UUID) -> None:
    """Stop a running job at its next checkpoint, to be resumed. Raises InvalidStateChange."""
    _act(tx, Action.PAUSE, job_id, by, None)


def postpone(tx: Transaction, job_id: UUID, until: datetime, *, by: UUID) -> None:
    """Hold a job back until a moment (UTC); one that has passed means now. Raises InvalidStateChange."""
    _act(tx, Action.POSTPONE, job_id, by, until)


def _act(tx: Transaction, action: Action, job_id: UUID, by: UUID, until: datetime | None) -> None:
    sql = statements(tx.dialect)
    found = _locked(tx, job_id)
    status_code, _, sequence, key, blocked, postponed, reason, operation_type, recurrence = found
    status = Status(status_code)
    result = transition(action, status, platform=operation_type in PLATFORM_TYPES)
    if result.status is None:
        return
    new, moment, waits = result.status, postponed, reason
    due = action is Action.RESUME or (until is not None and until <= tx.now)
    if action is Action.CANCEL:
        moment, waits = (postponed, None) if new is Status.CANCELING else (None, None)
    elif action is Action.PAUSE:
        moment = None
    elif STATE_OF[status] is State.LOCKED:
        assert until is not None
        moment = moment_text(until)
    elif recurrence is not None:
        # A schedule never runs itself: its next run is due at the moment.
        new, waits, moment = Status.WAITING, WaitReason.SCHEDULE, moment_text(tx.now if due or not until else until)
    elif due:
        moment = None
        new, waits = (Status.WAITING, WaitReason.TOKEN) if blocked else (Status.WAITING_FOR_RESOURCES, None)
    else:
        assert until is not None
        moment, waits = moment_text(until), WaitReason.TOKEN if blocked else WaitReason.POSTPONED
    completed = new is Status.CANCELED
    parameters = {
        "id": str(job_id),
        "was": int(status),
        "statecode": int(STATE_OF[new]),
        "statuscode": int(new),
        "postponeuntil": moment,
        "waitreason": waits,
        "completedon": moment_text(tx.now) if completed else None,
        "errorcode": errors.signed(errors.JOB_CANCELED) if completed else None,
        "now": moment_text(tx.now),
        "by": str(by),
    }
    changed = tx.execute(sql.act, parameters)
    assert changed == 1, "the row is locked by this unit"
    detail = history.shown(until) if action is Action.POSTPONE else None
    history.write(tx, [Entry(sequence, Event(action), status, new, by, detail)])
    if completed and key is not None and not blocked:
        tokens.promote(tx, [tokens.Head(key, sequence, job_id)])


def _standing(reader: Reader, job_id: UUID) -> Row:
    rows = reader.rows(statements(reader.dialect).require, {"id": str(job_id)})
    if not rows:
        raise missing(job_id)
    return rows[0]


def _locked(tx: Transaction, job_id: UUID) -> Row:
    """How a job stands, held until this unit ends; the mutex of its serial key comes first, as everywhere."""
    tokens.lock(tx, [_standing(tx, job_id)[3]])
    rows = tx.rows(statements(tx.dialect).require_locked, {"id": str(job_id)})
    if not rows:
        raise missing(job_id)
    return rows[0]


def _version(standing: Row) -> int:
    modified = datetime.fromisoformat(standing[1])
    return int(modified.timestamp()) * 1_000_000 + modified.microsecond


def missing(job_id: UUID) -> NotFound:
    """The error for a job that is not there, in Dataverse's words."""
    return NotFound(f"asyncoperation With Id = {job_id} Does Not Exist")
