"""Simulated processes around one SQLite file: clients that enqueue, workers that run, duties; and what must hold.

A *slot* is a place where a process runs; when it is killed, the next one starts there on the same file. The first slot
has clients and workers, a second one (in every other seed) workers only. What the world knows outlives the processes:
what was meant to be enqueued, what was acknowledged, which runs were seen.
"""

from __future__ import annotations

import fcntl
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import apsw
import msgspec
from tests.simulation.scheduler import Process, Scheduler

from adjourn import config, runtime
from adjourn.jobs import explain, queue
from adjourn.jobs.model import REQUEST, ClaimedJob, Continue, Outcome, Postpone, Retry, Settlement, Succeeded
from adjourn.jobs.states import State
from adjourn.pipeline.call import Call, Request
from adjourn.service import Service
from adjourn.store import faults, lock_files, turn
from adjourn.store.sqlite import SqliteStore
from adjourn.worker.duties import duties

_BATCHES = 12
_CLIENTS = 2
_WORKERS = 3
_LARGE = 1_000
"""From here on a payload goes to a file, so that the crash of files is simulated without megabytes."""
_LOOK_SECONDS = 0.5
_OPEN_KEYS = """
    SELECT count(*) FROM asyncoperation WHERE serialkey = :key AND sequence < :sequence AND statecode <> 3"""
_JOBS = """
    SELECT a.asyncoperationid, a.sequence, a.statecode, a.statuscode, a.dependencytoken, a.worker, a.lease, a.datablobid, t.data
    FROM asyncoperation a LEFT JOIN asyncoperationtext t ON t.asyncoperationsequence = a.sequence
    WHERE a.operationtype = 54 ORDER BY a.sequence"""


@dataclass
class Batch:
    """Jobs that a client enqueues in one transaction."""

    number: int
    parts: list[dict[str, Any]]
    """token, wait (seconds to postpone), pad (characters of payload)"""
    client: int
    ids: list[UUID] = field(default_factory=list)
    """Set when the service has acknowledged it."""


@dataclass
class Run:
    """One run of a job, as its handler sees it."""

    job: UUID
    sequence: int
    token: str | None
    process: Process
    ended: bool = False
    settled: str | None = None
    """The outcome that the queue has acknowledged."""


class World:
    """What is there besides the processes, and all that is asserted."""

    def __init__(self, seed: int, path: Path, *, keep_trace: bool = False) -> None:
        self.path = path
        self.scheduler = Scheduler(seed, keep_trace=keep_trace)
        self.dice = random.Random(f"{seed} world")
        self.slots = ["a", "b"][: 1 + self.dice.randrange(2)]
        self.kills_left = self.dice.randint(3, 9)
        self.kills: list[str] = []
        self.runs: list[Run] = []
        self.succeeded: set[UUID] = set()
        self.batches = [self._batch(number) for number in range(_BATCHES)]
        self._tried: set[int] = set()
        self.open_slots = len(self.slots)
        self._connections: dict[Process, list[apsw.Connection]] = {}
        self._descriptors: dict[int, Process] = {}
        self._generations = 0
        self._faults_left, self._steps_left = self._lifetime()
        self.scheduler.peril = self._dies
        self.scheduler.on_death = self._give_back

    def play(self) -> None:
        """Run until all is done, then examine what is there."""
        with self._arranged():
            for slot in self.slots:
                self._start(slot)
            self.scheduler.run(lambda: self.open_slots == 0)
            self.kills_left = 0
            done: list[bool] = []
            self.scheduler.start(Process("examiner"), self._examine, done, name="main")
            self.scheduler.run(lambda: bool(done))

    # Life and death

    def _start(self, slot: str) -> None:
        self._generations += 1
        process = Process(f"{slot}{self._generations}")
        self.scheduler.start(process, Program(self, process, clients=slot == "a").main, name="main")

    def _lifetime(self) -> tuple[int, int]:
        """After how many fault points, and after how many steps, somebody dies: whichever comes first."""
        return self.dice.randint(1, 60), self.dice.randint(50, 4000)

    def _dies(self, process: Process, moment: str) -> bool:
        if not self.kills_left:
            return False
        if moment == "step":
            self._steps_left -= 1
        else:
            self._faults_left -= 1
        if self._steps_left > 0 and self._faults_left > 0:
            return False
        self._faults_left, self._steps_left = self._lifetime()
        self.kills_left -= 1
        self.kills.append(moment)
        return True

    def _give_back(self, process: Process) -> None:
        """What the kernel does for a dead process; then the next one starts."""
        for connection in self._connections.pop(process, []):
            try:
                # A dead process does not copy its log into the database: the next one finds and recovers it.
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            except apsw.ConnectionClosedError:
                continue
            connection.close(force=True)
        for descriptor, owner in list(self._descriptors.items()):
            if owner is process:
                # `mmap` holds a copy of the descriptor, and with it the lock, for as long as the map lives.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)
        if process.name[0] in self.slots and self.open_slots and self._replace:
            self._start(process.name[0])

    @contextmanager
    def _arranged(self) -> Iterator[None]:
        self._replace = True
        with ExitStack() as stack:
            stack.enter_context(runtime.use(self.scheduler))
            stack.enter_context(faults.listening(self.scheduler.at_fault))
            stack.enter_context(mock.patch.object(config, "DATA_INLINE_BYTES_MAX", _LARGE))
            stack.enter_context(mock.patch.object(turn, "fcntl", _Flock(self.scheduler)))
            # A number is given again as soon as it is closed, to SQLite for one: what is closed is nobody's any more.
            stack.enter_context(mock.patch.object(os, "close", partial(self._closed, os.close)))
            for module in (turn, lock_files):
                stack.enter_context(mock.patch.object(module, "_open", partial(self._opened, module._open)))
            try:
                yield
            finally:
                self._replace = False
                self.scheduler.abandon()

    def _opened(self, open_: Callable[[Path], int], path: Path) -> int:
        descriptor = open_(path)
        self._descriptors[descriptor] = self.scheduler.here().process
        return descriptor

    def _closed(self, close: Callable[[int], None], descriptor: int) -> None:
        self._descriptors.pop(descriptor, None)
        close(descriptor)

    def connected(self, connection: apsw.Connection) -> None:
        self._connections.setdefault(self.scheduler.here().process, []).append(connection)

    # What clients want

    def _batch(self, number: int) -> Batch:
        dice = self.dice
        parts = [
            {
                "token": dice.choice((None, None, "red", "green")),
                "wait": dice.choice((0, 0, 0, dice.uniform(0.1, 8))),
                "pad": dice.choice((0, 0, 0, 2 * _LARGE)),
            }
            for _ in range(dice.randint(1, 4))
        ]
        return Batch(number, parts, client=dice.randrange(_CLIENTS))

    def next_batch(self, client: int) -> Batch | None:
        """Each is tried once: one whose client died before the answer may be there or not, but not in part."""
        for batch in self.batches:
            if batch.client == client and batch.number not in self._tried:
                self._tried.add(batch.number)
                return batch
        return None

    @property
    def all_tried(self) -> bool:
        return len(self._tried) == len(self.batches)

    # What must hold at every moment

    def begun(self, job: ClaimedJob, process: Process, text: str, earlier_open: int) -> Run:
        token = job.serial_key
        assert job.id not in self.succeeded, f"job {job.sequence} runs again after its success was acknowledged"
        for other in self.runs:
            alive = other.process.alive and not other.ended
            assert not (alive and other.job == job.id), f"job {job.sequence} runs twice at the same time"
            assert not (alive and token and other.token == token), f"two jobs of {token} run at the same time"
        assert earlier_open == 0, f"job {job.sequence} runs before {earlier_open} earlier jobs of {token} have ended"
        found = msgspec.json.decode(text)
        batch = self.batches[found["batch"]]
        assert len(found["pad"]) == batch.parts[found["part"]]["pad"]
        run = Run(job.id, job.sequence, token, process)
        self.runs.append(run)
        self.scheduler.note(f"job {job.sequence} runs")
        return run

    # What must hold at the end

    def _examine(self, done: list[bool]) -> None:
        store = Store(self)
        store.sweep_files(runtime.now())
        with store.read() as reader:
            assert explain.examine(reader) == []
            rows = reader.rows(_JOBS)
            assert queue.workers(reader) == []
        assert store.dead_workers(runtime.now()) == []
        texts = {row[0]: row[8] if row[7] is None else store.files.read(UUID(row[7])).decode() for row in rows}
        there = {row[0]: msgspec.json.decode(texts[row[0]]) for row in rows}
        files = {str(file_id) for batch in store.files.batches() for file_id in batch}
        assert files == {row[7] for row in rows if row[7] is not None}, "files and rows do not match"
        seen = {str(run.job) for run in self.runs if run.ended}
        for row in rows:
            assert (row[2], row[3]) == (int(State.COMPLETED), 30), f"job {row[1]} stands at {row[2]}/{row[3]}"
            assert (row[5], row[6]) == (None, None), f"job {row[1]} is still held"
            assert row[0] in seen, f"job {row[1]} never ran"
        places: dict[int, list[int]] = {}
        for job, found in there.items():
            places.setdefault(found["batch"], []).append(found["part"])
            if self.batches[found["batch"]].ids:
                assert UUID(job) == self.batches[found["batch"]].ids[found["part"]]
        for batch in self.batches:
            parts = places.get(batch.number, [])
            assert parts in ([], list(range(len(batch.parts)))), f"batch {batch.number} is there in part: {parts}"
            assert parts or not batch.ids, f"batch {batch.number} was acknowledged and is gone"
        for token in ("t:red", "t:green"):
            order = [run.sequence for run in self.runs if run.token == token]
            assert order == sorted(order), f"{token} ran out of order: {order}"
        store.close()
        done.append(True)


class Store(SqliteStore):
    """The real one, whose connections the world knows. Nothing is synced: a killed process loses no written page."""

    def __init__(self, world: World) -> None:
        self._world = world
        super().__init__(world.path, f"sqlite:///{world.path}")

    def _connect(self, pragmas: Any) -> apsw.Connection:
        connection = super()._connect(pragmas)
        self._world.connected(connection)
        connection.execute("PRAGMA synchronous=OFF")
        return connection


class Program:
    """What one simulated process does."""

    def __init__(self, world: World, process: Process, *, clients: bool) -> None:
        self._world = world
        self._process = process
        self._clients = clients
        self._stopping = False
        self._enqueuing = _CLIENTS if clients else 0

    def main(self) -> None:
        store = self._store = Store(self._world)
        service = self._service = Service(store)
        worker = self._worker = runtime.new_id()
        store.hold_worker(worker, "host", 1)
        self._bell = runtime.bell()
        store.on_change(self._bell.ring)
        threads = [runtime.spawn(self._work, name=f"worker{number}") for number in range(_WORKERS)]
        threads.append(runtime.spawn(self._do_duties, name="duties"))
        if self._clients:
            threads += [runtime.spawn(self._enqueue, number, name=f"client{number}") for number in range(_CLIENTS)]
        while not self._done(service):
            runtime.sleep(_LOOK_SECONDS)
        self._stopping = True
        for thread in threads:
            self._bell.ring()
            thread.join()
        store.release_worker(worker)
        store.close()
        self._world.scheduler.note("closed")
        self._world.open_slots -= 1

    def _done(self, service: Service) -> bool:
        if not self._world.all_tried or self._enqueuing:
            return False
        with service.store.read() as reader:
            return reader.rows("SELECT count(*) FROM asyncoperation WHERE statecode <> 3")[0][0] == 0

    def _enqueue(self, number: int) -> None:
        call = Call(caller=self._service.administrator())
        while (batch := self._world.next_batch(number)) is not None:
            items = []
            for part, wish in enumerate(batch.parts):
                arguments = {"batch": batch.number, "part": part, "pad": "x" * wish["pad"]}
                until = runtime.now() + timedelta(seconds=wish["wait"]) if wish["wait"] else None
                items.append(
                    (Request("WhoAmI", arguments), {"dependency_token": wish["token"], "postpone_until": until})
                )
            batch.ids = self._service.enqueue(items, call)
            self._world.scheduler.note(f"batch {batch.number} acknowledged")
            runtime.sleep(runtime.random().uniform(0, 2))
        self._enqueuing -= 1

    def _work(self) -> None:
        store = self._store
        while not self._stopping:
            claimed = store.write(
                partial(
                    queue.claim,
                    operation_types=[REQUEST],
                    limit=runtime.random().randint(1, 3),
                    worker=str(self._worker),
                )
            )
            for job in claimed:
                run = self._begin(job)
                runtime.sleep(runtime.random().choice((0.0, 0.01, runtime.random().uniform(0, 1.5))))
                run.ended = True
                outcome = self._outcome(job)
                settled = store.write(partial(queue.settle, settlements=[Settlement(job, outcome, 0.1)]))
                assert settled.refused == [], f"the lease of job {job.sequence} was taken from a living worker"
                if isinstance(outcome, Succeeded):
                    self._world.succeeded.add(job.id)
                self._world.scheduler.note(f"job {job.sequence} settled: {type(outcome).__name__}")
                if settled.woke:
                    self._bell.ring()
            if not claimed:
                self._bell.wait(config.POLL_SECONDS)

    def _begin(self, job: ClaimedJob) -> Run:
        with self._store.read() as reader:
            earlier = 0
            if job.serial_key is not None:
                earlier = reader.rows(_OPEN_KEYS, {"key": job.serial_key, "sequence": job.sequence})[0][0]
            text = job.data if job.data_file is None else reader.read_file(job.data_file).decode()
        assert text is not None
        return self._world.begun(job, self._process, text, earlier)

    def _outcome(self, job: ClaimedJob) -> Outcome:
        dice = runtime.random().random()
        if dice < 0.08 and job.retry_count < 2:
            return Retry("again", 1.0)
        if dice < 0.14:
            return Continue("further")
        if dice < 0.2:
            return Postpone(runtime.now() + timedelta(seconds=2))
        return Succeeded()

    def _do_duties(self) -> None:
        def lost() -> None:
            raise AssertionError(f"{self._process.name} was taken for dead")

        table = duties(self._service, self._worker, self._bell.ring, lost)
        moments = dict.fromkeys(table, runtime.now())
        while not self._stopping:
            for name, duty in table.items():
                if moments[name] <= runtime.now():
                    moments[name] = duty(runtime.now())
            pause = (min(moments.values()) - runtime.now()).total_seconds()
            runtime.sleep(min(max(pause, 0.001), config.POLL_SECONDS))


class _Flock:
    """`fcntl` for the writer's turn: a blocking flock would stop the whole world, so it is asked for again and again."""

    LOCK_EX, LOCK_NB, LOCK_UN = fcntl.LOCK_EX, fcntl.LOCK_NB, fcntl.LOCK_UN

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def flock(self, descriptor: int, operation: int) -> None:
        if operation != fcntl.LOCK_EX:
            fcntl.flock(descriptor, operation)
            return
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                self._scheduler.sleep(0.0002)
