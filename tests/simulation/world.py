"""One seed: processes on one simulated machine around one SQLite file, their people and perils, and the verdict.

A *slot* is a place where a process runs; when it ends, however it does, the next one starts there on the same file.
Slot a has the service that people call, slot b (in every other seed) another one, slot s runs a script now and then.
When the people are done and all perils are over, everything that can run is run; then the world is examined.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import apsw
import structlog
from tests.proof import audit
from tests.proof.checker import violations
from tests.proof.violations import Effect, Log
from tests.simulation import aftermath, customizers, handlers, long_work, programs, rules, victims
from tests.simulation.machine import Machine
from tests.simulation.orders import Orders
from tests.simulation.people import LARGE, People
from tests.simulation.perils import Perils
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.store import Store

from adjourn import config, runtime
from adjourn.jobs import explain, queue
from adjourn.jobs import orphans as jobs_orphans
from adjourn.jobs.classes import SLOT_CLASSES
from adjourn.jobs.model import REQUEST
from adjourn.jobs.queue import workers
from adjourn.metadata.values import moment_text
from adjourn.operations import chunks, orphans
from adjourn.service import Service
from adjourn.store import faults, wal
from adjourn.worker import duties, pool

MODULES = ("tests.simulation.handlers", "tests.simulation.isolated_handlers", "tests.simulation.victims")
_LOOK_SECONDS = 0.5
_RESTART_SECONDS_MAX = 1.5
_SCRIPT_SECONDS = 6.0
_SECONDS_MAX = 900.0
_SOON_SECONDS = 60.0
"""What is due within this time is waited for at the end."""
_SMALL: tuple[tuple[Any, str, Any], ...] = (
    (chunks, "_ROWS_FIRST", 2),
    (chunks, "_ROWS_MAX", 5),
    (chunks, "READ_AHEAD_ROWS", 4),
    (duties, "_ORPHANS_FIRST_SECONDS", 4.0),
    (orphans, "EVERY", timedelta(seconds=15)),
    (jobs_orphans, "FOUND_TOGETHER", 3),
    (pool, "_AHEAD_BYTES_MAX", 2 * LARGE),
)
"""Limits that a small world is to meet as well."""
_STEP_PAGES, _LIMIT_PAGES = 60, 120
_AHEAD_SHARE = 0.4
"""Of the worlds: workers take jobs ahead of their slots, as they do where runs are short."""
_FORESEEN = frozenset(
    (
        "an executor died",
        "a group of writes was lost and is run again",
        "the database is in doubt; restart to recover it",
        "the last outcomes could not be written",  # the disk is full at a stop: whoever finds the worker gone gives its jobs back
    )
)
"""What the service may say in a loud voice: perils that it has met. Anything else of that kind is a finding."""
_OPEN = (
    "SELECT count(*) FROM asyncoperation s WHERE statecode IN (0, 2) OR (statecode = 1 AND NOT blocked AND "
    "postponeuntil < ? AND NOT EXISTS (SELECT 1 FROM asyncoperation r WHERE r.scheduleid = s.asyncoperationid AND "
    "r.statecode < 3))"
)
"""What can still run; a schedule whose run was paused waits for whoever resumes it."""
_DIARIES = (
    "CREATE TABLE proofwrite (jobid TEXT, run TEXT, lease TEXT)",
    f"""CREATE TRIGGER proofwrite_contact AFTER INSERT ON contact WHEN new.lastname = '{handlers.PLAIN}' BEGIN
        INSERT INTO proofwrite SELECT substr(new.description, 1, 36), substr(new.description, 38),
            (SELECT lease FROM asyncoperation WHERE asyncoperationid = substr(new.description, 1, 36) AND statecode = 2);
    END""",
    "CREATE TABLE proofjob (jobid TEXT, operationtype INTEGER, regarding TEXT, name TEXT)",
    """CREATE TRIGGER proofjob_insert AFTER INSERT ON asyncoperation BEGIN
        INSERT INTO proofjob VALUES (new.asyncoperationid, new.operationtype, new.regardingobjectid, new.name);
    END""",
    "CREATE TABLE prooftheft (jobid TEXT, worker TEXT)",
    """CREATE TRIGGER prooftheft_lease AFTER UPDATE OF lease ON asyncoperation
    WHEN old.lease IS NOT NULL AND old.lease IS NOT new.lease AND proof_theft(old.worker) BEGIN
        INSERT INTO prooftheft VALUES (old.asyncoperationid, old.worker);
    END""",
)
"""Beside the diary of states: under which lease each write of a handler was made, what each job is and what caused it, and
which leases were taken from workers that live."""


@dataclass
class Report:
    """What one seed did."""

    seed: int
    steps: int = 0
    seconds: float = 0.0
    statements: int = 0
    jobs: int = 0
    trace: str = ""
    perils: Counter[str] = field(default_factory=Counter)
    transitions: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def make_template(path: Path) -> None:
    """An organization with the simulated messages and step registered; the same bytes of meaning each time."""
    scheduler = Scheduler("template")
    machine = Machine(scheduler, programs.executor)
    done: list[bool] = []

    def main() -> None:
        store = Store(path, machine)
        service = Service(store)
        for module in MODULES:
            service.register(module)
        audit.begin(store)
        for statement in (*_DIARIES, *long_work.DIARIES):
            store.write(lambda tx, statement=statement: tx.execute(statement))
        store.write(lambda tx: queue.load_history(tx, [_imported()]))
        store.close()
        done.append(True)

    with runtime.use(scheduler), machine.running():
        scheduler.start(Process("template"), main, name="main")
        scheduler.run(lambda: bool(done))
        scheduler.abandon()


def _imported() -> dict[str, Any]:
    """A schedule from elsewhere, which is due and whose pattern is none: it can only end, and must be in nobody's way."""
    moment = moment_text(runtime.now())
    return {
        "asyncoperationid": str(runtime.new_id()), "operationtype": REQUEST, "name": "imported", "messagename": "work",
        "depth": 1, "ownerid": config.ADMIN_USER_ID, "owneridtype": "systemuser", "owninguser": config.ADMIN_USER_ID,
        "owningbusinessunit": config.ROOT_BUSINESS_UNIT_ID, "createdby": config.ADMIN_USER_ID, "createdon": moment,
        "modifiedby": config.ADMIN_USER_ID, "modifiedon": moment, "statecode": 1, "statuscode": 10,
        "waitreason": "schedule", "recurrencepattern": "FREQ=NEVER", "postponeuntil": moment,
        "correlationid": str(runtime.new_id()), "correlationupdatedtime": moment,
    }  # fmt: skip


class World:
    """See the module. folder: an empty one. template: made by `make_template`."""

    def __init__(self, seed: int, folder: Path, template: Path, *, keep_trace: bool = False) -> None:
        self.seed = seed
        self.path = folder / "adjourn.db"
        shutil.copyfile(template, self.path)
        self.scheduler = Scheduler(seed, keep_trace=keep_trace)
        self.machine = Machine(self.scheduler, programs.executor)
        self.dice = random.Random(f"{seed} world")
        wishes = random.Random(f"{seed} people")
        self.orders = Orders(random.Random(f"{seed} orders"), deletes=wishes.randint(0, 2))
        changes = wishes.choice((0, 0, 0, 0, 6))
        self.customizers = customizers.Customizers(random.Random(f"{seed} customizers"), changes=changes)
        self.people = People(
            wishes,
            batches=wishes.randint(4, 9),
            acts=wishes.randint(10, 30),
            orders=self.orders,
            customizers=self.customizers,
        )
        self.perils = Perils(random.Random(f"{seed} perils"), self.scheduler, self.machine, self._ask_to_stop)
        self.slots = ["a", "b"][: 1 + self.dice.randrange(2)]
        self.limited = self.dice.choice((*SLOT_CLASSES, None, None, None))
        """Of this class at most two jobs run at a time."""
        self.finished = False
        self.at_work: list[runtime.Thread] = []
        """Producers and operators, those of processes that have ended among them."""
        self._processes: dict[str, Process] = {}
        self._stopping: set[Process] = set()
        self._generations = 0
        self._runs = 0
        self._heard: list[str] = []
        self.scheduler.on_death = self._died

    def play(self) -> Report:
        """Run until all is done, then examine what is there. Raises what any simulated thread raised."""
        report = Report(self.seed)
        with self._arranged():
            for slot in self.slots:
                self._start(slot)
            self.scheduler.at(self.dice.uniform(1, _SCRIPT_SECONDS), partial(self._start, "s"))
            self.scheduler.at(_LOOK_SECONDS, self._look)
            self.scheduler.run(
                lambda: self.finished and not any(found.alive for found in self._processes.values()), _SECONDS_MAX
            )
            done: list[bool] = []
            self.scheduler.start(Process("examiner"), self._examine, report, done, name="main")
            self.scheduler.run(lambda: bool(done), _SECONDS_MAX * 2)
        report.steps, report.seconds = self.scheduler.steps, self.scheduler.time
        report.statements = self.machine.statements
        report.trace = self.scheduler.trace_hash()
        report.perils = self.perils.counts
        report.refused = self.people.memory.refused
        report.acts = Counter(str(act.action) for act in self.people.memory.acts)
        report.acts.update(self.orders.memory.done)
        report.acts.update({f"metadata, {name}": count for name, count in self.customizers.done.items()})
        report.violations += [*self._heard, *self.machine.complaints]
        return report

    # Life and death

    def asked_to_stop(self, process: Process) -> bool:
        return self.finished or process in self._stopping

    def _ask_to_stop(self, process: Process) -> bool:
        if process in self._stopping or process.name[0] == "s":
            return False
        self._stopping.add(process)
        return True

    def _start(self, slot: str) -> None:
        if self.finished:
            return
        self._generations += 1
        process = self._processes[slot] = Process(f"{slot}{self._generations}")
        self.perils.services = [found for found in self._processes.values() if found.alive]
        if slot == "s":
            self.scheduler.start(process, programs.script, self, name="main")
        else:
            self.scheduler.start(process, partial(programs.serve, self, process, people=slot == "a"), name="main")

    def _died(self, process: Process) -> None:
        self.machine.take_back(process)
        slot = process.name[0]
        if self._processes.get(slot) is not process or self.finished:
            return
        pause = self.dice.uniform(0, _RESTART_SECONDS_MAX) if slot != "s" else self.dice.uniform(1, _SCRIPT_SECONDS)
        if slot != "s" or not self.people.done:
            self.scheduler.at(pause, partial(self._start, slot))

    def _look(self) -> None:
        """Whether the end has come."""
        # The last wish is taken from the list before it is fulfilled.
        script = self._processes.get("s")
        at_work = any(thread.is_alive() for thread in self.at_work) or (script is not None and script.alive)
        if self.people.done:
            # First: a clock that jumps while the last ones stop makes jobs due with nobody left to make them Ready.
            self.perils.end()
            if not at_work and self._nothing_left():
                self.finished = True
                return
        self.scheduler.at(_LOOK_SECONDS, self._look)

    def _nothing_left(self) -> bool:
        if any(found.frozen for found in (*self._processes.values(), *self.machine.executors)):
            return False
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            soon = moment_text(runtime.now() + timedelta(seconds=_SOON_SECONDS))
            (count,) = connection.execute(_OPEN, (soon,)).fetchall()[0]
            return bool(count == 0)
        except apsw.BusyError:
            return False
        finally:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.close()

    @contextmanager
    def _arranged(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(runtime.use(self.scheduler))
            stack.enter_context(self.machine.running())
            stack.enter_context(faults.listening(self.scheduler.at_fault))
            stack.enter_context(mock.patch.object(config, "DATA_INLINE_BYTES_MAX", LARGE))
            stack.enter_context(mock.patch.object(handlers, "begun", self._begun))
            # Bulk deletes of a few rows have many chunks, too, and a look for orphans comes in a world of some seconds.
            for module, name, small in _SMALL:
                stack.enter_context(mock.patch.object(module, name, small))
            if self.dice.random() < _AHEAD_SHARE:
                stack.enter_context(mock.patch.object(pool, "_SHORT_SECONDS", 0.9))
                stack.enter_context(mock.patch.object(pool, "_BATCH_MAX", self.dice.randint(2, 8)))
            limit = {f"ADJOURN_LIMIT_{self.limited.name.upper()}": "2"} if self.limited else {}
            stack.enter_context(mock.patch.dict(os.environ, limit))
            # A log that would be called short is copied already, and a reader is in its way.
            stack.enter_context(mock.patch.object(wal, "STEP_PAGES", _STEP_PAGES))
            stack.enter_context(mock.patch.object(wal, "LIMIT_PAGES", _LIMIT_PAGES))
            before = structlog.get_config()
            structlog.configure(processors=[self._hear], cache_logger_on_first_use=False)
            stack.callback(lambda: structlog.configure(**before))
            stack.callback(self.scheduler.abandon)
            yield

    def _begun(self, job: Any) -> int:
        self._runs += 1
        self.scheduler.note(f"run {self._runs} of job {job.id}")
        return self._runs

    def _hear(self, logger: Any, method: str, event: dict[str, Any]) -> Any:
        text = str(event["event"])
        error = sys.exception()
        # An executor whose supervisor went in the middle of an outcome may say that it cannot go on.
        foreseen = text in _FORESEEN or (text == "the executor cannot go on" and isinstance(error, OSError))
        if method in ("error", "critical") and not foreseen:
            told = {name: value for name, value in event.items() if name not in ("event", "exc_info")}
            self._heard.append(f"the service says: {text} {told} ({error!r})")
        self.scheduler.note(text)
        raise structlog.DropEvent

    # The verdict

    def _examine(self, report: Report, done: list[bool]) -> None:
        store = Store(self.path, self.machine)
        # What a next start would do about those that died last: their locks go. Their jobs have been run already.
        service = Service(store)
        duties.duties(service, runtime.new_id(), lambda: None, lambda: None)["rescue"](runtime.now())
        store.sweep_files(runtime.now())
        memory = self.people.memory
        with store.read() as reader:
            entries = audit.read(reader)
            effects = reader.rows("SELECT description FROM contact WHERE lastname = :label", {"label": handlers.EFFECT})
            report.violations += rules.writes(reader.rows("SELECT jobid, run, lease FROM proofwrite"))
            accounts = [row[0] for row in reader.rows("SELECT accountid FROM account")]
            sql = "SELECT regarding FROM proofjob WHERE operationtype = 1 AND name <> :behind"
            causes = [row[0] for row in reader.rows(sql, {"behind": victims.BEHIND})]
            report.violations += rules.caused(accounts, causes, memory.accounts)
            kinds = dict(reader.rows("SELECT jobid, operationtype FROM proofjob"))
            report.violations += rules.claims(entries, kinds)
            report.violations += [
                f"the lease of job {job} was taken from worker {worker}, which lives"
                for job, worker in reader.rows("SELECT jobid, worker FROM prooftheft")
            ]
            there = {row[0] for row in reader.rows("SELECT data FROM asyncoperationtext")}
            report.violations += [f"worker {found} holds jobs" for found in workers(reader)]
            report.violations += explain.examine(reader)
            report.violations += long_work.examine(reader, entries, self.orders.memory)
            report.violations += customizers.examine(reader, service, self.customizers.tables)
        report.violations += [
            f"worker {found} is dead, and its lock is there" for found in store.dead_workers(runtime.now())
        ]
        for wish in memory.wishes:
            small = [text for text in wish.texts if len(text) <= LARGE]
            if wish.ids is None and 0 < sum(text in there for text in small) < len(small):
                report.violations.append(f"a batch without an answer is there in part: {wish.texts}")
        log = Log(
            batches=[wish.batch() for wish in memory.wishes],
            acts=memory.acts,
            deletions_tried=memory.deletions_tried,
            effects=[_effect(row[0]) for row in effects],
        )
        report.violations += [str(found) for found in violations(store, log)]
        report.jobs = sum(entry.was is None for entry in entries)
        report.transitions.update(f"{entry.was} -> {entry.became}" for entry in entries if entry.was != entry.became)
        report.violations += aftermath.examine(store)
        store.close()
        done.append(True)


def _effect(text: str) -> Effect:
    job, _, part = text.partition("/")
    return Effect(UUID(job), int(part))
