"""Jobs as the store's rows, and rows as jobs: the parameters of the queue's statements and what they return."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from adjourn import config
from adjourn.jobs import timetable
from adjourn.jobs.model import ClaimedJob, NewJob
from adjourn.jobs.outcomes import Change
from adjourn.jobs.states import STATE_OF, WaitReason
from adjourn.metadata.model import Reference
from adjourn.metadata.values import moment_text
from adjourn.store.contract import Row


def of_new(job: NewJob, now: datetime) -> dict[str, Any]:
    """A job that is to be inserted; its payload goes elsewhere. Raises QueryError for a recurrence that never occurs."""
    created = moment_text(job.created_on)
    scheduled = job.recurrence_pattern is not None
    until = job.postpone_until
    if job.recurrence_pattern is not None:
        until = timetable.first(job.recurrence_pattern, job.recurrence_start, now, until)
    waits = until is not None and until > now
    reason = WaitReason.SCHEDULE if scheduled else WaitReason.POSTPONED if waits else None
    user = job.owner.table == "systemuser"
    return {
        "asyncoperationid": str(job.id),
        "operationtype": job.operation_type,
        "name": job.name[:256],
        "messagename": job.message_name,
        "ownerid": str(job.owner.id),
        "owneridtype": job.owner.table,
        "owninguser": str(job.owner.id) if user else None,
        "owningteam": None if user else str(job.owner.id),
        "owningbusinessunit": str(job.owning_business_unit),
        "createdby": str(job.created_by),
        "createdonbehalfby": _text(job.created_on_behalf_by),
        "createdon": created,
        "modifiedby": str(job.created_by),
        "modifiedon": created,
        "correlationid": str(job.correlation_id),
        "correlationupdatedtime": moment_text(job.correlation_updated),
        "depth": job.depth,
        "utcconversiontimezonecode": job.time_zone_code,
        "regardingobjectid": str(job.regarding.id) if job.regarding else None,
        "regardingobjecttypecode": job.regarding.table if job.regarding else None,
        "primaryentitytype": job.primary_entity_type,
        "owningextensionid": _text(job.owning_extension),
        "owningextensiontypecode": "sdkmessageprocessingstep" if job.owning_extension else None,
        "dependencytoken": job.dependency_token,
        "serialkey": job.serial_key,
        "requestid": _text(job.request_id),
        "parentpluginexecutionid": _text(job.parent_execution_id),
        "recurrencepattern": job.recurrence_pattern,
        "recurrencestarttime": moment_text(job.recurrence_start) if job.recurrence_start else None,
        "scheduleid": _text(job.schedule_id),
        "datablobid": None,
        "datablobid_name": None,
        "postponeuntil": moment_text(until) if until and (waits or scheduled) else None,
        "statecode": 1 if waits or scheduled else 0,
        "statuscode": 10 if waits or scheduled else 0,
        "retrycount": 0,
        "waitreason": reason,
        "waits": waits,
    }


def of_change(job: ClaimedJob, change: Change, seconds: float, now: str) -> dict[str, Any]:
    """What a run made of its job. seconds: how long it ran. now: the moment as the store writes it."""
    return {
        "sequence": job.sequence,
        "lease": job.lease,
        "statecode": int(STATE_OF[change.status]),
        "statuscode": int(change.status),
        "completedon": now if change.completed_on else None,
        "postponeuntil": moment_text(change.postpone_until) if change.postpone_until else None,
        "waitreason": change.wait_reason,
        "waitdetail": change.wait_detail,
        "retrycount": change.retry_count,
        "crashes": change.crashes,
        "cursor": change.cursor,
        "errorcode": change.error_code,
        "friendlymessage": change.friendly_message,
        "seconds": seconds,
        "now": now,
        "by": config.SYSTEM_USER_ID,
    }


def claimed(row: Row, lease: str, now: datetime) -> ClaimedJob:
    """A job that was just taken, from the columns that `claim` selects."""
    return ClaimedJob(
        id=UUID(row[0]),
        sequence=row[1],
        lease=lease,
        operation_type=row[2],
        name=row[3],
        message_name=row[4],
        owner=Reference(row[6] or "systemuser", _known_uuid(row[5])),
        created_by=_known_uuid(row[7]),
        created_on=datetime.fromisoformat(row[8]),
        started_on=now,
        correlation_id=_known_uuid(row[9]),
        correlation_updated=datetime.fromisoformat(row[10]),
        depth=row[11],
        data=row[12],
        data_file=UUID(row[13]) if row[13] else None,
        data_bytes=(len(row[12]) if row[12] else row[23] or 0) + len(row[20] or ""),
        regarding=Reference(row[15], UUID(row[14])) if row[14] and row[15] else None,
        primary_entity_type=row[16],
        owning_extension=_known_uuid(row[17]) if row[17] else None,
        retry_count=row[18] or 0,
        crashes=row[19],
        cursor=row[20],
        auto_delete=bool(row[21]),
        serial_key=row[22],
    )


@lru_cache(maxsize=4096)
def _known_uuid(text: str) -> UUID:
    """Ids that come again and again: owners, steps, correlations of a batch."""
    return UUID(text)


def held(row: Row) -> ClaimedJob:
    """Enough of a dead worker's job to give it back."""
    nothing = UUID(int=0)
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return ClaimedJob(
        id=UUID(row[0]),
        sequence=row[1],
        lease=row[2],
        operation_type=0,
        name="",
        message_name="",
        owner=Reference("systemuser", nothing),
        created_by=nothing,
        created_on=epoch,
        started_on=epoch,
        correlation_id=nothing,
        correlation_updated=epoch,
        depth=1,
        data=None,
        data_file=None,
        data_bytes=0,
        regarding=None,
        primary_entity_type=None,
        owning_extension=None,
        retry_count=row[5] or 0,
        crashes=row[6],
        cursor=row[7],
        auto_delete=False,
        serial_key=row[8],
    )


def _text(found: UUID | None) -> str | None:
    return str(found) if found is not None else None
