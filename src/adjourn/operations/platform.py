"""The platform's own jobs: what each does, and the schedules that are there without anybody having asked.

Each is a recurring job of SYSTEM with a fixed id, so that every host makes the same one, and one that somebody deleted comes
back at the next start. The first runs are an hour after the first start, five minutes apart; that of the index of words is a minute
after it, because until then a search finds nothing. Nobody cancels, pauses or
resumes them (`jobs.states`); postponing, and changing their pattern, is possible. Source: specification, operation types;
docs/operations.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID, uuid5

from adjourn import config, runtime
from adjourn.errors import Duplicate
from adjourn.jobs import queue
from adjourn.jobs.model import ClaimedJob, NewJob, Outcome
from adjourn.metadata.model import Reference
from adjourn.operations import (
    contracts,
    database_statistics,
    organization_statistics,
    storage,
    text_catalog,
    usage,
)
from adjourn.operations.measuring import Work
from adjourn.operations.task import Task
from adjourn.pipeline.bootstrap import ROOT_UNIT
from adjourn.pipeline.call import Call
from adjourn.pipeline.registration import NAMESPACE
from adjourn.query import write
from adjourn.service import Service
from adjourn.store.contract import Transaction

PATTERN = "FREQ=DAILY;"
_FIRST, _APART = timedelta(hours=1), timedelta(minutes=5)
_FIRST_INDEX = timedelta(minutes=1)
_SYSTEM = UUID(config.SYSTEM_USER_ID)


class PlatformJob(NamedTuple):
    """One kind: its operation type, its name, and what a run does; the text that it returns goes into friendlymessage."""

    operation_type: int
    name: str
    run: Callable[[Work], str | Outcome]


JOBS = (
    PlatformJob(9, "SQM Data Collection", usage.run),
    PlatformJob(16, "Collect Organization Statistics", organization_statistics.run),
    PlatformJob(18, "Calculate Organization Storage Size", storage.size),
    PlatformJob(19, "Collect Organization Database Statistics", database_statistics.collect),
    PlatformJob(20, "Collection Organization Size Statistics", storage.size_of_tables),
    PlatformJob(22, "Calculate Organization Maximum Storage Size", storage.maximum),
    PlatformJob(24, "Update Statistic Intervals", database_statistics.refresh),
    PlatformJob(text_catalog.TYPE, "Organization Full Text Catalog Index", text_catalog.run),
    PlatformJob(27, "Update Contract States", contracts.run),
    PlatformJob(31, "Storage Limit Notification", storage.notify),
)
_RUNS = {job.operation_type: job.run for job in JOBS}
TYPES = tuple(_RUNS)


def prepare(job: ClaimedJob, service: Service, inline: bool) -> Task:
    """What the job's type does, as SYSTEM."""
    run = _RUNS[job.operation_type]

    def own(call: Call) -> str | Outcome:
        return run(Work(service, job, call))

    return Task(_SYSTEM, own=own)


def schedule_id(operation_type: int) -> UUID:
    """The id of the schedule of a type: the same in every organization."""
    return uuid5(NAMESPACE, f"platform job:{operation_type}")


def ensure(service: Service) -> int:
    """Make the schedules that are not there, at the start of the service; how many that were. Any number of hosts may."""
    table = service.catalog.table("asyncoperation")

    def unit(tx: Transaction) -> int:
        missing = [job for job in JOBS if not write.exists(tx, table, schedule_id(job.operation_type))]
        queue.insert(tx, [_schedule(job, tx) for job in missing])
        return len(missing)

    try:
        return service.store.write(unit)
    except Duplicate:
        # Another host started at the same moment and made some of them.
        return service.store.write(unit)


def _schedule(job: PlatformJob, tx: Transaction) -> NewJob:
    first = (tx.now + _FIRST + JOBS.index(job) * _APART).replace(second=0, microsecond=0)
    if job.operation_type == text_catalog.TYPE:
        first = (tx.now + _FIRST_INDEX).replace(microsecond=0)
    return NewJob(
        id=schedule_id(job.operation_type),
        operation_type=job.operation_type,
        name=job.name,
        message_name="",
        owner=Reference("systemuser", _SYSTEM),
        owning_business_unit=ROOT_UNIT,
        created_by=_SYSTEM,
        created_on=tx.now,
        correlation_id=runtime.new_id(),
        correlation_updated=tx.now,
        recurrence_pattern=PATTERN,
        recurrence_start=first,
    )
