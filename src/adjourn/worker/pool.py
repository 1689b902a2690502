"""The executor processes of a supervisor: who runs what, what they say, and what happens when one dies.

Most jobs share the processes that are started at first. An isolated job, and one that survived the death of an executor,
gets a process for itself. A platform message runs on a thread of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import structlog

from adjourn import errors, runtime
from adjourn.errors import AdjournError, Busy
from adjourn.jobs.classes import class_of
from adjourn.jobs.model import Canceled, ClaimedJob, Failed, Outcome, Released, Settlement
from adjourn.operations import prepare
from adjourn.pipeline import handlers
from adjourn.service import Service
from adjourn.worker import own_jobs
from adjourn.worker.atomic import AtomicRun, Session
from adjourn.worker.claims import Room
from adjourn.worker.process import CAUTIOUS_RUNS, ExecutorProcess, Running
from adjourn.worker.settling import Settling

log = structlog.get_logger("adjourn.worker")
_BATCH_MAX = 256
"""Jobs that an executor may hold ahead of its slots while runs are short."""
_AHEAD_BYTES_MAX = 64 * 1024 * 1024
"""Of the data of such jobs; the one that passes it is the last. What has a slot is taken whatever its size."""
_SHORT_SECONDS = 0.002
_SILENT_SECONDS_MAX = 0.1
"""An executor that says nothing for so long has met jobs that are not short."""
_WAIT_SECONDS_MAX = 1.0
"""How long what is ahead of its slots may be expected to wait for one, by its recent runs."""
_RESTART_SECONDS = 0.2


class Pool:
    """The executors of one supervisor."""

    def __init__(
        self,
        service: Service,
        settling: Settling,
        ring: Callable[[], None],
        *,
        processes: int,
        concurrency: int,
        job_seconds_max: float,
    ) -> None:
        self._service = service
        self._settling = settling
        self._ring = ring
        self._processes = processes
        self._concurrency = concurrency
        self.job_seconds_max = job_seconds_max
        self._guard = runtime.lock()
        self._executors: list[ExecutorProcess] = []
        self._alone: list[ExecutorProcess] = []
        """Executors of one isolated job each, or of one that survived the death of an executor."""
        self._atomic: dict[UUID, AtomicRun] = {}
        """Runs of atomic handlers that have not committed or been undone."""
        self._own: dict[UUID, ClaimedJob] = {}
        """Jobs of platform messages, which run on threads of ours."""
        self._stopping = False
        self._restarting = False

    def start(self) -> None:
        """Start the shared executors."""
        self._executors = [self._new_executor(self._concurrency) for _ in range(self._processes)]

    def stop(self) -> None:
        """Run nothing new; tell who runs to let go."""
        self._stopping = True

    def close(self) -> tuple[list[Running], list[ExecutorProcess]]:
        """What has not let go, and the processes, which are the caller's to close.

        It is taken away from them first: that they end now is no crash of theirs, and counts for no job.
        """
        executors = self.executors()
        left: list[Running] = []
        for executor in executors:
            with self._guard:
                left += executor.running.values()
                executor.running.clear()
        return left, executors

    def executors(self) -> list[ExecutorProcess]:
        """All that there are now."""
        with self._guard:
            return [*self._executors, *self._alone]

    def is_alone(self, executor: ExecutorProcess) -> bool:
        """Whether an executor is there for one job only, so that it can be ended without harm to others."""
        with self._guard:
            return executor in self._alone

    def atomic_left(self) -> bool:
        """Whether an atomic handler's transaction is still to be committed or undone."""
        return bool(self._atomic)

    def held(self) -> int:
        """How many jobs run here."""
        with self._guard:
            executors = (*self._executors, *self._alone)
            return sum(len(executor.running) for executor in executors) + len(self._own) + len(self._atomic)

    def room(self) -> Room:
        """What may be claimed now."""
        with self._guard:
            if self._stopping:
                return Room(0, 0, 0)
            apart = len(self._alone) + len(self._own)
            jobs = sum(_room(executor) for executor in self._executors) - apart
            slots = sum(_slots(executor) for executor in self._executors) - apart
            waiting = [found.job for executor in self._executors for found in _waiting(executor)]
            ahead = sum(job.data_bytes for job in (*waiting, *self._own.values()))
            return Room(max(0, jobs), max(0, slots), max(0, _AHEAD_BYTES_MAX - ahead))

    def held_by_class(self) -> dict[str, int]:
        """How many jobs of each class run here."""
        with self._guard:
            jobs = [
                running.job
                for executor in (*self._executors, *self._alone)
                for running in list(executor.running.values())
            ]
            jobs += list(self._own.values())
        held: dict[str, int] = {}
        for job in jobs:
            name = class_of(job.operation_type).name
            held[name] = held.get(name, 0) + 1
        return held

    def hand_out(self, claimed: Sequence[ClaimedJob]) -> None:
        """Give claimed jobs to whoever runs them."""
        batches: dict[int, dict[str, Running]] = {}
        unbegun: list[Running] = []
        unprepared: list[Settlement] = []
        pause = 0.0
        slots = self.room().slots
        with self._guard:
            living = [executor for executor in self._executors if not executor.dead and not executor.retiring]
        for job in claimed:
            try:
                task = prepare(job, self._service)
                running = Running(job, task, runtime.monotonic())
            except Busy as error:  # the database is away, or a file's row cannot be read now
                log.warning("a job could not be prepared and is given back", job=str(job.id), error=error.message)
                unprepared.append(Settlement(job, Released(), 0.0))
                pause = _RESTART_SECONDS
                continue
            except Exception as error:  # a job that cannot even be prepared is a failed job, not a failed supervisor
                if not isinstance(error, AdjournError):
                    log.exception("a job could not be prepared", job=str(job.id))
                self._settling.finished([Settlement(job, handlers.failure(error), 0.0)])
                continue
            try:
                if task.function is not None and task.function.atomic:
                    running.atomic = self._begin_atomic(running)
                if task.own is not None or job.crashes or (task.function is not None and task.function.isolated):
                    if slots > 0:
                        self._begin_apart(running)
                    else:  # they are not sent ahead: each would have a process or a thread at once
                        self._give_up_being_ahead()
                        unbegun.append(running)
                elif living:
                    index = max(range(len(living)), key=lambda i: _room(living[i]) - len(batches.get(i, ())))
                    batches.setdefault(index, {})[str(job.id)] = running
                    if job.data_file is not None:  # at once, so that its text is not here beside the next one's
                        self._run(living[index], batches.pop(index))
                else:
                    unbegun.append(running)
                slots -= 1
            except (OSError, RuntimeError) as error:  # no process, thread or file to be had now: it is nobody's failure
                log.error("a job could not be begun and is given back", job=str(job.id), error=str(error))
                unbegun.append(running)
                pause = _RESTART_SECONDS
        for index, batch in batches.items():
            self._run(living[index], batch)
        if unbegun or unprepared:
            runtime.sleep(pause)
            self._settling.ended([(running, 0.0, Released(reason="there was no slot for it")) for running in unbegun])
            self._settling.finished(unprepared)

    def recall(self, moment: float) -> None:
        """Take back what waits ahead of slots whose runs have turned out long: others may run it, or run before it."""
        for executor in self.executors():
            waiting = len(_waiting(executor))
            silent = moment - executor.heard > _SILENT_SECONDS_MAX
            slow = waiting * executor.seconds > _WAIT_SECONDS_MAX * executor.concurrency
            if executor.ready and waiting and (silent or slow):
                executor.recall()

    def _give_up_being_ahead(self) -> None:
        for executor in self.executors():
            executor.cautious = CAUTIOUS_RUNS

    def _begin_apart(self, running: Running) -> None:
        """On a thread of ours, or in a process of its own. Raises OSError, RuntimeError if there is none to be had."""
        job = running.job
        if running.task.own is not None:
            self._own[job.id] = job
            try:
                runtime.spawn(self._run_own, running, name="adjourn-own")
            except RuntimeError:
                del self._own[job.id]
                raise
            return
        executor = self._new_executor(1)
        with self._guard:
            self._alone.append(executor)
        self._run(executor, {str(job.id): running})

    def end(self, executor: ExecutorProcess, job_id: str, outcome: Outcome) -> None:
        """Take a job away from an executor: its own process is ended, a shared one takes no new jobs and ends after the others."""
        running = executor.running.pop(job_id, None)
        if running is None:
            return
        done = [(running, runtime.monotonic() - running.since, outcome)]
        self._settling.trace(done)
        self._settling.ended(done)
        if self.is_alone(executor):
            executor.kill()
            return
        # Its thread cannot be ended alone: the executor takes no new jobs, the others may finish, then it goes.
        executor.retiring = True
        self.restart()
        self._end_idle(executor)

    def _run(self, executor: ExecutorProcess, batch: Mapping[str, Running]) -> None:
        try:
            executor.run(batch)
        except Exception as error:  # what cannot be sent must not hold its slots for ever
            log.exception("jobs could not be handed to an executor", jobs=list(batch))
            left = [found for job_id in batch if (found := executor.running.pop(job_id, None)) is not None]
            self._settling.ended([(running, 0.0, handlers.failure(error)) for running in left])
            if self.is_alone(executor):
                self._end_idle(executor)
            return
        if executor.dead:
            # It died between the choice and the sending: its reader may have looked before the batch was there.
            self._died(executor)

    def _run_own(self, running: Running) -> None:
        began = runtime.monotonic()
        try:
            outcome = own_jobs.run(self._service, running.job, running.task, lambda: self._stopping)
        except KeyboardInterrupt as error:  # a step interrupts whom it takes for all: this is a thread of ours
            outcome = own_jobs.ended(error)
        self._own.pop(running.job.id, None)
        self._settling.finished([Settlement(running.job, outcome, runtime.monotonic() - began)])

    def _new_executor(self, concurrency: int) -> ExecutorProcess:
        return ExecutorProcess(self._service, concurrency, self._on_done, self._died, self.job_seconds_max)

    def _on_done(self, executor: ExecutorProcess, done: list[tuple[Running, float, Outcome]]) -> None:
        done = [(running, seconds, self._in_time(running, outcome)) for running, seconds, outcome in done]
        self._settling.trace(done)
        self._settling.ended(done)
        if executor in self._alone or executor.retiring:
            self._end_idle(executor)

    def _in_time(self, running: Running, outcome: Outcome) -> Outcome:
        """Who stops because its time was up has failed."""
        if running.overdue and isinstance(outcome, Canceled):
            text = f"The job ran longer than {self.job_seconds_max:g} s and was stopped."
            return Failed(errors.JOB_TIMED_OUT, text, text)
        return outcome

    def _begin_atomic(self, running: Running) -> AtomicRun:
        job = running.job

        def settle(outcome: Outcome, seconds: float) -> None:
            self._settling.finished([Settlement(job, outcome, seconds)])

        def gone() -> None:
            with self._guard:
                self._atomic.pop(job.id, None)
            self._ring()

        run = AtomicRun(Session(self._service, job, running.task.without_text()), settle, gone)
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
            log.error(
                "an executor died", pid=executor.pid, how=executor.end, jobs=[str(running.job.id) for running in lost]
            )
        now = runtime.monotonic()
        self._settling.ended(
            [
                (found, now - found.since, _given_back(executor.end, crashed=index < executor.concurrency))
                for index, found in enumerate(lost)
            ]
        )
        if not self._stopping and not expected and executor.concurrency == self._concurrency:
            self.restart()

    def restart(self) -> None:
        """Start a shared executor if one is missing. It may not be possible now: a duty comes by here again and again."""
        with self._guard:
            missing = self._processes - sum(not executor.retiring for executor in self._executors)
            if missing <= 0 or self._stopping or self._restarting:
                return
            self._restarting = True
        try:
            runtime.sleep(_RESTART_SECONDS)
            executor = self._new_executor(self._concurrency)
            with self._guard:
                self._executors.append(executor)
        except (OSError, RuntimeError) as error:  # no process, thread or file to be had
            log.error("an executor could not be started", error=str(error))
        finally:
            self._restarting = False
        self._ring()


def _given_back(how: str, *, crashed: bool) -> Released:
    who = "its executor process" if crashed else "the executor process that was to run it"
    return Released(crashed, f"{who} died ({how})")


def _room(executor: ExecutorProcess) -> int:
    """How many more jobs an executor may get."""
    if executor.dead or executor.retiring:
        return 0
    short = executor.seconds < _SHORT_SECONDS and not executor.cautious
    ahead = _BATCH_MAX if short else executor.concurrency
    return max(0, max(ahead, executor.concurrency) - len(executor.running))


def _slots(executor: ExecutorProcess) -> int:
    """How many jobs would begin at once."""
    return 0 if executor.dead or executor.retiring else max(0, executor.concurrency - len(executor.running))


def _waiting(executor: ExecutorProcess) -> list[Running]:
    """The jobs that an executor has ahead of its slots, which take them in the order in which they were sent."""
    return list(executor.running.values())[executor.concurrency :]
