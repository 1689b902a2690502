"""What must be done again and again: a table of functions `duty(now) -> next moment`, run by one loop.

Promote what is due, beat, rescue the jobs of the dead, fold the counts, sweep forgotten files, mend orphans, see
what was registered. Each is safe to run on any
number of hosts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from adjourn import config
from adjourn.jobs import queue
from adjourn.operations import orphans
from adjourn.service import Service
from adjourn.store.contract import Store, Transaction
from adjourn.worker.due import Duty, due_duties

log = structlog.get_logger("adjourn.duties")
_SWEEP_FILES_SECONDS = 600.0
_ORPHANS_FIRST_SECONDS = 900.0


ALONE = ("promote_due", "prepare_due", "beat")
"""Duties that have a loop of their own: neither a moment that people chose nor the sign of life may wait for a long sweep."""


def duties(
    service: Service,
    worker_id: UUID,
    wake: Callable[[], None],
    lost: Callable[[], None],
    promoted: Callable[[int], None] = lambda sequence: None,
) -> Mapping[str, Duty]:
    """The table. wake: there may be Ready jobs now. lost: this worker was taken for dead and must stop.

    promoted: hears the lowest sequence of jobs whose moment has come.
    """
    store = service.store

    def beat(now: datetime) -> datetime:
        if not store.beat(worker_id):
            lost()
        return now + timedelta(seconds=config.BEAT_SECONDS)

    def rescue(now: datetime) -> datetime:
        with store.read() as reader:
            holders = queue.workers(reader)
        # A worker that holds jobs but that nobody knows any more died before anybody looked. Not this one, which looks: on a
        # machine so busy that its own last beat is old, it would give back what it is at.
        dead = {*store.dead_workers(now), *holders} - store.living(holders) - {str(worker_id)}
        if not store.judges():
            dead.clear()
        for worker in sorted(dead):
            rescued = store.write(partial(_bury, store, worker))
            if rescued is not None:
                log.warning("gave back the jobs of a dead worker", worker=worker, jobs=rescued)
                wake()
        return now + timedelta(seconds=config.BEAT_SECONDS)

    def fold(now: datetime) -> datetime:
        if store.dialect == "postgres":
            store.write(queue.fold)
        return now + timedelta(seconds=config.SWEEP_SECONDS)

    def sweep_files(now: datetime) -> datetime:
        removed = store.sweep_files(now)
        if removed:
            log.info("removed forgotten files", files=removed)
        return now + timedelta(seconds=_SWEEP_FILES_SECONDS)

    looked: list[datetime] = []

    def look_for_orphans(now: datetime) -> datetime:
        if not looked:
            # Not while everything starts: there is no hurry.
            looked.append(now)
            return now + timedelta(seconds=_ORPHANS_FIRST_SECONDS)
        orphans.scan(service, now)
        return now + orphans.EVERY

    def configuration(now: datetime) -> datetime:
        # What runs leave a trace log, which steps there are: changed by whom, and in which process, ever.
        service.registry.refresh()
        return now + timedelta(seconds=config.POLL_SECONDS)

    return {
        "beat": beat,
        **due_duties(store, wake, promoted),
        "rescue": rescue,
        "fold": fold,
        "sweep_files": sweep_files,
        "configuration": configuration,
        "orphans": look_for_orphans,
    }


def _bury(store: Store, worker: str, tx: Transaction) -> int | None:
    """Give back the jobs of a dead worker, which is forgotten by the same unit; None if it has been heard of after all.

    Were it forgotten in a second unit, it could beat, and claim, in between: jobs that would be taken from a living worker.
    """
    return queue.rescue(tx, [worker]) if store.forget_dead(tx, worker) else None
