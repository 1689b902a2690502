"""The supervisor: it claims jobs, hands them to executors, settles what comes back, and runs no user code itself.

One loop owns the decisions: it takes the outcomes that have gathered, settles them and claims the next jobs in one unit
of the store, and hands those out. It sleeps on a bell that rings for outcomes, for commits that may have made work, and
for moments that have come; polling once a second is the ground truth behind the bell. Every settle presents the job's
lease, so a supervisor that was taken for dead changes nothing.

How many jobs are claimed: as many as there are free slots. Where an executor's recent runs took under a few
milliseconds it may hold a batch ahead of its slots, because otherwise the round trips would cost more than the runs.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from adjourn import config, errors, runtime
from adjourn.errors import AdjournError
from adjourn.jobs import queue
from adjourn.jobs.classes import SLOT_CLASSES, class_of
from adjourn.jobs.model import Canceled, ClaimedJob, Failed, Outcome, Released, ResourceClass, Settled, Settlement
from adjourn.jobs.states import Status
from adjourn.operations import prepare
from adjourn.pipeline import handlers, tracing
from adjourn.service import Service
from adjourn.store import faults
from adjourn.store.contract import Transaction
from adjourn.worker import calls, traces
from adjourn.worker.atomic import AtomicRun, Session
from adjourn.worker.duties import PUNCTUAL, duties
from adjourn.worker.process import ExecutorProcess, Running
from adjourn.worker.protocol import LEAVE

log = structlog.get_logger("adjourn.worker")
_BATCH_MAX = 256
"""Jobs that an executor may hold ahead of its slots while runs are short."""
_SHORT_SECONDS = 0.002
_STOP_SECONDS = 5.0
_RESTART_SECONDS = 0.2
_HINT_SECONDS = 10.0
_IDLE_SWEEP_SECONDS = 0.1
"""How often, at most, a claim that finds less than it has room for looks from the very beginning."""
_ON_CHANGE = frozenset(("promote_due", "interrupts"))
"""Duties that are done anew when somebody has changed something."""
_LIMIT_CHECK_SECONDS = 0.25
_ENDED = f"its executor process was ended, because it did not let go within {config.JOB_GRACE_SECONDS:g} s"
_RING_SECONDS = 0.01
"""Pause after a wake-up of the duties: a hundred commits a second need not mean a hundred looks."""


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
        self.id = runtime.new_id()
        self._service = service
        self._store = service.store
        self._processes = processes
        self._concurrency = concurrency
        self._job_seconds_max = job_seconds_max
        self._job_memory_bytes_max = job_memory_bytes_max or _memory_bytes_max()
        self._bell = runtime.bell()
        self._guard = runtime.lock()
        self._settlements: list[Settlement] = []
        self._traces: list[tracing.TraceLog] = []
        self._executors: list[ExecutorProcess] = []
        self._alone: list[ExecutorProcess] = []
        """Executors of one isolated job each, or of one that survived the death of an executor."""
        self._atomic: dict[UUID, AtomicRun] = {}
        """Runs of atomic handlers that have not committed or been undone."""
        self._own: dict[UUID, ClaimedJob] = {}
        """Jobs of platform messages, which run on threads of ours."""
        self._limits = {found.name: _limit(found) for found in SLOT_CLASSES}
        self._stopping = False
        self._threads: list[runtime.Thread] = []
        self._hints: list[tuple[float, int]] = []
        self._lows: list[tuple[float, int]] = []
        """Sequences that became Ready lately, by their moment."""
        self._after_hint = False
        self._look_again = False
        self._swept = 0.0
        self._first = 0

    def start(self) -> None:
        """Be alive as a worker, start the executors and the loops."""
        self._store.hold_worker(self.id, socket.gethostname(), os.getpid())
        self._store.on_change(self._bell.ring)
        self._executors = [self._new_executor(self._concurrency) for _ in range(self._processes)]
        self._threads = [
            runtime.spawn(self._loop, name="adjourn-supervisor"),
            runtime.spawn(self._duty_loop, True, name="adjourn-punctual"),
            runtime.spawn(self._duty_loop, False, name="adjourn-duties"),
        ]

    def stop(self) -> None:
        """Claim no more, let running jobs finish for a few seconds, give the rest back, and be gone."""
        if self._stopping:
            return
        self._stopping = True
        self._bell.ring()
        with self._guard:
            executors = [*self._executors, *self._alone]
        for executor in executors:
            executor.interrupt(dict.fromkeys(list(executor.running), LEAVE))
        deadline = runtime.monotonic() + _STOP_SECONDS
        while self._held() and runtime.monotonic() < deadline:
            runtime.sleep(0.02)
        for thread in self._threads:
            thread.join(2 * config.POLL_SECONDS)
        with self._guard:
            executors = [*self._executors, *self._alone]
            left = [running for executor in executors for running in executor.running.values()]
        for executor in executors:
            executor.close()
        given_back = [Settlement(running.job, Released(), 0.0) for running in left if running.atomic is None]
        self._ended([(running, 0.0, Released()) for running in left if running.atomic is not None])
        while self._atomic and runtime.monotonic() < deadline + _STOP_SECONDS:
            runtime.sleep(0.02)
        self._settle_last(given_back)
        self._store.release_worker(self.id)

    # The loop

    def _loop(self) -> None:
        while not self._stopping:
            try:
                busy = self._turn()
            except AdjournError as error:
                # A full queue, a database that is away: nothing is lost, the leases are still ours; try again.
                log.warning("a turn of the supervisor failed", error=error.message)
                busy = False
                runtime.sleep(_RESTART_SECONDS)
            except Exception:  # a bug, ours or a driver's: it must cost one job at most, never the loop
                log.exception("a turn of the supervisor failed unexpectedly")
                self._settle_singly()
                busy = False
                runtime.sleep(_RESTART_SECONDS)
            if not busy:
                self._bell.wait(_IDLE_SWEEP_SECONDS if self._look_again else config.POLL_SECONDS)
                self._look_again = False
        self._settle_last()

    def _turn(self) -> bool:
        """Settle what came back and claim what there is room for; True if there may be more to do at once."""
        settlements, logs = self._taken()
        free, held = self._capacity()
        if not settlements and not free:
            return False

        def unit(tx: Transaction) -> tuple[Settled, list[ClaimedJob]]:
            tracing.insert(tx, self._service.catalog, logs)
            return queue.settle(tx, settlements), self._claim(tx, free, held)

        try:
            settled, claimed = self._store.write(unit)
        except BaseException:
            with self._guard:
                self._settlements[:0] = settlements
                self._traces[:0] = logs
            raise
        if settled.refused:
            log.warning("runs that no longer held their lease", jobs=[str(job_id) for job_id in settled.refused])
        if claimed:
            self._hints.append((runtime.monotonic(), min(job.sequence for job in claimed)))
            self._hand_out(claimed)
        return bool(claimed) or settled.woke

    def _taken(self) -> tuple[list[Settlement], list[tracing.TraceLog]]:
        with self._guard:
            settlements, self._settlements = self._settlements, []
            logs, self._traces = self._traces, []
        return settlements, logs

    def _settle_last(self, given_back: Sequence[Settlement] = ()) -> None:
        settlements, logs = self._taken()
        settlements += given_back

        def unit(tx: Transaction) -> None:
            tracing.insert(tx, self._service.catalog, logs)
            queue.settle(tx, settlements)

        if settlements or logs:
            self._store.write(unit)
            self._store.wake()

    def _settle_singly(self) -> None:
        """What cannot be settled together is settled one by one; a run whose outcome cannot be written has failed."""
        settlements, _ = self._taken()
        for settlement in settlements:
            try:
                self._store.write(partial(queue.settle, settlements=[settlement]))
            except AdjournError:
                with self._guard:
                    self._settlements.append(settlement)
            except Exception as error:
                log.exception("an outcome cannot be written", job=str(settlement.job.id))
                failed = handlers.failure(error)
                self._store.write(
                    partial(queue.settle, settlements=[Settlement(settlement.job, failed, settlement.seconds)])
                )

    def _after(self) -> int:
        """Where a claim starts. On PostgreSQL dead rows make the beginning slow while a snapshot is pinned: a claim starts at
        what was claimed ten seconds ago, and from the very beginning every few seconds."""
        now = runtime.monotonic()
        if self._store.dialect == "sqlite" or now - self._swept > config.SWEEP_SECONDS:
            self._swept = now
            self._hints = [hint for hint in self._hints if now - hint[0] <= 2 * _HINT_SECONDS]
            return 0
        after = max((sequence - 1 for moment, sequence in self._hints if now - moment > _HINT_SECONDS), default=0)
        with self._guard:
            self._lows = [low for low in self._lows if now - low[0] <= _HINT_SECONDS]
            return min([after, *(sequence - 1 for _, sequence in self._lows)])

    def _capacity(self) -> tuple[int, dict[str, int]]:
        """How many jobs may be claimed now; and how many of each class are held, where a class has a limit."""
        held = dict.fromkeys(self._limits, 0)
        with self._guard:
            if self._stopping:
                return 0, held
            free = sum(_room(executor) for executor in self._executors)
            if any(limit is not None for limit in self._limits.values()):
                for executor in (*self._executors, *self._alone):
                    for running in list(executor.running.values()):
                        held[class_of(running.job.operation_type).name] += 1
                for job in list(self._own.values()):
                    held[class_of(job.operation_type).name] += 1
            return max(0, free - len(self._alone) - len(self._own)), held

    def _claim(self, tx: Transaction, free: int, held: Mapping[str, int]) -> list[ClaimedJob]:
        """Claim for all classes that share the slots: none takes the last one while another waits."""
        claimed = self._claim_after(tx, self._after(), free, held)
        if self._after_hint and len(claimed) < free:
            # Nothing more beyond the hint: there may be older ones that somebody resumed, rescued, or that had to wait.
            if runtime.monotonic() - self._swept < _IDLE_SWEEP_SECONDS:
                self._look_again = True
            else:
                self._swept = runtime.monotonic()
                claimed += self._claim_after(tx, 0, free - len(claimed), _with(held, claimed))
        return claimed

    def _claim_after(self, tx: Transaction, after: int, free: int, held: Mapping[str, int]) -> list[ClaimedJob]:
        claimed: list[ClaimedJob] = []
        self._after_hint = after > 0
        order = SLOT_CLASSES[self._first :] + SLOT_CLASSES[: self._first]
        self._first = (self._first + 1) % len(SLOT_CLASSES)
        rooms = dict(held)

        def take(found: ResourceClass, room: int) -> int:
            limit = self._limits[found.name]
            if limit is not None:
                room = min(room, limit - rooms[found.name])
            if room <= 0:
                return 0
            jobs = queue.claim(
                tx, operation_types=found.operation_types, limit=room, worker=str(self.id), from_sequence=after
            )
            claimed.extend(jobs)
            rooms[found.name] += len(jobs)
            return len(jobs)

        full: list[ResourceClass] = []
        for index, found in enumerate(order):
            room = free - len(claimed)
            offered = max(1, room - 1) if index < len(order) - 1 else room
            if room > 0 and take(found, min(room, offered)) == offered:
                full.append(found)
        for found in full:
            if free > len(claimed):
                take(found, free - len(claimed))
        return claimed

    def _hand_out(self, claimed: Sequence[ClaimedJob]) -> None:
        batches: dict[int, dict[str, Running]] = {}
        with self._guard:
            living = [executor for executor in self._executors if not executor.dead and not executor.retiring]
        for job in claimed:
            try:
                task = prepare(job, self._service)
                running = Running(job, task, runtime.monotonic())
            except Exception as error:  # a job that cannot even be prepared is a failed job, not a failed supervisor
                if not isinstance(error, AdjournError):
                    log.exception("a job could not be prepared", job=str(job.id))
                self._finished([Settlement(job, handlers.failure(error), 0.0)])
                continue
            if task.function is not None and task.function.atomic:
                running.atomic = self._begin_atomic(running)
            if task.own is not None:
                self._own[job.id] = job
                runtime.spawn(self._run_own, running, name="adjourn-own")
            elif job.crashes or (task.function is not None and task.function.isolated):
                executor = self._new_executor(1)
                with self._guard:
                    self._alone.append(executor)
                self._run(executor, {str(job.id): running})
            elif living:
                index = max(range(len(living)), key=lambda i: _room(living[i]) - len(batches.get(i, ())))
                batches.setdefault(index, {})[str(job.id)] = running
            else:
                self._ended([(running, 0.0, Released())])
        for index, batch in batches.items():
            self._run(living[index], batch)

    def _run(self, executor: ExecutorProcess, batch: Mapping[str, Running]) -> None:
        executor.run(batch)
        if executor.dead:
            # It died between the choice and the sending: its reader may have looked before the batch was there.
            self._died(executor)

    def _run_own(self, running: Running) -> None:
        began = runtime.monotonic()
        assert running.task.own is not None
        try:
            outcome = handlers.outcome(
                running.task.own(calls.call_of(running.job, running.task, self._service)) or None
            )
        except Exception as error:  # the message's refusal is the job's failure
            outcome = handlers.failure(error)
        self._own.pop(running.job.id, None)
        self._finished([Settlement(running.job, outcome, runtime.monotonic() - began)])

    # What executors say

    def _new_executor(self, concurrency: int) -> ExecutorProcess:
        return ExecutorProcess(self._service, concurrency, self._on_done, self._died, self._job_seconds_max)

    def _on_done(self, executor: ExecutorProcess, done: list[tuple[Running, float, Outcome]]) -> None:
        done = [(running, seconds, self._in_time(running, outcome)) for running, seconds, outcome in done]
        self._trace(done)
        self._ended(done)
        if executor in self._alone or executor.retiring:
            self._end_idle(executor)

    def _in_time(self, running: Running, outcome: Outcome) -> Outcome:
        """Who stops because its time was up has failed."""
        if running.overdue and isinstance(outcome, Canceled):
            text = f"The job ran longer than {self._job_seconds_max:g} s and was stopped."
            return Failed(errors.JOB_TIMED_OUT, text, text)
        return outcome

    def _trace(self, done: Sequence[tuple[Running, float, Outcome]]) -> None:
        setting = self._service.registry.cached().tracing
        if setting == tracing.OFF:
            return
        for running, seconds, outcome in done:
            made = traces.of_run(
                running.job, running.task, outcome, seconds=seconds, text=running.traced, setting=setting
            )
            if made is not None:
                with self._guard:
                    self._traces.append(made)

    def _finished(self, settlements: Sequence[Settlement]) -> None:
        faults.point("outcome")
        with self._guard:
            self._settlements.extend(settlements)
        self._bell.ring()

    def _ended(self, done: Sequence[tuple[Running, float, Outcome]]) -> None:
        """Runs that have ended: an atomic one settles itself, with its writes."""
        settlements = []
        for running, seconds, outcome in done:
            if running.atomic is not None:
                running.atomic.end(outcome, seconds)
            else:
                settlements.append(Settlement(running.job, outcome, seconds))
        if settlements:
            self._finished(settlements)

    def _begin_atomic(self, running: Running) -> AtomicRun:
        job = running.job

        def settle(outcome: Outcome, seconds: float) -> None:
            self._finished([Settlement(job, outcome, seconds)])

        def gone() -> None:
            with self._guard:
                self._atomic.pop(job.id, None)
            self._bell.ring()

        run = AtomicRun(Session(self._service, job, running.task), settle, gone)
        with self._guard:
            self._atomic[job.id] = run
        return run

    def _end_idle(self, executor: ExecutorProcess) -> None:
        if executor.running:
            return
        with self._guard:
            for group in (self._alone, self._executors):
                if executor in group:
                    group.remove(executor)
        executor.close()

    def _died(self, executor: ExecutorProcess) -> None:
        """An executor is gone: its jobs are Ready again at once, and counted; one that keeps dying is poison."""
        with self._guard:
            # Slots take jobs in the order in which they were sent: those ahead of the slots had not begun.
            lost = list(executor.running.values())
            executor.running.clear()
            expected = executor not in self._executors and executor not in self._alone
            for group in (self._alone, self._executors):
                if executor in group:
                    group.remove(executor)
        if lost:
            log.error("an executor died", pid=executor.pid, jobs=[str(running.job.id) for running in lost])
        now = runtime.monotonic()
        self._ended(
            [
                (found, now - found.since, _given_back(crashed=index < executor.concurrency))
                for index, found in enumerate(lost)
            ]
        )
        if not self._stopping and not expected and executor.concurrency == self._concurrency:
            self._restart()

    def _restart(self) -> None:
        with self._guard:
            missing = self._processes - sum(not executor.retiring for executor in self._executors)
        if missing > 0 and not self._stopping:
            runtime.sleep(_RESTART_SECONDS)
            executor = self._new_executor(self._concurrency)
            with self._guard:
                self._executors.append(executor)
            self._bell.ring()

    def _held(self) -> int:
        with self._guard:
            executors = (*self._executors, *self._alone)
            return sum(len(executor.running) for executor in executors) + len(self._own) + len(self._atomic)

    # Duties

    def _duty_loop(self, punctual: bool) -> None:
        every = dict(duties(self._service, self.id, self._bell.ring, self._lost, self._promoted))
        every["interrupts"] = self._interrupts
        every["time limits"] = self._time_limits
        table = {name: duty for name, duty in every.items() if (name in PUNCTUAL) is punctual}
        # By the clock that nobody sets: with the other one set back, a duty would wait until its old moment comes again.
        moments = dict.fromkeys(table, runtime.monotonic())
        wake = runtime.bell()
        self._store.on_change(wake.ring)
        while not self._stopping:
            for name, duty in table.items():
                if moments[name] > runtime.monotonic():
                    continue
                now = runtime.now()
                try:
                    seconds = (duty(now) - now).total_seconds()
                except AdjournError as error:
                    log.warning("a duty failed and will be tried again", duty=name, error=error.message)
                    seconds = config.POLL_SECONDS
                moments[name] = runtime.monotonic() + seconds
            pause = min(moments.values()) - runtime.monotonic()
            if wake.wait(min(max(pause, 0.001), config.POLL_SECONDS)):
                # Somebody changed something: an earlier moment, or a job that is to stop.
                for name in _ON_CHANGE & moments.keys():
                    moments[name] = runtime.monotonic()
                runtime.sleep(_RING_SECONDS)

    def _promoted(self, sequence: int) -> None:
        """Claims must begin before a job that has just become Ready, however old it is."""
        with self._guard:
            self._lows.append((runtime.monotonic(), sequence))

    def _interrupts(self, now: datetime) -> datetime:
        """Tell executors which of their jobs somebody asked to pause or to stop."""
        later = now + timedelta(seconds=config.POLL_SECONDS)
        if not self._held():
            return later
        with self._store.read() as reader:
            asked = queue.interrupts(reader, str(self.id))
        with self._guard:
            executors = [*self._executors, *self._alone]
        for executor in executors:
            concerned = {str(job): int(status) for job, _, status in asked if str(job) in executor.running}
            if concerned:
                executor.interrupt(concerned)
        return later

    def _time_limits(self, now: datetime) -> datetime:
        """Ask a job whose time is up to stop. What has not stopped after a grace, whoever asked, loses its process if it has its own.

        In a shared process a job that is paused or canceled lets go when it will; one whose time is up is failed, and the
        process takes no new jobs and ends after the others.
        """
        moment = runtime.monotonic()
        with self._guard:
            executors = [*self._executors, *self._alone]
        for executor in executors:
            own = executor in self._alone
            fat = own and executor.memory_bytes() > self._job_memory_bytes_max
            for job_id, running in list(executor.running.items()):
                if fat:
                    self._end(executor, job_id, moment, self._too_fat())
                elif not running.overdue and moment - running.since > self._job_seconds_max:
                    running.overdue = True
                    running.asked = None  # its grace begins now, whatever it was asked before
                    executor.interrupt({job_id: int(Status.CANCELING)})
                elif running.asked is not None and moment - running.asked_at > config.JOB_GRACE_SECONDS:
                    if running.overdue:
                        self._end(executor, job_id, moment, self._too_late())
                    elif own:
                        self._end(executor, job_id, moment, Released(reason=_ENDED))
        return now + timedelta(seconds=_LIMIT_CHECK_SECONDS)

    def _too_late(self) -> Failed:
        text = f"The job ran longer than {self._job_seconds_max:g} s and did not stop when it was asked to."
        return Failed(errors.JOB_TIMED_OUT, text, text)

    def _too_fat(self) -> Failed:
        text = f"The job's own process used more than {self._job_memory_bytes_max // 1024**2:,} MiB of memory and was ended."
        return Failed(errors.JOB_CRASHED, text, text)

    def _end(self, executor: ExecutorProcess, job_id: str, moment: float, outcome: Outcome) -> None:
        running = executor.running.pop(job_id, None)
        if running is None:
            return
        self._trace([(running, moment - running.since, outcome)])
        self._ended([(running, moment - running.since, outcome)])
        if executor in self._alone:
            executor.kill()
            return
        # Its thread cannot be ended alone: the executor takes no new jobs, the others may finish, then it goes.
        executor.retiring = True
        self._restart()
        self._end_idle(executor)

    def _lost(self) -> None:
        log.error("this worker was taken for dead: its jobs have been given back, it stops")
        self._stopping = True
        self._bell.ring()


def _with(held: Mapping[str, int], claimed: Sequence[ClaimedJob]) -> dict[str, int]:
    rooms = dict(held)
    for job in claimed:
        rooms[class_of(job.operation_type).name] += 1
    return rooms


def _given_back(*, crashed: bool) -> Released:
    return Released(crashed, "its executor process died" if crashed else "the executor process that was to run it died")


def _room(executor: ExecutorProcess) -> int:
    """How many more jobs an executor may get."""
    if executor.dead or executor.retiring:
        return 0
    ahead = _BATCH_MAX if executor.seconds < _SHORT_SECONDS else executor.concurrency
    return max(0, max(ahead, executor.concurrency) - len(executor.running))


def _memory_bytes_max() -> int:
    """ADJOURN_ISOLATED_MEMORY_MIB: how much memory the process of an isolated job may use."""
    text = os.environ.get("ADJOURN_ISOLATED_MEMORY_MIB")
    if text is None:
        return config.JOB_MEMORY_BYTES_MAX
    if not text.isdigit() or int(text) < 1:
        raise errors.InvalidRequest(f"ADJOURN_ISOLATED_MEMORY_MIB must be a whole number from 1, found '{text[:40]}'.")
    return int(text) * 1024 * 1024


def _limit(found: ResourceClass) -> int | None:
    """ADJOURN_LIMIT_<CLASS>: how many jobs of a class run at a time on this host; none by default."""
    text = os.environ.get(f"ADJOURN_LIMIT_{found.name.upper()}")
    if text is None:
        return None
    if not text.isdigit() or int(text) < 1:
        raise errors.InvalidRequest(
            f"ADJOURN_LIMIT_{found.name.upper()} must be a whole number from 1, found '{text[:40]}'."
        )
    return int(text)
