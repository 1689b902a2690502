"""Jobs in every status, made by the queue's own verbs; and every action on them, on whatever surface a test drives."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from adjourn import config, runtime
from adjourn.jobs import actions, queue
from adjourn.jobs.model import REQUEST, Canceled, Failed, NewJob, Outcome, Settlement, Succeeded
from adjourn.jobs.states import PLATFORM_REFUSES, TRANSITIONS, Action, Result, Status
from adjourn.metadata.model import Reference
from adjourn.store.contract import Store

ADMIN = UUID(config.ADMIN_USER_ID)
YEARS_AHEAD = datetime(2199, 1, 1, tzinfo=UTC)
MOMENT = "2199-06-01T12:00:00Z"
CHANGES: dict[Action, dict[str, Any]] = {
    Action.CANCEL: {"statecode": 3, "statuscode": 32},
    Action.RESUME: {"statecode": 0, "statuscode": 0},
    Action.PAUSE: {"statecode": 1, "statuscode": 10},
    Action.POSTPONE: {"postponeuntil": MOMENT},
}
"""What an update carries for each action."""
PLATFORM_TYPE = 24
_ENDS: dict[Status, Outcome] = {
    Status.SUCCEEDED: Succeeded("done"),
    Status.FAILED: Failed(1, "no", "no, because"),
    Status.CANCELED: Canceled(),
}


def standing_in(store: Store, status: Status, operation_type: int = REQUEST) -> UUID:
    """A job that got into a status on the ways that there are; nobody else may be running jobs."""
    now = runtime.now()
    waits = status is Status.WAITING
    job = NewJob(
        id=runtime.new_id(), operation_type=operation_type, name=f"a job in {status.name}", message_name="greet",
        owner=Reference("systemuser", ADMIN), owning_business_unit=UUID(config.ROOT_BUSINESS_UNIT_ID), created_by=ADMIN,
        created_on=now, correlation_id=runtime.new_id(), correlation_updated=now, data="{}",
        postpone_until=YEARS_AHEAD if waits else None,
    )  # fmt: skip
    store.write(lambda tx: queue.insert(tx, [job]))
    if status in (Status.WAITING_FOR_RESOURCES, Status.WAITING):
        return job.id
    claim = partial(queue.claim, operation_types=[operation_type], limit=100, worker=str(runtime.new_id()))
    (claimed,) = [found for found in store.write(claim) if found.id == job.id]
    if status is Status.PAUSING:
        # As by `actions.pause`; by a postponement, because that is possible for platform jobs as well.
        store.write(lambda tx: actions.postpone(tx, job.id, YEARS_AHEAD, by=ADMIN))
    elif status is Status.CANCELING:
        store.write(
            lambda tx: tx.execute("UPDATE asyncoperation SET statuscode = 22 WHERE name = :name", {"name": job.name})
        )
    elif status in _ENDS:
        store.write(partial(queue.settle, settlements=[Settlement(claimed, _ENDS[status], 0.1)]))
    return job.id


def expected(action: Action, status: Status, operation_type: int = REQUEST) -> Result:
    """What the table says."""
    if operation_type == PLATFORM_TYPE and action in PLATFORM_REFUSES:
        return Result(code=PLATFORM_REFUSES[action])
    return TRANSITIONS[action][status]


CELLS = [(action, status, kind) for kind in (REQUEST, PLATFORM_TYPE) for action in Action for status in Status]
"""Every action in every status, for an ordinary job and for one of the platform."""


def row(store: Store, job: UUID) -> tuple[Any, ...] | None:
    """All of a job that an action could change."""
    with store.read() as reader:
        found = reader.rows(
            "SELECT statecode, statuscode, postponeuntil, modifiedon, completedon, lease, waitreason FROM asyncoperation "
            "WHERE CAST(asyncoperationid AS text) = :id",
            {"id": str(job)},
        )
    return found[0] if found else None
