"""SQLite: one file, one writer, any number of readers.

Writing (mechanisms, "The writer's turn"): a *grouped* unit is a closure for the writer thread, which runs many of them,
each in its savepoint, under one COMMIT and answers them after it. A *lone* unit runs in its caller's thread and holds
the turn for itself, because it runs somebody's code. Reading: connections of a pool, each view one deferred transaction.
Long payloads lie in files beside the database, written and synced before the COMMIT that mentions them.

    <file>-turn      the writer's turn among processes        <file>-serve    held by the one `serve`
    <file>-files/    payloads over 4 MB                        <file>-workers/ one held lock for each live worker
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import UUID

import apsw
import structlog

from adjourn import config, runtime
from adjourn.errors import AdjournError, Busy, InvalidRequest, TurnExceeded
from adjourn.metadata.catalog import load
from adjourn.metadata.text import SCALAR_FUNCTIONS
from adjourn.store import faults, migrations, schema
from adjourn.store.contract import Parameters, Row, Transaction
from adjourn.store.files import FileFolder
from adjourn.store.turn import Turn

log = structlog.get_logger("adjourn.store")
T = TypeVar("T")
_NOTHING: Mapping[str, Any] = {}
_WAL_CHECKPOINT_BYTES = 8 * 1024 * 1024
_WAL_BYTES_MAX = 512 * 1024 * 1024
_CHANGE_POLL_SECONDS = 0.02
_READERS_IDLE_MAX = 16
_SLOW_LOG_SECONDS = config.STEP_SLOW_SECONDS


class SqliteReader:
    """One deferred transaction on a connection of the pool."""

    dialect: Literal["sqlite"] = "sqlite"

    def __init__(self, store: SqliteStore, connection: apsw.Connection) -> None:
        self._store = store
        self._connection = connection
        self.now: datetime = runtime.now()
        self.since = runtime.monotonic()

    def rows(self, sql: str, parameters: Parameters = _NOTHING) -> list[Row]:
        return self._connection.execute(sql, parameters).fetchall()

    def stream(self, sql: str, parameters: Parameters = _NOTHING) -> Iterator[Row]:
        return iter(self._connection.execute(sql, parameters))

    def read_file(self, file_id: UUID) -> bytes:
        return self._store.files.read(file_id)

    def interrupt(self) -> None:
        self._connection.interrupt()


class SqliteTransaction(SqliteReader):
    """A unit on the write connection."""

    def __init__(self, store: SqliteStore, connection: apsw.Connection, deadline: float | None) -> None:
        super().__init__(store, connection)
        self._deadline = deadline
        self._before: list[Callable[[], None]] = []
        self._after: list[Callable[[], None]] = []
        self._written: list[UUID] = []
        self._deleted: list[UUID] = []

    def rows(self, sql: str, parameters: Parameters = _NOTHING) -> list[Row]:
        self._check_deadline()
        return self._connection.execute(sql, parameters).fetchall()

    def stream(self, sql: str, parameters: Parameters = _NOTHING) -> Iterator[Row]:
        return iter(self.rows(sql, parameters))

    def execute(self, sql: str, parameters: Parameters = _NOTHING) -> int:
        self._check_deadline()
        self._connection.execute(sql, parameters)
        return self._connection.changes()

    def execute_many(self, sql: str, parameters: Sequence[Parameters]) -> int:
        self._check_deadline()
        before = self._connection.total_changes()
        self._connection.executemany(sql, parameters)
        return self._connection.total_changes() - before

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._check_deadline()
        written, deleted, after = len(self._written), len(self._deleted), len(self._after)
        self._connection.execute("SAVEPOINT nested")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK TO nested")
            self._connection.execute("RELEASE nested")
            self._store.files.remove(self._written[written:])
            del self._written[written:], self._deleted[deleted:], self._after[after:]
            raise
        self._connection.execute("RELEASE nested")

    def before_commit(self, action: Callable[[], None]) -> None:
        self._before.append(action)

    def after_commit(self, action: Callable[[], None]) -> None:
        self._after.append(action)

    def write_file(self, file_id: UUID, content: bytes) -> None:
        self._check_deadline()
        self._written.append(file_id)
        self._store.files.write(file_id, content)

    def delete_files(self, file_ids: Sequence[UUID]) -> None:
        self._deleted.extend(file_ids)

    def finish(self) -> None:
        """Everything that still belongs into the transaction."""
        for action in self._before:
            action()

    def committed(self) -> None:
        self._store.files.remove(self._deleted)
        for action in self._after:
            action()

    def undone(self) -> None:
        self._store.files.remove(self._written)

    def _check_deadline(self) -> None:
        if self._deadline is not None and runtime.monotonic() > self._deadline:
            raise TurnExceeded(
                f"The operation held the database's one writer longer than {self._store.turn_seconds_max:.0f} s and was rolled "
                "back. Do long work in an asynchronous step."
            )


class _Unit:
    """A grouped unit in the queue."""

    __slots__ = ("future", "run", "tx", "value")

    def __init__(self, run: Callable[[Transaction], Any]) -> None:
        self.run = run
        self.future = runtime.future()
        self.tx: SqliteTransaction | None = None
        self.value: Any = None


class SqliteStore:
    """See `store.contract.Store`."""

    dialect: Literal["sqlite"] = "sqlite"

    def __init__(self, path: Path, url: str, *, migrate: bool = True) -> None:
        self.url = url
        self.path = path
        self.turn_seconds_max = config.TURN_SECONDS_MAX_SQLITE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._turn = Turn(path)
            self._writer = self._connect()
        except (OSError, apsw.Error) as error:
            raise InvalidRequest(f"Cannot open the database {path}: {error}") from error
        self.files = FileFolder(Path(f"{path}-files"))
        self._lone: SqliteTransaction | None = None
        self._queue = runtime.queue(config.WRITE_QUEUE_UNITS_MAX)
        self._readers: list[apsw.Connection] = []
        self._open_readers: set[SqliteReader] = set()
        self._guard = runtime.lock()
        self._listeners: list[Callable[[], None]] = []
        self._checkpoint_due = runtime.bell()
        self._closed = False
        self._workers: dict[str, int] = {}
        if migrate:
            self._migrate()
        self._threads = [
            runtime.spawn(self._write_loop, name="adjourn-writer"),
            runtime.spawn(self._checkpoint_loop, name="adjourn-checkpoint"),
        ]
        self._watching = False

    # Reading

    @contextmanager
    def read(self) -> Iterator[SqliteReader]:
        if self._turn.held_here() and self._lone is not None:
            yield self._lone
            return
        with self._guard:
            connection = self._readers.pop() if self._readers else None
        if connection is None:
            connection = self._connect()
        reader = SqliteReader(self, connection)
        connection.execute("BEGIN")
        self._open_readers.add(reader)
        try:
            yield reader
        except apsw.InterruptError as error:
            raise Busy("The query kept its view of the data too long and was ended; ask for less at a time.") from error
        finally:
            self._open_readers.discard(reader)
            with contextlib.suppress(apsw.Error):
                connection.execute("ROLLBACK")
            with self._guard:
                keep = len(self._readers) < _READERS_IDLE_MAX and not self._closed
                if keep:
                    self._readers.append(connection)
            if not keep:
                connection.close()

    # Writing

    def write(self, unit: Callable[[Transaction], T]) -> T:
        if self._turn.held_here() and self._lone is not None:
            with self._lone.savepoint():
                return unit(self._lone)
        entry = _Unit(unit)
        if self._closed or not self._queue.put(entry, 0):
            raise Busy(f"{config.WRITE_QUEUE_UNITS_MAX:,} writes are waiting already; try again.")
        result: T = entry.future.result()
        return result

    @contextmanager
    def transaction(self, label: str) -> Iterator[SqliteTransaction]:
        if self._turn.held_here() and self._lone is not None:
            with self._lone.savepoint():
                yield self._lone
            return
        self._turn.acquire(label)
        began = runtime.monotonic()
        try:
            tx = SqliteTransaction(self, self._writer, began + self.turn_seconds_max)
            self._writer.execute("BEGIN IMMEDIATE")
            self._lone = tx
            try:
                yield tx
                tx._check_deadline()
                tx.finish()
            except BaseException:
                self._rollback()
                tx.undone()
                raise
            self._commit([tx])
        finally:
            self._lone = None
            seconds = runtime.monotonic() - began
            self._turn.release()
        tx.committed()
        self._checkpoint_due.ring()
        if seconds > _SLOW_LOG_SECONDS:
            log.info("a unit held the writer", label=label, seconds=round(seconds, 3))

    def _write_loop(self) -> None:
        while not self._closed:
            first = self._queue.get(1.0)
            if first is None:
                continue
            try:
                self._turn.acquire("writer")
            except Busy as error:
                first.future.set_exception(error)
                continue
            try:
                done = self._run_group(first)
            finally:
                self._lone = None
                self._turn.release()
            for entry in done:
                try:
                    entry.tx.committed()
                finally:
                    entry.future.set_result(entry.value)
            self._checkpoint_due.ring()

    def _run_group(self, first: _Unit) -> list[_Unit]:
        """Run units until the queue is empty, 256 are done or 5 ms have passed; returns those that are durable."""
        done: list[_Unit] = []
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            until = runtime.monotonic() + config.GROUP_SECONDS_MAX
            entry: _Unit | None = first
            while entry is not None:
                if self._run_one(entry):
                    done.append(entry)
                if len(done) >= config.GROUP_UNITS_MAX or runtime.monotonic() > until:
                    break
                entry = self._queue.get(0)
            self._commit([found.tx for found in done if found.tx is not None])
        except apsw.Error as error:
            # The transaction itself is lost (disk full, I/O): nothing was acknowledged, so each may run again alone.
            self._rollback()
            pending = done if first in done or first.future.done() else [first, *done]
            log.error("a group of writes was lost", error=str(error), units=len(pending))
            return [found for found in pending if self._run_alone(found, error)]
        return done

    def _run_one(self, entry: _Unit) -> bool:
        """Run one grouped unit in its savepoint. False: it raised, was undone alone, and its caller knows."""
        tx = entry.tx = SqliteTransaction(self, self._writer, None)
        self._lone = tx
        self._writer.execute("SAVEPOINT unit")
        try:
            entry.value = entry.run(tx)
            tx.finish()
        except BaseException as error:
            if not self._writer.in_transaction:
                raise
            self._writer.execute("ROLLBACK TO unit")
            self._writer.execute("RELEASE unit")
            tx.undone()
            entry.future.set_exception(error)
            return False
        self._writer.execute("RELEASE unit")
        return True

    def _run_alone(self, entry: _Unit, cause: apsw.Error) -> bool:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            if not self._run_one(entry):
                self._rollback()
                return False
            assert entry.tx is not None
            self._commit([entry.tx])
        except apsw.Error as error:
            self._rollback()
            failure = AdjournError(f"The database could not write: {error}", status=503)
            failure.__cause__ = cause
            entry.future.set_exception(failure)
            return False
        return True

    def _commit(self, transactions: Sequence[SqliteTransaction]) -> None:
        faults.point("before commit")
        self._writer.execute("COMMIT")
        faults.point("after commit")

    def _rollback(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def holder(self) -> str | None:
        return self._turn.label

    # Waking others

    def on_change(self, wake: Callable[[], None]) -> None:
        self._listeners.append(wake)
        if not self._watching:
            self._watching = True
            self._threads.append(runtime.spawn(self._watch_loop, name="adjourn-watch"))

    def wake(self) -> None:
        for listener in self._listeners:
            listener()

    def _watch_loop(self) -> None:
        """Notice commits of other processes: `data_version` costs microseconds, so it is asked 50 times a second."""
        connection = self._connect()
        seen = 0
        while not self._closed:
            version = connection.execute("PRAGMA data_version").fetchall()[0][0]
            if version != seen:
                seen = version
                self.wake()
            runtime.sleep(_CHANGE_POLL_SECONDS)
        connection.close()

    # Workers and the service: who is alive is who holds a lock file, which the kernel gives back when he dies.

    @contextmanager
    def hold_service(self) -> Iterator[None]:
        """Be the one `serve` on this file. Raises InvalidRequest naming the process that is."""
        path = Path(f"{self.path}-serve")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 20, 0).decode(errors="replace") or "unknown"
                raise InvalidRequest(
                    f"{self.path} is served by process {holder} already. One file has one `adjourn serve`; other programs may "
                    "open it beside it."
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def hold_worker(self, worker_id: UUID, host: str, pid: int) -> None:
        """Be alive as this worker until the process ends or `release_worker`."""
        folder = Path(f"{self.path}-workers")
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder / str(worker_id), os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.pwrite(descriptor, f"{host} {pid}".encode(), 0)
        self._workers[str(worker_id)] = descriptor

    def release_worker(self, worker_id: UUID) -> None:
        descriptor = self._workers.pop(str(worker_id), None)
        if descriptor is not None:
            Path(f"{self.path}-workers", str(worker_id)).unlink(missing_ok=True)
            os.close(descriptor)

    def beat(self, worker_id: UUID) -> bool:
        """The kernel beats for us."""
        return True

    def living(self, worker_ids: Sequence[str]) -> set[str]:
        """Which of these workers are alive: those whose lock somebody holds."""
        alive = set()
        for worker_id in worker_ids:
            if worker_id in self._workers or _locked(Path(f"{self.path}-workers", worker_id)):
                alive.add(worker_id)
        return alive

    def sweep_files(self, known: Callable[[Sequence[UUID]], set[UUID]], older_than: datetime) -> int:
        """Remove files that no fileattachment row mentions; returns how many."""
        return self.files.sweep(known, older_than)

    # House-keeping

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._checkpoint_due.ring()
        for thread in self._threads:
            thread.join(5)
        while (entry := self._queue.get(0)) is not None:
            entry.future.set_exception(Busy("The store is closed."))
        for worker_id in list(self._workers):
            self.release_worker(UUID(worker_id))
        for connection in self._readers:
            connection.close()
        self._writer.close()
        self._turn.close()

    def _checkpoint_loop(self) -> None:
        wal = Path(f"{self.path}-wal")
        connection = self._connect()
        while not self._closed:
            self._checkpoint_due.wait(1.0)
            size = wal.stat().st_size if wal.exists() else 0
            if size > _WAL_CHECKPOINT_BYTES:
                with contextlib.suppress(apsw.BusyError):
                    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if size > _WAL_BYTES_MAX:
                self._end_oldest_reader(connection)
            runtime.sleep(0.05)
        connection.close()

    def _end_oldest_reader(self, connection: apsw.Connection) -> None:
        """A reader that pins the log while it grows without bound is ended; its caller gets Busy."""
        oldest = min(self._open_readers, key=lambda reader: reader.since, default=None)
        if oldest is not None and runtime.monotonic() - oldest.since > _SLOW_LOG_SECONDS:
            log.warning("ended a reader that kept the log from shrinking", seconds=runtime.monotonic() - oldest.since)
            oldest.interrupt()
        else:
            with contextlib.suppress(apsw.BusyError):
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path), statementcachesize=500)
        connection.set_busy_timeout(10_000)
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=0",
            "cache_size=-65536",
            "temp_store=MEMORY",
        ):
            # One by one: apsw runs a string of several statements only as far as its rows are read.
            connection.execute(f"PRAGMA {pragma}").fetchall()
        for name, (function, arguments) in SCALAR_FUNCTIONS.items():
            connection.create_scalar_function(name, function, arguments, deterministic=True)
        return connection

    def _migrate(self) -> None:
        self._turn.acquire("migration")
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                self._apply_migrations()
                self._writer.execute("COMMIT")
            except BaseException:
                self._rollback()
                raise
        finally:
            self._turn.release()

    def _apply_migrations(self) -> None:
        def present(table: str) -> set[str]:
            return {row[1] for row in self._writer.execute(f'PRAGMA table_info("{table}")').fetchall()}

        def run(statement: str) -> None:
            self._writer.execute(statement).fetchall()

        for statement in schema.statements(load(), "sqlite", present):
            run(statement)
        run(
            "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, "
            "appliedon TEXT NOT NULL)"
        )
        applied = {
            number: (name, checksum)
            for number, name, checksum in self._writer.execute("SELECT number, name, checksum FROM migration").fetchall()
        }
        for migration in migrations.apply("sqlite", applied, run):
            self._writer.execute(
                "INSERT INTO migration VALUES (:number, :name, :checksum, :now)",
                {
                    "number": migration.number,
                    "name": migration.name,
                    "checksum": migration.checksum,
                    "now": runtime.now().isoformat(),
                },
            )


def _locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)


