"""The chunk runner: long work in short transactions, each with its cursor.

An operation says which rows come next, what is done with them, and what the result is; the runner does the rest. It
reads rows ahead in a view of its own, then takes the writer for one *chunk*: a lone unit in which each row has a
savepoint, committed together with the cursor after the row that passes 40 ms (half of one while somebody waits). So a
crash, a pause or a stop loses nothing and repeats nothing, and nobody waits for the writer longer than a chunk.

    read rows ahead                                   fault points: "rows read"
    --- chunk: the lease still holds? ---
        rows that are still what they were read as
        apply, row by row or some at once             "chunk row"
        the operation's counts, the job's cursor      "chunk kept"
    --- COMMIT ---                                    "chunk committed"
    …
    --- the last unit: the result ---                 "operation finished"

A row that is refused becomes a failure record and stops nothing. A chunk that as a whole could not be committed (its time
was up, a deadlock, a driver's error) is repeated row by row, and the row that fails alone becomes a failure record. Between
chunks the runner looks whether somebody paused, postponed or canceled the job, and whether its worker is leaving.
Nothing is written but through the pipeline. Source: design §3; mechanisms §3 and §6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from adjourn import runtime
from adjourn.errors import AdjournError, Busy, TurnExceeded, signed
from adjourn.jobs import queue
from adjourn.jobs.model import ClaimedJob, Continue, Outcome, Postpone, Released, Succeeded
from adjourn.jobs.states import Status
from adjourn.metadata.model import Reference
from adjourn.metadata.values import moment_text
from adjourn.pipeline import handlers
from adjourn.pipeline.call import Call
from adjourn.pipeline.flow import Unit
from adjourn.query import write
from adjourn.service import Service
from adjourn.store import faults
from adjourn.store.contract import Reader

log = structlog.get_logger("adjourn.operations")
CHUNK_SECONDS = 0.04
"""A chunk ends after the row that passes this, so that with its commit it holds the writer for about 50 ms: longer would keep
others from it (`config.STEP_SLOW_SECONDS`), shorter would pay for more commits."""
YIELD_SECONDS = 0.0005
"""The same while somebody waits for the writer."""
_REST_TIMES, _REST_SECONDS_MAX = 2.0, 0.2
"""After a chunk that others waited for, the runner rests so many times as long as it took with its commit: it takes a third of the
writer at most, so that few of the jobs that flow meet it."""
READ_AHEAD_ROWS = 200
"""Reading is work in Python: while a thread of ours is at it, the others of the process, who have jobs to start, wait up to 5 ms for
the interpreter. So it comes in portions of less than a millisecond."""
STANDING_ROWS = 50
"""How many rows are looked at together, in the chunk, whether they still are what they were read as: as many as are likely to be
worked on, because it costs nearly as much as the work itself."""
_ROWS_FIRST, _ROWS_MAX = 20, 500
"""How many rows a chunk is begun with: twice as many as the one before it came to."""
_BUSY_ATTEMPTS_MAX = 8
"""How often a chunk is tried again at once while others hold what it needs, at growing distances; then the job waits. That is no failure
of its own, so it is not counted as a retry."""
_BUSY_PAUSE_SECONDS = 10.0
_BUSY_FIRST_SECONDS, _BUSY_LONGEST_SECONDS = 0.05, 2.0


class Item(NamedTuple):
    """A row to be worked on. position: where reading goes on behind it, as JSON can hold it. query: which one found it."""

    record: Reference
    position: Any
    query: int = 0


class Progress(msgspec.Struct, omit_defaults=True):
    """How far an operation is: the job's cursor. began: when its first run started, as the store writes moments."""

    began: str
    total: int
    position: Any = None
    done: int = 0
    failed: int = 0
    finished: bool = False
    """The result is committed; what is left is to settle the job."""

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.began)


@dataclass(frozen=True, slots=True)
class Chunk:
    """What an operation works in: a unit of the pipeline, and calls that are made in it."""

    service: Service
    unit: Unit
    call: Call
    job: ClaimedJob


class Operation(Protocol):
    """What a long job does; the runner does the rest."""

    def total(self, reader: Reader, progress: Progress) -> int:
        """How many rows there are, for the percentage."""
        ...

    def next(self, reader: Reader, progress: Progress, position: Any, limit: int) -> Sequence[Item]:
        """The next rows behind a position (None: the first ones); none when the work is done."""
        ...

    def standing(self, chunk: Chunk, progress: Progress, items: Sequence[Item]) -> set[Reference]:
        """Those of the rows that are still to be worked on, as the chunk sees them."""
        ...

    def together(self, chunk: Chunk, items: Sequence[Item]) -> int:
        """How many of the rows are worked on in one savepoint; they are done singly if that fails."""
        ...

    def apply(self, chunk: Chunk, items: Sequence[Item]) -> None:
        """Do the work for some rows, through the pipeline. Raises what refuses it."""
        ...

    def failed(self, chunk: Chunk, item: Item, error: Exception) -> None:
        """Record a row that was refused."""
        ...

    def keep(self, chunk: Chunk, progress: Progress) -> None:
        """Write the counts so far; part of every chunk."""
        ...

    def finish(self, chunk: Chunk, progress: Progress) -> None:
        """Write the result; once, after the last chunk."""
        ...

    def told(self, progress: Progress) -> str:
        """How far it is, for people."""
        ...


def run(service: Service, job: ClaimedJob, call: Call, operation: Operation) -> Outcome:
    """Work until the operation is done, or somebody wants it to let go; what became of this run.

    Raises what a reading of rows raises.
    """
    return _Run(service, job, call, operation).outcome()


class _LetGo(Exception):
    """The run ends between two chunks, with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("the run ends between two chunks")
        self.outcome = outcome


class _Run:
    def __init__(self, service: Service, job: ClaimedJob, call: Call, operation: Operation) -> None:
        self._service = service
        self._job = job
        self._call = dataclasses.replace(call, guard=None)
        """Without the guard of each write: the chunk looks at the lease itself, once."""
        self._operation = operation
        self._items: list[Item] = []
        self._rows = _ROWS_FIRST
        self._waited_for = False
        self._alone = 0
        """So many of the next rows get a chunk each, because a chunk with them could not be committed."""
        self._progress = self._begun()

    def outcome(self) -> Outcome:
        try:
            while not self._progress.finished and self._more():
                self._next_chunk()
            if not self._progress.finished:
                self._attempt(self._finish)
        except _LetGo as ended:
            return ended.outcome
        return Succeeded(self._operation.told(self._progress))

    def _begun(self) -> Progress:
        if self._job.cursor is not None:
            return msgspec.json.decode(self._job.cursor, type=Progress)
        progress = Progress(moment_text(self._job.started_on), 0)
        with self._service.store.read() as reader:
            progress.total = self._operation.total(reader, progress)
        return progress

    def _more(self) -> bool:
        if self._call.leaving():
            raise _LetGo(Continue(_cursor(self._progress)))
        if not self._items:
            with self._service.store.read() as reader:
                found = self._operation.next(reader, self._progress, self._progress.position, READ_AHEAD_ROWS)
            self._items = list(found)
            faults.point("rows read")
        return bool(self._items)

    def _next_chunk(self) -> None:
        rows = 1 if self._alone else self._rows
        items = self._items[:rows]
        try:
            self._attempt(lambda: self._chunk(items))
        except _LetGo:
            raise
        except Exception as error:  # whatever it was, it cost the chunk and nothing else
            if len(items) > 1:
                self._alone = len(items)
                return
            refused = error
            self._attempt(lambda: self._chunk(items, refused))
        self._alone = max(0, self._alone - 1)

    def _chunk(self, items: Sequence[Item], refused: Exception | None = None) -> None:
        """Work on rows until the time of a chunk is up. refused: why the one row cannot be worked on."""
        progress = msgspec.structs.replace(self._progress)
        worked = 0
        self._waited_for = False
        with self._service.pipeline.transaction(f"job {self._job.id}, a chunk of long work") as unit:
            chunk = self._opened(unit)
            began = runtime.monotonic()
            if refused is not None:
                self._operation.failed(chunk, items[0], refused)
                progress.failed += 1
                worked = 1
            standing: set[Reference] = set()
            seen = worked
            while worked < len(items):
                if worked == seen:
                    looked_at = items[seen : seen + STANDING_ROWS]
                    standing = self._operation.standing(chunk, progress, looked_at)
                    seen += len(looked_at)
                size = self._operation.together(chunk, items[worked:seen]) if len(items) > 1 else 1
                some = items[worked : worked + size]
                self._apply(chunk, [item for item in some if item.record in standing], progress)
                worked += len(some)
                faults.point("chunk row")
                if self._is_over(runtime.monotonic() - began):
                    break
            progress.position = items[worked - 1].position
            self._operation.keep(chunk, progress)
            self._keep(chunk, progress)
            faults.point("chunk kept")
        held_seconds = runtime.monotonic() - began
        faults.point("chunk committed")
        self._progress = progress
        del self._items[:worked]
        self._rows = min(max(2 * worked, _ROWS_FIRST), _ROWS_MAX)

        if self._waited_for:
            runtime.sleep(min(_REST_TIMES * held_seconds, _REST_SECONDS_MAX))

    def _is_over(self, seconds: float) -> bool:
        if seconds > YIELD_SECONDS and self._service.store.waited_for():
            self._waited_for = True
        return self._waited_for or seconds > CHUNK_SECONDS

    def _apply(self, chunk: Chunk, items: Sequence[Item], progress: Progress) -> None:
        if not items:
            return
        jobs = len(chunk.unit.jobs)
        try:
            with chunk.unit.tx.savepoint():
                self._operation.apply(chunk, items)
            progress.done += len(items)
            return
        except (TurnExceeded, Busy):
            raise
        except AdjournError as error:
            del chunk.unit.jobs[jobs:]
            refusal = error
        if len(items) > 1:
            for item in items:
                self._apply(chunk, [item], progress)
            return
        record = items[0].record
        if write.exists(chunk.unit.tx, self._service.catalog.table(record.table), record.id):
            self._operation.failed(chunk, items[0], refusal)
            progress.failed += 1

    def _finish(self) -> None:
        progress = msgspec.structs.replace(self._progress, finished=True)
        with self._service.pipeline.transaction(f"job {self._job.id}, the end of long work") as unit:
            chunk = self._opened(unit)
            self._operation.finish(chunk, progress)
            self._keep(chunk, progress)
        faults.point("operation finished")
        self._progress = progress

    def _opened(self, unit: Unit) -> Chunk:
        """A chunk, if the job is still ours and nobody asked it to let go."""
        status = queue.fence(unit.tx, self._job.id, self._job.lease)
        if status is None:
            raise _LetGo(Released(reason="its worker no longer held it"))  # the settle will be refused
        if status is not Status.IN_PROGRESS:
            raise _LetGo(Continue(_cursor(self._progress)))
        call = dataclasses.replace(self._call, transaction=unit.tx)
        return Chunk(self._service, unit, call, self._job)

    def _keep(self, chunk: Chunk, progress: Progress) -> None:
        worked = progress.done + progress.failed
        percent = 100 if progress.finished else min(99, worked * 100 // max(progress.total, 1))
        queue.checkpoint(chunk.unit.tx, self._job, _cursor(progress), self._operation.told(progress), percent)

    def _attempt(self, work: Any) -> None:
        """Do it, and again while others hold what it needs, or the store cannot write: nothing has changed then."""
        pause = _BUSY_FIRST_SECONDS
        for attempt in range(_BUSY_ATTEMPTS_MAX):
            try:
                work()
                return
            except AdjournError as error:
                if error.code != Busy.code:
                    raise
                if attempt == _BUSY_ATTEMPTS_MAX - 1:
                    later = runtime.now() + timedelta(seconds=_BUSY_PAUSE_SECONDS)
                    log.warning("a long job found the store busy and waits", job=str(self._job.id), error=error.message)
                    raise _LetGo(Postpone(later)) from error
            runtime.sleep(pause)
            pause = min(2 * pause, _BUSY_LONGEST_SECONDS)


def _cursor(progress: Progress) -> str:
    return msgspec.json.encode(progress).decode()


def failure_of(error: Exception) -> tuple[int, str]:
    """The signed code and one line for people of a refused row."""
    failed = handlers.failure(error)
    return signed(failed.code), failed.friendly
