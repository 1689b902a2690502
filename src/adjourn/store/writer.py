"""The one writer of a SQLite file: grouped units on its own thread, lone units in their callers'.

A *grouped* unit is a closure of ours, short and pure in its arguments. The writer's thread takes the turn, runs as many
as are waiting (at most 256 or 5 ms), each in its savepoint, and answers them all after one COMMIT. One that raises is
undone alone. A *lone* unit runs somebody's code; it holds the turn in its caller's thread and commits by itself.

When SQLite gives up a whole group (disk full, I/O error), nothing of it was acknowledged: each of its units is run
again alone, once. When a COMMIT itself fails so that nobody knows whether it is durable, the writer stops for good:
only the recovery of the next start can tell. Source: mechanisms, "The writer's turn".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import apsw
import structlog

from adjourn import config, runtime
from adjourn.errors import AdjournError, Busy
from adjourn.store import faults
from adjourn.store.contract import Transaction
from adjourn.store.files import FileFolder
from adjourn.store.sqlite_units import SqliteTransaction
from adjourn.store.turn import Turn

log = structlog.get_logger("adjourn.store")
T = TypeVar("T")
_STOP: Any = object()
_CLOSE_SECONDS_MAX = 10.0
_BUSY_PAUSE_SECONDS = 0.02
"""Between two attempts to get a lock that a foreign program holds; each has waited as long as the connection's time-out."""


class _Lost(Exception):
    """The database gave up the transaction; nothing of it is durable."""


class _OutcomeUnknown(Exception):
    """A COMMIT failed, and whether it is durable will be known after a restart only."""


class _Unit:
    """A grouped unit in the queue."""

    __slots__ = ("future", "run", "tx", "value")

    def __init__(self, run: Callable[[Transaction], Any]) -> None:
        self.run = run
        self.future = runtime.future()
        self.tx: SqliteTransaction | None = None
        self.value: Any = None


class Writer:
    """Owns the write connection and, while it writes, the turn."""

    def __init__(self, connection: apsw.Connection, turn: Turn, files: FileFolder) -> None:
        self._connection = connection
        self._turn = turn
        self._files = files
        self._queue = runtime.queue(config.WRITE_QUEUE_UNITS_MAX)
        self._current: SqliteTransaction | None = None
        self._closed = False
        self._ended = False
        self._failure: AdjournError | None = None
        self._failure_listeners: list[Callable[[str], None]] = []
        self.turn_seconds_max = config.TURN_SECONDS_MAX_SQLITE
        self.slow_units = 0
        self._thread = runtime.spawn(self._serve, name="adjourn-writer")

    def joined(self) -> SqliteTransaction | None:
        """The unit that the calling thread is in, if it is in one."""
        return self._current if self._current is not None and self._turn.held_here() else None

    def write(self, unit: Callable[[Transaction], T]) -> T:
        """See `Store.write`."""
        joined = self.joined()
        if joined is not None:
            with joined.savepoint():
                return unit(joined)
        self._refuse_when_stopped()
        entry = _Unit(unit)
        if not self._queue.put(entry, 0):
            raise Busy(f"{config.WRITE_QUEUE_UNITS_MAX:,} writes are waiting already; try again.")
        if self._ended:  # between the check and the put
            self._drain()
        result: T = entry.future.result()
        return result

    @contextmanager
    def transaction(self, label: str) -> Iterator[SqliteTransaction]:
        """See `Store.transaction`."""
        joined = self.joined()
        if joined is not None:
            with joined.savepoint():
                yield joined
            return
        self._refuse_when_stopped()
        self._turn.acquire(label, self.turn_seconds_max)
        began = runtime.monotonic()
        try:
            self._begin()
            tx = self._current = SqliteTransaction(
                self._connection, self._files, began + self.turn_seconds_max, self.turn_seconds_max
            )
            try:
                yield tx
                tx.finish()
                self._commit()
            except _OutcomeUnknown as error:
                raise self._stop(error) from error
            except BaseException as error:
                self._rollback()
                self._undone(tx)
                if isinstance(error, _Lost):
                    raise _could_not_write(error) from error
                raise
        finally:
            self._current = None
            seconds = runtime.monotonic() - began
            self._turn.release()
            if seconds > config.STEP_SLOW_SECONDS:
                self.slow_units += 1
                log.info("a unit held the writer", label=label, seconds=round(seconds, 3))
        self._settle(tx)

    def on_failure(self, stop: Callable[[str], None]) -> None:
        """Call `stop` with the reason when nothing can be written any more until a restart."""
        self._failure_listeners.append(stop)

    def close(self) -> None:
        """Finish what is queued and stop. Later units are refused with Busy."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(_STOP, _CLOSE_SECONDS_MAX)
        self._thread.join(_CLOSE_SECONDS_MAX)
        try:
            self._turn.acquire("close", wait_seconds=_CLOSE_SECONDS_MAX)
        except Busy as error:
            # All that was acknowledged is written: who ends is not told of an error, and the connection goes with him.
            log.warning("the database could not be closed in order", error=error.message)
            return
        self._connection.close()
        self._turn.release()

    def _serve(self) -> None:
        while self._failure is None and (not self._closed or len(self._queue)):
            first = self._queue.get(None)
            if first is not _STOP:
                self._serve_group(first)
            # Else a unit's thousands of rows would be kept until the next one comes, and let go of in its time.
            del first
        self._ended = True
        self._drain()

    def _serve_group(self, first: _Unit) -> None:
        try:
            self._turn.acquire("grouped writes")
        except Busy as error:
            first.future.set_exception(error)
            return
        group = [first]
        try:
            self._run_group(group)
        except Exception as error:
            # A COMMIT of unknown outcome, or something that nobody foresaw: doubt ends the writer, first of all.
            failure = self._stop(error)
            for entry in group:
                entry.future.set_exception(failure)
            return
        finally:
            self._current = None
            self._turn.release(back_at_once=self._failure is None and len(self._queue) > 0)
        for entry in group:
            self._answer(entry)

    def _run_group(self, group: list[_Unit]) -> None:
        """Run the one unit in `group`, and what waits, under one COMMIT. What is left in `group` is then durable; who
        is not in it any more has his answer."""
        try:
            self._begin()
        except Busy as error:
            group.pop().future.set_exception(error)
            return
        until = runtime.monotonic() + config.GROUP_SECONDS_MAX
        try:
            while True:
                if not self._run_one(group[-1]):
                    group.pop()
                if len(group) >= config.GROUP_UNITS_MAX or runtime.monotonic() > until:
                    break
                entry = self._queue.get(0)
                if entry is None or entry is _STOP:
                    break
                group.append(entry)
            self._commit()
        except _Lost as error:
            self._rollback()
            log.error("a group of writes was lost and is run again", error=str(error), units=len(group))
            while group:
                self._run_alone(group[0])
                group.pop(0)

    def _run_one(self, entry: _Unit) -> bool:
        """Run a grouped unit in its savepoint. False: it raised, was undone alone, and its caller knows."""
        tx = entry.tx = self._current = SqliteTransaction(self._connection, self._files)
        self._connection.execute("SAVEPOINT unit")
        try:
            entry.value = entry.run(tx)
            tx.finish()
        except BaseException as error:
            self._undone(tx)
            if tx.lost is not None:
                raise _Lost(str(tx.lost)) from tx.lost
            self._connection.execute("ROLLBACK TO unit")
            self._connection.execute("RELEASE unit")
            entry.future.set_exception(error)
            return False
        self._connection.execute("RELEASE unit")
        return True

    def _run_alone(self, entry: _Unit) -> None:
        """Run a unit of a lost group by itself, and answer it. Raises _OutcomeUnknown before it is answered."""
        if entry.tx is not None:
            self._undone(entry.tx)
        try:
            self._begin()
            if self._run_one(entry):
                self._commit()
                self._answer(entry)
        except (_Lost, Busy) as error:
            entry.future.set_exception(_could_not_write(error))
        self._rollback()

    def _begin(self) -> None:
        """Begin; another program's lock is waited for as long as another process's turn. Raises Busy."""
        until = runtime.monotonic() + config.TURN_WAIT_SECONDS_MAX
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                return
            except apsw.BusyError as error:
                if runtime.monotonic() > until:
                    raise Busy(
                        "A program that does not queue for its turn holds the database's write lock; try again."
                    ) from error
            runtime.sleep(_BUSY_PAUSE_SECONDS)

    def _commit(self) -> None:
        faults.point("before commit")
        try:
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            # Still open, or out of space before the frame that makes it a commit could be written: surely not durable.
            if self._connection.in_transaction or isinstance(error, apsw.FullError):
                raise _Lost(str(error)) from error
            raise _OutcomeUnknown(str(error)) from error
        faults.point("after commit")

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _answer(self, entry: _Unit) -> None:
        """Tell the caller of a unit that it is durable."""
        assert entry.tx is not None
        self._settle(entry.tx)
        entry.future.set_result(entry.value)

    def _settle(self, tx: SqliteTransaction) -> None:
        try:
            tx.committed()
        except Exception:
            # The unit is durable, so its caller must not be told otherwise; a file left behind is swept later.
            log.exception("what follows a commit failed")

    def _undone(self, tx: SqliteTransaction) -> None:
        try:
            tx.undone()
        except OSError:
            log.exception("a file of a unit that was rolled back could not be removed; it will be swept")

    def _refuse_when_stopped(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise Busy("The database is closed.")

    def _stop(self, cause: Exception) -> AdjournError:
        """The database is in doubt: nothing is written any more until the next start has recovered it."""
        failure = self._failure = _unknown(cause)
        log.critical("the database is in doubt; restart to recover it", error=str(cause), exc_info=cause)
        self._queue.put(_STOP, 0)  # for the writer's thread, if it was not the one to find out
        for listener in self._failure_listeners:
            listener(str(cause))
        return failure

    def _drain(self) -> None:
        """After the writer's thread has ended: nobody else answers these."""
        error = self._failure or Busy("The database is closed.")
        while (entry := self._queue.get(0)) is not None:
            if entry is not _STOP:
                entry.future.set_exception(error)


def _could_not_write(cause: Exception) -> AdjournError:
    if isinstance(cause, AdjournError):
        return cause
    return AdjournError(f"The database could not write: {cause}. Nothing was changed.", code=Busy.code, status=503)


def _unknown(cause: Exception) -> AdjournError:
    return AdjournError(
        f"The database failed while it committed ({cause}); whether the change is there will be known after a restart.",
        status=503,
    )
