"""The calls of a running job: made as its user, at its depth, and only as long as its lease holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from adjourn import runtime
from adjourn.client import Backend
from adjourn.errors import AdjournError, ConnectionLost, InvalidRequest, clean
from adjourn.jobs import queue
from adjourn.jobs.model import ClaimedJob, Continue, sound
from adjourn.jobs.states import Status
from adjourn.operations.task import Task
from adjourn.pipeline.call import Call, Request
from adjourn.service import Service
from adjourn.store.contract import Transaction

_PROGRESS_CHARACTERS_MAX = 2_000
_OUTAGE_SECONDS_MAX, _AGAIN_SECONDS = 30.0, 0.2
T = TypeVar("T")


class LeaseLost(AdjournError):
    """The job is no longer this worker's: canceled and taken back, deleted, or rescued. Nothing was written."""

    code, status = 0x80044163, 409


def call_of(job: ClaimedJob, task: Task, service: Service) -> Call:
    """The circumstances under which a job's handler calls the organization."""
    return Call(
        caller=service.caller(task.user_id),
        depth=job.depth + 1,
        correlation_id=job.correlation_id,
        correlation_updated=job.correlation_updated,
        guard=guard_of(job),
    )


def guard_of(job: ClaimedJob) -> Callable[[Transaction], None]:
    """A check, inside each transaction of the handler, that the lease still holds."""

    def guard(tx: Transaction) -> None:
        if queue.fence(tx, job.id, job.lease) is None:
            raise LeaseLost(
                f"System job {job.id} is no longer held by this worker; its handler may not write any more."
            )

    return guard


def checkpoint(
    service: Service, job: ClaimedJob, cursor: str, text: str | None = None, percent: int | None = None
) -> int | None:
    """Keep a job's cursor and progress; the status 21 or 22 if somebody asked it to pause or to stop.

    Raises LeaseLost, InvalidRequest.
    """
    require_cursor(cursor)
    told = progress_text(text, percent)

    def unit(tx: Transaction) -> int | None:
        status = queue.fence(tx, job.id, job.lease)
        if status is None or not queue.checkpoint(tx, job, clean(cursor), told, percent):
            raise LeaseLost(f"System job {job.id} is no longer held by this worker.")
        return int(status) if status in (Status.PAUSING, Status.CANCELING) else None

    return service.store.write(unit)


def require_cursor(cursor: object) -> None:
    """Refuse what is no cursor as the handler's mistake, not as an error of ours. Raises InvalidRequest."""
    try:
        sound(Continue(cursor))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise InvalidRequest(str(error)) from None


def progress(service: Service, job: ClaimedJob, text: str | None, percent: int | None) -> None:
    """Keep a job's progress. Raises LeaseLost, InvalidRequest."""
    told = progress_text(text, percent)

    def unit(tx: Transaction) -> None:
        if not queue.checkpoint(tx, job, None, told, percent):
            raise LeaseLost(f"System job {job.id} is no longer held by this worker.")

    service.store.write(unit)


def progress_text(text: str | None, percent: int | None) -> str | None:
    """The text as it is kept; None leaves what there is. Raises InvalidRequest for what is no progress."""
    if text is not None and not isinstance(text, str):
        raise InvalidRequest(f"progress(text=…) wants a text, found {type(text).__name__}.")
    if percent is not None and (not isinstance(percent, int) or isinstance(percent, bool) or not 0 <= percent <= 100):
        raise InvalidRequest(f"progress(percent=…) wants a whole number from 0 to 100, found {percent!r:.40}.")
    return clean((text or "")[:_PROGRESS_CHARACTERS_MAX]) or None


def patient(work: Callable[[], T]) -> T:
    """Do what a running job asked for, and again while the database is away: its handler shall not fail for that.

    Only what changed nothing is done again. Raises ConnectionLost after 30 s, and whatever else `work` raises.
    """
    deadline = runtime.monotonic() + _OUTAGE_SECONDS_MAX
    while True:
        try:
            return work()
        except ConnectionLost:
            if runtime.monotonic() > deadline:
                raise
            runtime.sleep(_AGAIN_SECONDS)


def serve(backend: Backend, method: str, user: str | None, value: Any) -> Any:
    """One call of an executor's handler. Raises what the organization raised, InvalidRequest for a method that there is not."""
    if user is not None:
        backend = backend.as_user(UUID(user))
    match method:
        case "execute":
            return backend.execute(Request(value["message"], value["parameters"], value.get("request_id")))
        case "retrieve_multiple":
            return backend.retrieve_multiple(value)
        case "enqueue":
            return backend.enqueue([(Request(item["message"], item["parameters"]), item["options"]) for item in value])
    raise InvalidRequest(f"An executor asked for '{method[:60]}', which there is not.")
