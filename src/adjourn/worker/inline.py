"""`drain()`: run what is ready in the calling thread, under a lease of its own. For tests and scripts.

The one place where a job's user code runs in the process that owns the store; so no transaction is open while it runs,
but for an atomic handler's own.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime
from functools import partial
from typing import Any

from adjourn import config, runtime
from adjourn.jobs import queue, schedules
from adjourn.jobs.classes import CLASSES
from adjourn.jobs.model import ClaimedJob, Outcome, Released, Settlement
from adjourn.jobs.states import Status
from adjourn.operations import OPERATIONS, prepare
from adjourn.operations.task import Function, Task
from adjourn.pipeline import handlers, serialize, tracing
from adjourn.pipeline.code import handler_of, resolve
from adjourn.service import Service
from adjourn.store.contract import Transaction
from adjourn.worker import calls, traces
from adjourn.worker.atomic import Session
from adjourn.worker.running_job import RunningJob, Stop

_TYPES = tuple(kind for found in CLASSES for kind in found.operation_types if kind in OPERATIONS)


class _Line:
    """A job's way to the queue, in the same process."""

    def __init__(self, service: Service, job: ClaimedJob, session: Session | None) -> None:
        self._service = service
        self._session = session
        self._job = job

    def checkpoint(self, cursor: str, text: str | None, percent: int | None) -> int | None:
        if self._session is not None:
            return self._session.checkpoint(cursor, text, percent)
        return calls.checkpoint(self._service, self._job, cursor, text, percent)

    def progress(self, text: str | None, percent: int | None) -> None:
        if self._session is not None:
            self._session.progress(text, percent)
        else:
            calls.progress(self._service, self._job, text, percent)

    def is_stopping(self) -> bool:
        with self._service.store.read() as reader:
            return queue.holds(reader, self._job.id, self._job.lease) is not Status.IN_PROGRESS


def drain(service: Service, now: datetime | None = None) -> int:
    """Run Ready jobs, one after the other in the order of the queue, until there are none; how many runs that were.

    now: pretend that it is this moment (UTC) when deciding which postponed jobs are due.
    """
    worker = runtime.new_id()
    service.store.hold_worker(worker, socket.gethostname(), os.getpid())
    runs = 0
    try:
        while True:
            _promote(service, now)
            claimed = service.store.write(lambda tx: _next(tx, str(worker)))
            if claimed is None:
                return runs
            began = runtime.monotonic()
            settlement: Settlement | None = Settlement(claimed, Released(), 0.0)
            log: tracing.TraceLog | None = None
            try:
                outcome, log = run(service, claimed)
                seconds = runtime.monotonic() - began
                settlement = Settlement(claimed, outcome, seconds) if outcome is not None else None
            finally:
                # Also when the handler was interrupted from the keyboard: the job is given back, not left Locked.
                service.store.write(partial(_settle, service, settlement, log))
            runs += 1
    finally:
        service.store.release_worker(worker)


def run(service: Service, job: ClaimedJob) -> tuple[Outcome | None, tracing.TraceLog | None]:
    """Run one claimed job here; what it raised becomes its outcome. The trace log too, if one is wanted.

    No outcome: an atomic handler's is settled already, with its writes.
    """
    began = runtime.monotonic()
    try:
        task = prepare(job, service, inline=True)
    except Exception as error:  # a job that cannot even be prepared is a failed job
        return handlers.failure(error), None
    session = Session(service, job, task) if task.function is not None and task.function.atomic else None
    left: Outcome | None
    with tracing.recording() as lines:
        try:
            left = outcome = _outcome(service, job, task, session)
            if session is not None:
                left = session.end(outcome, runtime.monotonic() - began)
        finally:
            if session is not None:
                session.abandon()
    setting = service.registry.cached().tracing
    seconds = runtime.monotonic() - began
    return left, traces.of_run(job, task, outcome, seconds=seconds, text=lines.text(), setting=setting)


def _outcome(service: Service, job: ClaimedJob, task: Task, session: Session | None) -> Outcome:
    try:
        call = calls.call_of(job, task, service)
        if task.own is not None:
            return handlers.outcome(task.own(call) or None)
        assert task.function is not None
        return handlers.outcome(_invoke(service, job, task.function, call, session))
    except Stop as stop:
        return stop.outcome
    except Exception as error:  # the handler's error is the job's failure
        return handlers.failure(error)


def _settle(service: Service, settlement: Settlement | None, log: tracing.TraceLog | None, tx: Transaction) -> None:
    queue.settle(tx, [settlement] if settlement is not None else [])
    if log is not None:
        tracing.insert(tx, service.catalog, [log])


def _invoke(service: Service, job: ClaimedJob, function: Function, call: Any, session: Session | None) -> Any:
    handler = handlers.Handler.of(handler_of(resolve(function.module, function.function)))
    context, arguments = None, {}
    if function.kind == "step":
        context = serialize.from_json(function.text, service.catalog)
    else:
        arguments = handlers.arguments_of(function.text)
    return handlers.invoke(
        handler,
        organization=session.client() if session is not None else service.client(call),
        job=RunningJob(
            id=job.id,
            name=job.name,
            depth=job.depth,
            retry_count=job.retry_count,
            cursor=job.cursor,
            regarding=job.regarding,
            ends_at=runtime.monotonic() + config.JOB_SECONDS_MAX,
            line=_Line(service, job, session),
        ),
        context=context,
        arguments=arguments,
    )


def _promote(service: Service, now: datetime | None) -> None:
    # Only what is due is pretended: what comes of it is made now, in the order of everything else that is made.
    service.store.write(lambda tx: schedules.promote_due(tx, moment=max(tx.now, now) if now is not None else None))


def _next(tx: Transaction, worker: str) -> ClaimedJob | None:
    claimed = queue.claim(tx, operation_types=_TYPES, limit=1, worker=worker)
    return claimed[0] if claimed else None
