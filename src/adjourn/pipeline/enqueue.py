"""What `enqueue` makes of requests: jobs of operation type 54, refused before anything is done where they could never run.

The arguments are written as the JSON that the job carries, read back, and checked by the annotations of the function that
they are for, or by the platform's message, exactly as its run will: whoever enqueues what cannot be passed on is told at
once, by the parameter's name. A module that is not here is not asked; other hosts may have it, and the job that
finds it nowhere fails and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from adjourn import config, errors, runtime
from adjourn.errors import InvalidRequest
from adjourn.jobs import model as jobs_model
from adjourn.jobs import timetable
from adjourn.jobs.model import NewJob
from adjourn.metadata.model import Reference
from adjourn.metadata.privileges import ACT_FOR_OTHERS
from adjourn.pipeline import access, system_jobs, validate
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.code import ModuleAbsent, handler_of, resolve
from adjourn.pipeline.handlers import Handler
from adjourn.pipeline.messages import MESSAGES
from adjourn.pipeline.read import not_found
from adjourn.pipeline.registry import Snapshot
from adjourn.query import security, write
from adjourn.store.contract import Reader, Store

EXECUTE_ASYNC = "ExecuteAsync"
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_OPTIONS = {
    "DependencyToken": "dependency_token",
    "PostponeUntil": "postpone_until",
    "RecurrencePattern": "recurrence",
    "RecurrenceStartTime": "recurrence_start",
    "Regarding": "regarding",
}


def of_execute_async(request: Request) -> tuple[Request, dict[str, Any]]:
    """What adjourn's own action asks for, over HTTP: the request of the job, and its options (design §9)."""
    validate.parameters(EXECUTE_ASYNC, request.parameters, ("MessageName",), ("InputParameters", *_OPTIONS))
    given = request.parameters
    options = {option: given.get(name) for name, option in _OPTIONS.items()}
    options["recurrence"] = options["recurrence"] or None
    return Request(str(given["MessageName"]), given.get("InputParameters") or {}, request.request_id), options


def encode_arguments(request: Request) -> str:
    """The arguments of a request as the JSON object that its job carries. Raises InvalidRequest."""
    try:
        return _ENCODER.encode(dict(request.parameters)).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _not_json(request) from error


class Jobs:
    """Makes the jobs of one call."""

    def __init__(self, snapshot: Snapshot, store: Store, call: Call) -> None:
        self._snapshot = snapshot
        self._catalog = snapshot.catalog
        self._store = store
        self._call = call

    def make(self, request: Request, options: Mapping[str, Any]) -> NewJob:
        """The job of a request. Raises InvalidRequest, QueryError, NotFound, PrivilegeDenied."""
        caller = self._call.caller
        now = runtime.now()
        token = options.get("dependency_token")
        if token is not None:
            column = self._catalog.table("asyncoperation").columns["dependencytoken"]
            if not isinstance(token, str) or not 0 < len(token) <= (column.max_length or 256) or "\0" in token:
                raise InvalidRequest(
                    f"A dependency token is a text of 1 to {column.max_length} characters, without NUL.",
                    code=errors.STRING_TOO_LONG,
                )
        until = options.get("postpone_until")
        if until is not None and (not isinstance(until, datetime) or until.tzinfo is None):
            raise InvalidRequest(
                f"postpone_until must be a datetime with a time zone, such as datetime.now(UTC) + timedelta(hours=1); found {until!r}.",
                code=errors.DATETIME_INVALID,
            )
        pattern, start = _recurrence(options, until)
        regarding = options.get("regarding")
        owner = options.get("owner")
        owner_reference = validate.reference(self._catalog, owner, "owner") if owner else None
        if owner_reference is not None and owner_reference.table not in ("systemuser", "team"):
            raise InvalidRequest(f"A job's owner is a systemuser or a team, not {owner_reference.table}.")
        job = NewJob(
            id=runtime.new_id(),
            operation_type=jobs_model.REQUEST,
            name=request.message,
            message_name=request.message,
            owner=owner_reference or Reference("systemuser", caller.user_id),
            owning_business_unit=self._unit_of(owner_reference),
            created_by=caller.user_id,
            created_on_behalf_by=caller.delegate_id,
            created_on=now,
            correlation_id=self._call.correlation_id or runtime.new_id(),
            correlation_updated=self._call.correlation_updated or now,
            depth=self._call.depth,
            data=self._arguments(request),
            time_zone_code=caller.timezone_code,
            regarding=validate.reference(self._catalog, regarding, "regarding") if regarding else None,
            primary_entity_type=regarding[0] if regarding else None,
            dependency_token=token,
            # A schedule is behind nobody: its runs are.
            serial_key=f"t:{token}" if token and pattern is None else None,
            request_id=request.request_id,
            postpone_until=until.astimezone(UTC) if until else None,
            recurrence_pattern=pattern,
            recurrence_start=start,
        )
        self._may_make(job)
        return job

    def check(self, reader: Reader, job: NewJob) -> None:
        """What only the database knows of a job's references. Raises NotFound, PrivilegeDenied."""
        if job.regarding is not None:
            # Whoever sees the job sees the name of what it regards.
            table = self._catalog.table(job.regarding.table)
            access.require(reader, self._catalog, self._call.caller, "Read", table, job.regarding.id)
        for reference in (job.regarding, job.owner if job.owner.id != job.created_by else None):
            if reference is not None and not write.exists(reader, self._catalog.table(reference.table), reference.id):
                raise not_found(self._catalog.table(reference.table), reference.id)

    def _arguments(self, request: Request) -> str:
        text = encode_arguments(request)
        handler = self._handler(request.message)
        if handler is not None:
            handler.check(msgspec.json.decode(text), request.message)
        elif request.message in MESSAGES:
            # What its run would refuse is refused now; the run checks it again, by the tables of then.
            MESSAGES[request.message].prepare(self._catalog, Request(request.message, msgspec.json.decode(text)))
        return text

    def _handler(self, message: str) -> Handler | None:
        """The function of a message of one's own, if it can be had here."""
        found = self._snapshot.messages.get(message)
        if found is None:
            return None
        key = ("handler", message)
        if key not in self._snapshot.cached:
            try:
                self._snapshot.cached[key] = Handler.of(handler_of(resolve(found.module, found.function)))
            except ModuleAbsent:
                self._snapshot.cached[key] = None
        handler: Handler | None = self._snapshot.cached[key]
        return handler

    def _may_make(self, job: NewJob) -> None:
        """A job runs with its owner's rights: in another user's name it needs the privilege to act for him."""
        caller = self._call.caller
        if caller.is_administrator:
            return
        table = self._catalog.table(system_jobs.TABLE)
        privilege = table.guard.needed("Create")
        reached = security.access(caller, privilege)
        if reached is None:
            raise security.denied(caller, privilege, table)
        if not reached.covers(job.owner.id, job.owning_business_unit):
            raise security.denied(caller, privilege, table, job.id)
        if job.owner.table == "systemuser" and job.owner.id != caller.user_id:
            security.require(caller, ACT_FOR_OTHERS, self._catalog)

    def _unit_of(self, owner: Reference | None) -> UUID:
        if owner is None or owner.id == self._call.caller.user_id:
            return self._call.caller.business_unit_id
        with self._store.read() as reader:
            row = write.fetch(reader, self._catalog.table(owner.table), owner.id, ("businessunitid",))
        if row is None:
            raise not_found(self._catalog.table(owner.table), owner.id)
        unit = row["businessunitid"]
        return unit.id if unit else UUID(config.ROOT_BUSINESS_UNIT_ID)


def _recurrence(options: Mapping[str, Any], until: datetime | None) -> tuple[str | None, datetime | None]:
    """The pattern and the start of a recurring job. Raises QueryError, InvalidRequest."""
    pattern, start = options.get("recurrence"), options.get("recurrence_start")
    if pattern is None:
        if start is not None:
            raise InvalidRequest("A recurrence start time needs a recurrence pattern.", code=errors.RECURRENCE_INVALID)
        return None, None
    if not isinstance(pattern, str):
        raise InvalidRequest(
            f"A recurrence pattern is a text such as 'FREQ=DAILY;', found {type(pattern).__name__}.",
            code=errors.RECURRENCE_INVALID,
        )
    start = start or until
    start = start.astimezone(UTC) if start is not None else None
    timetable.first(pattern, start, runtime.now(), until)  # refused here, before anything is done
    return pattern, start


def _not_json(request: Request) -> InvalidRequest:
    """Which of the arguments cannot be written as JSON, and why."""
    for name, value in request.parameters.items():
        try:
            _ENCODER.encode({name: value})
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            return InvalidRequest(
                f"Parameter '{str(name)[:200]}' of message '{request.message}' cannot be written as JSON, which its job "
                f"carries: {error}. Pass texts, numbers, moments, guids, lists and mappings of them, or dataclasses; of a file, a "
                "connection or the like pass what finds it again."
            )
    return InvalidRequest(f"The arguments of message '{request.message}' cannot be written as JSON.")
