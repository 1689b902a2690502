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
from adjourn.jobs import queue, schedules
from adjourn.operations import orphans
from adjourn.service import Service

log = structlog.get_logger("adjourn.duties")
Duty = Callable[[datetime], datetime]
_PROMOTE_BATCH = 1000
_SWEEP_FILES_SECONDS = 600.0
_ORPHANS_FIRST_SECONDS = 900.0


ALONE = ("promote_due", "beat")
"""Duties that have a loop of their own: neither a moment that people chose nor the sign of life may wait for a long sweep."""


def duties(
    service: Service,
    worker_id: UUID,
    wake: Callable[[], None],
    lost: Callable[[], None],
    promoted: Callable[[int], None] | None = None,
) -> Mapping[str, Duty]:
    """The table. wake: there may be Ready jobs now. lost: this worker was taken for dead and must stop.

    promoted: hears the lowest sequence of jobs whose moment has come.
    """
    store = service.store

    def promote_due(now: datetime) -> datetime:
        # How long until it is due is a difference by one clock, the store's: hosts need not agree on the time.
        pause = next_due()
        if pause is not None and pause <= 0:
            found = store.write(lambda tx: schedules.promote_due(tx, _PROMOTE_BATCH))
            if found.lowest is not None and promoted is not None:
                promoted(found.lowest)
            if found.number:
                wake()
            if found.more:
                return now
            pause = next_due()
        pause = config.POLL_SECONDS if pause is None else min(max(pause, 0.0), config.POLL_SECONDS)
        return now + timedelta(seconds=pause)

    def next_due() -> float | None:
        with store.read() as reader:
            due = queue.next_due(reader)
            return (due - reader.now).total_seconds() if due is not None else None

    def beat(now: datetime) -> datetime:
        if not store.beat(worker_id):
            lost()
        return now + timedelta(seconds=config.BEAT_SECONDS)

    def rescue(now: datetime) -> datetime:
        if not store.judges():
            return now + timedelta(seconds=config.BEAT_SECONDS)
        for worker in store.dead_workers(now):
            rescued = store.write(partial(queue.rescue, dead=[worker]))
            store.release_worker(UUID(worker))
            log.warning("gave back the jobs of a dead worker", worker=worker, jobs=rescued)
            wake()
        with store.read() as reader:
            holders = queue.workers(reader)
        # A worker that holds jobs but that nobody knows any more died before anybody looked.
        gone = sorted(set(holders) - store.living(holders))
        if gone:
            rescued = store.write(lambda tx: queue.rescue(tx, gone))
            log.warning("gave back the jobs of dead workers", workers=gone, jobs=rescued)
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
        "promote_due": promote_due,
        "rescue": rescue,
        "fold": fold,
        "sweep_files": sweep_files,
        "configuration": configuration,
        "orphans": look_for_orphans,
    }
