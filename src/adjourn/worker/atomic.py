"""Atomic handlers: what they write and their completion are one transaction, so that data changes exactly once.

The transaction begins at the handler's first write (reads before it take no turn), holds every write of the run, and is
committed with the settle. `checkpoint(cursor)` commits what was written so far together with the cursor; the next write
begins anew. A handler that fails, asks for a retry or to wait, is canceled, dies, or whose lease is gone leaves nothing
behind since its last checkpoint. Jobs that it enqueues appear with the commit.

A transaction belongs to a thread. `Session` is used in one thread; `AtomicRun` is that thread for a handler in an
executor: calls and the outcome come to it by a queue. It gives up a transaction that is open longer than the store's
`turn_seconds_max`, also while the handler computes. Source: design §4 (3), mechanisms §1 (2) and §3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from adjourn import runtime
from adjourn.client import Backend, Client
from adjourn.errors import AdjournError, Busy, TurnExceeded
from adjourn.jobs import queue, tokens
from adjourn.jobs.model import ClaimedJob, Continue, Outcome, Released, Retry, Settlement, Succeeded
from adjourn.jobs.states import Status
from adjourn.operations.task import Task
from adjourn.pipeline import handlers
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.flow import Unit
from adjourn.pipeline.messages import MESSAGES
from adjourn.pipeline.record import Record
from adjourn.service import LocalBackend, Service
from adjourn.store.contract import Transaction
from adjourn.worker import calls

log = structlog.get_logger("adjourn.worker")


class Session:
    """The writes of one run of an atomic handler. Used by one thread."""

    def __init__(self, service: Service, job: ClaimedJob, task: Task) -> None:
        self._service = service
        self._job = job
        self._call = dataclasses.replace(calls.call_of(job, task, service), guard=self._guard)
        self._open: AbstractContextManager[Unit] | None = None
        self._unit: Unit | None = None
        self._since = 0.0
        self._broken: AdjournError | None = None
        self._told: tuple[str | None, int | None] = (None, None)
        """Progress that waits for the next commit: written at once it would lock the job's row until then."""

    @property
    def seconds_left(self) -> float | None:
        """How long the transaction may stay open; None when there is none."""
        if self._unit is None:
            return None
        return max(0.0, self._since + self._service.store.turn_seconds_max - runtime.monotonic())

    def client(self) -> Client:
        """The handler's organization."""
        return Client(self.backend())

    def backend(self) -> Backend:
        """Where its calls go."""
        return _Backend(self._service, self)

    def call(self, *, writes: bool) -> Call:
        """The circumstances of the handler's next call: inside the transaction, which a write begins."""
        if self._broken is not None:
            raise self._broken
        if self._unit is None and writes:
            self._begin()
        return dataclasses.replace(self._call, transaction=self._unit.tx if self._unit is not None else None)

    def checkpoint(self, cursor: str, text: str | None = None, percent: int | None = None) -> int | None:
        """Commit what was written so far, with the cursor. The status 21 or 22 if somebody asked to pause or to stop.

        To stop for good undoes what was written since the last checkpoint. Raises LeaseLost, and what a commit raises.
        """
        if self._broken is not None:
            raise self._broken
        self.progress(text, percent)
        told, self._told = self._told, (None, None)
        if self._unit is None:
            return calls.checkpoint(self._service, self._job, cursor, *told)
        calls.require_cursor(cursor)
        status = self._standing()
        if status is Status.CANCELING:
            self.abandon()
            return int(status)
        queue.checkpoint(self._unit.tx, self._job, cursor, *told)
        self._commit()
        return int(status) if status is Status.PAUSING else None

    def progress(self, text: str | None, percent: int | None) -> None:
        """Keep a handler's progress: at once, or with the open transaction. Raises LeaseLost, InvalidRequest."""
        told = calls.progress_text(text, percent)
        self._told = (told or self._told[0], percent if percent is not None else self._told[1])
        if self._unit is None and self._told != (None, None):
            calls.progress(self._service, self._job, *self._told)
            self._told = (None, None)

    def end(self, outcome: Outcome, seconds: float) -> Outcome | None:
        """Commit the writes and the settle together, if the outcome is one to keep them; else undo them.

        None: it is done. Otherwise what is left to be settled by itself, because nothing was committed.
        """
        if self._unit is None:
            if self._broken is not None and isinstance(outcome, Succeeded | Continue):
                return handlers.failure(self._broken)
            return outcome
        if not isinstance(outcome, Succeeded | Continue):
            self.abandon()
            return outcome
        try:
            # All locks of serial keys at once and before any row, so that two such ends do not deadlock.
            tx = self._unit.tx
            tokens.lock(tx, [self._job.serial_key, *(job.serial_key for job in self._unit.jobs)])
            if self._standing() is Status.CANCELING:
                self.abandon()
                return Released(reason="what it had written since its last checkpoint was undone")
            if self._told != (None, None):
                queue.checkpoint(tx, self._job, None, *self._told)
            # It ends now, not when its transaction began, up to two minutes ago; people may have acted on it since.
            tx.now += timedelta(seconds=runtime.monotonic() - self._since)
            queue.settle(tx, [Settlement(self._job, outcome, seconds)])
            tx.after_commit(self._service.store.wake)
            self._commit()
        except calls.LeaseLost as error:
            self.abandon()
            log.warning("an atomic run no longer held its lease: its writes are undone", job=str(self._job.id))
            return handlers.failure(error)  # refused by the queue, which has the last word
        except AdjournError as error:
            self.abandon()
            # The database was away, or gave it up. If its commit is durable after all, the queue refuses the retry.
            return Retry(error.message) if error.status == Busy.status else handlers.failure(error)
        except Exception as error:  # whatever the commit met: nothing of the run remains, and its job has failed
            self.abandon()
            return handlers.failure(error)
        return None

    def abandon(self, error: AdjournError | None = None) -> None:
        """Undo what was written since the last checkpoint. error: what later calls of the handler are to meet."""
        self._broken = error or self._broken
        opened, self._open, self._unit = self._open, None, None
        if opened is not None:
            undone = _Undone()
            try:
                opened.__exit__(_Undone, undone, None)
            except _Undone:
                return
            except AdjournError as failure:  # the connection went first: the database undoes it by itself
                log.warning("a transaction could not be undone here", job=str(self._job.id), error=failure.message)

    def give_up(self) -> None:
        """The transaction was open too long."""
        seconds = self._service.store.turn_seconds_max
        self.abandon(
            TurnExceeded(
                f"Job '{self._job.name}' kept its transaction open for over {seconds:g} s; what it had written since its "
                "last checkpoint was undone. Take checkpoints, or compute before the first write."
            )
        )

    def _guard(self, tx: Transaction) -> None:
        # No lock, unlike other handlers' writes: it would keep people from canceling the job until the transaction ends.
        if queue.holds(tx, self._job.id, self._job.lease) is None:
            raise self._lost()

    def _standing(self) -> Status:
        assert self._unit is not None
        status = queue.fence(self._unit.tx, self._job.id, self._job.lease)
        if status is None:
            raise self._lost()
        return status

    def _lost(self) -> calls.LeaseLost:
        return calls.LeaseLost(
            f"System job {self._job.id} is no longer held by this worker; its handler may not write any more."
        )

    def _begin(self) -> None:
        self._open = self._service.pipeline.transaction(f"{self._job.name}, an atomic job")
        self._unit = self._open.__enter__()
        self._since = runtime.monotonic()

    def _commit(self) -> None:
        assert self._open is not None
        opened, self._open, self._unit = self._open, None, None
        opened.__exit__(None, None, None)


class _Undone(BaseException):
    """Leaves the block of a transaction that is to be undone."""


class _Backend:
    """The calls of an atomic handler, made in its session's thread."""

    def __init__(self, service: Service, session: Session, user: UUID | None = None) -> None:
        self._service = service
        self._session = session
        self._user = user

    def execute(self, request: Request) -> dict[str, Any]:
        message = MESSAGES.get(request.message)
        return self._made(writes=message is None or not message.reads).execute(request)

    def retrieve_multiple(self, query: str) -> list[Record]:
        return self._made(writes=False).retrieve_multiple(query)

    def enqueue(self, items: Sequence[tuple[Request, Mapping[str, Any]]]) -> list[UUID]:
        return self._made(writes=True).enqueue(items)

    def as_user(self, user_id: UUID) -> _Backend:
        return _Backend(self._service, self._session, user_id)

    def _made(self, *, writes: bool) -> LocalBackend:
        backend = LocalBackend(self._service, self._session.call(writes=writes))
        return backend.as_user(self._user) if self._user is not None else backend


class AtomicRun:
    """The thread in which an executor's atomic handler has its transaction."""

    def __init__(self, session: Session, settle: Callable[[Outcome, float], None], gone: Callable[[], None]) -> None:
        self._session = session
        self._settle = settle
        self._gone = gone
        self._queue = runtime.queue(0)
        runtime.spawn(self._serve, name="adjourn-atomic")

    def ask(self, work: Callable[[Session], None]) -> None:
        """Have one call of the handler served."""
        self._queue.put(work)

    def end(self, outcome: Outcome, seconds: float) -> None:
        """The handler has ended: commit, or undo."""
        self._queue.put((outcome, seconds))

    def _serve(self) -> None:
        while True:
            found = self._queue.get(self._session.seconds_left)
            if found is None:
                self._session.give_up()
            elif callable(found):
                found(self._session)
            else:
                break
        outcome, seconds = found
        try:
            left = self._session.end(outcome, seconds)
        except Exception as error:  # the thread must not take the outcome with it
            log.exception("an atomic run could not be ended")
            left = handlers.failure(error)
        if left is not None:
            self._settle(left, seconds)
        self._gone()
