"""What ends a run before its handler does: somebody's wish, its time, its memory. Duties of a supervisor."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from uuid import UUID

from adjourn import config, errors, runtime
from adjourn.jobs import queue
from adjourn.jobs.model import Failed, Released
from adjourn.jobs.states import Status
from adjourn.store.contract import Store
from adjourn.worker.pool import Pool

_LIMIT_CHECK_SECONDS = 0.25
_START_SECONDS_MAX = 120.0
"""A process that has not started by then will not."""
_ENDED = f"its executor process was ended, with all that it had started, because it did not let go within {config.JOB_GRACE_SECONDS:g} s"


class Limits:
    """Looks after the runs of one supervisor's executors."""

    def __init__(self, store: Store, worker_id: UUID, pool: Pool, memory_bytes_max: int | None) -> None:
        self._store = store
        self._worker = str(worker_id)
        self._pool = pool
        self._memory_bytes_max = memory_bytes_max or _memory_bytes_max()

    def interrupts(self, now: datetime) -> datetime:
        """Tell executors which of their jobs somebody asked to pause or to stop."""
        later = now + timedelta(seconds=config.POLL_SECONDS)
        if not self._pool.held():
            return later
        with self._store.read() as reader:
            asked = queue.interrupts(reader, self._worker)
        for executor in self._pool.executors():
            concerned = {str(job): int(status) for job, _, status in asked if str(job) in executor.running}
            if concerned:
                executor.interrupt(concerned)
        return later

    def time_limits(self, now: datetime) -> datetime:
        """Ask a job whose time is up to stop. What has not stopped after a grace, whoever asked, loses its process if it has its own.

        In a shared process a job that is paused or canceled lets go when it will; one whose time is up is failed, and the
        process takes no new jobs and ends after the others. One in which a handler lets nothing else run is ended at once:
        nobody knows which of its jobs that is, so all go back and get a process each, in which their time says it.
        """
        self._pool.restart()
        moment = runtime.monotonic()
        self._pool.recall(moment)
        for executor in self._pool.executors():
            own = self._pool.is_alone(executor)
            fat = own and executor.memory_bytes() > self._memory_bytes_max
            if not executor.ready and moment - executor.born > _START_SECONDS_MAX:
                executor.kill()  # its jobs go back
            for index, (job_id, running) in enumerate(list(executor.running.items())):
                # Slots take jobs in the order in which they were sent: its time begins when it is among the first.
                if not executor.ready or index >= executor.concurrency:
                    running.since = moment
                if fat:
                    self._pool.end(executor, job_id, self._too_fat())
                elif not running.overdue and moment - running.since > self._pool.job_seconds_max:
                    running.overdue = True
                    running.asked = None  # its grace begins now, whatever it was asked before
                    executor.interrupt({job_id: int(Status.CANCELING)})
                elif running.asked is not None and moment - running.asked_at > config.JOB_GRACE_SECONDS:
                    if running.overdue and not own and executor.deaf(moment):
                        executor.kill()
                        break
                    if running.overdue:
                        self._pool.end(executor, job_id, self._too_late(own))
                    elif own:
                        self._pool.end(executor, job_id, Released(reason=_ENDED))
        return now + timedelta(seconds=_LIMIT_CHECK_SECONDS)

    def _too_late(self, own: bool) -> Failed:
        text = f"The job ran longer than {self._pool.job_seconds_max:g} s and did not stop when it was asked to"
        text += ": its process was ended, with all that it had started." if own else "."
        return Failed(errors.JOB_TIMED_OUT, text, text)

    def _too_fat(self) -> Failed:
        limit = f"{self._memory_bytes_max // 1024**2:,} MiB"
        text = f"The job's own process used more than {limit} of memory and was ended, with all that it had started."
        return Failed(errors.JOB_CRASHED, text, text)


def _memory_bytes_max() -> int:
    """ADJOURN_ISOLATED_MEMORY_MIB: how much memory the process of an isolated job may use."""
    text = os.environ.get("ADJOURN_ISOLATED_MEMORY_MIB")
    if text is None:
        return config.JOB_MEMORY_BYTES_MAX
    if not text.isdigit() or int(text) < 1:
        raise errors.InvalidRequest(f"ADJOURN_ISOLATED_MEMORY_MIB must be a whole number from 1, found '{text[:40]}'.")
    return int(text) * 1024 * 1024
