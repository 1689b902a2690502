"""A crowd on PostgreSQL: many hosts' threads at once on one database, and the history checker over it.

`python -m tests.broken.crowd SEED` plays a few seconds; status 1 and the violations, if there are any. The seed decides what
everybody wants; the order of things is the database's, so what is wrong is found within some seeds, not in a given one.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from tests.proof import audit
from tests.proof.checker import violations
from tests.proof.violations import Log
from tests.simulation.people import People
from tests.support import postgres

import adjourn
from adjourn import config, runtime
from adjourn.errors import AdjournError
from adjourn.jobs import queue
from adjourn.jobs.model import (
    EVENT,
    REQUEST,
    ClaimedJob,
    Continue,
    Failed,
    Outcome,
    Postpone,
    Retry,
    Settled,
    Settlement,
    Succeeded,
)
from adjourn.service import Service
from adjourn.store import open_store
from adjourn.store.contract import Transaction
from adjourn.worker.duties import duties

_SECONDS = 6.0
_STALE_SECONDS, _DUTY_SECONDS = 1.2, 0.1
_PAUSED = 0.03
"""How often a worker is paused with the jobs that it has claimed."""
_DRAIN_SECONDS_MAX = 90.0
_HOSTS, _WORKERS, _PRODUCERS, _OPERATORS = 2, 3, 2, 1
_OPEN = (
    "SELECT count(*) FROM asyncoperation WHERE statecode IN (0, 2) OR "
    "(statecode = 1 AND NOT blocked AND postponeuntil IS NOT NULL)"
)


class Crowd:
    """All hosts together."""

    def __init__(self, seed: int, url: str) -> None:
        self.url = url
        self.dice = random.Random(f"{seed} crowd")
        self.people = People(random.Random(f"{seed} people"), batches=1_000_000, acts=1_000_000, pace=0.02)
        self.over = False
        self.stolen: list[str] = []
        self.succeeded: list[tuple[str, str]] = []
        """Runs that were told that their success is written."""
        self.failed: list[str] = []

    def play(self) -> list[str]:
        """For some seconds; what was wrong."""
        stores = [open_store(self.url) for _ in range(_HOSTS)]
        services = [Service(store) for store in stores]
        for module in ("tests.simulation.handlers", "tests.simulation.isolated_handlers"):
            services[0].register(module)
        audit.begin(stores[0])
        people, workers = [], []
        for service in services:
            people += [self._start(self.people.produce, service) for _ in range(_PRODUCERS)]
            people += [self._start(self.people.operate, service) for _ in range(_OPERATORS)]
            workers += [self._start(self._work, service) for _ in range(_WORKERS)]
        workers.append(self._start(self._forget_tokens, services[0]))
        runtime.sleep(_SECONDS)
        self.people.batches = self.people.acts = 0
        for thread in people:
            thread.join(30)
        until = runtime.monotonic() + _DRAIN_SECONDS_MAX
        while runtime.monotonic() < until and self._left(services[0]):
            runtime.sleep(0.1)
        self.over = True
        for thread in workers:
            thread.join(30)
        memory = self.people.memory
        log = Log(
            # Its workers run nothing, so nobody's handler writes anything.
            batches=[dataclasses.replace(wish.batch(), parts=0) for wish in memory.wishes],
            acts=memory.acts,
            deletions_tried=memory.deletions_tried,
        )
        found = [str(violation) for violation in violations(stores[0], log)]
        with stores[0].read() as reader:
            ends = {(entry.job, entry.was_lease) for entry in audit.read(reader) if entry.became in (30, 32, None)}
        found += [
            f"job {job} did not succeed under lease {lease}"
            for job, lease in self.succeeded
            if (job, lease) not in ends
        ]
        for store in stores:
            store.close()
        deleted = {str(act.job) for act in memory.acts}
        return [*found, *self.failed, *(text for text in self.stolen if text.split()[-1] not in deleted)]

    def _start(self, function: Callable[[Service], None], service: Service) -> runtime.Thread:
        def run() -> None:
            try:
                function(service)
            except BaseException as error:
                self.failed.append(f"{type(error).__name__}: {error}")

        return runtime.spawn(run, name="crowd")

    def _left(self, service: Service) -> bool:
        with service.store.read() as reader:
            return bool(reader.rows(_OPEN)[0][0])

    def _work(self, service: Service) -> None:
        """One worker, with its own beat and its own duties. Now and then it is paused for so long that it is taken for dead."""
        while not self.over:
            worker, began = runtime.new_id(), runtime.monotonic()
            service.store.hold_worker(worker, "host", 1)
            self._work_as(service, worker, began)
            service.store.release_worker(worker)

    def _work_as(self, service: Service, worker: UUID, beaten: float) -> None:
        lost: list[bool] = []
        table = duties(service, worker, lambda: None, lambda: lost.append(True))
        moments = dict.fromkeys(("promote_due", "beat", "rescue"), 0.0)
        paused = late = False
        while not self.over and not paused and not lost:
            for name in moments:
                began = runtime.monotonic()
                if moments[name] <= began:
                    table[name](runtime.now())
                    moments[name] = runtime.monotonic() + _DUTY_SECONDS
                    if name == "beat":
                        late = late or began - beaten > _STALE_SECONDS
                        beaten = began
            claim = partial(
                queue.claim, operation_types=[EVENT, REQUEST], limit=self.dice.randint(1, 5), worker=str(worker)
            )
            claimed: list[ClaimedJob] = self._persistently(service, claim)
            paused = bool(claimed) and self.dice.random() < _PAUSED
            runtime.sleep(self.dice.uniform(0.5, 2.0) * _STALE_SECONDS if paused else self.dice.uniform(0, 0.01))
            for job in claimed:
                outcome = self._outcome()
                settle = partial(queue.settle, settlements=[Settlement(job, outcome, 0.01)])
                settled: Settled = self._persistently(service, settle)
                if settled.accepted and isinstance(outcome, Succeeded):
                    self.succeeded.append((str(job.id), job.lease))
                # On a busy machine any worker may be late with its beat, and its jobs are taken then or a little later; only
                # one that never was late must keep what it holds.
                if settled.refused and not late and runtime.monotonic() - beaten < _STALE_SECONDS:
                    self.stolen.append(f"nobody deleted it, and its lease is gone: {job.id}")

    def _persistently(self, service: Service, unit: Callable[[Transaction], Any]) -> Any:
        for _ in range(20):
            try:
                return service.store.write(unit)
            except AdjournError:  # the database was busy or saw a deadlock: nothing was written
                runtime.sleep(0.01)
        return service.store.write(unit)

    def _outcome(self) -> Outcome:
        dice = self.dice.random()
        if dice < 0.05:
            return Retry("again", 0.05)
        if dice < 0.1:
            return Continue("on")
        if dice < 0.15:
            return Postpone(runtime.now())
        return Failed(1, "no", "no") if dice < 0.25 else Succeeded()

    def _forget_tokens(self, service: Service) -> None:
        """Rows of the mutex hold nothing: they may go at any time."""
        while not self.over:
            service.store.write(
                lambda tx: tx.execute(
                    "DELETE FROM token WHERE token IN (SELECT token FROM token LIMIT 2 FOR UPDATE SKIP LOCKED)"
                )
            )
            runtime.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.broken.crowd")
    parser.add_argument("seed", type=int)
    parser.add_argument("--source", type=Path)
    options = parser.parse_args()
    if options.source is not None and not Path(adjourn.__file__).is_relative_to(options.source):
        parser.error(f"the service was loaded from {adjourn.__file__}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    config.WORKER_STALE_SECONDS = _STALE_SECONDS
    cluster = postgres.cluster()
    name = cluster.create()
    try:
        crowd = Crowd(options.seed, cluster.url_of(name))
        found = crowd.play()
    finally:
        cluster.drop(name)
    memory = crowd.people.memory
    print(f"{len(memory.wishes)} batches, {len(memory.known)} jobs known, {len(memory.acts)} acts", file=sys.stderr)
    print("\n".join(found[:20]))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
