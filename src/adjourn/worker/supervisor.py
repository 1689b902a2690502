"""The supervisor: it claims jobs, hands them to executors, settles what comes back, and runs no user code itself.

One loop owns the decisions: it takes the outcomes that have gathered, settles them and claims the next jobs in one unit
of the store, and hands those out. It sleeps on a bell that rings for outcomes, for commits that may have made work, and
for moments that have come; polling once a second is the ground truth behind the bell. Every settle presents the job's
lease, so a supervisor that was taken for dead changes nothing.

How many jobs are claimed: as many as there are free slots. Where an executor's recent runs took under a few
milliseconds it may hold a batch ahead of its slots, because otherwise the round trips would cost more than the runs.

Its parts: `claims` (which jobs), `pool` (the executors), `own_jobs` (our own code on threads), `settling` (outcomes until
they are written), `limits` (what ends runs), `duties` (what must be done again and again) and `duty_loop` (when).
"""

from __future__ import annotations

import os
import socket
from functools import partial
from uuid import UUID

import structlog

from adjourn import config, runtime
from adjourn.errors import AdjournError
from adjourn.jobs.classes import SLOT_CLASSES
from adjourn.jobs.model import ClaimedJob, Released, Settled, Settlement
from adjourn.service import Service
from adjourn.store.contract import Transaction
from adjourn.worker.claims import Claims
from adjourn.worker.duties import ALONE, duties
from adjourn.worker.duty_loop import DutyLoop
from adjourn.worker.limits import Limits
from adjourn.worker.own_jobs import OwnJobs
from adjourn.worker.pool import Pool
from adjourn.worker.protocol import LEAVE
from adjourn.worker.settling import Settling

log = structlog.get_logger("adjourn.worker")
_STOP_SECONDS = 5.0
_RETRY_SECONDS = 0.2
_ON_CHANGE = frozenset(("promote_due", "interrupts"))
"""Duties that are done anew when somebody has changed something."""


class Supervisor:
    """Runs jobs of one organization in this process's executors."""

    def __init__(
        self,
        service: Service,
        *,
        processes: int = config.PROCESSES_DEFAULT,
        concurrency: int = config.CONCURRENCY_DEFAULT,
        job_seconds_max: float = config.JOB_SECONDS_MAX,
        job_memory_bytes_max: int | None = None,
    ) -> None:
        self._service = service
        self._store = service.store
        self._processes = processes
        self._concurrency = concurrency
        self._job_seconds_max = job_seconds_max
        self._job_memory_bytes_max = job_memory_bytes_max
        self._guard = runtime.lock()
        self._ended = False
        self._assemble()

    def _assemble(self) -> None:
        """Be a new incarnation: with an id and parts of its own."""
        self.id = runtime.new_id()
        self._bell = runtime.bell()
        self._stopping = False
        self._settling = Settling(self._service, self._bell.ring)
        self.pool = Pool(
            self._service,
            self._settling,
            self._bell.ring,
            processes=self._processes,
            concurrency=self._concurrency,
            job_seconds_max=self._job_seconds_max,
        )
        self.claims = Claims(str(self.id), self._store.dialect)
        self._own_jobs = OwnJobs(self._service, self.id, self._settling.finished)
        self._limits = Limits(self._store, self.id, self.pool, self._job_memory_bytes_max)
        self._thread: runtime.Thread | None = None
        self._duty_loops: list[DutyLoop] = []

    def start(self) -> None:
        """Be alive as a worker, start the executors and the loops."""
        self._store.hold_worker(self.id, socket.gethostname(), os.getpid())
        self._store.on_change(self._bell.ring)
        self.pool.start()
        self._thread = runtime.spawn(self._loop, name="adjourn-supervisor")
        table = dict(duties(self._service, self.id, self._due, partial(self._lost, self.id), self.claims.promoted))
        table["interrupts"] = self._limits.interrupts
        table["time limits"] = self._limits.time_limits
        parts = [{name: table.pop(name)} for name in ALONE if name in table] + [table]
        for part in parts:
            name = f"adjourn-{min(part)}" if len(part) == 1 else "adjourn-duties"
            self._duty_loops.append(DutyLoop(self._store, part, _ON_CHANGE & part.keys(), name=name))
        self._own_jobs.start()

    def stop(self) -> None:
        """Claim no more, let running jobs finish for a few seconds, give the rest back, and be gone."""
        with self._guard:
            if self._ended:
                return
            self._ended = True
            if not self._stopping:
                self._end(_STOP_SECONDS)

    def _end(self, patience_seconds: float) -> None:
        self._stop()
        for executor in self.pool.executors():
            executor.interrupt(dict.fromkeys(list(executor.running), LEAVE))
        deadline = runtime.monotonic() + patience_seconds
        while self.held() and runtime.monotonic() < deadline:
            runtime.sleep(0.02)
        if self._thread is not None:
            self._thread.join(2 * config.POLL_SECONDS)
        for loop in self._duty_loops:
            loop.join(2 * config.POLL_SECONDS)
        left, executors = self.pool.close()
        for executor in executors:
            executor.close()
        given_back = [Settlement(running.job, Released(), 0.0) for running in left if running.atomic is None]
        self._settling.ended([(running, 0.0, Released()) for running in left if running.atomic is not None])
        while self.pool.atomic_left() and runtime.monotonic() < deadline + _STOP_SECONDS:
            runtime.sleep(0.02)
        self._settling.settle_last(given_back)
        try:
            self._store.release_worker(self.id)
        except AdjournError as error:  # it will be found dead, as it then is
            log.error("this worker could not say that it ends", error=error.message)

    def held(self) -> int:
        """How many jobs it runs."""
        return self.pool.held() + self._own_jobs.held()

    def _stop(self) -> None:
        self._stopping = True
        self.pool.stop()
        self._own_jobs.stop()
        for loop in self._duty_loops:
            loop.stop()
        self._bell.ring()

    def _loop(self) -> None:
        while not self._stopping:
            try:
                busy = self._turn()
            except AdjournError as error:
                # A full queue, a database that is away: nothing is lost, the leases are still ours; try again.
                log.warning("a turn of the supervisor failed", error=error.message)
                busy = False
                runtime.sleep(_RETRY_SECONDS)
            except Exception:  # a bug, ours or a driver's: it must cost one job at most, never the loop
                log.exception("a turn of the supervisor failed unexpectedly")
                self._settling.settle_singly()
                busy = False
                runtime.sleep(_RETRY_SECONDS)
            if not busy:
                self._bell.wait(self.claims.idle_seconds())
        self._settling.settle_last()

    def _turn(self) -> bool:
        """Settle what came back and claim what there is room for; True if there may be more to do at once."""
        batch = self._settling.take()
        room = self.pool.room()
        if not any(batch) and not room.jobs:
            return False
        held = dict.fromkeys((found.name for found in SLOT_CLASSES), 0)
        if self.claims.limited:
            held |= self.pool.held_by_class()

        lease = runtime.secret(9)

        def unit(tx: Transaction) -> tuple[Settled, list[ClaimedJob]]:
            return self._settling.write(tx, batch), self.claims.claim(tx, room, held, lease)

        try:
            settled, claimed = self._store.write(unit)
        except BaseException:
            # If it is durable after all: what is settled again is refused, what was claimed is given back.
            self._settling.give_back(batch)
            self.claims.doubt(lease)
            raise
        if settled.refused:
            log.warning("runs that no longer held their lease", jobs=[str(job_id) for job_id in settled.refused])
        self.claims.claimed(claimed)
        if claimed:
            self.pool.hand_out(claimed)
        return bool(claimed) or settled.woke

    def _due(self) -> None:
        """Jobs may have become Ready, of whatever class."""
        self._bell.ring()
        self._own_jobs.look()

    def _lost(self, incarnation: UUID) -> None:
        log.error("this worker was taken for dead: its jobs have been given back, it begins anew under another id")
        runtime.spawn(self._begin_anew, incarnation, name="adjourn-anew")

    def _begin_anew(self, incarnation: UUID) -> None:
        with self._guard:
            if self._ended or self._stopping or self.id != incarnation:
                return  # it ends anyway, or heard it twice
            self._end(0.0)  # others may run its jobs already, and what it would still write is refused
        while True:
            with self._guard:
                if self._ended:
                    return
                self._assemble()
                try:
                    self.start()
                    return
                except AdjournError as error:
                    log.warning("this worker could not begin anew and will try again", error=error.message)
                    self._stopping = True
            runtime.sleep(config.POLL_SECONDS)
