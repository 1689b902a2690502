"""What came back from runs, until it is written: outcomes and trace logs, gathered from whichever thread they come.

Nothing is lost while the database is away: what could not be written waits here for the next try.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import structlog

from adjourn import runtime
from adjourn.errors import AdjournError
from adjourn.jobs import queue
from adjourn.jobs.model import Outcome, Settled, Settlement
from adjourn.pipeline import handlers, tracing
from adjourn.service import Service
from adjourn.store import faults
from adjourn.store.contract import Transaction
from adjourn.worker import traces
from adjourn.worker.process import Running

log = structlog.get_logger("adjourn.worker")
Ended = tuple[Running, float, Outcome]
"""A run, how many seconds it took, and what became of it."""
Batch = tuple[list[Settlement], list[tracing.TraceLog]]


class Settling:
    """The outcomes of one supervisor."""

    def __init__(self, service: Service, ring: Callable[[], None]) -> None:
        self._service = service
        self._ring = ring
        self._guard = runtime.lock()
        self._settlements: list[Settlement] = []
        self._traces: list[tracing.TraceLog] = []

    def finished(self, settlements: Sequence[Settlement]) -> None:
        """Have these settled soon."""
        faults.point("outcome")
        with self._guard:
            self._settlements.extend(settlements)
        self._ring()

    def ended(self, done: Sequence[Ended]) -> None:
        """Runs that have ended: an atomic one settles itself, with its writes."""
        settlements = []
        for running, seconds, outcome in done:
            if running.atomic is not None:
                running.atomic.end(outcome, seconds)
            else:
                settlements.append(Settlement(running.job, outcome, seconds))
        if settlements:
            self.finished(settlements)

    def trace(self, done: Sequence[Ended]) -> None:
        """Keep what these runs said, if the organization wants it."""
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

    def take(self) -> Batch:
        """What is to be written now; who cannot write it gives it back."""
        with self._guard:
            settlements, self._settlements = self._settlements, []
            logs, self._traces = self._traces, []
        return settlements, logs

    def give_back(self, batch: Batch) -> None:
        """It could not be written: it comes first the next time."""
        with self._guard:
            self._settlements[:0] = batch[0]
            self._traces[:0] = batch[1]

    def write(self, tx: Transaction, batch: Batch) -> Settled:
        """Write a batch inside a unit."""
        tracing.insert(tx, self._service.catalog, batch[1])
        return queue.settle(tx, batch[0])

    def settle_last(self, given_back: Sequence[Settlement] = ()) -> None:
        """Write what there is, when no turn will follow."""
        settlements, logs = self.take()
        settlements += given_back
        if not settlements and not logs:
            return
        try:
            self._service.store.write(partial(self.write, batch=(settlements, logs)))
            self._service.store.wake()
        except AdjournError as error:  # who finds this worker gone will give the jobs back
            log.error("the last outcomes could not be written", jobs=len(settlements), error=error.message)

    def settle_singly(self) -> None:
        """What cannot be settled together is settled one by one; a run whose outcome cannot be written has failed."""
        store = self._service.store
        settlements, _ = self.take()
        for settlement in settlements:
            try:
                store.write(partial(queue.settle, settlements=[settlement]))
            except AdjournError:
                with self._guard:
                    self._settlements.append(settlement)
            except Exception as error:
                log.exception("an outcome cannot be written", job=str(settlement.job.id))
                failed = Settlement(settlement.job, handlers.failure(error), settlement.seconds)
                try:
                    store.write(partial(queue.settle, settlements=[failed]))
                except Exception:  # not the outcome's fault, then: it waits for the next try
                    with self._guard:
                        self._settlements.append(settlement)
