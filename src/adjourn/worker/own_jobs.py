"""Jobs of our own code, on threads of the supervisor: bulk, mail and maintenance.

Each resource class has as many threads as it says, so that a flood of one holds up no other. What they run is the
pipeline's and the operations' code, never a user's own (steps that a write causes run inside that write, as for any
caller). A loop of its own looks for them, so that claims for the executors cost nothing more. Outcomes go the way of
all: the supervisor settles them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from adjourn import config, runtime
from adjourn.errors import AdjournError, Busy
from adjourn.jobs import queue
from adjourn.jobs.classes import THREAD_CLASSES, class_of
from adjourn.jobs.model import ClaimedJob, Outcome, Released, Retry, Settlement
from adjourn.operations import OPERATIONS, prepare
from adjourn.operations.task import Task
from adjourn.pipeline import handlers
from adjourn.service import Service
from adjourn.store.contract import Transaction
from adjourn.worker import calls

log = structlog.get_logger("adjourn.worker")
_TYPES = {found.name: tuple(kind for kind in found.operation_types if kind in OPERATIONS) for found in THREAD_CLASSES}
_ALL_TYPES = tuple(kind for types in _TYPES.values() for kind in types)
_LOOK_SECONDS = 0.01
"""Pause between two looks: a hundred commits a second need not mean a hundred looks."""


def run(service: Service, job: ClaimedJob, task: Task, leaving: Callable[[], bool]) -> Outcome:
    """Run our own code for a claimed job, in this thread; what it raised becomes the outcome.

    leaving: whether the worker is about to stop; long work then lets go at its next chunk.
    """
    assert task.own is not None
    try:
        call = dataclasses.replace(calls.call_of(job, task, service), leaving=leaving)
        return handlers.outcome(task.own(call) or None)
    except Exception as error:  # the message's or the operation's refusal is the job's failure
        return ended(error)


def ended(error: BaseException) -> Outcome:
    """What was raised, as an outcome: a store that has no time for it now may have later."""
    if isinstance(error, Busy) and error.code == Busy.code:
        return Retry(error.message)
    return handlers.failure(error)


class OwnJobs:
    """Finds and runs them, for one supervisor."""

    def __init__(self, service: Service, worker_id: UUID, finished: Callable[[Sequence[Settlement]], None]) -> None:
        self._service = service
        self._worker = str(worker_id)
        self._finished = finished
        self._guard = runtime.lock()
        self._running: dict[str, int] = dict.fromkeys(_TYPES, 0)
        self._doubtful: set[str] = set()
        """Leases of claims of which nobody heard whether they are durable."""
        self._bell = runtime.bell()
        self._stopping = False
        self._thread: runtime.Thread | None = None

    def start(self) -> None:
        """Begin to look for jobs."""
        self._service.store.on_change(self._bell.ring)
        self._thread = runtime.spawn(self._loop, name="adjourn-own-jobs")

    def look(self) -> None:
        """There may be jobs now: do not wait for the next poll."""
        self._bell.ring()

    def stop(self) -> None:
        """Claim no more, and ask what runs to let go."""
        self._stopping = True
        self._bell.ring()

    def held(self) -> int:
        """How many run."""
        with self._guard:
            return sum(self._running.values())

    def _loop(self) -> None:
        while not self._stopping:
            try:
                busy = self._look()
            except AdjournError as error:
                log.warning("own jobs could not be claimed", error=error.message)
                busy = False
            except Exception:  # a bug, ours or a driver's, must not end the loop
                log.exception("own jobs could not be claimed")
                busy = False
            if busy or self._bell.wait(config.POLL_SECONDS):
                runtime.sleep(_LOOK_SECONDS)

    def _look(self) -> bool:
        """Claim what there is room for; whether there was something."""
        with self._service.store.read() as reader:
            ready = queue.ready_types(reader, _ALL_TYPES)
        busy = False
        for found in THREAD_CLASSES:
            types = tuple(kind for kind in _TYPES[found.name] if kind in ready)
            with self._guard:
                room = found.threads - self._running[found.name]
            if not types or room <= 0 or self._stopping:
                continue
            claimed = self._claim(types, room)
            with self._guard:
                self._running[found.name] += len(claimed)
            for job in claimed:
                self._begin(job, found.name)
            busy = busy or bool(claimed)
        return busy

    def _begin(self, job: ClaimedJob, name: str) -> None:
        try:
            runtime.spawn(self._run, job, name=f"adjourn-{name}")
        except RuntimeError as error:  # no thread to be had now
            log.error("a job could not be begun and is given back", job=str(job.id), error=str(error))
            with self._guard:
                self._running[name] -= 1
            self._finished([Settlement(job, Released(), 0.0)])

    def _claim(self, types: Sequence[int], room: int) -> list[ClaimedJob]:
        lease = runtime.secret(9)

        def unit(tx: Transaction) -> list[ClaimedJob]:
            queue.give_back(tx, self._worker, self._doubtful)
            return queue.claim(tx, operation_types=types, limit=room, worker=self._worker, lease=lease)

        try:
            claimed = self._service.store.write(unit)
        except BaseException:
            self._doubtful.add(lease)
            raise
        self._doubtful.clear()
        return claimed

    def _run(self, job: ClaimedJob) -> None:
        began = runtime.monotonic()
        try:
            outcome = run(self._service, job, prepare(job, self._service), lambda: self._stopping)
        except (
            Exception,
            KeyboardInterrupt,
        ) as error:  # it cannot even be prepared; or a step interrupts whom it takes for all
            outcome = ended(error)
        # First the outcome: who waits until nothing runs any more settles what there is then.
        self._finished([Settlement(job, outcome, runtime.monotonic() - began)])
        with self._guard:
            self._running[class_of(job.operation_type).name] -= 1
        self._bell.ring()
