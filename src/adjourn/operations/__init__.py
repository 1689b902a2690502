"""What a job of each operation type does: one module per type, each with `prepare(job, service, inline) -> Task`.

`prepare` runs in the supervisor and says what is to be run: a function in an executor, or our own code on one of the
supervisor's threads. A type that nothing here runs fails its job with the documented code.
"""

from __future__ import annotations

from collections.abc import Callable

from adjourn.errors import JOB_TYPE_UNKNOWN, InvalidRequest
from adjourn.jobs.model import EVENT, REQUEST, ClaimedJob
from adjourn.operations import bulk_delete, event, platform, request
from adjourn.operations.task import Task
from adjourn.service import Service

OPERATIONS: dict[int, Callable[[ClaimedJob, Service, bool], Task]] = {
    EVENT: event.prepare,
    REQUEST: request.prepare,
    **dict.fromkeys(bulk_delete.TYPES, bulk_delete.prepare),
    **dict.fromkeys(platform.TYPES, platform.prepare),
}


def prepare(job: ClaimedJob, service: Service, *, inline: bool = False) -> Task:
    """What a job is to run. inline: in this process, by drain(). Raises AdjournError, which fails the job."""
    found = OPERATIONS.get(job.operation_type)
    if found is None:
        raise InvalidRequest(
            f"System jobs of type {job.operation_type} cannot be run by this version.", code=JOB_TYPE_UNKNOWN
        )
    return found(job, service, inline)
